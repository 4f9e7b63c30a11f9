//! The micro-benchmark that runs in dom0: static programs, without symbols.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::build::cargo;
use crate::paths::Paths;
use crate::process::run;
use crate::ui;

/// The programs, by name in `/bin`.
pub const PROGRAMS: [&str; 2] = ["fxbench", "fxnothing"];

/// Builds `lab/fxbench` and returns its programs in the order of [`PROGRAMS`].
pub fn build(paths: &Paths) -> Result<[PathBuf; 2]> {
    const TARGET: &str = "x86_64-unknown-linux-gnu";
    let programs = PROGRAMS.map(|name| paths.target.join(TARGET).join("release").join(name));
    if programs.iter().any(|program| !program.exists()) {
        ui::step("building fxbench");
    }
    let mut cmd = cargo(paths);
    cmd.env(
        "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS",
        "-Ctarget-feature=+crt-static -Crelocation-model=static -Cstrip=symbols",
    );
    cmd.args(["build", "--quiet", "--release", "--target", TARGET, "-p", "fxbench"]);
    run(&mut cmd).context("fxbench does not build")?;
    Ok(programs)
}
