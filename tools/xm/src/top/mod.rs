//! `xm top`: what domains do, on the whole screen or, with `-b`, line by line as Xen's `xentop -b`.
//!
//! Snapshots come from `xenstat`. [`figures`] makes numbers of them, [`app`] keeps the state and takes keys, [`view`] draws it:
//! none of them knows a terminal. [`screen`] has the terminal, the signals and the threads, and decides nothing.

mod app;
mod batch;
mod clean;
mod columns;
mod figures;
mod screen;
mod view;

use crate::failure::{Failure, Outcome};
use crate::output::{line, text};
use crate::table::Args;
use clean::Charset;
use columns::{Details, Sorting};
use figures::Figures;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};
use toolstack::Host;
use xenstat::collect::{Source, collect};
use xenstat::machine::Machine;
use xenstat::snapshot::SourceKind;

/// How wide names are shown.
const NAME_WIDTH: usize = 10;
/// Seconds that may lie between two snapshots.
const DELAYS: std::ops::RangeInclusive<f64> = 0.1..=86400.0;

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Time between two snapshots.
    pub delay: Duration,
    /// What stands below a domain.
    pub details: Details,
    /// A header above each domain.
    pub repeat_header: bool,
    /// Names are shown whole.
    pub full_name: bool,
    /// The order.
    pub sorting: Sorting,
    /// Bars of the last loads.
    pub history: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            delay: Duration::from_secs(3),
            details: Details::default(),
            repeat_header: false,
            full_name: false,
            sorting: Sorting::default(),
            history: true,
        }
    }
}

/// Reads a delay in seconds.
fn delay(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| DELAYS.contains(seconds));
    let seconds = seconds.ok_or_else(|| {
        format!("delay {text}: a number of seconds from {} to {} is expected", DELAYS.start(), DELAYS.end())
    })?;
    Ok(Duration::from_secs_f64(seconds))
}

/// The command.
pub fn top(args: &Args<'_>) -> Outcome {
    if args.flag("version") {
        line(&format!("xm top {}", env!("CARGO_PKG_VERSION")));
        return Ok(());
    }
    let settings = Settings {
        delay: args.get("delay").map_or(Ok(Settings::default().delay), delay).map_err(Failure::usage)?,
        details: Details { vcpus: args.flag("vcpus"), networks: args.flag("networks"), disks: args.flag("vbds") },
        repeat_header: args.flag("repeat-header"),
        full_name: args.flag("full-name"),
        sorting: Sorting { dom0_first: args.flag("dom0-first"), ..Sorting::default() },
        ..Settings::default()
    };
    let count = |text: &str| text.parse::<u64>().ok().filter(|count| *count > 0);
    let iterations = args.get("iterations").map(|text| {
        count(text).ok_or_else(|| Failure::usage(format!("iterations {text}: a number above 0 is expected")))
    });
    let iterations = iterations.transpose()?;
    if !args.flag("batch") && !std::io::stdout().is_terminal() {
        return Err(Failure::usage("standard output is no terminal; `xm top -b` prints line by line"));
    }
    let charset = Charset::of_environment(|name| std::env::var(name).ok());
    let xen = Host::open_hypervisor()?;
    // What may not be asked is told at once, and not on the screen.
    xen.domain_info(0)?;
    let mut machine = Machine::new(xen).without_quotas();
    if args.flag("batch") {
        return batch(&mut machine, &settings, charset, iterations);
    }
    screen::run(machine, app::App::new(settings, charset), iterations)
}

/// Prints rounds.
fn batch(source: &mut impl Source, settings: &Settings, charset: Charset, iterations: Option<u64>) -> Outcome {
    let since = Instant::now();
    let mut figures = Figures::new(charset);
    let mut told = None;
    let mut round = 0;
    loop {
        let begun = since.elapsed();
        let snapshot = collect(source);
        let deaf = snapshot.asked.iter().find(|asked| asked.source == SourceKind::Hypervisor);
        if let Some(why) = deaf.and_then(|asked| asked.error.as_ref())
            && snapshot.domains.is_empty()
        {
            return Err(Failure::Told(5, format!("the hypervisor does not answer: {why}")));
        }
        figures.take(snapshot, begun);
        // Each problem once; the lines go on.
        if figures.problem != told {
            told.clone_from(&figures.problem);
            told.iter().for_each(|problem| say!("warning: {problem}"));
        }
        text(&batch::text(settings, &figures));
        round += 1;
        if iterations.is_some_and(|most| round >= most) {
            return Ok(());
        }
        std::thread::sleep(settings.delay);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use figures::tests::{machine, ran};
    use xenstat::fake::Fake;

    #[test]
    fn a_delay_is_a_number_of_seconds() {
        assert_eq!(delay("2"), Ok(Duration::from_secs(2)));
        assert_eq!(delay("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["", "x", "0", "-1", "inf", "NaN", "1e9", "0.01"] {
            assert!(delay(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn batches_end_after_their_rounds_or_with_the_hypervisor() {
        let settings = Settings { delay: Duration::ZERO, ..Settings::default() };
        let mut from = machine(vec![ran(0, 1)], "");
        assert!(batch(&mut from, &settings, Charset::Ascii, Some(3)).is_ok());
        let mut away = Fake { broken: &["names"], ..machine(vec![ran(0, 1)], "") };
        assert!(batch(&mut away, &settings, Charset::Ascii, Some(2)).is_ok(), "a store that is away ends nothing");
        let mut deaf = Fake { broken: &["host", "domains"], ..machine(Vec::new(), "") };
        let Err(Failure::Told(5, line)) = batch(&mut deaf, &settings, Charset::Ascii, None) else {
            panic!("exit code 5")
        };
        assert!(line.contains("hypervisor"), "{line}");
    }
}
