//! Which addresses that are no RAM may be mapped, and how.

use crate::addr::Mfn;

/// How a frame of I/O memory may be mapped by a domain that has the right to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IoAccess {
    /// Not at all: the hypervisor's own device, or no address of this machine.
    Refused,
    /// Read-only.
    ReadOnly,
    /// As the guest likes.
    Full,
}

/// The most ranges that [`IoRanges`] holds.
pub const MAX_IO_RANGES: usize = 64;

/// What the machine's I/O memory allows: everything up to the CPU's physical address width, except the ranges that
/// the hypervisor keeps for itself (interrupt controllers, its timer, IOMMUs). Made at boot, then only read.
#[derive(Debug)]
pub struct IoRanges {
    end: u64,
    ranges: [(u64, u64, bool); MAX_IO_RANGES],
    used: usize,
}

impl IoRanges {
    /// Everything below `end` (the first frame number that the CPU cannot address).
    pub const fn new(end: Mfn) -> Self {
        IoRanges { end: end.0, ranges: [(0, 0, false); MAX_IO_RANGES], used: 0 }
    }
    /// Forbids frames `start..end`, or with `read_only` allows only read-only mappings of them. Gives `false` when
    /// the table is full.
    pub fn restrict(&mut self, start: Mfn, end: Mfn, read_only: bool) -> bool {
        match self.ranges.get_mut(self.used) {
            Some(slot) => {
                *slot = (start.0, end.0, read_only);
                self.used = self.used.saturating_add(1);
                true
            }
            None => false,
        }
    }
    /// What a domain with the right to I/O memory may do with this frame. The strictest range decides.
    pub fn access(&self, mfn: Mfn) -> IoAccess {
        if mfn.0 >= self.end {
            return IoAccess::Refused;
        }
        let mut access = IoAccess::Full;
        for &(start, end, read_only) in self.ranges.iter().take(self.used) {
            if start <= mfn.0 && mfn.0 < end {
                if !read_only {
                    return IoAccess::Refused;
                }
                access = IoAccess::ReadOnly;
            }
        }
        access
    }
}
