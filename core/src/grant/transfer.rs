//! GNTTABOP_transfer: a frame changes hands.

use super::status::Status;
use crate::addr::Mfn;
use crate::ctx::Ctx;
use crate::domain::DomId;
use crate::paging::settle;
use crate::platform::Platform;
use core::sync::atomic::Ordering;
use xen_abi::grant_table::GnttabTransfer;

/// One transfer. On any error but `BadPage` the frame is no more the caller's: it goes to the heap.
pub(super) fn transfer<P: Platform>(ctx: &mut Ctx<'_, P>, op: &GnttabTransfer) -> Result<(), Status> {
    let hv = ctx.hv;
    let frame = Mfn(op.mfn);
    let _taken = hv.frames.take_away(frame, ctx.dom.id).map_err(|_| Status::BadPage)?;
    ctx.dom.pages.total.fetch_sub(1, Ordering::AcqRel);
    hv.platform.set_m2p(frame, u64::MAX);
    // Nobody may reach it through a stale translation once it is another's.
    settle(ctx, true);
    give(ctx, op, frame).map_err(|failure| match failure {
        Failure::Kept(status) => {
            hv.free_frames(frame, 0, true);
            status
        }
        Failure::Lost(status) => status,
    })
}

enum Failure {
    /// The frame is still in our hands.
    Kept(Status),
    /// It is not.
    Lost(Status),
}

fn give<P: Platform>(ctx: &Ctx<'_, P>, op: &GnttabTransfer, frame: Mfn) -> Result<(), Failure> {
    let hv = ctx.hv;
    let to = hv.domains.get(DomId(op.domid)).ok_or(Failure::Kept(Status::BadDomain))?;
    // Dying, or at its limit.
    hv.count(&to, 1).map_err(|_| Failure::Kept(Status::General))?;
    let committed = {
        let table = to.grants.inner.lock();
        if table.version == 1 && frame.0 > u64::from(u32::MAX) {
            Err(Status::AddressTooBig)
        } else {
            table.entry(&hv.platform, op.r#ref).and_then(|entry| entry.commit_transfer(ctx.dom.id))
        }
    };
    let slot = match committed {
        Ok(slot) => slot,
        Err(status) => {
            to.pages.total.fetch_sub(1, Ordering::AcqRel);
            return Err(Failure::Kept(status));
        }
    };
    let assigned = hv.assign(&to, frame, 0);
    if assigned.is_ok() {
        hv.platform.set_m2p(frame, slot.0);
    }
    if let Ok(entry) = to.grants.inner.lock().entry(&hv.platform, op.r#ref) {
        match assigned {
            Ok(()) => entry.complete_transfer(frame),
            Err(_) => entry.abort_transfer(),
        }
    }
    // What `assign` could not give to a domain that died meanwhile, it has freed.
    assigned.map_err(|_| Failure::Lost(Status::General))
}
