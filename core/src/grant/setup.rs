//! GNTTABOP_setup_table, GNTTABOP_query_size, GNTTABOP_get_status_frames: the frames of a table, and what the tools and the
//! domain builder get of them.

use super::status::Status;
use crate::access;
use crate::addr::{Mfn, Vaddr};
use crate::cpu::CpuId;
use crate::ctx::Ctx;
use crate::domain::{DomId, Domain, Hypervisor};
use crate::hypercall::Stop;
use crate::platform::Platform;
use xen_abi::Errno;
use xen_abi::grant_table::*;

/// The domain that an operation on a table names.
pub(super) fn target<'a, P: Platform>(ctx: &Ctx<'a, P>, id: u16) -> Result<access::Target<'a, P>, Status> {
    access::target(ctx, DomId(id)).map_err(|error| match error {
        Errno::ESRCH => Status::BadDomain,
        _ => Status::Denied,
    })
}

/// GNTTABOP_setup_table.
pub(super) fn setup<P: Platform>(ctx: &Ctx<'_, P>, op: &GnttabSetupTable) -> Result<Result<(), Status>, Stop> {
    let dom = match target(ctx, op.dom) {
        Ok(dom) => dom,
        Err(status) => return Ok(Err(status)),
    };
    if dom.grants.inner.lock().grow(ctx.hv, ctx.cpu, &dom, op.nr_frames).is_err() {
        return Ok(Err(Status::General));
    }
    list(ctx, op.frame_list.addr(), op.nr_frames, |at| dom.grants.inner.lock().shared.get(at).copied())
}

/// GNTTABOP_get_status_frames.
pub(super) fn status_frames<P: Platform>(
    ctx: &Ctx<'_, P>,
    op: &GnttabGetStatusFrames,
) -> Result<Result<(), Status>, Stop> {
    let dom = match target(ctx, op.dom) {
        Ok(dom) => dom,
        Err(status) => return Ok(Err(status)),
    };
    let have = {
        let table = dom.grants.inner.lock();
        if table.version == 2 { table.status.len() as u64 } else { 0 }
    };
    if have == 0 || u64::from(op.nr_frames) > have {
        return Ok(Err(Status::General));
    }
    list(ctx, op.frame_list.addr(), op.nr_frames, |at| dom.grants.inner.lock().status.get(at).copied())
}

fn list<P: Platform>(
    ctx: &Ctx<'_, P>,
    to: u64,
    count: u32,
    frame: impl Fn(usize) -> Option<Mfn>,
) -> Result<Result<(), Status>, Stop> {
    if !Vaddr(to).is_guest() {
        return Err(Errno::EFAULT.into());
    }
    for at in 0..count {
        let Some(frame) = usize::try_from(at).ok().and_then(&frame) else { return Ok(Err(Status::General)) };
        // What is not mapped is the request's fault, not the call's.
        if ctx.write_at(Vaddr(to), at.into(), &frame.0).is_err() {
            return Ok(Err(Status::BadVirtAddr));
        }
    }
    Ok(Ok(()))
}

/// GNTTABOP_query_size: number of shared frames, and the limit.
pub(super) fn query<P: Platform>(ctx: &Ctx<'_, P>, id: u16) -> Result<(u32, u32), Status> {
    let dom = target(ctx, id)?;
    let table = dom.grants.inner.lock();
    Ok((table.frames(), table.limits.frames))
}

impl super::GrantTable {
    /// Shared frame number `at` of `dom`, whose table this is; the table grows that far if need be
    /// (XENMEM_acquire_resource, and the builder of a domain).
    ///
    /// # Errors
    /// `EINVAL`: beyond the limit, or the domain is gone; `ENOMEM`.
    pub fn shared_frame<P: Platform>(
        &self,
        hv: &Hypervisor<P>,
        cpu: CpuId,
        dom: &Domain<P>,
        at: u32,
    ) -> Result<Mfn, Errno> {
        let mut table = self.inner.lock();
        table.grow(hv, cpu, dom, at.checked_add(1).ok_or(Errno::EINVAL)?)?;
        table.shared.get(at as usize).copied().ok_or(Errno::EINVAL)
    }

    /// Status frame number `at`, as [`Self::shared_frame`].
    ///
    /// # Errors
    /// `EINVAL`: the table is version 1, or `at` is beyond the limit; `ENOMEM`.
    pub fn status_frame<P: Platform>(
        &self,
        hv: &Hypervisor<P>,
        cpu: CpuId,
        dom: &Domain<P>,
        at: u32,
    ) -> Result<Mfn, Errno> {
        let mut table = self.inner.lock();
        if table.version != 2 {
            return Err(Errno::EINVAL);
        }
        let first = at.checked_mul(8).and_then(|shared| shared.checked_add(1)).ok_or(Errno::EINVAL)?;
        table.grow(hv, cpu, dom, first)?;
        table.status.get(at as usize).copied().ok_or(Errno::EINVAL)
    }
}
