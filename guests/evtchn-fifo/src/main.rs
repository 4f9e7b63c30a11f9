//! Event channels of the FIFO layout: control blocks, arrays, priorities, order of delivery, and what a guest can do to
//! its own words while the hypervisor links them. XSA-107, XSA-188, XSA-358 and XSA-359 were about control blocks.
#![cfg_attr(target_os = "none", no_std, no_main)]

use guest_rt::abi::event_channel::*;
use guest_rt::abi::xen::*;
use guest_rt::hypercall::error::*;
use guest_rt::hypercall::poll;
use guest_rt::memory::{self, Page};
use guest_rt::{Report, events, time};

guest_rt::guest!("evtchn-fifo", run);

fn run(report: &mut Report) {
    events::mask_all(true);
    let before = events::bind_ipi(0).unwrap_or(0);
    let array = Page::new();
    report.result("an array without a control block", expand(array.mfn()), EOPNOTSUPP);
    report.result("a priority without one", priority(before, 3), ENOSYS);
    bad_blocks(report);
    let control = Page::new();
    events::send(before);
    report.result("a control block", init(control.mfn(), 0, 0), 0);
    report.result("a second one", init(Page::new().mfn(), 0, 0), EINVAL);
    report.result("the same one", init(control.mfn(), 0, 0), EINVAL);
    report.result("an event before there is an array", events::send(before), 0);
    arrays(report, array);
    report.check("what was sent before is there", word(array, before) >> EVTCHN_FIFO_PENDING & 1 == 1);
    let queue = Queue { control, array };
    queue.drain();
    order(report, &queue);
    hostile(report, &queue);
    polls(report, &queue);
    many(report);
    back(report, &queue);
}

fn init(gfn: u64, offset: u32, vcpu: u32) -> i64 {
    let mut argument = EvtchnInitControl { control_gfn: gfn, offset, vcpu, ..Default::default() };
    let result = events::event_op(EVTCHNOP_init_control, &mut argument);
    if result == 0 && argument.link_bits != 17 { i64::MIN } else { result }
}

fn expand(gfn: u64) -> i64 {
    events::event_op(EVTCHNOP_expand_array, &mut EvtchnExpandArray { array_gfn: gfn })
}

fn priority(port: u32, priority: u32) -> i64 {
    events::event_op(EVTCHNOP_set_priority, &mut EvtchnSetPriority { port, priority })
}

fn word(array: Page, port: u32) -> u32 {
    (array.read(port as usize / 2) >> (port % 2 * 32)) as u32
}

fn set_word(array: Page, port: u32, value: u32) {
    let (index, shift) = (port as usize / 2, port % 2 * 32);
    let other = array.read(index) & !(0xffff_ffff << shift);
    array.write(index, other | u64::from(value) << shift);
}

/// What is no place for a control block; each leaves the 2-level layout as it is.
fn bad_blocks(report: &mut Report) {
    let page = Page::new();
    let table = memory::entry(page.va(), 1).map_or(0, |entry| entry.machine >> 12);
    for (what, gfn, offset, vcpu, want) in [
        ("of a vcpu that is not there", page.mfn(), 0, 9999, ENOENT),
        ("of one of 2^32", page.mfn(), 0, u32::MAX, ENOENT),
        ("across the end of its page", page.mfn(), 4096 - 64, 0, EINVAL),
        ("behind its page", page.mfn(), 4096, 0, EINVAL),
        ("far behind it", page.mfn(), u32::MAX - 7, 0, EINVAL),
        ("not aligned", page.mfn(), 4, 0, EINVAL),
        ("in a frame that is not there", 0xf_ffff_ffff, 0, 0, EINVAL),
        ("in a frame of the hypervisor", 0x200, 0, 0, EINVAL),
        ("in a page table", table, 0, 0, EINVAL),
    ] {
        for _ in 0..2 {
            report.result(what, init(gfn, offset, vcpu), want);
        }
    }
    report.result("the page is as it was", page.make_read_only(), 0);
    report.result("and not in use any more", page.pin(1), 0);
    report.result("unpinned", page.unpin(), 0);
    page.make_writable();
}

fn arrays(report: &mut Report, array: Page) {
    let table = memory::entry(array.va(), 1).map_or(0, |entry| entry.machine >> 12);
    for (what, gfn) in
        [("a frame that is not there", 0xf_ffff_ffff), ("of the hypervisor", 0x200), ("a page table", table)]
    {
        report.result(what, expand(gfn), EINVAL);
    }
    report.result("an array", expand(array.mfn()), 0);
    report.result("it is in use: no page table", array.make_read_only(), 0);
    report.refused("it is in use: no page table", array.pin(1));
    report.result("writable", array.make_writable(), 0);
}

struct Queue {
    control: Page,
    array: Page,
}

impl Queue {
    fn ready(&self) -> u32 {
        self.control.read(0) as u32
    }
    fn head(&self, priority: u32) -> u32 {
        (self.control.read(1 + priority as usize / 2) >> (priority % 2 * 32)) as u32
    }
    fn set_head(&self, priority: u32, port: u32) {
        let (index, shift) = (1 + priority as usize / 2, priority % 2 * 32);
        let other = self.control.read(index) & !(0xffff_ffff << shift);
        self.control.write(index, other | u64::from(port) << shift);
    }
    /// Takes all that is pending, most urgent first, and gives at most 16 of the ports.
    fn drain(&self) -> ([u32; 16], usize) {
        let (mut ports, mut count) = ([0; 16], 0);
        let ready = self.ready();
        self.control.write(0, 0);
        for queue in (0..16).filter(|queue| ready >> queue & 1 == 1) {
            let mut port = self.head(queue);
            while port != 0 && count < 16 {
                let word = word(self.array, port);
                set_word(
                    self.array,
                    port,
                    word & !(1 << EVTCHN_FIFO_PENDING | 1 << EVTCHN_FIFO_LINKED | EVTCHN_FIFO_LINK_MASK),
                );
                if word >> EVTCHN_FIFO_PENDING & 1 == 1 {
                    ports[count] = port;
                    count += 1;
                }
                port = word & EVTCHN_FIFO_LINK_MASK;
            }
            self.set_head(queue, 0);
        }
        (ports, count)
    }
}

fn order(report: &mut Report, queue: &Queue) {
    let ports: [u32; 4] = core::array::from_fn(|_| events::bind_ipi(0).unwrap_or(0));
    for value in [16, 17, 255, u32::MAX] {
        report.result("a priority that is not there", priority(ports[0], value), EINVAL);
    }
    report.result("of a port that is not there", priority(4095, 3), EINVAL);
    report.result("of a port beyond", priority(u32::MAX, 3), EINVAL);
    for port in ports {
        set_word(queue.array, port, 0);
    }
    for (port, value) in ports.iter().zip([7, 0, 15, 7]) {
        report.result("a priority", priority(*port, value), 0);
    }
    ports.iter().for_each(|&port| _ = events::send(port));
    report.expect("three queues are ready", queue.ready(), 1 << 7 | 1 | 1 << 15);
    let (got, count) = queue.drain();
    report.expect(
        "all arrive, most urgent first",
        got[..count].iter().eq(&[ports[1], ports[0], ports[3], ports[2]]),
        true,
    );
    // A masked port is pending and not linked; unmasking links it.
    set_word(queue.array, ports[0], 1 << EVTCHN_FIFO_MASKED);
    events::send(ports[0]);
    report.expect("a masked port", word(queue.array, ports[0]), 1 << EVTCHN_FIFO_PENDING | 1 << EVTCHN_FIFO_MASKED);
    report.expect("makes nothing ready", queue.ready(), 0);
    report.result("unmasked", events::unmask(ports[0]), 0);
    let (got, count) = queue.drain();
    report.expect("it arrives", (got[0], count), (ports[0], 1));
    ports.iter().for_each(|&port| _ = events::close(port));
    report.expect("a closed port's word", word(queue.array, ports[0]) >> EVTCHN_FIFO_PENDING, 0);
}

/// The guest owns the words, and may write anything into them.
fn hostile(report: &mut Report, queue: &Queue) {
    let ports: [u32; 3] = core::array::from_fn(|_| events::bind_ipi(0).unwrap_or(0));
    let junk = [
        u32::MAX,
        EVTCHN_FIFO_LINK_MASK,
        1 << EVTCHN_FIFO_BUSY,
        1 << EVTCHN_FIFO_LINKED,
        1 << EVTCHN_FIFO_LINKED | 0x1_0000,
        0,
    ];
    for value in junk {
        for port in ports {
            set_word(queue.array, port, value);
            report.result("sending on a port with such a word", events::send(port), 0);
            report.result("unmasking it", events::unmask(port), 0);
            report.check("its status", {
                let mut argument = EvtchnStatus { dom: DOMID_SELF, port, ..Default::default() };
                events::event_op(EVTCHNOP_status, &mut argument) == 0
            });
        }
        queue.control.write(0, u64::MAX);
        (1..9).for_each(|n| queue.control.write(n, u64::MAX));
        report.result("sending with such a control block", events::send(ports[0]), 0);
        queue.control.write(0, 0);
        (1..9).for_each(|n| queue.control.write(n, 0));
    }
    for port in ports {
        set_word(queue.array, port, 0);
        report.result("closing them", events::close(port), 0);
    }
    queue.drain();
    (1..9).for_each(|n| queue.control.write(n, 0));
}

fn polls(report: &mut Report, queue: &Queue) {
    let port = events::bind_ipi(0).unwrap_or(0);
    set_word(queue.array, port, 1 << EVTCHN_FIFO_MASKED);
    events::send(port);
    report.result("polling a port that is pending", poll(&[port], 0), 0);
    set_word(queue.array, port, 1 << EVTCHN_FIFO_MASKED);
    report.result("until a time", poll(&[port], time::now() + 2_000_000), 0);
    report.result("closed", events::close(port), 0);
}

/// Ports beyond the words that the array has, and more pages than there can be.
fn many(report: &mut Report) {
    let alloc = || {
        let mut argument = EvtchnAllocUnbound { dom: DOMID_SELF, remote_dom: DOMID_SELF, port: 0 };
        (events::event_op(EVTCHNOP_alloc_unbound, &mut argument), argument.port)
    };
    let mut highest = 0;
    for _ in 0..1500 {
        let (result, port) = alloc();
        if result != 0 {
            break;
        }
        highest = port;
    }
    report.check("more ports than words", highest > 1024);
    let mut bind = EvtchnBindInterdomain { remote_dom: DOMID_SELF, remote_port: highest, ..Default::default() };
    report.result("bound to a port without a word", events::event_op(EVTCHNOP_bind_interdomain, &mut bind), 0);
    report.result("sent to a port without a word", events::send(bind.local_port), 0);
    report.result("unmasked", events::unmask(highest), 0);
    let page = Page::new();
    let results: [i64; 3] = core::array::from_fn(|_| expand(page.mfn()));
    report.expect("a page more than once", results, [0, 0, 0]);
    let full = (0..200).map(|_| expand(page.mfn())).find(|&result| result != 0);
    report.expect("the array is full at last", full, Some(ENOSPC));
}

fn back(report: &mut Report, queue: &Queue) {
    report.result("a reset", events::event_op(EVTCHNOP_reset, &mut EvtchnReset { dom: DOMID_SELF }), 0);
    report.result("the array is free", queue.array.make_read_only(), 0);
    report.result("for other use", queue.array.pin(1), 0);
    report.result("the 2-level layout again", priority(1, 1), ENOSYS);
    report.result("unpinned", queue.array.unpin(), 0);
    events::mask_all(false);
    let port = events::bind_ipi(0).unwrap_or(0);
    let count = events::count(port);
    report.result("a port", events::unmask(port), 0);
    report.result("sent on", events::send(port), 0);
    report.expect("arrives the old way", events::count(port), count + 1);
    report.result("a new control block", init(queue.control.mfn(), 0, 0), 0);
    report.result("and back", events::event_op(EVTCHNOP_reset, &mut EvtchnReset { dom: DOMID_SELF }), 0);
}
