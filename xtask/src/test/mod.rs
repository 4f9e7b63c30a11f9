//! `./x test`: host tests, loom's models, a smoke run of the fuzzers, test guests, scenarios, boots; one line at the end.

pub mod boots;
mod cargo;
mod console;
mod domains;
mod endurance;
pub mod loom;
mod machines;
mod packages;
mod refusals;
mod software;
mod survival;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use self::boots::{Boot, Expect};
use crate::boot::{self, BootArgs, End, Outcome};
use crate::paths::Paths;
use crate::{build, deb, fuzz, guests, lab, setup, ui};

/// What `./x test` is told.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// Everything, not only the quick set
    #[arg(long)]
    full: bool,
    /// Only cargo's tests on this machine
    #[arg(long, conflicts_with = "boots")]
    host: bool,
    /// Only the boots
    #[arg(long)]
    boots: bool,
    /// Only boots whose name contains this, those of --full too; may be given again
    #[arg(long, value_name = "TEXT", conflicts_with = "host")]
    filter: Vec<String>,
    /// No boots whose name contains this; may be given again
    #[arg(long, value_name = "TEXT")]
    skip: Vec<String>,
    /// Only say which boots these are
    #[arg(long)]
    list: bool,
    /// Seconds of fuzzing, over all targets
    #[arg(long, default_value_t = 60, value_name = "S")]
    fuzz_seconds: u64,
}

/// What passed and what did not.
#[derive(Debug, Default)]
pub struct Tally {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
    /// Names for the summary.
    pub failures: Vec<String>,
}

impl Tally {
    /// Adds another tally to this one.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.failures.extend(other.failures);
    }

    /// Counts one test.
    pub fn one(&mut self, name: &str, result: Result<(), String>, time: Duration) {
        let seconds = time.as_secs_f64();
        match result {
            Ok(()) => {
                self.passed += 1;
                println!("test {name} ... {} ({seconds:.1} s)", ui::styled("32", "ok"));
            }
            Err(why) => {
                self.failed += 1;
                self.failures.push(name.to_owned());
                println!("test {name} ... {} ({seconds:.1} s)\n{why}", ui::styled("1;31", "FAILED"));
            }
        }
    }
}

/// `./x test`.
pub fn main(paths: &Paths, args: &TestArgs) -> Result<i32> {
    if args.list {
        chosen(args).iter().for_each(|boot| println!("{}", boot.name));
        return Ok(0);
    }
    let mut tally = Tally::default();
    if !args.boots && args.filter.is_empty() {
        setup::ensure_test_packages()?;
        setup::Parts::new(paths).xen_headers_4_20()?;
        ui::step("host tests of the workspace");
        cargo::run("host tests", build::cargo(paths).args(["test", "--workspace", "--no-fail-fast"]), &mut tally)?;
        ui::step("models of what CPUs do at once, by loom");
        loom::run(paths, &mut tally)?;
        ui::step("Debian packages");
        deb::test(paths, &mut tally);
        if !args.host {
            fuzz::smoke(paths, args.fuzz_seconds, &mut tally)?;
        }
    }
    if !args.host {
        let chosen = chosen(args);
        let ours = args.filter.is_empty() || chosen.iter().any(|boot| boot.hypervisor == "ferroxen");
        let built = if ours { build::hypervisor(paths).map_err(|err| format!("{err:#}")) } else { Ok(PathBuf::new()) };
        if args.filter.is_empty() {
            guests::test(paths, built.as_deref(), args.full, &mut tally)?;
            lab::test(paths, args.full, &mut tally)?;
        }
        run_boots(paths, &chosen, built.as_deref(), &mut tally)?;
    }
    println!();
    for name in &tally.failures {
        println!("failed: {name}");
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    Ok(i32::from(tally.failed > 0))
}

/// Every boot, the long ones last.
fn all() -> impl Iterator<Item = &'static Boot> {
    [
        boots::BOOTS,
        domains::BOOTS,
        survival::BOOTS,
        packages::BOOTS,
        software::BOOTS,
        refusals::BOOTS,
        console::BOOTS,
        machines::BOOTS,
        endurance::BOOTS,
    ]
    .into_iter()
    .flatten()
}

fn named(texts: &[String], boot: &Boot) -> bool {
    texts.iter().any(|text| boot.name.contains(text.as_str()))
}

fn chosen(args: &TestArgs) -> Vec<&'static Boot> {
    all()
        .filter(|boot| args.full || !boot.full || !args.filter.is_empty())
        .filter(|boot| args.filter.is_empty() || named(&args.filter, boot))
        .filter(|boot| !named(&args.skip, boot))
        .collect()
}

fn run_boots(paths: &Paths, chosen: &[&Boot], built: Result<&Path, &String>, tally: &mut Tally) -> Result<()> {
    ui::step(format!("{} boots", chosen.len()));
    for test in chosen {
        let start = Instant::now();
        let mut boot = arguments(paths, test);
        let result = match built {
            Err(why) if test.hypervisor == "ferroxen" => Err(format!("  {why}")),
            Ok(file) => {
                if test.hypervisor == "ferroxen" {
                    boot.hypervisor = boot::Hypervisor::File(file.to_owned());
                }
                judge(paths, test, &boot)
            }
            Err(_) => judge(paths, test, &boot),
        };
        tally.one(&format!("boot::{}", test.name), result, start.elapsed());
    }
    Ok(())
}

fn arguments(paths: &Paths, test: &Boot) -> BootArgs {
    BootArgs {
        hypervisor: parsed(test.hypervisor),
        via: test.via,
        kernel: parsed(test.kernel),
        uncompressed: test.uncompressed && test.variant.is_none(),
        variant: test.variant,
        machine: test.machine,
        cpus: Some(test.cpus),
        memory: test.memory,
        cpu: Some(test.cpu.to_owned()),
        cmdline: boot::for_guests(&parsed(test.hypervisor), test.cmdline),
        exec: Some(test.exec.to_owned()).filter(|commands| !commands.is_empty()),
        // systemd under emulation takes its minutes.
        timeout: match (test.timeout, test.rootfs) {
            (0, Some(_)) => 900,
            (0, None) => 240,
            (seconds, _) => seconds,
        },
        rootfs: test.rootfs,
        nic: test.nic.map(str::to_owned),
        fxbench: test.fxbench,
        fio: test.fio,
        endure: test.endure,
        packages: test.packages,
        typed: test.typed,
        dom0_cmdline: test.dom0_cmdline.to_owned(),
        tools: test.tools.map(str::to_owned),
        daemons: test.daemons,
        guests: test.guests,
        log: Some(paths.target.join("boot").join(format!("{}.log", test.name))),
        ..BootArgs::default()
    }
}

/// A value whose text cannot be wrong.
fn parsed<T: FromStr<Err = Infallible>>(text: &str) -> T {
    match text.parse() {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

fn judge(paths: &Paths, test: &Boot, args: &BootArgs) -> Result<(), String> {
    std::fs::create_dir_all(paths.target.join("boot")).map_err(|err| err.to_string())?;
    let outcome = boot::quiet(paths, args).map_err(|err| format!("{err:#}"))?;
    verdict(test, &outcome).map_err(|why| {
        let tail = outcome.tail(25).join("\n  | ");
        let log = args.log.as_deref().unwrap_or(Path::new("?"));
        format!("  {why}\n  | {tail}\n  console: {}", log.display())
    })
}

/// Compares what came with what was expected.
fn verdict(test: &Boot, outcome: &Outcome) -> Result<(), String> {
    match test.expect {
        Expect::Output(wanted) => {
            if outcome.end != End::Exec(0) {
                return Err(format!("ended with {:?}, output {:?}", outcome.end, outcome.output));
            }
            if let Some(text) = missing(&outcome.output, wanted) {
                return Err(format!("no line with {text:?} (in this order) in the output {:?}", outcome.output));
            }
            if !outcome.powered_off {
                return Err("the machine did not power off after the commands".to_owned());
            }
            match outcome.complaint(test.warning) {
                Some(line) => Err(format!("the hypervisor complained while the commands ran: {line}")),
                None => Ok(()),
            }
        }
        Expect::AtMost(text, limit) => {
            let found = outcome.console.iter().find_map(|line| line.split_once(text)).map(|(_, rest)| rest);
            let digits =
                |rest: &str| rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse::<u64>().ok());
            match (found.and_then(digits), &outcome.end) {
                (Some(number), End::Exec(0)) if number <= limit => Ok(()),
                (number, end) => Err(format!("{text:?} is {number:?}, not at most {limit}; ended with {end:?}")),
            }
        }
        Expect::Off(_) if !outcome.powered_off => Err(format!("the machine did not go off: {:?}", outcome.end)),
        Expect::Refused(_) if outcome.powered_off => Err("the machine did not stand still".to_owned()),
        Expect::Off(wanted) | Expect::Console(wanted) => said(outcome, wanted),
        Expect::Refused(text) => said(outcome, &[text]).and_then(|()| said(outcome, &["Ferroxen cannot start"])),
    }
}

/// The first of these that no line holds behind the line that held the one before.
fn missing<'a>(lines: &[String], wanted: &[&'a str]) -> Option<&'a str> {
    let mut lines = lines.iter();
    wanted.iter().copied().find(|text| !lines.any(|line| line.contains(text)))
}

/// All of these were on the console, in this order.
fn said(outcome: &Outcome, wanted: &[&str]) -> Result<(), String> {
    match missing(&outcome.console, wanted) {
        Some(text) => Err(format!("no {text:?} (in this order) on the console; it ended with {:?}", outcome.end)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(end: End, output: &[&str]) -> Outcome {
        Outcome {
            end,
            output: output.iter().map(|&line| line.to_owned()).collect(),
            console: Vec::new(),
            powered_off: true,
            up_after: None,
        }
    }

    fn expecting(lines: &'static [&'static str]) -> Boot {
        Boot { expect: Expect::Output(lines), ..boots::PLAIN }
    }

    #[test]
    fn output_in_another_order_fails() {
        let test = expecting(&["one", "two"]);
        assert!(verdict(&test, &outcome(End::Exec(0), &["one", "noise", "two"])).is_ok());
        assert!(verdict(&test, &outcome(End::Exec(0), &["two", "one"])).is_err());
    }

    #[test]
    fn a_machine_that_goes_off_without_a_word_fails() {
        let test = Boot { expect: Expect::Off(&["rebooting"]), ..boots::PLAIN };
        let silent = outcome(End::Off, &[]);
        assert!(verdict(&test, &silent).is_err());
        let told = Outcome { console: vec!["(XEN) Domain 0 shutdown: rebooting machine".to_owned()], ..silent };
        assert!(verdict(&test, &told).is_ok());
        assert!(verdict(&test, &Outcome { powered_off: false, end: End::Timeout, ..told }).is_err());
    }

    #[test]
    fn a_refusal_that_ends_in_a_reset_fails() {
        let test = Boot { expect: Expect::Refused("no kernel"), ..boots::PLAIN };
        let console =
            ["(XEN) no kernel", "(XEN) Ferroxen cannot start; the machine is halted."].map(str::to_owned).to_vec();
        let still = Outcome { powered_off: false, console, ..outcome(End::Panic(String::new()), &[]) };
        assert!(verdict(&test, &still).is_ok());
        assert!(verdict(&test, &Outcome { powered_off: true, ..still }).is_err());
    }

    #[test]
    fn a_status_that_is_not_zero_fails_whatever_was_printed() {
        assert!(verdict(&expecting(&["one"]), &outcome(End::Exec(1), &["one"])).is_err());
        assert!(verdict(&expecting(&[]), &outcome(End::Timeout, &[])).is_err());
    }

    #[test]
    fn names_of_boots_are_unique_and_say_something() {
        let mut names: Vec<&str> = all().map(|boot| boot.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().count());
        assert!(names.iter().all(|name| name.contains('_')));
    }

    #[test]
    fn the_quick_set_has_at_most_a_dozen_boots_one_of_them_a_scenario() {
        assert!(all().filter(|boot| !boot.full).count() <= 12);
    }
}
