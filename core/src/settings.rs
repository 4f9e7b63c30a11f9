//! What may be changed while the hypervisor runs: through `hypfs`, with the names of the command line's options.

use crate::options::{LogLevel, Options, parse_levels};
use crate::platform::Level;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// The most frames of a grant table and of handles that a domain may be given, whatever the settings say.
pub const MOST_GRANT_FRAMES: u32 = 1 << 12;
/// As [`MOST_GRANT_FRAMES`], for handles.
pub const MOST_MAPTRACK_FRAMES: u32 = 1 << 14;

/// The settings of a running hypervisor.
#[derive(Debug)]
pub struct Settings {
    /// `loglvl`: of the hypervisor's own lines.
    pub loglvl: Threshold,
    /// `guest_loglvl`: of lines that a guest causes. There are none so far; it is kept for who sets it.
    pub guest_loglvl: Threshold,
    /// `gnttab_max_frames`: the most frames that a new domain's grant table may have; its size where a toolstack does not say.
    pub gnttab_max_frames: AtomicU32,
    /// `gnttab_max_maptrack_frames`: as that, for the handles of mapped grants.
    pub gnttab_max_maptrack_frames: AtomicU32,
}

impl Settings {
    /// What the command line says.
    pub fn of(options: &Options) -> Self {
        let threshold = |(lower, upper)| Threshold::new(lower, upper);
        Settings {
            loglvl: threshold(options.loglvl),
            guest_loglvl: threshold(options.guest_loglvl),
            gnttab_max_frames: AtomicU32::new(options.gnttab_max_frames),
            gnttab_max_maptrack_frames: AtomicU32::new(options.gnttab_max_maptrack_frames),
        }
    }
}

/// Lines that come in bursts are let through this often in [`BURST_NS`].
const BURST: u32 = 10;
/// Length of a burst, in nanoseconds.
const BURST_NS: u64 = 5_000_000_000;

/// Which lines are printed: those up to `lower` always, those up to `upper` ten times in five seconds.
#[derive(Debug)]
pub struct Threshold {
    lower: AtomicU8,
    upper: AtomicU8,
    /// When the burst began, and how many lines it had.
    began: AtomicU64,
    lines: AtomicU32,
}

/// What becomes of a line.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is printed.
    Print,
    /// It is printed, after as many of its kind that were not.
    PrintAfter(u32),
    /// It is not printed.
    Drop,
}

impl Threshold {
    /// With these levels.
    pub const fn new(lower: LogLevel, upper: LogLevel) -> Self {
        Threshold {
            lower: AtomicU8::new(lower as u8),
            upper: AtomicU8::new(upper as u8),
            began: AtomicU64::new(0),
            lines: AtomicU32::new(0),
        }
    }

    /// Both levels.
    pub fn levels(&self) -> (LogLevel, LogLevel) {
        let level = |from: &AtomicU8| LogLevel::from_number(from.load(Ordering::Relaxed));
        (level(&self.lower), level(&self.upper))
    }

    /// Changes both levels.
    pub fn set(&self, (lower, upper): (LogLevel, LogLevel)) {
        self.lower.store(lower as u8, Ordering::Relaxed);
        self.upper.store(upper as u8, Ordering::Relaxed);
    }

    /// Changes both levels to what `text` says: `LEVEL` or `LEVEL/LEVEL`. False: it says nothing.
    pub fn parse(&self, text: &str) -> bool {
        parse_levels(text).map(|levels| self.set(levels)).is_some()
    }

    /// Whether a line of this level is printed at time `now`, in nanoseconds. CPUs that ask at the same time may let a line more
    /// through.
    pub fn judge(&self, level: LogLevel, now: u64) -> Verdict {
        let (lower, upper) = self.levels();
        if level <= lower {
            return Verdict::Print;
        }
        if level > upper {
            return Verdict::Drop;
        }
        if now.saturating_sub(self.began.load(Ordering::Relaxed)) >= BURST_NS {
            self.began.store(now, Ordering::Relaxed);
            let before = self.lines.swap(1, Ordering::Relaxed);
            return match before.saturating_sub(BURST) {
                0 => Verdict::Print,
                left_out => Verdict::PrintAfter(left_out),
            };
        }
        if self.lines.fetch_add(1, Ordering::Relaxed) < BURST { Verdict::Print } else { Verdict::Drop }
    }
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => LogLevel::Error,
            Level::Warning => LogLevel::Warning,
            Level::Info => LogLevel::Info,
            Level::Debug => LogLevel::Debug,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_between_the_levels_are_printed_ten_times_in_five_seconds() {
        let threshold = Threshold::new(LogLevel::Error, LogLevel::Info);
        const SECOND: u64 = 1_000_000_000;
        for n in 0..100 {
            assert_eq!(threshold.judge(LogLevel::Error, n), Verdict::Print);
            assert_eq!(threshold.judge(LogLevel::Debug, n), Verdict::Drop);
        }
        assert_eq!(threshold.judge(LogLevel::Info, 6 * SECOND), Verdict::Print);
        let printed = (0..20).filter(|&n| threshold.judge(LogLevel::Warning, 6 * SECOND + n) == Verdict::Print).count();
        assert_eq!(printed, 9);
        assert_eq!(threshold.judge(LogLevel::Warning, 11 * SECOND), Verdict::PrintAfter(11));
        assert_eq!(threshold.judge(LogLevel::Warning, 20 * SECOND), Verdict::Print, "the last burst was none");
    }

    #[test]
    fn a_threshold_is_what_its_text_says() {
        let threshold = Threshold::new(LogLevel::Error, LogLevel::Info);
        assert!(threshold.parse("none/all"));
        assert_eq!(threshold.levels(), (LogLevel::None, LogLevel::Debug));
        assert!(threshold.parse("warning"));
        assert_eq!(threshold.levels(), (LogLevel::Warning, LogLevel::Warning));
        for bad in ["", "loud", "info/error", "info/", "/info", "info/info/info"] {
            assert!(!threshold.parse(bad), "{bad}");
        }
        assert_eq!(threshold.levels(), (LogLevel::Warning, LogLevel::Warning));
    }
}
