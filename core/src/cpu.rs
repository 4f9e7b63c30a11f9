//! Physical CPUs and sets of them.

/// The most physical CPUs that the hypervisor uses.
pub const MAX_CPUS: usize = 256;

/// A physical CPU, numbered from 0 in the order of bring-up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct CpuId(pub u16);

/// A set of physical CPUs.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuMask([u64; MAX_CPUS / 64]);

impl CpuMask {
    /// No CPU.
    pub const EMPTY: CpuMask = CpuMask([0; MAX_CPUS / 64]);

    /// One CPU.
    pub fn one(cpu: CpuId) -> Self {
        let mut mask = Self::EMPTY;
        mask.set(cpu);
        mask
    }
    /// Adds a CPU (one out of range is ignored).
    pub fn set(&mut self, cpu: CpuId) {
        if let Some(word) = self.0.get_mut(usize::from(cpu.0) / 64) {
            *word |= 1 << (cpu.0 % 64);
        }
    }
    /// Takes a CPU out.
    pub fn clear(&mut self, cpu: CpuId) {
        if let Some(word) = self.0.get_mut(usize::from(cpu.0) / 64) {
            *word &= !(1 << (cpu.0 % 64));
        }
    }
    /// Whether it holds this CPU.
    pub fn has(&self, cpu: CpuId) -> bool {
        self.0.get(usize::from(cpu.0) / 64).is_some_and(|word| word >> (cpu.0 % 64) & 1 == 1)
    }
    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }
    /// Both sets together.
    pub fn union(&self, other: &CpuMask) -> CpuMask {
        let mut all = *self;
        all.0.iter_mut().zip(other.0).for_each(|(to, from)| *to |= from);
        all
    }
    /// What both hold.
    pub fn and(&self, other: &CpuMask) -> CpuMask {
        let mut both = *self;
        both.0.iter_mut().zip(other.0).for_each(|(to, from)| *to &= from);
        both
    }
    /// The CPUs, ascending.
    pub fn iter(&self) -> impl Iterator<Item = CpuId> + '_ {
        self.0.iter().enumerate().flat_map(|(word, &bits)| {
            let mut left = bits;
            core::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left.wrapping_sub(1);
                Some(CpuId((word as u16 * 64).wrapping_add(bit as u16)))
            })
        })
    }
    /// The words, CPU 0 in bit 0 of the first.
    pub fn words(&self) -> &[u64] {
        &self.0
    }
}

impl core::fmt::Debug for CpuMask {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_set().entries(self.iter().map(|cpu| cpu.0)).finish()
    }
}

/// A set of physical CPUs that several CPUs change at once (for example: where a domain may have TLB entries).
#[derive(Default)]
pub struct AtomicCpuMask([core::sync::atomic::AtomicU64; MAX_CPUS / 64]);

impl AtomicCpuMask {
    /// Adds a CPU; gives whether it was there before.
    pub fn set(&self, cpu: CpuId) -> bool {
        let bit = 1 << (cpu.0 % 64);
        self.0
            .get(usize::from(cpu.0) / 64)
            .is_some_and(|word| word.fetch_or(bit, core::sync::atomic::Ordering::SeqCst) & bit != 0)
    }
    /// Takes a CPU out.
    pub fn clear(&self, cpu: CpuId) {
        if let Some(word) = self.0.get(usize::from(cpu.0) / 64) {
            word.fetch_and(!(1 << (cpu.0 % 64)), core::sync::atomic::Ordering::SeqCst);
        }
    }
    /// The set as it is now.
    pub fn load(&self) -> CpuMask {
        let mut mask = CpuMask::EMPTY;
        for (to, from) in mask.0.iter_mut().zip(&self.0) {
            *to = from.load(core::sync::atomic::Ordering::SeqCst);
        }
        mask
    }
    /// Replaces the set. Who reads meanwhile may see words of both.
    pub fn store(&self, mask: &CpuMask) {
        for (to, from) in self.0.iter().zip(mask.words()) {
            to.store(*from, core::sync::atomic::Ordering::SeqCst);
        }
    }
    /// The set as it is now, where an empty one stands for "all".
    pub fn load_or_all(&self) -> CpuMask {
        let mask = self.load();
        if mask.is_empty() { CpuMask([u64::MAX; MAX_CPUS / 64]) } else { mask }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Both ends of each word, and one in the middle.
    const CPUS: [u16; 9] = [0, 1, 37, 63, 64, 127, 128, 191, 255];

    fn mask(cpus: &[u16]) -> CpuMask {
        cpus.iter().fold(CpuMask::EMPTY, |mut mask, cpu| {
            mask.set(CpuId(*cpu));
            mask
        })
    }

    fn members(mask: &CpuMask) -> Vec<u16> {
        mask.iter().map(|cpu| cpu.0).collect()
    }

    #[test]
    fn masks_are_sets_of_cpus() {
        // Every pair of subsets of the list: its bits say who is in.
        let subset = |bits: u16| -> BTreeSet<u16> {
            CPUS.iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1).map(|(_, cpu)| *cpu).collect()
        };
        for bits in 0..1 << CPUS.len() {
            let (one, other) = (subset(bits), subset(bits.rotate_left(5) ^ bits));
            let [a, b] = [&one, &other].map(|set| mask(&set.iter().copied().collect::<Vec<_>>()));
            assert_eq!(members(&a), one.iter().copied().collect::<Vec<_>>());
            assert_eq!(members(&a.union(&b)), one.union(&other).copied().collect::<Vec<_>>());
            assert_eq!(members(&a.and(&b)), one.intersection(&other).copied().collect::<Vec<_>>());
            assert_eq!((a.is_empty(), format!("{a:?}")), (one.is_empty(), format!("{one:?}")));
            for cpu in 0..256 {
                assert_eq!(a.has(CpuId(cpu)), one.contains(&cpu));
            }
        }
    }

    #[test]
    fn a_mask_for_several_cpus_tells_who_was_there() {
        let shared = AtomicCpuMask::default();
        for cpu in CPUS {
            assert!(!shared.set(CpuId(cpu)) && shared.set(CpuId(cpu)));
        }
        assert_eq!(shared.load(), mask(&CPUS));
        for (gone, cpu) in CPUS.iter().enumerate() {
            shared.clear(CpuId(*cpu));
            assert_eq!(members(&shared.load()), CPUS[gone + 1..]);
            shared.clear(CpuId(*cpu));
        }
        assert_eq!(shared.load_or_all().iter().count(), MAX_CPUS);
        shared.store(&mask(&[3, 200]));
        assert_eq!(members(&shared.load_or_all()), [3, 200]);
    }

    #[test]
    fn a_cpu_out_of_range_is_in_no_mask() {
        let mut all = mask(&CPUS);
        all.set(CpuId(256));
        all.clear(CpuId(256 + 63));
        assert_eq!((all, all.has(CpuId(256))), (mask(&CPUS), false));
        let shared = AtomicCpuMask::default();
        assert!(!shared.set(CpuId(256)) && !shared.set(CpuId(256)));
        shared.clear(CpuId(256));
        assert!(shared.load().is_empty());
    }
}
