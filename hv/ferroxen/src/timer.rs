//! This CPU's timer: the earliest of its guests' timers and the end of the running vcpu's turn.

use crate::machine::hv;
use crate::percpu;
use core::sync::atomic::{AtomicU64, Ordering};
use ferroxen_core::Platform;
use ferroxen_core::cpu::MAX_CPUS;
use ferroxen_core::evtchn;
use ferroxen_core::time::{Timer, TimerKind};
use ferroxen_x86::apic;
use xen_abi::xen::VIRQ_TIMER;

static SLICE_END: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(u64::MAX) }; MAX_CPUS];
static PROGRAMMED: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(u64::MAX) }; MAX_CPUS];
/// Ticks of the APIC timer per 2^32 ns.
static APIC_MUL: AtomicU64 = AtomicU64::new(0);
/// The longest time between two looks at the console.
const CONSOLE_POLL: u64 = 20_000_000;

/// Sets the frequency of the APIC timer.
pub fn init(apic_hz: u64) {
    APIC_MUL.store((u128::from(apic_hz) << 32).div_euclid(1_000_000_000) as u64, Ordering::Relaxed);
}

fn slot() -> usize {
    usize::from(percpu::number()) % MAX_CPUS
}

/// The scheduler wants to be asked again then.
pub fn set_slice_end(at: u64) {
    SLICE_END[slot()].store(at, Ordering::Relaxed);
}

/// The timer fired (in its interrupt).
pub fn fired() {
    PROGRAMMED[slot()].store(u64::MAX, Ordering::Relaxed);
}

/// Programs the APIC timer for the earliest deadline, unless it is already.
pub fn program() {
    let timers = hv().timers(percpu::this());
    let mut at = timers.and_then(|timers| timers.next()).unwrap_or(u64::MAX);
    at = at.min(SLICE_END[slot()].load(Ordering::Relaxed));
    let programmed = &PROGRAMMED[slot()];
    if percpu::number() == 0 && at == u64::MAX && !crate::irq::console_interrupts() {
        at = hv().platform.now() + CONSOLE_POLL;
        if programmed.load(Ordering::Relaxed) <= at {
            return;
        }
    }
    if at == programmed.load(Ordering::Relaxed) {
        return;
    }
    programmed.store(at, Ordering::Relaxed);
    if at == u64::MAX {
        apic::set_timer(0);
        return;
    }
    let left = at.saturating_sub(hv().platform.now());
    let ticks = ((u128::from(left) * u128::from(APIC_MUL.load(Ordering::Relaxed))) >> 32) as u64;
    apic::set_timer(ticks.clamp(1, u64::from(u32::MAX)) as u32);
}

/// Handles the timers of this CPU that are due; gives whether the running vcpu's turn is over.
pub fn expire() -> bool {
    let cpu = percpu::this();
    let now = hv().platform.now();
    if cpu.0 == 0 && !crate::irq::console_interrupts() {
        crate::machine::poll_console();
    }
    while let Some(timer) = hv().timers(cpu).and_then(|timers| timers.expired(now)) {
        fire(timer, now);
    }
    SLICE_END[slot()].load(Ordering::Relaxed) <= now
}

fn fire(timer: Timer, now: u64) {
    let Some(domain) = hv().domains.get(timer.domid) else { return };
    match timer.kind {
        TimerKind::OneShot | TimerKind::Periodic => {
            let Some(vcpu) = domain.vcpu(timer.vcpu) else { return };
            let period = vcpu.timers.period.load(Ordering::Relaxed);
            if timer.kind == TimerKind::Periodic && period != 0 {
                // Ticks that were missed while the vcpu did not run are not made up for.
                let late = now.saturating_sub(timer.at) / period;
                let at = timer.at.saturating_add(period.saturating_mul(late + 1));
                hv().timers(percpu::this()).map(|timers| timers.set(Timer { at, ..timer }));
            }
            crate::machine::notify(evtchn::send_virq(hv(), &domain, timer.vcpu, VIRQ_TIMER));
        }
        TimerKind::Poll => {
            if let Some(vcpu) = domain.vcpu(timer.vcpu) {
                evtchn::poll_stop(&domain, vcpu);
                hv().wake(vcpu);
            }
        }
        TimerKind::Watchdog => {
            crate::warning!("d{}: watchdog expired", domain.id.0);
            crate::machine::domain_shutdown(&domain, xen_abi::sched::SHUTDOWN_watchdog as u8);
        }
    }
}
