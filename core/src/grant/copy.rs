//! GNTTABOP_copy.

use super::active::Use;
use super::entry::{Grant, Purpose, WHOLE};
use super::failure::Failure;
use super::pin::{pin, unpin};
use super::status::Status;
use crate::addr::Mfn;
use crate::ctx::Ctx;
use crate::domain::{DomId, Domain};
use crate::frame::{FrameRef, TypeRef};
use crate::paging::{get_writable, put_writable};
use crate::platform::Platform;
use ferroxen_sync::Shared;
use xen_abi::grant_table::*;

/// The ends of a call's copies. Neighbours mostly have one of the two in common (a packet in parts, a page that holds
/// several): such an end is taken once. It is held from one copy to the next, never beyond the call: [`Ends::release`].
pub(super) struct Ends<P: Platform> {
    source: Option<(Named, End<P>)>,
    dest: Option<(Named, End<P>)>,
}

/// What a copy names as one of its ends.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Named {
    domid: u16,
    by_reference: bool,
    /// A reference, or a frame.
    u: u64,
}

impl Named {
    fn new(end: &GnttabCopyPtr, by_reference: bool) -> Self {
        // A reference is the low half of what may be a frame's number.
        let u = if by_reference { end.u & u64::from(u32::MAX) } else { end.u };
        Named { domid: end.domid, by_reference, u }
    }
}

/// One end of a copy: a referenced frame and the part of it that may be used.
struct End<P: Platform> {
    frame: FrameRef,
    used: Option<TypeRef>,
    start: u16,
    length: u16,
    /// Grants in use for it: of the domain that the caller named, and behind that one's transitive grant.
    grants: Grants<P>,
}

type Grants<P> = [Option<(Shared<Domain<P>>, u32)>; 2];

fn uses(writable: bool) -> [Use; 1] {
    [Use { device: false, writable }]
}

impl<P: Platform> End<P> {
    fn release(self, ctx: &mut Ctx<'_, P>) {
        let uses = uses(self.used.is_some());
        put_writable(ctx, self.frame, self.used);
        give_back(ctx, self.grants, &uses);
    }

    /// Whether `len` bytes from `offset` are inside.
    fn covers(&self, offset: u16, len: u16) -> bool {
        let end = u32::from(offset) + u32::from(len);
        offset >= self.start && end <= u32::from(self.start) + u32::from(self.length)
    }
}

fn give_back<P: Platform>(ctx: &Ctx<'_, P>, grants: Grants<P>, uses: &[Use]) {
    for (granter, reference) in grants.into_iter().flatten() {
        unpin(ctx.hv, &granter, reference, uses);
    }
}

impl<P: Platform> Ends<P> {
    pub fn new() -> Self {
        Ends { source: None, dest: None }
    }

    /// Gives back what is held. At the end of the call, whatever the end.
    pub fn release(self, ctx: &mut Ctx<'_, P>) {
        for (_, end) in [self.source, self.dest].into_iter().flatten() {
            end.release(ctx);
        }
    }

    /// One copy, of at most a frame.
    pub fn copy(&mut self, ctx: &mut Ctx<'_, P>, op: &GnttabCopy) -> Result<(), Failure> {
        check(op)?;
        let source = hold(ctx, &mut self.source, &op.source, op.flags & GNTCOPY_source_gref != 0, false)?;
        let dest = hold(ctx, &mut self.dest, &op.dest, op.flags & GNTCOPY_dest_gref != 0, true)?;
        transfer(ctx, op, source, dest)
    }
}

/// The only copy of a call, whose ends no other one could want.
pub(super) fn once<P: Platform>(ctx: &mut Ctx<'_, P>, op: &GnttabCopy) -> Result<(), Failure> {
    check(op)?;
    let source = open(ctx, &op.source, op.flags & GNTCOPY_source_gref != 0, false)?;
    let result = match open(ctx, &op.dest, op.flags & GNTCOPY_dest_gref != 0, true) {
        Ok(dest) => {
            let result = transfer(ctx, op, &source, &dest);
            dest.release(ctx);
            result
        }
        Err(failure) => Err(failure),
    };
    source.release(ctx);
    result
}

/// Neither end may reach over its frame's.
fn check(op: &GnttabCopy) -> Result<(), Failure> {
    let fits = |offset: u16| u32::from(offset) + u32::from(op.len) <= u32::from(WHOLE);
    if fits(op.source.offset) && fits(op.dest.offset) { Ok(()) } else { Err(Status::BadCopyArg.into()) }
}

fn transfer<P: Platform>(ctx: &Ctx<'_, P>, op: &GnttabCopy, source: &End<P>, dest: &End<P>) -> Result<(), Failure> {
    if !source.covers(op.source.offset, op.len) || !dest.covers(op.dest.offset, op.len) {
        return Err(Status::General.into());
    }
    let (from, to) = (ctx.hv.platform.page(source.frame.mfn()), ctx.hv.platform.page(dest.frame.mfn()));
    to.copy_bytes(op.dest.offset.into(), from, op.source.offset.into(), op.len.into());
    Ok(())
}

/// The end that is named: the one held if it is that one, another in its place if not. After a failure none is held.
fn hold<'a, P: Platform>(
    ctx: &mut Ctx<'_, P>,
    held: &'a mut Option<(Named, End<P>)>,
    end: &GnttabCopyPtr,
    by_reference: bool,
    writable: bool,
) -> Result<&'a End<P>, Failure> {
    let named = Named::new(end, by_reference);
    if let Some((_, other)) = held.take_if(|(held, _)| *held != named) {
        other.release(ctx);
    }
    let (_, end) = match held {
        Some(same) => same,
        None => held.insert((named, open(ctx, end, by_reference, writable)?)),
    };
    Ok(end)
}

fn open<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    end: &GnttabCopyPtr,
    by_reference: bool,
    writable: bool,
) -> Result<End<P>, Failure> {
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
        return Ok(End { frame, used, start: 0, length: WHOLE, grants: [None, None] });
    }
    let id = if end.domid == DomId::SELF.0 { ctx.dom.id } else { DomId(end.domid) };
    let granter = ctx.hv.domains.get(id).ok_or(Status::BadDomain)?;
    let reference = (end.u & u64::from(u32::MAX)) as u32;
    open_grant(ctx, granter, reference, writable)
}

fn open_grant<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    granter: Shared<Domain<P>>,
    reference: u32,
    writable: bool,
) -> Result<End<P>, Failure> {
    let uses = uses(writable);
    let grant = pin(ctx.hv, &granter, reference, ctx.dom.id, &uses, Purpose::Copy)?;
    let mut second = None;
    let held = behind(ctx, &granter, grant, &uses, &mut second).and_then(|(frame, start, length)| {
        let owner = second.as_ref().map_or(&granter, |(owner, _)| owner);
        let (frame, used) = get_writable(ctx, owner, frame, writable)?;
        Ok((frame, used, start, length))
    });
    let grants = [Some((granter, reference)), second];
    match held {
        Ok((frame, used, start, length)) => Ok(End { frame, used, start, length, grants }),
        Err(failure) => {
            give_back(ctx, grants, &uses);
            Err(failure)
        }
    }
}

/// Follows a transitive grant one step, and no further: it may not lead to another one, nor back to its own domain. Gives
/// frame, start and length; a domain behind the one that was named, with its grant, is put into `second`.
fn behind<P: Platform>(
    ctx: &Ctx<'_, P>,
    granter: &Domain<P>,
    grant: Grant,
    uses: &[Use],
    second: &mut Option<(Shared<Domain<P>>, u32)>,
) -> Result<(Mfn, u16, u16), Failure> {
    let (domid, reference) = match grant {
        Grant::Frame { frame, start, length } => return Ok((frame, start, length)),
        Grant::Transitive { domid, reference } => (domid, reference),
    };
    if domid == granter.id {
        return Err(Status::General.into());
    }
    let other = ctx.hv.domains.get(domid).ok_or(Status::General)?;
    let found = pin(ctx.hv, &other, reference, granter.id, uses, Purpose::Copy).map_err(|_| Status::General)?;
    *second = Some((other, reference));
    match found {
        Grant::Frame { frame, start, length } => Ok((frame, start, length)),
        Grant::Transitive { .. } => Err(Status::General.into()),
    }
}
