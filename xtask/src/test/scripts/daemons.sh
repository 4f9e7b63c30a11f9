# Every daemon of ours, and whoever starts it again, is killed KILLS times: in random order (SEED), at random moments, below two
# Debian guests at work, one with a disk behind blkback. The guests notice nothing, nothing is left.
. /guests/words.sh
. /guests/load.sh
ok sh /guests/prepare
ok hello
surroundings
ok blkimg create /tmp/q.qcow2 8
xen-exporter --supervise --listen 127.0.0.1:10603 2>/var/log/xen/exporter.log &
# It keeps its connection to the store.
scraped() { printf 'GET /metrics HTTP/1.0\r\n\r\n' | nc 127.0.0.1 10603 | grep -q "^xen_domains $1"; }
ok until_ok 50 scraped 1
note
two_guests "'/tmp/disk2.img,raw,xvda,w', 'format=qcow2, vdev=xvdb, access=rw, target=/tmp/q.qcow2'"
ok g two 'mke2fs -F /dev/xvdb >/dev/null 2>&1; umount /mnt; mount /dev/xvdb /mnt'
xm list >/tmp/first

# Everybody, a line each: the daemons, and who starts them again.
look() {
	ps | awk '
		/awk/ {next}
		/xenstored .*--kept/ {print "stored", $1; next}
		/xenstored .*--(supervise|adopt)/ {print "stored-keeper", $1; next}
		/(xenconsoled|xen-exporter) .*--supervise/ {print (/xenconsoled/ ? "consoled" : "exporter") (/--supervised/ ? "" : "-keeper"), $1; next}
		/xm attend/ {print "attend" (/--supervised/ ? "" : "-keeper"), $1; next}
		/blkback [0-9]/ {print "blkback" (/--supervise/ ? "-keeper" : ""), $1}' >/tmp/everybody
}
pids() { awk -v kind=$1 '$1 == kind {print $2}' /tmp/everybody; }
kinds="stored stored-keeper consoled consoled-keeper attend attend-keeper exporter exporter-keeper blkback blkback-keeper"
# All are there, and the dead one is not among them. Who was just started serves.
whole() {
	look
	[ "$(awk '{n[$1]++} END {for (kind in n) print kind, n[kind]}' /tmp/everybody | sort | tr '\n' ' ')" = \
		"attend 2 attend-keeper 2 blkback 1 blkback-keeper 1 consoled 1 consoled-keeper 1 exporter 1 exporter-keeper 1 stored 1 stored-keeper 1 " ] &&
		! grep -q " $dead\$" /tmp/everybody && grep -qx "stored-keeper $(cat /run/xenstored.pid)" /tmp/everybody &&
		grep -qx "consoled-keeper $(cat /run/xenconsoled.pid)" /tmp/everybody && store_answers
}
dead=0; ok until_ok 100 whole
seed=$SEED; random() { seed=$(((seed * 1103515245 + 12345) % 2147483648)); drawn=$((seed / 7 % $1)); }

before=$(links)
io_start disk; io_start two; pings; load_start
sleep 1
total=0; wanted=$((KILLS * $(echo $kinds | wc -w)))
for kind in $kinds; do echo 0 >/tmp/kills.$kind; done
while [ $total -lt $wanted ]; do
	random 10; kind=$(echo $kinds | cut -d' ' -f$((drawn + 1)))
	count=$(cat /tmp/kills.$kind); [ $count -lt $KILLS ] || continue
	random 250000; usleep $drawn
	dead=$(pids $kind | head -n 1); kill -9 $dead || ok false "$kind is not there"
	until_ok 200 whole || { ok false "after a kill of $kind ($dead): $(cat /tmp/everybody)"; break; }
	echo $((count + 1)) >/tmp/kills.$kind; total=$((total + 1))
	[ $((total % 25)) = 0 ] || continue
	echo "$total kills after $(cut -d' ' -f1 /proc/uptime) s"
	console() { [ "$(g disk "echo line $total")" = "line $total" ]; }; ok until_ok 30 console
	ok xm list >/tmp/list; [ "$(awk '{print $1, $2, $4}' /tmp/list)" = "$(awk '{print $1, $2, $4}' /tmp/first)" ] || ok false "$(cat /tmp/list)"
	ok until_ok 50 scraped 3
done
for kind in $kinds; do echo "$kind was killed $(cat /tmp/kills.$kind) times"; done
load_end; io_end disk; io_end two; pings_end
[ "$before" = "$(links)" ] || ok false "a link went down: $before, then $(links)"
! g two dmesg | grep -i 'i/o error' || ok false "errors in the guest"
ok xm block-attach disk /tmp/disk2.img,raw,xvdb,r; ok xm block-detach disk xvdb
ok xm reboot disk; again() { [ $(grep -c 'disk: up' $(log disk)) -ge 2 ]; }; ok until_ok 2400 again
echo who attends to the guests does so
ok xm shutdown disk; ok xm shutdown two; ok gone disk; ok gone two
leave_surroundings
# A keeper that took its place from a daemon follows it through one descriptor more, until that daemon dies: as at the begin, it is
# to be one that started its daemon.
everybody() { look; [ -n "$(pids stored)" ] && [ "$(pids stored)" != $dead ] && store_answers; }
look; dead=$(pids stored); kill -9 $dead; ok until_ok 200 everybody
ok until_ok 50 scraped 1
ok nothing_left "the guests"
kill $(pids exporter-keeper)
finish
