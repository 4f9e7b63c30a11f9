//! What a test found, in a form that people and machines read.

use crate::{hypercall, println, start, time};
use core::fmt;
use xen_abi::sched::{
    SCHEDOP_watchdog, SHUTDOWN_crash, SHUTDOWN_poweroff, SHUTDOWN_reboot, SHUTDOWN_suspend, SchedWatchdog,
};
use xen_abi::xen::__HYPERVISOR_sched_op;

/// How a test ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Everything held.
    Success,
    /// The machine lacks a feature that the test needs.
    Skip,
    /// The test itself broke.
    Error,
    /// The hypervisor did something wrong.
    Failure,
    /// An exception that nobody expected.
    Crash,
}

impl Outcome {
    /// Its name in the result line.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Skip => "skip",
            Outcome::Error => "error",
            Outcome::Failure => "failure",
            Outcome::Crash => "crash",
        }
    }
}

/// Collects what a test checks. The last line of a guest is `@@ferroxen guest OUTCOME@@ WORDS`.
pub struct Report {
    name: &'static str,
    checks: u32,
    failed: u32,
    first: Option<&'static str>,
    skipped: Option<&'static str>,
}

impl Report {
    /// An empty report.
    pub fn new(name: &'static str) -> Report {
        Report { name, checks: 0, failed: 0, first: None, skipped: None }
    }

    /// Notes whether something that must hold does. Says so when it does not.
    pub fn check(&mut self, what: &'static str, holds: bool) -> bool {
        self.checks += 1;
        if !holds {
            self.failed += 1;
            self.first.get_or_insert(what);
            println!("FAILED: {what}");
        }
        holds
    }

    /// Notes whether a value is the wanted one. Prints both when it is not.
    pub fn expect<T: PartialEq + fmt::Debug>(&mut self, what: &'static str, got: T, want: T) -> bool {
        let holds = got == want;
        self.checks += 1;
        if !holds {
            self.failed += 1;
            self.first.get_or_insert(what);
            println!("FAILED: {what}: got {got:x?}, want {want:x?}");
        }
        holds
    }

    /// Notes a hypercall's result: the wanted errno or value. Prints names.
    pub fn result(&mut self, what: &'static str, got: i64, want: i64) -> bool {
        let holds = got == want;
        self.checks += 1;
        if !holds {
            self.failed += 1;
            self.first.get_or_insert(what);
            let names = (crate::errno_name(got), crate::errno_name(want));
            println!("FAILED: {what}: got {got} ({}), want {want} ({})", names.0, names.1);
        }
        holds
    }

    /// Notes a hypercall's result of which Ferroxen and Xen give different ones, with the reason why that is meant to be.
    pub fn differs(&mut self, what: &'static str, got: i64, xen: i64, ours: i64, reason: &'static str) -> bool {
        let want = if start::is_ferroxen() { ours } else { xen };
        if got == ours && want == ours {
            let names = (crate::errno_name(ours), crate::errno_name(xen));
            println!("DIFFERS: {what}: {ours} ({}), Xen {xen} ({}): {reason}", names.0, names.1);
        }
        self.result(what, got, want)
    }

    /// The same for what is no hypercall: whether Ferroxen's way is to be expected.
    pub fn ours(&mut self, what: &'static str, reason: &'static str) -> bool {
        let ours = start::is_ferroxen();
        if ours {
            println!("DIFFERS: {what}: {reason}");
        }
        ours
    }

    /// Notes that a hypercall gave an error; which one is not part of the test.
    pub fn refused(&mut self, what: &'static str, got: i64) -> bool {
        let holds = got < 0;
        self.checks += 1;
        if !holds {
            self.failed += 1;
            self.first.get_or_insert(what);
            println!("FAILED: {what}: got {got}, want an error");
        }
        holds
    }

    /// The machine lacks a CPU `feature`: nothing more is checked.
    pub fn skip(&mut self, feature: &'static str) {
        self.skipped.get_or_insert(feature);
    }

    /// Prints the result and ends the domain.
    pub fn finish(self) -> ! {
        let (outcome, detail) = match (self.failed, self.skipped, self.checks) {
            (0, Some(feature), _) => (Outcome::Skip, feature),
            (0, None, 0) => (Outcome::Error, "nothing was checked"),
            (0, None, _) => (Outcome::Success, ""),
            _ => (Outcome::Failure, self.first.unwrap_or("")),
        };
        let Report { name, checks, failed, .. } = self;
        match outcome {
            Outcome::Skip => println!("{MARK} skip@@ {detail}"),
            Outcome::Failure => println!("{MARK} failure@@ {name}: {failed} of {checks} checks, the first: {detail}"),
            _ => println!("{MARK} {}@@ {name}: {checks} checks {detail}", outcome.name()),
        }
        // An emulator that was told to stop at a reboot stops at once; a machine that dom0 halts waits for a finger.
        match start::option("end") {
            Some("reboot") => hypercall::shutdown(SHUTDOWN_reboot),
            Some("crash") => hypercall::shutdown(SHUTDOWN_crash),
            Some("suspend") => hypercall::shutdown(SHUTDOWN_suspend),
            Some("watchdog") => {
                let mut dog = SchedWatchdog { id: 0, timeout: 1 };
                hypercall::op(__HYPERVISOR_sched_op, SCHEDOP_watchdog, &mut dog);
                idle()
            }
            Some("never") => idle(),
            _ => hypercall::shutdown(SHUTDOWN_poweroff),
        }
    }
}

/// Stays, and listens to nobody.
fn idle() -> ! {
    loop {
        hypercall::poll(&[], time::now() + 1_000_000_000);
    }
}

/// How a result line begins.
const MARK: &str = "@@ferroxen guest";

fn end(outcome: Outcome, detail: fmt::Arguments<'_>) -> ! {
    println!("{MARK} {}@@ {detail}", outcome.name());
    hypercall::shutdown(SHUTDOWN_crash)
}

/// Ends the domain after a panic of the test.
pub fn broken(detail: fmt::Arguments<'_>) -> ! {
    end(Outcome::Error, detail)
}

/// Ends the domain after an exception that nobody expected.
pub fn crashed(detail: fmt::Arguments<'_>) -> ! {
    end(Outcome::Crash, detail)
}
