//! `./x lab`: hands over to the lab's own program.

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::build::cargo;
use crate::paths::Paths;
use crate::workspace;

/// What `./x lab` is told.
#[derive(Debug, Args)]
pub struct LabArgs {
    /// Passed on
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    args: Vec<String>,
}

const PACKAGE: &str = "ferroxen-lab";

/// `./x lab`.
pub fn main(paths: &Paths, args: &LabArgs) -> Result<i32> {
    if !workspace::packages(paths)?.iter().any(|package| package.name == PACKAGE) {
        bail!("the lab is not built yet: this checkout has no package {PACKAGE}; use `./x boot` and `./x test`");
    }
    let mut cmd = cargo(paths);
    cmd.args(["run", "--quiet", "-p", PACKAGE, "--"]).args(&args.args).stdin(Stdio::inherit());
    let status = cmd.status().context("cannot start cargo")?;
    Ok(status.code().unwrap_or(1))
}
