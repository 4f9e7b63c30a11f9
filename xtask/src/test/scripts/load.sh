# Work for tests in which daemons die or are replaced: packets, blocks, requests. After `. /guests/words.sh`.
# dom0's own network: its card in the bridge, as on a real host; nodes that stay, with their permissions.
surroundings() {
	ip link set eth0 master xenbr0; ip addr add 10.0.2.15/24 dev xenbr0
	ok until_ok 30 ping -q -c 1 -W 5 10.0.2.2
	ok xenstore write /tool/kept/a one /tool/kept/b two
	ok xenstore chmod /tool/kept/a n0 r7; ok xenstore chmod /tool/kept/b b0
	for w in 1 2 3; do ok xenstore write /tool/load/$w 0; done
}
leave_surroundings() { ip link set eth0 nomaster; }
# two_guests DISKS: with network cards; the second one's disks.
two_guests() {
	cp /guests/disk.img /tmp/disk2.img
	ok xm create -q /guests/disk.cfg
	ok xm create -q /guests/disk.cfg name=two "disk=[$1]" "extra=console=hvc0 quiet fx.name=two fx.mount=/dev/xvda fx.ip=192.168.77.3/24"
	ok up disk; ok up two
	echo two guests are up
}
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

# The daemons' processes.
stored() { ps | awk '/xenstored.*--kept/ && !/awk/ {print $1}'; }
consoled() { ps | awk '/xenconsoled.*--supervised/ && !/awk/ {print $1}'; }
restarted() { local now=$($1); [ -n "$now" ] && [ "$now" != "$2" ]; }
store_answers() { [ "$(xenstore read /tool/kept/a)" = one ]; }

