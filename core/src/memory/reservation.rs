//! Changes of a reservation: increase, decrease, populate.

use super::op::{EXTENT_SHIFT, continued};
use crate::access;
use crate::addr::{Mfn, Vaddr};
use crate::ctx::Ctx;
use crate::domain::{DomId, Domain};
use crate::hypercall::{HypercallResult, Stop};
use crate::paging;
use crate::platform::Platform;
use xen_abi::memory::*;

/// The three reservation changes. They give the number of extents done, from the first on, and never an error.
pub(super) fn change<P: Platform>(ctx: &mut Ctx<'_, P>, command: u32, start: u64, arg: Vaddr) -> HypercallResult {
    let Ok(request) = ctx.read::<XenMemoryReservation>(arg) else { return Ok(start) };
    // More could not be encoded in a continuation.
    if request.nr_extents > u64::from(u32::MAX >> EXTENT_SHIFT) || start >= request.nr_extents {
        return Ok(start);
    }
    let Ok(dom) = access::target(ctx, DomId(request.domid)) else { return Ok(start) };
    if request.extent_order > ctx.hv.machine.max_order(ctx.dom) {
        return Ok(start);
    }
    let list = (!request.extent_start.is_null()).then_some(Vaddr(request.extent_start.addr()));
    for done in start..request.nr_extents {
        if done != start && ctx.preempt_pending() {
            return Err(Stop::Again([continued(command, done), arg.0, 0, 0, 0, 0]));
        }
        let extent = match (command, list) {
            (XENMEM_increase_reservation, _) => increase(ctx, &dom, &request, list, done),
            (XENMEM_populate_physmap, Some(list)) => populate(ctx, &dom, &request, list, done),
            (XENMEM_decrease_reservation, Some(list)) => match decrease(ctx, &dom, &request, list, done) {
                Ok(extent) => extent,
                Err(Interrupted) => return Err(Stop::Again([continued(command, done), arg.0, 0, 0, 0, 0])),
            },
            _ => None,
        };
        if extent.is_none() {
            return Ok(done);
        }
    }
    Ok(request.nr_extents)
}

/// `None`: it was not done and all is as before. The frames stand for no guest frame yet.
fn increase<P: Platform>(
    ctx: &Ctx<'_, P>,
    dom: &Domain<P>,
    request: &XenMemoryReservation,
    list: Option<Vaddr>,
    at: u64,
) -> Option<()> {
    let mfn = allocate(ctx, dom, request)?;
    match list {
        Some(list) => tell(ctx, dom, request, list, at, mfn),
        None => Some(()),
    }
}

fn populate<P: Platform>(
    ctx: &Ctx<'_, P>,
    dom: &Domain<P>,
    request: &XenMemoryReservation,
    list: Vaddr,
    at: u64,
) -> Option<()> {
    if request.mem_flags & XENMEMF_populate_on_demand != 0 {
        return None;
    }
    let pfn: u64 = ctx.read_at(list, at).ok()?;
    let mfn = allocate(ctx, dom, request)?;
    set_m2p(ctx, mfn, request.extent_order, pfn);
    tell(ctx, dom, request, list, at, mfn)
}

fn allocate<P: Platform>(ctx: &Ctx<'_, P>, dom: &Domain<P>, request: &XenMemoryReservation) -> Option<Mfn> {
    // All memory is node 0's. XSA-231 was a node number that nobody had looked at.
    const NODES: u32 = 64;
    const ANY: u32 = 0xff;
    let node = XENMEMF_get_node(request.mem_flags);
    let exact = request.mem_flags & XENMEMF_exact_node_request != 0;
    if node != ANY && (node >= NODES || exact && node != 0) {
        return None;
    }
    let bits = XENMEMF_get_address_bits(request.mem_flags);
    ctx.hv.alloc_for(ctx.cpu, dom, request.extent_order, bits, false).ok()
}

/// Writes the extent's first frame to the guest's list, or takes the frames back.
fn tell<P: Platform>(
    ctx: &Ctx<'_, P>,
    dom: &Domain<P>,
    request: &XenMemoryReservation,
    list: Vaddr,
    at: u64,
    mfn: Mfn,
) -> Option<()> {
    let told = ctx.write_at(list, at, &mfn.0).ok();
    if told.is_none() {
        set_m2p(ctx, mfn, request.extent_order, u64::MAX);
        ctx.hv.give_up(dom, mfn, request.extent_order);
    }
    told
}

/// Sets the frames' entries in the machine-to-physical table: `pfn` and its successors, or none.
pub(super) fn set_m2p<P: Platform>(ctx: &Ctx<'_, P>, mfn: Mfn, order: u32, pfn: u64) {
    for n in 0..1u64 << order {
        let pfn = if pfn == u64::MAX { pfn } else { pfn.wrapping_add(n) };
        ctx.platform().set_m2p(mfn.offset(n), pfn);
    }
}

/// `Ok(None)`: not all of it was done.
fn decrease<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    dom: &Domain<P>,
    request: &XenMemoryReservation,
    list: Vaddr,
    at: u64,
) -> Result<Option<()>, Interrupted> {
    let Ok(first) = ctx.read_at::<u64>(list, at) else { return Ok(None) };
    let frames = 0..1u64 << request.extent_order;
    // Pins first: that may take long, and can be repeated.
    for mfn in frames.clone().map(|n| Mfn(first).offset(n)) {
        if ctx.hv.frames.is_pinned(mfn) || ctx.pv.parked_tables.contains(&mfn) {
            paging::unpin(ctx, dom, mfn).map_err(|_| Interrupted)?;
        }
    }
    Ok(frames.clone().try_for_each(|n| ctx.hv.release(dom, Mfn(first).offset(n))).ok())
}

/// The same extent is to be tried again.
struct Interrupted;
