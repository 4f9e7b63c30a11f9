//! The root from which all of the hypervisor's state is reached.

use super::DomainTable;
use crate::frame::{FrameTable, Freed};
use crate::memory::Heap;
use crate::platform::Platform;
use core::sync::atomic::Ordering;

/// All state of the hypervisor.
pub struct Hypervisor<P: Platform> {
    /// The machine.
    pub platform: P,
    /// All frames of the machine.
    pub frames: FrameTable,
    /// The free ones.
    pub heap: Heap,
    /// All domains.
    pub domains: DomainTable<P>,
}

impl<P: Platform> Hypervisor<P> {
    /// Gives a frame whose last reference went to the heap, and takes it off its owner's count. The caller holds no
    /// lock above `rank::DomainLife`.
    pub fn free_frame(&self, freed: Freed) {
        if let Some(owner) = self.domains.get(freed.owner()) {
            owner.pages.total.fetch_sub(1, Ordering::AcqRel);
        }
        self.heap.free(&self.frames, &self.platform, freed.mfn(), 0, true);
    }
}
