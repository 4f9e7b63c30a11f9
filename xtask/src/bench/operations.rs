//! What is measured: every operation, where it is done, and the limit that it has.

/// What is run in one boot, and chosen by `--only`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suite {
    /// fxbench in dom0; on the bare kernel too.
    Dom0,
    /// The test guest `bench` as the only domain: hypercalls without a kernel around them.
    Hypercalls,
    /// fxbench in a Debian guest, and between it and dom0.
    DomU,
    /// xenstored, creation and end of domains, lists, memory: what the tools cost.
    Tools,
    /// xenstored on this machine, without a hypervisor: operations per CPU-second.
    Xenstored,
}

impl Suite {
    /// All, in the order of the tables.
    pub const ALL: [Self; 5] = [Self::Dom0, Self::Hypercalls, Self::DomU, Self::Tools, Self::Xenstored];

    /// Its name for `--only`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dom0 => "dom0",
            Self::Hypercalls => "hypercalls",
            Self::DomU => "domu",
            Self::Tools => "tools",
            Self::Xenstored => "xenstored",
        }
    }

    /// What stands above its table.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Dom0 => "A program in dom0",
            Self::Hypercalls => "A test guest without a kernel, as the only domain",
            Self::DomU => {
                "A Debian guest (`domU`), and dom0 with it (`peer`, `net`: from dom0; `disk`: from the guest)"
            }
            Self::Tools => "The tools, in dom0: Debian's `xl` and C xenstored on Xen, ours on Ferroxen",
            Self::Xenstored => "xenstored on the host, without a hypervisor",
        }
    }

    /// Whether a system can run it.
    pub fn runs_on(self, system: &str) -> bool {
        match self {
            Self::Dom0 => true,
            Self::Hypercalls | Self::DomU | Self::Tools => system != "none",
            Self::Xenstored => false,
        }
    }
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds, which are instructions under `-icount`.
    Cost,
    /// The same for a MiB.
    PerMib,
    /// Nanoseconds that pass without instructions too: lateness.
    Time,
    /// KiB of memory.
    Kib,
    /// Domains; more is better.
    Domains,
}

impl Unit {
    /// Behind the name in a table.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Cost => "",
            Self::PerMib => " (per MiB)",
            Self::Time => " (ns)",
            Self::Kib => " (KiB)",
            Self::Domains => " (domains, more is better)",
        }
    }

    /// Whether it says something about the wall clock.
    pub fn is_time(self) -> bool {
        matches!(self, Self::Cost | Self::PerMib | Self::Time)
    }
}

/// One operation of the tables.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// Its name in the tables.
    pub name: &'static str,
    /// Where it is done.
    pub suite: Suite,
    /// What its figure is.
    pub unit: Unit,
    /// The ratio to Xen's figure that is asked for.
    pub limit: Option<f64>,
    /// Not on the bare kernel.
    pub needs_domain: bool,
}

const fn operation(name: &'static str, suite: Suite) -> Operation {
    Operation { name, suite, unit: Unit::Cost, limit: None, needs_domain: false }
}

impl Operation {
    const fn at_most(self, limit: f64) -> Self {
        Self { limit: Some(limit), ..self }
    }

    const fn unit(self, unit: Unit) -> Self {
        Self { unit, ..self }
    }

    const fn in_a_domain(self) -> Self {
        Self { needs_domain: true, ..self }
    }

    /// Its name for fxbench: `domU getppid` is `getppid` in the guest.
    pub fn program_name(&self) -> &'static str {
        self.name.rsplit(' ').next().unwrap_or(self.name)
    }

    /// Whether `system` has a figure for it.
    pub fn is_on(&self, system: &str) -> bool {
        self.suite.runs_on(system) && !(self.needs_domain && system == "none")
    }
}

use Suite::{Dom0, DomU, Hypercalls, Tools};

/// All of them, in the order of the tables. The limits are those of issues 2 and 3.
pub const OPERATIONS: &[Operation] = &[
    operation("getppid", Dom0).at_most(0.70),
    operation("page-fault", Dom0).at_most(0.92),
    operation("mprotect", Dom0).at_most(0.89),
    operation("mmap-touch-munmap", Dom0).at_most(0.83),
    operation("fork-exit", Dom0).at_most(0.41),
    operation("fork-exec", Dom0).at_most(0.43),
    operation("pipe-ping-pong", Dom0).at_most(0.77),
    operation("futex-ping-pong", Dom0),
    operation("signal", Dom0),
    operation("shell-pipeline", Dom0),
    operation("switch-64k", Dom0),
    operation("switch-1m", Dom0),
    operation("timer-lateness", Dom0).unit(Unit::Time),
    operation("boot-to-userspace", Dom0),
    operation("null-hypercall", Dom0).in_a_domain(),
    operation("hypercall-read", Dom0).in_a_domain(),
    operation("event-channel", Dom0).in_a_domain(),
    operation("grant-map-unmap", Dom0).in_a_domain(),
    operation("guest boot-to-guest", Hypercalls),
    operation("guest null-hypercall", Hypercalls).at_most(1.0),
    operation("guest sched-yield", Hypercalls),
    operation("guest update-va-mapping", Hypercalls),
    operation("guest mmu-update-1", Hypercalls),
    operation("guest mmu-update-32", Hypercalls),
    operation("guest pin-unpin-empty", Hypercalls),
    operation("guest pin-unpin-full", Hypercalls),
    operation("guest event-channel", Hypercalls).at_most(1.0),
    operation("guest timer-lateness-ns", Hypercalls).unit(Unit::Time),
    operation("guest grant-map-unmap", Hypercalls).at_most(1.0),
    operation("guest grant-copy-64", Hypercalls).at_most(1.0),
    operation("guest grant-copy-4096", Hypercalls).at_most(1.0),
    operation("domU getppid", DomU),
    operation("domU page-fault", DomU),
    operation("domU mprotect", DomU),
    operation("domU mmap-touch-munmap", DomU),
    operation("domU fork-exit", DomU),
    operation("domU fork-exec", DomU),
    operation("domU pipe-ping-pong", DomU),
    operation("domU futex-ping-pong", DomU),
    operation("domU signal", DomU),
    operation("domU shell-pipeline", DomU),
    operation("domU switch-64k", DomU),
    operation("domU switch-1m", DomU),
    operation("domU timer-lateness", DomU).unit(Unit::Time),
    operation("domU hypercall-read", DomU),
    operation("domU event-channel", DomU).at_most(1.0),
    operation("domU grant-map-unmap", DomU).at_most(1.0),
    operation("domU xs-read", DomU),
    operation("domU xs-write", DomU),
    operation("domU disk-read-4k", DomU).unit(Unit::PerMib).at_most(1.0),
    operation("domU disk-write-4k", DomU).unit(Unit::PerMib).at_most(1.0),
    operation("domU disk-read-1m", DomU).unit(Unit::PerMib).at_most(1.0),
    operation("domU disk-write-1m", DomU).unit(Unit::PerMib).at_most(1.0),
    operation("peer-event", DomU).at_most(1.0),
    operation("peer-grant-map-unmap", DomU).at_most(1.0),
    operation("peer-grant-copy", DomU).at_most(1.0),
    operation("net-send", DomU).unit(Unit::PerMib).at_most(1.0),
    operation("net-receive", DomU).unit(Unit::PerMib).at_most(1.0),
    operation("net-request", DomU),
    operation("xs-read", Tools),
    operation("xs-write", Tools),
    operation("xs-transaction", Tools),
    operation("xs-watch", Tools),
    operation("create-cold", Tools).at_most(1.0),
    operation("create-warm", Tools).at_most(0.5),
    operation("create-unpacked", Tools).at_most(0.5),
    operation("create-unpacked-hvc0", Tools),
    operation("domain-create", Tools),
    operation("domain-destroy", Tools),
    operation("list", Tools).at_most(0.5),
    operation("domain-memory", Tools).unit(Unit::Kib),
    operation("domain-memory-dom0", Tools).unit(Unit::Kib),
    operation("domains-64m", Tools).unit(Unit::Domains),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = OPERATIONS.iter().map(|operation| operation.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), OPERATIONS.len());
    }

    #[test]
    fn a_guests_operation_is_fxbenchs_of_the_same_name() {
        let find = |name: &str| OPERATIONS.iter().find(|operation| operation.name == name);
        assert_eq!(find("domU getppid").map(Operation::program_name), Some("getppid"));
        assert!(find("null-hypercall").is_some_and(|operation| !operation.is_on("none") && operation.is_on("xen")));
    }
}
