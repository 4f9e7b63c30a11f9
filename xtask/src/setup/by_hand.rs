//! A machine without apt: what a boot needs and the machine lacks, all in one list.

use std::path::Path;

use anyhow::{Result, bail};

use super::parts::{KernelChoice, XenRelease};
use crate::paths::Paths;
use crate::process::which;

/// What a boot will ask for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The kernel; `None`: only a test guest is booted.
    pub kernel: Option<&'a KernelChoice>,
    /// Debian's Xen.
    pub xen: bool,
    /// Debian's Xen tools.
    pub xen_tools: Option<XenRelease>,
    /// GRUB.
    pub grub: bool,
}

/// Does nothing where apt is; else fails with the list of what is missing.
pub fn check(paths: &Paths, wanted: Wanted<'_>) -> Result<()> {
    if which("apt-get").is_some() && which("dpkg").is_some() {
        return Ok(());
    }
    let qemu = which("qemu-system-x86_64").is_some();
    let missing = missing(&paths.cache, wanted, qemu);
    if missing.is_empty() {
        return Ok(());
    }
    bail!("this machine has no apt; put these in place and try again:\n  - {}", missing.join("\n  - "))
}

/// Each line says what, and where it is looked for.
fn missing(cache: &Path, wanted: Wanted<'_>, qemu: bool) -> Vec<String> {
    let mut list = Vec::new();
    let fetched = |name: &str| cache.join(name).exists();
    if !qemu && !fetched("qemu-backports") && !fetched("qemu") {
        list.push("QEMU: qemu-system-x86_64 in $PATH, 10 or newer is best".to_owned());
    }
    let unpacked = |name: &str, package: &str| {
        (!fetched(name)).then(|| format!("Debian's package {package}, unpacked into {}", cache.join(name).display()))
    };
    if let Some(kernel) = wanted.kernel {
        let kernel = match kernel {
            KernelChoice::Debian61 => unpacked("kernel-6.1", "linux-image-*-amd64 of Debian 12 (or use --kernel FILE)"),
            KernelChoice::Debian612 => unpacked("kernel-6.12", "linux-image-*-amd64 of bookworm-backports"),
            KernelChoice::Debian510 => unpacked("kernel-5.10", "linux-image-*-amd64 of Debian 11"),
            KernelChoice::Cloud => unpacked("kernel-cloud", "linux-image-*-cloud-amd64 of Debian 12"),
            KernelChoice::File(_) => None,
        };
        list.extend(kernel);
        list.extend(unpacked("busybox", "busybox-static"));
    }
    list.extend(wanted.xen.then(|| unpacked("xen-4.17", "xen-hypervisor-4.17-amd64")).flatten());
    list.extend(wanted.xen_tools.and_then(|release| {
        let name = release.name();
        unpacked(&format!("xen-tools-{name}"), &format!("xen-utils-{name} with the libraries it needs"))
    }));
    let grub = "grub-common with grub-pc-bin, grub-efi-amd64-bin, xorriso, mtools and ovmf";
    list.extend(wanted.grub.then(|| unpacked("grub", grub)).flatten());
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_missing_is_named_at_once() {
        let wanted = Wanted { kernel: Some(&KernelChoice::Debian61), xen: true, xen_tools: None, grub: false };
        let list = missing(Path::new("/none"), wanted, false);
        let says = |n: usize, text: &str| list.get(n).is_some_and(|line| line.contains(text));
        assert!(
            says(0, "QEMU") && says(1, "/none/kernel-6.1") && says(2, "busybox-static") && says(3, "/none/xen-4.17")
        );
        assert_eq!(list.len(), 4);
    }

    #[test]
    fn a_test_guest_needs_only_qemu() {
        let wanted = Wanted { kernel: None, xen: false, xen_tools: None, grub: false };
        assert!(missing(Path::new("/none"), wanted, true).is_empty());
    }
}
