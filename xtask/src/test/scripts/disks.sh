# Data through the block paths of a Debian guest: a block device and a file (on a loop device), with checksums on both sides.
# (Here by the file: what is cached of the device itself in dom0 knows nothing of the backend's writes.) BLOCKS of 64 KiB by `dd`, MEGABYTES by `fxbench fill`, each by four writers
# at once. Then leaving politely and by force.
. /guests/words.sh
ok sh /guests/prepare
ok hello
for disk in phy file; do truncate -s ${MEGABYTES}M /tmp/$disk.img; done
note
losetup /dev/loop7 /tmp/phy.img
ok xm create -q /guests/ramdisk.cfg ramdisk=/guests/bench.img name=t vcpus=2 "extra=console=hvc0 quiet fx.name=t fx.bench=none"
ok up t
there() { g t "for n in \$(seq 100); do [ -b /dev/$1 ] && break; usleep 100000; done; [ -b /dev/$1 ]"; }
# What writes in the guest: every block is another, in an order that jumps, and its sum is kept; then all are read again.
cat >/tmp/work <<'X'
head -c 65536 /dev/urandom >/tmp/seed
quarter=$((BLOCKS / 4)); rm -f /tmp/sums.*
for w in 0 1 2 3; do (
	for n in $(seq 0 $((quarter - 1))); do
		b=$((w * quarter + n * 7 % quarter))
		{ printf '%64d' $b; head -c 65472 /tmp/seed; } >/tmp/b.$w
		echo "$b $(md5sum </tmp/b.$w)" >>/tmp/sums.$w
		dd if=/tmp/b.$w of=/dev/$1 bs=64k seek=$b conv=notrunc $2 2>/dev/null || echo WRONG write
	done ) & done
wait; sync; echo 3 >/proc/sys/vm/drop_caches
cat /tmp/sums.? | while read b sum; do [ "$(dd if=/dev/$1 bs=64k skip=$b count=1 $3 2>/dev/null | md5sum)" = "$sum" ] || echo WRONG block $b; done
X
ok put t /tmp/work /tmp/work
has_ended() { g t 'grep -q ended /tmp/said'; }
for disk in phy file; do
	target=/tmp/file.img; [ $disk = phy ] && target=/dev/loop7
	ok xm block-attach t $disk:$target,xvdb,w; ok there xvdb
	# Through the page cache, and straight to the backend.
	for how in cached direct; do
		flags=; [ $how = direct ] && flags="oflag=direct iflag=direct"
		said=$(g t "BLOCKS=$BLOCKS sh /tmp/work xvdb $flags"); [ -z "$said" ] || ok false "$disk $how: $said"
		how_much="/dev/xvdb $MEGABYTES $([ $how = direct ] && echo direct)"
		g t "rm -f /tmp/said; (fxbench fill $how_much; echo 3 >/proc/sys/vm/drop_caches; fxbench verify $how_much; echo ended) >/tmp/said 2>&1 & true"
		ok until_ok 12000 has_ended
		[ "$(g t 'grep -c "are right" /tmp/said')" = 2 ] || ok false "$disk $how: $(g t 'cat /tmp/said')"
		ok fxbench verify /tmp/$disk.img $MEGABYTES >/dev/null
	done
	xm block-list t | grep -q '^51728 0' || ok false "block-list: $(xm block-list t)"
	if [ $disk = file ]; then
		before=$(du -k /tmp/file.img | cut -f1)
		g t 'blkdiscard /dev/xvdb' && until_ok 50 sh -c "[ \$(du -k /tmp/file.img | cut -f1) -lt $((before / 2)) ]" || ok false "discard: $before KiB, then $(du -k /tmp/file.img)"
		echo discard gives room back
	fi
	ok xm block-detach t xvdb
	g t '[ ! -b /dev/xvdb ]' || ok false "$disk: the guest still sees it"
	echo "$disk keeps what is written"
done
# Politely, also of what is mounted: Debian's 6.1 lets go of it (older kernels refuse). What was written is there; then by force.
ok xm block-attach t file:/tmp/file.img,xvdb,w; ok there xvdb
ok g t 'mke2fs /dev/xvdb >/dev/null && mount /dev/xvdb /mnt && echo kept >/mnt/f && sync'
ok xm block-detach t xvdb
g t 'umount /mnt'
ok xm block-attach t file:/tmp/file.img,xvdb,w; ok there xvdb
ok g t 'mount /dev/xvdb /mnt && grep -q kept /mnt/f'
ok xm block-detach -f t xvdb
[ $(xm block-list t | wc -l) = 1 ] || ok false "after force: $(xm block-list t)"
g t 'umount /mnt'
echo politely and by force
ok xm shutdown t; ok gone t
ok losetup -d /dev/loop7
ok nothing_left "the disks"
finish
