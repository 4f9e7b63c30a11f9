//! GRUB and UEFI firmware: makes bootable CDs with GRUB's own tool, from packages unpacked into the cache.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::archive::{Archive, Suite};
use super::qemu::library_path;
use crate::paths::Paths;
use crate::process::output;
use crate::ui;

const PACKAGES: &[&str] = &["grub-common", "grub-pc-bin", "grub-efi-amd64-bin", "ovmf", "xorriso", "mtools"];

/// What starts GRUB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// The emulator's own BIOS.
    Bios,
    /// 64-bit UEFI.
    Uefi,
}

/// GRUB's tools, modules, and the firmware that starts it.
#[derive(Debug, Clone)]
pub struct Grub {
    root: PathBuf,
}

/// A UEFI firmware for QEMU.
#[derive(Debug, Clone)]
pub struct Ovmf {
    /// The firmware's code, read-only.
    pub code: PathBuf,
    /// Its empty variables, to be copied for each machine.
    pub variables: PathBuf,
}

impl Grub {
    /// Finds or fetches the packages.
    pub fn find(paths: &Paths) -> Result<Self> {
        let root = paths.cache.join("grub");
        if !root.exists() {
            let archive = Archive::open(paths, Suite::Bookworm)?;
            let packages = archive.missing_closure(PACKAGES)?;
            ui::step(format!(
                "downloading GRUB, UEFI firmware and what makes CD images ({} packages, 30 MB), unpacking them into the cache",
                packages.len()
            ));
            let names: Vec<&str> = packages.iter().map(String::as_str).collect();
            archive.unpack(&names, &root).context("cannot get GRUB and OVMF")?;
        }
        Ok(Self { root })
    }

    /// Writes a CD image that boots `tree` (which holds `boot/grub/grub.cfg`).
    pub fn cd(&self, firmware: Firmware, tree: &Path, image: &Path) -> Result<()> {
        let platform = match firmware {
            Firmware::Bios => "i386-pc",
            Firmware::Uefi => "x86_64-efi",
        };
        let modules = self.root.join("usr/lib/grub").join(platform);
        let mut cmd = Command::new(self.root.join("usr/bin/grub-mkrescue"));
        cmd.env("LC_ALL", "C").env("LD_LIBRARY_PATH", library_path(&self.root));
        cmd.env("pkgdatadir", self.root.join("usr/share/grub"));
        let mut path = self.root.join("usr/bin").into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        cmd.env("PATH", path);
        cmd.arg("--xorriso").arg(self.root.join("usr/bin/xorriso"));
        cmd.args(["--fonts=", "--locales=", "--themes=", "--install-modules"]);
        cmd.arg("normal multiboot multiboot2 linux iso9660 serial configfile all_video gfxterm echo test boot reboot");
        cmd.arg("-d").arg(modules).arg("-o").arg(image).arg(tree);
        output(&mut cmd).context("GRUB's tool makes no CD image")?;
        if !image.exists() {
            bail!("grub-mkrescue said nothing and left no image {}", image.display());
        }
        Ok(())
    }

    /// Writes a UEFI system partition of so many sectors that starts `program`.
    pub fn system_partition(&self, program: &Path, sectors: u32, image: &Path) -> Result<()> {
        let mtools = |name: &str| {
            let mut cmd = Command::new(self.root.join("usr/bin").join(name));
            cmd.env("LC_ALL", "C").env("LD_LIBRARY_PATH", library_path(&self.root)).arg("-i").arg(image);
            cmd
        };
        std::fs::File::create(image)?.set_len(u64::from(sectors) * 512)?;
        output(mtools("mformat").args(["-T", &sectors.to_string(), "-h", "16", "-s", "63", "::"]))?;
        output(mtools("mmd").args(["::/EFI", "::/EFI/BOOT"]))?;
        output(mtools("mcopy").arg(program).arg("::/EFI/BOOT/BOOTX64.EFI"))?;
        Ok(())
    }

    /// The UEFI firmware.
    pub fn ovmf(&self) -> Ovmf {
        let dir = self.root.join("usr/share/OVMF");
        Ovmf { code: dir.join("OVMF_CODE_4M.fd"), variables: dir.join("OVMF_VARS_4M.fd") }
    }
}
