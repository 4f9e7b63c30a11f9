//! The local APIC, as xAPIC (memory) or x2APIC (MSRs). Intel SDM volume 3, chapter 11.

use crate::instructions::{cpuid, rdmsr, wrmsr};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Vector of a request to flush the TLB.
pub const VECTOR_FLUSH: u8 = 0xfb;
/// Vector of "look at your pending work".
pub const VECTOR_KICK: u8 = 0xfc;
/// Vector of the local timer.
pub const VECTOR_TIMER: u8 = 0xfd;
/// Vector of an APIC error.
pub const VECTOR_ERROR: u8 = 0xfe;
/// Vector of a spurious interrupt.
pub const VECTOR_SPURIOUS: u8 = 0xff;

const ID: u32 = 0x20;
const EOI: u32 = 0xb0;
const SVR: u32 = 0xf0;
const ESR: u32 = 0x280;
const ICR: u32 = 0x300;
const ICR_HIGH: u32 = 0x310;
const LVT_TIMER: u32 = 0x320;
const LVT_LINT0: u32 = 0x350;
const LVT_LINT1: u32 = 0x360;
const LVT_ERROR: u32 = 0x370;
const TIMER_INITIAL: u32 = 0x380;
const TIMER_CURRENT: u32 = 0x390;
const TIMER_DIVIDE: u32 = 0x3e0;
const TPR: u32 = 0x80;

static X2: AtomicBool = AtomicBool::new(false);
static BASE: AtomicU64 = AtomicU64::new(0);

fn read(register: u32) -> u32 {
    if X2.load(Ordering::Relaxed) {
        // SAFETY: x2APIC is on; the registers used here exist.
        unsafe { rdmsr(0x800 + (register >> 4)) as u32 }
    } else {
        let at = (BASE.load(Ordering::Relaxed) + u64::from(register)) as *const u32;
        // SAFETY: `init` mapped the registers.
        unsafe { at.read_volatile() }
    }
}

fn write(register: u32, value: u32) {
    if X2.load(Ordering::Relaxed) {
        // SAFETY: as in `read`.
        unsafe { wrmsr(0x800 + (register >> 4), value.into()) };
    } else {
        let at = (BASE.load(Ordering::Relaxed) + u64::from(register)) as *mut u32;
        // SAFETY: as in `read`.
        unsafe { at.write_volatile(value) };
    }
}

/// Chooses the mode for all CPUs; `mapped` is the uncached linear address of the registers.
pub fn choose(mapped: u64, x2apic_allowed: bool) -> bool {
    BASE.store(mapped, Ordering::Relaxed);
    // SAFETY: every 64-bit CPU has IA32_APIC_BASE.
    let enabled = unsafe { rdmsr(0x1b) } & 1 << 10 != 0;
    let x2 = enabled || (x2apic_allowed && cpuid(1, 0)[2] & 1 << 21 != 0);
    X2.store(x2, Ordering::Relaxed);
    x2
}

/// Turns this CPU's APIC on.
pub fn init() {
    // SAFETY: IA32_APIC_BASE: global enable, and x2APIC where it was chosen.
    unsafe {
        let base = rdmsr(0x1b) | 1 << 11;
        wrmsr(0x1b, if X2.load(Ordering::Relaxed) { base | 1 << 10 } else { base });
    }
    write(TPR, 0);
    write(SVR, 0x100 | u32::from(VECTOR_SPURIOUS));
    write(LVT_LINT0, 0x1_0000);
    write(LVT_LINT1, 0x400); // NMI
    write(LVT_ERROR, VECTOR_ERROR.into());
    write(TIMER_DIVIDE, 0b1011); // by 1
    write(LVT_TIMER, VECTOR_TIMER.into()); // one shot
    write(TIMER_INITIAL, 0);
    write(ESR, 0);
    end_of_interrupt();
}

/// This CPU's APIC id.
pub fn id() -> u32 {
    if X2.load(Ordering::Relaxed) { read(ID) } else { read(ID) >> 24 }
}

/// Tells the APIC that the interrupt was taken.
pub fn end_of_interrupt() {
    write(EOI, 0);
}

/// Sends an interrupt command (low word of the ICR) to one APIC id, and waits until it was accepted.
pub fn send(apic_id: u32, command: u32) {
    if X2.load(Ordering::Relaxed) {
        core::sync::atomic::fence(Ordering::SeqCst);
        // SAFETY: x2APIC's ICR.
        unsafe { wrmsr(0x830, u64::from(apic_id) << 32 | u64::from(command)) };
    } else {
        crate::instructions::without_interrupts(|| {
            while read(ICR) & 1 << 12 != 0 {
                core::hint::spin_loop();
            }
            write(ICR_HIGH, apic_id << 24);
            write(ICR, command);
        });
    }
}

/// Starts the one-shot timer; 0 stops it.
pub fn set_timer(ticks: u32) {
    write(TIMER_INITIAL, ticks);
}

/// What is left of it.
pub fn timer_left() -> u32 {
    read(TIMER_CURRENT)
}

/// Where guests' MSI messages must go: the destination id of an APIC (xAPIC format).
pub fn is_x2apic() -> bool {
    X2.load(Ordering::Relaxed)
}
