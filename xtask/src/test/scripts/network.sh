# Network cards of a Debian guest: address, rate, a script of the user's, leaving politely and by force.
. /guests/words.sh
ok sh /guests/prepare
mkdir -p /etc/xen/scripts
cat >/etc/xen/scripts/mine <<'X'
#!/bin/sh
ip=$(xenstore-read "/local/domain/0/$XENBUS_PATH/ip")
echo "$1 $2 $XENBUS_TYPE $XENBUS_BASE_PATH $vif $ip" >>/tmp/script
[ "$1" = online ] || exit 0
brctl addif xenbr0 "$vif" && ip link set "$vif" up && xenstore-write "/local/domain/0/$XENBUS_PATH/hotplug-status" connected
X
printf '#!/bin/sh\necho "no room" >&2\nexit 3\n' >/etc/xen/scripts/failing
chmod 755 /etc/xen/scripts/mine /etc/xen/scripts/failing
ok hello
note
ok xm create -q /guests/ramdisk.cfg ramdisk=/guests/bench.img name=t "extra=console=hvc0 quiet fx.name=t fx.bench=none"
ok up t
t=$(xm domid t)
# plugged SETTING …: a card with them is there, up, and dom0 reaches it.
plugged() {
	xm network-attach t "$@" || return 1
	g t 'for n in $(seq 50); do [ -e /sys/class/net/eth0 ] && break; usleep 100000; done; ip addr add 192.168.77.3/24 dev eth0; ip link set eth0 up' || return 2
	ping -q -c 2 -w 60 192.168.77.3 >/dev/null
}
unplugged() { xm network-detach $2 t ${1:-0} && g t 'for n in $(seq 50); do [ -e /sys/class/net/eth0 ] || break; usleep 100000; done; [ ! -e /sys/class/net/eth0 ]'; }
# The guest sends $1 MiB: $took tenths of a second.
sending() {
	fxbench take 5002 >/tmp/got &
	usleep 300000; start=$(cut -d' ' -f1 /proc/uptime | tr -d .)
	sent=$(g t "fxbench carry 192.168.77.1:5002 $1") || ok false "sending: $?"
	wait $!; [ "$(cat /tmp/got)" = "$sent" ] || ok false "$(cat /tmp/got) came, $sent went"
	took=$((($(cut -d' ' -f1 /proc/uptime | tr -d .) - start) / 10))
}
ok plugged mac=00:16:3e:0a:0b:0c
[ "$(g t 'cat /sys/class/net/eth0/address')" = 00:16:3e:0a:0b:0c ] || ok false "mac="
ok [ -e /sys/class/net/xenbr0/brif/vif$t.0 ]
xm network-list t | grep -q '^0   0  00:16:3e:0a:0b:0c      0     4' || ok false "network-list: $(xm network-list t)"
sending 8; free=$took; ok unplugged 00:16:3e:0a:0b:0c
ok [ ! -e /sys/class/net/vif$t.0 ]
ok plugged rate=8Mb/s vifname=slow
ok [ -e /sys/class/net/xenbr0/brif/slow ]
[ "$(xenstore-read /local/domain/0/backend/vif/$t/0/rate)" = 50000,50000 ] || ok false "rate: $(xenstore-read /local/domain/0/backend/vif/$t/0/rate)"
sending 8; slow=$took; ok unplugged
# 8 MiB at 1 MB/s take 8.4 seconds.
[ $slow -ge 75 ] && [ $slow -gt $((free * 2)) ] || ok false "rate=: $slow tenths of a second, $free without"
echo "8 MiB take $free tenths of a second, $slow at 1 MB/s"
ok plugged script=mine ip=192.168.77.3
ok unplugged
[ "$(cat /tmp/script)" = "online type_if=vif vif backend vif$t.0 192.168.77.3
offline type_if=vif vif backend vif$t.0 192.168.77.3" ] || ok false "the script was called otherwise: $(cat /tmp/script)"
xm network-attach t script=failing 2>/tmp/said; [ $? = 1 ] && grep -q failing /tmp/said || ok false "a script that fails: $(cat /tmp/said)"
xm network-attach t script=none 2>/tmp/said; [ $? != 0 ] && grep -q scripts/none /tmp/said || ok false "a script that is not there: $(cat /tmp/said)"
[ $(xm network-list t | wc -l) = 1 ] || ok false "a card without its script stays: $(xm network-list t)"
echo scripts are honoured
ok plugged; ok unplugged 0 -f
ok [ ! -e /sys/class/net/vif$t.0 ]
ok plugged; ok unplugged
ok xm shutdown t; ok gone t
ok nothing_left "the cards"
finish
