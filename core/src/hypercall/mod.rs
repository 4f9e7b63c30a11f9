//! How a hypercall ends, and (as the modules arrive) the one table that dispatches them.

use crate::platform::Fault;
use xen_abi::errno::Errno;

/// Why a handler did not return a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// The guest gets this error.
    Err(Errno),
    /// Stopped at a safe point: the hypercall is to be made again with these arguments (they go back to the guest's
    /// registers, so they are input from an attacker when they return).
    Again([u64; 6]),
}

/// What a handler gives: the value for the guest's RAX, or why not.
pub type HypercallResult = Result<u64, Stop>;

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Stop {
        Stop::Err(errno)
    }
}

impl From<Fault> for Stop {
    fn from(_: Fault) -> Stop {
        Stop::Err(Errno::EFAULT)
    }
}
