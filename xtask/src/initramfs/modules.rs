//! The kernel modules of an initramfs: those we name, with what they depend on, and the files
//! that busybox's modprobe reads. depmod is not needed: a module says it all in `.modinfo`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use object::{Object, ObjectSection};

/// Loaded always, if the kernel has them: Xen's interfaces for tools and back ends.
pub const XEN: &[&str] =
    &["xen-evtchn", "xen-privcmd", "xen-gntdev", "xen-gntalloc", "xenfs", "xen-blkback", "xen-netback", "xen-pciback"];

/// There to be loaded when a device or a command asks for them.
const OTHERS: &[&str] = &[
    "xen-blkfront",
    "xen-netfront",
    "bridge",
    "stp",
    "llc",
    "tun",
    "loop",
    "af_packet",
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "virtio_scsi",
    "virtio_rng",
    "virtio_balloon",
    "e1000",
    "e1000e",
    "igb",
    "igbvf",
    "8139cp",
    "ahci",
    "ata_piix",
    "ata_generic",
    "sd_mod",
    "sr_mod",
    "nvme",
    "ext4",
    "crc32c_generic",
    "crc32c-intel",
    "crc32_generic",
    "libcrc32c",
    "vfat",
    "nls_cp437",
    "nls_ascii",
    "nls_utf8",
    "isofs",
    "squashfs",
    "overlay",
    "dm-mod",
    "rtc-cmos",
    "i2c-piix4",
    "msr",
    "cpuid",
    "efivarfs",
];

/// One module file with what its `.modinfo` says.
struct Module {
    path: PathBuf,
    /// The path inside `lib/modules/RELEASE`, without a compression suffix.
    inner: String,
}

struct Info {
    depends: Vec<String>,
    aliases: Vec<String>,
}

/// A module that goes into the initramfs.
pub struct Picked {
    /// The path inside `lib/modules/RELEASE`.
    pub inner: String,
    /// The ELF file, unpacked.
    pub content: Vec<u8>,
}

/// The modules, `modules.dep` and `modules.alias`.
pub struct Selection {
    /// Files, by path.
    pub modules: Vec<Picked>,
    /// For modprobe.
    pub dep: String,
    /// For modprobe, by alias (PCI ids, file systems).
    pub alias: String,
}

/// Picks what an initramfs takes from `dir` (`lib/modules/RELEASE`). What the kernel has built in or
/// does not have is left out without a word: kernels differ.
pub fn select(dir: &Path) -> Result<Selection> {
    let names: Vec<&str> = XEN.iter().chain(OTHERS).copied().collect();
    select_named(dir, &names)
}

/// The same with these modules and what they need.
pub fn select_named(dir: &Path, names: &[&str]) -> Result<Selection> {
    let mut all = BTreeMap::new();
    walk(dir, dir, &mut all)?;
    let mut wanted: Vec<String> = names.iter().map(|name| canonical(name)).collect();
    let mut seen = BTreeSet::new();
    let mut selection = Selection { modules: Vec::new(), dep: String::new(), alias: String::new() };
    let mut direct: BTreeMap<String, Vec<String>> = BTreeMap::new();
    while let Some(name) = wanted.pop() {
        let Some(module) = all.get(&name) else { continue };
        if !seen.insert(name.clone()) {
            continue;
        }
        let content = load(&module.path)?;
        let info = modinfo(&content).with_context(|| format!("{} is no kernel module", module.path.display()))?;
        for alias in info.aliases {
            writeln!(selection.alias, "alias {alias} {name}")?;
        }
        wanted.extend(info.depends.iter().cloned());
        direct.insert(name, info.depends);
        selection.modules.push(Picked { inner: module.inner.clone(), content });
    }
    selection.modules.sort_by(|a, b| a.inner.cmp(&b.inner));
    for name in direct.keys() {
        let Some(module) = all.get(name) else { continue };
        let mut order = Vec::new();
        load_order(name, &direct, &mut order);
        // modprobe loads the last of the line first; the module itself stands before the colon.
        let needed: String = order
            .iter()
            .rev()
            .skip(1)
            .filter_map(|dependency| all.get(dependency))
            .map(|module| format!(" {}", module.inner))
            .collect();
        writeln!(selection.dep, "{}:{needed}", module.inner)?;
    }
    Ok(selection)
}

/// Appends what `name` needs, then `name`, each once, in an order in which they can be loaded.
fn load_order(name: &str, direct: &BTreeMap<String, Vec<String>>, order: &mut Vec<String>) {
    if order.iter().any(|done| done == name) {
        return;
    }
    for dependency in direct.get(name).into_iter().flatten() {
        load_order(dependency, direct, order);
    }
    order.push(name.to_owned());
}

/// A module's name as the kernel compares it: `-` and `_` are one.
fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

fn walk(base: &Path, dir: &Path, all: &mut BTreeMap<String, Module>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let entry = entry?;
        let path = entry.path();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(base, &path, all)?;
            continue;
        }
        let Some(inner) = path.strip_prefix(base).ok().and_then(Path::to_str) else { continue };
        let Some(stem) = inner
            .strip_suffix(".ko")
            .or_else(|| inner.strip_suffix(".ko.xz"))
            .or_else(|| inner.strip_suffix(".ko.zst"))
        else {
            continue;
        };
        let name = canonical(stem.rsplit('/').next().unwrap_or(stem));
        let inner = format!("{stem}.ko");
        all.insert(name, Module { path, inner });
    }
    Ok(())
}

/// The module's ELF file, unpacked if it is packed.
fn load(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut plain = Vec::new();
    match path.extension().and_then(|ext| ext.to_str()) {
        Some("xz") => lzma_rust2::XzReader::new(bytes.as_slice(), true).read_to_end(&mut plain)?,
        Some("zst") => ruzstd::decoding::StreamingDecoder::new(bytes.as_slice())?.read_to_end(&mut plain)?,
        _ => return Ok(bytes),
    };
    Ok(plain)
}

fn modinfo(content: &[u8]) -> Result<Info> {
    let elf = object::File::parse(content)?;
    let section = elf.section_by_name(".modinfo").context("no .modinfo")?;
    let mut info = Info { depends: Vec::new(), aliases: Vec::new() };
    for field in section.data()?.split(|byte| *byte == 0) {
        let Ok(field) = std::str::from_utf8(field) else { continue };
        if let Some(names) = field.strip_prefix("depends=") {
            info.depends.extend(names.split(',').filter(|name| !name.is_empty()).map(canonical));
        } else if let Some(alias) = field.strip_prefix("alias=") {
            info.aliases.push(alias.to_owned());
        } else if let Some(soft) = field.strip_prefix("softdep=pre: ") {
            // ext4 asks for its checksum only so.
            info.depends.extend(soft.split_whitespace().map(canonical));
        }
    }
    Ok(info)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_loaded_after_everything_that_it_or_its_dependencies_need() {
        let direct: BTreeMap<String, Vec<String>> = [
            ("ahci", vec!["libata", "libahci"]),
            ("libahci", vec!["libata"]),
            ("libata", vec!["scsi_mod", "scsi_common"]),
            ("scsi_mod", vec!["scsi_common"]),
            ("scsi_common", vec![]),
        ]
        .into_iter()
        .map(|(name, needs)| (name.to_owned(), needs.into_iter().map(str::to_owned).collect()))
        .collect();
        let mut order = Vec::new();
        load_order("ahci", &direct, &mut order);
        assert_eq!(order, ["scsi_common", "scsi_mod", "libata", "libahci", "ahci"]);
    }
}
