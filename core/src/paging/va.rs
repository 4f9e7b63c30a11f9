//! `HYPERVISOR_update_va_mapping`, of one's own domain's frames and of others'.

use super::change::Write;
use super::entry::Pte;
use super::flush::{Scope, flush};
use super::target::Target;
use super::{Mmu, PagingError, find_l1e};
use crate::addr::Vaddr;
use crate::ctx::Ctx;
use crate::domain::DomId;
use crate::hypercall::{HypercallResult, Stop};
use crate::platform::{Flush, Platform};
use xen_abi::xen::{UVMF_ALL, UVMF_FLUSHTYPE_MASK, UVMF_INVLPG, UVMF_TLB_FLUSH};

/// `update_va_mapping(va, val, flags)`: changes the level-1 entry that maps `va` in the running tables.
///
/// # Errors
/// `EINVAL` when there is no level-1 table for `va`, and whatever the entry itself is refused for.
#[inline]
pub fn update_va_mapping<P: Platform>(ctx: &mut Ctx<'_, P>, va: Vaddr, value: u64, flags: u64) -> HypercallResult {
    let (data, io) = (ctx.dom.id, ctx.dom.privileged);
    let result = update(ctx, va, value, flags, data, io);
    stop(result, [va.0, value, flags, 0, 0, 0])
}

/// `update_va_mapping_otherdomain(va, val, flags, domid)`: the frame belongs to another domain.
///
/// # Errors
/// As [`update_va_mapping`]; `ESRCH`, `EPERM`.
pub fn update_va_mapping_otherdomain<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    va: Vaddr,
    value: u64,
    flags: u64,
    domid: u64,
) -> HypercallResult {
    let result = match Target::of(ctx, DomId(domid as u16)) {
        Ok(Target::Io) if !ctx.dom.privileged => Err(PagingError::NotPermitted),
        Ok(target) => {
            let (data, io) = (target.id(ctx), target.may_map_io(ctx));
            update(ctx, va, value, flags, data, io)
        }
        Err(error) => Err(error),
    };
    stop(result, [va.0, value, flags, domid, 0, 0])
}

fn stop(result: Result<(), PagingError>, again: [u64; 6]) -> HypercallResult {
    match result {
        Ok(()) => Ok(0),
        Err(PagingError::Interrupted) => Err(Stop::Again(again)),
        Err(error) => Err(Stop::Err(error.errno())),
    }
}

#[inline]
fn update<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    va: Vaddr,
    value: u64,
    flags: u64,
    data: DomId,
    io: bool,
) -> Result<(), PagingError> {
    let root = ctx.pv.kernel_root;
    let dom = ctx.dom;
    let mut mmu = Mmu::on(ctx, dom, data, io);
    mmu.finish_parked()?;
    let (table, index) = find_l1e(mmu.hv, root, va).ok_or(PagingError::Invalid)?;
    mmu.write_l1e_of(table, index, Pte(value), Write::Plain)?;
    let pointer = flags & !(UVMF_FLUSHTYPE_MASK | UVMF_ALL);
    let scope = match (flags & UVMF_ALL != 0, pointer) {
        (true, _) => Scope::All,
        (false, 0) => Scope::Local,
        (false, bitmap) => Scope::Vcpus(Vaddr(bitmap)),
    };
    match flags & UVMF_FLUSHTYPE_MASK {
        UVMF_TLB_FLUSH => flush(ctx, scope, Flush::All),
        UVMF_INVLPG => flush(ctx, scope, Flush::Page(va)),
        // UVMF_NONE.
        _ => Ok(()),
    }
}
