//! Who runs where. A scheduler returns decisions; the caller switches, saves and kicks.

mod fair;

pub use fair::Fair;

use crate::cpu::{AtomicCpuMask, CpuId, CpuMask};
use crate::domain::Vcpu;
use crate::platform::Platform;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use ferroxen_sync::Shared;

/// `VcpuSched::flags`: VCPUOP_initialise and _up were made.
pub const UP: u32 = 1 << 0;
/// `VcpuSched::flags`: waits for an event (SCHEDOP_block, SCHEDOP_poll).
pub const BLOCKED: u32 = 1 << 1;
/// `VcpuSched::flags`: its domain is paused, shut down or dying.
pub const PAUSED: u32 = 1 << 2;

/// `VcpuSched::flags`: it has a state to start from.
pub const INITIALISED: u32 = 1 << 3;

/// What a scheduler keeps in each vcpu.
pub struct VcpuSched {
    flags: AtomicU32,
    /// CPU that runs it plus 1; 0: none. Written by the CPU that switches.
    running_on: AtomicU32,
    /// CPU that ran it last.
    last: AtomicU32,
    /// Fair share used, in weighted nanoseconds.
    pub(super) used: AtomicU64,
    /// From when on its use is to be charged; `u64::MAX` while it waits.
    pub(super) since: AtomicU64,
    /// Until when nobody who is woken takes its place.
    pub(super) turn_end: AtomicU64,
    /// CPUs where it may run; empty: all.
    pub hard: AtomicCpuMask,
    /// CPUs where its toolstack would like it to run; empty: all.
    pub soft: AtomicCpuMask,
}

impl Default for VcpuSched {
    fn default() -> Self {
        VcpuSched {
            flags: AtomicU32::new(0),
            running_on: AtomicU32::new(0),
            last: AtomicU32::new(0),
            used: AtomicU64::new(0),
            since: AtomicU64::new(0),
            turn_end: AtomicU64::new(0),
            hard: AtomicCpuMask::default(),
            soft: AtomicCpuMask::default(),
        }
    }
}

impl VcpuSched {
    /// UP and its neighbours.
    #[inline]
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::SeqCst)
    }
    /// Sets flags; gives those from before.
    #[inline]
    pub fn set(&self, flags: u32) -> u32 {
        self.flags.fetch_or(flags, Ordering::SeqCst)
    }
    /// Clears flags; gives those from before.
    #[inline]
    pub fn clear(&self, flags: u32) -> u32 {
        self.flags.fetch_and(!flags, Ordering::SeqCst)
    }
    /// Whether it could run if a CPU were free.
    #[inline]
    pub fn runnable(&self) -> bool {
        self.flags() & (UP | BLOCKED | PAUSED) == UP
    }
    /// Whether it runs. One that waits may still be loaded on a CPU ([`VcpuSched::running_on`]).
    pub fn running(&self) -> bool {
        self.running_on().is_some() && self.flags() & BLOCKED == 0
    }
    /// Whether it waits for nothing but an event, on a CPU that may run it: it may stay loaded there meanwhile.
    pub fn may_wait_on(&self, cpu: CpuId) -> bool {
        self.flags() & (UP | BLOCKED | PAUSED) == UP | BLOCKED && self.may_run_on(cpu)
    }
    /// Whether this CPU may run it.
    pub fn may_run_on(&self, cpu: CpuId) -> bool {
        self.hard.load_or_all().has(cpu)
    }
    /// The CPU that runs it now, or that has nothing else to run while it waits.
    #[inline]
    pub fn running_on(&self) -> Option<CpuId> {
        let raw = self.running_on.load(Ordering::SeqCst);
        raw.checked_sub(1).and_then(|cpu| u16::try_from(cpu).ok()).map(CpuId)
    }
    /// The CPU that ran it last.
    pub fn last_cpu(&self) -> CpuId {
        CpuId(u16::try_from(self.last.load(Ordering::Relaxed)).unwrap_or(0))
    }
    fn set_running(&self, cpu: Option<CpuId>) {
        if let Some(cpu) = cpu {
            self.last.store(cpu.0.into(), Ordering::Relaxed);
        }
        self.running_on.store(cpu.map_or(0, |cpu| u32::from(cpu.0).saturating_add(1)), Ordering::SeqCst);
    }
}

/// What a CPU is to do next.
pub struct Decision<P: Platform> {
    /// The vcpu to run; `None`: idle.
    pub vcpu: Option<Shared<Vcpu<P>>>,
    /// When to ask again at the latest (nanoseconds since boot; `u64::MAX`: when something happens).
    pub until: u64,
}

/// A scheduling policy. All methods may be called on any CPU.
pub trait Scheduler<P: Platform>: Sync {
    /// Name as the tools show it.
    fn name(&self) -> &'static str;
    /// A CPU joins, and may run vcpus from now on.
    fn add_cpu(&self, cpu: CpuId);
    /// Makes room for one more vcpu.
    ///
    /// # Errors
    /// `()` when memory is exhausted; nothing changed then.
    #[allow(clippy::result_unit_err)]
    fn reserve(&self) -> Result<(), ()>;
    /// Gives the room of `vcpus` vcpus back, which will never run again.
    fn release(&self, vcpus: usize);
    /// The vcpu became runnable (its flags were changed before): gives the CPU that is to decide anew.
    fn wake(&self, vcpu: &Shared<Vcpu<P>>, now: u64) -> Option<CpuId>;
    /// `cpu` asks what to run; `current` is what it ran so far, or what it still has loaded. If the answer is another vcpu,
    /// the caller saves `current` and then says [`Scheduler::saved`]. If it is none, the caller may leave `current` loaded
    /// as long as it only waits: when it wakes, it is this CPU's to go on with.
    fn decide(&self, cpu: CpuId, current: Option<&Shared<Vcpu<P>>>, now: u64) -> Decision<P>;
    /// The state of a vcpu that `cpu` stopped running is saved: another CPU may take it. Gives a CPU to kick.
    fn saved(&self, cpu: CpuId, vcpu: &Shared<Vcpu<P>>, now: u64) -> Option<CpuId>;
    /// The running vcpu gives up the rest of its turn.
    fn yield_now(&self, vcpu: &Vcpu<P>, now: u64);
    /// CPUs that run nothing.
    fn idle(&self) -> CpuMask;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_cpu_is_remembered_when_none_runs_it() {
        let vcpu = VcpuSched::default();
        assert_eq!((vcpu.running_on(), vcpu.last_cpu()), (None, CpuId(0)));
        for cpu in [CpuId(2), CpuId(0), CpuId(u16::MAX)] {
            vcpu.set_running(Some(cpu));
            assert_eq!((vcpu.running_on(), vcpu.last_cpu()), (Some(cpu), cpu));
            vcpu.set_running(None);
            assert_eq!((vcpu.running_on(), vcpu.last_cpu()), (None, cpu));
        }
    }

    #[test]
    fn each_flag_has_its_say_in_what_a_vcpu_may_do() {
        for flags in 0..16 {
            let vcpu = VcpuSched::default();
            vcpu.set(flags);
            vcpu.set_running(Some(CpuId(1)));
            let [up, blocked, paused] = [UP, BLOCKED, PAUSED].map(|flag| flags & flag != 0);
            assert_eq!(vcpu.runnable(), up && !blocked && !paused, "{flags:04b}");
            assert_eq!(vcpu.may_wait_on(CpuId(1)), up && blocked && !paused, "{flags:04b}");
            assert_eq!(vcpu.running(), !blocked, "{flags:04b}");
            vcpu.hard.store(&CpuMask::one(CpuId(2)));
            assert!(!vcpu.may_wait_on(CpuId(1)) && vcpu.may_run_on(CpuId(2)));
            assert_eq!((vcpu.clear(UP), vcpu.flags()), (flags, flags & !UP));
        }
    }
}
