//! Looks whether time ever runs backwards between vcpus, and how far it drifts from the RTC.
//!
//! Three looks, at the same time as whatever load runs beside:
//!
//! * *together*: a thread on each CPU; each reading must not be before the latest one that any CPU had published;
//! * *wandering*: threads that move to the next CPU before each reading;
//! * *raw*: the vcpu's own time record (`struct vcpu_time_info`, read through `/proc/kcore`) and this CPU's TSC, without
//!   Linux's guard against a clock that steps back.
//!
//! Then the drift of CLOCK_MONOTONIC_RAW against the RTC, from edges of its seconds.
//!
//! `fxclock [--seconds N] [--max-ppm N] [--no-rtc]` prints a line for each look and ends with 1 if time stepped back or
//! drifted more than N ppm (500).

use std::process::exit;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

mod record;
mod rtc;
mod sys;

use record::Record;

/// A clock and the latest reading that any thread published.
struct Watched {
    name: &'static str,
    read: fn() -> u64,
    latest: AtomicU64,
    reads: AtomicU64,
    back: AtomicU64,
    worst: AtomicU64,
}

impl Watched {
    const fn new(name: &'static str, read: fn() -> u64) -> Self {
        Self {
            name,
            read,
            latest: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            back: AtomicU64::new(0),
            worst: AtomicU64::new(0),
        }
    }

    /// `now` was read after `before` was known to have been.
    fn judge(&self, before: u64, now: u64) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if now < before {
            self.back.fetch_add(1, Ordering::Relaxed);
            self.worst.fetch_max(before - now, Ordering::Relaxed);
        }
        self.latest.fetch_max(now, Ordering::SeqCst);
    }

    fn look(&self) {
        let before = self.latest.load(Ordering::SeqCst);
        self.judge(before, (self.read)());
    }

    fn report(&self, look: &str) -> bool {
        let (reads, back) = (self.reads.load(Ordering::SeqCst), self.back.load(Ordering::SeqCst));
        let worst = self.worst.load(Ordering::SeqCst);
        println!("{look} {}: {back} steps back in {reads} readings, largest {worst} ns", self.name);
        back == 0
    }
}

fn monotonic() -> u64 {
    sys::clock(libc::CLOCK_MONOTONIC)
}
fn monotonic_raw() -> u64 {
    sys::clock(libc::CLOCK_MONOTONIC_RAW)
}
fn realtime() -> u64 {
    sys::clock(libc::CLOCK_REALTIME)
}
fn by_system_call() -> u64 {
    sys::clock_by_system_call(libc::CLOCK_MONOTONIC)
}

/// The clocks of one look.
fn clocks() -> [Watched; 4] {
    [
        Watched::new("monotonic", monotonic),
        Watched::new("monotonic-raw", monotonic_raw),
        Watched::new("realtime", realtime),
        Watched::new("monotonic by system call", by_system_call),
    ]
}

struct Options {
    seconds: u64,
    max_ppm: f64,
    rtc: bool,
}

fn options() -> Options {
    let mut options = Options { seconds: 20, max_ppm: 500.0, rtc: true };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|n| n.parse::<u64>().ok()).filter(|&n| n > 0);
        let good = match arg.as_str() {
            "--seconds" => number().map(|n| options.seconds = n).is_some(),
            "--max-ppm" => number().map(|n| options.max_ppm = n as f64).is_some(),
            "--no-rtc" => {
                options.rtc = false;
                true
            }
            "--help" => {
                println!("usage: fxclock [--seconds N] [--max-ppm N] [--no-rtc]");
                exit(0);
            }
            _ => false,
        };
        if !good {
            eprintln!("fxclock: cannot use {arg}; usage: fxclock [--seconds N] [--max-ppm N] [--no-rtc]");
            exit(2);
        }
    }
    options
}

fn main() {
    let options = options();
    let cpus = sys::cpus();
    let records: Vec<Record> = match record::find(cpus.len()) {
        Ok(records) => records,
        Err(why) => {
            println!("raw: not looked at: {why}");
            Vec::new()
        }
    };
    println!("{} CPUs, {} seconds, clock source {}", cpus.len(), options.seconds, sys::clock_source());
    let rtc = if options.rtc { Some(rtc::Rtc::open()) } else { None };
    let start = rtc.as_ref().map(rtc::Rtc::edge);

    let (together, wandering) = (clocks(), clocks());
    let raw = Watched::new("vcpu time", || 0);
    let unstable = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for (n, &cpu) in cpus.iter().enumerate() {
            let (together, wandering, raw, stop, cpus, records) = (&together, &wandering, &raw, &stop, &cpus, &records);
            let unstable = &unstable;
            scope.spawn(move || {
                sys::pin(cpu);
                while !stop.load(Ordering::Relaxed) {
                    together.iter().for_each(Watched::look);
                }
            });
            scope.spawn(move || {
                let mut at = n;
                let mut last = [0; 4];
                while !stop.load(Ordering::Relaxed) {
                    at = (at + 1) % cpus.len();
                    sys::pin(cpus[at]);
                    for (clock, last) in wandering.iter().zip(&mut last) {
                        let now = (clock.read)();
                        clock.judge(*last, now);
                        *last = now;
                    }
                }
            });
            if let Some(record) = records.get(n) {
                scope.spawn(move || {
                    sys::pin(cpu);
                    while !stop.load(Ordering::Relaxed) {
                        let before = raw.latest.load(Ordering::SeqCst);
                        match record.now() {
                            Some(now) => raw.judge(before, now),
                            None => _ = unstable.fetch_add(1, Ordering::Relaxed),
                        }
                    }
                });
            }
        }
        thread::sleep(Duration::from_secs(options.seconds));
        stop.store(true, Ordering::Relaxed);
    });

    let mut good = true;
    for clock in &together {
        good &= clock.report("together");
    }
    for clock in &wandering {
        good &= clock.report("wandering");
    }
    if !records.is_empty() {
        good &= raw.report("raw");
        println!("raw: {} readings thrown away (the record changed under them)", unstable.load(Ordering::Relaxed));
        good &= raw.reads.load(Ordering::Relaxed) > 0;
    }
    if let (Some(rtc), Some(start)) = (&rtc, start) {
        let end = rtc.edge();
        let (least, most) = rtc::drift(&start, &end);
        println!("drift {least:+.0} to {most:+.0} ppm against the RTC in {} s", end.rtc - start.rtc);
        good &= least >= -options.max_ppm && most <= options.max_ppm;
    }
    println!("{}", if good { "time is good" } else { "time is BAD" });
    exit(i32::from(!good));
}
