# What is kept of a Debian guest that crashes: its console's end, its registers, why, the hypervisor's messages, its memory.
. /guests/words.sh
ok sh /guests/prepare
ok hello
note
crash=/var/lib/xen/crash
ok xm create -q /guests/ramdisk.cfg name=t vcpus=2 memory=128 on_crash=coredump-destroy "extra=console=hvc0 quiet fx.name=t"
ok up t
# is_core FILE: as large as its memory at least, and an ELF core file whose first section has Xen's notes' names.
is_core() { [ $(stat -c %s $1) -gt $((128 << 20)) ] && [ "$(head -c 4 $1 | tail -c 3)" = ELF ] && head -c 8388608 $1 | grep -q '\.xen_prstatus'; }
ok xm dump-core t /tmp/live.core
ok is_core /tmp/live.core; rm -f /tmp/live.core
ok g t 'echo still here'
ok xm dump-core -L t; ok is_core /var/lib/xen/dump/t.core; rm -f /var/lib/xen/dump/t.core
ok xm pause t; ok xm dump-core t /tmp/p.core; xm list t | grep -q -- '--p---' || ok false "a paused domain: $(xm list t)"; ok xm unpause t; rm -f /tmp/p.core
# A full disk: one line, and nothing is left of the file.
mkdir -p /tmp/small; ok mount -t tmpfs -o size=8m tmpfs /tmp/small
xm dump-core t /tmp/small/core 2>/tmp/said && ok false "128 MiB into 8"
[ $(wc -l </tmp/said) = 1 ] && grep -q 'core file /tmp/small/core' /tmp/said && [ ! -e /tmp/small/core ] || ok false "$(cat /tmp/said; ls /tmp/small)"
ok umount /tmp/small
ok g t 'echo still here'
echo a core of a running domain
g t 'echo c >/proc/sysrq-trigger & true' >/dev/null
ok gone t
kept=$(ls -d $crash/t-*); [ $(echo "$kept" | wc -l) = 1 ] || ok false "kept: $kept"
ok grep -q 'it crashed' $kept/reason
ok grep -q 'sysrq triggered crash' $kept/console
ok grep -q '^vcpu 1' $kept/registers
ok grep -q 'Ferroxen\|Xen' $kept/hypervisor
ok grep -q '"core_on_crash": true' $kept/config.json
ok is_core $kept/core
ok xm create -q /guests/hello.cfg cmdline=end=crash on_crash=coredump-destroy; ok gone hello
ok grep -q 'no core: .*max_pfn' $crash/hello-*/reason
rm -r $crash
echo a crash is kept
# dump-core -C: it crashes afterwards, and its configuration says what then.
ok xm create -q /guests/ramdisk.cfg name=u memory=128 "extra=console=hvc0 quiet fx.name=u"
ok up u
ok xm dump-core -C u /tmp/c.core; ok is_core /tmp/c.core; rm -f /tmp/c.core
ok gone u; ok ls $crash/u-*/reason >/dev/null; rm -r $crash
ok nothing_left "the crashes"
finish
