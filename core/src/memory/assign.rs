//! Frames between the heap and a domain: both ways, with the domain's limit and count kept.

use super::heap::{Here, Request};
use crate::addr::Mfn;
use crate::cpu::CpuId;
use crate::domain::{Domain, Hypervisor};
use crate::frame::FrameError;
use crate::platform::Platform;
use core::sync::atomic::Ordering;
use xen_abi::Errno;

/// Why a domain got no memory, or could not give it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemoryError {
    /// The heap has no such block.
    OutOfMemory,
    /// It would have more than its limit (XEN_DOMCTL_max_mem).
    OverLimit,
    /// It is being torn down.
    Dying,
    /// The frame is not its own, or not one that it can give away.
    NotOwned,
    /// The frame is in use in a way that the operation cannot end.
    Busy,
}

impl From<MemoryError> for Errno {
    fn from(error: MemoryError) -> Errno {
        match error {
            MemoryError::OutOfMemory | MemoryError::OverLimit => Errno::ENOMEM,
            MemoryError::Dying | MemoryError::NotOwned => Errno::EINVAL,
            MemoryError::Busy => Errno::EBUSY,
        }
    }
}

impl<P: Platform> Hypervisor<P> {
    /// 2^`order` frames for the hypervisor itself: zeroed, in no TLB.
    pub fn alloc_frames(&self, cpu: CpuId, request: Request<'_>) -> Option<Mfn> {
        let here = Here { platform: &self.platform, cpu, online: &self.platform.online() };
        self.heap.alloc(&self.frames, &here, request)
    }

    /// Gives frames of the hypervisor back to the heap. `mapped`: a guest may have had translations of them.
    pub fn free_frames(&self, mfn: Mfn, order: u32, mapped: bool) {
        self.heap.free(&self.frames, &self.platform, mfn, order, mapped);
    }

    /// For an idle CPU: scrubs about `budget` free frames ahead of their allocation, until something else is to be
    /// done. Gives how many; 0: nothing is left to scrub.
    pub fn scrub_idle(&self, cpu: CpuId, budget: u32) -> u32 {
        let here = Here { platform: &self.platform, cpu, online: &self.platform.online() };
        self.heap.scrub_some(&self.frames, &here, budget, || !self.platform.preempt_pending(cpu))
    }

    /// 2^`order` new frames for a domain: counted, owned, zeroed. With `overwritten` they hold old contents that must
    /// be overwritten before the domain can see them.
    ///
    /// # Errors
    /// `OverLimit`, `Dying`, `OutOfMemory`; then nothing has changed.
    pub fn alloc_for(
        &self,
        cpu: CpuId,
        dom: &Domain<P>,
        order: u32,
        max_address_bits: u32,
        overwritten: bool,
    ) -> Result<Mfn, MemoryError> {
        let frames = 1u64.checked_shl(order).ok_or(MemoryError::OutOfMemory)?;
        self.count(dom, frames)?;
        let request = Request { order, max_address_bits, overwritten, claim: Some(&dom.pages.claim) };
        let Some(mfn) = self.alloc_frames(cpu, request) else {
            uncount(dom, frames);
            return Err(MemoryError::OutOfMemory);
        };
        self.assign(dom, mfn, order)?;
        Ok(mfn)
    }

    /// Counts frames in, unless that is over the domain's limit or it is dying.
    pub(crate) fn count(&self, dom: &Domain<P>, frames: u64) -> Result<(), MemoryError> {
        if dom.is_dying() {
            return Err(MemoryError::Dying);
        }
        let max = dom.pages.max.load(Ordering::Relaxed);
        let more = |total: u64| total.checked_add(frames).filter(|&sum| sum <= max);
        dom.pages
            .total
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .map(drop)
            .map_err(|_| MemoryError::OverLimit)
    }

    /// Makes frames from the heap the domain's, which counted them in before.
    ///
    /// A domain that dies meanwhile has a teardown that walks its frames: either that walk begins after this and finds
    /// them, or this sees that it dies and releases them itself.
    pub(crate) fn assign(&self, dom: &Domain<P>, mfn: Mfn, order: u32) -> Result<(), MemoryError> {
        for n in 0..1u64 << order {
            let assigned = self.frames.assign(mfn.offset(n), dom.id);
            debug_assert!(assigned.is_ok(), "{:?} came from the heap but is in use", mfn.offset(n));
        }
        core::sync::atomic::fence(Ordering::SeqCst);
        if dom.is_dying() {
            self.give_up(dom, mfn, order);
            return Err(MemoryError::Dying);
        }
        Ok(())
    }

    /// Takes frames back that [`Hypervisor::alloc_for`] gave a moment ago. Whoever got hold of one of them meanwhile
    /// keeps it alive a little longer, no more.
    pub(super) fn give_up(&self, dom: &Domain<P>, mfn: Mfn, order: u32) {
        for n in 0..1u64 << order {
            let _gone_or_released = self.release(dom, mfn.offset(n));
        }
    }

    /// Drops the allocation of a frame: it is freed now, or when the last reference to it goes.
    ///
    /// # Errors
    /// `NotOwned`: it is not the domain's, or a page of the hypervisor that the domain only sees, or was released
    /// before. `Busy`: it is pinned or half validated.
    pub fn release(&self, dom: &Domain<P>, mfn: Mfn) -> Result<(), MemoryError> {
        let held = self.frames.get(mfn, dom.id).map_err(|_| MemoryError::NotOwned)?;
        let result = if self.frames.is_shared(mfn) {
            Err(MemoryError::NotOwned)
        } else {
            self.frames.release(mfn, dom.id).map_err(|error| match error {
                FrameError::Busy => MemoryError::Busy,
                _ => MemoryError::NotOwned,
            })
        };
        // `held` kept it alive until here.
        let last = self.frames.put(held);
        let (freed, result) = match result {
            Ok(freed) => (freed.or(last), Ok(())),
            Err(error) => (last, Err(error)),
        };
        if let Some(freed) = freed {
            self.free_frame(freed);
        }
        result
    }
}

/// Counts frames out of a domain's reservation.
fn uncount<P: Platform>(dom: &Domain<P>, frames: u64) {
    let less = |total: u64| total.checked_sub(frames);
    let counted = dom.pages.total.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    debug_assert!(counted.is_ok(), "domain {} frees more than it has", dom.id.0);
}
