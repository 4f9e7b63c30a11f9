//! `./x check`: what a reviewer should not have to look for.

mod disassembly;
mod mutants;
mod rooms;
mod survivors;
mod tree;
mod unsafety;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::build::{self, BARE_METAL, cargo};
use crate::paths::Paths;
use crate::process::run;
use crate::{setup, ui};

/// What `./x check` is told.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Only what needs no compiler: format, rooms, unsafe
    #[arg(long)]
    fast: bool,
    /// Instead: make each change of core/mutants.toml and tools/mutants.toml and see that its test notices (slow)
    #[arg(long, group = "mutation", conflicts_with = "fast")]
    mutants: bool,
    /// Instead: try all that cargo-mutants would change in core/, and compare what no test notices with core/survivors.toml
    #[arg(long, group = "mutation", conflicts_with = "fast")]
    survivors: bool,
    /// Only mutants whose name or file contains this
    #[arg(long, value_name = "WORDS", requires = "mutation")]
    only: Option<String>,
    /// With --survivors: the results.jsonl of an earlier run; what was caught then, at the same line, is not tried again
    #[arg(long, value_name = "FILE", requires = "survivors")]
    again: Option<PathBuf>,
}

/// `./x check`: every check runs, then the failed ones are named.
pub fn main(paths: &Paths, args: &CheckArgs) -> Result<i32> {
    if args.mutants {
        return mutants::main(paths, args.only.as_deref());
    }
    if args.survivors {
        return survivors::main(paths, args.only.as_deref(), args.again.as_deref());
    }
    let mut failed = Vec::new();
    let mut check = |name: &'static str, result: Result<()>| match result {
        Ok(()) => println!("{} {name}", ui::styled("32", "ok    ")),
        Err(err) => {
            println!("{} {name}: {err:#}", ui::styled("1;31", "FAILED"));
            failed.push(name);
        }
    };
    check(
        "rustfmt",
        run(cargo(paths).args(["fmt", "--all", "--check", "--", "-l"])).context("`cargo fmt` puts that right"),
    );
    check("dependency direction", rooms::check(paths));
    check("unsafe", unsafety::report(paths));
    if !args.fast {
        check("clippy on the host", clippy(paths, &["--workspace", "--all-targets"]));
        check("clippy on the bare machine", clippy(paths, &["-p", "ferroxen", "--target", BARE_METAL]));
        check(
            "no vector or x87 register in the hypervisor",
            setup::ensure_test_packages().and_then(|()| {
                build::hypervisor(paths)?;
                disassembly::check(&paths.debug_symbols())
            }),
        );
    }
    Ok(i32::from(!failed.is_empty()))
}

fn clippy(paths: &Paths, what: &[&str]) -> Result<()> {
    run(cargo(paths).args(["clippy", "--quiet"]).args(what).args(["--", "-D", "warnings"]))
}
