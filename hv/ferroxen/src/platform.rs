//! The machine as core sees it.

use crate::percpu::{self, CPUS, remote, work};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use ferroxen_core::addr::{Maddr, Mfn, Vaddr};
use ferroxen_core::cpu::{CpuId, CpuMask};
use ferroxen_core::options::LogLevel;
use ferroxen_core::platform::{Fault, Flush, Level, Platform};
use ferroxen_core::time::TscScale;
use ferroxen_sync::SharedPage;
use ferroxen_x86::paging::{self, direct};
use ferroxen_x86::{apic, guest_copy, instructions};
use spin::Once;

/// This machine.
pub struct Machine {
    /// Entries of the machine-to-physical table, writable.
    pub m2p: &'static [AtomicU64],
    /// CPUs that run guests.
    pub online: spin::Mutex<CpuMask>,
}

/// How the TSC becomes time (the same line on all CPUs; a test option skews each CPU's TSC).
pub static SCALE: Once<TscScale> = Once::new();
/// `tsc-skew=`: CPU n reads its TSC with n times this added.
pub static SKEW: AtomicU64 = AtomicU64::new(0);

/// This CPU's TSC, skew included.
pub fn tsc() -> u64 {
    let skew = SKEW.load(Ordering::Relaxed);
    let tsc = instructions::rdtsc();
    if skew == 0 { tsc } else { tsc.wrapping_add(skew.wrapping_mul(percpu::number().into())) }
}

/// This CPU's line from TSC to time.
pub fn scale() -> TscScale {
    let mut scale = *SCALE.get().unwrap_or(&TscScale { stamp: 0, system: 0, mul: 0, shift: 0 });
    let skew = SKEW.load(Ordering::Relaxed);
    if skew != 0 {
        scale.stamp = scale.stamp.wrapping_add(skew.wrapping_mul(percpu::number().into()));
    }
    scale
}

/// Counts flushes of everything, on any CPU: the clock of [`Platform::tlb_stamp`].
static FLUSH_CLOCK: AtomicU32 = AtomicU32::new(1);

/// A request that other CPUs are working on. One at a time.
static REQUEST: spin::Mutex<()> = spin::Mutex::new(());
static REQUEST_KIND: AtomicU64 = AtomicU64::new(0);
static REQUEST_VA: AtomicU64 = AtomicU64::new(0);
static REQUEST_LEFT: AtomicU32 = AtomicU32::new(0);
const KIND_PAGE: u64 = 0;
const KIND_NON_GLOBAL: u64 = 1;
const KIND_ALL: u64 = 2;
const KIND_CACHES: u64 = 3;

/// Flushes everything on this CPU and notes it.
pub fn flush_all_here() {
    let stamp = FLUSH_CLOCK.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
    instructions::flush_tlb_all();
    remote(percpu::this()).flush_stamp.store(stamp, Ordering::SeqCst);
}

/// A flush of this CPU.
pub fn flush_here(what: Flush) {
    match what {
        Flush::Page(at) => instructions::invlpg(at.0),
        Flush::NonGlobal => instructions::flush_tlb_non_global(),
        Flush::All => flush_all_here(),
    }
}

fn perform(kind: u64, va: u64) {
    match kind {
        KIND_PAGE => instructions::invlpg(va),
        KIND_NON_GLOBAL => instructions::flush_tlb_non_global(),
        KIND_ALL => flush_all_here(),
        // SAFETY: writing back caches loses nothing.
        _ => unsafe { core::arch::asm!("wbinvd", options(nostack, preserves_flags)) },
    }
}

/// The interrupt by which another CPU asks for a flush.
pub fn flush_interrupt() {
    perform(REQUEST_KIND.load(Ordering::Acquire), REQUEST_VA.load(Ordering::Acquire));
    percpu::count(percpu::Counter::FlushIpi);
    REQUEST_LEFT.fetch_sub(1, Ordering::Release);
}

fn request(cpu: CpuId, cpus: &CpuMask, kind: u64, va: u64) {
    let mut others = cpus.and(&crate::machine::hv().platform.online());
    others.clear(cpu);
    let count = others.iter().count() as u32;
    if count == 0 {
        return;
    }
    debug_assert!(instructions::interrupts_on(), "a flush waits with interrupts on");
    let held = REQUEST.lock();
    REQUEST_KIND.store(kind, Ordering::Relaxed);
    REQUEST_VA.store(va, Ordering::Relaxed);
    REQUEST_LEFT.store(count, Ordering::SeqCst);
    for other in others.iter() {
        apic::send(remote(other).apic_id.load(Ordering::Relaxed), apic::VECTOR_FLUSH.into());
    }
    while REQUEST_LEFT.load(Ordering::Acquire) != 0 {
        core::hint::spin_loop();
    }
    drop(held);
}

impl Platform for Machine {
    fn page(&self, mfn: Mfn) -> &SharedPage {
        assert!(mfn.0 < self.m2p.len() as u64, "{mfn:?} is no memory");
        // SAFETY: RAM of the direct map; `SharedPage` allows any other access at the same time.
        unsafe { &*direct::<SharedPage>(mfn.0 << 12) }
    }

    fn copy_from_guest(&self, _cpu: CpuId, from: Vaddr, to: &mut [u8]) -> Result<(), Fault> {
        guest_copy::read(from.0, to).map_err(|at| Fault { at: Vaddr(at) })
    }

    fn copy_to_guest(&self, _cpu: CpuId, to: Vaddr, from: &[u8]) -> Result<(), Fault> {
        guest_copy::write(to.0, from).map_err(|at| Fault { at: Vaddr(at) })
    }

    fn install_root_slots(&self, root: &SharedPage) {
        for index in 256..272 {
            root.store_u64(index * 8, paging::root_entry(index));
        }
    }

    fn m2p(&self, mfn: Mfn) -> u64 {
        self.m2p.get(mfn.0 as usize).map_or(u64::MAX, |entry| entry.load(Ordering::Relaxed))
    }

    fn set_m2p(&self, mfn: Mfn, pfn: u64) {
        if let Some(entry) = self.m2p.get(mfn.0 as usize) {
            entry.store(pfn, Ordering::Relaxed);
        }
    }

    fn flush(&self, cpu: CpuId, cpus: &CpuMask, what: Flush) {
        percpu::count(percpu::Counter::Flush);
        if cpus.has(cpu) {
            flush_here(what);
        }
        match what {
            Flush::Page(at) => request(cpu, cpus, KIND_PAGE, at.0),
            Flush::NonGlobal => request(cpu, cpus, KIND_NON_GLOBAL, 0),
            Flush::All => request(cpu, cpus, KIND_ALL, 0),
        }
    }

    fn tlb_stamp(&self) -> u32 {
        FLUSH_CLOCK.load(Ordering::SeqCst)
    }

    fn flushed_since(&self, cpu: CpuId, stamp: u32) -> bool {
        (remote(cpu).flush_stamp.load(Ordering::SeqCst).wrapping_sub(stamp) as i32) > 0
    }

    fn online(&self) -> CpuMask {
        *self.online.lock()
    }

    fn load_root(&self, _cpu: CpuId, root: Maddr) {
        // SAFETY: core installed our slots in the root, and it is a validated table.
        unsafe { instructions::write_cr3(root.0) };
        flush_all_here();
    }

    fn flush_caches(&self, cpu: CpuId, cpus: &CpuMask) {
        if cpus.has(cpu) {
            perform(KIND_CACHES, 0);
        }
        request(cpu, cpus, KIND_CACHES, 0);
    }

    fn now(&self) -> u64 {
        scale().time(tsc())
    }

    fn preempt_pending(&self, cpu: CpuId) -> bool {
        percpu::pending(cpu) & !work::EFFECTS != 0
    }

    fn kick(&self, cpu: CpuId) {
        percpu::mark(cpu, work::SCHEDULE);
        if cpu != percpu::this() && CPUS[usize::from(cpu.0)].online.load(Ordering::Relaxed) {
            apic::send(remote(cpu).apic_id.load(Ordering::Relaxed), apic::VECTOR_KICK.into());
        }
    }

    fn console_write(&self, bytes: &[u8]) {
        crate::console::write_bytes(bytes);
    }

    fn log(&self, level: Level, text: core::fmt::Arguments<'_>) {
        let level = match level {
            Level::Error => LogLevel::Error,
            Level::Warning => LogLevel::Warning,
            Level::Info => LogLevel::Info,
            Level::Debug => LogLevel::Debug,
        };
        crate::console::log(level, text);
    }
}
