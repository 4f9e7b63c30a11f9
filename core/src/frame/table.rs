//! The table: owners and references.

use super::entry::{Typed, Used};
use super::{FrameEntry, FrameError, FrameKind, FrameRef, FrameType, Freed, IoRanges};
use crate::addr::Mfn;
use crate::domain::DomId;
use ferroxen_sync::atomic::{Ordering, fence};

/// All frames of the machine.
pub struct FrameTable {
    entries: &'static [FrameEntry],
    /// What may be mapped beside RAM.
    pub io: IoRanges,
}

impl FrameTable {
    /// A table over `entries`, frame 0 first, all blank (zeroes). `io` must refuse every range of RAM that is given to
    /// the heap or that the hypervisor keeps for itself: a blank frame is what `io` says of it.
    pub fn new(entries: &'static [FrameEntry], io: IoRanges) -> Self {
        FrameTable { entries, io }
    }

    /// One more than the highest frame that has an entry.
    pub fn end(&self) -> Mfn {
        Mfn(self.entries.len() as u64)
    }

    /// Makes all entries blank again: for simulations that use one table for many machines.
    #[cfg(any(test, feature = "std"))]
    pub fn blank_all(&mut self) {
        for entry in self.entries {
            entry.used.store(0, Ordering::Relaxed);
            entry.typed.store(0, Ordering::Relaxed);
            entry.partial.store(0, Ordering::Relaxed);
            entry.linear.store(0, Ordering::Relaxed);
            entry.stamp.store(0, Ordering::Relaxed);
            entry.link.store(0, Ordering::Relaxed);
        }
    }

    #[inline(always)]
    pub(super) fn entry(&self, mfn: Mfn) -> Option<&FrameEntry> {
        self.entries.get(usize::try_from(mfn.0).ok()?)
    }

    #[inline(always)]
    fn used(&self, mfn: Mfn) -> Used {
        Used(self.entry(mfn).map_or(Used::BLANK, |entry| entry.used.load(Ordering::Acquire)))
    }

    /// Whose the frame is at this moment. `Owned` may be over as soon as it is read, unless the caller holds a
    /// reference.
    pub fn kind(&self, mfn: Mfn) -> FrameKind {
        self.used(mfn).kind()
    }
    /// The domain that owns the frame at this moment.
    pub fn owner(&self, mfn: Mfn) -> Option<DomId> {
        match self.kind(mfn) {
            FrameKind::Owned(owner) => Some(owner),
            _ => None,
        }
    }
    /// Whether it is allocated RAM, so that `Platform::page` may be asked for it.
    #[inline(always)]
    pub fn is_ram(&self, mfn: Mfn) -> bool {
        self.used(mfn).state() >= Used::HYPERVISOR
    }
    /// Number of references now (for checks and `dump`).
    pub fn references(&self, mfn: Mfn) -> u32 {
        self.used(mfn).count() as u32
    }
    /// Type and number of uses as that type now (for checks and `dump`).
    pub fn type_count(&self, mfn: Mfn) -> (FrameType, u32) {
        let word = Typed(self.entry(mfn).map_or(0, |entry| entry.typed.load(Ordering::Acquire)));
        (word.ty(), word.count() as u32)
    }
    /// Whether the type holds now.
    pub fn is_validated(&self, mfn: Mfn) -> bool {
        Typed(self.entry(mfn).map_or(0, |entry| entry.typed.load(Ordering::Acquire))).has(Typed::VALIDATED)
    }
    /// How many entries, from the first, hold references while work on a table is interrupted; `None`: none is.
    pub fn parked(&self, mfn: Mfn) -> Option<u16> {
        let entry = self.entry(mfn)?;
        let parked = Typed(entry.typed.load(Ordering::Acquire)).has(Typed::PARTIAL);
        parked.then(|| entry.partial.load(Ordering::Acquire))
    }
    /// Whether a CPU works on its type or its entries now.
    pub fn is_locked(&self, mfn: Mfn) -> bool {
        Typed(self.entry(mfn).map_or(0, |entry| entry.typed.load(Ordering::Acquire))).has(Typed::LOCKED)
    }
    /// Whether the guest pinned it.
    pub fn is_pinned(&self, mfn: Mfn) -> bool {
        Typed(self.entry(mfn).map_or(0, |entry| entry.typed.load(Ordering::Acquire))).has(Typed::PINNED)
    }
    /// Whether a domain that does not own it maps it writable, or did since its type last changed.
    pub fn is_foreign(&self, mfn: Mfn) -> bool {
        self.used(mfn).has(Used::FOREIGN)
    }
    /// Whether it is a page of the hypervisor that a domain sees.
    pub fn is_shared(&self, mfn: Mfn) -> bool {
        self.used(mfn).has(Used::SHARED)
    }

    // ---- owners ----

    pub(super) fn swap_state(&self, mfn: Mfn, from: u64, to: u64) -> bool {
        self.entry(mfn)
            .is_some_and(|entry| entry.used.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok())
    }

    /// A frame of the hypervisor (from the heap, which flushed and scrubbed it) becomes `owner`'s, with the allocation
    /// as its one reference and no type.
    ///
    /// # Errors
    /// `NotRam`, or `Busy` when the frame is not the hypervisor's.
    pub fn assign(&self, mfn: Mfn, owner: DomId) -> Result<(), FrameError> {
        let entry = self.entry(mfn).ok_or(FrameError::NotRam)?;
        let to = Used::owned_by(owner) | Used::ALLOCATED | 1;
        entry
            .used
            .compare_exchange(Used::HYPERVISOR, to, Ordering::AcqRel, Ordering::Relaxed)
            .map_err(|_| FrameError::Busy)?;
        Ok(())
    }

    /// A frame of the hypervisor becomes visible to `owner` (shared info, grant frames): it may map it, writable
    /// or not, but its type never changes, so it can be no page table. Ended with [`FrameTable::release`], after
    /// which the last mapping frees it. The hypervisor's own accesses to it must have ended by then.
    ///
    /// # Errors
    /// `NotRam`, or `Busy` when the frame is not the hypervisor's.
    pub fn share(&self, mfn: Mfn, owner: DomId, writable: bool) -> Result<(), FrameError> {
        let entry = self.entry(mfn).ok_or(FrameError::NotRam)?;
        let locked = Used::HYPERVISOR | 1;
        entry
            .used
            .compare_exchange(Used::HYPERVISOR, locked, Ordering::AcqRel, Ordering::Relaxed)
            .map_err(|_| FrameError::Busy)?;
        let typed = if writable { Typed::of(FrameType::Writable) | Typed::VALIDATED } else { 0 };
        entry.typed.store(typed, Ordering::Relaxed);
        let to = Used::owned_by(owner) | Used::ALLOCATED | Used::SHARED | 1;
        entry.used.store(to, Ordering::Release);
        Ok(())
    }

    // ---- references ----

    /// A reference to a frame that `owner` owns.
    ///
    /// # Errors
    /// `NotRam`, `NotOwner`, `Overflow`.
    #[inline(always)]
    pub fn get(&self, mfn: Mfn, owner: DomId) -> Result<FrameRef, FrameError> {
        let entry = self.entry(mfn).ok_or(FrameError::NotRam)?;
        let mut word = entry.used.load(Ordering::Relaxed);
        loop {
            let used = Used(word);
            if !used.is_owned_by(owner) {
                return Err(if used.state() == Used::BLANK { FrameError::NotRam } else { FrameError::NotOwner });
            }
            if used.count() >= Used::LIMIT {
                return Err(FrameError::Overflow);
            }
            match entry.used.compare_exchange_weak(word, word.wrapping_add(1), Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Ok(FrameRef::restore(mfn)),
                Err(now) => word = now,
            }
        }
    }

    /// What [`FrameTable::get`] and, for a writable mapping, [`FrameTable::get_type`] do, for the entries of a whole
    /// table: the reference (and use) is the entry's from here on. `Err`: those two have to say why or do it; a
    /// reference that comes back is to be put.
    #[inline(always)]
    pub(crate) fn get_mapped(&self, mfn: Mfn, owner: DomId, writable: bool) -> Result<(), Option<FrameRef>> {
        let Some(entry) = self.entry(mfn) else { return Err(None) };
        let word = entry.used.load(Ordering::Relaxed);
        if !Used(word).may_get(owner)
            || entry.used.compare_exchange(word, word.wrapping_add(1), Ordering::AcqRel, Ordering::Relaxed).is_err()
        {
            return Err(None);
        }
        if !writable {
            return Ok(());
        }
        let word = entry.typed.load(Ordering::Relaxed);
        if Typed(word).may_get(FrameType::Writable)
            && entry.typed.compare_exchange(word, word.wrapping_add(1), Ordering::AcqRel, Ordering::Relaxed).is_ok()
        {
            return Ok(());
        }
        Err(Some(FrameRef::restore(mfn)))
    }

    /// What [`FrameTable::put`] does for the reference of a read-only mapping, unless it is the last one. `false`:
    /// nothing was done.
    #[inline(always)]
    pub(crate) fn put_mapped(&self, mfn: Mfn) -> bool {
        let Some(entry) = self.entry(mfn) else { return false };
        let word = entry.used.load(Ordering::Relaxed);
        let used = Used(word);
        used.state() >= Used::HYPERVISOR
            && used.count() > 1
            && entry.used.compare_exchange(word, word.wrapping_sub(1), Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// One more reference beside one that is held.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn duplicate(&self, held: &FrameRef) -> Result<FrameRef, FrameError> {
        let owner = self.used(held.mfn()).owner();
        self.get(held.mfn(), owner)
    }

    /// Gives a reference back. The last one frees the frame: then the caller passes the result on to
    /// `Hypervisor::free_frame`.
    #[inline(always)]
    pub fn put(&self, held: FrameRef) -> Option<Freed> {
        let mfn = held.store();
        let entry = self.entry(mfn)?;
        let mut word = entry.used.load(Ordering::Relaxed);
        loop {
            let before = Used(word);
            debug_assert!(before.count() != 0);
            let last = before.count() == 1;
            // The last reference takes the owner with it, in one step: a frame that still named its owner while it is
            // cleared could be referred to again, and would be freed twice.
            let next = if last { Used::HYPERVISOR | 1 } else { word.wrapping_sub(1) };
            match entry.used.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if last => return self.last_put(mfn, entry, before),
                Ok(_) => return None,
                Err(now) => word = now,
            }
        }
    }

    #[cold]
    fn last_put(&self, mfn: Mfn, entry: &FrameEntry, before: Used) -> Option<Freed> {
        debug_assert!(!before.has(Used::ALLOCATED));
        debug_assert!(!Typed(entry.typed.load(Ordering::Relaxed)).has(Typed::LOCKED | Typed::PARTIAL | Typed::PINNED));
        debug_assert!(Typed(entry.typed.load(Ordering::Relaxed)).count() == 0, "{mfn:?} freed while used as a type");
        entry.partial.store(0, Ordering::Relaxed);
        entry.linear.store(0, Ordering::Relaxed);
        // Nobody can find it any more: `get` wants an owner, and there is none.
        entry.typed.store(0, Ordering::Relaxed);
        entry.used.store(Used::HYPERVISOR, Ordering::Release);
        Some(Freed { mfn, owner: before.owner(), counted: !before.has(Used::SHARED) })
    }

    /// Drops the allocation's own reference: the frame goes back to the heap as soon as nothing refers to it.
    ///
    /// # Errors
    /// `NotOwner` when it is not `owner`'s or was released before; `Busy` while it is pinned or half validated.
    pub fn release(&self, mfn: Mfn, owner: DomId) -> Result<Option<Freed>, FrameError> {
        let held = self.get(mfn, owner)?;
        let Some(entry) = self.entry(mfn) else { return Ok(self.put(held)) };
        if Typed(entry.typed.load(Ordering::Acquire)).has(Typed::PINNED | Typed::PARTIAL) {
            return self.put(held).map_or(Err(FrameError::Busy), |freed| Ok(Some(freed)));
        }
        let before = Used(entry.used.fetch_and(!Used::ALLOCATED, Ordering::AcqRel));
        if !before.has(Used::ALLOCATED) {
            return self.put(held).map_or(Err(FrameError::NotOwner), |freed| Ok(Some(freed)));
        }
        let not_last = self.put(FrameRef::restore(mfn));
        debug_assert!(not_last.is_none());
        Ok(self.put(held))
    }

    /// Takes a frame away from its owner that nothing refers to but its allocation, for a transfer or an exchange:
    /// it is nobody's then. [`FrameTable::assign`] gives it to another domain, after `paging::settle` has flushed
    /// the CPUs that may remember it; or `Hypervisor::free_frame` gives it to the heap.
    ///
    /// # Errors
    /// `NotRam`, `NotOwner`; `Busy` when it has another reference or is the hypervisor's.
    pub fn take_away(&self, mfn: Mfn, from: DomId) -> Result<Freed, FrameError> {
        let entry = self.entry(mfn).ok_or(FrameError::NotRam)?;
        let used = Used(entry.used.load(Ordering::Acquire));
        if !used.is_owned_by(from) {
            return Err(FrameError::NotOwner);
        }
        if used.0 & !Used::FOREIGN != Used::owned_by(from) | Used::ALLOCATED | 1 {
            return Err(FrameError::Busy);
        }
        // In no state in which anybody could take a reference, until its type is cleared.
        let limbo = Used::HYPERVISOR | 1;
        entry
            .used
            .compare_exchange(used.0, limbo, Ordering::AcqRel, Ordering::Relaxed)
            .map_err(|_| FrameError::Busy)?;
        entry.typed.store(0, Ordering::Relaxed);
        entry.used.store(Used::HYPERVISOR, Ordering::Release);
        Ok(Freed { mfn, owner: from, counted: true })
    }

    /// The first frame from `from` on that `owner` owns: a walk over a domain's frames that can stop anywhere.
    /// Looks at no more than `budget` entries; the second value is where to go on (`None`: the end was reached).
    pub fn next_owned(&self, from: Mfn, owner: DomId, budget: usize) -> (Option<Mfn>, Option<Mfn>) {
        let start = usize::try_from(from.0).unwrap_or(usize::MAX).min(self.entries.len());
        let end = start.saturating_add(budget).min(self.entries.len());
        for (at, entry) in self.entries.get(start..end).unwrap_or(&[]).iter().enumerate() {
            if Used(entry.used.load(Ordering::Relaxed)).is_owned_by(owner) {
                let found = start.saturating_add(at);
                return (Some(Mfn(found as u64)), Some(Mfn(found as u64 + 1)));
            }
        }
        (None, if end == self.entries.len() { None } else { Some(Mfn(end as u64)) })
    }

    // ---- stamps ----

    /// When the last use that a TLB may remember ended (`Platform::tlb_stamp`).
    pub fn stamp(&self, mfn: Mfn) -> u32 {
        self.entry(mfn).map_or(0, |entry| entry.stamp.load(Ordering::Acquire))
    }
    /// Notes that a use ends now. `now` gives the current stamp; it is asked after everything that the caller
    /// wrote is visible, so that a CPU that flushes later sees it.
    #[inline]
    pub(crate) fn set_stamp(&self, mfn: Mfn, now: impl FnOnce() -> u32) {
        if let Some(entry) = self.entry(mfn) {
            fence(Ordering::SeqCst);
            entry.stamp.store(now(), Ordering::Release);
        }
    }
    /// Notes that a domain other than the owner maps the frame. The caller holds a reference, and a use as writable if
    /// the mapping is.
    pub(crate) fn set_foreign(&self, mfn: Mfn) {
        if let Some(entry) = self.entry(mfn)
            && !Used(entry.used.load(Ordering::Relaxed)).has(Used::FOREIGN)
        {
            entry.used.fetch_or(Used::FOREIGN, Ordering::AcqRel);
        }
    }

    /// Notes that no TLB remembers a writable mapping by another domain any more: all were flushed while the type was
    /// locked, so that there is none.
    pub(super) fn clear_foreign(&self, mfn: Mfn) {
        if let Some(entry) = self.entry(mfn)
            && Used(entry.used.load(Ordering::Relaxed)).has(Used::FOREIGN)
        {
            entry.used.fetch_and(!Used::FOREIGN, Ordering::AcqRel);
        }
    }

    // ---- same-level links and occupancy: kept for `paging` ----

    /// Counts an entry of `table` that leads to `target`, a table of the same level. A table is a source or a
    /// target of such links, never both.
    pub(crate) fn link_tables(&self, table: Mfn, target: Mfn) -> bool {
        let (Some(source), Some(target)) = (self.entry(table), self.entry(target)) else { return false };
        let up = source.linear.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| {
            let n = n.cast_signed();
            (0..512).contains(&n).then(|| n.wrapping_add(1).cast_unsigned())
        });
        if up.is_err() {
            return false;
        }
        let down = target.linear.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| {
            let n = n.cast_signed();
            (n <= 0 && n > i16::MIN).then(|| n.wrapping_sub(1).cast_unsigned())
        });
        if down.is_err() {
            source.linear.fetch_sub(1, Ordering::AcqRel);
            return false;
        }
        true
    }
    /// Undoes [`FrameTable::link_tables`].
    pub(crate) fn unlink_tables(&self, table: Mfn, target: Mfn) {
        if let (Some(source), Some(target)) = (self.entry(table), self.entry(target)) {
            source.linear.fetch_sub(1, Ordering::AcqRel);
            target.linear.fetch_add(1, Ordering::AcqRel);
        }
    }
    /// Which groups of 16 entries of a page table may hold a present one (bit `n`: entries `16n..16n+16`).
    #[inline(always)]
    pub(crate) fn occupied(&self, table: Mfn) -> u32 {
        self.entry(table).map_or(u32::MAX, |entry| entry.link.load(Ordering::Relaxed))
    }
    /// Replaces it. The caller has the table locked.
    #[inline(always)]
    pub(crate) fn set_occupied(&self, table: Mfn, groups: u32) {
        if let Some(entry) = self.entry(table) {
            entry.link.store(groups, Ordering::Relaxed);
        }
    }
}
