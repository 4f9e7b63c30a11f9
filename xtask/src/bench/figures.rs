//! What is measured, how it is run, and what a run gives.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::{hypervisor, title};
use crate::boot::{self, BootArgs, End, Outcome};
use crate::build;
use crate::paths::Paths;

/// Where an operation is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// By fxbench in dom0, on the bare kernel too.
    Dom0,
    /// By fxbench through a device that only a domain has.
    Domain,
    /// By the test guest `bench` as the only module: hypercalls without a kernel around them.
    Guest,
}

/// One operation of the tables.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// Its name.
    pub name: &'static str,
    /// Where it is done.
    pub place: Place,
    /// The ratio to Xen's instructions that issue 2 asks for.
    pub limit: Option<f64>,
    /// False for a time that is no cost in instructions: nanoseconds of guest time in both tables.
    pub instructions: bool,
}

const fn operation(name: &'static str, place: Place) -> Operation {
    Operation { name, place, limit: None, instructions: true }
}

const fn limited(name: &'static str, limit: f64) -> Operation {
    Operation { name, place: Place::Dom0, limit: Some(limit), instructions: true }
}

const fn lateness(name: &'static str, place: Place) -> Operation {
    Operation { name, place, limit: None, instructions: false }
}

/// All of them, in the order of the tables.
pub const OPERATIONS: &[Operation] = &[
    limited("getppid", 0.70),
    limited("page-fault", 0.92),
    limited("mprotect", 0.89),
    limited("mmap-touch-munmap", 0.83),
    limited("fork-exit", 0.41),
    limited("fork-exec", 0.43),
    limited("pipe-ping-pong", 0.77),
    operation("futex-ping-pong", Place::Dom0),
    operation("signal", Place::Dom0),
    operation("shell-pipeline", Place::Dom0),
    operation("switch-64k", Place::Dom0),
    operation("switch-1m", Place::Dom0),
    lateness("timer-lateness", Place::Dom0),
    operation("boot-to-userspace", Place::Dom0),
    operation("null-hypercall", Place::Domain),
    operation("event-channel", Place::Domain),
    operation("grant-map-unmap", Place::Domain),
    operation("guest boot-to-guest", Place::Guest),
    operation("guest null-hypercall", Place::Guest),
    operation("guest sched-yield", Place::Guest),
    operation("guest update-va-mapping", Place::Guest),
    operation("guest mmu-update-1", Place::Guest),
    operation("guest mmu-update-32", Place::Guest),
    operation("guest pin-unpin-empty", Place::Guest),
    operation("guest pin-unpin-full", Place::Guest),
    operation("guest event-channel", Place::Guest),
    lateness("guest timer-lateness-ns", Place::Guest),
    operation("guest grant-map-unmap", Place::Guest),
    operation("guest grant-copy-64", Place::Guest),
    operation("guest grant-copy-4096", Place::Guest),
];

/// Nanoseconds (under icount: instructions) for each operation.
pub type Figures = BTreeMap<String, u64>;

/// What every system runs.
#[derive(Debug)]
pub struct Suite<'a> {
    /// Places of the checkout.
    pub paths: &'a Paths,
    /// Our hypervisor, if it is measured.
    pub ours: Option<PathBuf>,
    /// The test guest `bench`.
    pub guest: PathBuf,
}

impl<'a> Suite<'a> {
    /// Builds what is needed.
    pub fn new(paths: &'a Paths, ours: Option<PathBuf>) -> Result<Self> {
        let guest = build::bare_metal(paths, &["guest-bench"])?.join("guest-bench");
        Ok(Self { paths, ours, guest })
    }

    /// One run of everything on one system.
    pub fn measure(&self, system: &str, icount: bool) -> Result<Figures> {
        let outcome = self.boot(system, icount, None)?;
        if outcome.end != End::Exec(0) {
            let tail = outcome.tail(20).join("\n  | ");
            bail!("no figures from {}: {:?}\n  | {tail}", title(system), outcome.end);
        }
        let mut figures: Figures = outcome.output.iter().filter_map(|line| figure(line)).collect();
        // On the wall clock it is what the host saw.
        if !icount {
            figures.remove("boot-to-userspace");
        }
        if let (Some(time), false) = (outcome.up_after, icount) {
            figures.insert("boot-to-userspace".to_owned(), u64::try_from(time.as_nanos())?);
        }
        if system != "none" {
            let outcome = self.boot(system, icount, Some(&self.guest))?;
            let lines = outcome.console.iter().filter_map(|line| line.strip_prefix("bench "));
            let mut seen: Figures =
                lines.filter_map(figure).map(|(name, cost)| (format!("guest {name}"), cost)).collect();
            if !icount {
                seen.remove("guest boot-to-guest");
                // Ticks of a counter, not nanoseconds: only their ratio would mean something.
                seen.retain(|name, _| name.ends_with("-ns"));
            }
            figures.extend(seen);
        }
        let wanted = OPERATIONS.iter().filter(|operation| match operation.place {
            Place::Dom0 => true,
            Place::Domain => system != "none",
            Place::Guest => system != "none" && icount,
        });
        for operation in wanted {
            if !figures.contains_key(operation.name) {
                bail!("no figure for {} from {}; output: {:?}", operation.name, title(system), outcome.output);
            }
        }
        Ok(figures)
    }

    fn boot(&self, system: &str, icount: bool, guest: Option<&Path>) -> Result<Outcome> {
        let plain = BootArgs {
            hypervisor: hypervisor(system, self.ours.as_ref()),
            icount,
            cpus: Some(1),
            timeout: 600,
            ..BootArgs::default()
        };
        let args = match guest {
            Some(guest) => BootArgs { guest: Some(guest.to_owned()), memory: 512, ..plain },
            None => BootArgs { uncompressed: true, fxbench: true, exec: Some("fxbench".to_owned()), ..plain },
        };
        boot::quiet(self.paths, &args)
    }
}

/// `name nanoseconds rounds`, a line of fxbench or of the test guest.
fn figure(line: &str) -> Option<(String, u64)> {
    let mut words = line.split_whitespace();
    let name = words.next()?.to_owned();
    let cost = words.next()?.parse().ok()?;
    let _rounds: u64 = words.next()?.parse().ok()?;
    words.next().is_none().then_some((name, cost))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_the_programs_are_figures() {
        assert_eq!(figure("getppid 337 2000"), Some(("getppid".to_owned(), 337)));
        assert_eq!(figure("fxbench: fork: no memory"), None);
        assert_eq!(figure("free 100 MiB of"), None);
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = OPERATIONS.iter().map(|operation| operation.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), OPERATIONS.len());
    }
}
