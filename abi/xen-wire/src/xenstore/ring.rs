//! The page shared with a domain (`struct xenstore_domain_interface`).

use crate::ring::{RingLayout, RingMemory};

/// Bytes of each ring.
pub const XENSTORE_RING_SIZE: u32 = 1024;
/// Requests: the domain produces, the daemon consumes.
pub const REQ: RingLayout = RingLayout { data: 0, size: XENSTORE_RING_SIZE, cons: 2048, prod: 2052 };
/// Replies and events: the daemon produces, the domain consumes.
pub const RSP: RingLayout = RingLayout { data: 1024, size: XENSTORE_RING_SIZE, cons: 2056, prod: 2060 };
/// Offset of the bitmap of what the daemon can do.
pub const SERVER_FEATURES: usize = 2064;
/// Offset of the connection state.
pub const CONNECTION: usize = 2068;
/// Offset of the error indicator.
pub const ERROR: usize = 2072;
/// Bytes of the structure.
pub const INTERFACE_SIZE: usize = 2076;

/// The domain may ask for its ring to be reset.
pub const XENSTORE_SERVER_FEATURE_RECONNECTION: u32 = 1;
/// The error indicator is maintained.
pub const XENSTORE_SERVER_FEATURE_ERROR: u32 = 2;

/// The steady state.
pub const XENSTORE_CONNECTED: u32 = 0;
/// Set by the domain: reset the ring.
pub const XENSTORE_RECONNECT: u32 = 1;

/// Why the daemon stopped talking to a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnError {
    /// No error.
    None,
    /// The event channel does not work, or the domain was cut off for exceeding a quota.
    Comm,
    /// Impossible indices.
    RingIndex,
    /// A payload above the limit.
    Protocol,
}

impl ConnError {
    /// The value in the page.
    pub const fn as_u32(self) -> u32 {
        match self {
            ConnError::None => 0,
            ConnError::Comm => 1,
            ConnError::RingIndex => 2,
            ConnError::Protocol => 3,
        }
    }
}

/// Announces the daemon's features, as it must before it moves any byte.
pub fn announce<M: RingMemory>(mem: &M) {
    mem.store_u32(ERROR, ConnError::None.as_u32());
    announce_features(mem);
}

/// Announces the features alone, on a ring that is in use.
pub fn announce_features<M: RingMemory>(mem: &M) {
    mem.store_u32(SERVER_FEATURES, XENSTORE_SERVER_FEATURE_RECONNECTION | XENSTORE_SERVER_FEATURE_ERROR);
}

/// Whether the domain asks for a reset.
pub fn wants_reconnect<M: RingMemory>(mem: &M) -> bool {
    mem.load_u32(CONNECTION) == XENSTORE_RECONNECT
}

/// Empties both rings and ends a reset. The caller notifies the event channel.
pub fn reset<M: RingMemory>(mem: &M) {
    for layout in [REQ, RSP] {
        mem.store_u32(layout.cons, 0);
        mem.store_u32(layout.prod, 0);
    }
    mem.store_u32(ERROR, ConnError::None.as_u32());
    mem.store_u32(CONNECTION, XENSTORE_CONNECTED);
}

/// Tells the domain that the daemon no longer listens, and why.
pub fn set_error<M: RingMemory>(mem: &M, error: ConnError) {
    mem.store_u32(ERROR, error.as_u32());
}
