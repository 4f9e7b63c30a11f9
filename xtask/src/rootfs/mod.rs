//! A Debian 12 root file system on a disk image, made on the host: packages with mmdebstrap into an
//! archive that the cache keeps, then, for each kernel, an ext4 image with its modules. Nothing is
//! installed under emulation, and nothing is mounted.
//!
//! dom0 still starts from our initramfs: it mounts the disk, hands over the commands of `--exec` in
//! `/run/ferroxen`, and leaves the rest to systemd. The unit `ferroxen-exec` runs them once the
//! multi-user target is reached, between the same marks as the initramfs would print.

pub mod installed;
mod xen;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::paths::Paths;
use crate::process::output;
use crate::setup::{self, Kernel};
use crate::ui;

/// What a root file system is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Debian as dom0 without tools of Xen.
    Plain,
    /// Debian as a host for guests: its own Xen tools, libvirt, xen-tools, as its packages install them.
    Host,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "rootfs",
            Self::Host => "host",
        }
    }

    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Plain => PACKAGES,
            Self::Host => xen::PACKAGES,
        }
    }
}

/// What stands in the plain file system beside the essential packages.
const PACKAGES: &[&str] = &[
    "systemd-sysv",
    "udev",
    "kmod",
    "dbus",
    "iproute2",
    "iputils-ping",
    "pciutils",
    "procps",
    "e2fsprogs",
    "stress-ng",
    "libc6-i386",
];

/// The label that the initramfs looks for.
pub const LABEL: &str = "ferroxen-root";

const MAKE: &str = include_str!("make.sh");

/// Files of ours in the root file system: path, mode, content.
const FILES: &[(&str, &str, &str)] = &[
    ("usr/lib/ferroxen/exec", "755", include_str!("files/exec.sh")),
    ("etc/systemd/system/ferroxen-exec.service", "644", include_str!("files/ferroxen-exec.service")),
    ("etc/systemd/system/ferroxen.target", "644", include_str!("files/ferroxen.target")),
    ("etc/systemd/system/serial-getty@.service.d/autologin.conf", "644", include_str!("files/autologin.conf")),
    ("etc/systemd/system.conf.d/emulated.conf", "644", include_str!("files/emulated.conf")),
    ("etc/systemd/network/80-ethernet.network", "644", include_str!("files/ethernet.network")),
    ("etc/modprobe.d/emulated.conf", "644", "blacklist bochs\nblacklist cfg80211\nblacklist pcspkr\n"),
    ("etc/fstab", "644", "LABEL=ferroxen-root / ext4 defaults 0 0\n"),
    ("etc/hostname", "644", "dom0\n"),
    ("etc/hosts", "644", "127.0.0.1 localhost dom0\n"),
    // The name server of QEMU's user-mode network.
    ("etc/resolv.conf", "644", "nameserver 10.0.2.3\n"),
    // Known from the start, so that systemd does not take each boot for the first one.
    ("etc/machine-id", "444", "6665727261786e00646f6d3000000001\n"),
];

/// The image for `kernel`, made unless the cache has it.
pub fn image(paths: &Paths, kernel: &Kernel, purpose: Purpose) -> Result<PathBuf> {
    let archive = packages(paths, purpose.name(), purpose.packages(), &[])?;
    // What guests are installed from.
    let seed = match purpose {
        Purpose::Plain => None,
        Purpose::Host => Some(xen::seed(paths)?),
    };
    let mut inputs = vec![MAKE, LABEL];
    inputs.extend(FILES.iter().flat_map(|(name, mode, content)| [*name, *mode, *content]));
    inputs.extend(purpose.packages());
    let seed_name = seed.as_deref().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    if seed.is_some() {
        inputs.extend([seed_name.as_ref(), xen::SEED]);
    }
    let image = paths.cache.join(format!("{}-{}-{:016x}.img", purpose.name(), kernel.release, fnv(&inputs)));
    if image.exists() {
        return Ok(image);
    }
    ui::step(format!("making a disk image with Debian's root file system and the modules of {}", kernel.release));
    setup::ensure_rootfs_packages()?;
    let work = paths.cache.join(format!("{}.new-{}", purpose.name(), std::process::id()));
    overlay(&work, FILES)?;
    if let Some(seed) = &seed {
        let to = work.join("overlay").join(xen::SEED);
        fs::create_dir_all(to.parent().context("a file without a folder")?)?;
        fs::copy(seed, &to)?;
    }
    let fresh = work.join("image");
    let made = setup::as_root().and_then(|mut cmd| {
        cmd.args(["sh", "-c", MAKE, "make.sh"]).arg(&work).arg(&archive).arg(&fresh).arg(LABEL);
        cmd.arg(&kernel.release).arg(kernel.modules.as_deref().unwrap_or(Path::new("")));
        output(&mut cmd)
    });
    let kept = made.and_then(|_| Ok(fs::rename(&fresh, &image)?));
    let _ = fs::remove_dir_all(&work);
    kept.context("cannot make the disk image")?;
    Ok(image)
}

/// Writes `files` below `work/overlay`.
fn overlay(work: &Path, files: &[(&str, &str, &str)]) -> Result<()> {
    let overlay = work.join("overlay");
    for (name, mode, content) in files {
        let file = overlay.join(name);
        fs::create_dir_all(file.parent().context("a file without a folder")?)?;
        fs::write(&file, content)?;
        output(Command::new("chmod").arg(mode).arg(&file))?;
    }
    Ok(())
}

/// The unpacked packages as a tar archive; `more` are arguments for mmdebstrap.
fn packages(paths: &Paths, kind: &str, packages: &[&str], more: &[&str]) -> Result<PathBuf> {
    let archive = paths.cache.join(format!("{kind}-bookworm-{:016x}.tar", fnv(&[packages, more].concat())));
    if archive.exists() {
        return Ok(archive);
    }
    ui::step("downloading Debian's root file system (110 to 250 MB) and unpacking it into the cache; it takes minutes");
    setup::ensure_rootfs_packages()?;
    let sources = setup::bookworm_sources(paths)?;
    let fresh = archive.with_extension(format!("new-{}.tar", std::process::id()));
    let mut cmd = setup::as_root()?;
    // The temporary root is where there is room.
    cmd.arg(format!("TMPDIR={}", paths.cache.display()));
    cmd.args(["mmdebstrap", "--quiet", "--variant=minbase", "--format=tar"]);
    cmd.arg(format!("--include={}", packages.join(","))).args(more);
    for option in proxies()? {
        cmd.arg(format!("--aptopt={option}"));
    }
    let made = output(cmd.arg("bookworm").arg(&fresh).arg(&sources));
    let kept = made.and_then(|_| Ok(fs::rename(&fresh, &archive)?));
    let _ = fs::remove_file(&fresh);
    kept.context("cannot make Debian's root file system")?;
    Ok(archive)
}

/// How apt on this machine reaches its archives, if it says so.
fn proxies() -> Result<Vec<String>> {
    let text = output(Command::new("apt-config").arg("dump"))?;
    let wanted = |line: &&str| line.starts_with("Acquire::http") && line.to_ascii_lowercase().contains("proxy");
    Ok(text.lines().filter(wanted).map(str::to_owned).collect())
}

/// FNV-1a.
fn fnv(parts: &[&str]) -> u64 {
    parts
        .iter()
        .flat_map(|part| part.bytes().chain([0]))
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_names_the_label_that_it_is_given() {
        let (_, _, fstab) = FILES.iter().find(|(name, ..)| *name == "etc/fstab").unwrap();
        assert!(fstab.starts_with(&format!("LABEL={LABEL} / ext4 ")));
    }

    #[test]
    fn the_machine_id_is_one_that_systemd_takes() {
        let (_, _, id) = FILES.iter().find(|(name, ..)| *name == "etc/machine-id").unwrap();
        let id = id.strip_suffix('\n').unwrap();
        assert!(id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    }

    #[test]
    fn marks_in_the_file_system_are_those_that_the_watcher_knows() {
        let (_, _, exec) = FILES.iter().find(|(name, ..)| name.ends_with("ferroxen/exec")).unwrap();
        for mark in ["@@ferroxen dom0-up@@", "@@ferroxen exec-begin@@", "@@ferroxen exec-end $status@@"] {
            assert!(exec.contains(mark), "{mark}");
        }
    }
}
