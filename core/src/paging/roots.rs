//! The root tables that a vcpu runs on. `PvState` holds a use (and a reference) of each.

use super::{Mmu, PagingError};
use crate::addr::{Maddr, Mfn};
use crate::ctx::Ctx;
use crate::domain::{Domain, Hypervisor};
use crate::frame::{FrameRef, FrameType, TypeRef};
use crate::platform::Platform;

/// MMUEXT_NEW_BASEPTR: the guest's kernel runs on another root from here on. The CPU is switched at once, because
/// the old root may be anything as soon as its use is given back.
///
/// # Errors
/// `Invalid`, `Busy` when the frame is no valid root table of the domain; `Interrupted`.
pub(super) fn new_base<P: Platform>(ctx: &mut Ctx<'_, P>, mfn: Mfn) -> Result<(), PagingError> {
    let old = ctx.pv.kernel_root.mfn();
    if mfn != old {
        get_root(&mut Mmu::new(ctx), mfn)?;
    }
    ctx.pv.kernel_root = mfn.maddr();
    if ctx.pv.in_kernel() {
        ctx.hv.platform.load_root(ctx.cpu, mfn.maddr());
        // That flushed everything.
        ctx.effects.flushed();
    }
    if mfn != old {
        put_root(&mut Mmu::new(ctx), old);
    }
    Ok(())
}

/// MMUEXT_NEW_USER_BASEPTR: the same for the guest's user mode, which is not running now. Frame 0: none.
pub(super) fn new_user_base<P: Platform>(ctx: &mut Ctx<'_, P>, mfn: Mfn) -> Result<(), PagingError> {
    let old = ctx.pv.user_root.mfn();
    if mfn == old {
        return Ok(());
    }
    if mfn != Mfn(0) {
        get_root(&mut Mmu::new(ctx), mfn)?;
    }
    ctx.pv.user_root = mfn.maddr();
    put_root(&mut Mmu::new(ctx), old);
    Ok(())
}

#[inline(always)]
fn get_root<P: Platform>(mmu: &mut Mmu<'_, P>, mfn: Mfn) -> Result<(), PagingError> {
    let frame = mmu.frames().get(mfn, mmu.dom.id)?;
    match mmu.use_as(&frame, FrameType::L4) {
        Ok(used) => {
            used.store();
            frame.store();
            Ok(())
        }
        Err(error) => {
            mmu.put(frame);
            Err(if error == PagingError::Busy { PagingError::Invalid } else { error })
        }
    }
}

#[inline(always)]
fn put_root<P: Platform>(mmu: &mut Mmu<'_, P>, mfn: Mfn) {
    if mfn != Mfn(0) {
        mmu.put_table(TypeRef::restore(mfn, FrameType::L4), FrameRef::restore(mfn));
    }
}

/// Boot, and a toolstack that sets a vcpu up: takes the use of a root table of `dom` that a vcpu's state will name as
/// `kernel_root` (or `user_root`), and gives the value for it.
///
/// # Errors
/// As for MMUEXT_NEW_BASEPTR; `Interrupted` means: call again.
pub fn take_root<P: Platform>(ctx: &mut Ctx<'_, P>, dom: &Domain<P>, mfn: Mfn) -> Result<Maddr, PagingError> {
    let mut mmu = Mmu::on(ctx, dom, dom.id, dom.privileged);
    mmu.finish_parked()?;
    get_root(&mut mmu, mfn).map(|()| mfn.maddr())
}

/// Gives back what [`take_root`] took, or a root that a vcpu's state named and that no CPU runs on any more.
///
/// # Errors
/// `Interrupted`: it is given back; what is half undone the vcpu's next operation finishes.
pub fn put_root_of<P: Platform>(ctx: &mut Ctx<'_, P>, dom: &Domain<P>, root: Maddr) -> Result<(), PagingError> {
    let mut mmu = Mmu::on(ctx, dom, dom.id, dom.privileged);
    mmu.finish_parked()?;
    put_root(&mut mmu, root.mfn());
    mmu.finish_parked()
}

/// Takes the guest's pin, if there is one, off a frame of `dom`'s that is to be given away, and finishes what was half
/// undone before or is by that.
///
/// # Errors
/// `Interrupted`: call again.
pub fn unpin<P: Platform>(ctx: &mut Ctx<'_, P>, dom: &Domain<P>, mfn: Mfn) -> Result<(), PagingError> {
    let mut mmu = Mmu::on(ctx, dom, dom.id, dom.privileged);
    mmu.finish_parked()?;
    if mmu.frames().is_pinned(mfn) {
        // It may be another domain's: then there is nothing to do here.
        let _not_its = mmu.unpin(mfn);
    }
    mmu.finish_parked()
}

/// Boot: makes the root table that was built for dom0 a valid, pinned one, through the very path that a guest's
/// MMUEXT_PIN_L4_TABLE takes, and takes a second use of it for vcpu 0's `kernel_root`, whose value it gives. All
/// frames of the tables are `dom`'s already. Nothing is running, so nothing interrupts.
///
/// # Errors
/// What the validation of the tables refuses.
pub fn pin_root_at_boot<P: Platform>(
    hv: &Hypervisor<P>,
    cpu: crate::cpu::CpuId,
    dom: &Domain<P>,
    root: Mfn,
) -> Result<Maddr, PagingError> {
    let (mut effects, mut parked) = (crate::ctx::Effects::default(), [Mfn(0); 3]);
    let mut mmu = Mmu { hv, cpu, dom, data: dom.id, io: dom.privileged, effects: &mut effects, parked: &mut parked };
    loop {
        match mmu.pin(root, FrameType::L4) {
            Err(PagingError::Interrupted) => {}
            Err(error) => return Err(error),
            Ok(()) => break,
        }
    }
    get_root(&mut mmu, root).map(|()| root.maddr())
}
