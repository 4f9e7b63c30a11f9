//! One port.

use crate::domain::DomId;
use ferroxen_sync::{Lock, rank};
use xen_abi::event_channel::EVTCHN_FIFO_PRIORITY_DEFAULT;

/// Which part of the hypervisor an own channel belongs to; the caller of [`super::Notify`] knows them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Consumer(pub u8);

/// What a port is bound to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Binding {
    /// Not in use.
    #[default]
    Free,
    /// Never given out (port 0), or about to be bound.
    Reserved,
    /// Waits for `remote` to bind to it.
    Unbound {
        /// Who may.
        remote: DomId,
    },
    /// Connected.
    Interdomain {
        /// The other end's domain.
        remote: DomId,
        /// The other end's port.
        port: u32,
    },
    /// A physical interrupt.
    Pirq {
        /// Its number in this domain.
        pirq: u32,
    },
    /// A virtual interrupt.
    Virq {
        /// VIRQ_*.
        virq: u32,
    },
    /// From one vcpu of the domain to another.
    Ipi,
}

/// A FIFO queue: its vcpu and its priority.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Queue {
    pub vcpu: u32,
    pub priority: u8,
}

/// What is known of a port; behind its lock.
pub(super) struct PortState {
    pub binding: Binding,
    /// Which vcpu is told.
    pub vcpu: u32,
    /// Belongs to the hypervisor: the guest can neither use nor close it, and events do not reach its pages.
    pub consumer: Option<Consumer>,
    /// FIFO priority, 0 (most urgent) to 15.
    pub priority: u8,
    /// The FIFO queue into which it was linked last.
    pub queue: Queue,
    /// Fired before the guest had provided its event word.
    pub early: bool,
}

impl PortState {
    /// A fresh port: free, told to vcpu 0, default priority.
    pub fn free() -> Self {
        const PRIORITY: u8 = EVTCHN_FIFO_PRIORITY_DEFAULT as u8;
        PortState {
            binding: Binding::Free,
            vcpu: 0,
            consumer: None,
            priority: PRIORITY,
            queue: Queue { vcpu: 0, priority: PRIORITY },
            early: false,
        }
    }

    /// Bound to something, and the guest's.
    pub fn in_guest_use(&self) -> bool {
        !matches!(self.binding, Binding::Free | Binding::Reserved) && self.consumer.is_none()
    }
}

/// A port, where it stays until its domain is freed.
pub(super) type Port = Lock<rank::EventPort, PortState>;
