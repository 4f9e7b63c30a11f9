//! Our own tools: static programs in `dist/sbin`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::build::{cargo, remap_flags};
use crate::paths::Paths;
use crate::process::run;
use crate::ui;

/// The programs, and other names that they are installed under.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("xm", &["xl", "xentop"]),
    ("xenstored", &[]),
    ("xenconsoled", &[]),
    ("blkback", &["blkimg"]),
    ("xen-exporter", &[]),
    (
        "xenstore",
        &[
            "xenstore-ls",
            "xenstore-read",
            "xenstore-write",
            "xenstore-rm",
            "xenstore-list",
            "xenstore-exists",
            "xenstore-chmod",
            "xenstore-watch",
            "xenstore-control",
        ],
    ),
];

/// The programs' names.
pub fn programs() -> impl Iterator<Item = &'static str> {
    PROGRAMS.iter().map(|(name, _)| *name)
}

/// Other names, each with its program.
pub fn links() -> Vec<(&'static str, &'static str)> {
    PROGRAMS.iter().flat_map(|(name, others)| others.iter().map(|other| (*other, *name))).collect()
}

/// Where the programs are in a machine.
const INSIDE: &str = "usr/local/sbin";

/// Builds the tools into `dist/sbin`; gives `(path in a machine, file)` of each.
pub fn build(paths: &Paths) -> Result<Vec<(String, PathBuf)>> {
    const TARGET: &str = "x86_64-unknown-linux-gnu";
    ui::step("building the tools");
    let mut cmd = cargo(paths);
    // Encoded, because a folder's name may hold a blank.
    let mut flags = vec!["-Ctarget-feature=+crt-static", "-Crelocation-model=static", "-Cstrip=symbols"];
    let remap = remap_flags(paths);
    flags.extend(remap.iter().map(String::as_str));
    cmd.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    cmd.args(["build", "--quiet", "--profile", "tools", "--target", TARGET]);
    for (name, _) in PROGRAMS {
        cmd.args(["-p", name]);
    }
    run(&mut cmd).context("the tools do not build")?;
    let built = paths.target.join(TARGET).join("tools");
    let sbin = paths.dist.join("sbin");
    fs::create_dir_all(&sbin)?;
    let mut files = Vec::new();
    for (name, others) in PROGRAMS {
        let to = sbin.join(name);
        let fresh = sbin.join(format!("{name}.new"));
        fs::copy(built.join(name), &fresh).with_context(|| format!("cannot write {}", fresh.display()))?;
        fs::rename(&fresh, &to)?;
        files.push((format!("{INSIDE}/{name}"), to));
        for other in *others {
            let link = sbin.join(other);
            relink(name, &link)?;
            files.push((format!("{INSIDE}/{other}"), link));
        }
    }
    Ok(files)
}

fn relink(target: &str, link: &Path) -> Result<()> {
    if fs::read_link(link).is_ok_and(|old| old == Path::new(target)) {
        return Ok(());
    }
    let _ = fs::remove_file(link);
    std::os::unix::fs::symlink(target, link).with_context(|| format!("cannot make {}", link.display()))
}
