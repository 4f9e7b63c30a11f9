# Full disks below logs, crashes and notes, and a clock that jumps a year forwards and back to 1970: the guest lives, every error
# is one line, nobody turns in circles, and everything works again afterwards.
. /guests/words.sh
ok sh /guests/prepare
ok hello
consoled() { ps | awk '/xenconsoled.*--supervised/ && !/awk/ {print $1}'; }
# A small disk over a folder, with what is in it.
small() { mkdir -p $1 /tmp/was; cp -a $1/. /tmp/was; ok mount -t tmpfs -o size=$2 tmpfs $1; cp -a /tmp/was/. $1; rm -rf /tmp/was; }
fill() { dd if=/dev/zero of=$1/filler bs=4k 2>/dev/null; dd if=/dev/zero bs=1 count=1 of=$1/filler2 2>/dev/null && ok false "$1 is not full"; rm -f $1/filler2; }
room() { rm -f $1/filler; }
small /var/log/xen 4m; small /var/lib/xen 1m; small /run/ferroxen 256k
kill $(cat /run/xenconsoled.pid); sleep 1
/usr/local/sbin/xenconsoled --supervise --pid-file /run/xenconsoled.pid 2>>/var/log/xen/xenconsoled.log &
note
ok xm create -q /guests/ramdisk.cfg name=t memory=160 on_crash=preserve "extra=console=hvc0 quiet fx.name=t"
ok up t
# ticks: CPU time of the tools, in hundredths of a second.
ticks() { for pid in $(ps | awk '/xenstored|xenconsoled|xm attend|blkback/ && !/awk/ {print $1}'); do awk '{print $14 + $15}' /proc/$pid/stat 2>/dev/null; done | awk '{n += $1} END {print n + 0}'; }
calm() { local before=$(ticks); sleep 5; [ $(($(ticks) - before)) -lt 100 ] || ok false "$1: $(($(ticks) - before)) ticks in 5 s: $(ps)"; }
tty() { xenstore-read /local/domain/$(xm domid t)/console/tty; }
fill /var/log/xen
daemon=$(consoled)
# A guest that prints more than the last page of its log takes, and another whose end is told to a full log.
echo "seq 3000; true" >$(tty); sleep 10
xm create -q /guests/hello.cfg cmdline=end=reboot on_reboot=destroy 2>/tmp/said || ok false "with full logs: $(cat /tmp/said)"; ok gone hello
calm "full logs"
[ "$(consoled)" = "$daemon" ] || ok false "xenconsoled died of full logs"
room /var/log/xen
ok g t 'echo still here'; ok grep -q 'bytes could not be written' $(log t)
echo logs go on after a full disk
fill /var/lib/xen
xm dump-core t 2>/tmp/said && ok false "a core into nothing"; [ $(wc -l </tmp/said) = 1 ] || ok false "$(cat /tmp/said)"; lives() { xm list t | grep -q -- ' [r-][b-]---- '; }; ok lives
ok xm create -q /guests/hello.cfg cmdline=end=crash on_crash=coredump-destroy; ok gone hello
[ -z "$(ls -A /var/lib/xen/crash 2>/dev/null)" ] || ok grep -q 'it crashed' /var/lib/xen/crash/*/reason
room /var/lib/xen; rm -rf /var/lib/xen/crash
ok xm create -q /guests/hello.cfg cmdline=end=crash; ok gone hello; ok grep -q 'it crashed' /var/lib/xen/crash/hello-*/reason; rm -rf /var/lib/xen/crash
echo crashes are kept after a full disk
fill /run/ferroxen
xm create -q /guests/hello.cfg 2>/tmp/said && ok false "created without a note"; [ $(wc -l </tmp/said) = 1 ] || ok false "$(cat /tmp/said)"
ok no_domain hello; calm "a full /run"
cp /run/ferroxen/domains/$(xm domid t).json /tmp/before; xm rename t u 2>/tmp/said; xm rename u t 2>/tmp/said
ok cmp /tmp/before /run/ferroxen/domains/$(xm domid t).json
ok g t 'echo still here'
room /run/ferroxen
ok hello; ok xm rename t u; ok xm rename u t
echo domains come and go after a full /run
now=$(date +%s)
for to in $((now + 31536000)) 86400 $now; do
	date -s @$to >/dev/null || ok false "the clock cannot be set to $to"
	ok hello; ok g t 'echo still here'; ok xm list t >/dev/null; ok xm uptime >/dev/null; calm "a clock at $to"
	ok xm create -q /guests/hello.cfg cmdline=end=crash; ok gone hello
	xm create -q /guests/hello.cfg cmdline=end=never; xm shutdown --timeout 2 hello 2>/dev/null; [ $? = 6 ] || ok false "a patience of two seconds at $to"; ok xm destroy hello
done
[ $(ls -d /var/lib/xen/crash/hello-* | wc -l) = 3 ] || ok false "crashes: $(ls -A /var/lib/xen/crash)"; rm -rf /var/lib/xen/crash
echo the clock jumped
ok xm shutdown t; ok gone t
ok nothing_left "the guest"
finish
