//! loom's models of `sync/` and `core/`: the same sources, built so that every atomic operation is loom's.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Tally, cargo};
use crate::build;
use crate::paths::Paths;

/// Packages with a `tests/loom.rs`.
const PACKAGES: [&str; 2] = ["ferroxen-sync", "ferroxen-core"];

/// Runs all models.
pub fn run(paths: &Paths, tally: &mut Tally) -> Result<()> {
    for package in PACKAGES {
        let mut cmd = build::cargo(paths);
        environment(&mut cmd, &paths.target);
        cmd.args(["test", "--package", package, "--features", "std", "--test", "loom"]);
        cargo::run(&format!("loom of {package}"), &mut cmd, tally)?;
    }
    Ok(())
}

/// Makes cargo build for loom, below `target`: in a folder of its own, so that nothing else is built anew; optimised, because
/// a model runs thousands of times.
pub fn environment(cmd: &mut Command, target: &Path) {
    cmd.env("RUSTFLAGS", "--cfg loom")
        .env("CARGO_TARGET_DIR", target.join("loom"))
        .envs([("CARGO_PROFILE_DEV_OPT_LEVEL", "2"), ("CARGO_PROFILE_TEST_OPT_LEVEL", "2")]);
}
