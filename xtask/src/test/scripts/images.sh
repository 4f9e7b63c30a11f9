# Images of Debian's xen-tools, made in domain 0 by xen-create-image, booted by Debian's xl with the configuration that it
# wrote: with domain 0's kernel, then with the guest's own by pygrub. $ABOVE: what has to be below.
export LC_ALL=C
bad=0
ok() { "$@" || { echo "WRONG: $*"; bad=1; }; }
until_ok() { n=$1; shift; while [ $n -gt 0 ]; do "$@" >/dev/null 2>&1 && return 0; n=$((n - 1)); sleep 0.5; done; return 1; }
log() { echo /var/log/xen/console/guest-$1.log; }
prompt() { grep -q "^$1 login:" $(log $1); }
no_domain() { ! xl domid $1; }
# typed KEYS COMMAND …: a program on a terminal, and what is typed there, a line of KEYS every three seconds.
typed() {
	keys=$1; shift
	printf '%b\n' "$keys" | while read -r line; do sleep 3; printf '%b' "$line"; done | timeout 120 script -qec "$*" /tmp/typescript >/dev/null 2>&1
}
[ "$(xl info | sed -n 's/^xen_extra *: .*ferroxen.*/ferroxen/p')" = "${ABOVE#xen}" ] || ok false "this is not on $ABOVE"
mkdir -p /var/log/xen/console
echo 'XENCONSOLED_ARGS="--log=guest"' >>/etc/default/xen; ok service xen restart
ok sh /guests/prepare
ok tar -C / -xf /srv/bookworm.tar ./boot
mkdir -p /lib/modules/none
# image NAME ADDRESS OPTIONS …
image() {
	name=$1 address=$2; shift 2
	xen-create-image --hostname=$name --dist=bookworm --install-method=tar --install-source=/srv/bookworm.tar --dir=/srv/xen --nohosts \
		--size=1G --swap=64M --memory=192M --ip=$address --netmask=255.255.255.0 --gateway=192.168.77.1 --bridge=xenbr0 --mac=00:16:3e:00:01:${address##*.} \
		--password=secret "$@" >/tmp/create 2>&1 || { ok false "xen-create-image $name: $(tail -n 20 /tmp/create)"; return; }
	grep -E '^(Installation Summary|Hostname|Distribution|IP-Address)' /tmp/create
	grep -v '^#' /etc/xen/$name.cfg | grep -v '^$'
}
# lives NAME ADDRESS: from xl create to xl shutdown.
lives() {
	ok xl create /etc/xen/$1.cfg || return
	until_ok 1200 prompt $1 || { ok false "no prompt of $1"; tail -n 60 $(log $1); return; }
	grep -a "^$1 login:" $(log $1) | head -n 1
	until_ok 100 ping -q -c 1 -w 2 $2; ok ping -q -c 3 -w 30 $2 | grep received
	[ "$(xenstore-read /local/domain/0/backend/vif/$(xl domid $1)/0/hotplug-status)" = connected ] && brctl show xenbr0 | grep -o "vif$(xl domid $1)\.0"
	ok typed "\\\\n\nroot\\\\n\nsecret\\\\n\n\n\necho it is \$(uname -r) on \$(cat /sys/hypervisor/type)\\\\n\nswapon --noheadings; findmnt -no SOURCE,OPTIONS /\\\\n\nping -q -c 3 192.168.77.1 | grep rec''eived\\\\n\n\nexit\\\\n\n\035" xl console $1
	for word in 'it is 6.1[-0-9.a-z]* on xen' '/dev/xvda1' '/dev/xvda2 *rw' '3 received'; do grep -a -o "$word" /tmp/typescript | head -n 1 | sed "s/^/$1: /" | grep . || { ok false "$1 does not say $word"; cat -v /tmp/typescript; }; done
	ok xl shutdown -w $1; ok until_ok 100 no_domain $1
	grep -a 'Power down' $(log $1)
	[ $bad = 0 ] && echo "$1: came up and went down"
}
free() { xl info | grep '^free_memory'; }
free >/tmp/before
image plain 192.168.77.3 --modules=/lib/modules/none && lives plain 192.168.77.3
image grub 192.168.77.4 --pygrub && lives grub 192.168.77.4
ok xen-list-images --test=/srv/xen 2>&1 | grep '^Name' ; ok xen-delete-image --dir=/srv/xen --hostname=plain; ok [ ! -e /srv/xen/domains/plain ]
same() { free >/tmp/after; cmp -s /tmp/before /tmp/after; }
until_ok 60 same && echo nothing is left || { diff /tmp/before /tmp/after; ok false "something is left"; }
[ $bad = 0 ] && echo all well || { tail -n 40 /var/log/xen-tools/*.log /var/log/xen/xl-*.log /var/log/xen/bootloader*.log; xl dmesg | tail -n 30; xl list; }
exit $bad
