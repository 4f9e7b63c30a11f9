#!/bin/busybox sh
# The first program of the example guests. Words of the kernel's command line tell it what to be:
# fx.name=NAME fx.ip=ADDRESS/BITS fx.mount=DEVICE fx.then=halt|reboot|crash|shell
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root TERM=linux
bb=/bin/busybox
$bb mkdir -p /proc /sys /dev /run /tmp /root /mnt
$bb mount -t proc proc /proc
$bb mount -t sysfs sys /sys
$bb mount -t devtmpfs dev /dev
$bb mkdir -p /dev/pts
$bb mount -t devpts devpts /dev/pts
$bb mount -t tmpfs tmpfs /tmp
$bb --install -s
# What the kernel calls when it is asked to shut down.
for name in poweroff reboot halt; do
	$bb rm -f "/sbin/$name"
	printf '#!/bin/sh\nsync\nexec /bin/busybox %s -f\n' "$name" >"/sbin/$name"
	$bb chmod 755 "/sbin/$name"
done
name=guest ip= mount= then=shell
for word in $(cat /proc/cmdline); do
	case "$word" in
	fx.name=*) name=${word#*=} ;;
	fx.ip=*) ip=${word#*=} ;;
	fx.mount=*) mount=${word#*=} ;;
	fx.then=*) then=${word#*=} ;;
	esac
done
hostname "$name"
ip link set lo up
for m in xen-blkfront xen-netfront af_packet crc32c_generic ext4; do modprobe -q "$m" 2>/dev/null; done
if [ -n "$mount" ]; then
	for n in $(seq 50); do [ -b "$mount" ] && break; usleep 100000; done
	mount "$mount" /mnt && echo "$name: $mount is mounted: $(ls /mnt | tr '\n' ' ')"
fi
if [ -n "$ip" ]; then
	for n in $(seq 50); do [ -e /sys/class/net/eth0 ] && break; usleep 100000; done
	ip addr add "$ip" dev eth0 && ip link set eth0 up && echo "$name: eth0 has $ip"
fi
echo "$name: up, Linux $(uname -r), $(nproc) vcpus, $(awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo) MiB"
[ -f /etc/bench ] && . /etc/bench
case "$then" in
halt) poweroff ;;
reboot) reboot ;;
crash) echo c >/proc/sysrq-trigger ;;
esac
while true; do
	setsid -c sh -l </dev/hvc0 >/dev/hvc0 2>&1
	sleep 1
done
