//! How much of the daemon's time a domain may have. Not part of the state that is journalled: it only decides
//! when a request is taken, never what it does.

use std::collections::BTreeMap;
use std::time::Duration;

/// The limits, for every domain but the control domain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Requests per second over a longer time.
    pub rate: f64,
    /// Requests that a domain may send at once after a quiet time.
    pub burst: f64,
    /// Transactions of others that a domain's writes may make fail at once.
    pub conflict_burst: f64,
    /// Seconds until one such failure is forgotten.
    pub conflict_seconds: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { rate: 5000.0, burst: 10_000.0, conflict_burst: 5.0, conflict_seconds: 0.05 }
    }
}

/// Why a domain has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It sends too many requests.
    Rate,
    /// Its writes make transactions of others fail.
    Conflicts,
}

#[derive(Clone, Copy, Debug)]
struct Account {
    at: Duration,
    requests: f64,
    conflicts: f64,
}

/// The accounts of the domains. Times are since any fixed moment.
#[derive(Debug, Default)]
pub struct Throttle {
    limits: Limits,
    accounts: BTreeMap<u16, Account>,
}

impl Throttle {
    /// With these limits.
    pub fn new(limits: Limits) -> Self {
        Throttle { limits, accounts: BTreeMap::new() }
    }

    fn account(&mut self, domid: u16, now: Duration) -> &mut Account {
        let l = self.limits;
        let a =
            self.accounts.entry(domid).or_insert(Account { at: now, requests: l.burst, conflicts: l.conflict_burst });
        let passed = now.saturating_sub(a.at).as_secs_f64();
        a.at = a.at.max(now);
        a.requests = (a.requests + passed * l.rate).min(l.burst);
        a.conflicts = (a.conflicts + passed / l.conflict_seconds).min(l.conflict_burst);
        a
    }

    /// How long a domain must wait before its next request is taken, and why; `None` for not at all.
    pub fn wait(&mut self, domid: u16, now: Duration) -> Option<(Duration, Why)> {
        if domid == 0 {
            return None;
        }
        let l = self.limits;
        let a = *self.account(domid, now);
        if a.conflicts <= 0.0 {
            let seconds = (-a.conflicts).mul_add(l.conflict_seconds, l.conflict_seconds / 16.0);
            return Some((Duration::from_secs_f64(seconds), Why::Conflicts));
        }
        if a.requests <= 0.0 {
            return Some((Duration::from_secs_f64((1.0 - a.requests) / l.rate), Why::Rate));
        }
        None
    }

    /// A domain had so many requests handled.
    pub fn spent(&mut self, domid: u16, requests: u64, now: Duration) {
        if domid != 0 {
            // Far below 2^52 requests in one turn.
            self.account(domid, now).requests -= requests as f64;
        }
    }

    /// A domain's write made somebody's transaction fail.
    pub fn blame(&mut self, domid: u16, now: Duration) {
        if domid != 0 {
            self.account(domid, now).conflicts -= 1.0;
        }
    }

    /// A domain is gone.
    pub fn forget(&mut self, domid: u16) {
        self.accounts.remove(&domid);
    }
}

/// Lets one line through for each subject and time, and counts the rest.
#[derive(Debug)]
pub struct LogLimiter<K> {
    every: Duration,
    last: BTreeMap<K, (Duration, u64)>,
}

impl<K: Ord> LogLimiter<K> {
    /// One line for each subject in `every`.
    pub fn new(every: Duration) -> Self {
        LogLimiter { every, last: BTreeMap::new() }
    }

    /// Whether to write the line now; if so, how many were left out since the last.
    pub fn allow(&mut self, subject: K, now: Duration) -> Option<u64> {
        use std::collections::btree_map::Entry;
        match self.last.entry(subject) {
            Entry::Vacant(e) => {
                e.insert((now, 0));
                Some(0)
            }
            Entry::Occupied(mut e) => {
                let (at, left_out) = e.get_mut();
                if now.saturating_sub(*at) < self.every {
                    *left_out += 1;
                    return None;
                }
                *at = now;
                Some(std::mem::take(left_out))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_domain_gets_its_burst_and_then_its_rate() {
        let mut t = Throttle::new(Limits { rate: 100.0, burst: 10.0, ..Limits::default() });
        let (mut taken, mut now) = (0, ms(0));
        while now < ms(1000) {
            match t.wait(5, now) {
                None => {
                    t.spent(5, 1, now);
                    taken += 1;
                }
                Some((wait, why)) => {
                    assert_eq!(why, Why::Rate);
                    assert!(wait > Duration::ZERO);
                    now += wait;
                }
            }
        }
        assert!((100..=115).contains(&taken), "{taken}");
        assert_eq!(t.wait(6, now), None, "another domain is not concerned");
        assert_eq!(t.wait(0, now), None);
    }

    #[test]
    fn who_was_quiet_for_long_gets_a_burst_and_no_more() {
        let mut t = Throttle::new(Limits { rate: 100.0, burst: 10.0, ..Limits::default() });
        t.spent(5, 1, ms(0));
        let now = ms(60_000);
        let mut taken = 0;
        while t.wait(5, now).is_none() {
            t.spent(5, 1, now);
            taken += 1;
            assert!(taken < 100);
        }
        assert!((10..=11).contains(&taken), "{taken}");
    }

    #[test]
    fn a_domain_that_makes_transactions_fail_is_held_back() {
        let mut t = Throttle::default();
        for _ in 0..5 {
            assert_eq!(t.wait(5, ms(0)), None);
            t.blame(5, ms(0));
        }
        let (wait, why) = t.wait(5, ms(0)).unwrap();
        assert_eq!(why, Why::Conflicts);
        assert!(wait < ms(50));
        assert_eq!(t.wait(5, wait), None);
    }

    #[test]
    fn a_log_line_is_written_once_and_the_others_are_counted() {
        let mut l = LogLimiter::new(ms(100));
        assert_eq!(l.allow(1, ms(0)), Some(0));
        assert_eq!(l.allow(1, ms(1)), None);
        assert_eq!(l.allow(2, ms(1)), Some(0));
        assert_eq!(l.allow(1, ms(2)), None);
        assert_eq!(l.allow(1, ms(100)), Some(2));
    }
}
