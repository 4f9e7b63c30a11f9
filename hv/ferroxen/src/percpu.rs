//! What each CPU has for itself; found from RSP, never from GS.

use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use ferroxen_core::cpu::{CpuId, MAX_CPUS};
use ferroxen_x86::{StackTop, entry, layout};

/// Work before a guest may run: bits of `CpuBlock::pending`.
pub mod work {
    /// The scheduler is to decide.
    pub const SCHEDULE: u64 = 1 << 0;
    /// The timer fired.
    pub const TIMER: u64 = 1 << 1;
    /// Device interrupts wait in `Shared::irqs`.
    pub const IRQ: u64 = 1 << 2;
    /// Someone wants this CPU to look: an event, a new vcpu_info, …
    pub const LOOK: u64 = 1 << 3;
    /// What a hypercall or trap left to be done (`Effects`).
    pub const EFFECTS: u64 = 1 << 4;
}

/// The part of a CPU's data that others reach.
pub struct Remote {
    /// Its stack top, once it is up.
    pub top: AtomicPtr<StackTop>,
    /// APIC id.
    pub apic_id: AtomicU32,
    /// It runs.
    pub online: AtomicBool,
    /// Vectors that fired and wait to be delivered.
    pub irqs: [AtomicU64; 4],
    /// Flush requests handled: sequence number.
    pub flush_done: AtomicU64,
    /// Stamp of its last full flush.
    pub flush_stamp: AtomicU32,
    /// NMI: stop for ever.
    pub stop: AtomicBool,
}

impl Remote {
    const fn new() -> Remote {
        Remote {
            top: AtomicPtr::new(core::ptr::null_mut()),
            apic_id: AtomicU32::new(u32::MAX),
            online: AtomicBool::new(false),
            irqs: [const { AtomicU64::new(0) }; 4],
            flush_done: AtomicU64::new(0),
            flush_stamp: AtomicU32::new(0),
            stop: AtomicBool::new(false),
        }
    }
}

/// Every CPU's reachable part.
pub static CPUS: [Remote; MAX_CPUS] = [const { Remote::new() }; MAX_CPUS];
static UP: AtomicBool = AtomicBool::new(false);

/// The stack tops are in use.
pub fn set_up() {
    UP.store(true, Ordering::Relaxed);
}

/// This CPU's number; 0 while the boot CPU is on its boot stack.
pub fn number() -> u16 {
    let top = entry::top();
    if (top as u64) < layout::CPU_AREA || (top as u64) >= layout::MMIO_START {
        return 0;
    }
    // SAFETY: in a CPU's area, the top of the block is its StackTop.
    unsafe { (*top).cpu.number as u16 }
}

/// This CPU.
pub fn this() -> CpuId {
    CpuId(number())
}

/// This CPU's reachable part.
pub fn remote(cpu: CpuId) -> &'static Remote {
    &CPUS[usize::from(cpu.0) % MAX_CPUS]
}

/// Marks work on a CPU (any, this one too).
pub fn mark(cpu: CpuId, bits: u64) {
    let top = remote(cpu).top.load(Ordering::Acquire);
    if !top.is_null() {
        // SAFETY: stack tops are never taken away; only the atomic is touched.
        unsafe { (*(&raw const (*top).cpu.pending)).fetch_or(bits, Ordering::SeqCst) };
    }
}

/// Domain and vcpu that this CPU runs, for messages.
pub fn running() -> Option<(u16, u32)> {
    crate::switch::current_for_panic()
}
