//! GNTTABOP_copy.

use super::active::Use;
use super::entry::{Grant, Purpose, WHOLE};
use super::failure::Failure;
use super::pin::{pin, unpin, unpin_of};
use super::status::Status;
use crate::addr::Mfn;
use crate::ctx::Ctx;
use crate::domain::{DomId, Domain};
use crate::frame::{FrameRef, TypeRef};
use crate::paging::{get_writable, put_writable};
use crate::platform::Platform;
use ferroxen_sync::Shared;
use xen_abi::grant_table::*;

/// One end of a copy: a referenced frame and the part of it that may be used.
struct End {
    frame: FrameRef,
    used: Option<TypeRef>,
    start: u16,
    length: u16,
    /// Grants in use for it: of the domain that the caller named, and behind that one's transitive grant.
    grants: [Option<(DomId, u32)>; 2],
}

impl End {
    fn uses(writable: bool) -> [Use; 1] {
        [Use { device: false, writable }]
    }

    fn release<P: Platform>(self, ctx: &mut Ctx<'_, P>) {
        let uses = Self::uses(self.used.is_some());
        put_writable(ctx, self.frame, self.used);
        for (granter, reference) in self.grants.into_iter().flatten() {
            unpin_of(ctx.hv, granter, reference, &uses);
        }
    }

    /// Whether `len` bytes from `offset` are inside.
    fn covers(&self, offset: u16, len: u16) -> bool {
        let end = u32::from(offset) + u32::from(len);
        offset >= self.start && end <= u32::from(self.start) + u32::from(self.length)
    }
}

fn open<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    end: &GnttabCopyPtr,
    by_reference: bool,
    writable: bool,
) -> Result<End, Failure> {
    if !by_reference {
        if end.domid != DomId::SELF.0 {
            return Err(Status::Denied.into());
        }
        let own = ctx.dom;
        let (frame, used) =
            get_writable(ctx, own, Mfn(end.u), writable).map_err(|error| match Failure::from(error) {
                Failure::Status(_) => Failure::Status(Status::BadPage),
                interrupted => interrupted,
            })?;
        return Ok(End { frame, used, start: 0, length: WHOLE, grants: [None; 2] });
    }
    let id = if end.domid == DomId::SELF.0 { ctx.dom.id } else { DomId(end.domid) };
    let granter = ctx.hv.domains.get(id).ok_or(Status::BadDomain)?;
    let reference = (end.u & u64::from(u32::MAX)) as u32;
    open_grant(ctx, &granter, reference, writable)
}

fn open_grant<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    granter: &Domain<P>,
    reference: u32,
    writable: bool,
) -> Result<End, Failure> {
    let hv = ctx.hv;
    let uses = End::uses(writable);
    let mut grants = [Some((granter.id, reference)), None];
    let grant = pin(hv, granter, reference, ctx.dom.id, &uses, Purpose::Copy)?;
    let held = behind(ctx, granter, grant, &uses, &mut grants).and_then(|(owner, frame, start, length)| {
        let owner = owner.as_deref().unwrap_or(granter);
        let (frame, used) = get_writable(ctx, owner, frame, writable)?;
        Ok(End { frame, used, start, length, grants })
    });
    held.inspect_err(|_| {
        unpin(hv, granter, reference, &uses);
        if let [_, Some((behind, reference))] = grants {
            unpin_of(hv, behind, reference, &uses);
        }
    })
}

/// A domain behind the one that was named, if the grant led there; frame, start and length.
type Found<P> = (Option<Shared<Domain<P>>>, Mfn, u16, u16);

/// Follows a transitive grant one step, and no further: it may not lead to another one, nor back to its own domain.
fn behind<P: Platform>(
    ctx: &Ctx<'_, P>,
    granter: &Domain<P>,
    grant: Grant,
    uses: &[Use],
    grants: &mut [Option<(DomId, u32)>; 2],
) -> Result<Found<P>, Failure> {
    let (domid, reference) = match grant {
        Grant::Frame { frame, start, length } => return Ok((None, frame, start, length)),
        Grant::Transitive { domid, reference } => (domid, reference),
    };
    if domid == granter.id {
        return Err(Status::General.into());
    }
    let other = ctx.hv.domains.get(domid).ok_or(Status::General)?;
    let found = pin(ctx.hv, &other, reference, granter.id, uses, Purpose::Copy).map_err(|_| Status::General)?;
    grants[1] = Some((domid, reference));
    match found {
        Grant::Frame { frame, start, length } => Ok((Some(other), frame, start, length)),
        Grant::Transitive { .. } => Err(Status::General.into()),
    }
}

/// One copy, of at most a frame.
pub(super) fn copy<P: Platform>(ctx: &mut Ctx<'_, P>, op: &GnttabCopy) -> Result<(), Failure> {
    let whole = u32::from(WHOLE);
    let fits = |offset: u16| u32::from(offset) + u32::from(op.len) <= whole;
    if !fits(op.source.offset) || !fits(op.dest.offset) {
        return Err(Status::BadCopyArg.into());
    }
    let source = open(ctx, &op.source, op.flags & GNTCOPY_source_gref != 0, false)?;
    let dest = match open(ctx, &op.dest, op.flags & GNTCOPY_dest_gref != 0, true) {
        Ok(dest) => dest,
        Err(failure) => {
            source.release(ctx);
            return Err(failure);
        }
    };
    let inside = source.covers(op.source.offset, op.len) && dest.covers(op.dest.offset, op.len);
    if inside {
        let (from, to) = (ctx.hv.platform.page(source.frame.mfn()), ctx.hv.platform.page(dest.frame.mfn()));
        to.copy_bytes(op.dest.offset.into(), from, op.source.offset.into(), op.len.into());
    }
    source.release(ctx);
    dest.release(ctx);
    if inside { Ok(()) } else { Err(Status::General.into()) }
}
