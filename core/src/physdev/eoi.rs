//! PHYSDEVOP_eoi, and the page that says for which interrupts it is needed.

use super::bind::set_needs_eoi;
use super::pirqs::Source;
use super::seam::InterruptMachine;
use crate::addr::{Gfn, Mfn};
use crate::ctx::Ctx;
use crate::domain::Domain;
use crate::evtchn;
use crate::frame::{FrameRef, FrameType, TypeRef};
use crate::hypercall::Stop;
use crate::paging;
use crate::platform::Platform;
use core::sync::atomic::Ordering;
use xen_abi::Errno;

/// The guest is done with an interrupt.
pub(super) fn eoi<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    machine: &mut impl InterruptMachine,
    pirq: u32,
) -> Result<(), Stop> {
    let found = ctx.dom.devices.pirq(pirq).filter(|found| found.source != Source::Free).ok_or(Errno::EINVAL)?;
    if ctx.dom.devices.eoi_unmasks.load(Ordering::Relaxed)
        && let Some(port) = ctx.dom.events.pirq_port(pirq)
    {
        let notify = evtchn::unmask(ctx.hv, ctx.dom, port)?;
        machine.notify(notify);
    }
    if found.source == Source::Line {
        // Only the user's word counts, and only while it is the user.
        let mut state = ctx.hv.lines.last();
        if let Some(line) = state.get_mut(pirq)
            && line.level
            && line.user == Some(ctx.dom.id)
        {
            machine.mask(pirq, false);
        }
    }
    Ok(())
}

/// PHYSDEVOP_pirq_eoi_gmfn: `unmasks` for the first version of the call.
///
/// # Errors
/// `EBUSY`: there is a page already; `EINVAL`: not a plain frame of the domain's.
pub(super) fn register_page<P: Platform>(ctx: &mut Ctx<'_, P>, gfn: Gfn, unmasks: bool) -> Result<(), Stop> {
    let dom = ctx.dom;
    if dom.devices.eoi_frame().is_some() {
        return Err(Errno::EBUSY.into());
    }
    let (frame, used) = paging::get_writable(ctx, dom, Mfn(gfn.0), true).map_err(|error| Stop::Err(error.errno()))?;
    let page = &dom.devices.eoi_page;
    if page.compare_exchange(0, frame.mfn().0, Ordering::SeqCst, Ordering::Relaxed).is_err() {
        paging::put_writable(ctx, frame, used);
        return Err(Errno::EBUSY.into());
    }
    let mfn = frame.store();
    used.map(TypeRef::store);
    dom.devices.eoi_unmasks.store(unmasks, Ordering::Relaxed);
    ctx.platform().page(mfn).zero();
    let table = dom.devices.table();
    for (number, found) in (0u32..).zip(table.iter()) {
        if found.bound && found.source == Source::Line {
            let level = ctx.hv.lines.last().get_mut(number).is_some_and(|line| line.level);
            set_needs_eoi(ctx.hv, dom, number, level);
        }
    }
    Ok(())
}

/// Gives the page of a dying domain back. The caller holds no lock above `rank::DomainLife`.
pub fn release_eoi_page<P: Platform>(ctx: &mut Ctx<'_, P>, dom: &Domain<P>) {
    let mfn = Mfn(dom.devices.eoi_page.swap(0, Ordering::SeqCst));
    if mfn.0 != 0 {
        let used = TypeRef::restore(mfn, FrameType::Writable);
        paging::put_writable(ctx, FrameRef::restore(mfn), Some(used));
    }
}
