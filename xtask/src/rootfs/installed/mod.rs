//! A Debian host as an administrator has it: on a partitioned disk with its kernel, GRUB for a BIOS and UEFI, and Debian's Xen.
//!
//! It boots by itself, as often as it likes. What it is told to do is on a second disk, `fx-orders` in it does that.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{LABEL, fnv, packages};
use crate::paths::Paths;
use crate::process::output;
use crate::setup::{self, Grub};
use crate::ui;

/// What stands there beside the essential packages.
const PACKAGES: &[&str] = &[
    "systemd-sysv",
    "udev",
    "dbus",
    "kmod",
    "procps",
    "e2fsprogs",
    "initramfs-tools",
    "linux-image-amd64",
    "grub2-common",
    "grub-pc-bin",
    "grub-efi-amd64-bin",
    "xen-hypervisor-4.17-amd64",
    "xen-utils-4.17",
];

const MAKE: &str = include_str!("make.sh");

/// Files of ours: path, mode, content.
const FILES: &[(&str, &str, &str)] = &[
    ("usr/local/sbin/fx-orders", "755", include_str!("orders.sh")),
    ("etc/systemd/system/fx-orders.service", "644", include_str!("orders.service")),
    (
        "etc/systemd/system/ferroxen.target",
        "644",
        "[Unit]\nDescription=Everything is up, then the orders\nRequires=multi-user.target\n\
         Wants=fx-orders.service\nAfter=multi-user.target\nAllowIsolate=yes\n",
    ),
    ("etc/systemd/system.conf.d/emulated.conf", "644", include_str!("../files/emulated.conf")),
    ("etc/modprobe.d/emulated.conf", "644", include_str!("modprobe.conf")),
    // A small initial ramdisk.
    ("etc/initramfs-tools/conf.d/emulated", "644", "MODULES=list\nCOMPRESS=gzip\n"),
    ("usr/share/initramfs-tools/modules.d/emulated", "644", "virtio_pci\nvirtio_blk\next4\ncrc32c_generic\n"),
    ("etc/default/grub", "644", include_str!("grub.default")),
    ("etc/fstab", "644", "LABEL=ferroxen-root / ext4 defaults 0 0\n"),
    ("etc/hostname", "644", "host\n"),
    ("etc/hosts", "644", "127.0.0.1 localhost host\n"),
    ("etc/machine-id", "444", "6665727261786e00646f6d3000000002\n"),
];

/// Sectors of 512 bytes.
const ESP: (u32, u32) = (2048, 32 << 11);
const ROOT: (u32, u32) = (2048 + (32 << 11), 3072 << 11);

/// The disk, made unless the cache has it.
pub fn image(paths: &Paths) -> Result<PathBuf> {
    let archive = packages(paths, "installed", PACKAGES, &[])?;
    let mut inputs = vec![MAKE, LABEL, include_str!("mod.rs")];
    inputs.extend(FILES.iter().flat_map(|(name, mode, content)| [*name, *mode, *content]));
    let image = paths.cache.join(format!("installed-bookworm-{:016x}.img", fnv(&inputs)));
    if image.exists() {
        return Ok(image);
    }
    ui::step("making the disk of a Debian host with GRUB and Debian's Xen");
    setup::ensure_rootfs_packages()?;
    let work = paths.cache.join(format!("installed.new-{}", std::process::id()));
    let made = make(paths, &work, &archive);
    let kept = made.and_then(|fresh| Ok(fs::rename(fresh, &image)?));
    let _ = fs::remove_dir_all(&work);
    kept.context("cannot make the disk of a Debian host")?;
    Ok(image)
}

fn make(paths: &Paths, work: &Path, archive: &Path) -> Result<PathBuf> {
    super::overlay(work, FILES)?;
    let image = work.join("image");
    let mut cmd = setup::as_root()?;
    cmd.args(["sh", "-c", MAKE, "make.sh"]).arg(work).arg(archive).arg(&image).arg(LABEL);
    output(&mut cmd)?;
    let esp = work.join("esp.img");
    Grub::find(paths)?.system_partition(&work.join("BOOTX64.EFI"), ESP.1, &esp)?;
    let disk = File::options().write(true).open(&image)?;
    let core = fs::read(work.join("core.img"))?;
    if core.len() > (ESP.0 as usize - 1) * 512 {
        bail!("GRUB's core is larger than the gap before the first partition");
    }
    // GRUB's boot sector loads what follows it: no address in it needs a change.
    disk.write_all_at(&boot_sector(&fs::read(work.join("boot.img"))?)?, 0)?;
    disk.write_all_at(&core, 512)?;
    disk.write_all_at(&fs::read(&esp)?, u64::from(ESP.0) * 512)?;
    Ok(image)
}

/// GRUB's first sector with the partition table in it.
fn boot_sector(code: &[u8]) -> Result<Vec<u8>> {
    let mut sector = code.get(..440).context("GRUB's boot.img is too short")?.to_vec();
    sector.extend([0; 6]);
    for ((start, count), kind, active) in [(ESP, 0xef, 0), (ROOT, 0x83, 0x80)] {
        // Cylinders and heads that nobody reads.
        sector.extend([active, 0xfe, 0xff, 0xff, kind, 0xfe, 0xff, 0xff]);
        sector.extend(start.to_le_bytes());
        sector.extend(count.to_le_bytes());
    }
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    Ok(sector)
}

/// A disk with orders: `exec` for the shell, and files by name.
pub fn orders(exec: Option<&str>, files: &[(String, PathBuf)], dir: &Path) -> Result<PathBuf> {
    let tree = dir.join("orders");
    fs::create_dir_all(&tree)?;
    let mut size = 8 << 20;
    for (name, file) in files {
        let to = tree.join(name);
        fs::create_dir_all(to.parent().context("a file without a folder")?)?;
        size += fs::copy(file, &to).with_context(|| format!("cannot copy {}", file.display()))?;
    }
    if let Some(exec) = exec {
        File::create(tree.join("exec"))?.write_all(exec.as_bytes())?;
    }
    let image = dir.join("orders.img");
    setup::ensure_rootfs_packages()?;
    let mkfs = crate::process::which("mkfs.ext4").context("no mkfs.ext4")?;
    let mut cmd = Command::new(mkfs);
    cmd.args(["-q", "-F", "-L", "ferroxen-orders", "-d"]).arg(&tree).arg(&image);
    output(cmd.arg(format!("{}K", (size * 5 / 4) >> 10)))?;
    fs::remove_dir_all(&tree)?;
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partitions_lie_one_behind_the_other_and_the_script_knows_them() {
        let sector = boot_sector(&[0x90; 512]).unwrap();
        assert_eq!((sector.len(), &sector[510..]), (512, &[0x55, 0xaa][..]));
        assert!(sector[..440].iter().all(|byte| *byte == 0x90));
        let entry = |number: usize| {
            let bytes = &sector[446 + 16 * number..][..16];
            let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            (bytes[4], word(8), word(12))
        };
        assert_eq!(entry(0), (0xef, ESP.0, ESP.1));
        assert_eq!(entry(1), (0x83, ESP.0 + ESP.1, ROOT.1));
        assert!(MAKE.contains(&format!("esp_mib={} root_mib={}\n", ESP.1 >> 11, ROOT.1 >> 11)));
    }

    #[test]
    fn what_is_too_short_is_no_boot_sector() {
        assert!(boot_sector(&[0; 100]).is_err());
    }
}
