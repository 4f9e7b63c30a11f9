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

/// This CPU's stack top; `None` while the boot CPU is on its boot stack.
#[inline(always)]
fn here() -> Option<*mut StackTop> {
    let top = entry::top();
    let in_an_area = (top as u64).wrapping_sub(layout::CPU_AREA) < layout::MMIO_START - layout::CPU_AREA;
    in_an_area.then_some(top)
}

/// This CPU's number; 0 while the boot CPU is on its boot stack.
#[inline]
pub fn number() -> u16 {
    // SAFETY: in a CPU's area, the top of the block is its StackTop.
    here().map_or(0, |top| unsafe { (*top).cpu.number as u16 })
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
        unsafe { (*top).cpu.pending.fetch_or(bits, Ordering::SeqCst) };
    }
}

/// Whether something more urgent than a guest's long operation waits here: work other than its own effects, or an event
/// that the running vcpu wants to be told of.
#[inline(always)]
pub fn urgent_here() -> bool {
    let Some(top) = here() else { return false };
    // SAFETY: this CPU's own stack top, of which an atomic is read. `info` is the mapped `struct vcpu_info` of what runs here
    // (`NO_INFO` without one), which may change at any time.
    let (pending, events) =
        unsafe { ((*top).cpu.pending.load(Ordering::Relaxed), ((*top).cpu.info as *const u16).read_volatile()) };
    // evtchn_upcall_pending in the lower byte, evtchn_upcall_mask above.
    pending & !work::EFFECTS != 0 || matches!(events, 1..=0xff)
}

/// Work that waits on a CPU.
pub fn pending(cpu: CpuId) -> u64 {
    let top = remote(cpu).top.load(Ordering::Acquire);
    // SAFETY: stack tops are never taken away; only the atomic is touched.
    if top.is_null() { 0 } else { unsafe { (*top).cpu.pending.load(Ordering::SeqCst) } }
}

/// Takes this CPU's waiting work.
pub fn take_pending() -> u64 {
    // SAFETY: this CPU's own stack top; only the atomic is touched.
    unsafe { (*entry::top()).cpu.pending.swap(0, Ordering::SeqCst) }
}

/// What is counted on each CPU.
#[derive(Clone, Copy)]
#[repr(usize)]
pub enum Counter {
    /// Flushes asked for by this CPU.
    Flush,
    /// Flushes made for another CPU.
    FlushIpi,
    /// Interrupts of devices.
    DeviceInterrupt,
    /// Timer interrupts.
    TimerInterrupt,
    /// Kicks received.
    Kick,
    /// Context switches.
    Switch,
    /// Page faults of guests.
    GuestPageFault,
    /// Writes to page tables that were emulated.
    PageTableWrite,
    /// Privileged instructions that were emulated.
    Privileged,
    /// Exceptions given back to the guest.
    Bounced,
    /// Event callbacks.
    EventCallback,
    /// How many kinds there are.
    Last,
}

/// Names for the dump.
pub const COUNTER_NAMES: [&str; Counter::Last as usize] = [
    "flushes",
    "flush IPIs",
    "device interrupts",
    "timer interrupts",
    "kicks",
    "context switches",
    "guest page faults",
    "page-table writes emulated",
    "privileged instructions emulated",
    "exceptions bounced",
    "event callbacks",
];

/// One CPU's counters.
pub struct Counters {
    /// By [`Counter`].
    pub kinds: [AtomicU64; Counter::Last as usize],
    /// Hypercalls by number.
    pub hypercalls: [AtomicU64; 64],
}

static COUNTERS: [Counters; MAX_CPUS] = [const {
    Counters {
        kinds: [const { AtomicU64::new(0) }; Counter::Last as usize],
        hypercalls: [const { AtomicU64::new(0) }; 64],
    }
}; MAX_CPUS];

fn bump(counter: &AtomicU64) {
    // Only this CPU writes it: a plain increment, readable from others.
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// Counts something on this CPU.
pub fn count(counter: Counter) {
    bump(&COUNTERS[usize::from(number()) % MAX_CPUS].kinds[counter as usize]);
}

/// Counts something on this CPU, `number`.
#[inline(always)]
pub fn count_at(number: u64, counter: Counter) {
    bump(&COUNTERS[number as usize % MAX_CPUS].kinds[counter as usize]);
}

/// Counts a hypercall on this CPU, `number`.
#[inline(always)]
pub fn count_hypercall(number: u64, number_of_call: u64) {
    bump(&COUNTERS[number as usize % MAX_CPUS].hypercalls[(number_of_call & 63) as usize]);
}

/// A CPU's counters.
pub fn counters(cpu: CpuId) -> &'static Counters {
    &COUNTERS[usize::from(cpu.0) % MAX_CPUS]
}

/// Domain and vcpu that this CPU runs, for messages.
pub fn running() -> Option<(u16, u32)> {
    crate::switch::current_for_panic()
}
