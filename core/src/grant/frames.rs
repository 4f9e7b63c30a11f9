//! Frames: those of a table, and references that grants hold themselves.

use super::active::Active;
use super::table::{Inner, MAX_ENTRIES, status_frames};
use crate::addr::Mfn;
use crate::cpu::CpuId;
use crate::domain::{Domain, Hypervisor};
use crate::frame::{FrameRef, FrameType, PutType, TypeRef};
use crate::memory::heap::Request;
use crate::platform::Platform;
use alloc::vec::Vec;
use xen_abi::Errno;

/// Gives back a reference that was stored as a plain number, with its use as writable memory if there is one.
pub(crate) fn put_stored<P: Platform>(hv: &Hypervisor<P>, frame: Mfn, writable: bool) {
    if writable {
        let done = hv.frames.put_type(TypeRef::restore(frame, FrameType::Writable), || hv.platform.tlb_stamp());
        debug_assert!(matches!(done, PutType::Done), "only page tables take time");
    }
    if let Some(freed) = hv.frames.put(FrameRef::restore(frame)) {
        hv.free_frame(freed);
    }
}

/// A zeroed frame of the hypervisor that the domain may map.
fn shared_frame<P: Platform>(hv: &Hypervisor<P>, cpu: CpuId, dom: &Domain<P>) -> Result<Mfn, Errno> {
    let frame = hv.alloc_frames(cpu, Request::default()).ok_or(Errno::ENOMEM)?;
    if hv.frames.share(frame, dom.id, true).is_err() {
        hv.free_frames(frame, 0, false);
        return Err(Errno::ENOMEM);
    }
    Ok(frame)
}

fn add<P: Platform>(hv: &Hypervisor<P>, cpu: CpuId, dom: &Domain<P>, list: &mut Vec<Mfn>) -> Result<(), Errno> {
    list.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    list.push(shared_frame(hv, cpu, dom)?);
    Ok(())
}

impl Inner {
    /// Makes the table at least `frames` shared frames large, with the status frames for them in version 2.
    ///
    /// # Errors
    /// `EINVAL`: more than the limit, or the domain is gone; `ENOMEM` (what was added stays).
    pub fn grow<P: Platform>(
        &mut self,
        hv: &Hypervisor<P>,
        cpu: CpuId,
        dom: &Domain<P>,
        frames: u32,
    ) -> Result<(), Errno> {
        if frames > self.limits.frames || self.closed {
            return Err(Errno::EINVAL);
        }
        while self.frames() < frames {
            let mut active = Vec::new();
            active.try_reserve_exact(MAX_ENTRIES).map_err(|_| Errno::ENOMEM)?;
            active.resize(MAX_ENTRIES, Active::default());
            self.active.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            if self.version == 2 {
                self.grow_status(hv, cpu, dom, self.shared.len() + 1)?;
            }
            add(hv, cpu, dom, &mut self.shared)?;
            self.active.push(active);
        }
        Ok(())
    }

    /// Makes enough status frames for so many shared frames.
    pub fn grow_status<P: Platform>(
        &mut self,
        hv: &Hypervisor<P>,
        cpu: CpuId,
        dom: &Domain<P>,
        shared: usize,
    ) -> Result<(), Errno> {
        while self.status.len() < status_frames(shared) {
            add(hv, cpu, dom, &mut self.status)?;
        }
        Ok(())
    }
}

/// Ends the domain's view of a table frame: the last mapping frees it.
pub(super) fn drop_shared<P: Platform>(hv: &Hypervisor<P>, dom: &Domain<P>, frame: Mfn) {
    if let Ok(Some(freed)) = hv.frames.release(frame, dom.id) {
        hv.free_frame(freed);
    }
}
