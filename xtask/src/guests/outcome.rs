//! What a guest came to, as its console says it.

use crate::boot::{End, Outcome};

/// What a guest came to. The exit status of `./x guests NAME` is the largest of its guests'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Everything held.
    Success = 0,
    /// A CPU feature is missing; the guest names it.
    Skip = 3,
    /// The test itself broke.
    Error = 4,
    /// The hypervisor did something wrong.
    Failure = 5,
    /// The guest or the machine ended without a word.
    Crash = 6,
}

impl Verdict {
    /// Its name in results and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Skip => "skip",
            Self::Error => "error",
            Self::Failure => "failure",
            Self::Crash => "crash",
        }
    }

    /// True if nothing has to be looked at.
    pub fn is_fine(self) -> bool {
        matches!(self, Self::Success | Self::Skip)
    }
}

const MARK: &str = "@@ferroxen guest ";

/// How a line begins that tells of a difference between the hypervisors that is meant to be.
const DIFFERS: &str = "DIFFERS: ";

/// CPU features for whose lack a guest may skip, as the manuals write them.
const FEATURES: &[&str] = &[
    "AVX",
    "AVX2",
    "FRED",
    "FSGSBASE",
    "INVPCID",
    "LWP",
    "MPX",
    "NX",
    "PCID",
    "PKU",
    "RDPID",
    "RDTSCP",
    "SMAP",
    "SMEP",
    "SYSCALL32",
    "SYSENTER",
    "TSX",
    "UMIP",
    "X2APIC",
    "XSAVE",
    "XSAVES",
];

/// The result line, if there is one.
pub fn said(outcome: &Outcome) -> Option<(Verdict, String)> {
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

/// What the guest came to, and its words.
pub fn verdict(outcome: &Outcome) -> (Verdict, String) {
    if let End::Panic(line) = &outcome.end {
        // A guest that crashed says more than the hypervisor that reports it.
        return match said(outcome) {
            Some((verdict @ (Verdict::Error | Verdict::Crash), words)) => (verdict, words),
            _ => (Verdict::Crash, line.clone()),
        };
    }
    match said(outcome) {
        Some((Verdict::Skip, words)) if !FEATURES.contains(&words.as_str()) => {
            (Verdict::Failure, format!("skipped for something that is no CPU feature: {words:?}"))
        }
        Some(said) => said,
        None => (Verdict::Crash, format!("no outcome; the machine ended with {:?}", outcome.end)),
    }
}

/// What a case came to in which the domain must crash: it is dead, and the hypervisor said so and not more.
pub fn crash_verdict(outcome: &Outcome, case: u32) -> (Verdict, String) {
    const DEAD: [&str; 2] = ["Hardware Dom0 crashed", "Domain 0 crashed"];
    let says = |words: &str| outcome.console.iter().find(|line| line.contains(words));
    if let Some(line) = says("Panic on CPU") {
        return (Verdict::Crash, format!("case {case}: {line}"));
    }
    if let Some((verdict, words)) = said(outcome) {
        return (verdict.max(Verdict::Failure), format!("case {case}: {words}"));
    }
    if says(&format!("case {case}")).is_none() {
        return (Verdict::Crash, format!("case {case} did not begin; the machine ended with {:?}", outcome.end));
    }
    match DEAD.iter().find_map(|words| says(words)) {
        Some(_) => (Verdict::Success, String::new()),
        None => (Verdict::Crash, format!("case {case}: the machine ended with {:?}", outcome.end)),
    }
}

/// The differences from Debian's Xen that the guest met and that are meant to be.
pub fn differences(outcome: &Outcome) -> Vec<String> {
    let of = |line: &String| line.get(line.find(DIFFERS)? + DIFFERS.len()..).map(|words| words.trim().to_owned());
    outcome.console.iter().filter_map(of).collect()
}

/// How many checks a result line counts.
pub fn checks(words: &str) -> Option<u32> {
    let mut before = "";
    for word in words.split_whitespace() {
        if word.trim_end_matches(',') == "checks" {
            return before.parse().ok();
        }
        before = word;
    }
    None
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
    fn a_guest_that_broke_says_why() {
        let lines = ["@@ferroxen guest error@@ the pool is empty", "Domain 0 crashed"];
        let outcome = console(End::Panic("Domain 0 crashed".into()), &lines);
        assert_eq!(verdict(&outcome), (Verdict::Error, "the pool is empty".to_owned()));
    }

    #[test]
    fn a_skip_names_a_feature_of_the_cpu_or_is_a_failure() {
        let named = console(End::Off, &["(XEN) @@ferroxen guest skip@@ UMIP"]);
        assert_eq!(verdict(&named), (Verdict::Skip, "UMIP".to_owned()));
        for words in ["", "a second vcpu"] {
            let other = console(End::Off, &[&format!("@@ferroxen guest skip@@ {words}")]);
            assert_eq!(verdict(&other).0, Verdict::Failure);
        }
    }

    #[test]
    fn a_domain_that_must_crash_may_not_take_the_hypervisor_with_it() {
        let dead = End::Panic("(XEN) Domain 0 crashed: rebooting machine".into());
        let good = console(dead.clone(), &["case 3", "(XEN) Domain 0 crashed: rebooting machine"]);
        assert_eq!(crash_verdict(&good, 3).0, Verdict::Success);
        assert_eq!(crash_verdict(&good, 4).0, Verdict::Crash);
        let worse = console(dead, &["case 3", "(XEN) Panic on CPU 0:", "(XEN) Domain 0 crashed"]);
        assert_eq!(crash_verdict(&worse, 3).0, Verdict::Crash);
        let alive = console(End::Off, &["case 3", "@@ferroxen guest failure@@ crash: 1 of 1 checks, the first: x"]);
        assert_eq!(crash_verdict(&alive, 3).0, Verdict::Failure);
        assert_eq!(crash_verdict(&console(End::Timeout, &["case 3"]), 3).0, Verdict::Crash);
    }

    #[test]
    fn differences_and_checks_are_read_from_the_console() {
        let outcome = console(End::Off, &["(d0) DIFFERS: a flag: EINVAL, not 0: stricter "]);
        assert_eq!(differences(&outcome), ["a flag: EINVAL, not 0: stricter"]);
        assert_eq!(checks("hello: 4 checks"), Some(4));
        assert_eq!(checks("grants: 2 of 90 checks, the first: x"), Some(90));
        assert_eq!(checks("exception 14"), None);
    }
}
