//! No event is lost between a sender on one CPU and the guest on another.

use super::machine::{FRAMES, Machine, frames};
use super::{model, spawn};
use core::mem::offset_of;
use ferroxen_core::addr::Mfn;
use ferroxen_core::cpu::{CpuId, CpuMask};
use ferroxen_core::domain::{DomId, Domain, Hypervisor};
use ferroxen_core::evtchn::{
    Held, alloc_unbound, audit_ports, bind_interdomain, close, expand_array, init_control, is_pending, send, unmask,
};
use ferroxen_core::frame::{FrameType, GetType};
use ferroxen_core::platform::Platform;
use ferroxen_sync::{Shared, SharedPage};
use loom::sync::Arc;
use xen_abi::Errno;
use xen_abi::event_channel::*;
use xen_abi::xen::{SharedInfo, VcpuInfo};

type World = Hypervisor<Machine>;

const SENDER: u16 = 2;
const GUEST: u16 = 1;
const INFO: Mfn = Mfn(1);
const BLOCK: Mfn = Mfn(2);
const ARRAY: Mfn = Mfn(3);

const PENDING: u32 = 1 << EVTCHN_FIFO_PENDING;
const MASKED: u32 = 1 << EVTCHN_FIFO_MASKED;
const LINKED: u32 = 1 << EVTCHN_FIFO_LINKED;

/// A domain that sends and a guest that has its pages, of one vcpu each.
fn world() -> Arc<World> {
    let hv = Hypervisor::try_new(Machine::new(), frames(DomId(GUEST)), 1).ok().unwrap();
    for id in [GUEST, SENDER] {
        let dom = Domain::try_new(DomId(id), 1, false).unwrap();
        let info = if id == GUEST { INFO } else { Mfn(FRAMES as u64 - 1) };
        dom.shared_info.store(info.0, core::sync::atomic::Ordering::Relaxed);
        dom.create_vcpu(0).unwrap().set_info(info.maddr());
        assert!(hv.domains.insert(Shared::try_new(dom).ok().unwrap()).is_ok());
    }
    Arc::new(hv)
}

fn dom(hv: &World, id: u16) -> Shared<Domain<Machine>> {
    hv.domains.get(DomId(id)).unwrap()
}

/// A connection: the sender's port and the guest's. The event that making it causes is taken.
fn connect(hv: &World) -> (u32, u32) {
    let far = alloc_unbound(hv, &dom(hv, GUEST), DomId(SENDER)).unwrap();
    let (near, _) = bind_interdomain(hv, &dom(hv, SENDER), &dom(hv, GUEST), far).unwrap();
    (near, far)
}

struct TwoLevel<'a>(&'a SharedPage);

impl TwoLevel<'_> {
    const PENDING: usize = offset_of!(SharedInfo, evtchn_pending);
    const MASK: usize = offset_of!(SharedInfo, evtchn_mask);
    const SELECTOR: usize = offset_of!(VcpuInfo, evtchn_pending_sel);
    const UPCALL: usize = offset_of!(VcpuInfo, evtchn_upcall_pending);

    fn of(hv: &World) -> TwoLevel<'_> {
        let page = hv.platform.page(INFO);
        // All words that are used exist before threads meet.
        for at in [Self::PENDING, Self::MASK, Self::SELECTOR, Self::UPCALL] {
            page.load_u8(at);
        }
        TwoLevel(page)
    }

    /// As Linux does it: the upcall, the selector, then the events. Gives those that it saw.
    fn consume(&self) -> u64 {
        self.0.and_u8(Self::UPCALL, 0);
        if self.0.and_u64(Self::SELECTOR, 0) & 1 == 0 {
            return 0;
        }
        let seen = self.0.load_u64(Self::PENDING) & !self.0.load_u64(Self::MASK);
        self.0.and_u64(Self::PENDING, !seen);
        seen
    }

    /// What is pending and not masked will be seen: the guest is told.
    fn nothing_is_lost(&self) {
        let waiting = self.0.load_u64(Self::PENDING) & !self.0.load_u64(Self::MASK);
        if waiting != 0 {
            assert_eq!(self.0.load_u64(Self::SELECTOR) & 1, 1, "{waiting:#x} is not selected");
            assert_eq!(self.0.load_u8(Self::UPCALL), 1, "{waiting:#x}: no upcall");
        }
    }
}

#[test]
fn an_event_that_comes_while_the_guest_looks_is_not_lost() {
    model(2, || {
        let hv = world();
        let (near, far) = connect(&hv);
        let guest = TwoLevel::of(&hv);
        guest.consume();
        let theirs = hv.clone();
        let thread = spawn(move || send(&theirs, &dom(&theirs, SENDER), near).unwrap());
        let seen = guest.consume();
        let told = thread.join().unwrap();
        guest.nothing_is_lost();
        assert!(seen >> far & 1 == 1 || is_pending(&hv, &dom(&hv, GUEST), far) == Ok(true));
        assert!(seen != 0 || !told.vcpus.is_empty(), "the vcpu is not woken");
    });
}

#[test]
fn an_event_that_comes_while_the_guest_unmasks_is_not_lost() {
    model(2, || {
        let hv = world();
        let (near, far) = connect(&hv);
        let guest = TwoLevel::of(&hv);
        guest.consume();
        guest.0.or_u64(TwoLevel::MASK, 1 << far);
        let theirs = hv.clone();
        let thread = spawn(move || send(&theirs, &dom(&theirs, SENDER), near).unwrap());
        let mine = unmask(&hv, &dom(&hv, GUEST), far).unwrap();
        let theirs = thread.join().unwrap();
        guest.nothing_is_lost();
        assert_eq!(is_pending(&hv, &dom(&hv, GUEST), far), Ok(true));
        assert_ne!(mine.vcpus.is_empty(), theirs.vcpus.is_empty(), "told once");
    });
}

#[test]
fn two_events_at_once_are_both_seen() {
    model(2, || {
        let hv = world();
        let (first, second) = (connect(&hv), connect(&hv));
        let guest = TwoLevel::of(&hv);
        guest.consume();
        let theirs = hv.clone();
        let thread = spawn(move || send(&theirs, &dom(&theirs, SENDER), first.0).unwrap());
        let mine = send(&hv, &dom(&hv, SENDER), second.0).unwrap();
        let theirs = thread.join().unwrap();
        guest.nothing_is_lost();
        assert_ne!(mine.vcpus.is_empty(), theirs.vcpus.is_empty(), "told once");
        assert_eq!(guest.consume(), 1 << first.1 | 1 << second.1);
    });
}

#[test]
fn a_closed_port_has_no_event() {
    model(2, || {
        let hv = world();
        let (near, far) = connect(&hv);
        let guest = TwoLevel::of(&hv);
        guest.consume();
        let theirs = hv.clone();
        let thread = spawn(move || assert!(send(&theirs, &dom(&theirs, SENDER), near).is_ok()));
        assert_eq!(close(&hv, &dom(&hv, GUEST), far), Ok(None));
        thread.join().unwrap();
        assert_eq!(guest.0.load_u64(TwoLevel::PENDING) >> far & 1, 0, "a free port is pending");
        assert_eq!(audit_ports(&dom(&hv, GUEST)), (vec![], 0));
    });
}

/// A frame of the guest for the FIFO layout.
fn hold(hv: &World, mfn: Mfn) -> Result<Held, Errno> {
    let frame = hv.frames.get(mfn, DomId(GUEST))?;
    match hv.frames.get_type(&frame, FrameType::Writable)? {
        GetType::Have(used) => Ok((frame, used)),
        GetType::Locked(locked) => {
            let ready = locked.leftover().unwrap_or_else(|_| panic!("nothing was interrupted"));
            let (flushed, _) = ready.flush(&hv.frames, &hv.platform, CpuId(0), || CpuMask::one(CpuId(0)));
            Ok((frame, flushed.publish(&hv.frames).0))
        }
    }
}

/// The guest's side of the FIFO layout, on queue 7 of vcpu 0.
struct Fifo<'a> {
    block: &'a SharedPage,
    array: &'a SharedPage,
    head: u32,
}

impl Fifo<'_> {
    const QUEUE: usize = 7;
    const HEAD: usize = offset_of!(EvtchnFifoControlBlock, head) + 4 * Self::QUEUE;

    fn of(hv: &World) -> Fifo<'_> {
        let (block, array) = (hv.platform.page(BLOCK), hv.platform.page(ARRAY));
        // All words that are used exist before threads meet.
        block.load_u32(0);
        block.load_u32(Self::HEAD);
        for port in 0..4 {
            array.load_u32(port * 4);
        }
        hv.platform.page(INFO).load_u64(TwoLevel::UPCALL);
        hv.platform.page(INFO).load_u64(TwoLevel::PENDING);
        hv.platform.page(INFO).load_u64(TwoLevel::MASK);
        Fifo { block, array, head: 0 }
    }

    fn set_up(hv: &World) {
        let guest = dom(hv, GUEST);
        assert_eq!(init_control(hv, &guest, 0, 0, || hold(hv, BLOCK)), Ok(17));
        assert!(expand_array(hv, &guest, || hold(hv, ARRAY)).is_ok());
    }

    /// As Linux does it; gives the ports that it saw, as bits.
    fn consume(&mut self) -> u32 {
        let mut seen = 0;
        while self.block.and_u32(0, 0) != 0 || self.head != 0 {
            if self.head == 0 {
                self.head = self.block.load_u32(Self::HEAD);
            }
            let word = self.head as usize * 4;
            // Out of the queue: the link is the next head.
            let mut old = self.array.load_u32(word);
            while let Err(now) = self.array.cas_u32(word, old, old & !(LINKED | EVTCHN_FIFO_LINK_MASK)) {
                old = now;
            }
            let port = core::mem::replace(&mut self.head, old & EVTCHN_FIFO_LINK_MASK);
            if self.array.and_u32(word, !PENDING) & (PENDING | MASKED) == PENDING {
                seen |= 1 << port;
            }
        }
        seen
    }
}

#[test]
fn no_fifo_event_is_lost_while_the_guest_empties_its_queue() {
    model(2, || {
        let hv = world();
        Fifo::set_up(&hv);
        let mut guest = Fifo::of(&hv);
        let (first, second) = (connect(&hv), connect(&hv));
        guest.consume();
        assert!(send(&hv, &dom(&hv, SENDER), first.0).is_ok());
        let theirs = hv.clone();
        let thread = spawn(move || assert!(send(&theirs, &dom(&theirs, SENDER), second.0).is_ok()));
        let mut seen = guest.consume();
        thread.join().unwrap();
        seen |= guest.consume();
        assert_eq!(seen, 1 << first.1 | 1 << second.1);
    });
}

#[test]
fn a_fifo_event_that_comes_while_the_guest_unmasks_is_not_lost() {
    model(2, || {
        let hv = world();
        Fifo::set_up(&hv);
        let mut guest = Fifo::of(&hv);
        let (near, far) = connect(&hv);
        guest.consume();
        guest.array.or_u32(far as usize * 4, MASKED);
        let theirs = hv.clone();
        let thread = spawn(move || assert!(send(&theirs, &dom(&theirs, SENDER), near).is_ok()));
        assert!(unmask(&hv, &dom(&hv, GUEST), far).is_ok());
        thread.join().unwrap();
        assert_eq!(guest.consume(), 1 << far);
    });
}

/// The same for the change of the layout: what was sent before and while it changes comes with the words.
#[test]
fn an_event_that_comes_while_the_layout_changes_is_not_lost() {
    model(2, || {
        let hv = world();
        let (near, far) = connect(&hv);
        let mut guest = Fifo::of(&hv);
        TwoLevel::of(&hv).consume();
        let theirs = hv.clone();
        let thread = spawn(move || assert!(send(&theirs, &dom(&theirs, SENDER), near).is_ok()));
        Fifo::set_up(&hv);
        thread.join().unwrap();
        assert_eq!(guest.consume(), 1 << far);
    });
}
