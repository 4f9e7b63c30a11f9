# A Debian guest whose memory, vcpus, name and devices change while it runs, ROUNDS times. Debian's 6.1 loses a MiB for each
# queue of a network card that is taken out (on Debian's Xen as well), so that 50 rounds need more than 160 MiB.
. /guests/words.sh
ok sh /guests/prepare
ok hello
truncate -s 4M /tmp/b.img
note
ok xm create -q /guests/ramdisk.cfg name=t vcpus=4 memory=288 maxmem=320 on_crash=preserve "extra=console=hvc0 quiet fx.name=t"
ok up t
free() { xm info | awk '/^free_memory/ {print $3}'; }
has() { [ "$(xm list t | awk 'NR == 2 {print $3}')" = $1 ]; }
cpus() { [ "$(g t nproc)" = $1 ]; }
before=$(free)
ok xm mem-set t 256; ok until_ok 300 has 256
[ $(($(free) - before)) -ge 31 ] || ok false "free memory: $before, then $(free)"
ok xm mem-set t 288; ok until_ok 300 has 288
xm mem-set t 500 2>/dev/null && ok false "more than its largest memory"
ok xm mem-max t 352
echo memory changes
g t 'yes >/dev/null & yes >/dev/null & true'
ok xm vcpu-set t 1; ok until_ok 100 cpus 1
# Linux leaves it to udev, which is not there, to put a vcpu that came back to work.
ok xm vcpu-set t 4
g t 'for c in 1 2 3; do for n in $(seq 50); do echo 1 >/sys/devices/system/cpu/cpu$c/online && break; usleep 100000; done; done'
ok until_ok 100 cpus 4
ok xm vcpu-pin t all 0; [ $(xm vcpu-list t | grep -c ' 0 / all') = 4 ] || ok false "pinned: $(xm vcpu-list t)"
ok xm vcpu-pin t all all
g t 'killall yes'
echo vcpus change
ok xm rename t other; ok xm domid other; ok xm rename other t
ok xm sysrq t h; ok until_ok 100 grep -q 'sysrq: HELP' $(log t)
for n in $(seq $ROUNDS); do
	ok xm block-attach t /tmp/b.img,raw,xvdb,w
	# The first round that fails is looked at.
	[ $bad = 0 ] && xm domid t >/dev/null || { ok false "round $n is not begun"; xm sysrq t m; xm sysrq t w; sleep 5; finish; }
	g t 'for n in $(seq 50); do [ -b /dev/xvdb ] && break; usleep 100000; done; [ -b /dev/xvdb ] && dd if=/dev/urandom of=/dev/xvdb bs=64k count=64 && sync' || ok false "round $n: the disk is not there"
	inside=$(g t 'echo 3 >/proc/sys/vm/drop_caches; md5sum </dev/xvdb')
	ok xm block-detach t xvdb
	[ "$inside" = "$(md5sum </tmp/b.img)" ] || ok false "the disk: $inside, not $(md5sum </tmp/b.img)"
	ok xm network-attach t bridge=xenbr0 rate=100Mb/s
	g t 'for n in $(seq 50); do [ -e /sys/class/net/eth0 ] && break; usleep 100000; done; ip addr add 192.168.77.3/24 dev eth0; ip link set eth0 up'
	ok ping -q -c 3 -w 60 192.168.77.3
	ok xm network-detach t 0
done
ok xm block-attach t /tmp/b.img,raw,xvdb,w; ok xm block-detach -f t xvdb
ok xm network-attach t bridge=xenbr0; ok xm network-detach -f t 0
echo devices come and go
for n in $(seq $ROUNDS); do
	kill -9 $(ps | awk '/xenstored.*--kept/ && !/awk/ {print $1}'); ok until_ok 100 xm list
	kill $(cat /run/xenconsoled.pid); sleep 1
	/usr/local/sbin/xenconsoled --supervise --pid-file /run/xenconsoled.pid 2>>/var/log/xen/xenconsoled.log &
	sleep 1; ok g t 'echo still here'
done
ok xm shutdown t; ok gone t
ok nothing_left "the guest"
finish
