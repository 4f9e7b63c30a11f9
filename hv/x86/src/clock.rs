//! Time from the TSC, calibrated against the ACPI PM timer or the PIT.

use crate::apic;
use crate::instructions::{inb, inl, outb, rdtsc};

/// Frequency of the ACPI power-management timer, in hertz (ACPI 6.4, 4.8.3.3).
pub const PM_TIMER_HZ: u64 = 3_579_545;
/// Frequency of the PIT, in hertz.
pub const PIT_HZ: u64 = 1_193_182;

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct Calibration {
    /// TSC ticks per second.
    pub tsc_hz: u64,
    /// Local APIC timer ticks per second (divided by 1).
    pub apic_hz: u64,
}

/// Measures TSC and APIC timer for some milliseconds against the PM timer at I/O port `pm_timer`, or, where that is 0
/// or stands still, the PIT.
pub fn calibrate(pm_timer: u16) -> Calibration {
    let measured = if pm_timer != 0 { against_pm_timer(pm_timer) } else { None };
    measured.unwrap_or_else(against_pit)
}

/// A reading of the PM timer, and of TSC and APIC timer at the same moment.
struct Reading {
    pm: u32,
    tsc: u64,
    timer: u32,
}

/// Readings that [`reading`] chooses from.
const READINGS: u32 = 32;

/// The reading that took least: a machine below this one, or a cache, may stop us between any two instructions.
fn reading(read_pm: impl Fn() -> u32) -> Reading {
    let mut best = Reading { pm: 0, tsc: 0, timer: 0 };
    let mut least = u64::MAX;
    for _ in 0..READINGS {
        let before = rdtsc();
        let pm = read_pm();
        let after = rdtsc();
        let timer = apic::timer_left();
        let took = rdtsc().wrapping_sub(before);
        if took < least {
            least = took;
            best = Reading { pm, tsc: before.wrapping_add(after.wrapping_sub(before) / 2), timer };
        }
    }
    best
}

fn against_pm_timer(port: u16) -> Option<Calibration> {
    // SAFETY: the FADT names the port.
    let read = || unsafe { inl(port) } & 0xff_ffff;
    let window = (PM_TIMER_HZ / 50) as u32; // 20 ms
    apic::set_timer(u32::MAX);
    let first = reading(read);
    let mut polls = 0u32;
    while read().wrapping_sub(first.pm) & 0xff_ffff < window {
        polls += 1;
        if polls > 1 << 24 {
            return None;
        }
    }
    let last = reading(read);
    apic::set_timer(0);
    let elapsed = last.pm.wrapping_sub(first.pm) & 0xff_ffff;
    let scale = |ticks: u64| (u128::from(ticks) * u128::from(PM_TIMER_HZ) / u128::from(elapsed)) as u64;
    Some(Calibration {
        tsc_hz: scale(last.tsc.wrapping_sub(first.tsc)),
        apic_hz: scale(first.timer.wrapping_sub(last.timer).into()),
    })
}

fn against_pit() -> Calibration {
    let count = (PIT_HZ / 50) as u16;
    apic::set_timer(u32::MAX);
    // SAFETY: channel 2 of the PIT, gated by port 0x61, speaker off.
    unsafe {
        outb(0x61, inb(0x61) & !2 | 1);
        outb(0x43, 0xb0);
        outb(0x42, count as u8);
        outb(0x42, (count >> 8) as u8);
    }
    let (tsc, timer) = (rdtsc(), apic::timer_left());
    // SAFETY: as above.
    while unsafe { inb(0x61) } & 0x20 == 0 {
        core::hint::spin_loop();
    }
    let (tsc, timer) = (rdtsc() - tsc, timer.wrapping_sub(apic::timer_left()));
    apic::set_timer(0);
    let scale = |ticks: u64| ticks * PIT_HZ / u64::from(count);
    Calibration { tsc_hz: scale(tsc), apic_hz: scale(timer.into()) }
}

/// Seconds since 1970 by the CMOS clock.
pub fn read_cmos() -> u64 {
    // SAFETY: index and data port of the CMOS clock; bit 7 of the index keeps NMIs enabled when clear.
    let read = |register: u8| unsafe {
        outb(0x70, register);
        inb(0x71)
    };
    let snapshot = || {
        while read(0x0a) & 0x80 != 0 {
            core::hint::spin_loop();
        }
        [read(0), read(2), read(4), read(7), read(8), read(9)]
    };
    let mut fields = snapshot();
    loop {
        let again = snapshot();
        if again == fields {
            break;
        }
        fields = again;
    }
    let format = read(0x0b);
    let number = |byte: u8| u64::from(if format & 4 != 0 { byte } else { (byte & 0xf) + (byte >> 4) * 10 });
    let hour = if format & 2 != 0 {
        number(fields[2])
    } else {
        number(fields[2] & 0x7f) % 12 + if fields[2] & 0x80 != 0 { 12 } else { 0 }
    };
    let year = 2000 + number(fields[5]);
    let (day, month) = (number(fields[3]), number(fields[4]));
    // Days from the civil date, with years that begin in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    days * 86_400 + hour * 3600 + number(fields[1]) * 60 + number(fields[0])
}
