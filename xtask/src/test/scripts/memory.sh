# A Debian guest gives memory back and gets it again, then a small one; everybody agrees on how much there is. (Of 128 MiB,
# Debian's 6.1 keeps 76 with nothing but a shell, 5.10 67, and then dies for want of memory: 64 is for the small one.)
. /guests/words.sh
ok hello
note
ok xm create -q /guests/ramdisk.cfg name=t memory=192 "extra=console=hvc0 quiet fx.name=t"
ok up t
free() { xm info | awk '/^free_memory/ {print $3}'; }
listed() { xm list t | awk 'NR == 2 {print $3}'; }
pages() { xm list --json t | awk -F'[:,]' '/"memory_kib"/ {print $2 + 0}'; }
inside() { g t "awk '/MemTotal/ {print int(\$2 / 1024)}' /proc/meminfo"; }
has() { [ "$(listed)" = $1 ]; }
first_free=$(free) first_inside=$(inside) first=192
# agree_outside MIB: the hypervisor, the list and the store.
agree_outside() {
	ok until_ok 300 has $1
	[ $(pages) = $(($1 * 1024)) ] || ok false "$(pages) KiB are the domain's"
	[ $(($(free) - first_free)) = $((first - $1)) ] || ok false "$first_free MiB were free, $(free) are"
	[ "$(xenstore-read /local/domain/$(xm domid t)/memory/target)" = $(($1 * 1024)) ] || ok false "target"
}
# agree MIB: these and the Debian guest.
agree() {
	agree_outside $1
	now=$(inside); [ $((first_inside - now)) = $((192 - $1)) ] || ok false "the guest has $now MiB, it had $first_inside"
	[ "$(g t 'cat /sys/devices/system/xen_memory/xen_memory0/info/current_kb')" = $(($1 * 1024)) ] || ok false "its balloon says otherwise"
	echo "$1 MiB everywhere: free $(free), in the guest $now"
}
agree 192
for mib in 128 192; do ok xm mem-set t $mib; agree $mib; done
xm mem-set t 193 2>/tmp/said; [ $? = 1 -o $? = 2 ] && grep -q 'largest memory, 192 MiB' /tmp/said || ok false "$(cat /tmp/said)"
ok xm mem-max t 200; ok xm mem-set t 200; ok until_ok 20 sh -c 'xm list t >/dev/null'
ok xm shutdown t; ok gone t
ok nothing_left "its memory"
ok xm create -q /guests/balloon.cfg name=t
first_free=$(free) first=128
for mib in 64 128; do
	ok xm mem-set t $mib; agree_outside $mib
	ok until_ok 50 grep -q "balloon: $((mib * 1024)) KiB" $(log t)
	echo "the small guest: $mib MiB everywhere, free $(free)"
done
ok xm shutdown t; ok gone t
ok nothing_left "the small guest's memory"
finish
