//! A virtual CPU.

use super::DomId;
use crate::addr::Maddr;
use crate::evtchn::VcpuEvents;
use crate::platform::Platform;
use crate::pv::{FpuBlock, PvState, Regs};
use crate::sched::VcpuSched;
use crate::time::{VcpuRunState, VcpuTimers};
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use ferroxen_sync::{Lock, rank};

/// A virtual CPU.
pub struct Vcpu<P: Platform> {
    /// Its number in its domain.
    pub id: u32,
    /// Its domain's number.
    pub domid: DomId,
    /// Machine address of its `struct vcpu_info` (in the shared-info page, or where VCPUOP_register_vcpu_info put it).
    info: AtomicU64,
    /// State while it does not run.
    pub saved: Lock<rank::VcpuState, Saved>,
    /// The guest's trap table (HYPERVISOR_set_trap_table).
    pub traps: [TrapGate; 256],
    /// Where and whether it runs.
    pub sched: VcpuSched,
    /// How long it ran and waited.
    pub runstate: VcpuRunState,
    /// Frame that VCPUOP_register_vcpu_info named; 0: none. The vcpu holds a reference and a writable use of it.
    pub info_frame: AtomicU64,
    /// An NMI waits (VCPUOP_send_nmi).
    pub pending_nmi: AtomicBool,
    /// Hypercalls that it made, as of its last interrupt: those that the shortest paths answer (HYPERVISOR_iret) not among them,
    /// a multicall as one. Written by the CPU that runs it only.
    pub hypercalls: AtomicU64,
    /// Its timers.
    pub timers: VcpuTimers,
    /// VCPUOP_register_vcpu_time_memory_area: linear address; 0: none.
    pub time_area: AtomicU64,
    /// Event channels: what is per vcpu.
    pub events: VcpuEvents,
    platform: PhantomData<fn() -> P>,
}

/// What is copied to and from the CPU on a context switch.
#[derive(Default)]
pub struct Saved {
    /// General registers.
    pub regs: Regs,
    /// PV state.
    pub pv: PvState,
    /// FPU and vector state, as many bytes as the machine needs; empty: never ran.
    pub fpu: Vec<FpuBlock>,
}

/// One entry of a trap table: `struct trap_info` without its vector.
#[derive(Default)]
pub struct TrapGate {
    /// Address of the handler; 0: none.
    pub address: AtomicU64,
    /// Bits 0 to 15: selector; bits 16 and 17: least privilege for a software interrupt; bit 18: masks events.
    pub selector_flags: AtomicU32,
}

impl<P: Platform> Vcpu<P> {
    /// A vcpu that never ran, without a `struct vcpu_info`.
    pub fn new(id: u32, domid: DomId) -> Self {
        Vcpu {
            id,
            domid,
            info: AtomicU64::new(0),
            saved: Lock::new(Saved::default()),
            traps: core::array::from_fn(|_| TrapGate::default()),
            sched: VcpuSched::default(),
            runstate: VcpuRunState::default(),
            info_frame: AtomicU64::new(0),
            pending_nmi: AtomicBool::new(false),
            hypercalls: AtomicU64::new(0),
            timers: VcpuTimers::default(),
            time_area: AtomicU64::new(0),
            events: VcpuEvents::default(),
            platform: PhantomData,
        }
    }
    /// Moves its `struct vcpu_info`; 0: it has none.
    pub fn set_info(&self, info: Maddr) {
        self.info.store(info.0, Ordering::Release);
    }
    /// Machine address of its `struct vcpu_info`; 0: it has none yet.
    pub fn info(&self) -> Maddr {
        Maddr(self.info.load(Ordering::Acquire))
    }
}
