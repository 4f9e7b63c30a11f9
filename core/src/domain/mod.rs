//! Domains and vcpus: what they are, where they are found.

mod hypervisor;
mod table;
mod vcpu;

pub use hypervisor::Hypervisor;
pub use table::DomainTable;
pub use vcpu::{Saved, TrapGate, Vcpu};

use crate::cpu::AtomicCpuMask;
use crate::platform::Platform;
use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use ferroxen_sync::{Lock, Shared, rank};

/// A domain's number, as hypercalls name it (`domid_t`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(transparent)]
pub struct DomId(pub u16);

impl DomId {
    /// Owner of I/O memory (xen.h).
    pub const IO: DomId = DomId(0x7ff1);
    /// Owner of frames that are the hypervisor's but shared with guests (xen.h).
    pub const XEN: DomId = DomId(0x7ff2);
    /// "Myself" in an argument (xen.h).
    pub const SELF: DomId = DomId(0x7ff0);
    /// The first number that no domain can have (xen.h).
    pub const FIRST_RESERVED: DomId = DomId(0x7ff0);
}

/// The most vcpus of a domain.
pub const MAX_VCPUS: usize = 128;

/// A domain.
pub struct Domain<P: Platform> {
    /// Its number.
    pub id: DomId,
    /// Whether it may control the machine and other domains (`access` asks; nothing else does).
    pub privileged: bool,
    /// Number of vcpu slots.
    pub max_vcpus: u32,
    vcpus: Lock<rank::DomainLife, Box<[Option<Shared<Vcpu<P>>>]>>,
    /// Machine frame of the shared-info page.
    pub shared_info: AtomicU64,
    /// CPUs whose TLB may hold translations of this domain.
    pub dirty_cpus: AtomicCpuMask,
    /// VMASST_TYPE_* bits (vm_assist).
    pub vm_assist: AtomicU64,
    /// No vcpu runs while this is not 0 (nested pauses).
    pub pause_count: AtomicU64,
    /// 0: runs. Else SHUTDOWN_* code + 1.
    pub shutdown: AtomicU8,
    /// Is being torn down: no new references, mappings or events.
    pub dying: AtomicBool,
    /// Frames owned and their limit.
    pub pages: PageCount,
}

/// A domain's reservation, in frames.
#[derive(Default)]
pub struct PageCount {
    /// Frames it owns now.
    pub total: AtomicU64,
    /// The most it may own (XEN_DOMCTL_max_mem).
    pub max: AtomicU64,
}

impl<P: Platform> Domain<P> {
    /// The vcpu with this number, if it was created.
    pub fn vcpu(&self, id: u32) -> Option<Shared<Vcpu<P>>> {
        self.vcpus.lock().get(usize::try_from(id).ok()?)?.clone()
    }
    /// Whether it is being torn down.
    pub fn is_dying(&self) -> bool {
        self.dying.load(Ordering::Acquire)
    }
}
