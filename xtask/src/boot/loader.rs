//! Ways from power-on to the hypervisor: QEMU's own loader, PVH, and GRUB on a BIOS or UEFI machine.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::machine::Start;
use crate::paths::Paths;
use crate::setup::{Firmware, Grub, Ovmf};

/// Who loads the hypervisor (or, without one, the kernel).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Via {
    /// QEMU's -kernel: Multiboot 1 for a hypervisor
    #[default]
    Qemu,
    /// QEMU's -kernel with a copy of the hypervisor that is no Multiboot image: its PVH entry; one module only
    Pvh,
    /// GRUB's multiboot2 from a CD, on a BIOS
    GrubBios,
    /// GRUB's multiboot (1) from a CD, on a BIOS
    GrubMultiboot,
    /// GRUB's multiboot2 from a CD, on UEFI
    GrubUefi,
    /// What the GRUB of an installed Debian host boots, on a BIOS; it reboots as it likes
    Disk,
    /// The same on UEFI
    DiskUefi,
}

/// A file that the loader puts into memory, with its command line.
#[derive(Debug, Clone)]
pub struct Module<'a> {
    /// The name of the file in the machine's folder.
    pub file: &'a str,
    /// Its command line, without the file's name.
    pub options: String,
}

/// What is to be started.
#[derive(Debug, Clone)]
pub struct Plan<'a> {
    /// The hypervisor, or the bare kernel.
    pub kernel: &'a Path,
    /// `kernel` is a hypervisor.
    pub hypervisor: bool,
    /// Its command line.
    pub options: String,
    /// dom0's kernel and initrd, a test guest, or the bare kernel's initrd.
    pub modules: Vec<Module<'a>>,
}

impl Via {
    /// Prepares `dir`, where the modules' files are.
    pub fn start(self, paths: &Paths, plan: Plan<'_>, dir: &Path) -> Result<Start> {
        match self {
            Self::Qemu => Ok(by_qemu(plan.kernel.to_owned(), &plan)),
            Self::Pvh => {
                if !plan.hypervisor {
                    bail!("--via pvh needs a hypervisor");
                }
                let mut image = fs::read(plan.kernel)?;
                hide_multiboot(&mut image)
                    .with_context(|| format!("{} has no Multiboot header", plan.kernel.display()))?;
                let copy = dir.join("hypervisor-pvh");
                fs::write(&copy, image)?;
                // QEMU gives the one module of this protocol no command line: ours is behind `--`.
                let kernel_options = plan.modules.first().map(|module| module.options.clone()).unwrap_or_default();
                let options = format!("{} -- {kernel_options}", plan.options);
                let modules = plan.modules.first().map(|module| module.file.to_owned());
                Ok(Start::Kernel { kernel: copy, append: options, initrd: modules })
            }
            Self::GrubBios | Self::GrubMultiboot | Self::GrubUefi => self.by_grub(paths, &plan, dir),
            Self::Disk => Ok(Start::Disk { uefi: None }),
            Self::DiskUefi => Ok(Start::Disk { uefi: Some(uefi(&Grub::find(paths)?, dir)?) }),
        }
    }

    /// The disk says what is booted.
    pub fn is_disk(self) -> bool {
        matches!(self, Self::Disk | Self::DiskUefi)
    }

    fn by_grub(self, paths: &Paths, plan: &Plan<'_>, dir: &Path) -> Result<Start> {
        let tree = dir.join("cd");
        fs::create_dir_all(tree.join("boot/grub"))?;
        let put = |from: &Path, name: &str| -> Result<()> {
            fs::copy(from, tree.join("boot").join(name)).with_context(|| format!("cannot copy {}", from.display()))?;
            Ok(())
        };
        put(plan.kernel, "kernel")?;
        for module in &plan.modules {
            put(&dir.join(module.file), module.file)?;
        }
        fs::write(tree.join("boot/grub/grub.cfg"), self.config(plan))?;
        let grub = Grub::find(paths)?;
        let firmware = if self == Self::GrubUefi { Firmware::Uefi } else { Firmware::Bios };
        let image = dir.join("cd.iso");
        grub.cd(firmware, &tree, &image)?;
        fs::remove_dir_all(&tree)?;
        let uefi = match firmware {
            Firmware::Bios => None,
            Firmware::Uefi => Some(uefi(&grub, dir)?),
        };
        Ok(Start::Cd { image, uefi })
    }

    /// GRUB's orders.
    fn config(self, plan: &Plan<'_>) -> String {
        let (kernel, module) = match (plan.hypervisor, self) {
            (false, _) => ("linux", "initrd"),
            (true, Self::GrubMultiboot) => ("multiboot", "module --nounzip"),
            (true, _) => ("multiboot2", "module2 --nounzip"),
        };
        let mut text = String::from("set timeout=0\nserial --unit=0 --speed=115200\nterminal_output serial\n");
        if self != Self::GrubMultiboot {
            // The screen in a graphics mode, as distributions have it; Multiboot 1 is asked for text.
            text.push_str("insmod all_video\nset gfxmode=800x600,auto\nset gfxpayload=keep\n");
        }
        let _ = writeln!(text, "{kernel} /boot/kernel {}", plan.options);
        for file in &plan.modules {
            let _ = writeln!(text, "{module} /boot/{} {}", file.file, file.options);
        }
        text.push_str("boot\n");
        text
    }
}

/// UEFI with variables of its own in `dir`.
fn uefi(grub: &Grub, dir: &Path) -> Result<(Ovmf, PathBuf)> {
    let ovmf = grub.ovmf();
    let variables = dir.join("variables.fd");
    fs::copy(&ovmf.variables, &variables).with_context(|| format!("no UEFI variables {}", ovmf.variables.display()))?;
    Ok((ovmf, variables))
}

fn by_qemu(kernel: PathBuf, plan: &Plan<'_>) -> Start {
    let modules: Vec<String> =
        plan.modules.iter().map(|module| format!("{} {}", module.file, module.options).trim().to_owned()).collect();
    let initrd = (!modules.is_empty()).then(|| modules.join(","));
    Start::Kernel { kernel, append: plan.options.clone(), initrd }
}

/// Clears the magic of the Multiboot 1 header, which is in the first 8 KiB.
fn hide_multiboot(image: &mut [u8]) -> Option<()> {
    let magic = 0x1bad_b002u32.to_le_bytes();
    let end = image.len().min(8192);
    let at = image.get(..end)?.chunks_exact(4).position(|word| word == magic)? * 4;
    image.get_mut(at..at + 4)?.fill(0);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan<'static> {
        let module = |file, options: &str| Module { file, options: options.to_owned() };
        Plan {
            kernel: Path::new("/ferroxen"),
            hypervisor: true,
            options: "console=com1".to_owned(),
            modules: vec![module("vmlinuz", "console=hvc0"), module("initrd", "")],
        }
    }

    #[test]
    fn qemu_gets_modules_with_their_names_first() {
        let Start::Kernel { append, initrd, .. } = by_qemu("/ferroxen".into(), &plan()) else { panic!() };
        assert_eq!((append.as_str(), initrd.as_deref()), ("console=com1", Some("vmlinuz console=hvc0,initrd")));
    }

    #[test]
    fn grub_gets_the_command_that_fits_the_protocol() {
        assert!(
            Via::GrubUefi
                .config(&plan())
                .contains("\nmultiboot2 /boot/kernel console=com1\nmodule2 --nounzip /boot/vmlinuz console=hvc0\n")
        );
        assert!(
            Via::GrubMultiboot
                .config(&plan())
                .contains("\nmultiboot /boot/kernel console=com1\nmodule --nounzip /boot/")
        );
        let bare = Plan { hypervisor: false, ..plan() };
        assert!(Via::GrubBios.config(&bare).contains("\nlinux /boot/kernel console=com1\ninitrd /boot/"));
    }

    #[test]
    fn only_the_first_multiboot_header_is_hidden() {
        let mut image = vec![0x55; 9000];
        image[4096..4100].copy_from_slice(&0x1bad_b002u32.to_le_bytes());
        image[8500..8504].copy_from_slice(&0x1bad_b002u32.to_le_bytes());
        hide_multiboot(&mut image).unwrap();
        assert_eq!((image[4096], image[8500]), (0, 2));
        assert_eq!(hide_multiboot(&mut image), None);
    }
}
