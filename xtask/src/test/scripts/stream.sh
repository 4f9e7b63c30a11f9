# MEGABYTES over TCP between two Debian guests on a bridge, and from each to dom0 and back, with checksums.
. /guests/words.sh
ok sh /guests/prepare
ok hello
note
for n in 1 2; do
	ok xm create -q /guests/ramdisk.cfg ramdisk=/guests/bench.img name=t$n vcpus=2 "vif=['bridge=xenbr0']" "extra=console=hvc0 quiet fx.name=t$n fx.ip=192.168.77.$((n + 10))/24 fx.bench=none"
done
for n in 1 2; do ok up t$n; ok ping -q -c 3 -w 60 192.168.77.$((n + 10)); done
# there WHO COMMAND: in a guest, or here.
there() { who=$1; shift; if [ $who = dom0 ]; then sh -c "$*"; else g $who "$*"; fi; }
# carry FROM TO ADDRESS
carry() {
	start=$(cut -d. -f1 /proc/uptime)
	there $2 'fxbench take 5002 >/tmp/got & true'; sleep 1
	there $1 "fxbench carry $3:5002 $MEGABYTES >/tmp/sent & true"
	for n in $(seq 2400); do
		sleep 1; sent=$(there $1 'cat /tmp/sent'); got=$(there $2 'cat /tmp/got')
		[ -n "$sent" ] && [ -n "$got" ] && break
	done
	[ "$sent" = "$got" ] && [ "${got%% *}" = $((MEGABYTES << 20)) ] || ok false "$1 to $2: sent $sent, got $got"
	there $1 'rm -f /tmp/sent'; there $2 'rm -f /tmp/got'
	echo "$1 to $2: $MEGABYTES MiB in $(($(cut -d. -f1 /proc/uptime) - start)) s, $got"
}
carry t1 t2 192.168.77.12
carry t2 dom0 192.168.77.1
carry dom0 t1 192.168.77.11
for n in 1 2; do ok xm shutdown t$n; ok gone t$n; done
ok nothing_left "the guests"
finish
