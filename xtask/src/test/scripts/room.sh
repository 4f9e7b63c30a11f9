# The file system below images of a Debian guest's disks is full, behind our own backend (qcow2 and raw): the guest's writes wait, and
# are done when there is room again; a guest that waits can be destroyed. What is written is whole. Logs and metrics go on.
. /guests/words.sh
ok sh /guests/prepare
ok hello
mkdir -p /tmp/small; ok mount -t tmpfs -o size=6m tmpfs /tmp/small
mount -t tmpfs -o size=64k tmpfs /mnt; dd if=/dev/zero of=/mnt/filler bs=4k 2>/dev/null
xen-exporter --listen 127.0.0.1:10603 2>/mnt/log & exporter=$!
scraped() { printf 'GET /metrics HTTP/1.0\r\n\r\n' | nc 127.0.0.1 10603 | grep -q "^xen_domains $1"; }
ok until_ok 50 scraped 1
note
backends() { ps | awk '/sbin\/blkback [0-9]/ && !/supervise/ && !/awk/ {print $1}'; }
ticks() { for pid in $(backends); do awk '{print $14 + $15}' /proc/$pid/stat; done | awk '{n += $1} END {print n + 0}'; }
waits() { grep -q "$1: no room for its image to grow" /var/log/xen/blkback.log /var/log/xen/*.log; }
# One life with a disk of a format.
life() {
	local format=$1 image=/tmp/small/a.$1
	case $format in qcow2) ok blkimg create $image 16 ;; raw) truncate -s 16M $image ;; esac
	mount -o remount,size=6m /tmp/small
	ok xm create -q /guests/ramdisk.cfg name=$format "disk=['format=$format, vdev=xvda, access=rw, backendtype=qdisk, target=$image']" "extra=console=hvc0 quiet fx.name=$format"
	ok up $format
	# Twice as much as there is room for.
	g $format '(dd if=/dev/urandom of=/tmp/f bs=64k count=192 2>/dev/null; dd if=/tmp/f of=/dev/xvda bs=64k conv=fsync >/tmp/dd 2>&1; echo $? >/tmp/done) >/dev/null 2>&1 & true'
	ok until_ok 600 waits $image
	before=$(ticks); sleep 5; [ $(($(ticks) - before)) -lt 50 ] || ok false "$format: $(($(ticks) - before)) ticks in 5 s"
	ok g $format '[ ! -e /tmp/done ]'
	kill -9 $(backends); sleep 2; ok g $format '[ ! -e /tmp/done ]'
	ok until_ok 50 scraped 2
	mount -o remount,size=24m /tmp/small
	ok g $format 'for n in $(seq 600); do [ -e /tmp/done ] && break; usleep 100000; done; [ "$(cat /tmp/done)" = 0 ]' || g $format 'cat /tmp/dd; dmesg | tail'
	sum=$(g $format 'md5sum </tmp/f'); ok g $format 'echo 3 >/proc/sys/vm/drop_caches; head -c 12582912 /dev/xvda | cmp - /tmp/f'
	! g $format dmesg | grep -i 'i/o error' || ok false "errors in the guest"
	ok xm shutdown $format; ok gone $format
	outside() { case $format in qcow2) blkimg cat $image ;; raw) cat $image ;; esac | head -c 12582912 | md5sum; }
	[ "$(outside)" = "$sum" ] || ok false "$format: $(outside), not $sum"
	rm $image
	echo "$format: writes wait for room, and are whole"
}
life qcow2
life raw
# A guest that waits is destroyed; its image can be read.
ok blkimg create /tmp/small/b.qcow2 16; mount -o remount,size=4m /tmp/small
ok xm create -q /guests/ramdisk.cfg name=t "disk=['format=qcow2, vdev=xvda, access=rw, target=/tmp/small/b.qcow2']" "extra=console=hvc0 quiet fx.name=t"
ok up t
g t '(dd if=/dev/urandom of=/dev/xvda bs=64k count=192 conv=fsync) >/dev/null 2>&1 & true'
ok until_ok 600 waits /tmp/small/b.qcow2
ok xm destroy t; ok gone t; none() { [ -z "$(backends)" ]; }; ok until_ok 50 none
blkimg cat /tmp/small/b.qcow2 | md5sum >/dev/null || ok false "the image cannot be read"
mount -o remount,size=24m /tmp/small
ok xm create -q /guests/ramdisk.cfg name=t "disk=['format=qcow2, vdev=xvda, access=rw, target=/tmp/small/b.qcow2']" "extra=console=hvc0 quiet fx.name=t"; ok up t
ok g t 'dd if=/dev/urandom of=/tmp/f bs=64k count=192 2>/dev/null; dd if=/tmp/f of=/dev/xvda bs=64k conv=fsync 2>/dev/null; echo 3 >/proc/sys/vm/drop_caches; head -c 12582912 /dev/xvda | cmp - /tmp/f'
ok xm shutdown t; ok gone t
echo a guest that waits can be destroyed
ok kill -0 $exporter
ok nothing_left "the guests"
kill $exporter
finish
