//! Timers of guests' vcpus: one-shot, periodic, poll. Kept in the queue of the CPU that set them.

use crate::domain::DomId;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64};
use ferroxen_sync::{Lock, rank};

/// What a timer is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum TimerKind {
    /// HYPERVISOR_set_timer_op, VCPUOP_set_singleshot_timer.
    OneShot = 0,
    /// VCPUOP_set_periodic_timer.
    Periodic = 1,
    /// The time-out of SCHEDOP_poll.
    Poll = 2,
    /// SCHEDOP_watchdog (per domain; `vcpu` is the watchdog's number).
    Watchdog = 3,
}

/// A timer that is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timer {
    /// When, in nanoseconds since boot.
    pub at: u64,
    /// Whose.
    pub domid: DomId,
    /// Which vcpu (or watchdog).
    pub vcpu: u32,
    /// What for.
    pub kind: TimerKind,
}

/// A vcpu's part.
#[derive(Default)]
pub struct VcpuTimers {
    /// Period of the periodic timer in nanoseconds; 0: off.
    pub period: AtomicU64,
    /// For each [`TimerKind`] of vcpus, the queue that holds it plus 1; 0: not set.
    pub queue: [AtomicU32; 3],
}

/// The timers that one CPU looks after.
#[derive(Default)]
pub struct Timers(Lock<rank::Timers, Vec<Timer>>);

impl Timers {
    /// Makes room for the timers of one more vcpu.
    ///
    /// # Errors
    /// `()` when memory is exhausted.
    #[allow(clippy::result_unit_err)]
    pub fn reserve(&self, vcpus: usize) -> Result<(), ()> {
        self.0.lock().try_reserve(vcpus.saturating_mul(4)).map_err(|_| ())
    }

    /// Sets a timer; one of the same vcpu and kind in this queue is replaced. Gives whether the earliest one changed.
    pub fn set(&self, timer: Timer) -> bool {
        let mut timers = self.0.lock();
        let before = timers.iter().map(|t| t.at).min();
        timers.retain(|t| !(t.domid == timer.domid && t.vcpu == timer.vcpu && t.kind == timer.kind));
        if timers.len() == timers.capacity() && timers.try_reserve(8).is_err() {
            return false;
        }
        timers.push(timer);
        before != timers.iter().map(|t| t.at).min()
    }

    /// Takes a timer out, if it is here.
    pub fn cancel(&self, domid: DomId, vcpu: u32, kind: TimerKind) {
        self.0.lock().retain(|t| !(t.domid == domid && t.vcpu == vcpu && t.kind == kind));
    }

    /// Takes all timers of a domain out.
    pub fn cancel_domain(&self, domid: DomId) {
        self.0.lock().retain(|t| t.domid != domid);
    }

    /// When the earliest one is due.
    pub fn next(&self) -> Option<u64> {
        self.0.lock().iter().map(|t| t.at).min()
    }

    /// Takes out one that is due.
    pub fn expired(&self, now: u64) -> Option<Timer> {
        let mut timers = self.0.lock();
        let at = timers.iter().position(|t| t.at <= now)?;
        Some(timers.swap_remove(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_again_replaces_and_expiry_takes_out() {
        let timers = Timers::default();
        let timer = |at, vcpu, kind| Timer { at, domid: DomId(0), vcpu, kind };
        assert!(timers.set(timer(50, 0, TimerKind::OneShot)));
        assert!(!timers.set(timer(90, 1, TimerKind::OneShot)));
        assert!(timers.set(timer(70, 0, TimerKind::OneShot)));
        assert_eq!(timers.expired(69), None);
        assert_eq!(timers.expired(70), Some(timer(70, 0, TimerKind::OneShot)));
        assert_eq!(timers.next(), Some(90));
        timers.cancel(DomId(0), 1, TimerKind::OneShot);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_timer_is_taken_out_alone_or_with_its_domain() {
        let timer = |domid, vcpu, kind| Timer { at: 9, domid: DomId(domid), vcpu, kind };
        let all = [
            timer(0, 0, TimerKind::OneShot),
            timer(0, 0, TimerKind::Poll),
            timer(0, 1, TimerKind::OneShot),
            timer(1, 0, TimerKind::OneShot),
        ];
        let filled = || {
            let timers = Timers::default();
            all.iter().for_each(|timer| _ = timers.set(*timer));
            timers
        };
        let left = |timers: Timers| {
            assert_eq!(timers.expired(8), None);
            let found: Vec<Timer> = core::iter::from_fn(|| timers.expired(9)).collect();
            all.iter().map(|timer| found.contains(timer)).collect::<Vec<_>>()
        };
        let without = filled();
        without.cancel(DomId(0), 0, TimerKind::OneShot);
        assert_eq!(left(without), [false, true, true, true]);
        let without = filled();
        without.cancel_domain(DomId(0));
        assert_eq!(left(without), [false, false, false, true]);
    }

    #[test]
    fn room_is_made_for_each_kind_of_timer() {
        let timers = Timers::default();
        timers.reserve(3).unwrap();
        assert!(timers.0.lock().capacity() >= 12);
    }
}
