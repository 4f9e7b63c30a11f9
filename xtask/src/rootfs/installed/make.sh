# Makes a disk that a BIOS and UEFI boot, as root, without a mount: sh make.sh WORK PACKAGES.tar IMAGE LABEL
# Sectors 0 to 2047: partition table and GRUB for a BIOS; then a UEFI system partition; then the root file system.
set -eu
export PATH="/usr/sbin:/usr/bin:/sbin:/bin" LC_ALL=C
work=$1 packages=$2 image=$3 label=$4
root=$work/root
esp_mib=32 root_mib=3072
mkdir -p "$root"
tar -C "$root" --numeric-owner -xf "$packages"
cp -R --no-preserve=ownership "$work/overlay/." "$root"
units=$root/etc/systemd/system
ln -sf ferroxen.target "$units/default.target"
# Work in the background, and what no test looks at, has no place in a tested machine.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
	fstrim.timer systemd-logind.service getty@tty1.service dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount \
	sys-kernel-tracing.mount sys-fs-fuse-connections.mount modprobe@drm.service modprobe@loop.service modprobe@fuse.service \
	modprobe@dm_mod.service modprobe@efi_pstore.service systemd-pstore.service; do
	ln -sf /dev/null "$units/$unit"
done
sed -i 's/^root:[^:]*:/root::/' "$root/etc/shadow"

chroot "$root" update-initramfs -u -k all

# What grub-install would do, which wants to see the disk.
mkdir -p "$root/boot/grub"
for platform in i386-pc x86_64-efi; do
	cp -R "$root/usr/lib/grub/$platform" "$root/boot/grub/"
done
printf 'search --no-floppy --label %s --set root\nset prefix=($root)/boot/grub\n' "$label" >"$root/early.cfg"
core() {
	platform=$1 name=$2
	shift 2
	chroot "$root" grub-mkimage -O "$platform" -o "/$name" -c /early.cfg -p /boot/grub \
		part_msdos ext2 search search_label normal "$@"
	mv "$root/$name" "$work/$name"
}
core i386-pc core.img biosdisk
core x86_64-efi BOOTX64.EFI fat
cp "$root/usr/lib/grub/i386-pc/boot.img" "$work/boot.img"
rm "$root/early.cfg"
chroot "$root" grub-editenv /boot/grub/grubenv create
# For the first boot, which configures GRUB.
kernel=$(cd "$root/boot" && ls vmlinuz-* | sort -V | tail -n 1)
printf 'linux /boot/%s root=LABEL=%s ro console=ttyS0,115200 mitigations=off quiet systemd.show_status=false\ninitrd /boot/initrd.img-%s\nboot\n' \
	"$kernel" "$label" "${kernel#vmlinuz-}" >"$root/boot/grub/grub.cfg"

truncate -s $((1 + esp_mib + root_mib))M "$image"
mkfs.ext4 -q -F -d "$root" -L "$label" -E "lazy_itable_init=1,root_owner=0:0,offset=$(((1 + esp_mib) << 20))" \
	"$image" ${root_mib}M
chmod 644 "$work/core.img" "$work/BOOTX64.EFI" "$work/boot.img"
chown --reference="$work" "$image" "$work/core.img" "$work/BOOTX64.EFI" "$work/boot.img"
rm -rf "$root"
