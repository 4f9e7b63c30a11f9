//! Domains and vcpus: what they are, where they are found.

pub mod context;
mod hypervisor;
mod table;
#[cfg(test)]
mod tests;
mod vcpu;

pub use hypervisor::Hypervisor;
pub use table::DomainTable;
pub use vcpu::{Saved, TrapGate, Vcpu};

use crate::cpu::AtomicCpuMask;
use crate::domctl::Toolstack;
use crate::evtchn::DomainEvents;
use crate::memory::MapSlot;
use crate::physdev::DomainDevices;
use crate::platform::Platform;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use ferroxen_sync::{OnceBox, Shared};
use xen_abi::Errno;

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
    vcpus: Box<[OnceBox<Shared<Vcpu<P>>>]>,
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
    /// SCHEDOP_watchdog: bit n - 1 is set while watchdog n is.
    pub watchdogs: AtomicU32,
    /// Frames owned and their limit.
    pub pages: PageCount,
    /// Event channels.
    pub events: DomainEvents,
    /// Its UUID, as its toolstack set it.
    pub handle: Handle,
    /// Grant table, and grants of others that it has mapped.
    pub grants: crate::grant::GrantTable,
    /// The memory map that its toolstack gave it (XENMEM_set_memory_map).
    pub memory_map: MapSlot,
    /// Interrupts and rights to devices.
    pub devices: DomainDevices,
    /// What its toolstack said, and how far its end came.
    pub toolstack: Toolstack,
}

/// A domain's UUID (`xen_domain_handle_t`).
#[derive(Default)]
pub struct Handle([AtomicU64; 2]);

impl Handle {
    /// Its bytes.
    pub fn get(&self) -> [u8; 16] {
        let [low, high] = &self.0;
        let value = u128::from(low.load(Ordering::Relaxed)) | u128::from(high.load(Ordering::Relaxed)) << 64;
        value.to_le_bytes()
    }
    /// Changes it.
    pub fn set(&self, bytes: [u8; 16]) {
        let value = u128::from_le_bytes(bytes);
        let [low, high] = &self.0;
        low.store((value & u128::from(u64::MAX)) as u64, Ordering::Relaxed);
        high.store((value >> 64) as u64, Ordering::Relaxed);
    }
}

/// A domain's reservation, in frames.
#[derive(Default)]
pub struct PageCount {
    /// Frames it owns now.
    pub total: AtomicU64,
    /// The most it may own (XEN_DOMCTL_max_mem).
    pub max: AtomicU64,
    /// Frames of the heap that are kept for it (XENMEM_claim_pages).
    pub claim: AtomicU64,
}

impl<P: Platform> Domain<P> {
    /// A domain without vcpus, memory or shared-info page.
    pub fn try_new(id: DomId, max_vcpus: u32, privileged: bool) -> Result<Self, Errno> {
        let count = usize::try_from(max_vcpus).ok().filter(|n| (1..=MAX_VCPUS).contains(n)).ok_or(Errno::EINVAL)?;
        let mut vcpus = Vec::new();
        vcpus.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
        vcpus.resize_with(count, OnceBox::new);
        Ok(Domain {
            id,
            privileged,
            max_vcpus,
            vcpus: vcpus.into_boxed_slice(),
            shared_info: AtomicU64::new(0),
            dirty_cpus: AtomicCpuMask::default(),
            vm_assist: AtomicU64::new(0),
            pause_count: AtomicU64::new(0),
            shutdown: AtomicU8::new(0),
            dying: AtomicBool::new(false),
            watchdogs: AtomicU32::new(0),
            pages: PageCount::default(),
            events: DomainEvents::default(),
            handle: Handle::default(),
            grants: Default::default(),
            memory_map: MapSlot::default(),
            devices: DomainDevices::default(),
            toolstack: Toolstack::default(),
        })
    }

    /// Fills a vcpu slot: `EINVAL` for a number out of range, `EEXIST` if it is full, `ENOMEM`.
    pub fn create_vcpu(&self, id: u32) -> Result<&Shared<Vcpu<P>>, Errno> {
        let slot = usize::try_from(id).ok().and_then(|at| self.vcpus.get(at)).ok_or(Errno::EINVAL)?;
        if slot.get().is_some() {
            return Err(Errno::EEXIST);
        }
        let vcpu = Shared::try_new(Vcpu::new(id, self.id)).map_err(|_| Errno::ENOMEM)?;
        slot.set(vcpu).map_err(|_| if slot.get().is_some() { Errno::EEXIST } else { Errno::ENOMEM })
    }

    /// The vcpu with this number, if it was created. Takes no lock.
    pub fn vcpu(&self, id: u32) -> Option<&Shared<Vcpu<P>>> {
        self.vcpus.get(usize::try_from(id).ok()?)?.get()
    }

    /// The vcpus that were created, in order.
    pub fn vcpus(&self) -> impl Iterator<Item = &Shared<Vcpu<P>>> {
        self.vcpus.iter().filter_map(OnceBox::get)
    }

    /// Whether it is being torn down.
    pub fn is_dying(&self) -> bool {
        self.dying.load(Ordering::Acquire)
    }
}
