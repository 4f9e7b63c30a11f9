//! What a simulation compares with what it counted itself.

use super::port::Binding;
use crate::addr::Mfn;
use crate::domain::Domain;
use crate::platform::Platform;
use alloc::vec::Vec;

/// Pages of the FIFO layout that are held for a domain: event words and control blocks.
pub fn audit_frames<P: Platform>(dom: &Domain<P>) -> Vec<Mfn> {
    let array = dom.events.array.0.iter().filter_map(|place| place.get());
    let blocks = dom.vcpus().filter_map(|vcpu| vcpu.events.control_block.get());
    array.chain(blocks).map(|at| at.mfn()).collect()
}

/// A domain's ports that are not free (without port 0), and how many the domain counts.
pub fn audit_ports<P: Platform>(dom: &Domain<P>) -> (Vec<(u32, Binding)>, u32) {
    let control = dom.events.control.lock();
    let ports = (1..dom.events.ports.valid()).filter_map(|number| {
        let binding = dom.events.ports.get(number)?.lock().binding;
        (binding != Binding::Free).then_some((number, binding))
    });
    (ports.collect(), control.active)
}
