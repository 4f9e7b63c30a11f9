# Every command of xm that changes something is killed after a random time, ROUNDS times (ten kills each): the guest lives, a
# second try works (or says that it was done already), nothing is left.
. /guests/words.sh
ok sh /guests/prepare
ok hello
truncate -s 4M /tmp/b.img; mkdir -p /tmp/host
sed 's/^name.*/name = "h"/' /guests/hello.cfg >/tmp/h.cfg; echo 'cmdline = "end=never"' >>/tmp/h.cfg
cp /tmp/h.cfg /tmp/host
note
ok xm create -q /guests/ramdisk.cfg name=t vcpus=2 memory=224 maxmem=256 on_crash=preserve "extra=console=hvc0 quiet fx.name=t"
ok up t
seed=$SEED; kills=0
# killed MICROSECONDS COMMAND …: after so long at most; how much of it is used follows what the command takes on this machine, so
# that most kills hit.
killed() {
	local most=$1 after share name; shift; name=share_$(echo $1 | tr - _); eval "share=\${$name:-100}"
	seed=$(((seed * 1103515245 + 12345) % 2147483648)); after=$((seed / 7 % most * share / 100))
	xm "$@" >/dev/null 2>&1 & pid=$!
	usleep $after; kill -9 $pid 2>/dev/null; wait $pid 2>/dev/null
	if [ $? = 137 ]; then kills=$((kills + 1)); share=$((share * 5 / 4)); else share=$((share / 2 + 1)); fi
	eval "$name=$share"
}
lives() { xm list t 2>/dev/null | awk 'NR == 2 {print $5}' | grep -q '^[rb-]*$' || ok false "t after $*: $(xm list t 2>&1)"; }
# twice MICROSECONDS COMMAND …: killed, then again.
twice() {
	killed "$@"; shift
	xm "$@" >/dev/null 2>/tmp/said || grep -q 'already\|name is taken\|no such' /tmp/said || ok false "again: xm $*: $(cat /tmp/said)"
	lives "$@"
}
has_disk() { xm block-list t | grep -q '^51728'; }
for n in $(seq $ROUNDS); do
	twice 1500000 create -q /tmp/h.cfg; ok xm domid h >/dev/null
	killed 500000 destroy h; xm domid h >/dev/null 2>&1 && ok xm destroy h; until_ok 50 no_domain h || ok false "h is still there: $(xm list)"
	twice 2000000 apply /tmp/host; ok xm apply --dry-run --exit-code /tmp/host; ok xm destroy h
	twice 600000 block-attach t /tmp/b.img,raw,xvdb,w; ok has_disk
	killed 600000 block-detach t xvdb; has_disk && ok xm block-detach t xvdb; has_disk && ok false "the disk is still there"; lives block-detach
	twice 800000 network-attach t bridge=xenbr0
	for card in $(xm network-list t | awk 'NR > 1 {print $1}'); do ok until_ok 3 xm network-detach t $card; done; lives network-detach
	twice 300000 mem-set t 200; ok xm mem-set t 224
	twice 300000 vcpu-pin t all 0; ok xm vcpu-pin t all all
	killed 300000 rename t u; no_domain t || ok xm rename t u; ok xm rename u t; lives rename
	twice 1500000 dump-core t /tmp/c; ok test -s /tmp/c; rm -f /tmp/c; [ -z "$(ls -A /tmp | grep '^\.c\.')" ] || ok false "half a core: $(ls -A /tmp)"
	ok g t 'echo still here'
done
echo "$kills commands were killed"
[ $kills -ge $((ROUNDS * 5)) ] || ok false "that is too few"
ok xm shutdown t; ok gone t
# Who attended to it ends its note when it is buried.
no_notes() { [ "$(ls -A /run/ferroxen/work)" = attended ]; }
ok until_ok 100 no_notes
ok nothing_left "the guests"
finish
