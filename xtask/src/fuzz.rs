//! `./x fuzz`: cargo-fuzz on the targets of `fuzz/`.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::paths::Paths;
use crate::process::{output, which};
use crate::test::Tally;
use crate::ui;

/// What `./x fuzz` is told.
#[derive(Debug, Args)]
pub struct FuzzArgs {
    /// Targets; all if none is named
    targets: Vec<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 60, value_name = "S")]
    seconds: u64,
    /// Hours for each target, instead of --seconds
    #[arg(long, value_name = "H", conflicts_with = "seconds")]
    hours: Option<f64>,
    /// Only name the targets
    #[arg(long)]
    list: bool,
}

/// `./x fuzz`.
pub fn main(paths: &Paths, args: &FuzzArgs) -> Result<i32> {
    let all = targets(paths)?;
    if args.list {
        for target in &all {
            println!("{target}");
        }
        return Ok(0);
    }
    if let Some(unknown) = args.targets.iter().find(|name| !all.contains(name)) {
        bail!("no fuzz target {unknown}; there are: {}", all.join(", "));
    }
    if all.is_empty() {
        bail!("this checkout has no fuzz targets (fuzz/fuzz_targets/*.rs)");
    }
    if let Err(why) = tools() {
        bail!("{why}");
    }
    let chosen = if args.targets.is_empty() { all } else { args.targets.clone() };
    let seconds = match args.hours {
        Some(hours) if hours > 0.0 => std::time::Duration::try_from_secs_f64(hours * 3600.0)?.as_secs(),
        Some(_) => bail!("--hours wants a number above 0"),
        None => args.seconds,
    };
    let mut failed = 0;
    for target in &chosen {
        ui::step(format!("fuzzing {target} for {seconds} s"));
        if !fuzz(paths, target, seconds)? {
            failed += 1;
            ui::note(format!("{target} found something: fuzz/artifacts/{target}/; make it a named test"));
        }
    }
    Ok(i32::from(failed > 0))
}

/// A short run of each target, as tests. Without cargo-fuzz it says so and counts nothing.
pub fn smoke(paths: &Paths, seconds: u64, tally: &mut Tally) -> Result<()> {
    let all = targets(paths)?;
    if all.is_empty() || seconds == 0 {
        return Ok(());
    }
    if let Err(why) = tools() {
        ui::note(format!("no fuzzing: {why}"));
        return Ok(());
    }
    let each = (seconds / all.len() as u64).max(5);
    for target in &all {
        let start = Instant::now();
        ui::step(format!("fuzzing {target} for {each} s"));
        let result = if fuzz(paths, target, each)? {
            Ok(())
        } else {
            Err(format!("  found something: see fuzz/artifacts/{target}/"))
        };
        tally.one(&format!("fuzz::{target}"), result, start.elapsed());
    }
    Ok(())
}

/// The names of `fuzz/fuzz_targets/*.rs`.
fn targets(paths: &Paths) -> Result<Vec<String>> {
    let dir = paths.root.join("fuzz/fuzz_targets");
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ext| ext == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// Whether cargo-fuzz and a nightly compiler are here; if not, what to do.
fn tools() -> Result<(), String> {
    if which("rustup").is_none() || output(Command::new("rustup").args(["run", "nightly", "rustc", "-V"])).is_err() {
        return Err("cargo-fuzz wants a nightly compiler: `rustup toolchain install nightly`".to_owned());
    }
    if which("cargo-fuzz").is_none() {
        return Err("cargo-fuzz is not installed: `cargo +nightly install cargo-fuzz`".to_owned());
    }
    Ok(())
}

/// Runs one target; false if it found something.
fn fuzz(paths: &Paths, target: &str, seconds: u64) -> Result<bool> {
    let mut cmd = Command::new("rustup");
    cmd.args(["run", "nightly", "cargo", "fuzz", "run", target, "--", &format!("-max_total_time={seconds}")])
        .args(["-print_final_stats=1", "-verbosity=0"])
        .current_dir(&paths.root)
        .stdin(Stdio::null());
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR", "RUSTUP_TOOLCHAIN"] {
        cmd.env_remove(name);
    }
    Ok(cmd.status().context("cannot start cargo fuzz")?.success())
}
