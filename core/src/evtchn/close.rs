//! EVTCHNOP_close: unbinding a port from whatever it is bound to.

use super::hypercall::PirqEffect;
use super::port::Binding;
use super::state::{Control, lock_both};
use super::{Target, virq};
use crate::domain::{Domain, Hypervisor};
use crate::platform::Platform;
use core::sync::atomic::Ordering;
use ferroxen_sync::Shared;
use xen_abi::Errno;

/// A port was closed.
pub type Closed = Option<PirqEffect>;

/// Another vcpu of the guest may close and bind the port anew between two looks at it, but not for ever.
const TRIES: u32 = 16;

/// EVTCHNOP_close. The far end of a connection is unbound and waits again. `EINVAL`: no such port, not in use, or the
/// hypervisor's; `EAGAIN`: other vcpus changed the port all the time.
pub fn close<P: Platform>(hv: &Hypervisor<P>, dom: &Domain<P>, number: u32) -> Result<Closed, Errno> {
    close_port(hv, dom, number, false)
}

/// The same; with `own`, ports of the hypervisor are closed too.
pub(super) fn close_port<P: Platform>(
    hv: &Hypervisor<P>,
    dom: &Domain<P>,
    number: u32,
    own: bool,
) -> Result<Closed, Errno> {
    let at = Target { platform: &hv.platform, dom };
    let port = dom.events.port(number)?;
    for _ in 0..TRIES {
        let seen = port.lock().binding;
        let remote: Option<Shared<Domain<P>>> = match seen {
            Binding::Interdomain { remote, .. } if remote != dom.id => hv.domains.get(remote),
            _ => None,
        };
        let mut both = lock_both(dom, remote.as_deref());
        let (now, consumer) = {
            let port = port.lock();
            (port.binding, port.consumer)
        };
        if consumer.is_some() && !own {
            return Err(Errno::EINVAL);
        }
        if now != seen {
            // Only a change of the connection needs another domain's lock.
            continue;
        }
        let effect = match now {
            Binding::Free | Binding::Reserved => return Err(Errno::EINVAL),
            Binding::Unbound { .. } | Binding::Ipi => None,
            Binding::Virq { virq } => {
                forget_virq(at, number, virq);
                None
            }
            Binding::Pirq { pirq } => {
                if let Some(slot) = dom.events.pirq(pirq) {
                    slot.store(0, Ordering::Release);
                }
                Some(PirqEffect::Unbind { pirq })
            }
            Binding::Interdomain { remote: id, port: far } => {
                let end = if id == dom.id { Some(dom) } else { remote.as_deref() };
                if let Some(end) = end {
                    unbind_far(end, far, dom, number);
                }
                None
            }
        };
        at.free_port(&mut both.near, number);
        return Ok(effect);
    }
    Err(Errno::EAGAIN)
}

fn forget_virq<P: Platform>(at: Target<'_, P>, number: u32, virq: u32) {
    let owner =
        if virq::is_global(virq) { Some(0) } else { at.dom.events.ports.get(number).map(|port| port.lock().vcpu) };
    let slot = owner.and_then(|owner| at.dom.vcpu(owner)?.events.virqs.get(usize::try_from(virq).ok()?));
    if let Some(slot) = slot {
        slot.store(0, Ordering::Release);
    }
}

fn unbind_far<P: Platform>(end: &Domain<P>, far: u32, dom: &Domain<P>, number: u32) {
    let Some(port) = end.events.ports.get(far) else { return };
    let mut port = port.lock();
    if port.binding == (Binding::Interdomain { remote: dom.id, port: number }) {
        port.binding = Binding::Unbound { remote: dom.id };
    }
}

/// Whether the guest has ports in use.
pub(super) fn guest_ports(control: &Control) -> bool {
    control.active > control.xen
}
