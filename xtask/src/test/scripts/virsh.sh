# Debian's libvirt with its Xen driver, and Debian's xentop, with a PV guest: every command of virsh that has to do with
# guests, and its exit code, on Debian's Xen and on Ferroxen. The row's output is the table, as that of xl.sh.
# t CODE COMMAND …
t() {
	want=$1; shift
	timeout 900 virsh "$@" >/tmp/out 2>&1 </dev/null; got=$?
	printf '%s  virsh %s%s\n' $got "$*" "$(sed -n 's/^error: /   # /p' /tmp/out | grep -v 'Failed to\|failed to get domain' | tail -n 1 | cut -c 1-150)"
	[ $got = $want ] || ok false "exit $got, not $want: virsh $*: $(tail -n 3 /tmp/out)"
}
# d XEN'S OURS 'ERROR' COMMAND …: not the same on both.
d() {
	if [ $ours = 1 ]; then xen=$1 our=$2 why=$3; shift 3; t $our "$@"; echo "   differs from Xen's $xen"; says "$why"
	else xen=$1; shift 3; t $xen "$@"; fi
}
says() { grep -q -e "$1" /tmp/out || ok false "no \"$1\" in $(cat /tmp/out)"; }
ups() { [ $(grep -c 'lv: up' $(log lv)) = $1 ]; }
state() { virsh domstate lv | grep -qx "$1"; }
inactive() { virsh domid lv | grep -qx -- -; }
mem() { xl list lv | awk 'END { exit $3 != '$1' }'; }
online() { [ $(xl vcpu-list lv | sed 1d | grep -vce '--p') = $1 ]; }
answers() { ping -q -c 1 -w 2 192.168.77.2; }
vbds() { [ $(xenstore-list /local/domain/0/backend/vbd/$(xl domid lv) 2>/dev/null | wc -l) = $1 ]; }
vifs() { [ $(xenstore-list /local/domain/0/backend/vif/$(xl domid lv) 2>/dev/null | wc -l) = $1 ]; }
pgrep -a 'xenstored|xenconsoled'; dpkg-query -W -f '${Package} ${Version}\n' libvirt-daemon-driver-xen libvirt-clients xen-utils-4.17
cat >/root/lv.xml <<'X'
<domain type='xen'>
  <name>lv</name>
  <uuid>6665727e-786e-4e00-8000-000000000001</uuid>
  <memory unit='MiB'>192</memory>
  <currentMemory unit='MiB'>160</currentMemory>
  <vcpu current='1'>2</vcpu>
  <os>
    <type arch='x86_64' machine='xenpv'>linux</type>
    <kernel>/guests/vmlinuz</kernel>
    <initrd>/guests/ramdisk.img</initrd>
    <cmdline>console=hvc0 quiet fx.name=lv fx.ip=192.168.77.2/24 fx.mount=/dev/xvda</cmdline>
  </os>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <disk type='file' device='disk'>
      <source file='/guests/disk.img'/>
      <target dev='xvda' bus='xen'/>
    </disk>
    <interface type='bridge'>
      <mac address='00:16:3e:00:00:11'/>
      <source bridge='xenbr0'/>
    </interface>
    <console type='pty'>
      <target type='xen'/>
    </console>
  </devices>
</domain>
X
truncate -s 4M /tmp/b.img
cat >/tmp/b.xml <<'X'
<disk type='file' device='disk'><source file='/tmp/b.img'/><target dev='xvdc' bus='xen'/></disk>
X
used() { xl info | grep '^free_memory'; xl list | wc -l; lsevtchn 0 2>/dev/null | wc -l; }

echo '# the machine'
t 0 uri; says 'xen:///system'; t 0 version; says 'Running hypervisor: Xen 4.17'; t 0 version --daemon; t 0 hostname
t 0 nodeinfo; says '^CPU(s): *2'; t 0 capabilities; says 'xenpv'; t 0 freecell; t 0 freecell --all; t 0 maxvcpus; t 0 list --all; says 'Domain-0'
used >/tmp/before
t 0 dominfo 0; t 0 domstate 0; t 0 vcpuinfo 0
t 0 nodedev-list --cap pci; t 0 net-list --all; t 0 pool-list --all; t 0 iface-list; t 0 nwfilter-list; t 0 secret-list
t 0 event --list; t 0 sysinfo; says '<sysinfo'
t 0 domcapabilities --virttype xen --machine xenpv
echo '# domains'
t 0 define /root/lv.xml; t 1 define /root/none.xml; t 0 domstate lv; says 'shut off'; t 0 list --all --inactive; says lv; t 0 dumpxml lv; t 0 domuuid lv; t 0 domname 6665727e-786e-4e00-8000-000000000001
t 0 autostart lv; t 0 autostart --disable lv; t 0 desc lv --title --new-desc guest; t 0 desc lv --title; says guest
t 0 domxml-to-native xen-xl --domain lv; says '^kernel = "/guests/vmlinuz"'; cp /tmp/out /tmp/lv.cfg; t 0 domxml-from-native xen-xl /tmp/lv.cfg; says '<name>lv</name>'; t 1 domxml-to-native xen-sxpr --domain lv
t 0 start lv --paused; ok state paused; t 0 resume lv; ok state running; ok until_ok 600 ups 1; ok until_ok 100 answers; t 1 start lv
t 0 domid lv; t 0 list; says 'lv *running'; t 0 list --all --title; t 0 dominfo lv; says '^Max memory: *196608'; t 0 domstate --reason lv; t 0 domjobinfo lv; t 0 dumpxml lv; says 'vif'
t 0 suspend lv; ok state paused; t 0 domstate lv; t 0 resume lv; ok state running; ok until_ok 100 answers
t 1 dompmwakeup lv; t 0 dompmsuspend lv mem; ok state pmsuspended; t 0 dompmwakeup lv; ok state running; ok until_ok 100 answers
t 0 ttyconsole lv; says /dev/pts; t 1 domstate none; t 1 dominfo none
echo '# the console'
typed 'virsh console lv' 'Connected to domain' '\n' '# ' 'echo the guest says $((40 + 2))\n' 'says 42' '\x1d' >/tmp/typescript || ok false "$(cat -v /tmp/typescript)"; ok grep -o 'the guest says 42' /tmp/typescript
echo '# memory and vcpus'
t 0 setmem lv 140M; ok until_ok 100 mem 140; t 0 setmem lv 160M --live --config; ok until_ok 100 mem 160; t 0 setmaxmem lv 256M --config; t 0 dommemstat lv; says '^actual'; t 1 setmem lv 1T; t 1 memtune lv
t 0 vcpucount lv; t 0 vcpuinfo lv; says 'running\|blocked'; ok online 1; t 0 setvcpus lv 2; ok [ $(xenstore-read /local/domain/$(xl domid lv)/cpu/1/availability) = online ]; t 0 setvcpus lv 1; ok until_ok 100 online 1; t 0 setvcpus lv 2 --config --maximum; t 1 setvcpus lv 99
t 0 vcpupin lv; t 0 vcpupin lv 0 1; t 0 vcpuinfo lv --pretty; t 0 vcpupin lv --vcpu 0; says ' 1$'; t 0 vcpupin lv 0 0-1; t 1 vcpupin lv 0 junk; t 1 emulatorpin lv; t 1 iothreadinfo lv
t 0 cpu-stats lv --total; t 0 schedinfo lv; says '^weight *: 256'; d 0 1 'with libxenlight' schedinfo lv --set weight=512; t 0 numatune lv
echo '# devices'
t 0 domblklist lv; says /guests/disk.img; t 0 domblkstat lv xvda; says rd_req; t 0 domiflist lv; says xenbr0; i=$(awk '/xenbr0/ { print $1 }' /tmp/out); t 0 domifstat lv $i; says rx_bytes; t 0 domif-getlink lv $i
t 0 attach-disk lv /tmp/b.img xvdb --targetbus xen; ok vbds 2; t 1 attach-disk lv /tmp/b.img xvdb --targetbus xen; t 0 domblklist lv; says xvdb; t 0 detach-disk lv xvdb; ok until_ok 50 vbds 1; t 1 detach-disk lv xvdb
t 0 attach-device lv /tmp/b.xml; ok vbds 2; t 0 detach-device lv /tmp/b.xml; ok until_ok 50 vbds 1; t 0 attach-device lv /tmp/b.xml --config; t 0 detach-device lv /tmp/b.xml --config
t 0 attach-interface lv bridge xenbr0 --mac 00:16:3e:00:00:22; ok vifs 2; t 0 domiflist lv; says 3e:00:00:22; t 0 detach-interface lv bridge --mac 00:16:3e:00:00:22; ok until_ok 50 vifs 1; t 1 detach-interface lv bridge --mac 00:16:3e:00:00:22
t 1 change-media lv xvda --eject; t 1 domif-setlink lv $i down; t 1 blockresize lv xvda 64M
ok until_ok 100 answers
echo '# xentop'
xentop -b -i 2 -d 1 -f -v -n -x >/tmp/top; s=$?; sed -n '/NAME/,$p' /tmp/top | tail -n 14 | cut -c 1-140; ok [ $s = 0 ]
ok [ $(grep -c '^ *lv ' /tmp/top) = 2 ]
# Seconds of a CPU, memory in KiB, its share, VCPUs, cards, disks.
ok awk '$1 == "lv" { n++; t[n] = $3; if ($5 != 163840 || $6 <= 0 || $6 > 20 || $9 != 2 || $10 != 1 || $13 != 1) exit 1 } END { exit !(n == 2 && t[1] > 0 && t[2] >= t[1]) }' /tmp/top
ok awk '$1 == "Domain-0" && NR > 5 { n++; if ($4 < 0 || $4 > 200 || $3 <= 0) exit 1 } END { exit n == 0 }' /tmp/top
typed xentop 'xentop - ' v 'VCPUs(sec)' n 'Net0' b 'BlkBack' q >/tmp/typescript && echo xentop on a terminal || ok false "$(cat -v /tmp/typescript)"
echo '# a core, and what relocation brings'
t 0 dump lv /tmp/core; ok [ $(stat -c %s /tmp/core) -gt 100000000 ]; rm -f /tmp/core; ok state running
d 0 1 'internal error' save lv /tmp/saved
[ $ours = 1 ] || { ok until_ok 50 state 'shut off'; t 0 restore /tmp/saved; rm -f /tmp/saved; }
ok state running; ok until_ok 200 answers
t 1 restore /tmp/b.img; t 1 migrate lv xen+ssh://nowhere/; t 0 managedsave-remove lv
t 0 domifaddr lv
echo '# what libvirt has for other hypervisors only'
for c in 'nodecpumap' 'domstats' 'domstats lv' 'domrename lv lw' 'domblkinfo lv xvda' 'domcontrol lv' 'nodecpustats' 'nodememstats' 'node-memory-tune' 'freepages 0 4' 'cpu-models x86_64' 'hypervisor-cpu-baseline /root/lv.xml'; do t 1 $c; done
for c in domtime domhostname domblkerror domfsinfo guestinfo guestvcpus blkdeviotune blkiotune perf screenshot domfsfreeze domdirtyrate-calc reset; do case $c in blkdeviotune) t 1 $c lv xvda ;; *) t 1 $c lv ;; esac; done
t 1 inject-nmi lv; t 1 send-key lv KEY_A; t 1 send-process-signal lv 1 9; t 1 vncdisplay lv; t 1 snapshot-list lv; t 1 checkpoint-list lv; t 1 set-user-password lv root x; t 1 blockpull lv xvda
echo '# ends'
t 0 reboot lv; ok until_ok 900 ups 2; ok until_ok 100 answers; ok state running
t 0 shutdown lv; ok until_ok 300 state 'shut off'; ok until_ok 100 inactive; t 1 shutdown lv; t 1 destroy lv; t 1 suspend lv; t 1 console lv
t 0 start lv; ok until_ok 900 ups 3; t 0 destroy lv; t 0 domstate lv --reason; says destroyed; t 0 undefine lv; t 1 domstate lv; t 1 undefine lv
t 0 create /root/lv.xml; ok until_ok 900 ups 4; ok until_ok 100 answers; typed 'virsh console lv' 'Connected to domain' '\n' '# ' 'poweroff -f\n' >/tmp/typescript || ok false "$(cat -v /tmp/typescript)"; gone() { ! virsh domstate lv; }; ok until_ok 300 gone; t 0 list --all
t 0 create /root/lv.xml --paused; t 1 destroy lv --graceful; t 0 destroy lv; t 1 create /root/lv.xml --junk; t 1 none; t 1 destroy 0
settled() { used >/tmp/after; cmp -s /tmp/before /tmp/after; }
until_ok 100 settled && echo nothing is left || { diff /tmp/before /tmp/after; ok false "something is left"; }
[ $bad = 0 ] && echo all well || { for f in $(log lv) /var/log/xen/xl-*.log /var/log/libvirt/libxl/*.log; do echo "--- $f"; tail -n 25 $f; done; xl dmesg | tail -n 30; journalctl -b -u libvirtd --no-pager | tail -n 30; xl list; }
exit $bad
