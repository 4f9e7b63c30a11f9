//! The FIFO layout, with a guest that consumes its queues as the design document demands, and with one that does not.

use super::*;

const PENDING: u32 = 1 << EVTCHN_FIFO_PENDING;
const MASKED: u32 = 1 << EVTCHN_FIFO_MASKED;
const LINKED: u32 = 1 << EVTCHN_FIFO_LINKED;
const BUSY: u32 = 1 << EVTCHN_FIFO_BUSY;
const BLOCK: u64 = 1;
const ARRAY: u64 = 10;

pub fn word(hv: &World, domid: u16, port: u32) -> (&SharedPage, usize) {
    (hv.platform.page(mfn(domid, ARRAY + u64::from(port) / 1024)), port as usize % 1024 * 4)
}

fn load(hv: &World, domid: u16, port: u32) -> u32 {
    let (page, at) = word(hv, domid, port);
    page.load_u32(at)
}

/// Gives control blocks for all vcpus (page BLOCK, 128 bytes apart) and one array page.
pub fn enable(hv: &World, domid: u16) {
    let d = dom(hv, domid);
    for vcpu in 0..VCPUS {
        assert_eq!(init_control(hv, &d, vcpu, vcpu * 128, || hold(hv, domid, BLOCK)), Ok(17));
    }
    assert!(expand_array(hv, &d, || hold(hv, domid, ARRAY)).is_ok());
}

/// What a guest keeps: its own copy of each queue's head.
#[derive(Default)]
pub struct Guest {
    heads: [[u32; 16]; VCPUS as usize],
}

impl Guest {
    /// Handles all events of a vcpu, most urgent first; gives the ports in the order in which they came.
    pub fn consume(&mut self, hv: &World, domid: u16, vcpu: u32) -> Vec<u32> {
        let block = hv.platform.page(mfn(domid, BLOCK));
        let at = vcpu as usize * 128;
        let mut seen = Vec::new();
        let mut ready = block.and_u32(at, 0);
        while ready != 0 {
            let priority = ready.trailing_zeros() as usize;
            let head = &mut self.heads[vcpu as usize][priority];
            if *head == 0 {
                *head = block.load_u32(at + 8 + 4 * priority);
            }
            let port = *head;
            let (page, word) = word(hv, domid, port);
            // Out of the queue: the link is the next head.
            let mut old = page.load_u32(word);
            while let Err(now) = page.cas_u32(word, old, old & !(LINKED | EVTCHN_FIFO_LINK_MASK)) {
                old = now;
            }
            *head = old & EVTCHN_FIFO_LINK_MASK;
            if *head == 0 {
                ready &= !(1 << priority);
            }
            let taken = page.and_u32(word, !PENDING);
            if taken & (PENDING | MASKED) == PENDING {
                seen.push(port);
            }
            ready |= block.and_u32(at, 0);
        }
        seen
    }
}

#[test]
fn init_control_checks_its_arguments_and_counts_its_page() {
    let hv = world();
    let d1 = dom(&hv, 1);
    let init = |vcpu, gfn, offset| init_control(&hv, &d1, vcpu, offset, || hold(&hv, 1, gfn));
    assert_eq!(init(VCPUS, BLOCK, 0), Err(Errno::ENOENT));
    assert_eq!(init(0, BLOCK, 4), Err(Errno::EINVAL), "not aligned");
    assert_eq!(init(0, BLOCK, 4096 - 64), Err(Errno::EINVAL), "leaves the page");
    assert_eq!(init(0, BLOCK, u32::MAX - 7), Err(Errno::EINVAL));
    assert_eq!(init(0, PAGES, 0), Err(Errno::EINVAL), "no such frame");
    assert_eq!(held(&hv), 0);
    assert_eq!(d1.events.abi(), layout::Abi::TwoLevel, "a failed call changes nothing");
    assert_eq!(init(0, BLOCK, 4096 - 72), Ok(17));
    assert_eq!(init(0, BLOCK, 0), Err(Errno::EINVAL), "has one already");
    assert_eq!(held(&hv), 1);
    d1.dying.store(true, Ordering::Release);
    assert_eq!(init(1, BLOCK, 0), Err(Errno::EINVAL), "nobody would give it back");
    assert_eq!(held(&hv), 1);
}

#[test]
fn the_array_grows_to_128_pages() {
    let hv = world();
    let d1 = dom(&hv, 1);
    init_control(&hv, &d1, 0, 0, || hold(&hv, 1, BLOCK)).unwrap();
    assert_eq!(expand_array(&hv, &d1, || hold(&hv, 1, PAGES)), Err(Errno::EINVAL));
    for page in 0..128 {
        assert_eq!(expand_array(&hv, &d1, || hold(&hv, 1, ARRAY + page)), Ok(Notify::NONE));
    }
    assert_eq!(expand_array(&hv, &d1, || hold(&hv, 1, ARRAY)), Err(Errno::ENOSPC));
    assert_eq!(held(&hv), 129);
    assert_eq!(reset(&hv, &d1, || false), Ok(Progress::Done));
    assert_eq!((held(&hv), d1.events.abi()), (0, layout::Abi::TwoLevel));
    init_control(&hv, &d1, 0, 0, || hold(&hv, 1, BLOCK)).unwrap();
    assert!(expand_array(&hv, &d1, || hold(&hv, 1, ARRAY)).is_ok(), "may be set up again");
}

#[test]
fn events_come_in_order_and_urgent_ones_first() {
    let hv = world();
    let d1 = dom(&hv, 1);
    enable(&hv, 1);
    let ports: Vec<_> = (0..6).map(|_| bind_ipi(&hv, &d1, 1).unwrap()).collect();
    set_priority(&d1, ports[4], 0).unwrap();
    set_priority(&d1, ports[1], 15).unwrap();
    let mut told_once = 0;
    for &port in &ports {
        let notify = send(&hv, &d1, port).unwrap();
        told_once += notify.vcpus.iter().count();
        assert_eq!(send(&hv, &d1, port).unwrap().vcpus, VcpuSet::EMPTY, "pending already");
    }
    assert_eq!(told_once, 1, "the upcall was pending after the first");
    let mut guest = Guest::default();
    assert_eq!(guest.consume(&hv, 1, 1), [ports[4], ports[0], ports[2], ports[3], ports[5], ports[1]]);
    assert!(take_upcall(&hv, 1, 1));
    assert_eq!(guest.consume(&hv, 1, 1), []);
    assert_eq!(told(send(&hv, &d1, ports[2]).unwrap()), [(1, 1)]);
    assert_eq!(guest.consume(&hv, 1, 1), [ports[2]]);
}

#[test]
fn a_masked_event_is_linked_when_it_is_unmasked() {
    let hv = world();
    let d1 = dom(&hv, 1);
    enable(&hv, 1);
    let port = bind_ipi(&hv, &d1, 0).unwrap();
    let (page, at) = word(&hv, 1, port);
    page.store_u32(at, MASKED);
    assert!(send(&hv, &d1, port).unwrap().is_empty());
    assert_eq!(page.load_u32(at), MASKED | PENDING);
    assert_eq!(is_pending(&hv, &d1, port), Ok(true));
    assert_eq!(told(unmask(&hv, &d1, port).unwrap()), [(1, 0)]);
    assert_eq!(page.load_u32(at), LINKED | PENDING);
    assert_eq!(Guest::default().consume(&hv, 1, 0), [port]);
}

#[test]
fn an_event_that_moves_to_another_queue_leaves_both_whole() {
    let hv = world();
    let d1 = dom(&hv, 1);
    enable(&hv, 1);
    let port = alloc_unbound(&hv, &d1, DomId(1)).unwrap();
    let (near, _) = bind_interdomain(&hv, &d1, &d1, port).unwrap();
    let ipi = bind_ipi(&hv, &d1, 0).unwrap();
    let mut guest = Guest::default();
    guest.consume(&hv, 1, 0);
    for round in 0..6 {
        let vcpu = round % VCPUS;
        bind_vcpu(&d1, port, vcpu).map(|_| ()).unwrap();
        send(&hv, &d1, near).map(|_| ()).unwrap();
        send(&hv, &d1, ipi).map(|_| ()).unwrap();
        let expected = if vcpu == 0 { vec![port, ipi] } else { vec![ipi] };
        assert_eq!(guest.consume(&hv, 1, 0), expected);
        if vcpu != 0 {
            assert_eq!(guest.consume(&hv, 1, vcpu), [port]);
        }
    }
}

#[test]
fn events_before_the_layout_and_before_the_word_are_kept() {
    let hv = world();
    let d1 = dom(&hv, 1);
    let (early, later) = (bind_ipi(&hv, &d1, 0).unwrap(), bind_ipi(&hv, &d1, 1).unwrap());
    let _never_sent = bind_ipi(&hv, &d1, 0).unwrap();
    send(&hv, &d1, early).map(|_| ()).unwrap();
    take_upcall(&hv, 1, 0);
    for vcpu in 0..VCPUS {
        init_control(&hv, &d1, vcpu, vcpu * 128, || hold(&hv, 1, BLOCK)).unwrap();
    }
    assert!(send(&hv, &d1, later).unwrap().is_empty(), "no word yet");
    assert_eq!(is_pending(&hv, &d1, later), Ok(false));
    let notify = expand_array(&hv, &d1, || hold(&hv, 1, ARRAY)).unwrap();
    assert_eq!(told(notify), [(1, 0), (1, 1)]);
    let mut guest = Guest::default();
    assert_eq!((guest.consume(&hv, 1, 0), guest.consume(&hv, 1, 1)), (vec![early], vec![later]));
}

#[test]
fn events_before_a_later_page_of_words_come_when_it_does() {
    let hv = world();
    let d1 = dom(&hv, 1);
    enable(&hv, 1);
    let port = (0..1030).map(|_| bind_ipi(&hv, &d1, 0).unwrap()).last().unwrap();
    assert!(send(&hv, &d1, port).unwrap().is_empty(), "no word yet");
    assert_eq!(told(expand_array(&hv, &d1, || hold(&hv, 1, ARRAY + 1)).unwrap()), [(1, 0)]);
    assert_eq!(Guest::default().consume(&hv, 1, 0), [port]);
}

#[test]
fn the_dump_shows_each_ports_word() {
    let hv = world();
    let d1 = dom(&hv, 1);
    enable(&hv, 1);
    let [sent, quiet] = [0, 1].map(|vcpu| bind_ipi(&hv, &d1, vcpu).unwrap());
    send(&hv, &d1, sent).map(|_| ()).unwrap();
    let dump = Dump { platform: &hv.platform, dom: &d1 }.to_string();
    let line = |port: u32| dump.lines().find(|line| line.trim_start().starts_with(&format!("{port} "))).unwrap();
    assert!(line(sent).ends_with("[1/0] ipi vcpu 0 priority 7 word 0xa0000000"), "{dump}");
    assert!(line(quiet).ends_with("[0/0] ipi vcpu 1 priority 7 word 0x00000000"), "{dump}");
}

#[test]
fn a_closed_port_is_not_given_out_while_the_guest_has_it_linked() {
    let hv = world();
    let d1 = dom(&hv, 1);
    enable(&hv, 1);
    let ports: Vec<_> = (0..3).map(|_| bind_ipi(&hv, &d1, 0).unwrap()).collect();
    send(&hv, &d1, ports[0]).map(|_| ()).unwrap();
    close(&hv, &d1, ports[0]).map(|_| ()).unwrap();
    assert_eq!(load(&hv, 1, ports[0]) & (LINKED | PENDING), LINKED);
    assert_eq!(bind_ipi(&hv, &d1, 0), Ok(4), "not port 1");
    assert_eq!(Guest::default().consume(&hv, 1, 0), [], "it is linked, but not pending");
    d1.events.set_limit(4);
    assert_eq!(bind_ipi(&hv, &d1, 0), Ok(1), "free for use now");
}

#[test]
fn a_port_without_control_block_stays_pending() {
    let hv = world();
    let d1 = dom(&hv, 1);
    init_control(&hv, &d1, 0, 0, || hold(&hv, 1, BLOCK)).unwrap();
    assert!(expand_array(&hv, &d1, || hold(&hv, 1, ARRAY)).is_ok());
    let port = bind_ipi(&hv, &d1, 2).unwrap();
    assert!(send(&hv, &d1, port).unwrap().is_empty());
    assert_eq!(load(&hv, 1, port), PENDING);
    init_control(&hv, &d1, 2, 256, || hold(&hv, 1, BLOCK)).unwrap();
    assert_eq!(told(unmask(&hv, &d1, port).unwrap()), [(1, 2)]);
}

#[test]
fn linking_behind_a_word_keeps_its_flags_replaces_its_link_and_takes_busy_away() {
    let hv = world();
    let d1 = dom(&hv, 1);
    enable(&hv, 1);
    let [tail, next] = [(); 2].map(|()| bind_ipi(&hv, &d1, 0).unwrap());
    let head = |hv: &World| hv.platform.page(mfn(1, BLOCK)).load_u32(8 + 4 * 7);
    // The word of the queue's last port, what becomes of it, and the head of the queue.
    let linked = LINKED | next;
    for (before, after, first) in [
        (LINKED, linked, tail),
        (LINKED | EVTCHN_FIFO_LINK_MASK, linked, tail),
        (LINKED | PENDING | MASKED | 5, linked | PENDING | MASKED, tail),
        (LINKED | BUSY | PENDING, linked | PENDING, tail),
        (0, 0, next),
        (PENDING | MASKED | 5, PENDING | MASKED | 5, next),
        (BUSY, 0, next),
        (BUSY | PENDING | 5, PENDING | 5, next),
    ] {
        let store = |port, value| {
            let (page, at) = word(&hv, 1, port);
            page.store_u32(at, value);
        };
        store(tail, 0);
        store(next, 0);
        send(&hv, &d1, tail).map(|_| ()).unwrap();
        hv.platform.page(mfn(1, BLOCK)).store_u32(8 + 4 * 7, tail);
        store(tail, before);
        send(&hv, &d1, next).map(|_| ()).unwrap();
        assert_eq!((load(&hv, 1, tail), head(&hv)), (after, first), "{before:#x}");
        assert_eq!(load(&hv, 1, next), LINKED | PENDING, "{before:#x}");
    }
}

#[test]
fn unmasking_a_port_without_an_event_sends_none() {
    let hv = world();
    let d1 = dom(&hv, 1);
    enable(&hv, 1);
    let port = bind_ipi(&hv, &d1, 0).unwrap();
    let (page, at) = word(&hv, 1, port);
    page.store_u32(at, MASKED);
    assert_eq!(unmask(&hv, &d1, port), Ok(Notify::NONE));
    assert_eq!(page.load_u32(at), 0);
}

#[test]
fn a_poller_wakes_for_an_event_that_was_not_pending() {
    let hv = world();
    let d1 = dom(&hv, 1);
    enable(&hv, 1);
    let port = bind_ipi(&hv, &d1, 0).unwrap();
    let (page, at) = word(&hv, 1, port);
    let poller = d1.vcpu(2).unwrap();
    for before in [0, MASKED, MASKED | LINKED] {
        page.store_u32(at, before | PENDING);
        poll_start(&d1, poller, port);
        send(&hv, &d1, port).map(|_| ()).unwrap();
        assert!(poll_stop(&d1, poller), "{before:#x}: was pending");
        page.store_u32(at, before);
        poll_start(&d1, poller, port);
        assert!(send(&hv, &d1, port).unwrap().vcpus.has(2), "{before:#x}");
        assert!(!poll_stop(&d1, poller), "{before:#x}");
    }
}

#[test]
fn a_port_that_was_given_back_leaves_its_old_queue_when_it_is_linked_anew() {
    let hv = world();
    let d1 = dom(&hv, 1);
    enable(&hv, 1);
    let mut guest = Guest::default();
    let [port, other] = [(); 2].map(|()| bind_ipi(&hv, &d1, 1).unwrap());
    send(&hv, &d1, port).map(|_| ()).unwrap();
    assert_eq!(guest.consume(&hv, 1, 1), [port]);
    assert_eq!(close(&hv, &d1, port), Ok(None));
    assert_eq!(bind_ipi(&hv, &d1, 0), Ok(port));
    send(&hv, &d1, port).map(|_| ()).unwrap();
    send(&hv, &d1, other).map(|_| ()).unwrap();
    assert_eq!(guest.consume(&hv, 1, 1), [other]);
    assert_eq!(guest.consume(&hv, 1, 0), [port]);
}

#[test]
fn rubbish_in_the_guests_pages_harms_nobody() {
    let hv = world();
    let d1 = dom(&hv, 1);
    enable(&hv, 1);
    let ports: Vec<_> = (0..8).map(|_| bind_ipi(&hv, &d1, 0).unwrap()).collect();
    for rubbish in [u32::MAX, LINKED | BUSY | EVTCHN_FIFO_LINK_MASK, LINKED | ports[0], BUSY, 0] {
        for &port in &ports {
            let (page, at) = word(&hv, 1, port);
            page.store_u32(at, rubbish);
            assert!(send(&hv, &d1, port).is_ok());
            assert!(unmask(&hv, &d1, port).is_ok());
            page.store_u32(at, rubbish & !MASKED);
            assert!(unmask(&hv, &d1, port).is_ok());
        }
    }
    for port in ports {
        assert_eq!(close(&hv, &d1, port), Ok(None));
    }
    assert_eq!(reset(&hv, &d1, || false), Ok(Progress::Done));
    assert_eq!(held(&hv), 0);
}
