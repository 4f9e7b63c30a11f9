//! How long a vcpu ran, waited, slept (vcpu.h, `struct vcpu_runstate_info`).

use core::sync::atomic::{AtomicU64, Ordering};
use ferroxen_sync::{Lock, rank};
use xen_abi::vcpu::VcpuRunstateInfo;

/// What a vcpu does now (RUNSTATE_*).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum RunState {
    /// On a CPU.
    Running = 0,
    /// Could run, waits for a CPU.
    Runnable = 1,
    /// Waits for an event.
    Blocked = 2,
    /// Down or paused.
    #[default]
    Offline = 3,
}

#[derive(Default)]
struct Account {
    state: RunState,
    entered: u64,
    times: [u64; 4],
}

/// A vcpu's account, and where the guest wants to see it.
#[derive(Default)]
pub struct VcpuRunState {
    account: Lock<rank::Timers, Account>,
    /// VCPUOP_register_runstate_memory_area: linear address; 0: none.
    pub area: AtomicU64,
}

impl VcpuRunState {
    /// The vcpu changes its state; gives whether it was in another.
    pub fn change(&self, to: RunState, now: u64) -> bool {
        let mut account = self.account.lock();
        if account.state == to {
            return false;
        }
        let spent = now.saturating_sub(account.entered);
        let state = account.state as usize;
        if let Some(time) = account.times.get_mut(state) {
            *time = time.saturating_add(spent);
        }
        account.state = to;
        account.entered = account.entered.max(now);
        true
    }

    /// The account at `now`.
    pub fn snapshot(&self, now: u64) -> VcpuRunstateInfo {
        let account = self.account.lock();
        let mut times = account.times;
        if let Some(time) = times.get_mut(account.state as usize) {
            *time = time.saturating_add(now.saturating_sub(account.entered));
        }
        VcpuRunstateInfo {
            state: account.state as i32,
            state_entry_time: account.entered,
            time: times,
            ..Default::default()
        }
    }

    /// The state now.
    pub fn state(&self) -> RunState {
        self.account.lock().state
    }

    /// Where the guest wants to see it.
    pub fn guest_area(&self) -> Option<u64> {
        Some(self.area.load(Ordering::Acquire)).filter(|&at| at != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_nanosecond_is_counted_in_the_state_that_it_was_spent_in() {
        let vcpu = VcpuRunState::default();
        assert_eq!(vcpu.state(), RunState::Offline);
        assert!(!vcpu.change(RunState::Offline, 5), "it is");
        for (to, now) in
            [(RunState::Runnable, 10), (RunState::Running, 13), (RunState::Blocked, 20), (RunState::Running, 21)]
        {
            assert!(vcpu.change(to, now));
            assert_eq!(vcpu.state(), to);
            assert!(!vcpu.change(to, now + 1));
        }
        let told = vcpu.snapshot(30);
        assert_eq!((told.state, told.state_entry_time, told.time), (0, 21, [7 + 9, 3, 1, 10]));
        assert_eq!(vcpu.snapshot(21).time, [7, 3, 1, 10]);
        // CPUs' clocks may differ a little: time never goes back.
        assert_eq!(vcpu.snapshot(20).time, [7, 3, 1, 10]);
        assert!(vcpu.change(RunState::Blocked, 19));
        assert_eq!((vcpu.snapshot(25).time, vcpu.snapshot(25).state_entry_time), ([7, 3, 5, 10], 21));
    }

    #[test]
    fn an_area_at_0_is_none() {
        let vcpu = VcpuRunState::default();
        assert_eq!(vcpu.guest_area(), None);
        vcpu.area.store(8, Ordering::SeqCst);
        assert_eq!(vcpu.guest_area(), Some(8));
    }
}
