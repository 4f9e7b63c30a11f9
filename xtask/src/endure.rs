//! The programs of the long runs, for dom0: `fxclock` (does time run backwards?) and `fx32` (32-bit programs).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::build::cargo;
use crate::paths::Paths;
use crate::process::run;
use crate::ui;

/// Builds them; gives where each goes in dom0, and its file here.
pub fn build(paths: &Paths) -> Result<Vec<(String, PathBuf)>> {
    Ok(vec![("bin/fxclock".to_owned(), fxclock(paths)?), ("bin/fx32".to_owned(), fx32(paths)?)])
}

fn fxclock(paths: &Paths) -> Result<PathBuf> {
    const TARGET: &str = "x86_64-unknown-linux-gnu";
    let program = paths.target.join(TARGET).join("release/fxclock");
    if !program.exists() {
        ui::step("building fxclock");
    }
    let mut cmd = cargo(paths);
    cmd.env(
        "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS",
        "-Ctarget-feature=+crt-static -Crelocation-model=static -Cstrip=symbols",
    );
    cmd.args(["build", "--quiet", "--release", "--target", TARGET, "-p", "fxclock"]);
    run(&mut cmd).context("fxclock does not build")?;
    Ok(program)
}

/// A compiler for 64 bits makes it as well: it uses no library.
fn fx32(paths: &Paths) -> Result<PathBuf> {
    let source = paths.root.join("lab/fxclock/fx32.c");
    let program = paths.target.join("fx32");
    if newer(&program, &source) {
        return Ok(program);
    }
    let mut cmd = Command::new("cc");
    cmd.args(["-m32", "-O1", "-Wall", "-nostdlib", "-static", "-fno-pie", "-no-pie", "-fno-stack-protector", "-o"]);
    cmd.arg(&program).arg(&source);
    run(&mut cmd).context("fx32 does not build")?;
    Ok(program)
}

fn newer(product: &Path, source: &Path) -> bool {
    let time = |file: &Path| fs::metadata(file).and_then(|meta| meta.modified()).ok();
    matches!((time(product), time(source)), (Some(product), Some(source)) if product > source)
}
