# Makes the disk image, as root, without a mount: sh make.sh WORK PACKAGES.tar IMAGE LABEL RELEASE MODULES
set -eu
export PATH="/usr/sbin:/usr/bin:/sbin:/bin" LC_ALL=C
work=$1 packages=$2 image=$3 label=$4 release=$5 modules=$6
root=$work/root
mkdir -p "$root"
tar -C "$root" --numeric-owner -xf "$packages"
cp -R --no-preserve=ownership "$work/overlay/." "$root"
if [ -n "$modules" ]; then
	mkdir -p "$root/usr/lib/modules"
	cp -R --no-preserve=ownership "$modules" "$root/usr/lib/modules/$release"
	rm -f "$root/usr/lib/modules/$release/build" "$root/usr/lib/modules/$release/source"
	chroot "$root" /sbin/depmod "$release"
fi
units=$root/etc/systemd/system
mkdir -p "$units/multi-user.target.wants"
ln -sf /lib/systemd/system/systemd-networkd.service "$units/multi-user.target.wants/"
ln -sf ferroxen.target "$units/default.target"
# Work in the background has no place in a measured machine.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
	fstrim.timer; do
	ln -sf /dev/null "$units/$unit"
done
sed -i 's/^root:[^:]*:/root::/' "$root/etc/shadow"
mkfs.ext4 -q -F -d "$root" -L "$label" -E lazy_itable_init=1,root_owner=0:0 "$image" 6G
chown --reference="$work" "$image"
rm -rf "$root"
