# Both packages on a Debian host, a part for each boot: installed, used, purged; then what is left.
set -eu
orders=/run/orders stage=/var/lib/fx-stage
trap 'status=$?; [ $status = 0 ] || { echo "FAILED in part $part with $status"; logs; }' EXIT
logs() {
	systemctl --no-pager --failed || true
	journalctl --no-pager -b -n 60 || true
}
part=1
[ ! -e $stage ] || part=$(cat $stage)
say() { echo "== $*"; }
# Everything that a package could leave: names, where links go, and what is in configuration.
picture() {
	find /etc /usr /boot /opt /root /var/lib /var/cache /run/ferroxen /run/xenstored -xdev \
		\( -path /var/lib/systemd -o -path '/var/lib/dpkg/*-old' -o -path /var/cache/ldconfig -o -path $stage \
		-o -path /var/lib/dpkg/lock\* -o -path /var/lib/dpkg/triggers \) -prune -o -printf '%p %y %l\n' 2>/dev/null | sort
	find /etc -type f ! -path /etc/mtab -exec md5sum {} + | sort -k 2
}
settled() {
	for n in $(seq 200); do
		state=$(systemctl is-system-running || true)
		case $state in running | degraded) break ;; esac
		# These orders themselves are a job of the boot.
		[ "$(systemctl list-jobs --no-legend | grep -vc fx-orders)" -gt 0 ] || break
		sleep 1
	done
	failed=$(systemctl --failed --no-legend --plain | cut -d' ' -f1 | tr '\n' ' ')
	[ -z "$failed" ] || { echo "failed units: $failed"; return 1; }
}
no_process() {
	if pgrep -af "^$1"; then return 1; fi
}
again() {
	echo "$1" >$stage
	sync
	systemctl --no-block reboot
	trap - EXIT
	sleep 600
	exit 1
}

case $part in
1)
	settled
	[ ! -e /proc/xen ]
	update-grub
	picture >/var/tmp/before
	cp /boot/grub/grub.cfg /var/tmp/grub.before
	dpkg -i $orders/*.deb
	dpkg --verify ferroxen-hypervisor ferroxen-tools | tee /var/tmp/verify
	[ ! -s /var/tmp/verify ]
	settled
	grep -n "with Ferroxen" /boot/grub/grub.cfg | cut -c 1-120
	# Debian's entries, its hypervisor's too, stay as they were.
	diff /var/tmp/grub.before /boot/grub/grub.cfg | grep '^<' && exit 1
	[ "$(readlink -f /usr/sbin/xl)" = /usr/lib/ferroxen/bin/xm ]
	[ -x /usr/sbin/xl.debian ]
	xm --version
	systemctl list-dependencies --plain multi-user.target | grep -E 'xen(domains)?\.service'
	# Without Xen there is nothing to serve. (xen.service is as Debian's script left it.)
	[ "$(systemctl is-active xenstored.service || true)" = inactive ]
	grub-reboot ferroxen
	say "plain Debian: packages are installed"
	again 2
	;;
2)
	[ "$(cat /sys/hypervisor/version/extra)" = -ferroxen ]
	cat /proc/cmdline
	settled
	say "Ferroxen: dom0 is up by GRUB's entry"
	systemctl is-active xen xenstored xen-init-dom0 xenconsoled xendomains
	[ "$(readlink -f /proc/$(systemctl show -P MainPID xenstored)/exe)" = /usr/lib/ferroxen/bin/xenstored ]
	no_process /usr/lib/xen-
	xm list
	xl list | grep -q Domain-0
	xm info | grep -E '^(xen_version|xen_commandline|free_memory)'
	xenstore-ls /local/domain/0 | head -n 3
	say "Ferroxen: the tools' daemons are up"
	# The daemon below its supervisor, then the supervisor.
	pkill -9 -P "$(systemctl show -P MainPID xenstored)"
	[ "$(xenstore-read /local/domain/0/name)" = Domain-0 ]
	systemctl reload xenstored
	[ "$(xenstore-read /local/domain/0/name)" = Domain-0 ]
	kill -9 "$(systemctl show -P MainPID xenstored)"
	for n in $(seq 60); do xenstore-read /local/domain/0/name >/dev/null 2>&1 && break; sleep 1; done
	[ "$(xenstore-read /local/domain/0/name)" = Domain-0 ]
	systemctl restart xenconsoled
	xm list
	say "Ferroxen: xenstored was killed and restarted"
	printf 'name = "hello"\nkernel = "%s/hello"\nmemory = 32\non_poweroff = "destroy"\n' $orders >/root/hello.cfg
	xm create -p -q /root/hello.cfg
	if dpkg --purge ferroxen-tools >/var/tmp/refused 2>&1; then exit 1; fi
	grep 'still need these tools' /var/tmp/refused
	dpkg --configure -a
	systemctl is-active xenstored
	xm unpause hello
	for n in $(seq 120); do xm domid hello 2>/dev/null || break; sleep 1; done
	grep -a 'hello from a PV guest' /var/log/xen/console/guest-hello.log
	xm list
	[ "$(xm list | wc -l)" = 2 ]
	rm /root/hello.cfg
	say "Ferroxen: a guest came and went"
	bash -n /usr/share/bash-completion/completions/xm
	zcat /usr/share/man/man1/xm.1.gz | grep -m 1 '^.TH xm'
	# Debian's command on our hypervisor and our xenstored; then ours again.
	update-alternatives --set xl /usr/sbin/xl.debian
	[ ! -e /usr/lib/systemd/system/xen.service ]
	xl list | grep Domain-0
	xl info | grep xen_extra
	update-alternatives --auto xl
	[ -e /usr/lib/systemd/system/xen.service ]
	[ "$(readlink -f /usr/sbin/xl)" = /usr/lib/ferroxen/bin/xm ]
	say "Ferroxen: Debian's tools and ours take turns"
	# Installed over itself: the daemons go on.
	dpkg -i $orders/ferroxen-tools_*.deb
	systemctl is-active xenstored xenconsoled
	xm list
	dpkg --purge ferroxen-tools ferroxen-hypervisor
	no_process /usr/lib/ferroxen
	[ "$(readlink /usr/sbin/xl)" = ../lib/xen-common/bin/xen-utils-wrapper ]
	say "Ferroxen: packages are purged"
	again 3
	;;
3)
	settled
	[ ! -e /proc/xen ]
	picture >/var/tmp/after
	diff /var/tmp/before /var/tmp/after
	diff /var/tmp/grub.before /boot/grub/grub.cfg
	say "plain Debian: nothing is left, all well"
	;;
esac
