# Every command of Debian's xl with a PV guest, and its exit code: on Debian's Xen and on Ferroxen. The row's output is the table.
# What is not the same is said by `d` with both codes and why; no other difference is allowed. The daemons may be ours.
export PATH="$(echo /usr/lib/xen-4.*/bin):/usr/bin:$PATH"
xen-init-dom0 || exit 1
bad=0
ok() { "$@" || { echo "WRONG: $*"; bad=1; }; }
ok sh /guests/prepare
ours=0; xl info | grep -q '^xen_extra.*ferroxen' && ours=1
# t CODE COMMAND …
t() {
	local want=$1; shift
	timeout 600 xl "$@" >/tmp/out 2>&1 </dev/null; local got=$?
	printf '%s  xl %s\n' $got "$*"
	[ $got = $want ] || ok false "exit $got, not $want: xl $*: $(tail -n 3 /tmp/out)"
}
# d XEN'S OURS 'ERROR' COMMAND …: not the same on both; ours says ERROR (xl's exit code is 0 after some errors).
d() {
	local xen=$1 our=$2 why=$3; shift 3
	[ $ours = 1 ] || { t $xen "$@"; return; }
	t $our "$@"; echo "   differs from Xen's $xen: $(grep -m 1 -e "$why" /tmp/out)"; says "$why"
}
says() { grep -q -e "$1" /tmp/out || ok false "no \"$1\" in $(cat /tmp/out)"; }
until_ok() { local n=$1; shift; while [ $n -gt 0 ]; do "$@" >/dev/null 2>&1 && return 0; n=$((n - 1)); usleep 100000; done; return 1; }
log() { echo /var/log/xen/console/guest-$1.log; }
up() { until_ok 2400 grep -q "$1: up" $(log $1); }
no_domain() { ! xl domid $1 >/dev/null 2>&1; }
state() { xl list $1 | tail -n 1 | grep -qe "$2"; }
mem() { [ $(xl list $1 | awk 'END { print $3 }') = $2 ]; }
online() { [ $(xl vcpu-list $1 | sed 1d | grep -vce '--p') = $2 ]; }
# What is in use: memory, nodes, ports of domain 0.
used() { xl info | grep '^free_memory'; lsevtchn 0 | wc -l; xenstore-ls -f / | sed 's/ = .*//' | grep -v '/domain/0/\(data\|memory\)\|^/tool\|^/libxl/0' | grep -vx '/libxl\|/vm' | sort; }
used >/tmp/before

echo '# the machine'
t 0 info; says '^xen_version'; says '^virt_caps.*pv'; t 0 info -n; says numa_info; t 0 dmesg; says 'XEN'
t 0 uptime; t 0 claims; t 0 sharing; t 0 help; t 0 help create; t 255 getenforce; says 'XSM Disabled'; t 0 debug-keys h; t 0 dmesg; says "'h' pressed"
t 0 set-parameters "loglvl=error/info guest_loglvl=none"; t 0 set-parameters "loglvl=all guest_loglvl=all"
t 1 set-parameters nonsense=1; t 1 set-parameters loglvl=loud; t 0 dmesg -c
echo '# domains'
t 0 create -p /guests/ramdisk.cfg 'vcpus=2' 'maxmem=192'; ok state ramdisk '--p---'; t 0 list; t 0 list -v; t 0 list -l; t 0 list -c; t 0 list -n; t 0 list ramdisk; t 1 list none
t 0 unpause ramdisk; ok up ramdisk; t 0 domid ramdisk; t 1 domid none; t 0 domname $(xl domid ramdisk); t 1 domname 99; t 0 vm-list; says ramdisk; t 0 uptime ramdisk
t 0 rename ramdisk r; t 0 rename r ramdisk; t 0 pause ramdisk; ok state ramdisk '..p---'; t 0 unpause ramdisk
t 0 config-update ramdisk /guests/ramdisk.cfg; t 0 sysrq ramdisk h; ok until_ok 100 grep -q 'HELP' $(log ramdisk)
t 0 trigger ramdisk nmi; t 0 trigger ramdisk power; says 'Invalid argument'; t 0 trigger ramdisk reset; says 'not implemented'; t 0 button-press ramdisk power
t 0 dump-core ramdisk /tmp/core; ok [ $(stat -c %s /tmp/core) -gt 100000000 ]; rm -f /tmp/core
t 0 debug-keys q; t 0 debug-keys e; t 0 dmesg -c
echo '# memory and vcpus'
t 0 mem-set ramdisk 140; ok until_ok 100 mem ramdisk 140; t 0 mem-set ramdisk 160; ok until_ok 100 mem ramdisk 160; t 0 mem-max ramdisk 256; t 1 mem-set ramdisk junk; t 1 mem-max ramdisk junk
t 0 vcpu-list ramdisk; ok online ramdisk 2; t 0 vcpu-set ramdisk 1; ok until_ok 100 online ramdisk 1; t 0 vcpu-set ramdisk 2; ok [ $(xenstore-read /local/domain/$(xl domid ramdisk)/cpu/1/availability) = online ]
t 0 vcpu-pin ramdisk 0 1; t 0 vcpu-list ramdisk; says ' 1 / all'; t 0 vcpu-pin ramdisk all all 0; t 0 vcpu-list ramdisk; says 'all / 0'; t 0 vcpu-pin ramdisk all - all; t 1 vcpu-pin ramdisk 0 junk
t 0 vcpu-pin -f ramdisk 0 0; t 0 vcpu-pin ramdisk all all all
echo '# schedulers and CPU pools'
t 0 sched-credit2; t 0 sched-credit2 -d ramdisk; t 0 sched-credit2 -s; t 0 sched-credit; t 0 sched-rtds; t 1 sched-credit -d ramdisk; t 1 sched-rtds -d ramdisk
d 0 1 'not supported' sched-credit2 -d ramdisk -w 512; d 0 1 'not supported' sched-credit2 -d ramdisk -c 50; t 0 sched-credit2 -d ramdisk -w 256
t 0 cpupool-list; says Pool-0; t 0 cpupool-list -c; t 1 cpupool-list none; d 0 0 'Device or resource busy' cpupool-cpu-remove Pool-0 1
d 0 1 'Could not create cpupool' cpupool-create 'name="p"' 'sched="credit"'
if [ $ours = 0 ]; then t 0 cpupool-cpu-add p 1; t 0 cpupool-migrate ramdisk p; t 0 sched-credit -d ramdisk -w 300; t 0 cpupool-migrate ramdisk Pool-0; t 0 cpupool-cpu-remove p 1; t 0 cpupool-destroy p; t 0 cpupool-cpu-add Pool-0 1
else t 1 cpupool-cpu-add p 1; t 1 cpupool-migrate ramdisk p; t 1 cpupool-destroy p; t 0 cpupool-cpu-add Pool-0 1; says 'Device or resource busy'; fi
t 0 cpupool-rename Pool-0 q; t 0 cpupool-rename q Pool-0; t 0 cpupool-numa-split; t 0 cpupool-rename Pool-node0 Pool-0
echo '# devices'
truncate -s 4M /tmp/b.img
t 0 block-attach ramdisk /tmp/b.img,raw,xvdb,w; t 0 block-list ramdisk; says '^51728'; t 0 block-detach ramdisk xvdb; t 1 block-detach ramdisk xvdb
t 0 network-attach ramdisk bridge=xenbr0; t 0 network-list ramdisk; says '00:16:3e'; t 0 network-detach ramdisk 0; t 1 network-detach ramdisk 0
t 0 channel-list ramdisk; t 0 vtpm-list ramdisk; t 0 vkb-list ramdisk; t 0 vdispl-list ramdisk; t 0 vsnd-list ramdisk; t 0 usb-list ramdisk; t 0 pci-list ramdisk; t 0 pci-assignable-list
t 1 cd-insert ramdisk hdc /tmp/b.img; t 1 cd-eject ramdisk hdc; t 1 pci-assignable-add 0:9.0; t 1 pci-attach ramdisk 0:9.0; t 1 qemu-monitor-command ramdisk info
t 253 psr-hwinfo; t 253 psr-cmt-attach ramdisk; t 255 psr-cmt-show cache-occupancy; t 253 psr-cat-show; t 253 psr-mba-show; t 255 setenforce 1; t 255 loadpolicy /tmp/b.img; t 1 vncviewer ramdisk
echo '# relocation: not yet'
d 0 1 'Save failed' save -c ramdisk /tmp/s; ok state ramdisk '^ramdisk'; t 1 migrate ramdisk nowhere; t 1 restore /tmp/b.img
echo '# ends'
# Who waited for the guest's end takes a checkpoint for it (Xen's xl, too): a new guest.
again() { [ $(grep -c 'ramdisk: up' $(log ramdisk)) -gt $ups ]; }
ups=$(grep -c 'ramdisk: up' $(log ramdisk)); t 0 destroy ramdisk; ok until_ok 100 no_domain ramdisk; t 0 create /guests/ramdisk.cfg; ok until_ok 2400 again
ups=$(grep -c 'ramdisk: up' $(log ramdisk)); t 0 reboot ramdisk; ok until_ok 2400 again
t 0 shutdown -w ramdisk; ok until_ok 100 no_domain ramdisk; t 1 shutdown none; t 1 reboot none; t 1 destroy none; t 1 destroy 0; t 1 pause none; t 1 console none
t 0 create /guests/disk.cfg; ok up disk; ok ping -c 3 -w 20 192.168.77.2 >/dev/null; t 0 block-list disk; t 0 network-list disk; t 0 shutdown -a -w
t 0 create -p /guests/hello.cfg; t 0 destroy hello; t 3 create /guests/none.cfg; t 0 create -n /guests/hello.cfg; t 1 none; t 2 list --junk; t 2 domid
t 0 create /guests/hello.cfg; ok until_ok 200 no_domain hello; t 0 list
sleep 4; used >/tmp/after; cmp -s /tmp/before /tmp/after && echo nothing is left || { diff /tmp/before /tmp/after; ok false "something is left"; }
[ $bad = 0 ] && echo all well || { for f in /var/log/xen/console/guest-*.log /var/log/xen/xl-*.log; do echo "--- $f"; tail -n 15 $f; done; xl dmesg | tail -n 30; xl list; }
exit $bad
