//! `./x fuzz`: the libFuzzer targets of `fuzz/`, built with the pinned compiler.
//!
//! Coverage instrumentation is a stable code-generation flag, so neither a nightly compiler nor
//! cargo-fuzz is needed. There is no address sanitizer: what is fuzzed forbids unsafe code.
//! `cargo +nightly fuzz run TARGET` works on the same targets.

use std::fs;
use std::os::unix::fs::PermissionsExt;
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
    /// Hours in all, instead of --seconds for each: most for those that find most
    #[arg(long, value_name = "H", conflicts_with = "seconds")]
    hours: Option<f64>,
    /// Only name the targets
    #[arg(long)]
    list: bool,
}

/// How an hour is divided: what one of the others gets once.
const SHARES: [(&str, u64); 4] = [("hypercalls", 12), ("paging", 7), ("continuations", 4), ("control", 2)];

/// What cargo-fuzz passes, without the sanitizer; [`WRAPPER`] adds the tracing of compares.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cdebug-assertions -Ccodegen-units=1";

/// Compares are traced where magic numbers and texts stand. Stories are made of bytes of which each is a choice: two thirds
/// of their time went into the tracing of compares that say nothing.
const WRAPPER: &str = r#"#!/bin/sh
case " $* " in
*" --crate-name ferroxen_core "*|*" --crate-name ferroxen_sim "*|*" --crate-name ferroxen_sync "*) ;;
*" --crate-name xen_abi "*|*" --crate-name hypercalls "*|*" --crate-name paging "*|*" --crate-name continuations "*|*" --crate-name control "*) ;;
*-sanitizer-coverage-level=4*) set -- "$@" -Cllvm-args=-sanitizer-coverage-trace-compares ;;
esac
exec "$@"
"#;

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
    let whole = match args.hours {
        Some(hours) if hours > 0.0 => Some(Duration::try_from_secs_f64(hours * 3600.0)?.as_secs()),
        Some(_) => bail!("--hours wants a number above 0"),
        None => None,
    };
    let shares: u64 = chosen.iter().map(|target| share(target)).sum();
    setup::ensure_test_packages()?;
    build(paths)?;
    let mut failed = 0;
    for target in &chosen {
        let seconds = whole.map_or(args.seconds, |whole| (whole * share(target) / shares).max(1));
        ui::step(format!("fuzzing {target} for {seconds} s"));
        let before = children_cpu();
        let good = fuzz(paths, target, seconds, Talk::Aloud)?;
        ui::note(format!("{target}: {:.0} s of CPU", (children_cpu() - before).as_secs_f64()));
        if !good {
            failed += 1;
            ui::note(format!("{target} found something: fuzz/artifacts/{target}/; make it a named test"));
        }
    }
    Ok(i32::from(failed > 0))
}

fn share(target: &str) -> u64 {
    SHARES.iter().find(|(name, _)| *name == target).map_or(1, |(_, share)| *share)
}

/// CPU time of the processes that this one started and that ended: on a busy machine, what a run is worth.
fn children_cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may contain anything: fields 16 and 17 of proc(5), in hundredths of a second.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(13).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
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
    let wrapper = build_dir(paths).join("rustc-for-fuzz");
    if fs::read_to_string(&wrapper).ok().as_deref() != Some(WRAPPER) {
        fs::create_dir_all(build_dir(paths))?;
        fs::write(&wrapper, WRAPPER)?;
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    }
    let mut cmd = cargo(paths);
    cmd.current_dir(paths.root.join("fuzz"))
        .env("CARGO_TARGET_DIR", build_dir(paths))
        .env("RUSTFLAGS", FLAGS)
        .env("RUSTC_WRAPPER", wrapper)
        .args(["build", "--quiet", "--release", "--target", TARGET]);
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
        .args(["-print_final_stats=1", "-timeout=60", "-rss_limit_mb=2048"])
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
