//! How what is measured is run, and what a run gives.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, bail};

use super::operations::{OPERATIONS, Operation, Suite};
use super::{hypervisor, title};
use crate::boot::{self, BootArgs, End, Outcome};
use crate::build;
use crate::paths::Paths;

/// What dom0 does with a Debian guest.
const DOMU: &str = include_str!("scripts/domu.sh");
/// What dom0 does with its tools.
const TOOLS: &str = include_str!("scripts/tools.sh");
/// Small guests that are there when tools list and memory is looked at.
const SMALL: u32 = 30;

/// Nanoseconds (under icount: instructions) for each operation.
pub type Figures = BTreeMap<String, u64>;

/// What every system runs.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Places of the checkout.
    pub paths: &'a Paths,
    /// Our hypervisor, if it is measured.
    pub ours: Option<PathBuf>,
    /// The test guest `bench`.
    pub guest: PathBuf,
    /// The suites that were chosen.
    pub suites: Vec<Suite>,
    /// The operations that were named; empty: all.
    pub names: Vec<String>,
}

impl<'a> Plan<'a> {
    /// Builds what is needed for what `only` names, suites or operations; for all of `default` if it names nothing.
    pub fn new(paths: &'a Paths, ours: Option<PathBuf>, only: &[String], default: &[Suite]) -> Result<Self> {
        let (suites, names) = chosen(only, default)?;
        let guest = build::bare_metal(paths, &["guest-bench"])?.join("guest-bench");
        Ok(Self { paths, ours, guest, suites, names })
    }

    /// One run of everything on one system.
    pub fn measure(&self, system: &str, icount: bool) -> Result<Figures> {
        let mut all = Figures::new();
        for suite in self.suites.iter().copied().filter(|suite| suite.runs_on(system)) {
            if suite == Suite::Hypercalls && !icount {
                // It counts ticks, which only mean something under `-icount`.
                continue;
            }
            all.extend(self.run(system, suite, icount)?);
        }
        Ok(all)
    }

    /// One run of a suite on one system.
    pub fn run(&self, system: &str, suite: Suite, icount: bool) -> Result<Figures> {
        let dir = self.paths.target.join("bench");
        std::fs::create_dir_all(&dir)?;
        let log = Some(dir.join(format!("{system}-{}.log", suite.name())));
        let outcome = boot::quiet(self.paths, &BootArgs { log, ..self.boot(system, suite, icount) })?;
        let complete = if suite == Suite::Hypercalls { outcome.end == End::Off } else { outcome.end == End::Exec(0) };
        let mut figures = figures(&outcome, suite);
        if suite == Suite::Dom0 && !icount {
            // On the wall clock it is what the host saw.
            figures.remove("boot-to-userspace");
            if let Some(time) = outcome.up_after {
                figures.insert("boot-to-userspace".to_owned(), u64::try_from(time.as_nanos())?);
            }
        }
        let mut wanted = self.operations(suite).filter(|operation| operation.is_on(system));
        let missing = wanted.find(|operation| !figures.contains_key(operation.name));
        if missing.is_some() || !complete {
            let (what, on) = (missing.map_or("good end", |operation| operation.name), title(system));
            let (tail, said) = (outcome.tail(20).join("\n  | "), outcome.output.join("\n  > "));
            bail!("{}: no {what} from {on} ({:?})\n  > {said}\n  | {tail}", suite.name(), outcome.end);
        }
        Ok(figures)
    }

    /// The operations of a suite that are wanted.
    fn operations(&self, suite: Suite) -> impl Iterator<Item = &'static Operation> {
        let all = OPERATIONS.iter().filter(move |operation| operation.suite == suite);
        all.filter(|operation| self.names.is_empty() || self.names.iter().any(|name| name == operation.name))
    }

    /// The machine of a suite.
    pub fn boot(&self, system: &str, suite: Suite, icount: bool) -> BootArgs {
        let plain = BootArgs {
            hypervisor: hypervisor(system, self.ours.as_ref()),
            icount,
            cpus: Some(1),
            timeout: 1800,
            uncompressed: true,
            fxbench: true,
            ..BootArgs::default()
        };
        let names = |pick: fn(&Operation) -> bool| {
            let picked = self.operations(suite).filter(|operation| pick(operation));
            picked.map(Operation::program_name).collect::<Vec<_>>()
        };
        let tools = if system == "xen" { "debian" } else { "ferroxen" };
        match suite {
            Suite::Dom0 | Suite::Xenstored => {
                let names = if self.names.is_empty() { String::new() } else { names(|_| true).join(" ") };
                BootArgs { exec: Some(format!("fxbench {names}")), ..plain }
            }
            Suite::Hypercalls => {
                BootArgs { guest: Some(self.guest.clone()), memory: 512, uncompressed: false, fxbench: false, ..plain }
            }
            Suite::DomU => {
                let inside = names(|operation| operation.name.starts_with("domU ")).join("+");
                let inside = if inside.is_empty() { "none".to_owned() } else { inside };
                let from_dom0 = names(|operation| !operation.name.starts_with("domU ")).join(" ");
                let orders = format!("TOOLS={tools} IN_GUEST='{inside}' FROM_DOM0='{from_dom0}'\n");
                BootArgs { tools: Some(tools.to_owned()), guests: true, exec: Some(orders + DOMU), ..plain }
            }
            Suite::Tools => {
                let only = if self.names.is_empty() { String::new() } else { names(|_| true).join(" ") };
                let orders = format!("TOOLS={tools} SMALL={SMALL} ONLY='{only}'\n");
                let exec = Some(orders + TOOLS);
                BootArgs { tools: Some(tools.to_owned()), guests: true, memory: 2048, exec, ..plain }
            }
        }
    }
}

/// The suites and the names that `only` means; without names, `default` and everything in it.
pub fn chosen(only: &[String], default: &[Suite]) -> Result<(Vec<Suite>, Vec<String>)> {
    let (mut suites, mut names) = (Vec::new(), Vec::new());
    for word in only {
        let suite = Suite::ALL.into_iter().find(|suite| suite.name() == word);
        let operation = OPERATIONS.iter().find(|operation| operation.name == word);
        match (suite, operation) {
            (Some(suite), _) => {
                suites.push(suite);
                let all = OPERATIONS.iter().filter(|operation| operation.suite == suite);
                names.extend(all.map(|operation| operation.name.to_owned()));
            }
            (None, Some(operation)) => {
                suites.push(operation.suite);
                names.push(operation.name.to_owned());
            }
            (None, None) => {
                let known = Suite::ALL.map(Suite::name).join(", ");
                bail!("--only knows the suites {known} and the operations of their tables, not {word}");
            }
        }
    }
    if suites.is_empty() {
        suites = default.to_vec();
    }
    suites.sort_unstable();
    suites.dedup();
    Ok((suites, names))
}

/// What a run of a suite printed.
fn figures(outcome: &Outcome, suite: Suite) -> Figures {
    match suite {
        Suite::Hypercalls => {
            let lines = outcome.console.iter().filter_map(|line| line.strip_prefix("bench "));
            lines.filter_map(figure).map(|(name, cost)| (format!("guest {name}"), cost)).collect()
        }
        _ => outcome.output.iter().filter_map(|line| figure(line)).collect(),
    }
}

/// `name nanoseconds rounds`, a line of fxbench or of the test guest. In a name, `/` stands for a blank.
fn figure(line: &str) -> Option<(String, u64)> {
    let mut words = line.split_whitespace();
    let name = words.next()?.replace('/', " ");
    let cost = words.next()?.parse::<i64>().ok()?;
    let _rounds: u64 = words.next()?.parse().ok()?;
    // A difference of memory can be below nothing.
    words.next().is_none().then_some((name, cost.max(0).unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_the_programs_are_figures() {
        assert_eq!(figure("getppid 337 2000"), Some(("getppid".to_owned(), 337)));
        assert_eq!(figure("domU/getppid 440 2000"), Some(("domU getppid".to_owned(), 440)));
        assert_eq!(figure("domain-memory -12 30"), Some(("domain-memory".to_owned(), 0)));
        assert_eq!(figure("fxbench: fork: no memory"), None);
        assert_eq!(figure("free 100 MiB of"), None);
    }

    #[test]
    fn suites_and_operations_can_be_chosen() {
        let only =
            |words: &[&str]| chosen(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), &[Suite::Dom0]);
        assert_eq!(only(&[]).ok(), Some((vec![Suite::Dom0], vec![])));
        assert_eq!(only(&["net-send"]).ok(), Some((vec![Suite::DomU], vec!["net-send".to_owned()])));
        let (suites, names) = only(&["tools", "getppid"]).unwrap_or_default();
        assert_eq!(suites, [Suite::Dom0, Suite::Tools]);
        assert!(names.contains(&"list".to_owned()) && !names.contains(&"signal".to_owned()));
        assert!(only(&["nothing"]).is_err());
    }
}
