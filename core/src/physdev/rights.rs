//! What a domain that does not control the machine may use of it: lines, ports, I/O memory.

use alloc::vec::Vec;
use ferroxen_sync::{Lock, rank};
use xen_abi::Errno;

/// The most ranges of one kind in a domain.
const MAX_RANGES: usize = 512;

/// A set of numbers, as ranges that neither touch nor overlap, ascending.
#[derive(Default, Debug)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Whether `first..=last` is in it.
    pub fn has(&self, first: u64, last: u64) -> bool {
        let at = self.0.partition_point(|&(_, end)| end < first);
        self.0.get(at).is_some_and(|&(start, end)| start <= first && last <= end && first <= last)
    }

    /// Whether any of `first..=last` is in it.
    pub fn meets(&self, first: u64, last: u64) -> bool {
        let at = self.0.partition_point(|&(_, end)| end < first);
        self.0.get(at).is_some_and(|&(start, _)| start <= last)
    }

    /// Adds `first..=last`.
    ///
    /// # Errors
    /// `EINVAL`: empty; `ENOMEM`: too many ranges.
    pub fn add(&mut self, first: u64, last: u64) -> Result<(), Errno> {
        if first > last {
            return Err(Errno::EINVAL);
        }
        // All that overlap or touch become one.
        let from = self.0.partition_point(|&(_, end)| end.saturating_add(1) < first);
        let to = self.0.partition_point(|&(start, _)| start <= last.saturating_add(1));
        if from < to {
            let low = self.0.get(from).map_or(first, |&(start, _)| start.min(first));
            let high = self.0.get(to.saturating_sub(1)).map_or(last, |&(_, end)| end.max(last));
            self.0.drain(from.saturating_add(1)..to);
            if let Some(slot) = self.0.get_mut(from) {
                *slot = (low, high);
            }
            return Ok(());
        }
        self.insert(from, (first, last))
    }

    /// Takes `first..=last` out.
    ///
    /// # Errors
    /// As [`Ranges::add`].
    pub fn remove(&mut self, first: u64, last: u64) -> Result<(), Errno> {
        if first > last {
            return Err(Errno::EINVAL);
        }
        let mut at = self.0.partition_point(|&(_, end)| end < first);
        while let Some(&(start, end)) = self.0.get(at) {
            if start > last {
                break;
            }
            match (start < first, end > last) {
                (true, true) => {
                    self.insert(at.saturating_add(1), (last.saturating_add(1), end))?;
                    if let Some(slot) = self.0.get_mut(at) {
                        slot.1 = first.saturating_sub(1);
                    }
                    break;
                }
                (true, false) => {
                    if let Some(slot) = self.0.get_mut(at) {
                        slot.1 = first.saturating_sub(1);
                    }
                    at = at.saturating_add(1);
                }
                (false, true) => {
                    if let Some(slot) = self.0.get_mut(at) {
                        slot.0 = last.saturating_add(1);
                    }
                    break;
                }
                (false, false) => {
                    self.0.remove(at);
                }
            }
        }
        Ok(())
    }

    fn insert(&mut self, at: usize, range: (u64, u64)) -> Result<(), Errno> {
        if self.0.len() >= MAX_RANGES {
            return Err(Errno::ENOMEM);
        }
        self.0.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.0.insert(at, range);
        Ok(())
    }
}

/// XEN_DOMCTL_irq_permission and its neighbours. The control domain needs none of them.
#[derive(Default)]
pub struct Rights {
    /// Lines.
    pub lines: Lock<rank::Irq, Ranges>,
    /// I/O ports.
    pub ports: Lock<rank::Irq, Ranges>,
    /// Frames of I/O memory.
    pub memory: Lock<rank::Irq, Ranges>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_hold_what_a_plain_set_holds(ops in prop::collection::vec((any::<bool>(), 0u64..100, 0u64..20), 0..60)) {
            let mut ranges = Ranges::default();
            let mut plain = [false; 128];
            for (add, first, len) in ops {
                let last = first + len;
                if add { ranges.add(first, last) } else { ranges.remove(first, last) }.unwrap();
                plain[first as usize..=last as usize].fill(add);
                for n in 0..127u64 {
                    prop_assert_eq!(ranges.has(n, n), plain[n as usize]);
                    prop_assert_eq!(ranges.has(n, n + 1), plain[n as usize] && plain[n as usize + 1]);
                    prop_assert_eq!(ranges.meets(n, n + 1), plain[n as usize] || plain[n as usize + 1]);
                }
                prop_assert!(ranges.0.windows(2).all(|w| w[0].1 + 1 < w[1].0), "{:?}", ranges.0);
            }
        }
    }

    #[test]
    fn the_last_number_is_no_special_case() {
        let mut ranges = Ranges::default();
        ranges.add(10, u64::MAX).unwrap();
        ranges.add(0, 4).unwrap();
        assert!(ranges.has(u64::MAX, u64::MAX) && !ranges.has(5, 5) && ranges.has(0, 4));
        ranges.remove(11, u64::MAX).unwrap();
        assert!(ranges.has(10, 10) && !ranges.has(11, 11));
        assert_eq!(ranges.add(3, 2), Err(Errno::EINVAL));
    }

    #[test]
    fn a_domain_has_so_many_ranges_at_most() {
        let mut ranges = Ranges::default();
        (0..MAX_RANGES as u64).for_each(|n| ranges.add(n * 4, n * 4 + 2).unwrap());
        let beyond = MAX_RANGES as u64 * 4;
        assert_eq!(ranges.add(beyond, beyond), Err(Errno::ENOMEM));
        assert_eq!(ranges.remove(1, 1), Err(Errno::ENOMEM), "that would make two of one");
        assert!(ranges.has(0, 2) && !ranges.meets(beyond, beyond));
        ranges.add(3, 3).unwrap();
        ranges.add(beyond, beyond).unwrap();
        assert!(ranges.has(0, 6) && ranges.has(beyond, beyond));
        assert_eq!(ranges.remove(2, 1), Err(Errno::EINVAL));
        assert!(!ranges.has(2, 1));
    }
}
