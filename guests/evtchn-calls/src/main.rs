//! event_channel_op with the 2-level layout, subcommand by subcommand: every error, every limit, all ports.
#![cfg_attr(target_os = "none", no_std, no_main)]

use guest_rt::abi::event_channel::*;
use guest_rt::abi::xen::*;
use guest_rt::hypercall::error::*;
use guest_rt::hypercall::{NOBODY, nowhere, poll};
use guest_rt::{Report, events, time};

guest_rt::guest!("evtchn-calls", run);

fn run(report: &mut Report) {
    for command in 0..=EVTCHNOP_set_priority {
        let result = nowhere(__HYPERVISOR_event_channel_op, command);
        report.expect("an argument nowhere", (command, result), (command, Some(EFAULT)));
    }
    // 14 is Xen's own, for a reset that goes on.
    for command in [15, 99, u32::MAX] {
        report.result("a subcommand that is not there", events::event_op(command, &mut [0u64; 4]), ENOSYS);
    }
    unbound(report);
    interdomain(report);
    virqs(report);
    pirqs(report);
    ports(report);
    vcpus(report);
    polls(report);
    exhaustion(report);
    reset(report);
}

fn alloc(dom: u16, remote_dom: u16) -> Result<u32, i64> {
    let mut argument = EvtchnAllocUnbound { dom, remote_dom, port: 0 };
    match events::event_op(EVTCHNOP_alloc_unbound, &mut argument) {
        0 => Ok(argument.port),
        error => Err(error),
    }
}

fn bind(remote_dom: u16, remote_port: u32) -> Result<u32, i64> {
    let mut argument = EvtchnBindInterdomain { remote_dom, remote_port, ..Default::default() };
    match events::event_op(EVTCHNOP_bind_interdomain, &mut argument) {
        0 => Ok(argument.local_port),
        error => Err(error),
    }
}

fn status(dom: u16, port: u32) -> Result<(u32, u32), i64> {
    let mut argument = EvtchnStatus { dom, port, ..Default::default() };
    match events::event_op(EVTCHNOP_status, &mut argument) {
        0 => Ok((argument.status, argument.vcpu)),
        error => Err(error),
    }
}

fn unbound(report: &mut Report) {
    report.expect("for nobody's port", alloc(NOBODY, DOMID_SELF), Err(ESRCH));
    report.expect("for no domain's port", alloc(DOMID_INVALID, DOMID_SELF), Err(ESRCH));
    // The other side may come later.
    for remote in [NOBODY, DOMID_INVALID, DOMID_SELF, 0] {
        let port = alloc(DOMID_SELF, remote);
        report.check("a port for anybody", port.is_ok());
        let port = port.unwrap_or(0);
        report.expect("is unbound", status(DOMID_SELF, port), Ok((EVTCHNSTAT_unbound, 0)));
        report.result(
            "cannot be told to another vcpu before",
            events::event_op(EVTCHNOP_bind_vcpu, &mut EvtchnBindVcpu { port, vcpu: 0 }),
            0,
        );
        report.result("closed", events::close(port), 0);
    }
}

fn interdomain(report: &mut Report) {
    report.expect("to nobody", bind(NOBODY, 1), Err(ESRCH));
    report.expect("to no domain", bind(DOMID_INVALID, 1), Err(ESRCH));
    for port in [0, 4095, 4096, 1 << 17, u32::MAX] {
        report.expect("to a port that is not there", bind(DOMID_SELF, port), Err(EINVAL));
    }
    let to_other = alloc(DOMID_SELF, NOBODY).unwrap_or(0);
    report.expect("to a port for another domain", bind(DOMID_SELF, to_other), Err(EINVAL));
    report.result("closed", events::close(to_other), 0);
    let ipi = events::bind_ipi(0).unwrap_or(0);
    report.expect("to a port that is no unbound one", bind(DOMID_SELF, ipi), Err(EINVAL));
    report.result("closed", events::close(ipi), 0);
}

fn virqs(report: &mut Report) {
    for virq in [NR_VIRQS, 25, 1 << 31, u32::MAX] {
        report.expect("a virtual interrupt that is not there", events::bind_virq(virq, 0), Err(EINVAL));
    }
    for virq in 0..NR_VIRQS {
        // Those that a domain has once are vcpu 0's.
        let once = matches!(virq, 2..=6 | 8..=12 | 14..);
        let want = if once { EINVAL } else { ENOENT };
        report.expect("of a vcpu that is not there", (virq, events::bind_virq(virq, 9999)), (virq, Err(want)));
        let port = events::bind_virq(virq, 0);
        report.expect("each can be bound", (virq, port.is_ok()), (virq, true));
        let Ok(port) = port else { continue };
        report.expect("once", events::bind_virq(virq, 0), Err(EEXIST));
        report.expect("is what it is", status(0, port), Ok((EVTCHNSTAT_virq, 0)));
        report.result("cannot be sent on", events::send(port), EINVAL);
        report.result("unmasking", events::unmask(port), 0);
        report.result("closed", events::close(port), 0);
    }
}

fn pirqs(report: &mut Report) {
    let bind = |pirq: u32, flags: u32| {
        let mut argument = EvtchnBindPirq { pirq, flags, ..Default::default() };
        match events::event_op(EVTCHNOP_bind_pirq, &mut argument) {
            0 => Ok(argument.port),
            error => Err(error),
        }
    };
    for pirq in [100_000, 1 << 31, u32::MAX] {
        report.expect("a physical interrupt that cannot be", bind(pirq, 0), Err(EINVAL));
    }
    report.differs(
        "one that is not mapped",
        bind(200, 0).map_or_else(|error| error, i64::from),
        EPERM,
        EINVAL,
        "a right is one to an interrupt; a number that stands for none needs none",
    );
}

fn ports(report: &mut Report) {
    for port in [0, 4095, 4096, 131_071, 131_072, u32::MAX] {
        report.result("sending on a port that is not there", events::send(port), EINVAL);
        report.result("closing one", events::close(port), EINVAL);
        let there = port != 0 && port < 4096;
        // Xen makes room for ports 32 at a time or so; in between, a port is closed and not wrong.
        let unmasked = events::unmask(port);
        report.check("unmasking one", unmasked == EINVAL || port == 0 && unmasked == 0 || there);
    }
    report.expect("the status of port 0", status(DOMID_SELF, 0), Ok((EVTCHNSTAT_closed, 0)));
    report.expect("of a port beyond all", status(DOMID_SELF, 4096), Err(EINVAL));
    report.expect("of nobody's", status(NOBODY, 1), Err(ESRCH));
    report.expect("of no domain's", status(DOMID_INVALID, 1), Err(ESRCH));
}

fn vcpus(report: &mut Report) {
    let bind = |port: u32, vcpu: u32| events::event_op(EVTCHNOP_bind_vcpu, &mut EvtchnBindVcpu { port, vcpu });
    let ipi = events::bind_ipi(0).unwrap_or(0);
    report.expect("an IPI of a vcpu that is not there", events::bind_ipi(1 << 13), Err(ENOENT));
    report.expect("of one of 2^32", events::bind_ipi(u32::MAX), Err(ENOENT));
    report.result("an IPI cannot be moved", bind(ipi, 0), EINVAL);
    report.result("nor to a vcpu that is not there", bind(ipi, 9999), ENOENT);
    report.result("closed", events::close(ipi), 0);
    report.result("a closed port cannot either", bind(ipi, 0), EINVAL);
    let timer = events::bind_virq(VIRQ_TIMER, 0).unwrap_or(0);
    report.result("nor a timer", bind(timer, 0), EINVAL);
    report.result("closed", events::close(timer), 0);
    let console = events::bind_virq(VIRQ_CON_RING, 0).unwrap_or(0);
    report.result("one that is for the domain can", bind(console, 0), 0);
    report.result("closed", events::close(console), 0);
}

/// XSA-221: polling a port that was never made was a null pointer in the hypervisor.
fn polls(report: &mut Report) {
    let soon = || time::now() + 1_000_000;
    let ipi = events::bind_ipi(0).unwrap_or(0);
    events::mask_all(true);
    events::set_mask(ipi, true);
    for port in [0, 4000, 4096, u32::MAX] {
        let one = poll(&[port], soon());
        let many = poll(&[ipi, port], soon());
        let want = EINVAL;
        report.expect("polling a port that is not there", (port, one), (port, want));
        report.expect("beside a good one", (port, many), (port, want));
    }
    let closed = events::bind_ipi(0).unwrap_or(0);
    report.result("closed", events::close(closed), 0);
    report.result("a port that was closed", poll(&[closed], soon()), EINVAL);
    report.result("no ports, until a time", poll(&[], soon()), 0);
    report.result("128 ports", poll(&[ipi; 128], soon()), 0);
    report.result("129 ports", poll(&[ipi; 129], soon()), EINVAL);
    report.result("a time that has passed", poll(&[ipi], 1), 0);
    events::send(ipi);
    report.result("a port that is pending and masked", poll(&[ipi], 0), 0);
    report.check("it still is", events::clear_pending(ipi));
    events::set_mask(ipi, false);
    events::mask_all(false);
    report.result("closed", events::close(ipi), 0);
}

/// XSA-317: when the ports came to their end, a half-made one was left.
fn exhaustion(report: &mut Report) {
    let mut count = 0;
    let mut last = Ok(0);
    while count < 5000 {
        last = alloc(DOMID_SELF, DOMID_SELF);
        if last.is_err() {
            break;
        }
        count += 1;
    }
    report.expect("the ports end", last, Err(ENOSPC));
    report.check("after many", (3000..=4095).contains(&count));
    report.expect("for all kinds", (events::bind_ipi(0), events::bind_virq(VIRQ_DEBUG, 0)), (Err(ENOSPC), Err(ENOSPC)));
    report.expect("a channel to oneself, too", bind(DOMID_SELF, 100), Err(ENOSPC));
    report.expect("which left the port as it was", status(DOMID_SELF, 100), Ok((EVTCHNSTAT_unbound, 0)));
    report.result("the last one works", events::unmask(4095), 0);
    let closed = (1..4096).filter(|&port| events::close(port) == 0).count();
    report.expect("all can be closed", closed, count);
    report.check("and made again", events::bind_ipi(0).is_ok_and(|port| events::close(port) == 0));
}

/// XSA-338, XSA-343, XSA-344: after a reset ports that were valid are not, while others still use them.
fn reset(report: &mut Report) {
    let reset = |dom: u16| events::event_op(EVTCHNOP_reset, &mut EvtchnReset { dom });
    report.result("resetting nobody", reset(NOBODY), ESRCH);
    report.result("no domain", reset(DOMID_INVALID), ESRCH);
    for _ in 0..3 {
        let ports = [events::bind_ipi(0), events::bind_virq(VIRQ_DEBUG, 0), alloc(DOMID_SELF, DOMID_SELF)];
        let [ipi, virq, unbound] = ports.map(|port| port.unwrap_or(0));
        let far = bind(DOMID_SELF, unbound).unwrap_or(0);
        report.result("a reset of one's own channels", reset(DOMID_SELF), 0);
        for port in [ipi, virq, unbound, far] {
            report.expect("closes each port", events::close(port), EINVAL);
            report.expect("says so", status(DOMID_SELF, port).map_or(0, |(status, _)| status), EVTCHNSTAT_closed);
        }
    }
    report
        .check("ports can be made again", events::bind_virq(VIRQ_DEBUG, 0).is_ok_and(|port| events::close(port) == 0));
}
