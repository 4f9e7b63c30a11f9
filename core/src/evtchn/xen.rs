//! Channels whose near end belongs to the hypervisor (device model requests, console, xenstore of a stub).

use super::Target;
use super::close::close_port;
use super::notify::Notify;
use super::port::{Binding, Consumer};
use super::send::send_from;
use crate::domain::{DomId, Domain, Hypervisor};
use crate::platform::Platform;
use xen_abi::Errno;

/// A port in `dom`'s table to which `remote` may bind and that the guest can neither use nor close; its events come back
/// as `Notify::consumed`. `ENOENT`: no such vcpu; `EINVAL`, `ENOSPC`, `ENOMEM` as [`super::alloc_unbound`].
pub fn alloc_xen<P: Platform>(
    hv: &Hypervisor<P>,
    dom: &Domain<P>,
    vcpu: u32,
    remote: DomId,
    consumer: Consumer,
) -> Result<u32, Errno> {
    dom.vcpu(vcpu).ok_or(Errno::ENOENT)?;
    let at = Target { platform: &hv.platform, dom };
    let mut control = dom.events.control.lock();
    let number = at.bind(&mut control, |port| {
        port.binding = Binding::Unbound { remote };
        port.vcpu = vcpu;
        port.consumer = Some(consumer);
    })?;
    control.xen += 1;
    Ok(number)
}

/// Closes such a port.
pub fn close_xen<P: Platform>(hv: &Hypervisor<P>, dom: &Domain<P>, port: u32) -> Result<(), Errno> {
    if dom.events.port(port)?.lock().consumer.is_none() {
        return Err(Errno::EINVAL);
    }
    close_port(hv, dom, port, true).map(|_| ())
}

/// Sends an event to the far end of such a port.
pub fn notify_via_xen<P: Platform>(hv: &Hypervisor<P>, dom: &Domain<P>, port: u32) -> Result<Notify, Errno> {
    send_from(hv, dom, port, true)
}
