# A Debian guest with a qcow2 disk over our own backend: checksums, flushes, discards; KILLS times its backend is killed while
# the guest writes. The guest is destroyed, the image is looked at from outside, and a second guest reads it again.
. /guests/words.sh
ok sh /guests/prepare
ok hello
ok blkimg create /tmp/a.qcow2 64
note
boot() { ok xm create -q /guests/ramdisk.cfg name=$1 "disk=['format=qcow2, vdev=xvda, access=$2, target=/tmp/a.qcow2']" "extra=console=hvc0 quiet fx.name=$1"; ok up $1; }
sums() { g $1 'mkdir -p /m; mount -o ro /dev/xvda /m; cd /m && md5sum f* g; cd /; umount /m' | grep -o '[0-9a-f]\{32\}'; }
boot a rw
[ "$(g a 'cat /sys/block/xvda/size')" = 131072 ] || ok false "its size"
g a 'cd /sys/block/xvda/queue; echo granularity $(cat discard_granularity), cache $(cat write_cache), segments $(cat max_segments)'
ok g a 'mke2fs -F /dev/xvda >/dev/null 2>&1; mkdir -p /m; mount /dev/xvda /m'
ok g a 'for n in 1 2 3 4; do dd if=/dev/urandom of=/m/f$n bs=64k count=40 conv=fsync 2>/dev/null; done; cd /m; md5sum f* >/tmp/sums; cd /; sync'
ok g a 'echo 3 >/proc/sys/vm/drop_caches; cd /m; md5sum -c /tmp/sums >/dev/null && cd /'
echo what is written is read
grown=$(stat -c %b /tmp/a.qcow2)
ok g a 'rm /m/f1 /m/f2; sync; fstrim /m; sync'
ok g a 'cd /m; sed -i "/f[12]/d" /tmp/sums; md5sum -c /tmp/sums >/dev/null && cd /'
[ $(stat -c %b /tmp/a.qcow2) -lt $((grown - 6000)) ] || ok false "discards gave nothing back: $grown, then $(stat -c %b /tmp/a.qcow2) sectors"
echo what is discarded is given back
backend() { ps | awk '/sbin\/blkback [0-9]/ && !/supervise/ && !/awk/ {print $1}'; }
g a 'cat >/tmp/io.sh <<END
n=0; while [ ! -e /tmp/stop ]; do
dd if=/dev/urandom of=/tmp/f bs=16k count=8 2>/dev/null; cp /tmp/f /m/g; sync; echo 1 >/proc/sys/vm/drop_caches
cmp /tmp/f /m/g || echo differs >>/tmp/bad; n=\$((n + 1)); echo \$n >/tmp/rounds; done; echo \$n >/tmp/ended
END
sh /tmp/io.sh >/dev/null 2>&1 & true'
for n in $(seq $KILLS); do
	usleep $((300000 + n * 137000 % 900000))
	old=$(backend); kill -9 $old
	again() { local now=$(backend); [ -n "$now" ] && [ "$now" != "$old" ]; }
	ok until_ok 100 again
done
g a 'touch /tmp/stop; for n in $(seq 600); do [ -e /tmp/ended ] && break; usleep 100000; done; echo $(cat /tmp/ended) rounds; [ ! -e /tmp/bad ]' || ok false "the disk changed"
! g a 'dmesg' | grep -i 'i/o error' || ok false "errors in the guest"
ok g a 'cd /m; md5sum -c /tmp/sums >/dev/null && cd /; umount /m'
want=$(sums a)
echo "the backend was killed $KILLS times"
xm block-attach a "format=qcow2, vdev=xvdb, access=rw, target=/tmp/a.qcow2" 2>/tmp/said && ok false "a second writer"
grep -o 'in use by domain [0-9]*' /tmp/said | sed 's/[0-9]*$/N/'
ok blkimg create /tmp/b.qcow2 8
ok xm block-attach a format=qcow2,vdev=xvdb,access=rw,target=/tmp/b.qcow2
ok g a 'for n in $(seq 50); do [ -b /dev/xvdb ] && break; usleep 100000; done; dd if=/dev/urandom of=/dev/xvdb bs=64k count=128 2>/dev/null; blkdiscard -o 1048576 -l 1048576 /dev/xvdb; sync'
inside=$(g a 'echo 3 >/proc/sys/vm/drop_caches; md5sum </dev/xvdb')
ok xm block-list a
ok xm block-detach a xvdb
[ "$inside" = "$(blkimg cat /tmp/b.qcow2 | md5sum)" ] || ok false "the disk: $inside, not $(blkimg cat /tmp/b.qcow2 | md5sum)"
xm block-attach a format=qcow2,vdev=xvdb,access=rw,target=/etc/passwd 2>/tmp/said && ok false "an image that is none"
grep -c . /tmp/said
echo disks come and go
ok xm destroy a
ok until_ok 50 [ -z "$(backend)" ]
blkimg cat /tmp/a.qcow2 >/tmp/a.raw; mkdir -p /tmp/image; ok mount -o ro,loop /tmp/a.raw /tmp/image
[ "$(cd /tmp/image && md5sum f* g | grep -o '[0-9a-f]\{32\}')" = "$want" ] || ok false "from outside: $(cd /tmp/image && md5sum f* g | grep -o '[0-9a-f]\{32\}'), not $want"
umount /tmp/image; rm /tmp/a.raw
boot b r
[ "$(sums b)" = "$want" ] || ok false "from a second guest: $(sums b), not $want"
g b 'dd if=/dev/zero of=/dev/xvda bs=4k count=1' >/dev/null 2>&1 && ok false "a read-only disk was written"
ok xm shutdown b; ok gone b
echo a second guest reads the same
ok nothing_left "the guests"
[ $bad = 0 ] || { tail -n 30 /var/log/xen/*.log; dmesg | tail -n 20; }
finish
