//! EVTCHNOP_init_control and EVTCHNOP_expand_array: how a guest gives the pages of the FIFO layout, and how they go back.

use super::super::layout::Layout;
use super::super::notify::{Notify, VcpuSet};
use super::super::state::Control;
use super::super::{Target, layout::Abi};
use super::{Fifo, MAX_PAGES, Place, WORDS, word};
use crate::addr::{Maddr, Mfn, PAGE_SIZE};
use crate::domain::{Domain, Hypervisor, MAX_VCPUS};
use crate::frame::{FrameRef, TypeRef};
use crate::grant::put_stored;
use crate::platform::Platform;
use core::sync::atomic::Ordering;
use xen_abi::Errno;
use xen_abi::event_channel::{EVTCHN_FIFO_LINK_BITS, EvtchnFifoControlBlock};

/// A counted reference to a guest's frame and its use as writable memory: while it is held the frame can neither be freed
/// nor become a page table. Kept as a plain number once it was handed over here, until [`Pages`] gives it back.
pub type Held = (FrameRef, TypeRef);

/// Frames that are given back after the control lock: of every page of an array and of every control block.
#[must_use]
pub(in crate::evtchn) struct Pages([Option<Mfn>; MAX_PAGES + MAX_VCPUS]);

impl Pages {
    /// Gives the references back. The caller holds no lock.
    pub fn put<P: Platform>(self, hv: &Hypervisor<P>) {
        self.0.into_iter().flatten().for_each(|mfn| put_stored(hv, mfn, true));
    }
}

/// Keeps a reference as a plain number.
fn keep((frame, used): Held) -> Mfn {
    used.store();
    frame.store()
}

/// EVTCHNOP_init_control: the control block of `vcpu` is at `offset` of the frame that `get` gives. The first call switches
/// the domain to the FIFO layout. Gives the number of link bits.
///
/// # Errors
/// `ENOENT`: no such vcpu; `EINVAL`: the block leaves the page or is not aligned to 8, or the vcpu has one already; those
/// of `get`.
pub fn init_control<P: Platform>(
    hv: &Hypervisor<P>,
    dom: &Domain<P>,
    vcpu: u32,
    offset: u32,
    get: impl FnOnce() -> Result<Held, Errno>,
) -> Result<u8, Errno> {
    const LAST: u64 = PAGE_SIZE - size_of::<EvtchnFifoControlBlock>() as u64;
    let vcpu = dom.vcpu(vcpu).ok_or(Errno::ENOENT)?;
    if u64::from(offset) > LAST || !offset.is_multiple_of(8) || vcpu.events.control_block.get().is_some() {
        return Err(Errno::EINVAL);
    }
    // With no lock held: this may have to flush.
    let mfn = keep(get()?);
    let at = Target { platform: &hv.platform, dom };
    let mut control = dom.events.control.lock();
    if vcpu.events.control_block.get().is_some() || dom.is_dying() {
        drop(control);
        put_stored(hv, mfn, true);
        return Err(Errno::EINVAL);
    }
    vcpu.events.control_block.set(Maddr(mfn.maddr().0 + u64::from(offset)));
    if dom.events.abi() == Abi::TwoLevel {
        adopt(at, &mut control);
    }
    Ok(u8::try_from(EVTCHN_FIFO_LINK_BITS).unwrap_or(u8::MAX))
}

/// Switches from the 2-level layout; ports that are pending there will be pending once they have a word.
fn adopt<P: Platform>(at: Target<'_, P>, control: &mut Control) {
    let events = &at.dom.events;
    // Layout first: a sender holds the port's lock while it asks for the layout, so one that still saw the old one has
    // set the bit by the time the port is looked at here.
    events.is_fifo.store(true, Ordering::Release);
    for number in 1..events.ports.valid() {
        let Some(port) = events.ports.get(number) else { break };
        let mut port = port.lock();
        if port.in_guest_use() {
            port.early |= Abi::TwoLevel.is_pending(at, number);
        }
    }
    control.pages = 0;
}

/// EVTCHNOP_expand_array: one more page of event words, the frame that `get` gives.
///
/// # Errors
/// `EOPNOTSUPP`: the domain does not use the FIFO layout; `ENOSPC`: the array is full; `EINVAL`: the domain is dying; those
/// of `get`.
pub fn expand_array<P: Platform>(
    hv: &Hypervisor<P>,
    dom: &Domain<P>,
    get: impl FnOnce() -> Result<Held, Errno>,
) -> Result<Notify, Errno> {
    let at = Target { platform: &hv.platform, dom };
    room(dom, &dom.events.control.lock())?;
    let mfn = keep(get()?);
    let mut control = dom.events.control.lock();
    let (place, page) = match room(dom, &control) {
        Ok(found) => found,
        Err(errno) => {
            drop(control);
            put_stored(hv, mfn, true);
            return Err(errno);
        }
    };
    place.set(mfn.maddr());
    control.pages = page + 1;

    // Deliver what was sent to ports that had no word.
    let mut told = VcpuSet::EMPTY;
    let first = u32::try_from(page * WORDS).unwrap_or(u32::MAX);
    for number in first..first.saturating_add(WORDS as u32).min(dom.events.ports.valid()) {
        let Some(port) = dom.events.ports.get(number) else { break };
        let mut port = port.lock();
        if port.in_guest_use() && core::mem::take(&mut port.early) {
            told = told.union(Fifo.set_pending(at, number, &mut port));
        }
    }
    Ok(Notify::vcpus(dom.id, told))
}

/// Where the next page of the array goes.
fn room<'a, P: Platform>(dom: &'a Domain<P>, control: &Control) -> Result<(&'a Place, usize), Errno> {
    if dom.events.abi() != Abi::Fifo {
        return Err(Errno::EOPNOTSUPP);
    }
    if dom.is_dying() {
        return Err(Errno::EINVAL);
    }
    let place = dom.events.array.0.get(control.pages).ok_or(Errno::ENOSPC)?;
    Ok((place, control.pages))
}

/// Back to the 2-level layout: gives all pages, to be put once the lock is given back. Under the control lock, with no port
/// in the guest's use.
pub(in crate::evtchn) fn dismantle<P: Platform>(dom: &Domain<P>, control: &mut Control) -> Pages {
    dom.events.is_fifo.store(false, Ordering::Release);
    let mut pages = Pages([None; MAX_PAGES + MAX_VCPUS]);
    let mut slots = pages.0.iter_mut();
    for vcpu in dom.vcpus() {
        *vcpu.events.tails.lock() = [0; _];
        if let (Some(block), Some(slot)) = (vcpu.events.control_block.take(), slots.next()) {
            *slot = Some(block.mfn());
        }
    }
    for place in &dom.events.array.0 {
        if let (Some(page), Some(slot)) = (place.take(), slots.next()) {
            *slot = Some(page.mfn());
        }
    }
    control.pages = 0;
    pages
}

/// A port's raw word (for the dump).
pub(in crate::evtchn) fn raw_word<P: Platform>(at: Target<'_, P>, number: u32) -> Option<u32> {
    word(at, number).map(|own| own.load())
}

const _: () = assert!(MAX_PAGES == 128);
