//! The machine as core sees it.

use crate::flush::{self, Request};
use crate::percpu::{self, CPUS, remote, work};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use ferroxen_core::addr::{Maddr, Mfn, Vaddr};
use ferroxen_core::cpu::{CpuId, CpuMask};
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

/// The TSCs of all CPUs go together, and go on in every state of the machine.
static STABLE: AtomicBool = AtomicBool::new(false);

/// Looks whether the TSC can be trusted to be one clock for all CPUs. At boot, after the options.
pub fn judge_tsc() {
    let invariant =
        instructions::cpuid(0x8000_0000, 0)[0] >= 0x8000_0007 && instructions::cpuid(0x8000_0007, 0)[3] & 1 << 8 != 0;
    // An emulator's is the one of the machine below it.
    let emulated = instructions::cpuid(1, 0)[2] & 1 << 31 != 0;
    STABLE.store((invariant || emulated) && SKEW.load(Ordering::Relaxed) == 0, Ordering::Relaxed);
}

/// Whether a guest may read time on any vcpu by any vcpu's record (XEN_PVCLOCK_TSC_STABLE_BIT).
pub fn tsc_is_stable() -> bool {
    STABLE.load(Ordering::Relaxed)
}

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

impl Platform for Machine {
    #[inline(always)]
    fn page(&self, mfn: Mfn) -> &SharedPage {
        assert!(mfn.0 < self.m2p.len() as u64, "{mfn:?} is no memory");
        // SAFETY: RAM of the direct map; `SharedPage` allows any other access at the same time.
        unsafe { &*direct::<SharedPage>(mfn.0 << 12) }
    }

    fn copy_from_guest(&self, _cpu: CpuId, from: Vaddr, to: &mut [u8]) -> Result<(), Fault> {
        guest_copy::read(from.0, to).map_err(|at| Fault { at: Vaddr(at) })
    }

    #[inline(always)]
    fn read_words<const N: usize>(&self, _cpu: CpuId, from: Vaddr) -> Result<[u64; N], Fault> {
        guest_copy::read_words(from.0).ok_or(Fault { at: from })
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
        flush::ask(cpu, cpus, Request::Tlb(what));
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
            flush::write_back_caches();
        }
        flush::ask(cpu, cpus, Request::Caches);
    }

    fn now(&self) -> u64 {
        scale().time(tsc())
    }

    #[inline(always)]
    fn preempt_pending(&self, cpu: CpuId) -> bool {
        debug_assert_eq!(cpu, percpu::this());
        percpu::urgent_here()
    }

    fn kick(&self, cpu: CpuId) {
        percpu::mark(cpu, work::SCHEDULE);
        self.check_events(cpu);
    }

    fn check_events(&self, cpu: CpuId) {
        if cpu != percpu::this() && CPUS[usize::from(cpu.0)].online.load(Ordering::Relaxed) {
            apic::send(remote(cpu).apic_id.load(Ordering::Relaxed), apic::VECTOR_KICK.into());
        }
    }

    fn console_write(&self, bytes: &[u8]) {
        crate::console::write_bytes(bytes);
    }

    fn log(&self, level: Level, text: core::fmt::Arguments<'_>) {
        crate::console::log(level.into(), text);
    }
}
