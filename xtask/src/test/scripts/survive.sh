# Two Debian guests with disks and network cards, at work; xenstored and xenconsoled are killed KILLS times each, then all
# tools are stopped and started RESTARTS times. The guests notice nothing, dom0's own network goes on, nothing is left.
. /guests/words.sh
. /guests/load.sh
ok sh /guests/prepare
ok hello
truncate -s 4M /tmp/b.img
surroundings
note
two_guests "'/tmp/disk2.img,raw,xvda,w'"
perms=$(xenstore ls -fp /tool/kept)

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
for kill in $(seq $KILLS); do
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
leave_surroundings
xenstore rm /tool/watched
ok nothing_left "the guests"
[ $bad = 0 ] || { tail -n 20 /var/log/xen/*.log; dmesg | tail -n 20; }
finish
