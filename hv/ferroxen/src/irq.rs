//! Device interrupts: IO-APIC entries and messages, delivered to guests as event channels.
//!
//! The handler takes no lock but the IO-APIC's: it masks a level-triggered line, notes the vector, and the exit path
//! delivers. A line stays masked until the guest says PHYSDEVOP_eoi.

use crate::machine::hv;
use crate::percpu::{self, Counter, remote, work};
use core::sync::atomic::{AtomicU32, Ordering};
use ferroxen_core::evtchn;
use ferroxen_x86::ioapic::{ACTIVE_LOW, IoApic, LEVEL, MASKED};
use ferroxen_x86::{apic, instructions};
use spin::{Mutex, Once};

/// Vectors for devices.
pub const FIRST_VECTOR: u8 = 0x21;
/// The last one.
pub const LAST_VECTOR: u8 = 0xef;
/// COM1.
pub const VECTOR_SERIAL: u8 = 0x20;

static IOAPICS: Once<alloc::vec::Vec<IoApic>> = Once::new();
static IOAPIC_LOCK: Mutex<()> = Mutex::new(());

/// What a vector stands for: pirq + 1 in bits 0-23, LEVEL_BIT when it is a level-triggered line.
static VECTORS: [AtomicU32; 256] = [const { AtomicU32::new(0) }; 256];
const LEVEL_BIT: u32 = 1 << 31;
const PIRQ_MASK: u32 = (1 << 24) - 1;

/// Stores what the MADT named.
pub fn init(ioapics: alloc::vec::Vec<IoApic>) {
    IOAPICS.call_once(|| ioapics);
}

/// Number of global system interrupts.
pub fn gsi_count() -> u32 {
    IOAPICS.get().map_or(16, |list| list.iter().map(|io| io.gsi_base + io.entries).max().unwrap_or(16))
}

/// The IO-APICs.
pub fn ioapics() -> &'static [IoApic] {
    IOAPICS.get().map_or(&[], |list| list.as_slice())
}

fn with_entry<T>(gsi: u32, f: impl FnOnce(&IoApic, u32) -> T) -> Option<T> {
    let io = ioapics().iter().find(|io| (io.gsi_base..io.gsi_base + io.entries).contains(&gsi))?;
    Some(instructions::without_interrupts(|| {
        let _held = IOAPIC_LOCK.lock();
        f(io, gsi - io.gsi_base)
    }))
}

/// A free vector, now bound to this pirq.
pub fn allocate_vector(pirq: u32, level: bool) -> Option<u8> {
    let value = (pirq + 1) & PIRQ_MASK | if level { LEVEL_BIT } else { 0 };
    (FIRST_VECTOR..=LAST_VECTOR).filter(|&v| v != 0x80 && v != 0x82).find(|&v| {
        VECTORS[usize::from(v)].compare_exchange(0, value, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    })
}

/// Gives a vector back.
pub fn free_vector(vector: u8) {
    VECTORS[usize::from(vector)].store(0, Ordering::SeqCst);
}

/// The vector that a pirq has.
pub fn vector_of(pirq: u32) -> Option<u8> {
    (FIRST_VECTOR..=LAST_VECTOR).find(|&v| {
        let value = VECTORS[usize::from(v)].load(Ordering::Relaxed);
        value != 0 && value & PIRQ_MASK == (pirq + 1) & PIRQ_MASK
    })
}

/// Routes a line to the boot CPU as `vector`, masked.
pub fn route(gsi: u32, vector: u8, level: bool, low: bool) -> bool {
    let apic_id = u64::from(remote(ferroxen_core::cpu::CpuId(0)).apic_id.load(Ordering::Relaxed));
    let value = u64::from(vector)
        | if level { LEVEL } else { 0 }
        | if low { ACTIVE_LOW } else { 0 }
        | MASKED
        | apic_id << 56;
    with_entry(gsi, |io, entry| io.write_entry(entry, value)).is_some()
}

/// Whether a line was set up.
pub fn routed(gsi: u32) -> bool {
    with_entry(gsi, |io, entry| io.entry(entry) & 0xff != 0).unwrap_or(false)
}

/// Masks or unmasks a line.
pub fn set_mask(gsi: u32, masked: bool) {
    with_entry(gsi, |io, entry| io.set_mask(entry, masked));
}

/// Whether the pirq is a level-triggered line (the guest must say when it is done).
pub fn needs_eoi(pirq: u32) -> bool {
    vector_of(pirq).is_some_and(|v| VECTORS[usize::from(v)].load(Ordering::Relaxed) & LEVEL_BIT != 0)
}

/// The guest is done with a level-triggered line.
pub fn eoi(pirq: u32) {
    if needs_eoi(pirq) {
        set_mask(pirq, false);
    }
}

/// A device's interrupt, with interrupts off.
pub fn interrupt(vector: u8) {
    let what = VECTORS[usize::from(vector)].load(Ordering::Acquire);
    if what & LEVEL_BIT != 0 {
        set_mask((what & PIRQ_MASK) - 1, true);
    }
    apic::end_of_interrupt();
    percpu::count(Counter::DeviceInterrupt);
    let cpu = percpu::this();
    remote(cpu).irqs[usize::from(vector) / 64].fetch_or(1 << (vector % 64), Ordering::SeqCst);
    percpu::mark(cpu, work::IRQ);
}

/// Delivers what [`interrupt`] noted on this CPU.
pub fn deliver() {
    for (i, word) in remote(percpu::this()).irqs.iter().enumerate() {
        let mut bits = word.swap(0, Ordering::SeqCst);
        while bits != 0 {
            let vector = i as u32 * 64 + bits.trailing_zeros();
            bits &= bits - 1;
            if vector == u32::from(VECTOR_SERIAL) {
                crate::machine::poll_console();
                continue;
            }
            let what = VECTORS[vector as usize].load(Ordering::Acquire);
            if what & PIRQ_MASK == 0 {
                continue;
            }
            let pirq = (what & PIRQ_MASK) - 1;
            // Devices belong to dom0 until they can be assigned.
            if let Some(domain) = hv().domains.get(ferroxen_core::DomId(0)) {
                crate::machine::notify(evtchn::send_pirq(hv(), &domain, pirq));
            }
        }
    }
}
