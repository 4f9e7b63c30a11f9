//! `./x build`: the hypervisor, as a user installs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::paths::Paths;
use crate::process::{run, which};
use crate::{symbol_table, ui};

/// The target of everything that runs without an operating system.
pub const BARE_METAL: &str = "x86_64-unknown-none";

/// What `./x build` is told.
#[derive(Debug, Args)]
pub struct BuildArgs {}

/// `./x build`.
pub fn main(paths: &Paths, _args: &BuildArgs) -> Result<i32> {
    let file = hypervisor(paths)?;
    let size = file.metadata()?.len() / 1024;
    println!("{} ({size} KiB), symbols in {}.debug", file.display(), file.display());
    Ok(0)
}

/// Builds the hypervisor into `dist/ferroxen`, its symbols beside it, and returns the path.
pub fn hypervisor(paths: &Paths) -> Result<PathBuf> {
    let built = compile(paths, &["ferroxen"], &identity(paths))?;
    let elf = built.join("ferroxen");
    if !elf.exists() {
        bail!("cargo built no hypervisor: {} is not there", elf.display());
    }
    fs::create_dir_all(&paths.dist)?;
    let to = paths.hypervisor();
    // Another `./x` may read or build at the same time.
    let fresh = |name: &str| paths.dist.join(format!("{name}.new-{}", std::process::id()));
    let (debug, stripped) = (fresh("ferroxen.debug"), fresh("ferroxen"));
    fs::copy(&elf, &debug).with_context(|| format!("cannot write {}", debug.display()))?;
    symbol_table::fill(&debug)?;
    strip(&debug, &stripped)?;
    fs::rename(&debug, paths.debug_symbols())?;
    fs::rename(&stripped, &to)?;
    Ok(to)
}

/// Builds `packages` for the bare machine and returns the folder that cargo puts them in.
pub fn bare_metal(paths: &Paths, packages: &[&str]) -> Result<PathBuf> {
    compile(paths, packages, &[])
}

/// What the hypervisor says of its build (`xm info`): of one commit it is the same on every machine.
fn identity(paths: &Paths) -> Vec<(&'static str, String)> {
    let said = |cmd: &mut Command| {
        let out = cmd.current_dir(&paths.root).output().ok().filter(|out| out.status.success())?;
        Some(String::from_utf8_lossy(&out.stdout).trim().to_owned()).filter(|text| !text.is_empty())
    };
    let date = ["log", "-1", "--format=%cd", "--date=format-local:%a %b %e %H:%M:%S UTC %Y"];
    [
        ("FERROXEN_COMPILER", said(Command::new("rustc").arg("--version"))),
        ("FERROXEN_DATE", said(Command::new("git").args(date).env("TZ", "UTC"))),
        (
            "FERROXEN_CHANGESET",
            said(Command::new("git").args(["rev-parse", "--short=12", "HEAD"])).map(|id| format!("ferroxen {id}")),
        ),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}

fn compile(paths: &Paths, packages: &[&str], env: &[(&str, String)]) -> Result<PathBuf> {
    let names = packages.join(", ");
    ui::step(format!("building {names} for {BARE_METAL}"));
    let mut cmd = cargo(paths);
    cmd.envs(env.iter().map(|(name, value)| (name, value)));
    cmd.args(["build", "--quiet", "--release", "--target", BARE_METAL]);
    for package in packages {
        cmd.args(["-p", package]);
    }
    cmd.arg("--config").arg(remapped(paths));
    run(&mut cmd).with_context(|| format!("{names}: does not build"))?;
    Ok(paths.target.join(BARE_METAL).join("release"))
}

/// cargo in the checkout, with nothing of the caller's environment that would change what is built.
pub fn cargo(paths: &Paths) -> Command {
    let mut cmd = Command::new("cargo");
    cmd.current_dir(&paths.root);
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        cmd.env_remove(name);
    }
    // `xtask` itself runs under cargo's proxies: what they set for it is not for what it builds.
    cmd.env("CARGO_TARGET_DIR", &paths.target);
    cmd
}

/// The flags that keep this machine's paths out of what is built, as cargo's configuration: two
/// builds in different folders are the same, byte for byte.
fn remapped(paths: &Paths) -> String {
    let flags: Vec<String> = remap_flags(paths).iter().map(|flag| format!("'{flag}'")).collect();
    format!("target.{BARE_METAL}.rustflags=[{}]", flags.join(","))
}

/// The same as flags of rustc.
pub fn remap_flags(paths: &Paths) -> [String; 2] {
    let home = std::env::var_os("HOME").map_or_else(PathBuf::new, PathBuf::from);
    let cargo_home = std::env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    [(&paths.root, "/ferroxen"), (&cargo_home, "/cargo")]
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()))
}

/// Copies an ELF file without its debugging sections; function names stay.
fn strip(from: &Path, to: &Path) -> Result<()> {
    if which("objcopy").is_none() {
        fs::copy(from, to)?;
        return Ok(());
    }
    run(Command::new("objcopy").arg("--strip-debug").arg(from).arg(to))
}
