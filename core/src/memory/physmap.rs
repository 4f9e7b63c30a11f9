//! Changes of a guest-physical map. A PV domain has none that the hypervisor keeps: it maps frames by itself.

use crate::access;
use crate::addr::{Mfn, Vaddr};
use crate::ctx::Ctx;
use crate::domain::DomId;
use crate::hypercall::HypercallResult;
use crate::platform::Platform;
use xen_abi::Errno;
use xen_abi::memory::*;

/// XENMEM_add_to_physmap and its batch: `EACCES` for a domain that translates its own addresses.
pub(super) fn add<P: Platform>(ctx: &Ctx<'_, P>, command: u32, arg: Vaddr) -> HypercallResult {
    let domid = if command == XENMEM_add_to_physmap {
        let request: XenAddToPhysmap = ctx.read(arg)?;
        if request.space == u32::from(foreign_space()) {
            return Err(Errno::ENOSYS.into());
        }
        request.domid
    } else {
        ctx.read::<XenAddToPhysmapBatch>(arg)?.domid
    };
    access::target(ctx, DomId(domid))?;
    Err(Errno::EACCES.into())
}

const fn foreign_space() -> u16 {
    XENMAPSPACE_gmfn_foreign as u16
}

/// XENMEM_remove_from_physmap: nothing to do; `ENOENT` where the domain has no frame.
pub(super) fn remove<P: Platform>(ctx: &Ctx<'_, P>, arg: Vaddr) -> HypercallResult {
    let request: XenRemoveFromPhysmap = ctx.read(arg)?;
    let dom = access::target(ctx, DomId(request.domid))?;
    if ctx.hv.frames.owner(Mfn(request.gpfn)) == Some(dom.id) { Ok(0) } else { Err(Errno::ENOENT.into()) }
}
