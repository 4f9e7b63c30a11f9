//! Packages that must be installed on the machine itself, because programs built here use them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{output, which};
use crate::ui;

/// A file that shows that a package is there.
struct Needed {
    package: &'static str,
    probe: fn() -> bool,
    why: &'static str,
}

const TEST_PACKAGES: &[Needed] = &[
    Needed { package: "gcc", probe: || which("cc").is_some(), why: "compiles the ABI's header check" },
    Needed {
        package: "libc6-dev",
        probe: || Path::new("/usr/include/stdint.h").exists(),
        why: "compiles the ABI's header check",
    },
    Needed {
        package: "libxen-dev",
        probe: || Path::new("/usr/include/xen/xen.h").exists(),
        why: "Xen's public headers, the contract",
    },
    Needed { package: "g++", probe: || which("c++").is_some(), why: "compiles libFuzzer" },
    Needed { package: "binutils", probe: || which("objdump").is_some(), why: "reads the hypervisor's disassembly" },
];

const ROOTFS_PACKAGES: &[Needed] = &[
    Needed {
        package: "mmdebstrap",
        probe: || which("mmdebstrap").is_some(),
        why: "puts Debian's packages into a root file system",
    },
    Needed {
        package: "e2fsprogs",
        probe: || which("mkfs.ext4").is_some(),
        why: "makes a disk image from a folder, without a mount",
    },
];

const COMPRESSORS: &[Needed] = &[
    Needed { package: "xz-utils", probe: || which("xz").is_some(), why: "packs a kernel" },
    Needed { package: "bzip2", probe: || which("bzip2").is_some(), why: "packs a kernel" },
    Needed { package: "zstd", probe: || which("zstd").is_some(), why: "packs a kernel" },
    Needed { package: "lz4", probe: || which("lz4").is_some(), why: "packs a kernel" },
];

/// Installs what packs kernels in every way that Linux's build knows.
pub fn ensure_compressors() -> Result<()> {
    ensure(COMPRESSORS)
}

/// Installs what the tests and checks need beyond the toolchain.
pub fn ensure_test_packages() -> Result<()> {
    ensure(TEST_PACKAGES)
}

/// Installs what makes a disk image with Debian's root file system.
pub fn ensure_rootfs_packages() -> Result<()> {
    ensure(ROOTFS_PACKAGES)
}

fn ensure(needed: &[Needed]) -> Result<()> {
    let missing: Vec<&Needed> = needed.iter().filter(|needed| !(needed.probe)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|needed| needed.package).collect();
    for needed in &missing {
        ui::step(format!("needed on this machine: {} ({})", needed.package, needed.why));
    }
    if which("apt-get").is_none() {
        bail!("this machine has no apt: install the like of {} and try again", names.join(", "));
    }
    ui::step(format!("installing {}", names.join(" ")));
    // apt's own words are for the error only.
    let mut install = as_root()?;
    install.args(["apt-get", "install", "-y", "-q", "--no-install-recommends", "--no-remove"]).args(&names);
    if output(&mut install).is_err() {
        output(as_root()?.args(["apt-get", "update", "-q"])).context("the archive cannot be reached")?;
        output(&mut install).with_context(|| {
            format!("`apt-get install {}` did not work; run it yourself to see why", names.join(" "))
        })?;
    }
    Ok(())
}

/// `env`, run as root: directly, or through sudo.
pub fn as_root() -> Result<Command> {
    let root = output(Command::new("id").arg("-u"))?.trim() == "0";
    let mut cmd = if root {
        Command::new("env")
    } else if which("sudo").is_some() {
        let mut sudo = Command::new("sudo");
        sudo.arg("env");
        sudo
    } else {
        bail!("not root and no sudo: run this once as root")
    };
    cmd.arg("DEBIAN_FRONTEND=noninteractive");
    Ok(cmd)
}
