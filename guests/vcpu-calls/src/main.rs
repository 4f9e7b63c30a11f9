//! sched_op, vcpu_op, set_timer_op and the time ABI: each subcommand's success, errors and limits; runstate and time
//! areas, a moved vcpu_info, NMIs, watchdogs, timers at both ends of time (XSA-20: a period that overflowed became a loop).
#![cfg_attr(target_os = "none", no_std, no_main)]

use guest_rt::abi::sched::*;
use guest_rt::abi::vcpu::*;
use guest_rt::abi::xen::*;
use guest_rt::hypercall::error::*;
use guest_rt::hypercall::{NOBODY, NOWHERE, nowhere, op, poll, raw};
use guest_rt::memory::{self, Page};
use guest_rt::smp::{Rival, vcpu_op};
use guest_rt::{Report, events, smp, start, time, trap};

guest_rt::guest!("vcpu-calls", run);

fn run(report: &mut Report) {
    events::mask_all(false);
    sched(report);
    commands(report);
    timers(report);
    areas(report);
    wall_clock(report);
    records(report);
    others(report);
}

fn with<T>(command: u32, vcpu: u32, argument: &mut T) -> i64 {
    vcpu_op(command, vcpu, (&raw mut *argument).addr() as u64)
}

fn sched(report: &mut Report) {
    let call = |command: u32| raw(__HYPERVISOR_sched_op, [command.into(), 0, 0, 0, 0]);
    for command in [SCHEDOP_shutdown, SCHEDOP_poll, SCHEDOP_remote_shutdown, SCHEDOP_watchdog, SCHEDOP_pin_override] {
        report.expect(
            "an argument nowhere",
            (command, nowhere(__HYPERVISOR_sched_op, command)),
            (command, Some(EFAULT)),
        );
    }
    for command in [8, 9, 99, u32::MAX] {
        report.result("a subcommand that is not there", call(command), ENOSYS);
    }
    report.result("yield", call(SCHEDOP_yield), 0);
    let mut remote = SchedRemoteShutdown { domain_id: NOBODY, reason: 0, ..Default::default() };
    report.result("shutting nobody down", op(__HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, &mut remote), ESRCH);
    remote.domain_id = DOMID_SELF;
    report.result("oneself by DOMID_SELF", op(__HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, &mut remote), ESRCH);
    let dog = |id: u32, timeout: u32| op(__HYPERVISOR_sched_op, SCHEDOP_watchdog, &mut SchedWatchdog { id, timeout });
    // On Xen 4.17 that is a watchdog that bites at once.
    if start::is_ferroxen() {
        report.differs("a watchdog of no time", dog(0, 0), 1, EINVAL, "it could only kill the domain");
    }
    report.result("one that is not there", dog(3, 5), EINVAL);
    report.result("one that was not started", dog(1, 5), EINVAL);
    report.result("one", dog(0, 100), 1);
    report.result("two", dog(0, u32::MAX), 2);
    report.result("no third", dog(0, 100) as i32 as i64, ENOSPC);
    report.result("set again", dog(1, 200), 0);
    report.result("stopped", dog(1, 0), 0);
    report.result("stopped again", dog(1, 0), EINVAL);
    report.result("the other", dog(2, 0), 0);
    let pin = |pcpu: i32| op(__HYPERVISOR_sched_op, SCHEDOP_pin_override, &mut SchedPinOverride { pcpu });
    report.result("pinned to a CPU that is not there", pin(9999), EINVAL);
    report.result("not pinned", pin(-1), EINVAL);
    let compat = |command: u64, argument: u64| raw(__HYPERVISOR_sched_op_compat, [command, argument, 0, 0, 0]);
    report.result("the old yield", compat(0, 0), 0);
    report.result("an old one that is not there", compat(3, 0), ENOSYS);
}

fn commands(report: &mut Report) {
    for command in 0..14 {
        report.result("of a vcpu that is not there", vcpu_op(command, 2, 0), ENOENT);
        report.result("of one of 2^32", vcpu_op(command, u32::MAX, 0), ENOENT);
    }
    for command in [14, 99, u32::MAX] {
        report.result("a subcommand that is not there", vcpu_op(command, 0, 0), ENOSYS);
    }
    for (command, own, other) in [
        (VCPUOP_initialise, EFAULT, EFAULT),
        (VCPUOP_get_runstate_info, EFAULT, EFAULT),
        (VCPUOP_register_runstate_memory_area, EFAULT, EFAULT),
        (VCPUOP_set_periodic_timer, EFAULT, EFAULT),
        (VCPUOP_set_singleshot_timer, EFAULT, EINVAL),
        (VCPUOP_register_vcpu_info, EFAULT, EFAULT),
        (VCPUOP_register_vcpu_time_memory_area, EFAULT, EFAULT),
    ] {
        for at in NOWHERE {
            report.expect("an argument nowhere", (command, vcpu_op(command, 0, at)), (command, own));
            report.expect("for another vcpu", (command, vcpu_op(command, 1, at)), (command, other));
        }
    }
    report.result("up of one that is up", vcpu_op(VCPUOP_up, 0, 0), 0);
    report.result("up of one that has no context", vcpu_op(VCPUOP_up, 1, 0), EINVAL);
    report.result("is it up", smp::is_up(1), 0);
    report.result("down of one that is down", vcpu_op(VCPUOP_down, 1, 0), 0);
    let mut id = VcpuGetPhysid::default();
    report.result("get_physid of one that is not pinned", with(VCPUOP_get_physid, 0, &mut id), EINVAL);
    report.result("a timer of another's", vcpu_op(VCPUOP_stop_singleshot_timer, 1, 0), EINVAL);
    report.result("stopping no timer", vcpu_op(VCPUOP_stop_singleshot_timer, 0, 0), 0);
    report.result("nor period", vcpu_op(VCPUOP_stop_periodic_timer, 0, 0), 0);
}

fn timers(report: &mut Report) {
    let Ok(port) = events::bind_virq(VIRQ_TIMER, 0) else { return };
    let period = |ns: u64| with(VCPUOP_set_periodic_timer, 0, &mut VcpuSetPeriodicTimer { period_ns: ns });
    let sleep = |ns: u64| {
        let end = time::now() + ns;
        while time::now() < end {
            poll(&[], end);
        }
    };
    for ns in [0, 1, 999_999, 1 << 62, 1 << 63, u64::MAX] {
        report.result("a period that is too short or too long", period(ns), EINVAL);
    }
    report.result("the longest one", period(u64::MAX >> 2), 0);
    report.result("the shortest one", period(1_000_000), 0);
    let start = time::now();
    sleep(100_000_000);
    let (ticks, passed) = (u64::from(events::count(port)), time::now() - start);
    guest_rt::println!("{ticks} ticks in {passed} ns");
    // A busy machine misses some.
    report.check("ticks", ticks >= 2 && ticks <= passed / 1_000_000 + 2);
    report.result("is stopped", vcpu_op(VCPUOP_stop_periodic_timer, 0, 0), 0);
    let ticks = events::count(port);
    sleep(5_000_000);
    report.check("ticks no more", events::count(port) <= ticks + 1);
    for (what, at) in [("far away", u64::MAX), ("at the end of time", i64::MAX as u64), ("beyond it", 1 << 63)] {
        let before = events::count(port);
        report.result(what, time::set_singleshot(0, at, 0), 0);
        sleep(1_000_000);
        let fired = events::count(port) - before;
        guest_rt::println!("a timer {what} fired {fired} times");
        report.check("at most once", fired <= 1);
        report.result("stopped", vcpu_op(VCPUOP_stop_singleshot_timer, 0, 0), 0);
    }
    for at in [u64::MAX, i64::MAX as u64, 1 << 63, 1 << 62] {
        report.result("set_timer_op, far away", time::set_timer(at), 0);
    }
    let before = events::count(port);
    report.result("set_timer_op in the past", time::set_timer(1), 0);
    sleep(2_000_000);
    report.expect("fires", events::count(port), before + 1);
    report.result("no timer", time::set_timer(0), 0);
    // The newest time holds, not the earliest.
    let before = events::count(port);
    time::set_timer(time::now() + 2_000_000);
    time::set_timer(time::now() + 3_600_000_000_000);
    sleep(5_000_000);
    report.expect("a later time replaces an earlier one", events::count(port), before);
    time::set_timer(0);
    events::close(port);
}

fn areas(report: &mut Report) {
    let page = Page::new();
    let area =
        |at: u64| with(VCPUOP_register_runstate_memory_area, 0, &mut VcpuRegisterRunstateMemoryArea { addr: at });
    report.result("a runstate area", area(page.va()), 0);
    report.expect("is filled at once", page.read(0) as u32 as i32, RUNSTATE_running);
    let sum = || (2..6).map(|n| page.read(n)).sum::<u64>();
    report.check("with times", page.read(1) > 0 && sum() > 0);
    let start = page.read(1);
    poll(&[], time::now() + 3_000_000);
    report.check(
        "it moves when the vcpu waits",
        page.read(1) > start && page.read(2 + RUNSTATE_blocked as usize) >= 2_000_000,
    );
    for at in NOWHERE {
        // Where no guest can have it, it is refused; else it may be mapped later.
        let want = if guest_rt::memory::is_guest(at) { 0 } else { EFAULT };
        report.result("an area nowhere", area(at), want);
        poll(&[], time::now() + 200_000);
    }
    report.result("across the end of a page", area(page.va() + 4096 - 8), 0);
    report.result("no area", area(0), 0);
    let clock = |at: u64| with(VCPUOP_register_vcpu_time_memory_area, 0, &mut VcpuRegisterTimeMemoryArea { addr: at });
    (0..8).for_each(|n| page.write(n, 0));
    report.result("a time area", clock(page.va()), 0);
    let now = time::now();
    poll(&[], now + 1_500_000_000);
    report.check("is filled", page.read(1) != 0 && page.read(2) > 0 && page.read(3) as u32 != 0);
    report.expect("its version is even", page.read(0) & 1, 0);
    for at in NOWHERE {
        let want = if guest_rt::memory::is_guest(at) { 0 } else { EFAULT };
        report.result("a time area nowhere", clock(at), want);
        poll(&[], time::now() + 200_000);
    }
    report.result("no time area", clock(0), 0);
}

fn wall_clock(report: &mut Report) {
    let version = events::shared_word(0xc00).load(core::sync::atomic::Ordering::SeqCst);
    let seconds = version >> 32;
    report.expect("the wall clock's version is even", version & 1, 0);
    // 2020 to 2106.
    report.check("the time at boot is plausible", seconds > 1_577_000_000);
}

/// VCPUOP_register_vcpu_info. XSA-327: an offset that was not aligned.
fn records(report: &mut Report) {
    let page = Page::new();
    let table = memory::entry(page.va(), 1).map_or(0, |entry| entry.machine >> 12);
    let register = |vcpu: u32, mfn: u64, offset: u32| {
        with(VCPUOP_register_vcpu_info, vcpu, &mut VcpuRegisterVcpuInfo { mfn, offset, rsvd: 0 })
    };
    for (what, mfn, offset, want) in [
        ("across the end of its page", page.mfn(), 4096 - 56, ENXIO),
        ("behind it", page.mfn(), 4096, ENXIO),
        ("far behind it", page.mfn(), u32::MAX, ENXIO),
        ("in a frame that is not there", 0xf_ffff_ffff, 0, EINVAL),
        ("in the hypervisor", 0x200, 0, EINVAL),
        ("in a page table", table, 0, EINVAL),
    ] {
        report.expect(what, register(1, mfn, offset), want);
    }
    for offset in [1, 4, 7, 63] {
        report.refused("not aligned", register(1, page.mfn(), offset));
    }
    report.result("of another vcpu that is down", register(1, page.mfn(), 64), 0);
    report.result("once", register(1, page.mfn(), 128), EINVAL);
    report.result("its frame is in use", page.make_read_only(), 0);
    report.refused("its frame is in use", page.pin(1));
    report.result("writable", page.make_writable(), 0);
}

fn nothing() {
    guest_rt::hypercall::sched_yield();
}

fn others(report: &mut Report) {
    let rival = Rival::start(1, nothing);
    report.check("vcpu 1 starts", rival.is_ok());
    let Ok(rival) = rival else { return };
    report.check("and runs", smp::until(|| rival.rounds() > 5));
    report.result(
        "another that is up cannot be moved",
        with(VCPUOP_register_vcpu_info, 1, &mut VcpuRegisterVcpuInfo { mfn: Page::new().mfn(), ..Default::default() }),
        EINVAL,
    );
    let mut info = VcpuRunstateInfo::default();
    report.result("its run states", with(VCPUOP_get_runstate_info, 1, &mut info), 0);
    report.check("are plausible", (0..4).contains(&info.state) && info.time.iter().sum::<u64>() > 0);
    report.result(
        "a period for it",
        with(VCPUOP_set_periodic_timer, 1, &mut VcpuSetPeriodicTimer { period_ns: 10_000_000 }),
        0,
    );
    report.result("and none", vcpu_op(VCPUOP_stop_periodic_timer, 1, 0), 0);
    report.result("a timer for it", time::set_singleshot(1, time::now(), 0), EINVAL);
    let rounds = rival.rounds();
    report.result("down by another", vcpu_op(VCPUOP_down, 1, 0), 0);
    report.result("is down", smp::is_up(1), 0);
    let stopped = rival.rounds();
    poll(&[], time::now() + 2_000_000);
    report.check("and does nothing", rival.rounds() <= stopped + 1);
    report.result("up again", vcpu_op(VCPUOP_up, 1, 0), 0);
    report.check("goes on", smp::until(|| rival.rounds() > rounds + 5));
    report.check("stops", rival.stop());
    for count in 1..4 {
        report.result("an NMI to oneself", vcpu_op(VCPUOP_send_nmi, 0, 0), 0);
        report.expect("comes at once", trap::nmis(), count);
    }
    report.result("no handler", raw(__HYPERVISOR_nmi_op, [1, 0, 0, 0, 0]), 0);
    report.result("an NMI without a handler waits", vcpu_op(VCPUOP_send_nmi, 0, 0), 0);
    report.expect("it does", trap::nmis(), 3);
}
