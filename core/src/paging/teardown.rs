//! Taking a dying domain's memory back, in steps that can be interrupted.

use super::{Mmu, PagingError};
use crate::addr::Mfn;
use crate::ctx::Ctx;
use crate::domain::Domain;
use crate::frame::{FrameRef, FrameType, TypeRef};
use crate::platform::Platform;
use crate::pv::{GDT_FRAMES, LDT_FRAMES};

/// Bit of the progress: all tables are undone, frames are being released.
const RELEASING: u64 = 1 << 63;
/// Frame-table entries looked at between two safe points.
const STRIDE: usize = 4096;

/// Takes back everything that a dying domain's page tables hold, and releases its frames: each goes to the heap with
/// its last reference, which may be another domain's mapping (then `pages.total` stays above 0 until that goes). Pages
/// of the hypervisor that the domain sees are left to those who shared them.
///
/// No vcpu of it runs or will run, and no CPU has one of its roots loaded. `progress` starts as 0 and is kept by the
/// caller (in the domain) from one call to the next.
///
/// # Errors
/// `Interrupted`: call again with the same `progress`.
pub fn relinquish_memory<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    dom: &Domain<P>,
    progress: &mut u64,
) -> Result<(), PagingError> {
    let mut parked = [Mfn(0); 3];
    let mut mmu =
        Mmu { hv: ctx.hv, cpu: ctx.cpu, dom, data: dom.id, io: false, effects: &mut ctx.effects, parked: &mut parked };
    if *progress == 0 {
        mmu.drop_vcpu_references();
        *progress = 1;
    }
    loop {
        let releasing = *progress & RELEASING != 0;
        let (found, next) = mmu.frames().next_owned(Mfn(*progress & !RELEASING), dom.id, STRIDE);
        if let Some(mfn) = found {
            if releasing {
                mmu.release(mfn);
            } else {
                // Until it succeeds, the walk stays at this frame.
                mmu.undo(mfn)?;
            }
        }
        *progress = match next {
            Some(at) => at.0 | *progress & RELEASING,
            None if releasing => return Ok(()),
            None => RELEASING,
        };
        if mmu.preempted() {
            return Err(PagingError::Interrupted);
        }
    }
}

impl<P: Platform> Mmu<'_, P> {
    /// Roots and descriptor tables that the vcpus' states name. What is interrupted stays parked in the frames, where
    /// the walk over them finds it.
    fn drop_vcpu_references(&mut self) {
        for vcpu in self.dom.vcpus() {
            let (roots, gdt, ldt) = {
                let mut saved = vcpu.saved.lock();
                let pv = &mut saved.pv;
                pv.gdt_entries = 0;
                pv.ldt_entries = 0;
                pv.parked_tables = [Mfn(0); 3];
                (
                    [core::mem::take(&mut pv.kernel_root).mfn(), core::mem::take(&mut pv.user_root).mfn()],
                    core::mem::replace(&mut pv.gdt_frames, [Mfn(0); GDT_FRAMES]),
                    core::mem::replace(&mut pv.ldt_frames, [Mfn(0); LDT_FRAMES]),
                )
            };
            for root in roots.into_iter().filter(|&root| root != Mfn(0)) {
                self.put_table(TypeRef::restore(root, FrameType::L4), FrameRef::restore(root));
            }
            gdt.into_iter().chain(ldt).for_each(|mfn| self.put_descriptors(mfn));
        }
    }

    /// Takes the pin off a frame and undoes what is half validated.
    fn undo(&mut self, mfn: Mfn) -> Result<(), PagingError> {
        let Ok(frame) = self.frames().get(mfn, self.dom.id) else { return Ok(()) };
        if let Some((used, held)) = self.frames().unpin(&frame) {
            self.put_table(used, held);
        }
        let mut result = Ok(());
        if let Some(table) = self.frames().take_parked(mfn)
            && self.devalidate(table).is_err()
        {
            result = Err(PagingError::Interrupted);
        }
        self.put(frame);
        result
    }

    fn release(&mut self, mfn: Mfn) {
        if self.frames().is_shared(mfn) {
            return;
        }
        // Released before is fine: then it waits for its last reference.
        if let Ok(Some(freed)) = self.frames().release(mfn, self.dom.id) {
            self.hv.free_frame(freed);
        }
    }
}
