//! Frames whose last reference went: on their way back to the heap.
//!
//! They wait on a list without a lock, linked through their own entries, so that a reference can be given back
//! anywhere. The heap takes the whole list when it allocates, and before it hands a frame out again it flushes the
//! CPUs that have not flushed since the frame's stamp.

use super::FrameTable;
use super::entry::Used;
use crate::addr::Mfn;
use crate::domain::DomId;
use core::sync::atomic::Ordering;

/// A frame without owner or references that TLBs may still remember. Must be given to
/// [`FrameTable::give_back`] (or kept out of use for ever).
#[must_use = "a freed frame must go back to the heap"]
#[derive(Debug, PartialEq, Eq)]
pub struct Freed {
    pub(super) mfn: Mfn,
    pub(super) owner: DomId,
}

impl Freed {
    /// The frame.
    pub fn mfn(&self) -> Mfn {
        self.mfn
    }
    /// Whose it was: one frame less in that domain's `pages.total`.
    pub fn owner(&self) -> DomId {
        self.owner
    }
}

impl FrameTable {
    /// Puts a freed frame on the list that the heap empties. `stamp` is `Platform::tlb_stamp()`, taken by the caller
    /// now that the last reference is gone.
    pub fn give_back(&self, freed: Freed, stamp: u32) {
        let Some(entry) = self.entry(freed.mfn) else { return };
        debug_assert!(Used(entry.used.load(Ordering::Relaxed)).state() == Used::FREE);
        entry.stamp.store(stamp, Ordering::Relaxed);
        let this = u32::try_from(freed.mfn.0).unwrap_or(0);
        let mut head = self.freed.load(Ordering::Relaxed);
        loop {
            entry.link.store(head, Ordering::Relaxed);
            match self.freed.compare_exchange_weak(head, this, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Takes all frames that were given back. The caller owns them now; each must be used only after the CPUs that
    /// have not flushed since [`FrameTable::stamp`] have.
    pub fn take_freed(&self) -> impl Iterator<Item = Mfn> + '_ {
        let mut next = self.freed.swap(0, Ordering::Acquire);
        core::iter::from_fn(move || {
            let mfn = Mfn(u64::from(next));
            let entry = if next == 0 { None } else { self.entry(mfn) }?;
            next = entry.link.swap(0, Ordering::Relaxed);
            Some(mfn)
        })
    }
}
