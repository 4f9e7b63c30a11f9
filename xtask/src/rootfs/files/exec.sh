#!/bin/sh
# Runs the commands of `./x boot --exec` once the machine is up, then switches it off.
export HOME=/root TERM=linux PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
on=hardware
if [ -r /sys/hypervisor/type ]; then
	on="$(cat /sys/hypervisor/type) $(cat /sys/hypervisor/version/major).$(cat /sys/hypervisor/version/minor)"
fi
# systemd's own lines and the kernel's stay out of the output (SIGRTMIN+21 is 55).
kill -55 1
dmesg -n 4
echo
echo "@@ferroxen dom0-up@@ Debian $(cat /etc/debian_version), Linux $(uname -r), $(nproc) CPUs, on $on"
echo "@@ferroxen exec-begin@@"
cd /root
sh /run/ferroxen/exec </dev/null 2>&1
status=$?
echo
echo "@@ferroxen exec-end $status@@"
systemctl --no-block poweroff
