# Every command of xm, and its exit code: the same on Debian's Xen and on Ferroxen, but for what needs more than one CPU pool or
# another scheduler. The row's output is the table. (debug-keys prints on the console, which is a complaint in a row: tried without keys.)
. /guests/words.sh
ok sh /guests/prepare
ok hello
note
other=0; xm info | grep -q '^xen_extra.*ferroxen' && other=1
# t CODE COMMAND …: its exit code; what fails says why in one line.
t() {
	local want=$1; shift
	xm "$@" >/tmp/out 2>/tmp/said </dev/null; got=$?
	printf '%s  xm %s\n' $got "$*"
	[ $got = $want ] || ok false "exit $got, not $want: xm $*: $(cat /tmp/said)"
	[ $got = 0 -o $got = 7 ] || [ $(grep -vc '^hint\|^warning' /tmp/said) = 1 ] || ok false "xm $*: $(cat /tmp/said)"
}
# says TEXT: the last command's output has it.
says() { grep -q -- "$1" /tmp/out || ok false "no \"$1\" in $(cat /tmp/out)"; }
t 0 create -q /guests/ramdisk.cfg name=t vcpus=2 memory=160 maxmem=192 "extra=console=hvc0 quiet fx.name=t"
ok up t
t 3 create /guests/none.cfg; t 2 create; t 0 create -n /guests/hello.cfg name=n; says '"name": "n"'
t 0 list; says '^t  '; t 0 list -l t; t 0 list -v; t 0 list -c; says 'Pool-0'; t 0 list --json; t 3 list none; t 0 ls
t 0 domid t; t 0 domname "$(xm domid t)"; t 3 domid none; t 0 uptime; t 0 vm-list; says 't'; t 0 claims; t 0 sharing; says 'Shared'
t 0 top -b -i 2 -d 1 -n -x -v; says '^ *t [-a-z]\{6\} '; says '^VCPUs(sec):   0:'; t 2 top; t 2 top -b -i 0; t 2 top -d x
t 0 info; says '^xen_version'; t 0 info -n; says 'numa_info'; t 0 dmesg; t 0 log; t 2 debug-keys
t 0 set-parameters; says '^loglvl='; t 0 set-parameters loglvl=error/info guest_loglvl=none; t 0 set-parameters; says '^loglvl=error/info'
t 0 set-parameters "loglvl=all guest_loglvl=all"; t 3 set-parameters loglvl=none nonsense=1; t 2 set-parameters loglvl=loud
# (What Xen does not understand, it takes for "warning", and says no.)
t 0 set-parameters; [ $other = 0 ] || says '^loglvl=all/all'
t 0 vcpu-list t; t 0 vcpu-pin t 0 0; t 0 vcpu-pin t all all; t 2 vcpu-pin t x 0; t 0 vcpu-set t 1; t 0 vcpu-set t 2; t 2 vcpu-set t 9
t 0 mem-max t 224; t 0 mem-set t 150; t 0 mem-set t 160; t 2 mem-set t much; t 0 balloon t 160
t 0 pause t; t 0 unpause t; t 0 rename t u; t 0 rename u t; t 2 rename t 'a b'
t 0 sysrq t h; t 2 sysrq t hh; t 0 trigger t nmi; t 1 trigger t power; t 2 trigger t x; t 1 button-press t power; t 2 button-press t nmi
truncate -s 4M /tmp/b.img
t 0 block-attach t /tmp/b.img,raw,xvdb,w; t 0 block-list t; says '^51728'; t 0 vbd-list t; t 0 block-detach t xvdb; t 3 block-detach t xvdb
t 0 network-attach t bridge=xenbr0; t 0 network-list t; says '00:16:3e'; t 0 network-detach t 0; t 3 network-detach t 0
t 0 channel-list t; says 'connection'; t 0 config-update t /guests/ramdisk.cfg name=t "extra=console=hvc0 quiet fx.name=t"; t 0 dump-core t /tmp/c; rm -f /tmp/c
t 0 cpupool-list; says '^Pool-0'; t 0 cpupool-list -c Pool-0; t 3 cpupool-list none
t 0 sched-credit2; says '^t  *[0-9]*  *256'; t 0 sched-credit2 -d t; t 0 sched-credit2 -s; says 'ratelimit=1000us'; t 0 sched-credit; t 0 sched-rtds
t 1 sched-credit -d t; t 1 sched-rtds -d t; t 2 sched-credit2 -w 512; t 2 sched-credit2 -d t -w 0
t $other sched-credit2 -d t -w 512; t $other sched-credit2 -s -r 500; t 0 sched-credit2 -s -r 1000
t $other cpupool-cpu-remove Pool-0 1; t $other cpupool-create name=p sched=credit
if [ $other = 0 ]; then
	t 0 cpupool-list p; says 'credit '; t 0 cpupool-migrate t p; t 0 sched-credit; says '^t  '; t 0 sched-credit -d t -w 300 -c 50; t 0 sched-credit -d t; says ' 300   50'
	t 0 sched-credit -s -p p -t 20; t 0 sched-credit -p p -s; says 'tslice=20ms'; t 1 cpupool-destroy p
	t 0 cpupool-rename p q; t 0 cpupool-migrate t Pool-0
	t 0 create -q /guests/hello.cfg name=h pool=q; ok gone h; t 0 cpupool-destroy q; t 0 cpupool-cpu-add 0 1
else
	t 3 cpupool-destroy p; t 3 cpupool-rename p q; t 3 cpupool-migrate t p; t 3 create -q /guests/hello.cfg name=h pool=q; t 1 cpupool-cpu-add 0 1
fi
t 0 cpupool-numa-split; t 0 cpupool-rename Pool-node0 Pool-0
t 0 help; t 0 help create; t 2 none; t 2 list --none; t 3 console none; t 3 destroy none
t 0 reboot -w --timeout 60 t; ok until_ok 1200 xm domid t; ok until_ok 2400 sh -c "[ \$(grep -c 't: up' $(log t)) = 2 ]"
t 0 shutdown -w --timeout 60 t; ok gone t
t 0 create -q -p /guests/hello.cfg; t 0 destroy hello
# apply: a folder says what the host is to be; it is shown, done, and done once.
mkdir -p /tmp/host; a() { t "$@" /tmp/host; }
web() { sed 's/^name.*/name = "web"/' /guests/ramdisk.cfg >/tmp/host/web.cfg; printf '%s\n' 'vcpus = 2' 'memory = 160' 'maxmem = 192' 'extra = "console=hvc0 quiet fx.name=web"' "$@" >>/tmp/host/web.cfg; }
web; t 3 apply /tmp/none; a 2 apply -E; a 7 apply -n -E; says '^+ create web (web.cfg)$'; a 0 apply -n; t 3 domid web; a 0 apply; ok up web; a 0 apply -n -E
echo 'name = "web"' >/tmp/host/x.cfg; echo 'kernel = "/k"' >>/tmp/host/x.cfg; a 2 apply; rm /tmp/host/x.cfg
web 'memory = 150' 'vcpus = 1' 'maxvcpus = 2' 'disk = ["/tmp/b.img,raw,xvdb,w"]' 'vif = ["bridge=xenbr0"]' 'on_crash = "preserve"'
id=$(xm domid web); a 7 apply -n -E; says '^~ web memory 160 -> 150$'; says '^~ web disk xvdb none -> /tmp/b.img,w$'; a 0 apply; t 0 block-list web; says '^51728'; t 0 network-list web; says '00:16:3e'
a 0 apply -n -E; t 0 network-detach web 0; a 7 apply -n -E; says '^~ web vif (new) none -> bridge=xenbr0$'; a 0 apply; a 0 apply -n -E; [ $(xm domid web) = $id ] || ok false "web is domain $(xm domid web)"
web 'memory = 128' 'extra = "console=hvc0 quiet fx.name=web fx.again=1"'; a 7 apply -n -E; says '^! web cmdline .* needs a restart$'; a 0 apply -r --timeout 60; a 0 apply -n -E; [ $(xm domid web) != $id ] || ok false "web is still domain $id"
ok until_ok 2400 sh -c "[ \$(grep -c 'web: up' $(log web)) = 2 ]"
mv /tmp/host/web.cfg /tmp; a 2 apply -p; sed 's/^name.*/name = "idle"/' /guests/hello.cfg >/tmp/host/idle.cfg; echo 'cmdline = "end=never"' >>/tmp/host/idle.cfg
a 7 apply -n -p -E; says '^- shutdown web$'; a 0 apply -p --timeout 60; t 3 domid web; t 0 domid idle; a 0 apply -p -n -E; t 0 destroy idle
ok nothing_left "the commands"
finish
