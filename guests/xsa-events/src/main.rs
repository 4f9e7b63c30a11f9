//! Security advisories about event channels, interrupts and timers, each as an attack.
#![cfg_attr(target_os = "none", no_std, no_main)]

use guest_rt::abi::event_channel::*;
use guest_rt::abi::physdev::*;
use guest_rt::abi::vcpu::*;
use guest_rt::abi::xen::*;
use guest_rt::hypercall::error::*;
use guest_rt::hypercall::{op, poll};
use guest_rt::memory::{self, Page};
use guest_rt::{Report, events, smp, time};

guest_rt::guest!("xsa-events", run);

fn run(report: &mut Report) {
    events::mask_all(true);
    xsa_13_free_pirqs(report);
    xsa_20_timers(report);
    xsa_21_pirq_range(report);
    xsa_47_other_vcpus(report);
    xsa_107_control_blocks(report);
    xsa_188_failed_control_block(report);
    xsa_221_poll(report);
    xsa_317_exhaustion(report);
    xsa_338_reset(report);
    xsa_344_long_reset(report);
    xsa_358_fifo_order(report);
    xsa_458_msi_errors(report);
}

fn alloc() -> Result<u32, i64> {
    let mut argument = EvtchnAllocUnbound { dom: DOMID_SELF, remote_dom: DOMID_SELF, port: 0 };
    match events::event_op(EVTCHNOP_alloc_unbound, &mut argument) {
        0 => Ok(argument.port),
        error => Err(error),
    }
}

fn reset() -> i64 {
    events::event_op(EVTCHNOP_reset, &mut EvtchnReset { dom: DOMID_SELF })
}

fn init(gfn: u64, offset: u32, vcpu: u32) -> i64 {
    let mut argument = EvtchnInitControl { control_gfn: gfn, offset, vcpu, ..Default::default() };
    events::event_op(EVTCHNOP_init_control, &mut argument)
}

/// XSA-13: PHYSDEVOP_get_free_pirq used the error "no number is left" as a number.
fn xsa_13_free_pirqs(report: &mut Report) {
    let mut results = [0i64; 3];
    let get = |kind: i32| {
        op(__HYPERVISOR_physdev_op, PHYSDEVOP_get_free_pirq, &mut PhysdevGetFreePirq { r#type: kind, pirq: 0 })
    };
    for _ in 0..5000 {
        if get(MAP_PIRQ_TYPE_MSI) != 0 {
            break;
        }
    }
    results.iter_mut().for_each(|result| *result = get(MAP_PIRQ_TYPE_MSI));
    report.expect("none is left, and that is said", results, [ENOSPC; 3]);
    for kind in [-1, 9, i32::MAX] {
        report.refused("a kind that is not there", get(kind));
    }
}

/// XSA-20: a time or period so large that it wrapped made the timer fire for ever, inside the hypervisor.
fn xsa_20_timers(report: &mut Report) {
    for at in [u64::MAX, u64::MAX - 1, i64::MAX as u64, 1 << 63, i64::MAX as u64 - 1_000_000] {
        report.result("a one-shot timer", time::set_singleshot(0, at, 0), 0);
        report.result("set_timer_op", time::set_timer(at), 0);
        let mut period = VcpuSetPeriodicTimer { period_ns: at };
        let result = smp::vcpu_op(VCPUOP_set_periodic_timer, 0, (&raw mut period).addr() as u64);
        report.result("a period", result, EINVAL);
        let start = time::now();
        poll(&[], start + 1_000_000);
        report.check("time goes on", time::now() >= start + 1_000_000);
    }
    time::set_timer(0);
    let start = time::now();
    for wanted in [u64::MAX, i64::MAX as u64] {
        let port = events::bind_ipi(0).unwrap_or(0);
        events::send(port);
        report.result("a poll until then, of a port that is pending", poll(&[port], wanted), 0);
        report.result("closed", events::close(port), 0);
    }
    report.check("is over soon", time::now() < start + 1_000_000_000);
}

/// XSA-16, XSA-21: numbers of interrupts that were not compared, or by signed numbers.
fn xsa_21_pirq_range(report: &mut Report) {
    for pirq in [-1i32, -2, i32::MIN, i32::MAX, 1 << 20] {
        report.refused(
            "unmapping",
            op(
                __HYPERVISOR_physdev_op,
                PHYSDEVOP_unmap_pirq,
                &mut PhysdevUnmapPirq { domid: DOMID_SELF, pirq, ..Default::default() },
            ),
        );
        let mut bind = EvtchnBindPirq { pirq: pirq as u32, ..Default::default() };
        report.refused("binding", events::event_op(EVTCHNOP_bind_pirq, &mut bind));
        report.refused("an EOI", op(__HYPERVISOR_physdev_op, PHYSDEVOP_eoi, &mut PhysdevEoi { irq: pirq as u32 }));
        for kind in 0..5 {
            let mut map = PhysdevMapPirq {
                domid: DOMID_SELF,
                r#type: kind,
                index: pirq,
                pirq: -1,
                bus: 0,
                devfn: 0xf8,
                ..Default::default()
            };
            report.refused("mapping", op(__HYPERVISOR_physdev_op, PHYSDEVOP_map_pirq, &mut map));
        }
    }
}

/// XSA-47: event-channel calls that name a vcpu which was never made.
fn xsa_47_other_vcpus(report: &mut Report) {
    let port = events::bind_virq(VIRQ_CON_RING, 0).unwrap_or(0);
    for vcpu in [1, 2, 31, 32, 8191, 1 << 16, u32::MAX] {
        report.result(
            "a port is told to it",
            events::event_op(EVTCHNOP_bind_vcpu, &mut EvtchnBindVcpu { port, vcpu }),
            ENOENT,
        );
        report.expect("an IPI", events::bind_ipi(vcpu), Err(ENOENT));
        report.expect("a timer", events::bind_virq(VIRQ_TIMER, vcpu), Err(ENOENT));
        report.result("a control block", init(Page::new().mfn(), 0, vcpu), ENOENT);
    }
    report.result("closed", events::close(port), 0);
}

/// XSA-107: with FIFO channels, an event for a vcpu without a control block, and words that were not there yet.
fn xsa_107_control_blocks(report: &mut Report) {
    let control = Page::new();
    report.result("a control block, and no array", init(control.mfn(), 0, 0), 0);
    let ports = [events::bind_ipi(0), alloc(), events::bind_virq(VIRQ_DEBUG, 0)].map(|port| port.unwrap_or(0));
    for port in ports {
        let _ = events::send(port);
        report.result("unmasking", events::unmask(port), 0);
        let result = poll(&[port], time::now() + 100_000);
        report.check("polling", result == 0 || result == EINVAL);
    }
    report.result("a reset", reset(), 0);
    report.result("read-only", control.make_read_only(), 0);
    report.result("the block is free", control.pin(1), 0);
    report.result("unpinned", control.unpin(), 0);
    report.result("writable", control.make_writable(), 0);
}

/// XSA-188: a control block that was refused left a pointer to what had been freed.
fn xsa_188_failed_control_block(report: &mut Report) {
    let page = Page::new();
    let table = memory::entry(page.va(), 1).map_or(0, |entry| entry.machine >> 12);
    for _ in 0..3 {
        for gfn in [table, 0x200, 0xf_ffff_ffff, u64::MAX] {
            report.refused("a block in a bad frame", init(gfn, 0, 0));
        }
        report.refused(
            "an array all the same",
            events::event_op(EVTCHNOP_expand_array, &mut EvtchnExpandArray { array_gfn: page.mfn() }),
        );
        report.result("a reset", reset(), 0);
        report.result("a good block", init(page.mfn(), 512, 0), 0);
        for gfn in [table, 0x200, 0xf_ffff_ffff] {
            report.refused(
                "a bad array",
                events::event_op(EVTCHNOP_expand_array, &mut EvtchnExpandArray { array_gfn: gfn }),
            );
        }
        report.result("a reset", reset(), 0);
    }
}

/// XSA-221: polling a port in a group of ports that was never made.
fn xsa_221_poll(report: &mut Report) {
    for port in [1u32, 127, 128, 129, 255, 256, 1023, 4095, 4096, 131_071, 131_072, u32::MAX] {
        let result = poll(&[port, port, port], time::now() + 10_000);
        report.check("is an error or nothing", result == EINVAL || result == 0);
    }
}

/// XSA-317: no port left, in the middle of making one.
fn xsa_317_exhaustion(report: &mut Report) {
    while alloc().is_ok() {}
    for _ in 0..10 {
        report.expect("an unbound port", alloc(), Err(ENOSPC));
        report.expect("an IPI", events::bind_ipi(0), Err(ENOSPC));
        report.expect("a virtual interrupt", events::bind_virq(VIRQ_DEBUG, 0), Err(ENOSPC));
        let mut bind = EvtchnBindInterdomain { remote_dom: DOMID_SELF, remote_port: 99, ..Default::default() };
        report.result("a channel", events::event_op(EVTCHNOP_bind_interdomain, &mut bind), ENOSPC);
    }
    report.result("a reset frees them", reset(), 0);
    report.check("again", alloc().is_ok());
}

/// XSA-338, XSA-342, XSA-343: after a reset, or with another layout, ports that were valid are not; what still knows
/// them must not mind.
fn xsa_338_reset(report: &mut Report) {
    let (control, array, second) = (Page::new(), Page::new(), Page::new());
    report.result("FIFO", init(control.mfn(), 0, 0), 0);
    for page in [array, second] {
        report.result(
            "an array",
            events::event_op(EVTCHNOP_expand_array, &mut EvtchnExpandArray { array_gfn: page.mfn() }),
            0,
        );
    }
    let mut highest = 0;
    while highest < 1500 {
        let Ok(port) = alloc() else { break };
        highest = port;
    }
    let mut bind = EvtchnBindInterdomain { remote_dom: DOMID_SELF, remote_port: highest, ..Default::default() };
    report.result("a channel with a high port", events::event_op(EVTCHNOP_bind_interdomain, &mut bind), 0);
    report.result("back to two levels", reset(), 0);
    for port in [bind.local_port, highest, 1024, 2047] {
        report.result("a port that was valid", events::send(port), EINVAL);
        report.result("is no more", events::close(port), EINVAL);
    }
    report.check("new ones are low", alloc().is_ok_and(|port| port < 1024));
    report.result("a reset", reset(), 0);
}

/// XSA-344: closing very many ports took as long as there were ports.
fn xsa_344_long_reset(report: &mut Report) {
    for _ in 0..3 {
        let mut count = 0;
        while alloc().is_ok() {
            count += 1;
        }
        report.check("all ports", count > 3000);
        report.result("a reset of them", reset(), 0);
    }
}

/// XSA-358, XSA-359: the order in which a control block's fields appeared.
fn xsa_358_fifo_order(report: &mut Report) {
    let (control, array) = (Page::new(), Page::new());
    for _ in 0..10 {
        let port = events::bind_ipi(0).unwrap_or(0);
        events::send(port);
        report.result("FIFO", init(control.mfn(), 0, 0), 0);
        events::send(port);
        report.result(
            "an array",
            events::event_op(EVTCHNOP_expand_array, &mut EvtchnExpandArray { array_gfn: array.mfn() }),
            0,
        );
        let word = (array.read(port as usize / 2) >> (port % 2 * 32)) as u32;
        report.check("the event is there", word >> EVTCHN_FIFO_PENDING & 1 == 1);
        report.check(
            "and its queue ready",
            control.read(0) as u32 & 1 << EVTCHN_FIFO_PRIORITY_DEFAULT != 0 || word >> EVTCHN_FIFO_MASKED & 1 == 1,
        );
        report.result("two levels", reset(), 0);
        for n in 0..512 {
            control.write(n, 0);
            array.write(n, 0);
        }
    }
}

/// XSA-237, XSA-360, XSA-458: messages of functions that do not exist, and half-made ones.
fn xsa_458_msi_errors(report: &mut Report) {
    for kind in [MAP_PIRQ_TYPE_MSI, MAP_PIRQ_TYPE_MSI_SEG, MAP_PIRQ_TYPE_MULTI_MSI] {
        for entry_nr in [0, 1, 2, 32, 33, i32::MAX, -1, i32::MIN] {
            for pirq in [-1, 0, 5, i32::MAX] {
                let mut map = PhysdevMapPirq {
                    domid: DOMID_SELF,
                    r#type: kind,
                    index: -1,
                    pirq,
                    bus: 0x7f,
                    devfn: 0xf8,
                    entry_nr,
                    table_base: 0x1000,
                    ..Default::default()
                };
                report.refused("a message", op(__HYPERVISOR_physdev_op, PHYSDEVOP_map_pirq, &mut map));
            }
        }
    }
}
