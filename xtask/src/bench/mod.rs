//! `./x bench`: what operations in dom0 cost on the bare kernel, on Debian's Xen, on Ferroxen.
//!
//! Counted in instructions (QEMU's `-icount`): exact, the same on every machine. `rep`-prefixed
//! instructions count by iteration. An emulator does not charge for TLB flushes as hardware does.

mod count;
mod profile;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;

use crate::boot::{self, BootArgs, End, Hypervisor};
use crate::build;
use crate::paths::Paths;
use crate::setup::Qemu;
use crate::ui;

/// What `./x bench` is told.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Instructions only, no wall-clock runs: under five minutes
    #[arg(long)]
    quick: bool,
    /// Rounds of wall-clock runs, interleaved
    #[arg(long, default_value_t = 7, value_name = "N")]
    rounds: u32,
    /// Systems to run
    #[arg(long, value_delimiter = ',', default_value = "none,xen,ferroxen", value_name = "LIST")]
    systems: Vec<String>,
    /// Count what each operation executes: instructions by who, traps, hypercalls, flushes, IPIs
    #[arg(long, conflicts_with_all = ["quick", "profile"])]
    count: bool,
    /// Say in which functions one operation spends its instructions
    #[arg(long, value_name = "OPERATION", conflicts_with = "quick")]
    profile: Option<String>,
    /// Lines of a profile
    #[arg(long, default_value_t = 40, value_name = "N")]
    top: usize,
    /// With --count: only these operations
    #[arg(long, value_delimiter = ',', value_name = "OPERATIONS")]
    only: Vec<String>,
    /// With --count and --profile: CPUs
    #[arg(long, default_value_t = 1)]
    cpus: u32,
    /// Where the JSON goes [default: target/bench.json]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The operations of fxbench, with the ratio to Xen that issue 2 asks for.
const LIMITS: &[(&str, f64)] = &[
    ("getppid", 0.70),
    ("page-fault", 0.92),
    ("mprotect", 0.89),
    ("mmap-touch-munmap", 0.83),
    ("fork-exit", 0.41),
    ("fork-exec", 0.43),
    ("pipe-ping-pong", 0.77),
];

/// From QEMU's start to dom0's first program; on the wall clock only.
const BOOT: &str = "boot to userspace";

/// Nanoseconds (under icount: instructions) for each operation.
type Figures = BTreeMap<String, u64>;

/// `./x bench`.
pub fn main(paths: &Paths, args: &BenchArgs) -> Result<i32> {
    let known = ["none", "xen", "ferroxen"];
    if let Some(other) = args.systems.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("--systems knows none, xen and ferroxen, not {other}");
    }
    let ours = if args.systems.iter().any(|name| name == "ferroxen") { Some(build::hypervisor(paths)?) } else { None };
    if let Some(operation) = &args.profile {
        return profile::main(paths, args, operation, ours.as_ref());
    }
    if args.count {
        return count::main(paths, args, ours.as_ref());
    }
    let mut counted = BTreeMap::new();
    for system in &args.systems {
        ui::step(format!("counting instructions on {}", title(system)));
        counted.insert(system.clone(), measure(paths, system, ours.as_ref(), true)?);
    }
    let mut timed: BTreeMap<String, Vec<Figures>> = BTreeMap::new();
    let rounds = if args.quick { 0 } else { args.rounds };
    for round in 1..=rounds {
        for system in &args.systems {
            ui::step(format!("wall clock, round {round} of {rounds}: {}", title(system)));
            timed.entry(system.clone()).or_default().push(measure(paths, system, ours.as_ref(), false)?);
        }
    }
    let qemu = Qemu::find(paths)?.version;
    let date = crate::process::output(std::process::Command::new("date").args(["-u", "+%Y-%m-%d"]))?;
    println!("Instructions per operation in dom0; QEMU {qemu} -icount, 1 CPU, Linux 6.1; {}", date.trim());
    println!();
    print!("{}", table(&args.systems, &counted));
    if rounds > 0 {
        println!("\nWall clock, nanoseconds: median of {rounds} interleaved runs (lowest to highest)\n");
        print!("{}", wall_table(&args.systems, &timed));
    }
    let file = args.json.clone().unwrap_or_else(|| paths.target.join("bench.json"));
    let record = json!({
        "date": date.trim(), "qemu": qemu, "instructions": counted, "wall_ns": timed,
        "limits": LIMITS.iter().map(|(name, limit)| ((*name).to_owned(), *limit)).collect::<BTreeMap<_, _>>(),
    });
    fs::write(&file, serde_json::to_string_pretty(&record)? + "\n")
        .with_context(|| format!("cannot write {}", file.display()))?;
    eprintln!();
    ui::step(format!("figures in {}", file.display()));
    Ok(0)
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

fn measure(paths: &Paths, system: &str, ours: Option<&PathBuf>, icount: bool) -> Result<Figures> {
    let outcome = boot::quiet(
        paths,
        &BootArgs {
            hypervisor: hypervisor(system, ours),
            uncompressed: true,
            icount,
            cpus: Some(1),
            fxbench: true,
            exec: Some("fxbench".to_owned()),
            ..BootArgs::default()
        },
    )?;
    if outcome.end != End::Exec(0) {
        let tail = outcome.tail(20).join("\n  | ");
        bail!("no figures from {}: {:?}\n  | {tail}", title(system), outcome.end);
    }
    let mut figures: Figures = outcome.output.iter().filter_map(|line| figure(line)).collect();
    if let Some((name, _)) = LIMITS.iter().find(|(name, _)| !figures.contains_key(*name)) {
        bail!("no figure for {name} from {}; output: {:?}", title(system), outcome.output);
    }
    if let (Some(time), false) = (outcome.up_after, icount) {
        figures.insert(BOOT.to_owned(), u64::try_from(time.as_nanos())?);
    }
    Ok(figures)
}

/// `name nanoseconds rounds`, a line of fxbench.
fn figure(line: &str) -> Option<(String, u64)> {
    let mut words = line.split_whitespace();
    let name = words.next()?.to_owned();
    let nanoseconds = words.next()?.parse().ok()?;
    Some((name, nanoseconds))
}

/// The table of instructions, in Markdown.
fn table(systems: &[String], figures: &BTreeMap<String, Figures>) -> String {
    let mut text = String::from("| instructions |");
    for system in systems {
        text += &format!(" {} |", title(system));
    }
    let compared = figures.contains_key("xen") && figures.contains_key("ferroxen");
    if compared {
        text += " ÷ Xen | limit |";
    }
    let columns = systems.len() + if compared { 2 } else { 0 };
    text += &format!("\n|---|{}\n", "---:|".repeat(columns));
    for (name, limit) in LIMITS {
        text += &format!("| {name} |");
        let get = |system: &str| figures.get(system).and_then(|row| row.get(*name)).copied();
        for system in systems {
            text += &format!(" {} |", get(system).map(thousands).unwrap_or_default());
        }
        if let (Some(xen), Some(ours)) = (get("xen"), get("ferroxen")) {
            let ratio = ours as f64 / xen.max(1) as f64;
            let mark = if ratio <= *limit { "" } else { " !" };
            text += &format!(" {ratio:.2}{mark} | {limit:.2} |");
        }
        text += "\n";
    }
    text
}

fn wall_table(systems: &[String], runs: &BTreeMap<String, Vec<Figures>>) -> String {
    let mut text = String::from("| nanoseconds |");
    for system in systems {
        text += &format!(" {} |", title(system));
    }
    text += &format!("\n|---|{}\n", "---:|".repeat(systems.len()));
    for name in LIMITS.iter().map(|(name, _)| *name).chain([BOOT]) {
        text += &format!("| {name} |");
        for system in systems {
            let mut values: Vec<u64> =
                runs.get(system).into_iter().flatten().filter_map(|row| row.get(name)).copied().collect();
            values.sort_unstable();
            match (values.first(), values.get(values.len() / 2), values.last()) {
                (Some(low), Some(median), Some(high)) => {
                    text += &format!(" {} ({} to {}) |", thousands(*median), thousands(*low), thousands(*high));
                }
                _ => text += " |",
            }
        }
        text += "\n";
    }
    text
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
    fn a_ratio_above_its_limit_is_marked() {
        let row = |value: u64| LIMITS.iter().map(|(name, _)| ((*name).to_owned(), value)).collect::<Figures>();
        let figures = BTreeMap::from([("xen".to_owned(), row(1000)), ("ferroxen".to_owned(), row(800))]);
        let text = table(&["xen".to_owned(), "ferroxen".to_owned()], &figures);
        assert!(text.contains("| getppid | 1,000 | 800 | 0.80 ! | 0.70 |"), "{text}");
        assert!(text.contains("| page-fault | 1,000 | 800 | 0.80 | 0.92 |"), "{text}");
    }

    #[test]
    fn thousands_are_separated() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn only_lines_of_fxbench_are_figures() {
        assert_eq!(figure("getppid 337 2000"), Some(("getppid".to_owned(), 337)));
        assert_eq!(figure("fxbench: fork: no memory"), None);
    }
}
