//! Frames of the guest's that the hypervisor writes: taken through `paging`, so that they cannot become page tables.

use crate::addr::{Gfn, Mfn, Vaddr};
use crate::cpu::CpuId;
use crate::ctx::{Ctx, Effects};
use crate::domain::{Domain, Hypervisor, Vcpu};
use crate::evtchn::Frames;
use crate::frame::{FrameRef, FrameType, TypeRef};
use crate::hypercall::{HypercallResult, Stop};
use crate::paging;
use crate::platform::Platform;
use crate::pv::{GDT_FRAMES, PvState};
use xen_abi::Errno;

/// Takes and gives frames for event channels (FIFO control blocks and event arrays).
pub struct EventFrames<'a, P: Platform> {
    /// Everything.
    pub hv: &'a Hypervisor<P>,
    /// This CPU.
    pub cpu: CpuId,
    /// The vcpu on whose behalf it is.
    pub vcpu: &'a Vcpu<P>,
}

impl<P: Platform> EventFrames<'_, P> {
    fn with<T>(&self, dom: &Domain<P>, f: impl FnOnce(&mut Ctx<'_, P>) -> T) -> T {
        // Taking a frame as plain memory touches none of this state; a flush on the way is made at once.
        let mut pv = PvState::default();
        let mut ctx =
            Ctx { hv: self.hv, cpu: self.cpu, vcpu: self.vcpu, dom, pv: &mut pv, effects: Effects::default() };
        f(&mut ctx)
    }
}

impl<P: Platform> Frames<P> for EventFrames<'_, P> {
    fn get_writable(&self, dom: &Domain<P>, gfn: Gfn) -> Result<Mfn, Errno> {
        self.with(dom, |ctx| {
            let (frame, used) = paging::get_writable(ctx, dom, Mfn(gfn.0), true).map_err(|error| error.errno())?;
            used.map(TypeRef::store);
            Ok(frame.store())
        })
    }
    fn put_writable(&self, dom: &Domain<P>, mfn: Mfn) {
        self.with(dom, |ctx| {
            let used = TypeRef::restore(mfn, FrameType::Writable);
            paging::put_writable(ctx, FrameRef::restore(mfn), Some(used));
        });
    }
}

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
