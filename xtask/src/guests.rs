//! `./x guests`: the test guests, each the only module of a machine that is up in two seconds.
//!
//! A guest says how it went in its last line, `@@ferroxen guest OUTCOME@@` and words (see `guests/README.md`).
//! A machine that ends without such a line crashed.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;

use crate::boot::{self, BootArgs, End, Hypervisor, Outcome};
use crate::build;
use crate::paths::Paths;
use crate::test::Tally;
use crate::ui;
use crate::workspace;

/// What `./x guests` is told.
#[derive(Debug, Args)]
pub struct GuestsArgs {
    /// Guests to run; all if none is named
    names: Vec<String>,
    /// Only name them
    #[arg(long)]
    list: bool,
    /// ferroxen, xen (Debian's 4.17), or a file
    #[arg(long, default_value = "ferroxen", value_name = "ferroxen|xen|PATH")]
    hypervisor: Hypervisor,
    /// CPUs
    #[arg(long, default_value_t = 1)]
    cpus: u32,
    /// Seconds until a guest is given up
    #[arg(long, default_value_t = 60, value_name = "S")]
    timeout: u64,
    /// Show the whole console
    #[arg(long, short)]
    verbose: bool,
}

/// What a guest came to. The exit status of `./x guests NAME` is the largest of its guests'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Success = 0,
    /// A CPU feature is missing; the guest names it.
    Skip = 3,
    /// The test itself broke.
    Error = 4,
    Failure = 5,
    /// The guest or the machine ended without a word.
    Crash = 6,
}

const MARK: &str = "@@ferroxen guest ";

/// `./x guests`.
pub fn main(paths: &Paths, args: &GuestsArgs) -> Result<i32> {
    let all = guests(paths)?;
    if args.list {
        for (name, _) in &all {
            println!("{name}");
        }
        return Ok(0);
    }
    if let Some(unknown) = args.names.iter().find(|name| all.iter().all(|(guest, _)| guest != *name)) {
        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        bail!("no test guest {unknown}; there are: {}", names.join(", "));
    }
    let chosen: Vec<(String, String)> =
        all.into_iter().filter(|(name, _)| args.names.is_empty() || args.names.contains(name)).collect();
    let files = build(paths, &chosen)?;
    let mut worst = Verdict::Success;
    for (name, file) in files {
        let start = Instant::now();
        let (verdict, words, outcome) = run(paths, args, &name, file)?;
        println!("{name}: {verdict:?} {words} ({:.1} s)", start.elapsed().as_secs_f64());
        if args.verbose || verdict > Verdict::Skip {
            for line in outcome.tail(if args.verbose { usize::MAX } else { 40 }) {
                println!("  | {line}");
            }
        }
        worst = worst.max(verdict);
    }
    Ok(worst as i32)
}

/// Runs every test guest on our hypervisor, `built` before, as tests.
pub fn test(paths: &Paths, built: Result<&Path, &String>, tally: &mut Tally) -> Result<()> {
    let all = guests(paths)?;
    if all.is_empty() {
        return Ok(());
    }
    ui::step(format!("{} test guests", all.len()));
    let args = GuestsArgs {
        names: Vec::new(),
        list: false,
        hypervisor: built.map_or(Hypervisor::Ferroxen, |file| Hypervisor::File(file.to_owned())),
        cpus: 1,
        timeout: 60,
        verbose: false,
    };
    let files = match built.map_err(String::clone).and_then(|_| build(paths, &all).map_err(|err| format!("{err:#}"))) {
        Ok(files) => files,
        Err(why) => {
            tally.one("guests_and_hypervisor_build", Err(format!("  {why}")), std::time::Duration::ZERO);
            return Ok(());
        }
    };
    for (name, file) in files {
        let start = Instant::now();
        let result =
            run(paths, &args, &name, file).map_err(|err| format!("  {err:#}")).and_then(|(verdict, words, outcome)| {
                match verdict {
                    Verdict::Success | Verdict::Skip => Ok(()),
                    _ => Err(format!("  {verdict:?} {words}\n  | {}", outcome.tail(25).join("\n  | "))),
                }
            });
        tally.one(&format!("guest::{name}"), result, start.elapsed());
    }
    Ok(())
}

/// Builds the guests, all with one call of cargo, and returns `(name, file)` of each.
fn build(paths: &Paths, guests: &[(String, String)]) -> Result<Vec<(String, PathBuf)>> {
    if guests.is_empty() {
        return Ok(Vec::new());
    }
    let packages: Vec<&str> = guests.iter().map(|(_, package)| package.as_str()).collect();
    let dir = build::bare_metal(paths, &packages)?;
    Ok(guests.iter().map(|(name, package)| (name.clone(), dir.join(package))).collect())
}

/// `(name, package)` of each test guest: the packages `guest-NAME` under `guests/` that have a binary.
fn guests(paths: &Paths) -> Result<Vec<(String, String)>> {
    let mut found: Vec<(String, String)> = workspace::packages(paths)?
        .into_iter()
        .filter(|package| package.room() == "guests" && package.bins.contains(&package.name))
        .map(|package| (package.name.trim_start_matches("guest-").to_owned(), package.name))
        .collect();
    found.sort();
    Ok(found)
}

/// The exit status of a machine whose only module was a guest: that of its result, 0 if it said none.
pub fn status(outcome: &Outcome) -> i32 {
    said(outcome).map_or(0, |(verdict, _)| verdict as i32)
}

fn run(paths: &Paths, args: &GuestsArgs, name: &str, file: PathBuf) -> Result<(Verdict, String, Outcome)> {
    let log = paths.target.join("boot").join(format!("guest-{name}.log"));
    std::fs::create_dir_all(paths.target.join("boot"))?;
    let outcome = boot::quiet(
        paths,
        &BootArgs {
            hypervisor: args.hypervisor.clone(),
            guest: Some(file),
            cpus: Some(args.cpus),
            memory: 512,
            timeout: args.timeout,
            log: Some(log),
            ..BootArgs::default()
        },
    )?;
    let (verdict, words) = verdict(&outcome);
    Ok((verdict, words, outcome))
}

/// The result line, if there is one.
fn said(outcome: &Outcome) -> Option<(Verdict, String)> {
    outcome.console.iter().rev().find_map(|line| {
        let (result, words) = line.get(line.find(MARK)? + MARK.len()..)?.split_once("@@")?;
        let verdict = match result {
            "success" => Verdict::Success,
            "skip" => Verdict::Skip,
            "error" => Verdict::Error,
            "failure" => Verdict::Failure,
            _ => Verdict::Crash,
        };
        Some((verdict, words.trim().to_owned()))
    })
}

fn verdict(outcome: &Outcome) -> (Verdict, String) {
    if let End::Panic(line) = &outcome.end {
        return (Verdict::Crash, line.clone());
    }
    match said(outcome) {
        Some((Verdict::Skip, words)) if words.is_empty() => {
            (Verdict::Failure, "skipped without naming the missing CPU feature".to_owned())
        }
        Some(said) => said,
        None => (Verdict::Crash, format!("no outcome; the machine ended with {:?}", outcome.end)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(end: End, lines: &[&str]) -> Outcome {
        let console = lines.iter().map(|&line| line.to_owned()).collect();
        Outcome { end, output: Vec::new(), console, powered_off: true, up_after: None }
    }

    #[test]
    fn a_guest_that_says_nothing_crashed() {
        assert_eq!(verdict(&console(End::Off, &["hello"])).0, Verdict::Crash);
    }

    #[test]
    fn a_panic_of_the_hypervisor_outweighs_what_the_guest_said() {
        let outcome = console(End::Panic("Panic on CPU 0".into()), &["@@ferroxen guest success@@ hello: 4 checks"]);
        assert_eq!(verdict(&outcome).0, Verdict::Crash);
    }

    #[test]
    fn a_skip_names_what_is_missing_or_is_a_failure() {
        let named = console(End::Off, &["(XEN) @@ferroxen guest skip@@ UMIP"]);
        assert_eq!(verdict(&named), (Verdict::Skip, "UMIP".to_owned()));
        let bare = console(End::Off, &["@@ferroxen guest skip@@ "]);
        assert_eq!(verdict(&bare).0, Verdict::Failure);
    }
}
