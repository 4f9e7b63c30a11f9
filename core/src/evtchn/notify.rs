//! What the caller has to do for vcpus after an event.

use super::port::Consumer;
use crate::domain::{DomId, MAX_VCPUS, Vcpu};
use crate::platform::Platform;
use core::mem::offset_of;
use xen_abi::xen::VcpuInfo;

/// A set of a domain's vcpus.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct VcpuSet(u128);

const _: () = assert!(MAX_VCPUS <= 128);

impl VcpuSet {
    /// No vcpu.
    pub const EMPTY: VcpuSet = VcpuSet(0);

    /// One vcpu (a number out of range gives the empty set).
    pub fn one(vcpu: u32) -> Self {
        VcpuSet(1u128.checked_shl(vcpu).unwrap_or(0))
    }
    /// Both sets together.
    pub fn union(self, other: VcpuSet) -> VcpuSet {
        VcpuSet(self.0 | other.0)
    }
    /// Whether it holds none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// Whether it holds this one.
    pub fn has(self, vcpu: u32) -> bool {
        !Self::one(vcpu).is_empty() && self.0 & Self::one(vcpu).0 != 0
    }
    /// The vcpus' numbers, ascending.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        let mut left = self.0;
        core::iter::from_fn(move || {
            let vcpu = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            (vcpu < u128::BITS).then_some(vcpu)
        })
    }
}

impl core::fmt::Debug for VcpuSet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// An event arrived on a channel whose near end belongs to the hypervisor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Consumed {
    /// Which part of the hypervisor the channel belongs to.
    pub consumer: Consumer,
    /// The vcpu for which the channel was made.
    pub vcpu: u32,
    /// The port.
    pub port: u32,
}

/// What the caller performs, with no event-channel lock held: wake each of `vcpus` if it is blocked, else kick the CPU on
/// which it runs (its `evtchn_upcall_pending` is set, or a port that it polls fired), and hand `consumed` to its consumer.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Notify {
    /// Whose vcpus.
    pub domid: DomId,
    /// Which of them.
    pub vcpus: VcpuSet,
    /// An event for the hypervisor itself.
    pub consumed: Option<Consumed>,
}

impl Notify {
    /// Nothing to do.
    pub const NONE: Notify = Notify { domid: DomId(0), vcpus: VcpuSet::EMPTY, consumed: None };

    /// Vcpus of one domain; `NONE` if there are none.
    pub(crate) fn vcpus(domid: DomId, vcpus: VcpuSet) -> Notify {
        if vcpus.is_empty() { Notify::NONE } else { Notify { domid, vcpus, consumed: None } }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.vcpus.is_empty() && self.consumed.is_none()
    }
}

/// Sets `evtchn_upcall_pending`; gives whether it was clear (then the vcpu has to be woken or kicked). A vcpu without a
/// `struct vcpu_info` has nothing to set.
pub fn mark_upcall_pending<P: Platform>(platform: &P, vcpu: &Vcpu<P>) -> bool {
    let info = vcpu.info();
    if info.0 == 0 {
        return false;
    }
    let at = info.offset() + offset_of!(VcpuInfo, evtchn_upcall_pending);
    platform.page(info.mfn()).or_u8(at, 1) & 1 == 0
}
