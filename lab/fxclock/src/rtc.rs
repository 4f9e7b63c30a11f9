//! The RTC: when its seconds change.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::exit;
use std::thread;
use std::time::Duration;

use crate::sys;

/// `_IOR('p', 0x09, struct rtc_time)`: nine ints (linux/rtc.h).
const RTC_RD_TIME: libc::c_ulong = 0x8024_7009;

/// Looks at this many edges: whatever delays a look widens what is known of one edge, and seldom of all.
const EDGES: u64 = 6;

/// An open RTC.
pub struct Rtc(File);

/// A second of the RTC began within these CLOCK_MONOTONIC_RAW times, in nanoseconds.
#[derive(Clone, Copy)]
pub struct Edge {
    /// Seconds since some midnight.
    pub rtc: i64,
    /// The second before was still there then.
    pub after: i64,
    /// It was there then.
    pub before: i64,
}

impl Edge {
    /// What both say of one edge: `other` as if it were at this second.
    fn narrowed(&self, other: &Edge) -> Edge {
        let shift = (self.rtc - other.rtc) * 1_000_000_000;
        Edge {
            rtc: self.rtc,
            after: self.after.max(other.after + shift),
            before: self.before.min(other.before + shift),
        }
    }
}

/// How far a clock went from the RTC between two edges: the least and the most that the looks leave possible, in ppm.
pub fn drift(start: &Edge, end: &Edge) -> (f64, f64) {
    let rtc = (end.rtc - start.rtc) as f64 * 1e9;
    let ppm = |clock: i64| (clock as f64 / rtc - 1.0) * 1e6;
    let (one, other) = (ppm(end.after - start.before), ppm(end.before - start.after));
    (one.min(other), one.max(other))
}

impl Rtc {
    /// Opens the machine's RTC.
    pub fn open() -> Self {
        match ["/dev/rtc0", "/dev/rtc", "/dev/misc/rtc"].iter().find_map(|path| File::open(path).ok()) {
            Some(file) => Self(file),
            None => {
                eprintln!("fxclock: this machine has no /dev/rtc0");
                exit(3);
            }
        }
    }

    fn seconds(&self) -> i64 {
        let mut fields = [0i32; 9];
        // SAFETY: `fields` is a valid place for the nine ints of struct rtc_time.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), RTC_RD_TIME, fields.as_mut_ptr()) };
        sys::check("RTC_RD_TIME", result.into());
        let [seconds, minutes, hours, day, ..] = fields.map(i64::from);
        // The day of the month is enough for a test that does not run over a month's end.
        ((day * 24 + hours) * 60 + minutes) * 60 + seconds
    }

    /// Waits for some edges; gives what is known of one of them.
    pub fn edge(&self) -> Edge {
        let clock = || sys::clock(libc::CLOCK_MONOTONIC_RAW) as i64;
        let mut after = clock();
        let mut last = self.seconds();
        let mut known: Option<Edge> = None;
        for _ in 0..EDGES {
            loop {
                let before_look = clock();
                let now = self.seconds();
                let before = clock();
                if now == last + 1 {
                    let edge = Edge { rtc: now, after, before };
                    known = Some(known.map_or(edge, |known| known.narrowed(&edge)));
                    break;
                }
                // More than a second was missed: start again.
                last = now;
                after = before_look;
            }
            // Most of a second is of no interest.
            thread::sleep(Duration::from_millis(900));
            after = clock();
            last = self.seconds();
        }
        known.unwrap_or(Edge { rtc: last, after, before: after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(rtc: i64, after: i64, before: i64) -> Edge {
        Edge { rtc, after, before }
    }

    #[test]
    fn several_edges_narrow_each_other() {
        let known = edge(10, 10_000_000_000, 10_004_000_000).narrowed(&edge(12, 12_003_000_000, 12_009_000_000));
        assert_eq!((known.rtc, known.after, known.before), (10, 10_003_000_000, 10_004_000_000));
    }

    #[test]
    fn a_late_look_widens_the_drift_and_does_not_move_it() {
        let (least, most) = drift(&edge(0, 0, 1_000_000), &edge(20, 20_000_000_000, 20_003_000_000));
        assert!((least - -50.0).abs() < 0.1 && (most - 150.0).abs() < 0.1, "{least} {most}");
    }
}
