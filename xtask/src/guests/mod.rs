//! `./x guests`: the test guests, each the only module of a machine that is up in two seconds.
//!
//! A guest says how it went in its last line, `@@ferroxen guest OUTCOME@@` and words (see `guests/README.md`).
//! A machine that ends without such a line crashed.

mod new;
mod outcome;
mod results;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use self::outcome::Verdict;
use self::results::{Results, Row};
use crate::boot::{self, BootArgs, Hypervisor, Outcome};
use crate::build;
use crate::paths::Paths;
use crate::test::Tally;
use crate::ui;
use crate::workspace::{self, Package};

/// What `./x guests` is told.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Exit status: the worst of all outcomes (0 success, 3 skip, 4 error, 5 failure, 6 crash)."
)]
pub struct GuestsArgs {
    #[command(subcommand)]
    command: Option<GuestsCommand>,
    /// Guests to run; all if none is named
    names: Vec<String>,
    /// Only name them
    #[arg(long)]
    list: bool,
    /// ferroxen, xen (Debian's 4.17), both, or a file
    #[arg(long, default_value = "ferroxen", value_name = "ferroxen|xen|both|PATH")]
    hypervisor: On,
    /// CPUs [default: what the guest asks for]
    #[arg(long)]
    cpus: Option<u32>,
    /// Seconds until a guest is given up
    #[arg(long, default_value_t = 60, value_name = "S")]
    timeout: u64,
    /// Where results go, a line of JSON each [default: target/guests/results.jsonl]
    #[arg(long, value_name = "FILE")]
    jsonl: Option<PathBuf>,
    /// Show the whole console
    #[arg(long, short)]
    verbose: bool,
}

#[derive(Debug, Subcommand)]
enum GuestsCommand {
    /// Make the folder of a new guest
    New(new::NewArgs),
}

/// On what the guests run: `(name, hypervisor)` each.
#[derive(Debug, Clone)]
struct On(Vec<(String, Hypervisor)>);

impl FromStr for On {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names = if text == "both" { vec!["xen", "ferroxen"] } else { vec![text] };
        Ok(Self(names.into_iter().map(|name| (name.to_owned(), name.parse().unwrap_or(Hypervisor::Xen))).collect()))
    }
}

/// A test guest.
#[derive(Debug, Clone)]
struct Guest {
    name: String,
    package: String,
    /// vcpus that it needs.
    vcpus: u32,
    /// CPUs of its machine.
    cpus: u32,
    /// Cases (`case=N`, a boot each) in which the domain must crash, and the hypervisor must not; 0: an ordinary guest.
    crashes: u32,
    /// Whether `./x test` runs it without `--full`.
    quick: bool,
}

impl Guest {
    /// The packages `guest-NAME` under `guests/` that have a binary. `[package.metadata.guest]` of the manifest has
    /// `vcpus` (1 if it says nothing), `cpus` (as many), `crashes` and `quick`.
    fn of(package: Package) -> Option<Self> {
        if package.room() != "guests" || !package.bins.contains(&package.name) {
            return None;
        }
        let number =
            |name: &str| package.metadata["guest"][name].as_u64().and_then(|number| u32::try_from(number).ok());
        let vcpus = number("vcpus").unwrap_or(1);
        Some(Self {
            name: package.name.trim_start_matches("guest-").to_owned(),
            vcpus,
            cpus: number("cpus").unwrap_or(vcpus),
            crashes: number("crashes").unwrap_or(0),
            quick: package.metadata["guest"]["quick"].as_bool().unwrap_or(true),
            package: package.name,
        })
    }
}

/// `./x guests`.
pub fn main(paths: &Paths, args: &GuestsArgs) -> Result<i32> {
    if let Some(GuestsCommand::New(args)) = &args.command {
        return new::main(paths, args);
    }
    let all = guests(paths)?;
    if args.list {
        for guest in &all {
            println!("{}", guest.name);
        }
        return Ok(0);
    }
    if let Some(unknown) = args.names.iter().find(|name| all.iter().all(|guest| guest.name != **name)) {
        let names: Vec<&str> = all.iter().map(|guest| guest.name.as_str()).collect();
        bail!("no test guest {unknown}; there are: {}", names.join(", "));
    }
    let chosen: Vec<Guest> =
        all.into_iter().filter(|guest| args.names.is_empty() || args.names.contains(&guest.name)).collect();
    let files = build(paths, &chosen)?;
    let file = args.jsonl.clone().unwrap_or_else(|| paths.target.join("guests").join("results.jsonl"));
    let mut results = Results::create(&file)?;
    let mut rows = Vec::new();
    for (guest, elf) in chosen.iter().zip(files) {
        for (name, hypervisor) in &args.hypervisor.0 {
            let (row, outcome) = run(paths, args, guest, &elf, (name, hypervisor))?;
            let time = row.time.as_secs_f64();
            println!("{} on {name}: {} {} ({time:.1} s)", guest.name, row.verdict.name(), row.words);
            if args.verbose || !row.verdict.is_fine() {
                for line in outcome.tail(if args.verbose { usize::MAX } else { 40 }) {
                    println!("  | {line}");
                }
            }
            results.add(&row)?;
            rows.push(row);
        }
    }
    if rows.len() > 1 {
        print!("\n{}", results::table(&rows));
        for row in &rows {
            for difference in &row.differences {
                println!("{} differs: {difference}", row.guest);
            }
        }
    }
    ui::note(format!("results: {}", file.display()));
    Ok(rows.iter().map(|row| row.verdict).max().unwrap_or(Verdict::Success) as i32)
}

/// Runs every test guest on our hypervisor, `built` before, as tests.
pub fn test(paths: &Paths, built: Result<&Path, &String>, full: bool, tally: &mut Tally) -> Result<()> {
    let mut all = guests(paths)?;
    all.retain(|guest| full || guest.quick);
    if all.is_empty() {
        return Ok(());
    }
    ui::step(format!("{} test guests", all.len()));
    let hypervisor = built.map_or(Hypervisor::Ferroxen, |file| Hypervisor::File(file.to_owned()));
    let args = GuestsArgs {
        command: None,
        names: Vec::new(),
        list: false,
        hypervisor: On(Vec::new()),
        cpus: None,
        timeout: 60,
        jsonl: None,
        verbose: false,
    };
    let files = match built.map_err(String::clone).and_then(|_| build(paths, &all).map_err(|err| format!("{err:#}"))) {
        Ok(files) => files,
        Err(why) => {
            tally.one("guests_and_hypervisor_build", Err(format!("  {why}")), std::time::Duration::ZERO);
            return Ok(());
        }
    };
    let mut results = Results::create(&paths.target.join("guests").join("results.jsonl"))?;
    for (guest, elf) in all.iter().zip(files) {
        let start = Instant::now();
        let result = match run(paths, &args, guest, &elf, ("ferroxen", &hypervisor)) {
            Err(err) => Err(format!("  {err:#}")),
            Ok((row, outcome)) => {
                results.add(&row)?;
                let tail = || outcome.tail(25).join("\n  | ");
                if row.verdict.is_fine() {
                    Ok(())
                } else {
                    Err(format!("  {} {}\n  | {}", row.verdict.name(), row.words, tail()))
                }
            }
        };
        tally.one(&format!("guest::{}", guest.name), result, start.elapsed());
    }
    Ok(())
}

/// Builds the guests, all with one call of cargo, and returns the file of each.
fn build(paths: &Paths, guests: &[Guest]) -> Result<Vec<PathBuf>> {
    if guests.is_empty() {
        return Ok(Vec::new());
    }
    let packages: Vec<&str> = guests.iter().map(|guest| guest.package.as_str()).collect();
    let dir = build::bare_metal(paths, &packages)?;
    Ok(packages.iter().map(|package| dir.join(package)).collect())
}

/// All test guests, by name.
fn guests(paths: &Paths) -> Result<Vec<Guest>> {
    let mut found: Vec<Guest> = workspace::packages(paths)?.into_iter().filter_map(Guest::of).collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// The exit status of a machine whose only module was a guest: that of its result, 0 if it said none.
pub fn status(outcome: &Outcome) -> i32 {
    outcome::said(outcome).map_or(0, |(verdict, _)| verdict as i32)
}

/// Runs a guest: once, or once for each case in which it must crash, up to the first that goes otherwise.
fn run(paths: &Paths, args: &GuestsArgs, guest: &Guest, elf: &Path, on: (&str, &Hypervisor)) -> Result<(Row, Outcome)> {
    if guest.crashes == 0 {
        return run_once(paths, args, guest, elf, on, None);
    }
    let start = Instant::now();
    let mut case = 0;
    loop {
        let (mut row, outcome) = run_once(paths, args, guest, elf, on, Some(case))?;
        case += 1;
        if !row.verdict.is_fine() || case >= guest.crashes {
            if row.verdict.is_fine() {
                row.words = format!("{}: {case} checks", guest.name);
            }
            row.time = start.elapsed();
            return Ok((row, outcome));
        }
    }
}

fn run_once(
    paths: &Paths,
    args: &GuestsArgs,
    guest: &Guest,
    elf: &Path,
    on: (&str, &Hypervisor),
    case: Option<u32>,
) -> Result<(Row, Outcome)> {
    let dir = paths.target.join("guests");
    std::fs::create_dir_all(&dir)?;
    let label = if matches!(on.1, Hypervisor::File(_)) { "file" } else { on.0 };
    let start = Instant::now();
    let outcome = boot::quiet(
        paths,
        &BootArgs {
            hypervisor: on.1.clone(),
            guest: Some(elf.to_owned()),
            cpus: Some(args.cpus.unwrap_or(guest.cpus)),
            cmdline: format!("dom0_max_vcpus={}", guest.vcpus.max(args.cpus.unwrap_or(0))),
            dom0_cmdline: case.map_or_else(String::new, |case| format!("case={case}")),
            memory: 512,
            timeout: args.timeout,
            log: Some(dir.join(format!("{}-{label}.log", guest.name))),
            ..BootArgs::default()
        },
    )?;
    let (verdict, words) = match case {
        Some(case) => outcome::crash_verdict(&outcome, case),
        None => outcome::verdict(&outcome),
    };
    let row = Row {
        guest: guest.name.clone(),
        hypervisor: on.0.to_owned(),
        verdict,
        words,
        differences: outcome::differences(&outcome),
        time: start.elapsed(),
    };
    Ok((row, outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(metadata: serde_json::Value) -> Package {
        Package {
            name: "guest-a".into(),
            folder: "guests/a".into(),
            dependencies: Vec::new(),
            bins: vec!["guest-a".into()],
            metadata,
        }
    }

    #[test]
    fn a_guest_asks_for_vcpus_and_cpus_in_its_manifest() {
        let guest = |metadata| Guest::of(package(metadata)).map(|guest| (guest.vcpus, guest.cpus));
        assert_eq!(guest(serde_json::Value::Null), Some((1, 1)));
        assert_eq!(guest(serde_json::json!({"guest": {"vcpus": 2}})), Some((2, 2)));
        assert_eq!(guest(serde_json::json!({"guest": {"vcpus": 2, "cpus": 1}})), Some((2, 1)));
    }

    #[test]
    fn both_is_xen_first() {
        let On(on) = "both".parse().unwrap_or_else(|never| match never {});
        assert_eq!(on, [("xen".to_owned(), Hypervisor::Xen), ("ferroxen".to_owned(), Hypervisor::Ferroxen)]);
    }
}
