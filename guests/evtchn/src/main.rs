//! Event channels of the 2-level kind, and the timers that arrive on them.
#![cfg_attr(target_os = "none", no_std, no_main)]

use guest_rt::abi::event_channel::*;
use guest_rt::abi::vcpu::VCPU_SSHOTTMR_future;
use guest_rt::abi::xen::{DOMID_SELF, VIRQ_DEBUG, VIRQ_TIMER};
use guest_rt::{Report, events, hypercall, time};

guest_rt::guest!("evtchn", run);

const EINVAL: i64 = -22;
const ENOENT: i64 = -2;
const EEXIST: i64 = -17;

fn run(report: &mut Report) {
    let Some(port) = ipi(report) else { return };
    virqs(report);
    unbound(report);
    masks(report, port);
    polling(report, port);
    timers(report);
    errors(report);
    report.result("closing the port", events::close(port), 0);
    report.result("closing it twice", events::close(port), EINVAL);
    report.result("sending on it", events::send(port), EINVAL);
}

fn status(port: u32) -> Result<EvtchnBinding, i64> {
    let mut argument = EvtchnStatus { dom: DOMID_SELF, port, ..Default::default() };
    match events::event_op(EVTCHNOP_status, &mut argument) {
        0 => argument.decode().ok_or(0),
        error => Err(error),
    }
}

fn ipi(report: &mut Report) -> Option<u32> {
    events::mask_all(true);
    let port = events::bind_ipi(0);
    report.check("bind_ipi", port.is_ok_and(|port| port > 0));
    let port = port.ok()?;
    report.expect("its status", status(port), Ok(EvtchnBinding::Ipi));
    report.result("sending on it", events::send(port), 0);
    report.check("its bit is set", events::is_pending(port));
    report.check("the vcpu has something pending", events::upcall_pending());
    report.expect("nothing is delivered while events are masked", events::count(port), 0);
    events::mask_all(false);
    hypercall::sched_yield();
    report.expect("it is delivered by the next hypercall", events::count(port), 1);
    report.check("and cleared", !events::is_pending(port));
    for _ in 0..100 {
        events::send(port);
    }
    report.expect("a hundred more", events::count(port), 101);
    Some(port)
}

fn virqs(report: &mut Report) {
    let debug = events::bind_virq(VIRQ_DEBUG, 0);
    report.check("bind_virq", debug.is_ok());
    report.expect("binding it twice", events::bind_virq(VIRQ_DEBUG, 0), Err(EEXIST));
    if let Ok(port) = debug {
        report.expect("its status", status(port), Ok(EvtchnBinding::Virq(VIRQ_DEBUG)));
        report.result("sending on a virtual interrupt's port", events::send(port), EINVAL);
        report.result("closing it", events::close(port), 0);
        report.expect("its status", status(port), Ok(EvtchnBinding::Closed));
        let again = events::bind_virq(VIRQ_DEBUG, 0);
        report.check("binding it again", again.is_ok());
        report.result("closing it again", again.map_or(0, events::close), 0);
    }
    report.expect("a virtual interrupt that is not there", events::bind_virq(24, 0), Err(EINVAL));
    report.expect("one of a vcpu that is not there", events::bind_virq(VIRQ_TIMER, 77), Err(ENOENT));
    report.expect("no port for such a vcpu", events::bind_ipi(77), Err(ENOENT));
}

/// A channel from the domain to itself.
fn unbound(report: &mut Report) {
    let mut alloc = EvtchnAllocUnbound { dom: DOMID_SELF, remote_dom: DOMID_SELF, port: 0 };
    report.result("alloc_unbound", events::event_op(EVTCHNOP_alloc_unbound, &mut alloc), 0);
    let port = alloc.port;
    report.check("its status", matches!(status(port), Ok(EvtchnBinding::Unbound(_))));
    report.result("sending on a port without a remote end", events::send(port), 0);
    let mut bind = EvtchnBindInterdomain { remote_dom: DOMID_SELF, remote_port: port, ..Default::default() };
    report.result("bind_interdomain", events::event_op(EVTCHNOP_bind_interdomain, &mut bind), 0);
    let local = bind.local_port;
    report.check("another port", local != port && local > 0);
    report.check("status of one end", matches!(status(local), Ok(EvtchnBinding::Interdomain(_, p)) if p == port));
    report.check("status of the other", matches!(status(port), Ok(EvtchnBinding::Interdomain(_, p)) if p == local));
    // Binding sets the new port pending once, in case the other end sent before.
    hypercall::sched_yield();
    let (one, other) = (events::count(local), events::count(port));
    report.result("sending on one end", events::send(port), 0);
    report.expect("arrives at the other", (events::count(local), events::count(port)), (one + 1, other));
    report.result("binding a bound port", events::event_op(EVTCHNOP_bind_interdomain, &mut bind), EINVAL);
    report.result("closing one end", events::close(local), 0);
    report.check("leaves the other unbound", matches!(status(port), Ok(EvtchnBinding::Unbound(_))));
    report.result("closing it", events::close(port), 0);
}

fn masks(report: &mut Report, port: u32) {
    let before = events::count(port);
    events::set_mask(port, true);
    events::send(port);
    report.expect("a masked port is not delivered", events::count(port), before);
    report.check("but pending", events::is_pending(port));
    report.result("unmask", events::unmask(port), 0);
    report.expect("delivers it", events::count(port), before + 1);
    report.result("unmasking a port that is not there", events::unmask(4096), EINVAL);
}

fn polling(report: &mut Report, port: u32) {
    events::mask_all(true);
    events::set_mask(port, true);
    events::send(port);
    report.result("poll of a pending port", hypercall::poll(&[port], 0), 0);
    events::clear_pending(port);
    let start = time::now();
    report.result("poll until a time", hypercall::poll(&[port], start + 20_000_000), 0);
    let waited = time::now() - start;
    report.check("waits that long", waited >= 20_000_000);
    report.check("and not for ever", waited < 1_000_000_000);
    report.result("poll of a port that cannot be", hypercall::poll(&[u32::MAX], start), EINVAL);
    report.check("poll of too many ports", hypercall::poll(&[port; 129], start) == EINVAL);
    events::set_mask(port, false);
    events::mask_all(false);
    hypercall::sched_yield();
}

fn timers(report: &mut Report) {
    let Ok(port) = events::bind_virq(VIRQ_TIMER, 0) else {
        report.check("bind_virq(VIRQ_TIMER)", false);
        return;
    };
    let mut last = time::now();
    let mut backwards = 0;
    for _ in 0..10_000 {
        let now = time::now();
        backwards += u32::from(now < last);
        last = now;
    }
    report.expect("time never runs backwards", backwards, 0);

    let wait = |from: u32| {
        let end = time::now() + 2_000_000_000;
        // A one-shot timer that was refused must not end in a block without end.
        while events::count(port) == from && time::now() < end {
            hypercall::poll(&[], time::now() + 100_000);
        }
        events::count(port) - from
    };
    for delay in [1_000_000, 10_000_000, 50_000_000] {
        let (from, at) = (events::count(port), time::now() + delay);
        report.result("set_timer_op", time::set_timer(at), 0);
        report.expect("one timer event", wait(from), 1);
        report.check("not before its time", time::now() + 100_000 >= at);
    }
    let from = events::count(port);
    let past = time::now() - 1_000_000;
    report.result("a one-shot timer in the past", time::set_singleshot(0, past, 0), 0);
    report.expect("fires at once", wait(from), 1);
    // The header promises -ETIME for this flag; Xen has ignored it since 4.17.
    let from = events::count(port);
    report.result("one with the flag", time::set_singleshot(0, past, VCPU_SSHOTTMR_future), 0);
    report.expect("fires at once too", wait(from), 1);
    report.result(
        "one of another vcpu",
        time::set_singleshot(1, past, 0),
        if guest_rt::smp::is_up(1) < 0 { ENOENT } else { EINVAL },
    );
    report.result("no timer", time::set_timer(0), 0);
    events::close(port);
}

fn errors(report: &mut Report) {
    report.result("status of a port beyond all", status(u32::MAX).map_or_else(|error| error, |_| 0), EINVAL);
    report.result("sending on port 0", events::send(0), EINVAL);
    report.result("a subcommand that is not there", events::event_op(99, &mut [0u64; 4]), -38);
    let raw = |at: u64| {
        hypercall::raw(guest_rt::abi::xen::__HYPERVISOR_event_channel_op, [EVTCHNOP_send.into(), at, 0, 0, 0])
    };
    report.result("an argument that is not mapped", raw(0x1000), -14);
    report.result("an argument in the hypervisor's space", raw(0xffff_8300_0000_0000), -14);
    report.result("an argument that is not canonical", raw(1 << 47), -14);
    report.result("an argument that wraps", raw(u64::MAX - 1), -14);
    let mut vcpu = EvtchnBindVcpu { port: 0, vcpu: 0 };
    report.result("bind_vcpu of port 0", events::event_op(EVTCHNOP_bind_vcpu, &mut vcpu), EINVAL);
    let mut remote = EvtchnBindInterdomain { remote_dom: 0x1234, remote_port: 1, ..Default::default() };
    report.result("a domain that is not there", events::event_op(EVTCHNOP_bind_interdomain, &mut remote), -3);
}
