//! A Debian host for guests: Debian's own Xen tools, libvirt and xen-tools, as its packages install them.

use std::path::PathBuf;

use anyhow::Result;

use super::packages;
use crate::paths::Paths;

/// What stands in the host's file system beside the essential packages.
pub const PACKAGES: &[&str] = &[
    "systemd-sysv",
    "udev",
    "kmod",
    "dbus",
    "iproute2",
    "iputils-ping",
    "procps",
    "e2fsprogs",
    "bridge-utils",
    "xen-utils-4.17",
    "libvirt-daemon-system",
    "libvirt-daemon-driver-xen",
    "libvirt-clients",
    "xen-tools",
    "debootstrap",
];

/// Where the host has what `xen-create-image --install-method=tar` installs a guest from.
pub const SEED: &str = "srv/bookworm.tar";

/// What is in a guest of xen-tools: a system that boots, and each package that xen-tools' hooks would fetch.
const GUEST: &[&str] = &[
    "systemd-sysv",
    "udev",
    "dbus",
    "kmod",
    "ifupdown",
    "iproute2",
    "iputils-ping",
    "e2fsprogs",
    "initramfs-tools",
    "linux-image-amd64",
    "openssh-server",
    "locales",
    "util-linux-locales",
];

/// What no test looks at, but an emulated machine would copy for minutes; and a small initial ramdisk.
const SMALL: &[&str] = &[
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/i18n/*",
    "--dpkgopt=path-exclude=/lib/modules/*/kernel/sound/*",
    "--dpkgopt=path-exclude=/lib/modules/*/kernel/drivers/*",
    "--dpkgopt=path-include=/lib/modules/*/kernel/drivers/*/xen-*",
    "--dpkgopt=path-include=/lib/modules/*/kernel/drivers/xen/*",
    "--customize-hook=printf 'MODULES=list\\nCOMPRESS=gzip\\n' >\"$1/etc/initramfs-tools/conf.d/small\"",
    "--customize-hook=printf 'xen_blkfront\\next4\\ncrc32c_generic\\n' >>\"$1/etc/initramfs-tools/modules\"",
    "--customize-hook=chroot \"$1\" update-initramfs -u -k all",
    "--customize-hook=rm -rf \"$1\"/var/cache/apt/* \"$1\"/var/lib/apt/lists/*",
];

/// The archive that guests of xen-tools are installed from.
pub fn seed(paths: &Paths) -> Result<PathBuf> {
    packages(paths, "guest", GUEST, SMALL)
}
