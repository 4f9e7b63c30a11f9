//! `./x check --survivors`: every mutant that cargo-mutants makes of `core/`, tried by the tests of `core/` and `sim/`; those
//! that no test notices are compared with the list `core/survivors.toml`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::tree::Tree;
use crate::build::cargo;
use crate::paths::Paths;
use crate::process::run;
use crate::ui;

/// Its list of mutants is the measure: another version makes others.
const CARGO_MUTANTS: &str = "27.1.0";

/// Runs the mutants whose name contains `only`, but for those that the results in the file `again` call caught. The exit status
/// is 0 if the list is right.
pub fn main(paths: &Paths, only: Option<&str>, again: Option<&Path>) -> Result<i32> {
    let cargo_mutants = cargo_mutants(paths)?;
    let dir = paths.target.join("schemata");
    let tree = Tree::sync(paths, dir.join("tree"))?;
    ui::step("building all mutants at once, then trying them; it takes two hours of one core");
    run(cargo(paths).args(["build", "--quiet", "--package", "schemata"]))?;
    let mut cmd = Command::new(paths.target.join("debug/schemata"));
    cmd.arg("--tree").arg(tree.root()).arg("--work").arg(dir.join("work")).arg("--cargo-mutants").arg(cargo_mutants);
    cmd.args(["--package", "ferroxen-core", "--root", "core/src/lib.rs", "--tests-of", "ferroxen-sim"]);
    cmd.arg("--survivors").arg(paths.root.join("core/survivors.toml"));
    cmd.args(only.iter().flat_map(|only| ["--only", *only]));
    cmd.args(again.iter().flat_map(|file| [OsStr::new("--again"), file.as_os_str()]));
    let status = cmd.status().context("cannot start schemata")?;
    Ok(status.code().unwrap_or(1))
}

/// The program, built into the cache unless it is there.
fn cargo_mutants(paths: &Paths) -> Result<PathBuf> {
    let root = paths.cache.join(format!("cargo-mutants-{CARGO_MUTANTS}"));
    let program = root.join("bin/cargo-mutants");
    if !program.exists() {
        ui::step("building cargo-mutants into the cache; it takes minutes");
        let mut cmd = cargo(paths);
        cmd.args(["install", "--quiet", "--locked", "--version", CARGO_MUTANTS, "cargo-mutants", "--root"]).arg(&root);
        run(cmd.env("CARGO_TARGET_DIR", paths.target.join("cargo-mutants"))).context("cannot build cargo-mutants")?;
    }
    Ok(program)
}
