//! `HYPERVISOR_mmuext_op`.

use super::flush::{Scope, flush};
use super::roots;
use super::target::Target;
use super::update::{PREEMPTED, begin, continued, finish, settle_error};
use super::{Mmu, PagingError};
use crate::addr::{Mfn, Vaddr};
use crate::ctx::Ctx;
use crate::domain::DomId;
use crate::frame::{FrameType, TypeRef};
use crate::hypercall::{HypercallResult, Stop};
use crate::platform::{Flush, Platform};
use core::sync::atomic::{Ordering, fence};
use xen_abi::Errno;
use xen_abi::xen::{
    MMUEXT_CLEAR_PAGE, MMUEXT_COPY_PAGE, MMUEXT_FLUSH_CACHE, MMUEXT_FLUSH_CACHE_GLOBAL, MMUEXT_INVLPG_ALL,
    MMUEXT_INVLPG_LOCAL, MMUEXT_INVLPG_MULTI, MMUEXT_MARK_SUPER, MMUEXT_NEW_BASEPTR, MMUEXT_NEW_USER_BASEPTR,
    MMUEXT_PIN_L1_TABLE, MMUEXT_PIN_L4_TABLE, MMUEXT_SET_LDT, MMUEXT_TLB_FLUSH_ALL, MMUEXT_TLB_FLUSH_LOCAL,
    MMUEXT_TLB_FLUSH_MULTI, MMUEXT_UNMARK_SUPER, MMUEXT_UNPIN_TABLE, MmuextOp,
};

const OP: u64 = size_of::<MmuextOp>() as u64;

/// `mmuext_op(ops, count, done_out, foreigndom)`: see xen.h.
///
/// Gives 0. The number of operations done is written to `*done_out` (if that is not null) whatever happens.
///
/// # Errors
/// The first operation's that failed; those before it are done. `Stop::Again` with what is left to do.
pub fn mmuext_op<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    ops: Vaddr,
    count: u64,
    done_out: Vaddr,
    foreigndom: u64,
) -> HypercallResult {
    let count = count & 0xffff_ffff;
    // The most common list: one flush of this vcpu's own translations.
    if count == 1 && foreigndom == DomId::SELF.0.into() && done_out.0 == 0 && quick_flush(ctx, ops).is_some() {
        return Ok(0);
    }
    list(ctx, ops, count, done_out, foreigndom)
}

/// Does one operation if it is a flush on this CPU. `None`: nothing was done.
#[inline(always)]
fn quick_flush<P: Platform>(ctx: &mut Ctx<'_, P>, op: Vaddr) -> Option<()> {
    if !ctx.pv.nothing_parked() {
        return None;
    }
    let [command, at, _] = ctx.hv.platform.read_words::<3>(ctx.cpu, op).ok()?;
    match (command & 0xffff_ffff) as u32 {
        MMUEXT_INVLPG_LOCAL if Vaddr(at).is_canonical() => ctx.effects.flush(Flush::Page(Vaddr(at))),
        MMUEXT_TLB_FLUSH_LOCAL => ctx.effects.flush(Flush::All),
        _ => return None,
    }
    Some(())
}

#[inline(never)]
fn list<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    ops: Vaddr,
    count: u64,
    done_out: Vaddr,
    foreigndom: u64,
) -> HypercallResult {
    let before = continued(ctx, count, done_out);
    if !ops.is_guest() {
        return Err(Errno::EFAULT.into());
    }
    let begun = begin(ctx, count);
    let count = count & !PREEMPTED;
    let (at, result) = match begun {
        Ok(()) => run(ctx, ops, count, foreigndom),
        Err(error) => (0, Err(error)),
    };
    let result = settle_error(ctx, result);
    finish(ctx, done_out, before.wrapping_add(at));
    match result {
        Ok(()) => Ok(0),
        Err(PagingError::Interrupted) => Err(Stop::Again([
            ops.0.wrapping_add(at.wrapping_mul(OP)),
            count.wrapping_sub(at) | PREEMPTED,
            done_out.0,
            foreigndom,
            0,
            0,
        ])),
        Err(error) => Err(Stop::Err(error.errno())),
    }
}

/// One operation on the caller's own frames that was copied in already.
///
/// # Errors
/// As [`mmuext_op`]; after `Stop::Again` the operation is to be made again.
pub fn mmuext_single<P: Platform>(ctx: &mut Ctx<'_, P>, op: &MmuextOp) -> HypercallResult {
    let result = begin(ctx, 0).and_then(|()| one(ctx, &Target::Own, op));
    match settle_error(ctx, result) {
        Ok(()) => Ok(0),
        Err(PagingError::Interrupted) => Err(Stop::Again([0; 6])),
        Err(error) => Err(Stop::Err(error.errno())),
    }
}

fn run<P: Platform>(ctx: &mut Ctx<'_, P>, ops: Vaddr, count: u64, foreigndom: u64) -> (u64, Result<(), PagingError>) {
    if count == 0 {
        return (0, Ok(()));
    }
    let target = match Target::of(ctx, DomId(foreigndom as u16)) {
        // These have no tables, no roots and no vcpus.
        Ok(Target::Io | Target::Xen) => return (0, Err(PagingError::NotPermitted)),
        Ok(target) => target,
        Err(error) => return (0, Err(error)),
    };
    let mut at = 0;
    while at < count {
        let from = Vaddr(ops.0.wrapping_add(at.wrapping_mul(OP)));
        let Ok(words) = ctx.hv.platform.read_words::<3>(ctx.cpu, from) else { return (at, Err(PagingError::Fault)) };
        let mut result = one(ctx, &target, &zerocopy::transmute!(words));
        if result.is_ok() {
            at = at.wrapping_add(1);
            result = Mmu::new(ctx).finish_parked();
            if result.is_ok() && at < count && ctx.preempt_pending() {
                result = Err(PagingError::Interrupted);
            }
        }
        if result.is_err() {
            return (at, result);
        }
    }
    (at, Ok(()))
}

fn one<P: Platform>(ctx: &mut Ctx<'_, P>, target: &Target<P>, op: &MmuextOp) -> Result<(), PagingError> {
    let mfn = Mfn(op.arg1);
    let at = Vaddr(op.arg1);
    match op.cmd {
        MMUEXT_PIN_L1_TABLE..=MMUEXT_PIN_L4_TABLE => {
            let level = op.cmd.wrapping_sub(MMUEXT_PIN_L1_TABLE).wrapping_add(1);
            with_frames_of(ctx, target, |mmu| mmu.pin(mfn, FrameType::of_level(level)))
        }
        MMUEXT_UNPIN_TABLE => with_frames_of(ctx, target, |mmu| mmu.unpin(mfn)),
        MMUEXT_NEW_BASEPTR => own_only(target).and_then(|()| roots::new_base(ctx, mfn)),
        MMUEXT_NEW_USER_BASEPTR => own_only(target).and_then(|()| roots::new_user_base(ctx, mfn)),
        MMUEXT_TLB_FLUSH_LOCAL => flush(ctx, Scope::Local, Flush::All),
        MMUEXT_INVLPG_LOCAL => flush(ctx, Scope::Local, Flush::Page(at)),
        MMUEXT_TLB_FLUSH_MULTI => flush_some(ctx, op, Flush::All),
        MMUEXT_INVLPG_MULTI => flush_some(ctx, op, Flush::Page(at)),
        MMUEXT_TLB_FLUSH_ALL => flush(ctx, Scope::All, Flush::All),
        MMUEXT_INVLPG_ALL => flush(ctx, Scope::All, Flush::Page(at)),
        MMUEXT_FLUSH_CACHE | MMUEXT_FLUSH_CACHE_GLOBAL => {
            // Only who can have uncached mappings has a reason to.
            if !ctx.dom.privileged {
                return Err(PagingError::NotPermitted);
            }
            let cpus =
                if op.cmd == MMUEXT_FLUSH_CACHE { crate::cpu::CpuMask::one(ctx.cpu) } else { ctx.platform().online() };
            ctx.platform().flush_caches(ctx.cpu, &cpus);
            Ok(())
        }
        MMUEXT_SET_LDT => own_only(target).and_then(|()| super::set_ldt(ctx, at, op.arg2 as u32)),
        MMUEXT_CLEAR_PAGE => with_frames_of(ctx, target, |mmu| mmu.write_page(mfn, None)),
        MMUEXT_COPY_PAGE => with_frames_of(ctx, target, |mmu| mmu.write_page(mfn, Some(Mfn(op.arg2)))),
        MMUEXT_MARK_SUPER | MMUEXT_UNMARK_SUPER => Err(PagingError::Unsupported),
        _ => Err(PagingError::Unknown),
    }
}

/// A flush on the vcpus of a mask. One that cannot be read is an invalid argument here, as with Xen.
fn flush_some<P: Platform>(ctx: &mut Ctx<'_, P>, op: &MmuextOp, what: Flush) -> Result<(), PagingError> {
    flush(ctx, Scope::Vcpus(Vaddr(op.arg2)), what)
        .map_err(|error| if error == PagingError::Fault { PagingError::Invalid } else { error })
}

fn own_only<P: Platform>(target: &Target<P>) -> Result<(), PagingError> {
    if matches!(target, Target::Own) { Ok(()) } else { Err(PagingError::NotPermitted) }
}

fn with_frames_of<'a, P: Platform, T>(
    ctx: &'a mut Ctx<'_, P>,
    target: &'a Target<P>,
    f: impl FnOnce(&mut Mmu<'a, P>) -> Result<T, PagingError>,
) -> Result<T, PagingError> {
    let own = ctx.dom;
    let (dom, io) = match target {
        Target::Own => (own, own.privileged),
        Target::Other(dom) => (&**dom, dom.privileged),
        Target::Io | Target::Xen => return Err(PagingError::NotPermitted),
    };
    f(&mut Mmu::on(ctx, dom, dom.id, io))
}

impl<P: Platform> Mmu<'_, P> {
    /// Makes a frame a page table of this type for as long as the guest wants.
    ///
    /// # Errors
    /// `Invalid` when it is pinned already, its contents are refused or its domain dies; `Busy`, `Interrupted`.
    pub(super) fn pin(&mut self, mfn: Mfn, ty: FrameType) -> Result<(), PagingError> {
        let frame = self.frames().get(mfn, self.dom.id)?;
        let used = match self.use_as(&frame, ty) {
            Ok(used) => used,
            Err(error) => {
                self.put(frame);
                return Err(if error == PagingError::Busy { PagingError::Invalid } else { error });
            }
        };
        match self.frames().pin(used, frame) {
            Ok(()) => {
                // The walk of a teardown begins after this and finds it, or this sees that the domain dies.
                fence(Ordering::SeqCst);
                if self.dom.is_dying() {
                    let _gone_or_found = self.unpin(mfn);
                    return Err(PagingError::Invalid);
                }
                Ok(())
            }
            Err((used, frame)) => {
                self.put_table(used, frame);
                Err(PagingError::Invalid)
            }
        }
    }

    /// Ends it.
    ///
    /// # Errors
    /// `Invalid` when it is not pinned.
    pub(super) fn unpin(&mut self, mfn: Mfn) -> Result<(), PagingError> {
        let frame = self.frames().get(mfn, self.dom.id)?;
        let pinned = self.frames().unpin(&frame);
        let result = match pinned {
            Some((used, held)) => {
                self.put_table(used, held);
                Ok(())
            }
            None => Err(PagingError::Invalid),
        };
        self.put(frame);
        result
    }

    /// Clears a page, or copies another one of the same domain to it.
    fn write_page(&mut self, mfn: Mfn, from: Option<Mfn>) -> Result<(), PagingError> {
        let source = match from {
            Some(from) => Some(self.frames().get(from, self.dom.id)?),
            None => None,
        };
        let result = self.writable(mfn).map(|(frame, used)| {
            match &source {
                Some(source) => self.page(mfn).copy_from(self.page(source.mfn())),
                None => self.page(mfn).zero(),
            }
            self.put_table(used, frame);
        });
        if let Some(source) = source {
            self.put(source);
        }
        result
    }

    /// A frame of the domain, with the right to write to it.
    ///
    /// # Errors
    /// `Invalid` when it is in use as something that may not be written, `Interrupted`.
    pub(super) fn writable(&mut self, mfn: Mfn) -> Result<(crate::frame::FrameRef, TypeRef), PagingError> {
        let frame = self.frames().get(mfn, self.dom.id)?;
        match self.use_as(&frame, FrameType::Writable) {
            Ok(used) => Ok((frame, used)),
            Err(error) => {
                self.put(frame);
                Err(if error == PagingError::Busy { PagingError::Invalid } else { error })
            }
        }
    }
}
