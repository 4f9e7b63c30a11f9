# Two Debian guests with disks and network cards, at work; xenstored and xenconsoled are killed KILLS times each, then all
# tools are stopped and started RESTARTS times. The guests notice nothing, dom0's own network goes on, nothing is left.
. /guests/words.sh
ok sh /guests/prepare
ok hello
# dom0's own network: its card in the bridge, as on a real host.
ip link set eth0 master xenbr0; ip addr add 10.0.2.15/24 dev xenbr0
ok until_ok 30 ping -q -c 1 -W 5 10.0.2.2
cp /guests/disk.img /tmp/disk2.img; truncate -s 4M /tmp/b.img
ok xenstore write /tool/kept/a one /tool/kept/b two
ok xenstore chmod /tool/kept/a n0 r7; ok xenstore chmod /tool/kept/b b0
for w in 1 2 3; do ok xenstore write /tool/load/$w 0; done
note
ok xm create -q /guests/disk.cfg
ok xm create -q /guests/disk.cfg name=two "disk=['/tmp/disk2.img,raw,xvda,w']" \
	"extra=console=hvc0 quiet fx.name=two fx.mount=/dev/xvda fx.ip=192.168.77.3/24"
ok up disk; ok up two
echo two guests are up
perms=$(xenstore ls -fp /tool/kept)

# What goes on meanwhile: packets, blocks, requests.
links() { cat /sys/class/net/eth0/carrier_changes /sys/class/net/xenbr0/carrier_changes /sys/class/net/vif*/carrier_changes; }
pings() { for to in 10.0.2.2 192.168.77.2 192.168.77.3; do ping -i 0.2 $to >/tmp/ping.$to 2>&1 & echo $! >>/tmp/pings; done; }
# A packet may be under way at the end.
pings_end() {
	kill -INT $(cat /tmp/pings); rm /tmp/pings; sleep 1
	for to in 10.0.2.2 192.168.77.2 192.168.77.3; do
		sent=$(sed -n 's/ packets transmitted.*//p' /tmp/ping.$to); got=$(sed -n 's/.*transmitted, \([0-9]*\) packets received.*/\1/p' /tmp/ping.$to)
		echo "ping $to: $sent sent, $got received"
		[ "$sent" -gt 20 ] && [ $((sent - got)) -le 1 ] || ok false "packets are lost"
	done
}
# A guest writes files, drops its cache and compares; it counts its rounds.
io_start() {
	g $1 'cat >/tmp/io.sh <<END
n=0; while [ ! -e /tmp/stop ]; do
dd if=/dev/urandom of=/tmp/f bs=16k count=8 2>/dev/null; cp /tmp/f /mnt/f; sync; echo 1 >/proc/sys/vm/drop_caches
cmp /tmp/f /mnt/f || echo differs >>/tmp/bad; n=\$((n + 1)); echo \$n >/tmp/rounds; done; echo \$n >/tmp/ended
END
sh /tmp/io.sh >/dev/null 2>&1 & true'
}
io_end() {
	g $1 'touch /tmp/stop; for n in $(seq 600); do [ -e /tmp/ended ] && break; usleep 100000; done'
	rounds=$(g $1 'cat /tmp/ended'); echo "$1: $rounds rounds on its disk"
	[ "${rounds:-0}" -gt 3 ] || ok false "$1 does not get on"
	ok g $1 '[ ! -e /tmp/bad ]'
}
# Three clients, none of which may see an error or an old value.
load() {
	local w=$1 n=0
	while [ -e /tmp/loading ]; do
		n=$((n + 1)); xenstore write /tool/load/$w $n || echo "write $n: $?" >>/tmp/load.bad
		[ "$(xenstore read /tool/load/$w)" = $n ] || echo "$n is not read back" >>/tmp/load.bad
	done
	echo "client $w: $n changes"
}
load_start() { touch /tmp/loading; for w in 1 2 3; do load $w & loads="$loads $!"; done; }
load_end() { rm /tmp/loading; wait $loads; [ ! -e /tmp/load.bad ] || ok false "$(head -5 /tmp/load.bad)"; }

stored() { ps | awk '/xenstored.*--kept/ && !/awk/ {print $1}'; }
consoled() { ps | awk '/xenconsoled.*--supervised/ && !/awk/ {print $1}'; }
restarted() { local now=$($1); [ -n "$now" ] && [ "$now" != "$2" ]; }
store_answers() { [ "$(xenstore read /tool/kept/a)" = one ]; }

before=$(links)
io_start disk; io_start two; pings; load_start
xenstore watch -n $((KILLS + 1)) /tool/watched >/tmp/watched & watch=$!
sleep 1
for n in $(seq $KILLS); do
	usleep $((n * 137000 % 900000))
	old=$(stored); kill -9 $old
	ok store_answers; ok restarted stored $old
	ok xenstore write /tool/watched $n
	ok xm list >/tmp/list; [ $(wc -l </tmp/list) = 4 ] || ok false "$(cat /tmp/list)"
done
wait $watch; [ $? = 0 ] && [ $(wc -l </tmp/watched) = $((KILLS + 1)) ] || ok false "watch: $(cat /tmp/watched)"
[ "$(xenstore ls -fp /tool/kept)" = "$perms" ] || ok false "$(xenstore ls -fp /tool/kept)"
load_end
echo "xenstored was killed $KILLS times"

ok xm network-attach two bridge=xenbr0
g two 'for n in $(seq 100); do [ -e /sys/class/net/eth1 ] && break; usleep 100000; done; ip addr add 192.168.77.4/24 dev eth1; ip link set eth1 up'
ok ping -q -c 3 -w 60 192.168.77.4
ok xm network-detach two 1
ok xm block-attach two /tmp/b.img,raw,xvdb,w
g two 'for n in $(seq 100); do [ -b /dev/xvdb ] && break; usleep 100000; done; dd if=/dev/zero of=/dev/xvdb bs=64k count=16; sync' || ok false "the new disk"
ok xm block-detach two xvdb
echo devices come and go after it

# (`until_ok` has an `n` of its own.)
for kill in $(seq $KILLS); do
	old=$(consoled); kill -9 $old
	ok until_ok 100 restarted consoled $old
	console() { [ "$(g disk "echo line $kill")" = "line $kill" ]; }
	ok until_ok 30 console
done
echo q | timeout 20 xm console disk >/tmp/console 2>&1
for n in $(seq $KILLS); do grep -q "^line $n" $(log disk) || { tail -c 3000 $(log disk) | cat -v; ok false "line $n is not in the log"; }; done
echo "xenconsoled was killed $KILLS times"

# Who waits for the guests' ends.
attend() { ps | awk '/xm attend.*--supervised/ && !/awk/ {print $1}'; }
both_attended() { [ $(attend | wc -l) = 2 ] && [ "$(attend)" != "$before_kill" ]; }
for kill in $(seq 3); do
	before_kill=$(attend); kill -9 $before_kill
	ok until_ok 100 both_attended
done
echo "those who attend to the guests were killed"

for n in $(seq $RESTARTS); do
	ok until_ok 200 [ -s /run/xenconsoled.pid ]
	kill $(cat /run/xenconsoled.pid); kill $(cat /run/xenstored.pid)
	down() { [ -z "$(ps | awk '/sbin\/xen(stored|consoled)/ && !/awk/')" ]; }
	ok until_ok 100 down
	. /etc/start-xen-tools >/dev/null 2>&1
	ok xm list >/tmp/list; [ $(wc -l </tmp/list) = 4 ] || ok false "$(cat /tmp/list)"
	ok store_answers
done
console() { g two 'echo still here'; }
ok until_ok 30 console
echo "all tools were restarted $RESTARTS times"
io_end disk; io_end two; pings_end
[ "$before" = "$(links)" ] || ok false "a link went down: $before, then $(links)"
ok xm shutdown disk; ok xm shutdown two; ok gone disk; ok gone two
ip link set eth0 nomaster
xenstore rm /tool/watched
ok nothing_left "the guests"
[ $bad = 0 ] || { tail -n 20 /var/log/xen/*.log; dmesg | tail -n 20; }
finish
