//! Time by the guest's time record, and one-shot timers.

use crate::{events, hypercall};
use core::sync::atomic::{Ordering, fence};
use xen_abi::vcpu::{VCPUOP_set_singleshot_timer, VcpuSetSingleshotTimer};
use xen_abi::xen::{__HYPERVISOR_set_timer_op, __HYPERVISOR_vcpu_op};

fn rdtsc() -> u64 {
    // SAFETY: reads a counter.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Nanoseconds since boot, by the record of the first vcpu.
pub fn now() -> u64 {
    // struct vcpu_time_info starts at offset 32 of struct vcpu_info.
    let word = |n: usize| events::shared_word(32 + n * 8).load(Ordering::Acquire);
    loop {
        let version = word(0) as u32;
        let (stamp, system, scale) = (word(1), word(2), word(3));
        let tsc = rdtsc();
        fence(Ordering::SeqCst);
        if version & 1 != 0 || word(0) as u32 != version {
            continue;
        }
        let shift = (scale >> 32) as i8;
        let delta = tsc.wrapping_sub(stamp);
        let delta = if shift < 0 { delta >> shift.unsigned_abs() } else { delta << shift };
        return system + ((u128::from(delta) * u128::from(scale as u32)) >> 32) as u64;
    }
}

/// Asks for VIRQ_TIMER at `at` (nanoseconds since boot).
pub fn set_timer(at: u64) -> i64 {
    hypercall::raw(__HYPERVISOR_set_timer_op, [at, 0, 0, 0, 0])
}

/// The same by `VCPUOP_set_singleshot_timer`, with its flags.
pub fn set_singleshot(vcpu: u32, at: u64, flags: u32) -> i64 {
    let mut argument = VcpuSetSingleshotTimer { timeout_abs_ns: at, flags, ..Default::default() };
    let argument = (&raw mut argument).addr() as u64;
    hypercall::raw(__HYPERVISOR_vcpu_op, [VCPUOP_set_singleshot_timer.into(), vcpu.into(), argument, 0, 0])
}
