//! The micro-benchmark that runs in dom0, one static program.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::build::cargo;
use crate::paths::Paths;
use crate::process::run;
use crate::ui;

/// Builds `lab/fxbench` and returns the program.
pub fn build(paths: &Paths) -> Result<PathBuf> {
    const TARGET: &str = "x86_64-unknown-linux-gnu";
    ui::step("building fxbench");
    let mut cmd = cargo(paths);
    cmd.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-Ctarget-feature=+crt-static -Crelocation-model=static");
    cmd.args(["build", "--quiet", "--release", "--target", TARGET, "-p", "fxbench"]);
    run(&mut cmd).context("fxbench does not build")?;
    Ok(paths.target.join(TARGET).join("release/fxbench"))
}
