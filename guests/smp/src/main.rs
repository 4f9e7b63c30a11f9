//! Other vcpus: started by `VCPUOP_initialise`, reached by interrupts, and refused where their context would break a
//! rule. Run with two vcpus or more.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU64, Ordering};
use guest_rt::abi::vcpu::*;
use guest_rt::memory::{self, Page};
use guest_rt::{Report, events, hypercall, smp, time};

guest_rt::guest!("smp", run);

static ARRIVED: AtomicU64 = AtomicU64::new(0);
static GO: AtomicU64 = AtomicU64::new(0);
static COUNT: AtomicU64 = AtomicU64::new(0);

const ENOENT: i64 = -2;
const EINVAL: i64 = -22;
const EEXIST: i64 = -17;

extern "C" fn other(argument: u64) -> ! {
    ARRIVED.store(argument, Ordering::SeqCst);
    while GO.load(Ordering::SeqCst) == 0 {
        core::hint::spin_loop();
    }
    for _ in 0..100_000 {
        COUNT.fetch_add(1, Ordering::SeqCst);
    }
    ARRIVED.store(argument + 1, Ordering::SeqCst);
    loop {
        smp::vcpu_op(VCPUOP_down, 1, 0);
    }
}

fn until(what: impl Fn() -> bool) -> bool {
    let end = time::now() + 5_000_000_000;
    while !what() {
        if time::now() > end {
            return false;
        }
        hypercall::sched_yield();
    }
    true
}

fn run(report: &mut Report) {
    report.result("is_up of vcpu 0", smp::is_up(0), 1);
    report.result("is_up of a vcpu that cannot be", smp::is_up(8191), ENOENT);
    report.result("a vcpu_op that is not there", smp::vcpu_op(99, 0, 0), -38);
    runstate(report);
    if smp::is_up(1) == ENOENT {
        report.skip("a second vcpu");
        return;
    }
    report.result("is_up of a vcpu that was not started", smp::is_up(1), 0);
    report.result("up of a vcpu that was not initialised", smp::vcpu_op(VCPUOP_up, 1, 0), EINVAL);
    bad_contexts(report);

    report.expect("starting vcpu 1", smp::start(1, other, 0x77), Ok(()));
    report.check("it runs", until(|| ARRIVED.load(Ordering::SeqCst) == 0x77));
    report.result("is_up", smp::is_up(1), 1);
    let context = smp::context(other, 0);
    let at = (&raw mut *context).addr() as u64;
    report.result("initialising it again", smp::vcpu_op(VCPUOP_initialise, 1, at), EEXIST);
    GO.store(1, Ordering::SeqCst);
    for _ in 0..100_000 {
        COUNT.fetch_add(1, Ordering::SeqCst);
    }
    report.check("it gets through its loop", until(|| ARRIVED.load(Ordering::SeqCst) == 0x78));
    report.expect("both counted", COUNT.load(Ordering::SeqCst), 200_000);
    report.check("it goes down", until(|| smp::is_up(1) == 0));
    report.result("and up", smp::vcpu_op(VCPUOP_up, 1, 0), 0);
    report.check("and down again", until(|| smp::is_up(1) == 0));

    let port = events::bind_ipi(1);
    report.check("a port of vcpu 1", port.is_ok());
    if let Ok(port) = port {
        events::mask_all(false);
        events::send(port);
        report.check("is pending for it, not for vcpu 0", events::is_pending(port) && events::count(port) == 0);
        events::close(port);
    }
}

fn bad_contexts(report: &mut Report) {
    let mut refused = |what: &'static str, change: &dyn Fn(&mut guest_rt::abi::arch_x86::VcpuGuestContext)| {
        let context = smp::context(other, 0);
        change(context);
        let at = (&raw mut *context).addr() as u64;
        let result = smp::vcpu_op(VCPUOP_initialise, 1, at);
        report.check(what, result < 0);
    };
    refused("a root that is no root", &|context| context.ctrlreg[3] = Page::new().mfn() << 12);
    refused("a root that is not there", &|context| context.ctrlreg[3] = u64::MAX << 12);
    refused("a GDT in a writable page", &|context| {
        context.gdt_frames[0] = Page::new().mfn();
        context.gdt_ents = 512;
    });
    refused("a GDT that is too large", &|context| context.gdt_ents = 1 << 20);
    refused("an entry point in the hypervisor's space is no reason, a root that is not the domain's is", &|context| {
        context.ctrlreg[3] = 0x1200 << 12;
    });
    report.result("a context that is not mapped", smp::vcpu_op(VCPUOP_initialise, 1, 0x1000), -14);
    report.result("a vcpu that is not there", smp::vcpu_op(VCPUOP_initialise, 8191, 0), ENOENT);
    let _ = memory::PAGE_SIZE;
}

fn runstate(report: &mut Report) {
    let mut info = VcpuRunstateInfo::default();
    let at = (&raw mut info).addr() as u64;
    report.result("get_runstate_info", smp::vcpu_op(VCPUOP_get_runstate_info, 0, at), 0);
    report.expect("it runs", info.state, RUNSTATE_running);
    report.check("it has run for some time", info.time[RUNSTATE_running as usize] > 0);
    let sum: u64 = info.time.iter().sum();
    let start = time::now();
    while time::now() < start + 5_000_000 {}
    report.result("again", smp::vcpu_op(VCPUOP_get_runstate_info, 0, at), 0);
    let more = info.time.iter().sum::<u64>() - sum;
    report.check("five milliseconds are in the sum", (5_000_000..500_000_000).contains(&more));
}
