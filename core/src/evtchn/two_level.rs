//! The 2-level layout: pending and mask bits of 4096 ports in the shared-info page, a selector word per vcpu.

use super::layout::Layout;
use super::notify::{VcpuSet, mark_upcall_pending};
use super::port::PortState;
use super::{Target, poll};
use crate::addr::Mfn;
use crate::platform::Platform;
use core::mem::offset_of;
use core::sync::atomic::Ordering;
use ferroxen_sync::SharedPage;
use xen_abi::event_channel::EVTCHN_2L_NR_CHANNELS;
use xen_abi::xen::{SharedInfo, VcpuInfo};

/// See the module.
pub(super) struct TwoLevel;

/// Where a port's two bits are.
struct Bits<'a> {
    page: &'a SharedPage,
    pending: usize,
    mask: usize,
    bit: u64,
}

fn bits<P: Platform>(at: Target<'_, P>, number: u32) -> Option<Bits<'_>> {
    let page = at.dom.shared_info.load(Ordering::Acquire);
    if page == 0 || number >= EVTCHN_2L_NR_CHANNELS {
        return None;
    }
    let word = number as usize / 64 * 8;
    Some(Bits {
        page: at.platform.page(Mfn(page)),
        pending: offset_of!(SharedInfo, evtchn_pending) + word,
        mask: offset_of!(SharedInfo, evtchn_mask) + word,
        bit: 1 << (number % 64),
    })
}

/// Sets the port's selector bit of its vcpu, and the upcall if that was clear.
fn select<P: Platform>(at: Target<'_, P>, number: u32, port: &PortState) -> VcpuSet {
    let Some(vcpu) = at.dom.vcpu(port.vcpu) else { return VcpuSet::EMPTY };
    let info = vcpu.info();
    if info.0 == 0 {
        return VcpuSet::EMPTY;
    }
    let selector = info.offset() + offset_of!(VcpuInfo, evtchn_pending_sel);
    let bit = 1u64 << (number / 64);
    if at.platform.page(info.mfn()).or_u64(selector, bit) & bit == 0 && mark_upcall_pending(at.platform, vcpu) {
        return VcpuSet::one(vcpu.id);
    }
    VcpuSet::EMPTY
}

impl Layout for TwoLevel {
    fn capacity(&self) -> u32 {
        EVTCHN_2L_NR_CHANNELS
    }

    fn set_pending<P: Platform>(&self, at: Target<'_, P>, number: u32, port: &mut PortState) -> VcpuSet {
        let Some(bits) = bits(at, number) else { return VcpuSet::EMPTY };
        if bits.page.or_u64(bits.pending, bits.bit) & bits.bit != 0 {
            return VcpuSet::EMPTY;
        }
        let masked = bits.page.load_u64(bits.mask) & bits.bit != 0;
        let told = if masked { VcpuSet::EMPTY } else { select(at, number, port) };
        told.union(poll::wake(at.dom, number))
    }

    fn clear_pending<P: Platform>(&self, at: Target<'_, P>, number: u32) {
        if let Some(bits) = bits(at, number) {
            bits.page.and_u64(bits.pending, !bits.bit);
        }
    }

    fn unmask<P: Platform>(&self, at: Target<'_, P>, number: u32, port: &mut PortState) -> VcpuSet {
        let Some(bits) = bits(at, number) else { return VcpuSet::EMPTY };
        let was_masked = bits.page.and_u64(bits.mask, !bits.bit) & bits.bit != 0;
        if was_masked && bits.page.load_u64(bits.pending) & bits.bit != 0 {
            return select(at, number, port);
        }
        VcpuSet::EMPTY
    }

    fn is_pending<P: Platform>(&self, at: Target<'_, P>, number: u32) -> bool {
        bits(at, number).is_some_and(|bits| bits.page.load_u64(bits.pending) & bits.bit != 0)
    }

    fn is_masked<P: Platform>(&self, at: Target<'_, P>, number: u32) -> bool {
        bits(at, number).is_none_or(|bits| bits.page.load_u64(bits.mask) & bits.bit != 0)
    }

    fn is_busy<P: Platform>(&self, _: Target<'_, P>, _: u32) -> bool {
        false
    }

    fn has_priorities(&self) -> bool {
        false
    }
}
