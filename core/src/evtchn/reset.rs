//! Closing all ports of a domain: EVTCHNOP_reset and the domain's end.

use super::close::{close_port, guest_ports};
use super::fifo::control::dismantle;
use super::hypercall::PirqEffect;
use crate::domain::{Domain, Hypervisor};
use crate::platform::Platform;
use xen_abi::Errno;

/// How far it came. What is done is parked in the domain: the caller comes back with nothing but the domain.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// All ports are closed and the guest's pages are given back.
    Done,
    /// Stopped for something more urgent: call again.
    Preempted,
    /// Perform this, then call again.
    Pirq(PirqEffect),
}

/// Ports between two looks at `preempt`.
const BATCH: u32 = 64;

/// EVTCHNOP_reset: closes the guest's ports (not the hypervisor's) and goes back to the 2-level layout. `EAGAIN`: the guest
/// binds ports at the same time.
pub fn reset<P: Platform>(hv: &Hypervisor<P>, dom: &Domain<P>, preempt: impl Fn() -> bool) -> Result<Progress, Errno> {
    close_from(hv, dom, preempt, false)
}

/// The domain is dying (no new ports): closes every port.
pub fn close_all<P: Platform>(hv: &Hypervisor<P>, dom: &Domain<P>, preempt: impl Fn() -> bool) -> Progress {
    // A port that others keep busy is tried again.
    close_from(hv, dom, preempt, true).unwrap_or(Progress::Preempted)
}

fn close_from<P: Platform>(
    hv: &Hypervisor<P>,
    dom: &Domain<P>,
    preempt: impl Fn() -> bool,
    own: bool,
) -> Result<Progress, Errno> {
    let events = &dom.events;
    let mut number = events.control.lock().reset_at.max(1);
    while number < events.ports.valid() {
        // Ports that are not in use, or not ours to close, are passed over.
        let closed = close_port(hv, dom, number, own);
        number += 1;
        match closed {
            Ok(Some(effect)) => {
                events.control.lock().reset_at = number;
                return Ok(Progress::Pirq(effect));
            }
            Err(Errno::EAGAIN) => {
                events.control.lock().reset_at = number - 1;
                return Err(Errno::EAGAIN);
            }
            _ => {}
        }
        if number.is_multiple_of(BATCH) && preempt() {
            events.control.lock().reset_at = number;
            return Ok(Progress::Preempted);
        }
    }
    let mut control = events.control.lock();
    control.reset_at = 0;
    if guest_ports(&control) || (own && control.active != 0) {
        return Err(Errno::EAGAIN);
    }
    let pages = dismantle(dom, &mut control);
    drop(control);
    pages.put(hv);
    Ok(Progress::Done)
}
