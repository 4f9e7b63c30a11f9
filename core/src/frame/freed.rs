//! Frames whose last reference went, on their way back to the heap; and the table as the heap sees it.

use super::FrameTable;
use super::entry::Used;
use crate::addr::Mfn;
use crate::domain::DomId;
use crate::memory::heap::{FrameEntries, Head};
use core::sync::atomic::Ordering;

/// A frame without owner or references that TLBs may still remember: `Hypervisor::free_frame` gives it to the heap,
/// which flushes before it hands it out again.
#[must_use = "a freed frame must go back to the heap"]
#[derive(Debug, PartialEq, Eq)]
pub struct Freed {
    pub(super) mfn: Mfn,
    pub(super) owner: DomId,
    pub(super) counted: bool,
}

impl Freed {
    /// The frame.
    pub fn mfn(&self) -> Mfn {
        self.mfn
    }
    /// Whether it was one of the owner's `pages.total`: not so for pages of the hypervisor that the owner only saw.
    pub fn is_counted(&self) -> bool {
        self.counted
    }
    /// Whose it was.
    pub fn owner(&self) -> DomId {
        self.owner
    }
}

impl FrameEntries for FrameTable {
    fn head(&self, frame: u32) -> Option<Head> {
        let entry = self.entry(Mfn(u64::from(frame)))?;
        (Used(entry.used.load(Ordering::Acquire)).state() == Used::FREE_BLOCK).then(|| {
            Head::unpack(
                entry.link.load(Ordering::Relaxed),
                entry.typed.load(Ordering::Relaxed),
                entry.stamp.load(Ordering::Relaxed),
            )
        })
    }

    fn set_head(&self, frame: u32, head: Head) {
        if let Some(entry) = self.entry(Mfn(u64::from(frame))) {
            let (link, word, stamp) = head.pack();
            entry.link.store(link, Ordering::Relaxed);
            entry.typed.store(word, Ordering::Relaxed);
            entry.stamp.store(stamp, Ordering::Relaxed);
            entry.used.store(Used::FREE_BLOCK, Ordering::Release);
        }
    }

    fn clear_head(&self, frame: u32) {
        if let Some(entry) = self.entry(Mfn(u64::from(frame))) {
            entry.typed.store(0, Ordering::Relaxed);
            entry.used.store(Used::BLANK, Ordering::Release);
        }
    }

    fn take(&self, frame: u32) -> bool {
        self.swap_state(Mfn(u64::from(frame)), Used::BLANK, Used::HYPERVISOR)
    }

    fn give_back(&self, frame: u32) -> bool {
        self.swap_state(Mfn(u64::from(frame)), Used::HYPERVISOR, Used::BLANK)
    }
}
