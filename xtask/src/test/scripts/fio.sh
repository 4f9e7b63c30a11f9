# fio in a Debian guest writes with checksums and verifies, MEGABYTES through every block path: a block device and a file over
# xen-blkback, a raw and a qcow2 image over our own backend.
. /guests/words.sh
ok sh /guests/prepare
ok hello
for disk in phy file raw; do truncate -s ${MEGABYTES}M /tmp/$disk.img; done
ok blkimg create /tmp/qcow2.img $MEGABYTES
note
losetup /dev/loop7 /tmp/phy.img
ok xm create -q /guests/ramdisk.cfg name=t vcpus=2 memory=384 "disk=['/guests/fio.cpio,raw,xvdf,r']" "extra=console=hvc0 quiet fx.name=t"
ok up t
ok g t 'mkdir /tmp/fio && cd /tmp/fio && cpio -id </dev/xvdf 2>/dev/null; cd /; /tmp/fio/ld-linux-x86-64.so.2 --library-path /tmp/fio /tmp/fio/fio --version'
has_ended() { g t 'grep -q ended /tmp/said'; }
# fio OPTIONS: in the guest, as long as it takes; what it reports of errors.
fio() {
	g t "rm -f /tmp/said; (/tmp/fio/ld-linux-x86-64.so.2 --library-path /tmp/fio /tmp/fio/fio --name=v --filename=/dev/xvdb --size=${MEGABYTES}M --verify_fatal=1 --minimal $* >/tmp/out 2>&1; echo ended \$? >/tmp/said) & true"
	ok until_ok 12000 has_ended
	[ "$(g t 'cat /tmp/said')" = 'ended 0' ] || ok false "fio $*: $(g t 'cat /tmp/said; tail -5 /tmp/out')"
}
for disk in phy file raw qcow2; do
	case $disk in
	phy) spec=phy:/dev/loop7,xvdb,w ;;
	file) spec=file:/tmp/file.img,xvdb,w ;;
	raw) spec=format=raw,backendtype=qdisk,vdev=xvdb,access=rw,target=/tmp/raw.img ;;
	qcow2) spec=format=qcow2,vdev=xvdb,access=rw,target=/tmp/qcow2.img ;;
	esac
	ok xm block-attach t $spec
	ok g t 'for n in $(seq 100); do [ -b /dev/xvdb ] && break; usleep 100000; done; [ -b /dev/xvdb ]'
	fio --rw=randwrite --bs=4k-64k --ioengine=libaio --iodepth=16 --direct=1 --verify=crc32c
	fio --rw=write --bs=256k --ioengine=psync --fsync=8 --verify=xxhash
	# A flaw that nobody sees would make all of this worthless.
	[ $disk = file ] && { g t 'dd if=/dev/zero of=/dev/xvdb bs=4k seek=9 count=1 conv=notrunc 2>/dev/null; sync'
		g t "/tmp/fio/ld-linux-x86-64.so.2 --library-path /tmp/fio /tmp/fio/fio --name=v --filename=/dev/xvdb --size=${MEGABYTES}M --verify_fatal=1 --verify_only --rw=write --bs=256k --verify=xxhash" >/dev/null 2>&1 && ok false "fio saw no change"; }
	ok xm block-detach t xvdb
	echo "fio verified $disk"
done
ok xm shutdown t; ok gone t
ok losetup -d /dev/loop7
ok nothing_left "the disks"
finish
