//! fio for a guest: Debian's program and the libraries that it loads, as an archive that the guest finds on a disk.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use anyhow::Result;

use super::cpio::Cpio;
use super::tools::needed;
use crate::paths::Paths;
use crate::setup::Parts;

/// The loader's name in Debian's libc6.
const LOADER: &str = "ld-linux-x86-64.so.2";

/// The archive, built unless the cache has it: `fio`, its libraries and their loader, side by side.
pub fn archive(paths: &Paths) -> Result<PathBuf> {
    let root = Parts::new(paths).fio()?;
    let archive = root.join("fio.cpio");
    if archive.exists() {
        return Ok(archive);
    }
    let program = root.join("usr/bin/fio");
    let mut libraries = BTreeSet::new();
    needed(&root, &program, &mut libraries)?;
    libraries.extend(
        ["lib", "usr/lib"]
            .map(|dir| root.join(dir).join("x86_64-linux-gnu").join(LOADER))
            .into_iter()
            .find(|path| path.exists()),
    );
    let fresh = archive.with_extension(format!("new-{}", std::process::id()));
    let mut cpio = Cpio::new(BufWriter::new(File::create(&fresh)?));
    for file in libraries.iter().chain([&program]) {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        // What a link leads to, under the link's name.
        cpio.file(&name, 0o755, &fs::read(file)?)?;
    }
    cpio.finish()?.flush()?;
    // A disk has whole sectors.
    let file = File::options().write(true).open(&fresh)?;
    file.set_len(file.metadata()?.len().next_multiple_of(4096))?;
    fs::rename(&fresh, &archive)?;
    Ok(archive)
}
