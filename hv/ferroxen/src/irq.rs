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
    (FIRST_VECTOR..=LAST_VECTOR)
        .filter(|&v| v != 0x80 && v != 0x82)
        .find(|&v| VECTORS[usize::from(v)].compare_exchange(0, value, Ordering::SeqCst, Ordering::Relaxed).is_ok())
}

/// `count` (a power of two) free vectors in a row, the first a multiple of `count`, now bound to `pirq` and the following.
pub fn allocate_vectors(pirq: u32, count: u32, level: bool) -> Option<u8> {
    if count == 1 {
        return allocate_vector(pirq, level);
    }
    let count = u8::try_from(count).ok()?;
    let starts = (FIRST_VECTOR.next_multiple_of(count)..=LAST_VECTOR - count + 1).step_by(count.into());
    for first in starts {
        let run = first..first + count;
        if run.contains(&0x80) || run.contains(&0x82) {
            continue;
        }
        let value = |n: u8| (pirq + u32::from(n) + 1) & PIRQ_MASK | if level { LEVEL_BIT } else { 0 };
        let taken = (0..count).take_while(|&n| {
            let slot = &VECTORS[usize::from(first + n)];
            slot.compare_exchange(0, value(n), Ordering::SeqCst, Ordering::Relaxed).is_ok()
        });
        let taken = taken.count() as u8;
        if taken == count {
            return Some(first);
        }
        (0..taken).for_each(|n| free_vector(first + n));
    }
    None
}

/// Gives a vector back.
pub fn free_vector(vector: u8) {
    VECTORS[usize::from(vector)].store(0, Ordering::SeqCst);
}

/// A register of the IO-APIC at this physical address.
pub fn read_register(physical: u64, register: u32) -> Option<u32> {
    let io = ioapics().iter().find(|io| io.physical == physical)?;
    if register > 2 && !(0x10..0x10 + io.entries * 2).contains(&register) {
        return None;
    }
    Some(instructions::without_interrupts(|| {
        let _held = IOAPIC_LOCK.lock();
        io.read(register)
    }))
}

/// The console's own line; `u32::MAX`: none.
static CONSOLE_GSI: AtomicU32 = AtomicU32::new(u32::MAX);

/// Takes COM1's line for the hypervisor's console. Gives `false` where no IO-APIC has it: then it is polled.
pub fn claim_console(gsi: u32) -> bool {
    if !write_route(gsi, VECTOR_SERIAL, false, false) {
        return false;
    }
    CONSOLE_GSI.store(gsi, Ordering::SeqCst);
    with_entry(gsi, |io, entry| io.set_mask(entry, false));
    true
}

/// Whether the console's line is one of ours that interrupts.
pub fn console_interrupts() -> bool {
    CONSOLE_GSI.load(Ordering::Relaxed) != u32::MAX
}

/// Routes a line to the boot CPU as `vector`, masked. The console's line is refused.
pub fn route(gsi: u32, vector: u8, level: bool, low: bool) -> bool {
    gsi != CONSOLE_GSI.load(Ordering::Relaxed) && write_route(gsi, vector, level, low)
}

fn write_route(gsi: u32, vector: u8, level: bool, low: bool) -> bool {
    let apic_id = u64::from(remote(ferroxen_core::cpu::CpuId(0)).apic_id.load(Ordering::Relaxed));
    let value =
        u64::from(vector) | if level { LEVEL } else { 0 } | if low { ACTIVE_LOW } else { 0 } | MASKED | apic_id << 56;
    with_entry(gsi, |io, entry| io.write_entry(entry, value)).is_some()
}

/// Masks or unmasks a line.
pub fn set_mask(gsi: u32, masked: bool) {
    if gsi == CONSOLE_GSI.load(Ordering::Relaxed) {
        return;
    }
    with_entry(gsi, |io, entry| io.set_mask(entry, masked));
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
