//! `./x fuzz`: the libFuzzer targets of `fuzz/`, built with the pinned compiler.
//!
//! Coverage instrumentation is a stable code-generation flag, so neither a nightly compiler nor
//! cargo-fuzz is needed. There is no address sanitizer: what is fuzzed forbids unsafe code.
//! `cargo +nightly fuzz run TARGET` works on the same targets.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::build::cargo;
use crate::paths::Paths;
use crate::process::run;
use crate::test::Tally;
use crate::{setup, ui};

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

/// What cargo-fuzz passes, without the sanitizer.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Ccodegen-units=1";

const TARGET: &str = "x86_64-unknown-linux-gnu";

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
    let chosen = if args.targets.is_empty() { all } else { args.targets.clone() };
    let seconds = match args.hours {
        Some(hours) if hours > 0.0 => Duration::try_from_secs_f64(hours * 3600.0)?.as_secs(),
        Some(_) => bail!("--hours wants a number above 0"),
        None => args.seconds,
    };
    setup::ensure_test_packages()?;
    build(paths)?;
    let mut failed = 0;
    for target in &chosen {
        ui::step(format!("fuzzing {target} for {seconds} s"));
        if !fuzz(paths, target, seconds, Talk::Aloud)? {
            failed += 1;
            ui::note(format!("{target} found something: fuzz/artifacts/{target}/; make it a named test"));
        }
    }
    Ok(i32::from(failed > 0))
}

/// A short run of each target, as tests; `seconds` over all of them.
pub fn smoke(paths: &Paths, seconds: u64, tally: &mut Tally) -> Result<()> {
    let all = targets(paths)?;
    if all.is_empty() || seconds == 0 {
        return Ok(());
    }
    ui::step(format!("fuzzing {} targets for {seconds} s", all.len()));
    if let Err(err) = build(paths) {
        tally.one("fuzz_targets_build", Err(format!("  {err:#}")), Duration::ZERO);
        return Ok(());
    }
    let each = (seconds / all.len() as u64).max(3);
    for target in &all {
        let start = Instant::now();
        let result = match fuzz(paths, target, each, Talk::Log) {
            Ok(true) => Ok(()),
            Ok(false) => {
                let log = fs::read_to_string(log_file(paths, target)).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                let tail = lines.get(lines.len().saturating_sub(25)..).unwrap_or_default().join("\n  | ");
                Err(format!("  found something: see fuzz/artifacts/{target}/\n  | {tail}"))
            }
            Err(err) => Err(format!("  {err:#}")),
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

fn build_dir(paths: &Paths) -> PathBuf {
    paths.target.join("fuzz")
}

fn build(paths: &Paths) -> Result<()> {
    let mut cmd = cargo(paths);
    cmd.current_dir(paths.root.join("fuzz")).env("CARGO_TARGET_DIR", build_dir(paths)).env("RUSTFLAGS", FLAGS).args([
        "build",
        "--quiet",
        "--release",
        "--target",
        TARGET,
    ]);
    run(&mut cmd).context("the fuzz targets do not build")
}

fn log_file(paths: &Paths, target: &str) -> PathBuf {
    build_dir(paths).join(format!("{target}.log"))
}

/// Where libFuzzer's words go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Talk {
    Aloud,
    Log,
}

/// Runs one target; false if it found something. What it learns is kept in the target folder, beside
/// the corpus that is committed.
fn fuzz(paths: &Paths, target: &str, seconds: u64, talk: Talk) -> Result<bool> {
    let program = build_dir(paths).join(TARGET).join("release").join(target);
    let learnt = build_dir(paths).join("corpus").join(target);
    let artifacts = paths.root.join("fuzz/artifacts").join(target);
    fs::create_dir_all(&learnt)?;
    fs::create_dir_all(&artifacts)?;
    let mut cmd = Command::new(&program);
    cmd.arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(["-print_final_stats=1", "-timeout=10", "-rss_limit_mb=2048"])
        .arg(&learnt)
        .stdin(Stdio::null());
    if talk == Talk::Log {
        cmd.stderr(fs::File::create(log_file(paths, target))?);
    }
    let committed = paths.root.join("fuzz/corpus").join(target);
    if committed.is_dir() {
        cmd.arg(committed);
    }
    let status = cmd.status().with_context(|| format!("cannot start {}", program.display()))?;
    Ok(status.success())
}
