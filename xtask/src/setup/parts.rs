//! The parts of a machine that come from Debian and live in the cache: kernels, Debian's Xen,
//! busybox.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail};

use super::archive::{Archive, Suite};
use crate::paths::Paths;
use crate::ui;

/// Packages with Xen's tools, and every library that they load, beside what has the release in its name.
const XEN_TOOLS: &[&str] = &[
    "xen-utils-common",
    "bash",
    "util-linux",
    "xenstore-utils",
    "libxencall1",
    "libxendevicemodel1",
    "libxenevtchn1",
    "libxenforeignmemory1",
    "libxengnttab1",
    "libxenhypfs1",
    "libxenstore4",
    "libxentoolcore1",
    "libxentoollog1",
    "libc6",
    "libgcc-s1",
    "libfdt1",
    "libncurses6",
    "libnl-3-200",
    "libnl-route-3-200",
    "libtinfo6",
    "libuuid1",
    "libyajl2",
    "zlib1g",
    "liblzma5",
    "libbz2-1.0",
    "libzstd1",
    "liblzo2-2",
];

/// fio, and what it links with.
const FIO: &[&str] = &[
    "fio",
    "libacl1",
    "libaio1",
    "libargon2-1",
    "libblkid1",
    "libboost-iostreams1.74.0",
    "libboost-thread1.74.0",
    "libbz2-1.0",
    "libc6",
    "libcom-err2",
    "libcryptsetup12",
    "libdaxctl1",
    "libdevmapper1.02.1",
    "libffi8",
    "libfmt9",
    "libgcc-s1",
    "libgfapi0",
    "libgfrpc0",
    "libgfxdr0",
    "libglusterfs0",
    "libgmp10",
    "libgnutls30",
    "libgssapi-krb5-2",
    "libhogweed6",
    "libibverbs1",
    "libicu72",
    "libidn2-0",
    "libjson-c5",
    "libk5crypto3",
    "libkeyutils1",
    "libkmod2",
    "libkrb5-3",
    "libkrb5support0",
    "liblzma5",
    "libnbd0",
    "libndctl6",
    "libnettle8",
    "libnl-3-200",
    "libnl-route-3-200",
    "libnuma1",
    "libp11-kit0",
    "libpcre2-8-0",
    "libpmem1",
    "libpmemblk1",
    "librados2",
    "librbd1",
    "librdmacm1",
    "libselinux1",
    "libssl3",
    "libstdc++6",
    "libtasn1-6",
    "libtirpc3",
    "libudev1",
    "libunistring2",
    "libuuid1",
    "libxml2",
    "libzstd1",
    "zlib1g",
];

/// Which kernel `--kernel` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelChoice {
    /// Debian 12's own.
    Debian61,
    /// The one of bookworm-backports.
    Debian612,
    /// Debian 11's.
    Debian510,
    /// The cloud flavour of 6.1, which cannot be dom0.
    Cloud,
    /// A file: bzImage or ELF.
    File(PathBuf),
}

impl FromStr for KernelChoice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "6.1" => Self::Debian61,
            "6.12" => Self::Debian612,
            "5.10" => Self::Debian510,
            "cloud" => Self::Cloud,
            file => Self::File(PathBuf::from(file)),
        })
    }
}

/// A kernel and the modules that belong to it.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// bzImage or ELF.
    pub image: PathBuf,
    /// `lib/modules/VERSION`, if there is one for this kernel.
    pub modules: Option<PathBuf>,
    /// The release (`6.1.0-56-amd64`), or the file's name.
    pub release: String,
}

/// A Xen release that a Debian has tools of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XenRelease {
    /// Debian 12's.
    V4_17,
    /// Debian 13's.
    V4_20,
}

impl XenRelease {
    /// As in the names of packages.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4_17 => "4.17",
            Self::V4_20 => "4.20",
        }
    }

    fn suite(self) -> Suite {
        match self {
            Self::V4_17 => Suite::Bookworm,
            Self::V4_20 => Suite::Trixie,
        }
    }
}

/// Debian's Xen tools, unpacked.
#[derive(Debug, Clone)]
pub struct XenTools {
    /// The root of the unpacked packages.
    pub root: PathBuf,
    /// Whose they are.
    pub release: XenRelease,
}

/// Gets parts into the cache.
#[derive(Debug)]
pub struct Parts<'a> {
    paths: &'a Paths,
}

impl<'a> Parts<'a> {
    /// Parts in the cache of `paths`.
    pub fn new(paths: &'a Paths) -> Self {
        Self { paths }
    }

    /// busybox, statically linked.
    pub fn busybox(&self) -> Result<PathBuf> {
        let root = self.unpacked("busybox", Suite::Bookworm, &["busybox-static"], "busybox (0.9 MB)")?;
        ["bin/busybox", "usr/bin/busybox"]
            .iter()
            .map(|at| root.join(at))
            .find(|file| file.exists())
            .with_context(|| format!("busybox-static in {} holds no busybox; remove that folder", root.display()))
    }

    /// The kernel that was asked for, with its modules.
    pub fn kernel(&self, choice: &KernelChoice) -> Result<Kernel> {
        let (name, suite, meta, size) = match choice {
            KernelChoice::Debian61 => ("kernel-6.1", Suite::Bookworm, "linux-image-amd64", "70 MB"),
            KernelChoice::Debian612 => ("kernel-6.12", Suite::BookwormBackports, "linux-image-amd64", "100 MB"),
            KernelChoice::Debian510 => ("kernel-5.10", Suite::Bullseye, "linux-image-amd64", "70 MB"),
            KernelChoice::Cloud => ("kernel-cloud", Suite::Bookworm, "linux-image-cloud-amd64", "30 MB"),
            KernelChoice::File(file) => return kernel_file(file),
        };
        let root = self.paths.cache.join(name);
        if !root.exists() {
            ui::step(format!("downloading Debian's kernel package ({size}) and unpacking it into the cache"));
            let archive = Archive::open(self.paths, suite)?;
            let meta =
                if suite == Suite::BookwormBackports { format!("{meta}/bookworm-backports") } else { meta.to_owned() };
            let package = archive.depends(&meta, "linux-image-")?;
            archive.unpack(&[&package], &root)?;
        }
        kernel_in(&root)
    }

    /// Debian's Xen 4.17 hypervisor, unzipped: a Multiboot 1 ELF.
    pub fn xen(&self) -> Result<PathBuf> {
        let root = self.unpacked(
            "xen-4.17",
            Suite::Bookworm,
            &["xen-hypervisor-4.17-amd64"],
            "Debian's Xen hypervisor (2 MB)",
        )?;
        let elf = root.join("xen-4.17.elf");
        if !elf.exists() {
            let packed = File::open(root.join("boot/xen-4.17-amd64.gz"))
                .context("Debian's Xen package holds no boot/xen-4.17-amd64.gz")?;
            let fresh = root.join(format!("xen.new-{}", std::process::id()));
            io::copy(&mut flate2::read::GzDecoder::new(packed), &mut File::create(&fresh)?)?;
            fs::rename(fresh, &elf)?;
        }
        Ok(elf)
    }

    /// Debian's Xen tools of a release with their libraries.
    pub fn xen_tools(&self, release: XenRelease) -> Result<XenTools> {
        let name = release.name();
        let own = [format!("xen-utils-{name}"), format!("libxenmisc{name}")];
        let packages: Vec<&str> = own.iter().map(String::as_str).chain(XEN_TOOLS.iter().copied()).collect();
        let root = self.unpacked(
            &format!("xen-tools-{name}"),
            release.suite(),
            &packages,
            &format!("Debian's Xen {name} tools and libraries (8 MB)"),
        )?;
        Ok(XenTools { root, release })
    }

    /// The public headers of Xen 4.20, which the tests of `xen-abi` compare with.
    pub fn xen_headers_4_20(&self) -> Result<PathBuf> {
        self.unpacked("xen-headers-4.20", Suite::Trixie, &["libxen-dev"], "Xen 4.20's headers (1 MB)")
    }

    /// fio with the libraries that it links with.
    pub fn fio(&self) -> Result<PathBuf> {
        self.unpacked("fio", Suite::Bookworm, FIO, "fio and its libraries (40 MB)")
    }

    fn unpacked(&self, name: &str, suite: Suite, packages: &[&str], what: &str) -> Result<PathBuf> {
        let root = self.paths.cache.join(name);
        if !root.exists() {
            ui::step(format!("downloading {what} and unpacking it into the cache"));
            Archive::open(self.paths, suite)
                .and_then(|archive| archive.unpack(packages, &root))
                .with_context(|| format!("cannot get {}", packages.join(" ")))?;
        }
        Ok(root)
    }
}

/// The one kernel of an unpacked linux-image package.
fn kernel_in(root: &Path) -> Result<Kernel> {
    let image = first_with_prefix(&root.join("boot"), "vmlinuz-")?;
    let name = image.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let release = name.trim_start_matches("vmlinuz-").to_owned();
    let modules =
        ["lib/modules", "usr/lib/modules"].iter().map(|at| root.join(at).join(&release)).find(|dir| dir.is_dir());
    Ok(Kernel { image, modules, release })
}

/// A kernel by file name; its modules are looked for where distributions put them.
fn kernel_file(file: &Path) -> Result<Kernel> {
    let image = fs::canonicalize(file)
        .with_context(|| format!("no kernel {} (give a file, or one of 6.1, 6.12, 5.10, cloud)", file.display()))?;
    let name = image.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if let Some(release) = name.strip_prefix("vmlinuz-") {
        let above = image.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
        let modules = [above.join("lib/modules"), above.join("usr/lib/modules"), PathBuf::from("/lib/modules")]
            .into_iter()
            .map(|dir| dir.join(release))
            .find(|dir| dir.is_dir());
        return Ok(Kernel { image: image.clone(), modules, release: release.to_owned() });
    }
    Ok(Kernel { image, modules: None, release: name })
}

fn first_with_prefix(dir: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)))
        .collect();
    found.sort();
    match found.into_iter().next() {
        Some(path) => Ok(path),
        None => bail!("{} holds no {prefix}*; remove {} and try again", dir.display(), dir.display()),
    }
}
