# Debian's xen-tools: xen-create-image makes a guest with a disk and a swap disk from the seed that stands in the host, xl
# starts it with the configuration that was written, its own kernel by pygrub, a user logs in on its console, and it is deleted again.
free() { df -m --output=avail /srv | tail -1; }
step() { echo "== $*"; "$@" >/tmp/out 2>&1; code=$?; [ $code = 0 ] || { tail -n 15 /tmp/out; ok false "exit $code: $*"; }; }
mkdir -p /srv/xen; echo "$(free) MB are free"
step xen-create-image --hostname=made --dir=/srv/xen --size=900M --swap=64M --memory=256M --maxmem=256M --vcpus=1 \
	--dist=bookworm --install-method=tar --install-source=/srv/bookworm.tar --fs=ext4 --ip=192.168.77.9 \
	--netmask=255.255.255.0 --gateway=192.168.77.1 --bridge=xenbr0 --password=fx --pygrub --noaccounts --nohosts
# xen-tools' guests call their network card eth0; Debian 12's udev calls it enX0 otherwise.
echo "extra = 'net.ifnames=0'" >>/etc/xen/made.cfg
grep -v '^#\|^$' /etc/xen/made.cfg
step xen-list-images; cat /tmp/out; grep -q 'made' /tmp/out || ok false "xen-list-images does not name it"
step xl create /etc/xen/made.cfg
typed "xl console made" "made login:" "root\n" "Password:" "fx\n" ":~#" "echo this is \$(cat /etc/hostname), swap \$(swapon --noheadings | wc -l); ip -br a; poweroff\n"
until_ok 600 sh -c '! xl list made'
xl list made 2>/dev/null && ok false "it is still there"
step xl create /etc/xen/made.cfg
until_ok 300 ping -q -c 1 -w 2 192.168.77.9 || ok false "no answer over the network"
step xl shutdown -w made
step xen-delete-image --hostname=made --dir=/srv/xen
[ ! -e /etc/xen/made.cfg ] && [ ! -e /srv/xen/domains/made ] || ok false "xen-delete-image left something"
xl list
[ $bad = 0 ] && echo "all well"
