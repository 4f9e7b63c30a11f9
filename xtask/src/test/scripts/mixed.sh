# Our tools with somebody else's daemons (Debian's xenstored or oxenstored, Debian's xenconsoled): two Debian guests with disks,
# one of them an image behind our own backend, and network cards; what comes and goes while they run, how they end.
. /guests/words.sh
ok sh /guests/prepare
ok hello
cp /guests/disk.img /tmp/disk2.img; truncate -s 4M /tmp/b.img
ok blkimg create /tmp/q.qcow2 8
ps | grep -v grep | grep '[o]*xenstored\|xenconsoled' | sed 's/^ *[0-9]* *root *[0-9:]* *//'
ps | grep -q '[u]sr/local/sbin/xen[sc]' && ok false "our daemons run"
note
ok xm create -q /guests/disk.cfg
ok xm create -q /guests/disk.cfg name=two vcpus=2 maxmem=192 "disk=['/tmp/disk2.img,raw,xvda,w', 'format=qcow2, vdev=xvdb, access=rw, target=/tmp/q.qcow2']" \
	"extra=console=hvc0 quiet fx.name=two fx.mount=/dev/xvda fx.ip=192.168.77.3/24"
ok up disk; ok up two
ok ping -q -c 3 -w 30 192.168.77.2; ok ping -q -c 3 -w 30 192.168.77.3
xm list; [ $(xm list | wc -l) = 4 ] || ok false "$(xm list)"
echo two guests are up
for name in disk two; do [ "$(g $name 'echo I am $(hostname)')" = "I am $name" ] || ok false "$name does not answer"; done
# A console of a terminal: what is typed arrives, what is said comes back.
(sleep 3; echo 'echo typed $((6 * 7))'; sleep 5) | timeout 30 xm console disk >/tmp/console 2>&1
grep -q 'typed 42' /tmp/console || ok false "xm console: $(cat /tmp/console)"
echo their consoles answer
for n in 1 2 3; do
	ok xm network-attach two bridge=xenbr0 mac=00:16:3e:77:00:04 # always the same: dom0 remembers whose the address is
	g two 'for n in $(seq 100); do [ -e /sys/class/net/eth1 ] && break; usleep 100000; done; ip addr add 192.168.77.4/24 dev eth1; ip link set eth1 up'
	ok ping -q -c 2 -w 60 192.168.77.4
	ok xm network-detach two 1
	ok xm block-attach two /tmp/b.img,raw,xvdc,w
	ok g two 'for n in $(seq 100); do [ -b /dev/xvdc ] && break; usleep 100000; done; dd if=/dev/zero of=/dev/xvdc bs=64k count=8 conv=fsync 2>/dev/null'
	xm block-list two | grep -q '^51744' || ok false "$(xm block-list two)"
	ok xm block-detach two xvdc
done
ok g two 'dd if=/dev/urandom of=/tmp/f bs=64k count=16 2>/dev/null; dd if=/tmp/f of=/dev/xvdb bs=64k conv=fsync 2>/dev/null; echo 3 >/proc/sys/vm/drop_caches; head -c 1048576 /dev/xvdb | cmp - /tmp/f'
ok xm mem-set two 128; mem() { [ $(xm list two | awk 'NR == 2 {print $3}') -le 129 ]; }; ok until_ok 300 mem
ok xm vcpu-set two 1; one() { [ "$(g two nproc)" = 1 ]; }; ok until_ok 30 one; ok xm vcpu-set two 2
ok xm rename two zwei; ok xm rename zwei two; ok xm sysrq disk h
xm top -b -i 2 -d 1 >/tmp/top || ok false "top: $?"; [ $(grep -c '^ *\(disk\|two\) ' /tmp/top) = 4 ] || ok false "$(cat /tmp/top)"
xen-exporter --once >/tmp/metrics || ok false "xen-exporter: $?"
grep -q '^xen_domain_block_bytes_total.*name="two"' /tmp/metrics || ok false "$(grep block /tmp/metrics)"
# What only our xenstored tells (its quotas) is missing, and that is said.
grep '^xen_exporter_scrape_error.* 1$' /tmp/metrics
xm info >/tmp/info || ok false "info"; xm uptime >/dev/null || ok false uptime
echo devices come and go
# Whoever attends to a guest may die.
attend() { ps | awk '/xm attend.*--supervised/ && !/awk/ {print $1}'; }
kill -9 $(attend)
ok xm reboot disk; again() { [ $(grep -c 'disk: up' $(log disk)) -ge 2 ]; }; ok until_ok 2400 again
ok g disk 'echo still here'
ok xm shutdown -w --timeout 60 disk; ok gone disk
ok xm create -q /guests/hello.cfg cmdline=end=crash on_crash=destroy; ok gone hello; ok grep -q 'it crashed' /var/lib/xen/crash/hello-*/reason; rm -rf /var/lib/xen/crash
ok xm create -q /guests/hello.cfg cmdline=end=never; ok xm destroy hello
ok xm destroy two; ok gone two
echo their ends are seen
ok nothing_left "the guests"
finish
