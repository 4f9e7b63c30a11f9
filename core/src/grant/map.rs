//! GNTTABOP_map_grant_ref.

use super::active::Use;
use super::entry::Purpose;
use super::failure::Failure;
use super::frames::put_stored;
use super::maptrack::Mapping;
use super::pin::{pin, unpin, whole_frame};
use super::status::Status;
use crate::addr::{Maddr, Mfn, Vaddr};
use crate::ctx::Ctx;
use crate::domain::{DomId, Domain};
use crate::frame::{FrameRef, TypeRef};
use crate::paging::entry::{ACCESSED, DIRTY, PRESENT, USER, WRITABLE};
use crate::paging::{Pte, PteClaim, get_writable, install_l1e_at_maddr, install_l1e_at_va, put_writable};
use crate::platform::Platform;
use xen_abi::grant_table::*;

/// The bits that are the guest's own.
const AVAILABLE: u64 = 7 << 9;

/// What was mapped.
pub(super) struct Mapped {
    pub handle: u32,
    /// Machine address of the frame.
    pub bus_address: u64,
}

/// The entry's bits. Memory types (GTF_PWT and others) are for I/O memory, which cannot be granted: RAM is always
/// mapped write-back.
fn bits(flags: u32) -> u64 {
    let mut bits = PRESENT | ACCESSED | DIRTY | (u64::from(flags >> _GNTMAP_guest_avail0) << 9 & AVAILABLE);
    if flags & GNTMAP_readonly == 0 {
        bits |= WRITABLE;
    }
    if flags & GNTMAP_application_map != 0 {
        bits |= USER;
    }
    bits
}

/// One mapping of a grant of `op.dom` into the running domain.
pub(super) fn map<P: Platform>(ctx: &mut Ctx<'_, P>, op: &GnttabMapGrantRef) -> Result<Mapped, Failure> {
    let host = op.flags & GNTMAP_host_map != 0;
    let device = op.flags & GNTMAP_device_map != 0;
    if !host && !device {
        return Err(Status::BadRef.into());
    }
    let granter = ctx.hv.domains.get(DomId(op.dom)).ok_or(Status::BadDomain)?;
    let handle = ctx.dom.grants.maptrack.lock().reserve()?;
    let mapping = Mapping {
        granter: granter.id,
        reference: op.r#ref,
        frame: Default::default(),
        host,
        device,
        writable: op.flags & GNTMAP_readonly == 0,
        by_entry: op.flags & GNTMAP_contains_pte != 0,
    };
    match install(ctx, &granter, op, mapping) {
        Ok(mapping) => {
            ctx.dom.grants.maptrack.lock().set(handle, mapping);
            Ok(Mapped { handle, bus_address: mapping.frame.maddr().0 })
        }
        Err(failure) => {
            ctx.dom.grants.maptrack.lock().free(handle);
            Err(failure)
        }
    }
}

fn install<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    granter: &Domain<P>,
    op: &GnttabMapGrantRef,
    mut mapping: Mapping,
) -> Result<Mapping, Failure> {
    let (hv, by) = (ctx.hv, ctx.dom.id);
    let both = [mapping.host_use(), mapping.device_use()];
    let uses: &[Use] = match (mapping.host, mapping.device) {
        (true, true) => &both,
        (true, false) => &both[..1],
        _ => &both[1..],
    };
    let grant = pin(hv, granter, mapping.reference, by, uses, Purpose::Map)?;
    let result = whole_frame(grant).map_err(Failure::from).and_then(|frame| {
        if mapping.device {
            let (held, used) = get_writable(ctx, granter, frame, mapping.writable)?;
            held.store();
            let _stands_for_the_device = used.map(TypeRef::store);
        }
        if mapping.host
            && let Err(failure) = install_host(ctx, granter, op, frame)
        {
            if mapping.device {
                put_stored(hv, frame, mapping.writable);
            }
            return Err(failure);
        }
        Ok(frame)
    });
    match result {
        Ok(frame) => {
            mapping.frame = frame;
            Ok(mapping)
        }
        Err(failure) => {
            unpin(hv, granter, mapping.reference, uses);
            Err(failure)
        }
    }
}

/// The page-table entry, with references of its own.
fn install_host<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    granter: &Domain<P>,
    op: &GnttabMapGrantRef,
    mfn: Mfn,
) -> Result<(), Failure> {
    let (frame, used): (FrameRef, _) = get_writable(ctx, granter, mfn, op.flags & GNTMAP_readonly == 0)?;
    let claim = PteClaim { entry: Pte::new(mfn, bits(op.flags)), frame, used };
    let installed = if op.flags & GNTMAP_contains_pte != 0 {
        install_l1e_at_maddr(ctx, Maddr(op.host_addr), claim)
    } else {
        install_l1e_at_va(ctx, Vaddr(op.host_addr), claim)
    };
    installed.map_err(|(error, claim)| {
        put_writable(ctx, claim.frame, claim.used);
        error.into()
    })
}
