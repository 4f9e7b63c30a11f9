//! Event channels: ports that are bound to another domain's port, to an interrupt or to nothing yet, and the two
//! layouts (2-level, FIFO) in which a guest sees which of them are pending.
//!
//! # Locks
//! Two levels. The *control* lock of a domain (`rank::EventTable`) is held by whoever changes what a port is bound to;
//! a connection between two domains is made and broken with both control locks, lower domid first. Each port has its own
//! lock (`rank::EventPort`), held while an event is delivered to it; the FIFO queues of a vcpu share one lock of that rank,
//! taken inside a port's. **Nobody ever holds two ports' locks**: a sender copies its end of the connection, lets go, locks
//! the other end and checks that it still points back. An event that lost that race was sent to a channel that was being
//! closed. Ports, once made, stay where they are until the domain is freed, so that looking one up takes no lock.
//!
//! # Effects
//! What has to happen to vcpus comes back as a [`Notify`], what has to happen to physical interrupts as a [`PirqEffect`].

#[cfg(feature = "std")]
mod audit;
mod bind;
mod close;
mod dump;
mod fifo;
mod hypercall;
mod layout;
mod notify;
mod poll;
mod port;
mod reset;
mod send;
mod state;
mod status;
mod table;
mod two_level;
mod virq;
mod xen;

#[cfg(test)]
mod tests;

#[cfg(feature = "std")]
pub use audit::{audit_frames, audit_ports};
pub use bind::{alloc_unbound, bind_interdomain, bind_ipi, bind_pirq, bind_vcpu, bind_virq, set_priority, unmask};
pub use close::{Closed, close};
pub use dump::Dump;
pub use fifo::control::{Held, expand_array, init_control};
pub use hypercall::{Outcome, PirqEffect, event_channel_op, event_channel_op_compat};
pub use notify::{Consumed, Notify, VcpuSet, mark_upcall_pending};
pub use poll::{POLL_ANY, is_pending, poll_start, poll_stop};
pub use port::{Binding, Consumer};
pub use reset::{Progress, close_all, reset};
pub use send::{send, send_pirq};
pub use state::{DomainEvents, VcpuEvents};
pub use status::{Status, status};
pub use virq::{VirqHandlers, is_global, send_global_virq, send_virq};
pub use xen::{alloc_xen, close_xen, notify_via_xen};

use crate::domain::Domain;
use crate::platform::Platform;

/// A domain whose ports are worked on, and the machine that holds its pages.
pub(crate) struct Target<'a, P: Platform> {
    pub platform: &'a P,
    pub dom: &'a Domain<P>,
}

impl<P: Platform> Clone for Target<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P: Platform> Copy for Target<'_, P> {}
