//! The operations that bind a port to something, and those that change how a bound port tells.

use super::hypercall::PirqEffect;
use super::layout::Layout;
use super::notify::Notify;
use super::port::{Binding, PortState};
use super::state::{Control, lock_both};
use super::{Target, virq};
use crate::domain::{DomId, Domain, Hypervisor};
use crate::platform::Platform;
use core::sync::atomic::Ordering;
use xen_abi::Errno;
use xen_abi::event_channel::EVTCHN_FIFO_PRIORITY_MIN;

impl<P: Platform> Target<'_, P> {
    /// Takes a port and sets it up.
    pub(super) fn bind(self, control: &mut Control, set: impl FnOnce(&mut PortState)) -> Result<u32, Errno> {
        let number = self.take_port(control)?;
        set(&mut self.dom.events.port(number)?.lock());
        Ok(number)
    }
}

/// EVTCHNOP_alloc_unbound in `dom`: a port to which `remote` may bind. `EINVAL`: the domain is dying; `ENOSPC`, `ENOMEM`.
pub fn alloc_unbound<P: Platform>(hv: &Hypervisor<P>, dom: &Domain<P>, remote: DomId) -> Result<u32, Errno> {
    let at = Target { platform: &hv.platform, dom };
    at.bind(&mut dom.events.control.lock(), |port| port.binding = Binding::Unbound { remote })
}

/// EVTCHNOP_bind_interdomain between `dom` and a port of `remote` (which may be `dom` itself) that waits for it. The new
/// port is set pending, because events sent before it was bound are not kept. `EINVAL`: no such port, or it does not wait
/// for `dom`.
pub fn bind_interdomain<P: Platform>(
    hv: &Hypervisor<P>,
    dom: &Domain<P>,
    remote: &Domain<P>,
    remote_port: u32,
) -> Result<(u32, Notify), Errno> {
    let at = Target { platform: &hv.platform, dom };
    let mut both = lock_both(dom, Some(remote));
    let far = remote.events.port(remote_port)?;
    if far.lock().binding != (Binding::Unbound { remote: dom.id }) {
        return Err(Errno::EINVAL);
    }
    // Own end first: until the far end points back, nothing sent from here arrives.
    let number = at.bind(&mut both.near, |port| {
        port.binding = Binding::Interdomain { remote: remote.id, port: remote_port };
    })?;
    far.lock().binding = Binding::Interdomain { remote: dom.id, port: number };
    let notify = at.deliver(number, &mut dom.events.port(number)?.lock());
    Ok((number, notify))
}

/// EVTCHNOP_bind_virq. `EINVAL`: no such VIRQ, or a global one on another vcpu than 0; `ENOENT`: no such vcpu; `EEXIST`: bound
/// already. Any domain may bind any VIRQ; global ones reach only the domain that handles them.
pub fn bind_virq<P: Platform>(hv: &Hypervisor<P>, dom: &Domain<P>, number: u32, vcpu: u32) -> Result<u32, Errno> {
    let at = Target { platform: &hv.platform, dom };
    let index = usize::try_from(number).map_err(|_| Errno::EINVAL)?;
    if number >= xen_abi::xen::NR_VIRQS || (virq::is_global(number) && vcpu != 0) {
        return Err(Errno::EINVAL);
    }
    let slot = dom.vcpu(vcpu).ok_or(Errno::ENOENT)?.events.virqs.get(index).ok_or(Errno::EINVAL)?;
    let mut control = dom.events.control.lock();
    if slot.load(Ordering::Acquire) != 0 {
        return Err(Errno::EEXIST);
    }
    let port = at.bind(&mut control, |port| {
        port.binding = Binding::Virq { virq: number };
        port.vcpu = vcpu;
    })?;
    slot.store(port, Ordering::Release);
    Ok(port)
}

/// EVTCHNOP_bind_ipi. `ENOENT`: no such vcpu.
pub fn bind_ipi<P: Platform>(hv: &Hypervisor<P>, dom: &Domain<P>, vcpu: u32) -> Result<u32, Errno> {
    let at = Target { platform: &hv.platform, dom };
    dom.vcpu(vcpu).ok_or(Errno::ENOENT)?;
    at.bind(&mut dom.events.control.lock(), |port| {
        port.binding = Binding::Ipi;
        port.vcpu = vcpu;
    })
}

/// EVTCHNOP_bind_pirq: the port, and what the interrupt layer must do. If that refuses (no right to the interrupt, or it
/// cannot be shared), the caller closes the port and gives the guest its error. `EINVAL`: the domain has no such pirq;
/// `EEXIST`: bound already.
pub fn bind_pirq<P: Platform>(
    hv: &Hypervisor<P>,
    dom: &Domain<P>,
    pirq: u32,
    will_share: bool,
) -> Result<(u32, PirqEffect), Errno> {
    let at = Target { platform: &hv.platform, dom };
    let slot = dom.events.pirq(pirq).ok_or(Errno::EINVAL)?;
    let mut control = dom.events.control.lock();
    if slot.load(Ordering::Acquire) != 0 {
        return Err(Errno::EEXIST);
    }
    let port = at.bind(&mut control, |port| port.binding = Binding::Pirq { pirq })?;
    slot.store(port, Ordering::Release);
    Ok((port, PirqEffect::Bind { pirq, will_share, port }))
}

/// EVTCHNOP_bind_vcpu. `ENOENT`: no such vcpu; `EINVAL`: no such port, the hypervisor's, or one whose vcpu is fixed (IPI,
/// per-vcpu VIRQ). For a physical interrupt, its affinity should follow.
pub fn bind_vcpu<P: Platform>(dom: &Domain<P>, number: u32, vcpu: u32) -> Result<Option<PirqEffect>, Errno> {
    dom.vcpu(vcpu).ok_or(Errno::ENOENT)?;
    let _control = dom.events.control.lock();
    let mut port = dom.events.port(number)?.lock();
    if port.consumer.is_some() {
        return Err(Errno::EINVAL);
    }
    let effect = match port.binding {
        Binding::Virq { virq: number } if virq::is_global(number) => None,
        Binding::Unbound { .. } | Binding::Interdomain { .. } => None,
        Binding::Pirq { pirq } => Some(PirqEffect::Affinity { pirq, vcpu }),
        _ => return Err(Errno::EINVAL),
    };
    port.vcpu = vcpu;
    Ok(effect)
}

/// EVTCHNOP_unmask. `EINVAL`: no such port, or not the guest's.
pub fn unmask<P: Platform>(hv: &Hypervisor<P>, dom: &Domain<P>, number: u32) -> Result<Notify, Errno> {
    let mut port = dom.events.port(number)?.lock();
    if !port.in_guest_use() {
        return Err(Errno::EINVAL);
    }
    let told = dom.events.abi().unmask(Target { platform: &hv.platform, dom }, number, &mut port);
    Ok(Notify::vcpus(dom.id, told))
}

/// EVTCHNOP_set_priority; takes effect when the port is linked next. `ENOSYS`: the layout has no priorities; `EINVAL`: no such
/// port, not the guest's, or no such priority.
pub fn set_priority<P: Platform>(dom: &Domain<P>, number: u32, priority: u32) -> Result<(), Errno> {
    let mut port = dom.events.port(number)?.lock();
    if !dom.events.abi().has_priorities() {
        return Err(Errno::ENOSYS);
    }
    if priority > EVTCHN_FIFO_PRIORITY_MIN || !port.in_guest_use() {
        return Err(Errno::EINVAL);
    }
    port.priority = u8::try_from(priority).map_err(|_| Errno::EINVAL)?;
    Ok(())
}
