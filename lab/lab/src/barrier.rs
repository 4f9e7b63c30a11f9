//! A meeting of the machines of a scenario.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// A place where `parties` wait for each other, as often as they like. A party that fails ends the waiting of all.
#[derive(Debug)]
pub struct Meeting {
    parties: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    arrived: usize,
    round: u64,
    failed: Option<String>,
}

impl Meeting {
    /// A meeting of so many.
    pub fn new(parties: usize) -> Self {
        Self { parties, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Waits until all are here.
    ///
    /// # Errors
    ///
    /// If another party failed, or the time is over: the error says at which step.
    pub fn wait(&self, step: &str, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.arrived += 1;
        if state.arrived == self.parties {
            state.arrived = 0;
            state.round += 1;
            self.changed.notify_all();
            return Ok(());
        }
        let round = state.round;
        loop {
            if let Some(why) = &state.failed {
                bail!("at \"{step}\": another machine failed: {why}");
            }
            if state.round != round {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("at \"{step}\": {} of {} came within {} s", state.arrived, self.parties, timeout.as_secs());
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends the waiting of all with an error.
    pub fn fail(&self, why: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failed.get_or_insert_with(|| why.to_owned());
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn all_go_on_when_the_last_has_come_and_may_meet_again() {
        let meeting = Meeting::new(3);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for step in ["up", "down"] {
                        meeting.wait(step, Duration::from_secs(20)).unwrap();
                    }
                });
            }
        });
    }

    #[test]
    fn a_failure_ends_the_waiting_at_once() {
        let meeting = Meeting::new(2);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| meeting.wait("up", Duration::from_secs(60)));
            meeting.fail("no network");
            let err = waiting.join().unwrap().unwrap_err();
            assert!(err.to_string().contains("no network"), "{err}");
        });
    }

    #[test]
    fn who_waits_alone_is_told_so() {
        let err = Meeting::new(2).wait("up", Duration::from_millis(20)).unwrap_err();
        assert_eq!(err.to_string(), "at \"up\": 1 of 2 came within 0 s");
    }
}
