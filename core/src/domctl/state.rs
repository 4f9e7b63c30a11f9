//! What a domain's toolstack said about it.

use crate::cpupolicy::Policy;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use ferroxen_sync::{Lock, OnceBox, rank};

/// How far the end of a domain came; each stage can be interrupted and is then begun again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Stage {
    /// It lives.
    #[default]
    Alive,
    /// Its vcpus leave their CPUs.
    Stopping,
    /// Its event channels are closed.
    Events,
    /// Its grants and interrupts go back.
    Grants,
    /// Its page tables are undone and its frames released; the number says where.
    Memory(u64),
    /// Nothing is left but frames that others map; the last one takes it out of the table of domains.
    Dead,
}

/// See the module.
#[derive(Default)]
pub struct Toolstack {
    /// XEN_DOMCTL_CDF_xs_domain: it runs xenstored.
    pub xenstore: AtomicBool,
    /// XEN_DOMCTL_pausedomain: nested.
    pub(super) pauses: AtomicU32,
    /// Seconds between its wall clock and the machine's.
    pub time_offset: AtomicI64,
    /// XEN_DOMCTL_subscribe: the port that is told when it suspended; 0: none.
    pub suspend_port: AtomicU32,
    /// How often it was migrated (XEN_DOMCTL_settscinfo).
    pub(super) incarnation: AtomicU32,
    /// Its own policy; without one, that of its kind.
    pub policy: OnceBox<Policy>,
    pub(super) stage: Lock<rank::DomainLife, Stage>,
    /// Nothing is left but frames that others map.
    pub(super) dead: AtomicBool,
}

impl Toolstack {
    /// Whether nothing is left but frames that others map.
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Whether the toolstack paused it.
    pub fn paused(&self) -> bool {
        self.pauses.load(Ordering::Relaxed) != 0
    }
}
