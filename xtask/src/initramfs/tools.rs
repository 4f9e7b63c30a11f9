//! Debian's Xen tools for the initramfs: programs, scripts, and the libraries that they load.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use object::read::elf::{Dyn, FileHeader};

use super::cpio::Cpio;
use crate::setup::XenTools;

/// Programs that are taken, by path in Debian's packages. Those of `usr/lib/xen-RELEASE/bin` come whole.
const PROGRAMS: &[&str] = &[
    "usr/bin/xenstore",
    "usr/bin/xenstore-control",
    "usr/bin/xenstore-ls",
    "usr/bin/xenstore-read",
    "usr/bin/xenstore-write",
    "usr/bin/xenstore-rm",
    "usr/bin/xenstore-list",
    "usr/bin/xenstore-exists",
    "usr/bin/xenstore-watch",
    "usr/bin/xenstore-chmod",
    "usr/bin/xen-detect",
    "usr/sbin/xenhypfs",
    "bin/bash",
    "usr/bin/bash",
    "usr/bin/flock",
];

/// Left out of `usr/lib/xen-RELEASE/bin`: scripts of Python, and what is large and not used here.
const LEFT_OUT: &[&str] = &["pygrub", "convert-legacy-stream", "xen-cpuid", "xenmon"];

/// Adds the tools of the unpacked packages.
pub fn add<W: Write>(cpio: &mut Cpio<W>, tools: &XenTools) -> Result<()> {
    let (root, release) = (tools.root.as_path(), tools.release.name());
    let mut programs: Vec<PathBuf> = PROGRAMS.iter().map(|at| root.join(at)).filter(|file| file.exists()).collect();
    let bin = root.join(format!("usr/lib/xen-{release}/bin"));
    for entry in fs::read_dir(&bin).with_context(|| format!("cannot read {}", bin.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_file() && !LEFT_OUT.contains(&name.as_str()) {
            programs.push(path);
        }
    }
    programs.sort();
    let mut libraries = BTreeSet::new();
    for program in &programs {
        let inner = inner(root, program)?;
        cpio.host(&inner, program)?;
        needed(root, program, &mut libraries)?;
    }
    // glibc loads this one by name when a thread is cancelled, as libxl's background process does.
    let unwinder = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|dir| root.join(dir).join("libgcc_s.so.1"));
    libraries.extend(unwinder.into_iter().find(|path| path.exists()));
    for library in &libraries {
        // The content under the soname: one file, no chain of links.
        let content = fs::read(library)?;
        cpio.file(&inner(root, library)?, 0o755, &content)?;
    }
    let loader = root.join("lib/x86_64-linux-gnu/ld-linux-x86-64.so.2");
    let loader = if loader.exists() { loader } else { root.join("usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2") };
    cpio.file("lib64/ld-linux-x86-64.so.2", 0o755, &fs::read(loader).context("libc6 holds no dynamic loader")?)?;
    copy_dir(cpio, root, &root.join("etc/xen"))?;
    Ok(())
}

fn inner(root: &Path, file: &Path) -> Result<String> {
    Ok(file.strip_prefix(root)?.to_string_lossy().into_owned())
}

fn copy_dir<W: Write>(cpio: &mut Cpio<W>, root: &Path, dir: &Path) -> Result<()> {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            copy_dir(cpio, root, &path)?;
        } else {
            cpio.host(&inner(root, &path)?, &path)?;
        }
    }
    Ok(())
}

/// Adds the libraries that the ELF file `file` names, and those that they name.
pub(super) fn needed(root: &Path, file: &Path, found: &mut BTreeSet<PathBuf>) -> Result<()> {
    let bytes = fs::read(file)?;
    if !bytes.starts_with(b"\x7fELF") {
        return Ok(());
    }
    for name in sonames(&bytes).with_context(|| format!("cannot read {}", file.display()))? {
        if name.starts_with("ld-linux") {
            continue;
        }
        let folders = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/ceph"];
        let Some(library) = folders.iter().map(|dir| root.join(dir).join(&name)).find(|path| path.exists()) else {
            bail!("{} needs {name}, which none of the unpacked packages holds", file.display());
        };
        if found.insert(library.clone()) {
            needed(root, &library, found)?;
        }
    }
    Ok(())
}

/// The `DT_NEEDED` names of a 64-bit ELF file.
fn sonames(bytes: &[u8]) -> Result<Vec<String>> {
    let header = object::elf::FileHeader64::<object::Endianness>::parse(bytes)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, bytes)?;
    let Some((entries, index)) = sections.dynamic(endian, bytes)? else { return Ok(Vec::new()) };
    let strings = sections.strings(endian, bytes, index)?;
    entries
        .iter()
        .filter(|entry| entry.tag32(endian) == Some(object::elf::DT_NEEDED))
        .map(|entry| Ok(String::from_utf8_lossy(entry.string(endian, strings)?).into_owned()))
        .collect()
}
