//! `./x bench`: what operations cost on the bare kernel, on Debian's Xen, on Ferroxen.
//!
//! Counted in instructions (QEMU's `-icount`): exact, the same on every machine. `rep`-prefixed
//! instructions count by iteration. An emulator does not charge for TLB flushes as hardware does.

mod chart;
mod count;
mod figures;
mod operations;
mod profile;
mod tables;
mod xenstored;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;

use self::figures::{Figures, Plan};
use self::operations::{OPERATIONS, Suite};
use crate::boot::Hypervisor;
use crate::build;
use crate::paths::Paths;
use crate::setup::Qemu;
use crate::ui;

/// What `./x bench` is told.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Instructions of dom0 and of hypercalls only, no wall-clock runs: the README's table, in under five minutes
    #[arg(long)]
    quick: bool,
    /// Rounds of wall-clock runs, interleaved
    #[arg(long, default_value_t = 7, value_name = "N")]
    rounds: u32,
    /// Wall clock only
    #[arg(long, conflicts_with = "quick")]
    no_count: bool,
    /// Systems to run
    #[arg(long, value_delimiter = ',', default_value = "none,xen,ferroxen", value_name = "LIST")]
    systems: Vec<String>,
    /// Count what each operation executes: instructions by who, traps, hypercalls, flushes, IPIs
    #[arg(long, conflicts_with_all = ["quick", "profile"])]
    count: bool,
    /// Say in which functions these operations spend their instructions
    #[arg(long, value_delimiter = ',', value_name = "OPERATIONS", conflicts_with = "quick")]
    profile: Vec<String>,
    /// Lines of a profile
    #[arg(long, default_value_t = 40, value_name = "N")]
    top: usize,
    /// Only these operations, or these tables: dom0, hypercalls, domu, tools, xenstored
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,
    /// Machines at once while instructions are counted; they are the same [default: as many as cores]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// With --count and --profile: CPUs
    #[arg(long, default_value_t = 1)]
    cpus: u32,
    /// Where the JSON goes [default: target/bench.json]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// `./x bench`.
pub fn main(paths: &Paths, args: &BenchArgs) -> Result<i32> {
    let known = ["none", "xen", "ferroxen"];
    if let Some(other) = args.systems.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("--systems knows none, xen and ferroxen, not {other}");
    }
    let ours = if args.systems.iter().any(|name| name == "ferroxen") { Some(build::hypervisor(paths)?) } else { None };
    if !args.profile.is_empty() {
        return profile::main(paths, args, ours.as_ref());
    }
    if args.count {
        return count::main(paths, args, ours.as_ref());
    }
    let plan = Plan::new(paths, ours, &args.only, if args.quick { &QUICK } else { &Suite::ALL })?;
    let jobs = args.jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let counted = if args.no_count { BTreeMap::new() } else { counted(&plan, &args.systems, jobs.max(1))? };
    let host = if plan.suites.contains(&Suite::Xenstored) { Some(xenstored::measure(paths)?) } else { None };
    let mut timed: BTreeMap<String, Vec<Figures>> = BTreeMap::new();
    let rounds = if args.quick { 0 } else { args.rounds };
    for round in 1..=rounds {
        for system in args.systems.iter().filter(|system| plan.suites.iter().any(|suite| suite.runs_on(system))) {
            ui::step(format!("wall clock, round {round} of {rounds}: {}", title(system)));
            timed.entry(system.clone()).or_default().push(wall_clock(&plan, system)?);
        }
    }
    let machine = machine(paths)?;
    if !counted.is_empty() {
        println!("Instructions per operation; {machine}, -icount, 1 CPU, Linux 6.1.");
        println!("rep-prefixed instructions count by iteration. ! marks a ratio above its limit.\n");
        print!("{}", tables::instructions(&args.systems, &counted));
    }
    if !timed.is_empty() {
        println!(
            "Wall clock, nanoseconds: median of {rounds} interleaved runs (lowest to highest); ratio of medians:\n"
        );
        print!("{}", tables::wall_clock(&args.systems, &timed));
    }
    if let Some(host) = &host {
        println!("\n{}:\n\n{}", Suite::Xenstored.heading(), xenstored::table(host));
    }
    let file = args.json.clone().unwrap_or_else(|| paths.target.join("bench.json"));
    let limits = OPERATIONS.iter().filter_map(|operation| Some((operation.name, operation.limit?)));
    let record = json!({
        "machine": machine, "instructions": counted, "wall_ns": timed, "xenstored": host, "limits": limits.collect::<BTreeMap<_, _>>(),
    });
    fs::write(&file, serde_json::to_string_pretty(&record)? + "\n")
        .with_context(|| format!("cannot write {}", file.display()))?;
    eprintln!();
    ui::step(format!("figures in {}", file.display()));
    let mut charts = Vec::new();
    if !counted.is_empty() {
        charts.push(("instructions", tables::instruction_rows(&args.systems, &counted)));
    }
    if !timed.is_empty() {
        charts.push(("wall-clock", tables::median_rows(&args.systems, &timed)));
    }
    for (name, rows) in charts {
        let titles: Vec<&str> = args.systems.iter().map(|system| title(system)).collect();
        let file = file.with_extension(format!("{name}.svg"));
        fs::write(&file, chart::svg(&format!("{name} per operation, {machine}"), &titles, &rows))?;
        ui::step(format!("chart in {}", file.display()));
    }
    Ok(0)
}

/// What `--quick` runs.
const QUICK: [Suite; 2] = [Suite::Dom0, Suite::Hypercalls];

/// How often a machine with Debian's Xen is started for one wall-clock run.
const ATTEMPTS: u32 = 3;

/// One wall-clock run. Programs on Debian's Xen die now and then under this emulator, of FPU state that Xen loses (lab/README.md):
/// then that machine is started again, and it is said. One of ours that fails ends the benchmark.
fn wall_clock(plan: &Plan<'_>, system: &str) -> Result<Figures> {
    let mut attempt = 1;
    loop {
        match plan.measure(system, false) {
            Err(error) if system == "xen" && attempt < ATTEMPTS => {
                ui::note(format!("{} failed, it starts again: {error:#}", title(system)));
                attempt += 1;
            }
            result => return result,
        }
    }
}

/// The instructions of every suite on every system, so many machines at once.
fn counted(plan: &Plan<'_>, systems: &[String], jobs: usize) -> Result<BTreeMap<String, Figures>> {
    let suites = plan.suites.iter().copied();
    let pairs = suites.flat_map(|suite| systems.iter().map(move |system| (suite, system.as_str())));
    let mut todo: Vec<(Suite, &str)> = pairs.filter(|(suite, system)| suite.runs_on(system)).collect();
    // The last ones first: they take longest.
    todo.sort_by_key(|(suite, _)| *suite);
    let (todo, done) = (Mutex::new(todo), Mutex::new(Vec::new()));
    let next = || todo.lock().unwrap_or_else(PoisonError::into_inner).pop();
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some((suite, system)) = next() {
                    ui::step(format!("counting instructions on {}: {}", title(system), suite.name()));
                    let result = plan.run(system, suite, true);
                    if result.is_err() {
                        todo.lock().unwrap_or_else(PoisonError::into_inner).clear();
                    }
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((system, result));
                }
            });
        }
    });
    let mut counted: BTreeMap<String, Figures> = BTreeMap::new();
    for (system, result) in done.into_inner().unwrap_or_else(PoisonError::into_inner) {
        counted.entry(system.to_owned()).or_default().extend(result?);
    }
    Ok(counted)
}

/// The date, and what everything ran on.
fn machine(paths: &Paths) -> Result<String> {
    let qemu = Qemu::find(paths)?.version;
    let date = crate::process::output(Command::new("date").args(["-u", "+%Y-%m-%d"]))?;
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let processor = processor.map_or("unknown CPU", |(_, name)| name.trim());
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(format!("{}, QEMU {qemu} (TCG) on {cpus} × {processor}", date.trim()))
}

fn title(system: &str) -> &str {
    match system {
        "none" => "bare kernel",
        "xen" => "Xen 4.17",
        other => other,
    }
}

fn hypervisor(system: &str, ours: Option<&PathBuf>) -> Hypervisor {
    match (system, ours) {
        ("none", _) => Hypervisor::None,
        ("ferroxen", Some(file)) => Hypervisor::File(file.clone()),
        _ => Hypervisor::Xen,
    }
}

/// 1234567 as 1,234,567.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
