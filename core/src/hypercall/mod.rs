//! How a hypercall ends, and (as the modules arrive) the one table that dispatches them.

mod assist;
pub(crate) mod batch;
mod callback;
mod console_io;
pub mod debugreg;
mod dispatch;
mod frames;
mod registers;
pub mod sched_op;
#[cfg(test)]
mod tests;
mod traps;
mod vcpu_op;
mod version;

pub use assist::{VALID_ASSISTS, vm_assist};
pub use callback::{callback_op, nmi_op, set_callbacks};
pub use console_io::console_io;
pub use debugreg::{get_debugreg, set_debugreg};
pub use dispatch::{Devices, dispatch};
pub use registers::{fpu_taskswitch, set_segment_base, stack_switch};
pub use traps::{ring3, set_gate, set_trap_table};
pub use vcpu_op::vcpu_op;
pub use version::{BuildInfo, xen_version};

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
