//! What a vcpu keeps to itself: vector and x87 registers, MXCSR, debug registers, FS and GS bases. Two vcpus fill theirs
//! with different values and yield to each other; a value of the other one that shows up is a leak. With both on one
//! CPU (`dom0_max_vcpus=2`, one CPU) every yield is a context switch.
#![cfg_attr(target_os = "none", no_std, no_main)]
// The instructions under test.
#![allow(unsafe_code)]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use guest_rt::{Report, hypercall, probe, smp, time};

guest_rt::guest!("state", run);

static STOP: AtomicU64 = AtomicU64::new(0);
static ROUNDS: AtomicU64 = AtomicU64::new(0);
static WRONG: AtomicU64 = AtomicU64::new(0);

/// Fills registers with values made from `seed`.
fn fill(seed: u64) {
    // SAFETY: the guest is compiled without vector registers and x87, and restores MXCSR to a valid value.
    unsafe {
        asm!(
            "movq xmm0, {0}", "movq xmm7, {0}", "movq xmm15, {0}",
            "push {0}", "fninit", "fld qword ptr [rsp]", "pop {1}",
            "push {2}", "ldmxcsr [rsp]", "pop {1}",
            in(reg) f64_bits(seed), out(reg) _, in(reg) mxcsr(seed),
        );
    }
    let _ = probe::write_dr0(seed << 12);
    let _ = probe::wrmsr(0xc000_0100, seed << 20);
    let _ = probe::wrmsr(0xc000_0102, seed << 24);
}

/// A normal floating-point number that holds the seed.
fn f64_bits(seed: u64) -> u64 {
    0x3ff0_0000_0000_0000 | seed
}

/// All exceptions masked, a rounding mode by the seed.
fn mxcsr(seed: u64) -> u64 {
    0x1f80 | (seed & 3) << 13
}

/// Which of the values are not what `fill` left: a bit each.
fn differences(seed: u64) -> u64 {
    let (xmm0, xmm7, xmm15, control): (u64, u64, u64, u64);
    let x87: u64;
    // SAFETY: reads registers; the x87 value goes through the stack and comes back on top.
    unsafe {
        asm!(
            "movq {0}, xmm0", "movq {1}, xmm7", "movq {2}, xmm15",
            "push 0", "fst qword ptr [rsp]", "pop {3}",
            "push 0", "stmxcsr [rsp]", "pop {4}",
            out(reg) xmm0, out(reg) xmm7, out(reg) xmm15, out(reg) x87, out(reg) control,
        );
    }
    let seen = [
        xmm0 == f64_bits(seed),
        xmm7 == f64_bits(seed),
        xmm15 == f64_bits(seed),
        x87 == f64_bits(seed),
        control & 0xffff == mxcsr(seed),
        probe::read_dr0() == Ok(seed << 12),
        probe::rdmsr(0xc000_0100) == Ok(seed << 20),
        probe::rdmsr(0xc000_0102) == Ok(seed << 24),
    ];
    seen.iter().enumerate().fold(0, |bits, (n, same)| bits | u64::from(!same) << n)
}

extern "C" fn other(_: u64) -> ! {
    let mut seed = 0x5000;
    while STOP.load(Ordering::SeqCst) == 0 {
        fill(seed);
        for _ in 0..4 {
            hypercall::sched_yield();
            WRONG.fetch_or(differences(seed), Ordering::SeqCst);
        }
        ROUNDS.fetch_add(1, Ordering::SeqCst);
        seed = 0x5000 | (seed + 1) & 0xff;
    }
    loop {
        smp::vcpu_op(guest_rt::abi::vcpu::VCPUOP_down, 1, 0);
    }
}

fn run(report: &mut Report) {
    report.expect("a vcpu starts with clean debug registers", probe::read_dr7(), Ok(0x400));
    fill(0x1234);
    report.expect("what was filled is there", differences(0x1234), 0);
    fill(0x1235);
    for _ in 0..1000 {
        hypercall::sched_yield();
    }
    report.expect("and stays over a thousand hypercalls", differences(0x1235), 0);
    // The lazy switch: TS is set, the next use raises #NM, and the value is still there.
    let task_switch = |on: u64| hypercall::raw(guest_rt::abi::xen::__HYPERVISOR_fpu_taskswitch, [on, 0, 0, 0, 0]);
    report.result("fpu_taskswitch(1)", task_switch(1), 0);
    hypercall::sched_yield();
    report.result("fpu_taskswitch(0)", task_switch(0), 0);
    report.expect("values survive TS", differences(0x1235), 0);

    if smp::is_up(1) < 0 {
        report.skip("a second vcpu");
        return;
    }
    report.expect("starting vcpu 1", smp::start(1, other, 0), Ok(()));
    let mut wrong = 0;
    let mut seed = 0x2000;
    let end = time::now() + 1_500_000_000;
    while time::now() < end {
        fill(seed);
        for _ in 0..4 {
            hypercall::sched_yield();
            wrong |= differences(seed);
        }
        seed = 0x2000 | (seed + 1) & 0xff;
    }
    STOP.store(1, Ordering::SeqCst);
    let rounds = ROUNDS.load(Ordering::SeqCst);
    guest_rt::println!("{rounds} rounds of the other vcpu");
    report.check("the other vcpu ran", rounds > 0);
    report.expect("vcpu 0 kept its registers", wrong, 0);
    report.expect("vcpu 1 kept its own", WRONG.load(Ordering::SeqCst), 0);
}
