//! The frame table: whose each frame of RAM is, how often it is referred to, and what as.
//!
//! * A [`FrameRef`] keeps a frame with its owner: it cannot be freed or change hands.
//! * A [`TypeRef`] keeps what the frame is used as (a page table of some level, descriptors, writable). Whoever
//!   holds one holds a `FrameRef` as well.
//! * Both are tokens without a destructor that acts: they are given back with [`FrameTable::put`] and
//!   [`FrameTable::put_type`], or turned into the reference that a page-table entry stands for. A token that is
//!   merely dropped is a leak, and debug builds panic on it.
//! * A type changes only while nobody uses the frame as its old one, through [`LockedFrame`], which becomes a
//!   [`FlushedFrame`] by flushing every TLB that may remember the old use; only that one can be published.
//!
//! Nothing here takes a lock, allocates, or knows what a page table looks like: `paging` does.

mod entry;
mod freed;
mod io;
mod table;
mod tokens;
mod types;

#[cfg(test)]
mod tests;

pub use entry::{FrameEntry, FrameKind, FrameType};
pub use freed::Freed;
pub use io::{IoAccess, IoRanges};
pub use table::FrameTable;
pub use tokens::{FrameRef, TypeRef};
pub use types::{Devalidation, FlushedFrame, GetType, LockedFrame, PutType, TableGuard};

use crate::hypercall::Stop;
use xen_abi::Errno;

/// Why a frame could not be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameError {
    /// No RAM there.
    NotRam,
    /// RAM, but not that domain's.
    NotOwner,
    /// It is in use as something else, or referred to when it must not be.
    Busy,
    /// Too many references.
    Overflow,
}

impl From<FrameError> for Errno {
    fn from(error: FrameError) -> Errno {
        match error {
            FrameError::NotRam | FrameError::NotOwner => Errno::EINVAL,
            FrameError::Busy => Errno::EBUSY,
            FrameError::Overflow => Errno::EINVAL,
        }
    }
}

impl From<FrameError> for Stop {
    fn from(error: FrameError) -> Stop {
        Stop::Err(error.into())
    }
}
