# In dom0: a Debian guest with a disk and a network card measures itself, then is measured from here.
# TOOLS is whose tools these are, IN_GUEST what the guest shall measure, FROM_DOM0 what dom0 shall.
fail() { echo "bench: $*"; xl list; tail -20 /tmp/guest.log; ls -l /tmp/guest.log "$tty"; exit 1; }
modprobe -q bridge; modprobe -q loop; modprobe -q af_packet
ip link add xenbr0 type bridge; ip addr add 192.168.77.1/24 dev xenbr0; ip link set xenbr0 up
dd if=/dev/zero of=/tmp/disk.img bs=1M count=32 2>/dev/null
losetup /dev/loop0 /tmp/disk.img || fail no loop device
disk='phy:/dev/loop0,xvda,w' vif='bridge=xenbr0'
if [ $TOOLS = debian ]; then
	# Debian's scripts want bash, which is not here.
	disk='format=raw,vdev=xvda,access=w,script=/tmp/block,target=/dev/loop0' vif='bridge=xenbr0,script=/tmp/vif'
	cat >/tmp/block <<'END'
#!/bin/sh
[ "$1" = add ] || exit 0
xenstore-write "$XENBUS_PATH/physical-device" 7:0 "$XENBUS_PATH/physical-device-path" /dev/loop0 "$XENBUS_PATH/hotplug-status" connected
END
	cat >/tmp/vif <<'END'
#!/bin/sh
case "$1" in
online | add)
	ip link set "$vif" master xenbr0 2>/dev/null || brctl addif xenbr0 "$vif"
	ip link set "$vif" up
	xenstore-write "$XENBUS_PATH/hotplug-status" connected
	;;
esac
END
	chmod 755 /tmp/block /tmp/vif
fi
cat >/tmp/bench.cfg <<END
name = "bench"
kernel = "/guests/vmlinux"
ramdisk = "/guests/bench.img"
memory = 256
vcpus = 1
disk = [ '$disk' ]
vif = [ '$vif' ]
extra = "console=hvc0 quiet fx.name=bench fx.ip=192.168.77.2/24 fx.bench=$IN_GUEST"
END
xl create -q /tmp/bench.cfg || fail no guest
id=$(xl domid bench)
for n in $(seq 50); do tty=$(xenstore-read /local/domain/$id/console/tty 2>/dev/null) && [ -n "$tty" ] && break; usleep 100000; done
>/tmp/guest.log
cat "$tty" >/tmp/guest.log &
reader=$!
n=0
until grep -q 'bench: serves' /tmp/guest.log; do
	n=$((n + 1))
	[ $n -lt 600 ] || fail the guest does not come to an end
	xl domid bench >/dev/null || fail the guest ended
	sleep 2
done
tr -d '\r' </tmp/guest.log | grep '^domU/\|^fxbench:'
peer=$(tr -d '\r' </tmp/guest.log | sed -n 's/^fxbench peer \([0-9]*\) \([0-9]*\)$/\1:\2/p')
[ -z "$FROM_DOM0" ] || fxbench --batches 3 --host 192.168.77.2:5001 --peer "$id:$peer" $FROM_DOM0 || fail measuring from dom0
kill $reader
xl destroy bench
