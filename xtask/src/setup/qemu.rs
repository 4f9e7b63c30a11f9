//! QEMU: the machine's own if it is new enough, else backports' unpacked into the cache, else
//! what Debian 12 has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::archive::{Archive, Suite};
use crate::paths::Paths;
use crate::process::{output, which};
use crate::ui;

/// The version below which known emulator faults bite (see docs/decisions/0003-emulator.md).
const WANTED_MAJOR: u32 = 10;

/// A `qemu-system-x86_64` that runs here.
#[derive(Debug, Clone)]
pub struct Qemu {
    program: PathBuf,
    /// The root of the unpacked packages, if it is not installed.
    root: Option<PathBuf>,
    /// Its major version.
    pub major: u32,
    /// Its version as it says it.
    pub version: String,
}

impl Qemu {
    /// Finds QEMU or fetches it.
    pub fn find(paths: &Paths) -> Result<Self> {
        let installed = which("qemu-system-x86_64").and_then(|program| Self::probe(program, None));
        if let Some(qemu) = &installed
            && qemu.major >= WANTED_MAJOR
        {
            return Ok(qemu.clone());
        }
        for (name, suite) in [("qemu-backports", Suite::BookwormBackports), ("qemu", Suite::Bookworm)] {
            if let Some(qemu) = Self::unpacked(&paths.cache.join(name)) {
                return Ok(qemu);
            }
            if suite == Suite::Bookworm
                && let Some(qemu) = &installed
            {
                return Ok(qemu.clone());
            }
            match Self::fetch(paths, name, suite) {
                Ok(qemu) => return Ok(qemu),
                Err(err) if suite == Suite::BookwormBackports => {
                    ui::note(format!("no QEMU {WANTED_MAJOR} from backports ({err:#}); taking Debian 12's"));
                }
                Err(err) => {
                    return Err(err.context(
                        "no qemu-system-x86_64: install QEMU (Debian: `apt-get install qemu-system-x86`) and try again",
                    ));
                }
            }
        }
        unreachable!("the last round of the loop returns")
    }

    fn fetch(paths: &Paths, name: &str, suite: Suite) -> Result<Self> {
        let archive = Archive::open(paths, suite)?;
        let mut packages = archive.missing_closure(&["qemu-system-x86"])?;
        for always in ["qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios", "ipxe-qemu"] {
            if !packages.iter().any(|package| package == always) {
                packages.push(always.to_owned());
            }
        }
        ui::step(format!(
            "downloading QEMU and the {} libraries it lacks here, unpacking them into the cache (not installed)",
            packages.len()
        ));
        let names: Vec<&str> = packages.iter().map(String::as_str).collect();
        let root = paths.cache.join(name);
        archive.unpack(&names, &root)?;
        Self::unpacked(&root).with_context(|| format!("the QEMU unpacked in {} does not run here", root.display()))
    }

    fn unpacked(root: &Path) -> Option<Self> {
        let program = root.join("usr/bin/qemu-system-x86_64");
        if program.exists() { Self::probe(program, Some(root.to_owned())) } else { None }
    }

    fn probe(program: PathBuf, root: Option<PathBuf>) -> Option<Self> {
        let mut qemu = Self { program, root, major: 0, version: String::new() };
        let text = output(qemu.command().arg("--version")).ok()?;
        let version = text.split_whitespace().skip_while(|word| *word != "version").nth(1)?;
        qemu.major = version.split('.').next()?.parse().ok()?;
        version.clone_into(&mut qemu.version);
        Some(qemu)
    }

    /// A command that starts this QEMU, without arguments of a machine.
    pub fn command(&self) -> Command {
        let mut cmd = Command::new(&self.program);
        if let Some(root) = &self.root {
            cmd.env("LD_LIBRARY_PATH", library_path(root));
            cmd.env("QEMU_MODULE_DIR", root.join("usr/lib/x86_64-linux-gnu/qemu"));
            for data in ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"] {
                cmd.arg("-L").arg(root.join(data));
            }
        }
        cmd
    }
}

/// The library folders of an unpacked root, those with a `.so` only.
pub(super) fn library_path(root: &Path) -> std::ffi::OsString {
    let base = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|dir| root.join(dir));
    let mut dirs: Vec<PathBuf> = base.to_vec();
    for dir in &base {
        let subs = fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        dirs.extend(subs.filter(|sub| {
            fs::read_dir(sub).is_ok_and(|mut files| {
                files.any(|file| {
                    file.is_ok_and(|file| {
                        let name = file.file_name().to_string_lossy().into_owned();
                        name.starts_with("lib") && name.contains(".so")
                    })
                })
            })
        }));
    }
    std::env::join_paths(dirs).unwrap_or_default()
}
