//! XENMEM_acquire_resource: frames of the hypervisor that belong to a domain, for its tools to map.

use super::op::continued;
use crate::access;
use crate::addr::{Mfn, Vaddr};
use crate::ctx::Ctx;
use crate::domain::{DomId, Domain};
use crate::grant;
use crate::hypercall::{HypercallResult, Stop};
use crate::platform::Platform;
use core::mem::offset_of;
use xen_abi::Errno;
use xen_abi::memory::*;

/// A resource of a domain, as an argument names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resource {
    /// The grant table's entries.
    GrantShared,
    /// The status frames of a version 2 grant table.
    GrantStatus,
}

impl Resource {
    fn decode(kind: u16, id: u32) -> Option<Resource> {
        match (kind, id) {
            (XENMEM_resource_grant_table, XENMEM_resource_grant_table_id_shared) => Some(Resource::GrantShared),
            (XENMEM_resource_grant_table, XENMEM_resource_grant_table_id_status) => Some(Resource::GrantStatus),
            // Only HVM domains have ioreq servers and trace buffers.
            _ => None,
        }
    }

    /// The most frames that it may have; 0: the domain does not have it.
    fn max_frames<P: Platform>(self, dom: &Domain<P>) -> u32 {
        let frames = dom.grants.limits().frames;
        match self {
            Resource::GrantShared => frames,
            Resource::GrantStatus => grant::status_frames_for(frames),
        }
    }

    /// Its frame number `at`, made if it was not there yet.
    fn frame<P: Platform>(self, ctx: &Ctx<'_, P>, dom: &Domain<P>, at: u64) -> Result<Mfn, Errno> {
        let at = u32::try_from(at).map_err(|_| Errno::EINVAL)?;
        match self {
            Resource::GrantShared => dom.grants.shared_frame(ctx.hv, ctx.cpu, dom, at),
            Resource::GrantStatus => dom.grants.status_frame(ctx.hv, ctx.cpu, dom, at),
        }
    }
}

/// XENMEM_acquire_resource. A continuation keeps its progress in the command word, in frames.
pub(super) fn acquire<P: Platform>(ctx: &Ctx<'_, P>, start: u64, arg: Vaddr) -> HypercallResult {
    let mut request: XenMemAcquireResource = ctx.read(arg)?;
    if request.pad != 0 {
        return Err(Errno::EINVAL.into());
    }
    let dom = access::remote(ctx, DomId(request.domid))?;
    let resource = Resource::decode(request.r#type, request.id).ok_or(Errno::EINVAL)?;
    let max = resource.max_frames(&dom);
    if max == 0 {
        return Err(Errno::EINVAL.into());
    }
    if request.frame_list.is_null() {
        if request.nr_frames != 0 || start != 0 {
            return Err(Errno::EINVAL.into());
        }
        request.nr_frames = max;
        let at = arg.0.wrapping_add(offset_of!(XenMemAcquireResource, nr_frames) as u64);
        return ctx.write(Vaddr(at), &request.nr_frames).map(|()| 0);
    }
    let end = request.frame.checked_add(u64::from(request.nr_frames)).filter(|&end| end <= u64::from(max));
    if end.is_none() || start > u64::from(request.nr_frames) {
        return Err(Errno::EINVAL.into());
    }
    for done in start..u64::from(request.nr_frames) {
        if done != start && ctx.preempt_pending() {
            return Err(Stop::Again([continued(XENMEM_acquire_resource, done), arg.0, 0, 0, 0, 0]));
        }
        let mfn = resource.frame(ctx, &dom, request.frame.wrapping_add(done))?;
        ctx.write_at(Vaddr(request.frame_list.addr()), done, &mfn.0)?;
    }
    Ok(0)
}
