#!/bin/busybox sh
# The first program of the initramfs of `./x boot`. Runs /exec and powers off, or gives a shell.
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root TERM=linux
bb=/bin/busybox
$bb mkdir -p /proc /sys /dev /run /tmp /root /mnt
$bb mount -t proc proc /proc
$bb mount -t sysfs sys /sys
$bb mount -t devtmpfs dev /dev
$bb mkdir -p /dev/pts /dev/shm
$bb mount -t devpts devpts /dev/pts
$bb mount -t tmpfs tmpfs /dev/shm
$bb mount -t tmpfs tmpfs /run
$bb mount -t tmpfs tmpfs /tmp
$bb --install -s
# What busybox's poweroff, reboot and halt send to the first program.
trap 'sync; poweroff -f' USR2
trap 'sync; reboot -f' TERM
trap 'sync; halt -f' USR1
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
hostname dom0
ip link set lo up
[ -f /etc/boot.conf ] && . /etc/boot.conf

on=hardware
if [ -r /sys/hypervisor/type ]; then
	on="$(cat /sys/hypervisor/type) $(cat /sys/hypervisor/version/major).$(cat /sys/hypervisor/version/minor)$(cat /sys/hypervisor/version/extra)"
	for m in $(cat /etc/modules.xen); do modprobe -q "$m" 2>/dev/null; done
	[ -d /proc/xen ] && mount -t xenfs xenfs /proc/xen
fi
for d in /sys/bus/pci/devices/*; do
	# With a root file system, udev there finds all but the disks.
	if [ -n "$ROOT" ]; then
		case "$(cat "$d/class")" in 0x01*) ;; *) continue ;; esac
	fi
	[ -r "$d/modalias" ] && modprobe -q "$(cat "$d/modalias")" 2>/dev/null
done
for m in /sys/bus/virtio/devices/*/modalias; do
	[ -r "$m" ] && modprobe -q "$(cat "$m")" 2>/dev/null
done
if [ -e /sys/class/scsi_host/host0 ]; then modprobe -q sd_mod; modprobe -q sr_mod; fi

if [ -n "$ROOT" ]; then
	modprobe -q ext4
	for n in $(seq 120); do
		disk=$(findfs "LABEL=$ROOT" 2>/dev/null) && break
		sleep 1
	done
	if ! mount -t ext4 "$disk" /mnt; then
		echo "Kernel panic - not syncing: the initramfs finds no file system $ROOT"
		cat /proc/partitions
		poweroff -f
	fi
	mkdir -p /run/ferroxen
	[ -f /exec ] && cp /exec /run/ferroxen/exec
	for f in $FILES; do
		mkdir -p "/mnt/${f%/*}"
		cp -p "/$f" "/mnt/$f"
	done
	for m in proc sys dev run; do mount --move "/$m" "/mnt/$m"; done
	exec switch_root /mnt /sbin/init
fi

for i in /sys/class/net/eth*; do
	[ -e "$i" ] && ip link set "${i##*/}" up
done

if [ -n "$XEN_TOOLS" ] && [ -d /proc/xen ]; then
	. /etc/start-xen-tools
fi

dmesg -n "${PRINTK:-4}"
echo
echo "@@ferroxen dom0-up@@ Linux $(uname -r), $(nproc) CPUs, $(awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo) MiB, on $on"

if [ -f /exec ]; then
	echo "@@ferroxen exec-begin@@"
	sh /exec </dev/null 2>&1 &
	wait $!
	status=$?
	echo
	echo "@@ferroxen exec-end $status@@"
else
	tty=$(sed 's/.* //' /sys/class/tty/console/active)
	[ -n "$ROWS" ] && stty rows "$ROWS" cols "$COLS" <"/dev/$tty"
	[ -f /etc/welcome ] && . /etc/welcome
	echo 'Leave with `poweroff` or `exit`.'
	while [ ! -c "/dev/$tty" ]; do sleep 1; done
	# What is started with `&` ignores Ctrl-C, and so would all that it starts: the second setsid goes off by itself.
	setsid setsid -c sh -c 'echo $$ >/run/shell; exec sh -l' <"/dev/$tty" >"/dev/$tty" 2>&1
	until [ -s /run/shell ]; do sleep 1; done
	while [ -d "/proc/$(cat /run/shell)" ]; do sleep 1; done
fi
sync
poweroff -f
sleep 60
