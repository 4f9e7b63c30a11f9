//! EVTCHNOP_status.

use super::port::Binding;
use crate::domain::Domain;
use crate::platform::Platform;
use xen_abi::Errno;
use xen_abi::event_channel::EvtchnBinding;

/// What a port is bound to and whom it tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    /// As the ABI reports it.
    pub binding: EvtchnBinding,
    /// The vcpu that is told.
    pub vcpu: u32,
}

/// EVTCHNOP_status for a domain that the caller may ask about. `EINVAL`: no such port; `EACCES`: it is the hypervisor's.
pub fn status<P: Platform>(dom: &Domain<P>, port: u32) -> Result<Status, Errno> {
    let port = dom.events.port(port)?.lock();
    if port.consumer.is_some() {
        return Err(Errno::EACCES);
    }
    let binding = match port.binding {
        Binding::Free | Binding::Reserved => EvtchnBinding::Closed,
        Binding::Unbound { remote } => EvtchnBinding::Unbound(remote.0),
        Binding::Interdomain { remote, port } => EvtchnBinding::Interdomain(remote.0, port),
        Binding::Pirq { pirq } => EvtchnBinding::Pirq(pirq),
        Binding::Virq { virq } => EvtchnBinding::Virq(virq),
        Binding::Ipi => EvtchnBinding::Ipi,
    };
    Ok(Status { binding, vcpu: port.vcpu })
}
