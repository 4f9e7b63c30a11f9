//! Event channels of the 2-level kind: ports, and what arrived on them.

use crate::hypercall::{op, update_va_mapping};
use crate::memory::KERNEL_RW;
use crate::start;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use xen_abi::event_channel::*;
use xen_abi::xen::{__HYPERVISOR_event_channel_op, SharedInfo, UVMF_INVLPG};

#[repr(C, align(4096))]
struct SharedPage([u8; 4096]);
static mut SHARED: SharedPage = SharedPage([0; 4096]);

/// Ports whose arrivals are counted.
const PORTS: usize = 256;
static COUNTS: [AtomicU32; PORTS] = [const { AtomicU32::new(0) }; PORTS];

fn base() -> u64 {
    (&raw const SHARED).addr() as u64
}

/// Maps the page that the guest shares with the hypervisor.
pub(crate) fn map_shared_info() -> i64 {
    update_va_mapping(base(), start::info().shared_info | KERNEL_RW, UVMF_INVLPG)
}

/// A word of the shared page.
pub fn shared_word(offset: usize) -> &'static AtomicU64 {
    assert!(offset < 4096 && offset.is_multiple_of(8));
    // SAFETY: inside the page, which stays mapped; hypervisor and guest access it atomically.
    unsafe { AtomicU64::from_ptr((base() + offset as u64) as *mut u64) }
}

fn byte(offset: usize) -> &'static AtomicU8 {
    // SAFETY: as above.
    unsafe { AtomicU8::from_ptr((base() + offset as u64) as *mut u8) }
}

const PENDING: usize = core::mem::offset_of!(SharedInfo, evtchn_pending);
const MASK: usize = core::mem::offset_of!(SharedInfo, evtchn_mask);
const UPCALL_PENDING: usize = 0;
const UPCALL_MASK: usize = 1;
const SELECTOR: usize = 8;
const CR2: usize = 16;

/// CR2 of the first vcpu.
pub(crate) fn vcpu_cr2() -> u64 {
    shared_word(CR2).load(Ordering::Relaxed)
}

/// Masks or unmasks all events of the first vcpu; nothing that is already pending is delivered by this.
pub fn mask_all(masked: bool) {
    byte(UPCALL_MASK).store(masked.into(), Ordering::SeqCst);
}

/// Whether an event waits for the first vcpu.
pub fn upcall_pending() -> bool {
    byte(UPCALL_PENDING).load(Ordering::SeqCst) != 0
}

/// Whether a port's pending bit is set.
pub fn is_pending(port: u32) -> bool {
    shared_word(PENDING + port as usize / 64 * 8).load(Ordering::SeqCst) >> (port % 64) & 1 != 0
}

/// Clears a port's pending bit; gives whether it was set.
pub fn clear_pending(port: u32) -> bool {
    let bit = 1 << (port % 64);
    shared_word(PENDING + port as usize / 64 * 8).fetch_and(!bit, Ordering::SeqCst) & bit != 0
}

/// Sets or clears a port's mask bit, without telling the hypervisor.
pub fn set_mask(port: u32, masked: bool) {
    let word = shared_word(MASK + port as usize / 64 * 8);
    let bit = 1 << (port % 64);
    if masked {
        word.fetch_or(bit, Ordering::SeqCst)
    } else {
        word.fetch_and(!bit, Ordering::SeqCst)
    };
}

/// Unmasks a port by hypercall: what is pending is delivered.
pub fn unmask(port: u32) -> i64 {
    event_op(EVTCHNOP_unmask, &mut EvtchnUnmask { port })
}

/// How often the callback found a port pending.
pub fn count(port: u32) -> u32 {
    COUNTS.get(port as usize).map_or(0, |count| count.load(Ordering::SeqCst))
}

/// An `event_channel_op`.
pub fn event_op<T>(command: u32, argument: &mut T) -> i64 {
    op(__HYPERVISOR_event_channel_op, command, argument)
}

/// Binds a port for interrupts between vcpus of this guest.
pub fn bind_ipi(vcpu: u32) -> Result<u32, i64> {
    let mut argument = EvtchnBindIpi { vcpu, ..Default::default() };
    match event_op(EVTCHNOP_bind_ipi, &mut argument) {
        0 => Ok(argument.port),
        error => Err(error),
    }
}

/// Binds a virtual interrupt.
pub fn bind_virq(virq: u32, vcpu: u32) -> Result<u32, i64> {
    let mut argument = EvtchnBindVirq { virq, vcpu, ..Default::default() };
    match event_op(EVTCHNOP_bind_virq, &mut argument) {
        0 => Ok(argument.port),
        error => Err(error),
    }
}

/// Sends on a port.
pub fn send(port: u32) -> i64 {
    event_op(EVTCHNOP_send, &mut EvtchnSend { port })
}

/// Closes a port.
pub fn close(port: u32) -> i64 {
    event_op(EVTCHNOP_close, &mut EvtchnClose { port })
}

/// The event callback of the first vcpu: counts and clears what is pending and not masked.
pub(crate) fn dispatch() {
    byte(UPCALL_PENDING).store(0, Ordering::SeqCst);
    let mut selector = shared_word(SELECTOR).swap(0, Ordering::SeqCst);
    while selector != 0 {
        let word = selector.trailing_zeros();
        selector &= selector - 1;
        let masked = shared_word(MASK + word as usize * 8).load(Ordering::SeqCst);
        let mut pending = shared_word(PENDING + word as usize * 8).load(Ordering::SeqCst) & !masked;
        while pending != 0 {
            let port = word * 64 + pending.trailing_zeros();
            pending &= pending - 1;
            clear_pending(port);
            if let Some(count) = COUNTS.get(port as usize) {
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}
