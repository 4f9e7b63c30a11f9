//! The frames of a guest's GDT.

use crate::addr::{Mfn, Vaddr};
use crate::ctx::Ctx;
use crate::hypercall::{HypercallResult, Stop};
use crate::paging;
use crate::platform::Platform;
use crate::pv::GDT_FRAMES;
use xen_abi::Errno;

/// `HYPERVISOR_set_gdt(frame_list, entries)`.
pub(super) fn set_gdt<P: Platform>(ctx: &mut Ctx<'_, P>, list: Vaddr, entries: u32) -> HypercallResult {
    let count = entries.div_ceil(512);
    let mut frames = [Mfn(0); GDT_FRAMES];
    if count as usize > frames.len() {
        return Err(Errno::EINVAL.into());
    }
    for (index, frame) in (0..count).zip(&mut frames) {
        *frame = Mfn(ctx.read_at(list, index.into())?);
    }
    match paging::set_gdt(ctx, frames.get(..count as usize).unwrap_or(&[]), entries) {
        Ok(()) => Ok(0),
        Err(paging::PagingError::Interrupted) => Err(Stop::Again([list.0, entries.into(), 0, 0, 0, 0])),
        Err(error) => Err(Stop::Err(error.errno())),
    }
}
