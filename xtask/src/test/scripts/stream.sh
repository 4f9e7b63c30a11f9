# MEGABYTES over TCP between two Debian guests on a bridge, and from each to dom0 and back, with checksums.
. /guests/words.sh
ok sh /guests/prepare
ok hello
note
for n in 1 2; do
	ok xm create -q /guests/ramdisk.cfg name=t$n vcpus=2 "vif=['bridge=xenbr0']" "extra=console=hvc0 quiet fx.name=t$n fx.ip=192.168.77.$((n + 10))/24"
done
for n in 1 2; do ok up t$n; ok ping -q -c 3 -w 60 192.168.77.$((n + 10)); done
head -c 1048576 /dev/urandom >/tmp/seed
# Every MiB is another. What goes out and what comes in are summed on their ways.
cat >/tmp/send <<'X'
[ -s /tmp/seed ] || head -c 1048576 /dev/urandom >/tmp/seed
rm -f /tmp/fifo; mkfifo /tmp/fifo; sha256sum </tmp/fifo >/tmp/sent &
for n in $(seq $1); do echo $n; cat /tmp/seed; done | tee /tmp/fifo | nc $2 $3; wait; cat /tmp/sent
X
for n in 1 2; do ok put t$n /tmp/send /tmp/send; done
# there WHO COMMAND: in a guest, or here.
there() { who=$1; shift; if [ $who = dom0 ]; then sh -c "$*"; else g $who "$*"; fi; }
# carry FROM TO ADDRESS
carry() {
	start=$(cut -d. -f1 /proc/uptime)
	# At the end of its input nc says so to the other side, which then stops.
	there $2 '(sleep 10000 | nc -l -p 5001 | sha256sum >/tmp/got) & true'; sleep 1
	there $1 "sh /tmp/send $MEGABYTES $3 5001" >/tmp/sent.$1
	for n in $(seq 100); do got=$(there $2 'cat /tmp/got'); [ -n "$got" ] && break; usleep 200000; done
	[ -n "$got" ] && [ "$got" = "$(cat /tmp/sent.$1)" ] || ok false "$1 to $2: sent $(cat /tmp/sent.$1), got $got"
	there $2 'killall sleep; rm -f /tmp/got'
	echo "$1 to $2: $MEGABYTES MiB in $(($(cut -d. -f1 /proc/uptime) - start)) s"
}
carry t1 t2 192.168.77.12
carry t2 dom0 192.168.77.1
carry dom0 t1 192.168.77.11
for n in 1 2; do ok xm shutdown t$n; ok gone t$n; done
ok nothing_left "the guests"
finish
