#!/bin/sh
# Does what the disk with the orders says, once the machine is up.
export HOME=/root TERM=linux PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
disk=/dev/disk/by-label/ferroxen-orders
[ -e "$disk" ] || exit 0
mkdir -p /run/orders
mount -o ro "$disk" /run/orders
[ -e /run/orders/exec ] || exit 0
# systemd's own lines and the kernel's stay out of it (SIGRTMIN+21 is 55).
kill -55 1
dmesg -n 4
cd /root
sh /run/orders/exec </dev/null 2>&1
systemctl --no-block poweroff
