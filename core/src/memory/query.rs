//! Questions about memory, claims, and what a PV domain has none of.

use super::heap::ClaimError;
use crate::access;
use crate::addr::{Mfn, Vaddr};
use crate::ctx::Ctx;
use crate::domain::{DomId, Domain};
use crate::hypercall::HypercallResult;
use crate::platform::Platform;
use core::mem::offset_of;
use core::sync::atomic::Ordering;
use xen_abi::Errno;
use xen_abi::arch_x86::ArchSharedInfo;
use xen_abi::arch_x86_64::{MACH2PHYS_NR_ENTRIES, MACH2PHYS_VIRT_END, MACH2PHYS_VIRT_START};
use xen_abi::memory::*;
use xen_abi::xen::{DOMID_SELF, SharedInfo};

/// The three questions about a reservation, in pages.
pub(super) fn reservation<P: Platform>(ctx: &Ctx<'_, P>, command: u32, arg: Vaddr) -> HypercallResult {
    let request: XenMemoryDomain = ctx.read(arg)?;
    let dom = access::target(ctx, DomId(request.domid))?;
    Ok(match command {
        XENMEM_current_reservation => dom.pages.total.load(Ordering::Relaxed),
        XENMEM_maximum_reservation => dom.pages.max.load(Ordering::Relaxed),
        // A PV guest counts its frames instead of naming the last.
        _ => max_pfn(ctx, &dom).max(1).wrapping_sub(1),
    })
}

/// What the guest wrote as the size of its physical map.
fn max_pfn<P: Platform>(ctx: &Ctx<'_, P>, dom: &Domain<P>) -> u64 {
    const OFFSET: usize = offset_of!(SharedInfo, arch) + offset_of!(ArchSharedInfo, max_pfn);
    let shared_info = Mfn(dom.shared_info.load(Ordering::Acquire));
    if ctx.hv.frames.is_ram(shared_info) { ctx.platform().page(shared_info).load_u64(OFFSET) } else { 0 }
}

/// XENMEM_machphys_mfn_list: the frames of the machine-to-physical table in pieces of 2 MiB.
pub(super) fn m2p_extents<P: Platform>(ctx: &Ctx<'_, P>, arg: Vaddr) -> HypercallResult {
    let mut request: XenMachphysMfnList = ctx.read(arg)?;
    let list = Vaddr(request.extent_start.addr());
    let wanted = usize::try_from(request.max_extents).unwrap_or(usize::MAX);
    let mut written = 0u32;
    for extent in ctx.hv.machine.m2p_extents.iter().take(wanted) {
        ctx.write_at(list, u64::from(written), &extent.0)?;
        written = written.wrapping_add(1);
    }
    request.nr_extents = written;
    ctx.write(arg, &request).map(|()| 0)
}

/// XENMEM_machphys_mapping: where guests see the machine-to-physical table.
pub(super) fn m2p_mapping<P: Platform>(ctx: &Ctx<'_, P>, arg: Vaddr) -> HypercallResult {
    let mapping = XenMachphysMapping {
        v_start: MACH2PHYS_VIRT_START,
        v_end: MACH2PHYS_VIRT_END,
        max_mfn: MACH2PHYS_NR_ENTRIES - 1,
    };
    ctx.write(arg, &mapping).map(|()| 0)
}

/// The populate-on-demand calls: only translated domains have it.
pub(super) fn pod_target<P: Platform>(ctx: &Ctx<'_, P>, arg: Vaddr) -> HypercallResult {
    let request: XenPodTarget = ctx.read(arg)?;
    access::controlled(ctx, DomId(request.domid))?;
    Err(Errno::EINVAL.into())
}

/// XENMEM_claim_pages.
pub(super) fn claim<P: Platform>(ctx: &Ctx<'_, P>, arg: Vaddr) -> HypercallResult {
    let request: XenMemoryReservation = ctx.read(arg)?;
    if !request.extent_start.is_null() || request.extent_order != 0 || request.mem_flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    // By number only, and a domain that is not there is an invalid argument here.
    if request.domid == DOMID_SELF {
        return Err(Errno::EINVAL.into());
    }
    let dom = access::controlled(ctx, DomId(request.domid))
        .map_err(|errno| if errno == Errno::ESRCH { Errno::EINVAL } else { errno })?;
    let (total, max) = (dom.pages.total.load(Ordering::Relaxed), dom.pages.max.load(Ordering::Relaxed));
    match ctx.hv.heap.claim(&dom.pages.claim, total, max, request.nr_extents) {
        Ok(()) => Ok(0),
        Err(ClaimError::Invalid) => Err(Errno::EINVAL.into()),
        Err(ClaimError::OutOfMemory) => Err(Errno::ENOMEM.into()),
    }
}

/// XENMEM_get_vnumainfo: no domain has virtual NUMA nodes here.
pub(super) fn vnuma<P: Platform>(ctx: &Ctx<'_, P>, arg: Vaddr) -> HypercallResult {
    let request: XenVnumaTopologyInfo = ctx.read(arg)?;
    if request.pad != 0 {
        return Err(Errno::EINVAL.into());
    }
    access::target(ctx, DomId(request.domid))?;
    Err(Errno::EOPNOTSUPP.into())
}

/// XENMEM_reserved_device_memory_map: none, as there is no IOMMU whose tables name any.
pub(super) fn reserved_device_memory<P: Platform>(ctx: &Ctx<'_, P>, arg: Vaddr) -> HypercallResult {
    let mut request: XenReservedDeviceMemoryMap = ctx.read(arg)?;
    if request.flags & !XENMEM_RDM_ALL != 0 {
        return Err(Errno::EINVAL.into());
    }
    request.nr_entries = 0;
    ctx.write(arg, &request).map(|()| 0)
}

/// XENMEM_access_op: rights of guest-physical pages, which only translated domains have.
pub(super) fn access<P: Platform>(ctx: &Ctx<'_, P>, arg: Vaddr) -> HypercallResult {
    let request: XenMemAccessOp = ctx.read(arg)?;
    access::remote(ctx, DomId(request.domid))?;
    Err(Errno::EINVAL.into())
}
