//! EVTCHNOP_send, and events from physical interrupts.

use super::Target;
use super::layout::Layout;
use super::notify::{Consumed, Notify};
use super::port::{Binding, PortState};
use crate::domain::{DomId, Domain, Hypervisor};
use crate::platform::Platform;
use xen_abi::Errno;

impl<P: Platform> Target<'_, P> {
    /// Delivers an event to a port whose lock is held.
    pub(super) fn deliver(self, number: u32, port: &mut PortState) -> Notify {
        if let Some(consumer) = port.consumer {
            let consumed = Some(Consumed { consumer, vcpu: port.vcpu, port: number });
            return Notify { domid: self.dom.id, consumed, ..Notify::NONE };
        }
        Notify::vcpus(self.dom.id, self.dom.events.abi().set_pending(self, number, port))
    }

    /// Delivers an event to the end of a connection, if it still is one with `from`.
    fn deliver_from(self, from: DomId, from_port: u32, number: u32) -> Notify {
        let Some(port) = self.dom.events.ports.get(number) else { return Notify::NONE };
        let mut port = port.lock();
        if port.binding == (Binding::Interdomain { remote: from, port: from_port }) {
            self.deliver(number, &mut port)
        } else {
            Notify::NONE
        }
    }
}

/// The event that a connected or IPI port stands for; with `own` the hypervisor's own ports are meant, else the guest's.
pub(super) fn send_from<P: Platform>(
    hv: &Hypervisor<P>,
    dom: &Domain<P>,
    number: u32,
    own: bool,
) -> Result<Notify, Errno> {
    let at = Target { platform: &hv.platform, dom };
    let mut port = dom.events.port(number)?.lock();
    if port.consumer.is_some() != own {
        return Err(Errno::EINVAL);
    }
    match port.binding {
        Binding::Ipi => Ok(at.deliver(number, &mut port)),
        // Nobody has bound to it yet, and who does so gets an event for a start.
        Binding::Unbound { .. } => Ok(Notify::NONE),
        Binding::Interdomain { remote, port: far } => {
            drop(port);
            if remote == dom.id {
                return Ok(at.deliver_from(dom.id, number, far));
            }
            // A domain that is gone has closed its ports: the connection was broken meanwhile.
            let Some(other) = hv.domains.get(remote) else { return Ok(Notify::NONE) };
            Ok(Target { platform: &hv.platform, dom: &other }.deliver_from(dom.id, number, far))
        }
        _ => Err(Errno::EINVAL),
    }
}

/// EVTCHNOP_send. `EINVAL`: no such port, not one that can send, or the hypervisor's.
pub fn send<P: Platform>(hv: &Hypervisor<P>, dom: &Domain<P>, port: u32) -> Result<Notify, Errno> {
    send_from(hv, dom, port, false)
}

/// An event for the port to which a physical interrupt is bound. Called with no lock held.
pub fn send_pirq<P: Platform>(hv: &Hypervisor<P>, dom: &Domain<P>, pirq: u32) -> Notify {
    let Some(number) = dom.events.pirq_port(pirq) else { return Notify::NONE };
    let Some(port) = dom.events.ports.get(number) else { return Notify::NONE };
    let mut port = port.lock();
    if port.binding != (Binding::Pirq { pirq }) {
        return Notify::NONE;
    }
    Target { platform: &hv.platform, dom }.deliver(number, &mut port)
}
