//! SCHEDOP_poll: a vcpu that sleeps until one of some ports is pending, whether it is masked or not.

use super::Target;
use super::layout::Layout;
use super::notify::VcpuSet;
use super::port::Binding;
use crate::domain::{Domain, Hypervisor, Vcpu};
use crate::platform::Platform;
use core::sync::atomic::Ordering;
use xen_abi::Errno;

/// Wakes for every port of the domain: for a vcpu that polls more than one (it looks again which of them it was).
pub const POLL_ANY: u32 = u32::MAX;

/// From now on an event for `port` (or any, [`POLL_ANY`]) names this vcpu in its `Notify`, once. The caller then looks at the
/// ports with [`is_pending`] before it blocks the vcpu, and calls [`poll_stop`] when the vcpu goes on for any reason.
pub fn poll_start<P: Platform>(dom: &Domain<P>, vcpu: &Vcpu<P>, port: u32) {
    vcpu.events.polled.store(port, Ordering::SeqCst);
    dom.events.set_polling(vcpu.id, true);
}

/// The vcpu does not poll any more; gives whether it still did.
pub fn poll_stop<P: Platform>(dom: &Domain<P>, vcpu: &Vcpu<P>) -> bool {
    dom.events.set_polling(vcpu.id, false)
}

/// Whether a port of the guest is pending. `EINVAL`: no such port, or one that is not in use.
pub fn is_pending<P: Platform>(hv: &Hypervisor<P>, dom: &Domain<P>, number: u32) -> Result<bool, Errno> {
    let port = dom.events.port(number)?.lock();
    if matches!(port.binding, Binding::Free | Binding::Reserved) {
        return Err(Errno::EINVAL);
    }
    Ok(port.in_guest_use() && dom.events.abi().is_pending(Target { platform: &hv.platform, dom }, number))
}

/// The vcpus that poll this port; they poll no more.
pub(super) fn wake<P: Platform>(dom: &Domain<P>, number: u32) -> VcpuSet {
    let mut told = VcpuSet::EMPTY;
    let polling = dom.events.polling();
    if polling.is_empty() {
        return told;
    }
    for id in polling.iter() {
        let polled = dom.vcpu(id).map(|vcpu| vcpu.events.polled.load(Ordering::SeqCst));
        if matches!(polled, Some(port) if port == number || port == POLL_ANY) && dom.events.set_polling(id, false) {
            told = told.union(VcpuSet::one(id));
        }
    }
    told
}
