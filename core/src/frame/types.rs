//! The type word: uses counted, and changes made by one CPU at a time.
//!
//! A change of type is a walk along tokens. [`FrameTable::get_type`] either counts one more use of a type that
//! holds, or locks the type word and gives a [`LockedFrame`]. Flushing turns that into a [`FlushedFrame`], and only
//! a flushed frame can be published as the new type. What was begun and interrupted is *parked* in the frame: the
//! first `partial` entries of the table hold references, and whoever comes next goes on from there, up or down.
//!
//! States of the word (count, flags):
//! * `n, VALIDATED`: the type holds, `n` uses. Count 0 for `Writable` and `SegDesc` only.
//! * `0, -`: no use; the type named is the last one, which TLBs may remember until the frame's stamp.
//! * `n, LOCKED`: one CPU validates or devalidates; it counts as a use, so nobody can want another type.
//! * `n, LOCKED | VALIDATED`: one CPU changes entries of the table ([`TableGuard`]).
//! * `n, PARTIAL`: parked, with `n` holders who wait to give their use back.
//! * `0, PARTIAL`: parked without a holder; the state itself owns a [`FrameRef`].

use super::entry::{Typed, Used};
use super::{FrameEntry, FrameError, FrameRef, FrameTable, FrameType, TypeRef};
use crate::addr::Mfn;
use crate::cpu::{CpuId, CpuMask};
use crate::domain::DomId;
use crate::platform::{Flush, Platform};
use core::sync::atomic::Ordering;

/// What asking for a type gives.
#[must_use]
#[derive(Debug)]
pub enum GetType {
    /// The type holds; one more use is counted.
    Have(TypeRef),
    /// The caller has to make it hold.
    Locked(LockedFrame),
}

/// What giving a use back gives.
#[must_use]
#[derive(Debug)]
pub enum PutType {
    /// Done.
    Done,
    /// It was the last use of a page table: its entries' references are to be given back.
    Devalidate(Devalidation),
}

/// A frame whose type this CPU changes; TLBs may still remember its old use.
#[must_use]
#[derive(Debug)]
pub struct LockedFrame {
    mfn: Mfn,
    from: FrameType,
    to: FrameType,
    held: u16,
    owns_ref: bool,
}

/// A frame that no TLB remembers in its old use: it can be validated and published as its new type.
#[must_use]
#[derive(Debug)]
pub struct FlushedFrame(LockedFrame);

/// A page table whose last use goes.
#[must_use]
#[derive(Debug)]
pub struct Devalidation {
    mfn: Mfn,
    ty: FrameType,
    held: u16,
    /// The interrupted state was nobody's: nobody waits for the use to be given back.
    owns_ref: bool,
}

/// The right to change entries of a validated page table.
#[must_use = "the table stays locked until FrameTable::unlock_table"]
#[derive(Debug)]
pub struct TableGuard {
    mfn: Mfn,
    ty: FrameType,
}

/// Waits for another CPU that holds a type word. It works on it with bounded steps and with interrupts on, as does
/// who waits here.
struct Wait(u32);

impl Wait {
    fn turn(&mut self) {
        ferroxen_sync::atomic::relax(&mut self.0);
        #[cfg(any(test, feature = "std"))]
        assert!(self.0 < 100_000_000, "a type word stays locked");
    }
}

impl FrameTable {
    /// One more use of a frame as `ty`, which the caller holds a reference to. `ty` is not `None`.
    ///
    /// # Errors
    /// `Busy` when it is in use as something else (or is the hypervisor's), `Overflow`.
    #[inline(always)]
    pub fn get_type(&self, frame: &FrameRef, ty: FrameType) -> Result<GetType, FrameError> {
        let mfn = frame.mfn();
        let entry = self.entry(mfn).ok_or(FrameError::NotRam)?;
        let word = entry.typed.load(Ordering::Relaxed);
        let typed = Typed(word);
        if typed.ty() == ty
            && typed.has(Typed::VALIDATED)
            && typed.count() < Typed::LIMIT
            && entry.typed.compare_exchange(word, word.wrapping_add(1), Ordering::AcqRel, Ordering::Relaxed).is_ok()
        {
            return Ok(GetType::Have(TypeRef::restore(mfn, ty)));
        }
        self.get_type_slow(mfn, entry, ty)
    }

    #[cold]
    fn get_type_slow(&self, mfn: Mfn, entry: &FrameEntry, ty: FrameType) -> Result<GetType, FrameError> {
        let mut wait = Wait(0);
        loop {
            let word = entry.typed.load(Ordering::Acquire);
            let typed = Typed(word);
            let same = typed.ty() == ty;
            if typed.count() >= Typed::LIMIT {
                return Err(FrameError::Overflow);
            }
            let next = if same && typed.has(Typed::VALIDATED) {
                word.wrapping_add(1)
            } else if typed.count() != 0 && !same {
                return Err(FrameError::Busy);
            } else if typed.has(Typed::LOCKED) {
                wait.turn();
                continue;
            } else if Used(entry.used.load(Ordering::Relaxed)).has(Used::SHARED) {
                return Err(FrameError::Busy);
            } else if typed.has(Typed::PARTIAL) {
                // Goes on with the interrupted work; for another type, undoes it first.
                (word & !Typed::PARTIAL).wrapping_add(1) | Typed::LOCKED
            } else {
                Typed::of(ty) | Typed::LOCKED | 1
            };
            if entry.typed.compare_exchange(word, next, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                continue;
            }
            if Typed(next).has(Typed::VALIDATED) {
                return Ok(GetType::Have(TypeRef::restore(mfn, ty)));
            }
            let parked = typed.has(Typed::PARTIAL);
            return Ok(GetType::Locked(LockedFrame {
                mfn,
                from: typed.ty(),
                to: ty,
                held: if parked { entry.partial.load(Ordering::Acquire) } else { 0 },
                owns_ref: parked && typed.count() == 0,
            }));
        }
    }

    /// One more use as `ty` only if that costs nothing: the type holds already and nobody has to wait.
    ///
    /// # Errors
    /// `Busy` otherwise.
    pub fn get_type_if_valid(&self, frame: &FrameRef, ty: FrameType) -> Result<TypeRef, FrameError> {
        let entry = self.entry(frame.mfn()).ok_or(FrameError::NotRam)?;
        let mut word = entry.typed.load(Ordering::Relaxed);
        loop {
            let typed = Typed(word);
            if typed.ty() != ty || !typed.has(Typed::VALIDATED) || typed.count() >= Typed::LIMIT {
                return Err(FrameError::Busy);
            }
            match entry.typed.compare_exchange_weak(word, word.wrapping_add(1), Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Ok(TypeRef::restore(frame.mfn(), ty)),
                Err(now) => word = now,
            }
        }
    }

    /// Gives a use back if it is not the last one and nobody has to wait; else the use is still held.
    #[inline(always)]
    pub fn put_type_shared(&self, used: TypeRef) -> Result<(), TypeRef> {
        let Some(entry) = self.entry(used.mfn()) else { return Err(used) };
        let word = entry.typed.load(Ordering::Acquire);
        if Typed(word).count() > 1
            && entry.typed.compare_exchange(word, word.wrapping_sub(1), Ordering::AcqRel, Ordering::Relaxed).is_ok()
        {
            let _ = used.store();
            return Ok(());
        }
        Err(used)
    }

    /// Gives a use back. `now` is `Platform::tlb_stamp`, asked when the last use ends. The caller still holds the
    /// [`FrameRef`] that goes with it.
    #[inline(always)]
    pub fn put_type(&self, used: TypeRef, now: impl FnOnce() -> u32) -> PutType {
        let ty = used.ty();
        let mfn = used.store();
        let Some(entry) = self.entry(mfn) else { return PutType::Done };
        let mut wait = Wait(0);
        let mut now = Some(now);
        loop {
            let word = entry.typed.load(Ordering::Acquire);
            let typed = Typed(word);
            debug_assert!(typed.count() != 0 && typed.ty() == ty);
            let last = typed.count() == 1;
            if last && typed.has(Typed::LOCKED) {
                wait.turn();
                continue;
            }
            let next = if last && ty.is_table() {
                (word & !(Typed::VALIDATED | Typed::PARTIAL)) | Typed::LOCKED
            } else {
                word.wrapping_sub(1)
            };
            if last
                && !ty.is_table()
                && let Some(now) = now.take()
            {
                self.set_stamp(mfn, now);
            }
            if entry.typed.compare_exchange(word, next, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                continue;
            }
            if last && ty.is_table() {
                let held = if typed.has(Typed::PARTIAL) { entry.partial.load(Ordering::Acquire) } else { 512 };
                return PutType::Devalidate(Devalidation { mfn, ty, held, owns_ref: false });
            }
            return PutType::Done;
        }
    }

    /// Gives up a use that was parked by [`Devalidation::park`], together with its reference, to be cleaned up
    /// later through [`FrameTable::take_parked`]. `Err` gives both back when the table is in use again meanwhile.
    pub fn abandon(&self, used: TypeRef, frame: FrameRef) -> Result<(), (TypeRef, FrameRef)> {
        let Some(entry) = self.entry(used.mfn()) else { return Err((used, frame)) };
        let mut wait = Wait(0);
        loop {
            let word = entry.typed.load(Ordering::Acquire);
            let typed = Typed(word);
            if typed.has(Typed::LOCKED) {
                wait.turn();
                continue;
            }
            if !typed.has(Typed::PARTIAL) || typed.count() != 1 {
                return Err((used, frame));
            }
            if entry.typed.compare_exchange(word, word.wrapping_sub(1), Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                // The state owns the reference now.
                let _ = (used.store(), frame.store());
                return Ok(());
            }
        }
    }

    /// Takes over interrupted work that nobody holds, to undo it.
    pub fn take_parked(&self, mfn: Mfn) -> Option<Devalidation> {
        let entry = self.entry(mfn)?;
        loop {
            let word = entry.typed.load(Ordering::Acquire);
            let typed = Typed(word);
            if !typed.has(Typed::PARTIAL) || typed.count() != 0 || typed.has(Typed::LOCKED) {
                return None;
            }
            let next = (word & !Typed::PARTIAL).wrapping_add(1) | Typed::LOCKED;
            if entry.typed.compare_exchange(word, next, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                let held = entry.partial.load(Ordering::Acquire);
                return Some(Devalidation { mfn, ty: typed.ty(), held, owns_ref: true });
            }
        }
    }

    // ---- changing entries of a validated table ----

    /// Locks a validated page table. The caller holds a reference. `None` when it is none; waits for another CPU
    /// that changes it.
    #[inline(always)]
    pub fn lock_table(&self, frame: &FrameRef) -> Option<TableGuard> {
        let entry = self.entry(frame.mfn())?;
        let mut wait = Wait(0);
        loop {
            let word = entry.typed.load(Ordering::Acquire);
            let typed = Typed(word);
            if !typed.ty().is_table() || typed.count() == 0 {
                return None;
            }
            if typed.has(Typed::LOCKED) {
                wait.turn();
                continue;
            }
            if !typed.has(Typed::VALIDATED) {
                return None;
            }
            if entry.typed.compare_exchange(word, word | Typed::LOCKED, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return Some(TableGuard { mfn: frame.mfn(), ty: typed.ty() });
            }
        }
    }

    /// [`FrameTable::get`] and [`FrameTable::lock_table`] at once, if the frame is `owner`'s table of this type and
    /// nobody has to wait. `Err`: those two have to say why or do it; a reference that comes back is to be put.
    #[inline(always)]
    pub(crate) fn lock_own_table(
        &self,
        mfn: Mfn,
        owner: DomId,
        ty: FrameType,
    ) -> Result<(FrameRef, TableGuard), Option<FrameRef>> {
        let Some(entry) = self.entry(mfn) else { return Err(None) };
        let word = entry.used.load(Ordering::Relaxed);
        if !Used(word).may_get(owner)
            || entry.used.compare_exchange(word, word.wrapping_add(1), Ordering::AcqRel, Ordering::Relaxed).is_err()
        {
            return Err(None);
        }
        let frame = FrameRef::restore(mfn);
        let word = entry.typed.load(Ordering::Acquire);
        if Typed(word).may_lock(ty)
            && entry.typed.compare_exchange(word, word | Typed::LOCKED, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        {
            return Ok((frame, TableGuard { mfn, ty }));
        }
        Err(Some(frame))
    }

    /// Gives the lock back.
    #[inline(always)]
    pub fn unlock_table(&self, guard: TableGuard) {
        if let Some(entry) = self.entry(guard.mfn) {
            let before = entry.typed.fetch_and(!Typed::LOCKED, Ordering::AcqRel);
            debug_assert!(Typed(before).has(Typed::LOCKED | Typed::VALIDATED));
        }
    }

    /// Locks descriptors against a change of type while one of them is written. `None` when it holds none.
    pub fn lock_descriptors(&self, frame: &FrameRef) -> Option<TypeRef> {
        self.get_type_if_valid(frame, FrameType::SegDesc).ok()
    }

    // ---- the guest's pin ----

    /// Makes a use and its reference the guest's pin. `Err` gives both back when it is pinned already.
    pub fn pin(&self, used: TypeRef, frame: FrameRef) -> Result<(), (TypeRef, FrameRef)> {
        let Some(entry) = self.entry(used.mfn()) else { return Err((used, frame)) };
        if Typed(entry.typed.fetch_or(Typed::PINNED, Ordering::AcqRel)).has(Typed::PINNED) {
            return Err((used, frame));
        }
        let _ = (used.store(), frame.store());
        Ok(())
    }

    /// Takes the pin off and gives what it held. `None` when it is not pinned.
    pub fn unpin(&self, frame: &FrameRef) -> Option<(TypeRef, FrameRef)> {
        let entry = self.entry(frame.mfn())?;
        let before = Typed(entry.typed.fetch_and(!Typed::PINNED, Ordering::AcqRel));
        before.has(Typed::PINNED).then(|| (TypeRef::restore(frame.mfn(), before.ty()), FrameRef::restore(frame.mfn())))
    }

    /// Puts the CPUs of `candidates` that must flush before the frame changes its use into a mask.
    pub fn stale_cpus<P: Platform>(&self, platform: &P, mfn: Mfn, candidates: &CpuMask) -> CpuMask {
        let stamp = self.stamp(mfn);
        let mut stale = *candidates;
        for cpu in candidates.iter() {
            if platform.flushed_since(cpu, stamp) {
                stale.clear(cpu);
            }
        }
        stale
    }
}

impl TableGuard {
    /// The table.
    pub fn mfn(&self) -> Mfn {
        self.mfn
    }
    /// Its level.
    pub fn ty(&self) -> FrameType {
        self.ty
    }
}

impl LockedFrame {
    /// The frame.
    pub fn mfn(&self) -> Mfn {
        self.mfn
    }
    /// What it becomes.
    pub fn to(&self) -> FrameType {
        self.to
    }
    /// The interrupted work as another type that has to be undone before this change can go on, if there is one.
    pub fn leftover(self) -> Result<LockedFrame, Devalidation> {
        if self.from != self.to && (self.held != 0 || self.owns_ref) {
            Err(Devalidation { mfn: self.mfn, ty: self.from, held: self.held, owns_ref: self.owns_ref })
        } else {
            Ok(self)
        }
    }
    /// Flushes the CPUs that may remember the frame in its old use. `candidates` gives the CPUs whose TLBs may hold
    /// the frame at all: the dirty CPUs of its owner, or every CPU when a foreign domain maps it. Gives also
    /// whether this CPU was flushed.
    pub fn flush<P: Platform>(
        self,
        frames: &FrameTable,
        platform: &P,
        cpu: CpuId,
        candidates: impl FnOnce() -> CpuMask,
    ) -> (FlushedFrame, bool) {
        if self.from == FrameType::None || self.from == self.to {
            return (FlushedFrame(self), false);
        }
        let stale = frames.stale_cpus(platform, self.mfn, &candidates());
        if !stale.is_empty() {
            platform.flush(cpu, &stale, Flush::All);
        }
        frames.clear_foreign(self.mfn);
        (FlushedFrame(self), stale.has(cpu))
    }
}

impl FlushedFrame {
    /// As if it had been flushed.
    #[cfg(test)]
    pub(super) fn for_test(locked: LockedFrame) -> Self {
        FlushedFrame(locked)
    }
    /// The frame.
    pub fn mfn(&self) -> Mfn {
        self.0.mfn
    }
    /// What it becomes.
    pub fn ty(&self) -> FrameType {
        self.0.to
    }
    /// The entry to go on with: those before it hold references.
    pub fn start(&self) -> u16 {
        self.0.held
    }

    /// All of it was checked: the type holds. The second value is a reference that is left over and must be put
    /// (never the last one).
    pub fn publish(self, frames: &FrameTable) -> (TypeRef, Option<FrameRef>) {
        if let Some(entry) = frames.entry(self.0.mfn) {
            entry.typed.fetch_add(Typed::VALIDATED - Typed::LOCKED, Ordering::AcqRel);
        }
        (TypeRef::restore(self.0.mfn, self.0.to), self.0.owns_ref.then(|| FrameRef::restore(self.0.mfn)))
    }

    /// Stops with the first `held` entries holding references: interrupted, or refused at that entry. What is held
    /// stays parked in the frame; with 0 and no other holder, nothing is left. A left-over reference must be put.
    pub fn park(self, frames: &FrameTable, held: u16, frame: &FrameRef) -> Option<FrameRef> {
        let entry = frames.entry(self.0.mfn)?;
        entry.partial.store(held, Ordering::Release);
        // The reference that `0, PARTIAL` owns; when too many references exist, the caller's own is one short of
        // the limit, so that this cannot fail by much: `LIMIT` is half of what the word can count.
        let mut spare = if self.0.owns_ref {
            Some(FrameRef::restore(self.0.mfn))
        } else {
            entry.used.fetch_add(1, Ordering::AcqRel);
            Some(FrameRef::restore(frame.mfn()))
        };
        let mut word = entry.typed.load(Ordering::Relaxed);
        loop {
            let others = Typed(word).count().wrapping_sub(1);
            let mut next = word.wrapping_sub(1) & !Typed::LOCKED;
            if held != 0 || others != 0 {
                next |= Typed::PARTIAL;
            }
            match entry.typed.compare_exchange(word, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if held != 0 && others == 0 => {
                    let _ = spare.take().map(FrameRef::store);
                    return None;
                }
                Ok(_) => return spare,
                Err(now) => word = now,
            }
        }
    }
}

impl Devalidation {
    /// The table.
    pub fn mfn(&self) -> Mfn {
        self.mfn
    }
    /// What it was.
    pub fn ty(&self) -> FrameType {
        self.ty
    }
    /// How many entries, from the first, still hold references.
    pub fn held(&self) -> u16 {
        self.held
    }

    /// No entry holds a reference any more: the use is over. A left-over reference must be put.
    pub fn complete(self, frames: &FrameTable, now: impl FnOnce() -> u32) -> Option<FrameRef> {
        frames.set_stamp(self.mfn, now);
        if let Some(entry) = frames.entry(self.mfn) {
            // Nobody counts a use while it is locked and not validated.
            let before = entry.typed.fetch_sub(Typed::LOCKED.wrapping_add(1), Ordering::AcqRel);
            debug_assert!(Typed(before).count() == 1 && Typed(before).has(Typed::LOCKED));
        }
        self.owns_ref.then(|| FrameRef::restore(self.mfn))
    }

    /// Interrupted with `held` entries still holding references. Gives the use back to who wanted to give it back,
    /// to try again; `None` when nobody waits for it.
    pub fn park(self, frames: &FrameTable, held: u16) -> Option<TypeRef> {
        if let Some(entry) = frames.entry(self.mfn) {
            entry.partial.store(held, Ordering::Release);
            let drop_use = u64::from(self.owns_ref);
            entry.typed.fetch_add(Typed::PARTIAL - Typed::LOCKED - drop_use, Ordering::AcqRel);
        }
        (!self.owns_ref).then(|| TypeRef::restore(self.mfn, self.ty))
    }
}
