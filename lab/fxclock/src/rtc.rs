//! The RTC: when its seconds change.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::exit;
use std::thread;
use std::time::Duration;

use crate::sys;

/// `_IOR('p', 0x09, struct rtc_time)`: nine ints (linux/rtc.h).
const RTC_RD_TIME: libc::c_ulong = 0x8024_7009;

/// Looks at this many edges, and keeps the one that was seen soonest: whatever delays a look makes it late, never early.
const EDGES: u64 = 6;

/// An open RTC.
pub struct Rtc(File);

/// A second of the RTC began at this CLOCK_MONOTONIC_RAW time.
pub struct Edge {
    /// Seconds since some midnight.
    pub rtc: i64,
    /// Nanoseconds.
    pub clock: u64,
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

    /// Waits for some edges; gives the one that was seen soonest after it happened.
    pub fn edge(&self) -> Edge {
        let mut last = self.seconds();
        let mut best: Option<Edge> = None;
        let mut left = EDGES;
        while left > 0 {
            let now = self.seconds();
            let clock = sys::clock(libc::CLOCK_MONOTONIC_RAW);
            if now == last + 1 {
                left -= 1;
                let phase = |edge: &Edge| edge.clock as i64 - edge.rtc * 1_000_000_000;
                let edge = Edge { rtc: now, clock };
                if best.as_ref().is_none_or(|best| phase(&edge) < phase(best)) {
                    best = Some(edge);
                }
                // Most of a second is of no interest.
                thread::sleep(Duration::from_millis(900));
            }
            last = now;
        }
        best.unwrap_or(Edge { rtc: last, clock: 0 })
    }
}
