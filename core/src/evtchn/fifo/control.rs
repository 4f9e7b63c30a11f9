//! EVTCHNOP_init_control and EVTCHNOP_expand_array: how a guest gives the pages of the FIFO layout, and how they go back.

use super::super::layout::Layout;
use super::super::notify::{Notify, VcpuSet};
use super::super::state::Control;
use super::super::{Target, layout::Abi};
use super::{Fifo, MAX_PAGES, WORDS, frame, word};
use crate::addr::{Gfn, Maddr, Mfn, PAGE_SIZE};
use crate::domain::{Domain, Hypervisor};
use crate::platform::Platform;
use core::sync::atomic::Ordering;
use xen_abi::Errno;
use xen_abi::event_channel::{EVTCHN_FIFO_LINK_BITS, EvtchnFifoControlBlock};

/// Counted, writable references on a guest's frames: the frame can be neither freed nor become a page table while one
/// is held.
pub trait Frames<P: Platform> {
    /// Takes one; an error if the frame is not the domain's plain RAM or has another type.
    fn get_writable(&self, dom: &Domain<P>, gfn: Gfn) -> Result<Mfn, Errno>;
    /// Gives it back.
    fn put_writable(&self, dom: &Domain<P>, mfn: Mfn);
}

/// EVTCHNOP_init_control: the control block of `vcpu` is at `offset` of the frame `gfn`. The first call switches the domain
/// to the FIFO layout. Gives the number of link bits. `ENOENT`: no such vcpu; `EINVAL`: the block leaves the page or is not
/// aligned to 8, the vcpu has one already, or the frame is not usable.
pub fn init_control<P: Platform>(
    hv: &Hypervisor<P>,
    dom: &Domain<P>,
    frames: &impl Frames<P>,
    vcpu: u32,
    gfn: Gfn,
    offset: u32,
) -> Result<(u8, Notify), Errno> {
    const LAST: u64 = PAGE_SIZE - size_of::<EvtchnFifoControlBlock>() as u64;
    let vcpu = dom.vcpu(vcpu).ok_or(Errno::ENOENT)?;
    if u64::from(offset) > LAST || !offset.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    let at = Target { platform: &hv.platform, dom };
    let mut control = dom.events.control.lock();
    if vcpu.events.control_block.get().is_some() || dom.is_dying() {
        return Err(Errno::EINVAL);
    }
    let mfn = frames.get_writable(dom, gfn)?;
    vcpu.events.control_block.set(Maddr(mfn.maddr().0 + u64::from(offset)));
    if dom.events.abi() == Abi::TwoLevel {
        adopt(at, &mut control);
    }
    let bits = u8::try_from(EVTCHN_FIFO_LINK_BITS).unwrap_or(u8::MAX);
    Ok((bits, Notify::NONE))
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

/// EVTCHNOP_expand_array: one more page of event words. `EOPNOTSUPP`: the domain does not use the FIFO layout; `ENOSPC`: the
/// array is full; `EINVAL` and others: the frame is not usable.
pub fn expand_array<P: Platform>(
    hv: &Hypervisor<P>,
    dom: &Domain<P>,
    frames: &impl Frames<P>,
    gfn: Gfn,
) -> Result<Notify, Errno> {
    let at = Target { platform: &hv.platform, dom };
    let mut control = dom.events.control.lock();
    if dom.events.abi() != Abi::Fifo {
        return Err(Errno::EOPNOTSUPP);
    }
    if dom.is_dying() {
        return Err(Errno::EINVAL);
    }
    let page = control.pages;
    let place = dom.events.array.0.get(page).ok_or(Errno::ENOSPC)?;
    let mfn = frames.get_writable(dom, gfn)?;
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

/// Back to the 2-level layout: gives all pages back. Under the control lock, with no port in the guest's use.
pub(in crate::evtchn) fn dismantle<P: Platform>(at: Target<'_, P>, control: &mut Control, frames: &impl Frames<P>) {
    at.dom.events.is_fifo.store(false, Ordering::Release);
    for vcpu in at.dom.vcpus() {
        *vcpu.events.tails.lock() = [0; _];
        if let Some(block) = vcpu.events.control_block.take() {
            frames.put_writable(at.dom, frame(block));
        }
    }
    for place in &at.dom.events.array.0 {
        if let Some(page) = place.take() {
            frames.put_writable(at.dom, frame(page));
        }
    }
    control.pages = 0;
}

/// How many pages the array has (for the dump), and a port's raw word.
pub(in crate::evtchn) fn raw_word<P: Platform>(at: Target<'_, P>, number: u32) -> Option<u32> {
    word(at, number).map(|own| own.load())
}

const _: () = assert!(MAX_PAGES == 128);
