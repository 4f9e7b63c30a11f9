//! System calls. A failing one ends the program.

use std::io::Error;
use std::process::exit;
use std::{fs, mem};

/// Ends the program with the system's message if `result` is negative.
pub fn check(what: &str, result: i64) -> i64 {
    if result < 0 {
        eprintln!("fxclock: {what}: {}", Error::last_os_error());
        exit(3);
    }
    result
}

fn nanoseconds(time: libc::timespec) -> u64 {
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// A clock, as the C library reads it (without a system call where the kernel allows).
pub fn clock(id: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for one timespec.
    check("clock_gettime", unsafe { libc::clock_gettime(id, &raw mut time) }.into());
    nanoseconds(time)
}

/// The same, always by a system call.
pub fn clock_by_system_call(id: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for one timespec.
    check("clock_gettime", unsafe { libc::syscall(libc::SYS_clock_gettime, id, &raw mut time) });
    nanoseconds(time)
}

/// The CPUs on which this program may run.
pub fn cpus() -> Vec<usize> {
    // SAFETY: all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: `set` is a valid place for a set of that size.
    check("sched_getaffinity", unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) }.into());
    // SAFETY: the index is inside the set.
    (0..libc::CPU_SETSIZE as usize).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect()
}

/// Moves this thread to a CPU; it is there when this returns.
pub fn pin(cpu: usize) {
    // SAFETY: all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the CPU came from `cpus`.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: `set` is a set of that size.
    check("sched_setaffinity", unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) }.into());
}

/// What the kernel reads time from.
pub fn clock_source() -> String {
    let file = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    fs::read_to_string(file).map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// This CPU's time stamp counter.
pub fn tsc() -> u64 {
    // SAFETY: user mode may read the TSC, or the kernel ends this program.
    unsafe { core::arch::x86_64::_mm_lfence() };
    // SAFETY: as above.
    unsafe { core::arch::x86_64::_rdtsc() }
}
