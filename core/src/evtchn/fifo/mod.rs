//! The FIFO layout: an event word for each port in pages of the guest, and 16 queues per vcpu, linked through the words.
//!
//! The guest owns the pages and may write anything into them. What the hypervisor believes is only its own: the last port
//! of each queue ([`super::state::VcpuEvents::tails`]) and the queue into which a port was linked last. A guest that breaks
//! its lists loses its own events, nothing more; every retry here is bounded.

pub(super) mod control;

use super::layout::Layout;
use super::notify::{VcpuSet, mark_upcall_pending};
use super::port::{PortState, Queue};
use super::{Target, poll};
use crate::addr::Maddr;
use crate::domain::Vcpu;
use crate::platform::Platform;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};
use ferroxen_sync::{Guard, PAGE_SIZE, SharedPage, rank};
use xen_abi::event_channel::{
    EVTCHN_FIFO_BUSY, EVTCHN_FIFO_LINK_MASK, EVTCHN_FIFO_LINKED, EVTCHN_FIFO_MASKED, EVTCHN_FIFO_MAX_QUEUES,
    EVTCHN_FIFO_NR_CHANNELS, EVTCHN_FIFO_PENDING, EvtchnFifoControlBlock,
};

const PENDING: u32 = 1 << EVTCHN_FIFO_PENDING;
const MASKED: u32 = 1 << EVTCHN_FIFO_MASKED;
const LINKED: u32 = 1 << EVTCHN_FIFO_LINKED;
const BUSY: u32 = 1 << EVTCHN_FIFO_BUSY;

/// Event words of a page.
const WORDS: usize = PAGE_SIZE / 4;
/// Pages of a full array.
pub(super) const MAX_PAGES: usize = EVTCHN_FIFO_NR_CHANNELS as usize / WORDS;

/// Attempts to link behind a word that the guest changes, before and after asking it (BUSY) to leave the word alone.
const POLITE_TRIES: u32 = 4;
const BUSY_TRIES: u32 = 8;

/// A machine address that is set and taken back while others read it. Bit 0 says that there is one.
#[derive(Default)]
pub(super) struct Place(AtomicU64);

impl Place {
    pub fn get(&self) -> Option<Maddr> {
        let place = self.0.load(Ordering::Acquire);
        (place & 1 != 0).then_some(Maddr(place & !1))
    }
    /// `at` is even.
    pub fn set(&self, at: Maddr) {
        self.0.store(at.0 | 1, Ordering::Release);
    }
    pub fn take(&self) -> Option<Maddr> {
        let place = self.0.swap(0, Ordering::AcqRel);
        (place & 1 != 0).then_some(Maddr(place & !1))
    }
}

/// The pages of a domain's event array.
pub(super) struct Array(pub [Place; MAX_PAGES]);

impl Default for Array {
    fn default() -> Self {
        Array([const { Place(AtomicU64::new(0)) }; MAX_PAGES])
    }
}

/// See the module.
pub(super) struct Fifo;

/// A port's event word.
#[derive(Clone, Copy)]
struct Word<'a> {
    page: &'a SharedPage,
    at: usize,
}

impl Word<'_> {
    fn load(self) -> u32 {
        self.page.load_u32(self.at)
    }
    fn or(self, bits: u32) -> u32 {
        self.page.or_u32(self.at, bits)
    }
    fn and(self, bits: u32) -> u32 {
        self.page.and_u32(self.at, bits)
    }

    /// Links `next` behind this word; `false` if the guest has taken this word out of its queue (or fights over it).
    fn link(self, next: u32) -> bool {
        let mut word = self.load();
        for attempt in 0..POLITE_TRIES + BUSY_TRIES {
            if word & LINKED == 0 {
                break;
            }
            if attempt == POLITE_TRIES {
                word = self.or(BUSY) | BUSY;
                if word & LINKED == 0 {
                    break;
                }
            }
            match self.page.cas_u32(self.at, word, word & !(EVTCHN_FIFO_LINK_MASK | BUSY) | next) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        if word & BUSY != 0 {
            self.and(!BUSY);
        }
        false
    }
}

fn word<P: Platform>(at: Target<'_, P>, number: u32) -> Option<Word<'_>> {
    let number = usize::try_from(number).ok()?;
    let page = at.dom.events.array.0.get(number / WORDS)?.get()?;
    Some(Word { page: at.platform.page(page.mfn()), at: number % WORDS * 4 })
}

/// The control block of a vcpu.
struct Block<'a> {
    page: &'a SharedPage,
    at: usize,
}

impl Block<'_> {
    fn set_head(&self, queue: u8, number: u32) {
        self.page.store_u32(self.at + offset_of!(EvtchnFifoControlBlock, head) + 4 * usize::from(queue), number);
    }
    /// Marks the queue ready; gives whether it was not.
    fn make_ready(&self, queue: u8) -> bool {
        let bit = 1 << queue;
        self.page.or_u32(self.at + offset_of!(EvtchnFifoControlBlock, ready), bit) & bit == 0
    }
}

fn block<'a, P: Platform>(platform: &'a P, vcpu: &Vcpu<P>) -> Option<Block<'a>> {
    let place = vcpu.events.control_block.get()?;
    Some(Block { page: platform.page(place.mfn()), at: place.offset() })
}

type Tails<'a> = Guard<'a, rank::EventPort, [u32; EVTCHN_FIFO_MAX_QUEUES]>;

/// Forgets a port that is the last of the queue `old` (it left that queue: it is not linked any more).
fn leave(tails: &mut Tails<'_>, old: Queue, number: u32) {
    if let Some(tail) = tails.get_mut(usize::from(old.priority)).filter(|tail| **tail == number) {
        *tail = 0;
    }
}

/// Puts a port that is pending and neither masked nor linked at the end of its queue.
fn enqueue<P: Platform>(at: Target<'_, P>, number: u32, own: Word<'_>, port: &mut PortState) -> VcpuSet {
    let Some(vcpu) = at.dom.vcpu(port.vcpu) else { return VcpuSet::EMPTY };
    // Without a control block the guest had no right to unmask: the event stays pending and is not delivered.
    let Some(block) = block(at.platform, vcpu) else { return VcpuSet::EMPTY };
    let (old, new) = (port.queue, Queue { vcpu: port.vcpu, priority: port.priority });

    // The queues of both vcpus, lower number first.
    let other = at.dom.vcpu(old.vcpu).filter(|_| old.vcpu != new.vcpu);
    let (mut tails, mut old_tails) = match other {
        Some(other) if old.vcpu < new.vcpu => {
            let old = other.events.tails.lock_second();
            (vcpu.events.tails.lock_second(), Some(old))
        }
        Some(other) => {
            let new = vcpu.events.tails.lock_second();
            (new, Some(other.events.tails.lock_second()))
        }
        None => (vcpu.events.tails.lock_second(), None),
    };
    if own.or(LINKED) & LINKED != 0 {
        return VcpuSet::EMPTY;
    }
    leave(old_tails.as_mut().unwrap_or(&mut tails), old, number);
    port.queue = new;

    let Some(tail) = tails.get_mut(usize::from(new.priority)) else { return VcpuSet::EMPTY };
    let linked = *tail != 0 && word(at, *tail).is_some_and(|last| last.link(number));
    if !linked {
        block.set_head(new.priority, number);
    }
    *tail = number;
    drop((tails, old_tails));

    if !linked && block.make_ready(new.priority) && mark_upcall_pending(at.platform, vcpu) {
        return VcpuSet::one(vcpu.id);
    }
    VcpuSet::EMPTY
}

impl Layout for Fifo {
    fn capacity(&self) -> u32 {
        EVTCHN_FIFO_NR_CHANNELS
    }

    fn set_pending<P: Platform>(&self, at: Target<'_, P>, number: u32, port: &mut PortState) -> VcpuSet {
        let Some(own) = word(at, number) else {
            port.early = true;
            return VcpuSet::EMPTY;
        };
        let before = own.or(PENDING);
        let told = if own.load() & (MASKED | LINKED) == 0 { enqueue(at, number, own, port) } else { VcpuSet::EMPTY };
        if before & PENDING != 0 { told } else { told.union(poll::wake(at.dom, number)) }
    }

    fn clear_pending<P: Platform>(&self, at: Target<'_, P>, number: u32) {
        if let Some(own) = word(at, number) {
            own.and(!PENDING);
        }
    }

    fn unmask<P: Platform>(&self, at: Target<'_, P>, number: u32, port: &mut PortState) -> VcpuSet {
        let Some(own) = word(at, number) else { return VcpuSet::EMPTY };
        own.and(!MASKED);
        if own.load() & PENDING != 0 { self.set_pending(at, number, port) } else { VcpuSet::EMPTY }
    }

    fn is_pending<P: Platform>(&self, at: Target<'_, P>, number: u32) -> bool {
        word(at, number).is_some_and(|own| own.load() & PENDING != 0)
    }

    fn is_masked<P: Platform>(&self, at: Target<'_, P>, number: u32) -> bool {
        word(at, number).is_none_or(|own| own.load() & MASKED != 0)
    }

    fn is_busy<P: Platform>(&self, at: Target<'_, P>, number: u32) -> bool {
        word(at, number).is_some_and(|own| own.load() & LINKED != 0)
    }

    fn has_priorities(&self) -> bool {
        true
    }
}
