//! Level-1 entries whose references come from elsewhere: grant mappings, and moving entries about. The caller brings
//! the references (it checked the grant), the entry owns them while it stands, and clearing it gives them back. A
//! guest that overwrites such an entry itself gives the references back as for any other entry.

use super::change::Write;
use super::entry::Pte;
use super::{Mmu, PagingError, find_l1e};
use crate::addr::{Maddr, Mfn, Vaddr};
use crate::ctx::Ctx;
use crate::domain::Domain;
use crate::frame::{FrameRef, FrameType, TableGuard, TypeRef};
use crate::paging::validate::{group_bit, load};
use crate::platform::{Flush, Platform};

/// An entry with the references that it is to own.
#[must_use]
#[derive(Debug)]
pub struct PteClaim {
    /// What is written, before [`Pte::adjust_l1`]: its frame and writability must be those of the references.
    pub entry: Pte,
    /// The frame.
    pub frame: FrameRef,
    /// The use as `Writable`, exactly if the entry is writable.
    pub used: Option<TypeRef>,
}

/// An entry that was cleared, with what it owned. The caller flushes ([`settle`]) before it gives that back
/// ([`put_writable`]).
#[must_use]
#[derive(Debug)]
pub struct Displaced {
    /// The entry as it was, with accessed and dirty bits.
    pub entry: Pte,
    /// Its frame.
    pub frame: FrameRef,
    /// Its use as `Writable`.
    pub used: Option<TypeRef>,
}

/// A reference to a frame of `owner`, and its use as `Writable` if `writable`. For a mapping by another domain, or for
/// the hypervisor's own accesses.
///
/// # Errors
/// `Invalid` (not `owner`'s), `Busy` (in use as a table), `Interrupted`.
pub fn get_writable<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    owner: &Domain<P>,
    mfn: Mfn,
    writable: bool,
) -> Result<(FrameRef, Option<TypeRef>), PagingError> {
    let mut mmu = Mmu::on(ctx, owner, owner.id, false);
    let frame = mmu.frames().get(mfn, owner.id)?;
    if !writable {
        return Ok((frame, None));
    }
    match mmu.use_as(&frame, FrameType::Writable) {
        Ok(used) => Ok((frame, Some(used))),
        Err(error) => {
            mmu.put(frame);
            Err(error)
        }
    }
}

/// Gives both back. The caller holds no lock above `rank::DomainLife`.
pub fn put_writable<P: Platform>(ctx: &mut Ctx<'_, P>, frame: FrameRef, used: Option<TypeRef>) {
    let mmu = &mut Mmu::new(ctx);
    match used {
        Some(used) => mmu.put_table(used, frame),
        None => mmu.put(frame),
    }
}

/// Makes every CPU forget the translations of the caller's domain, now. After an entry was cleared and before its
/// frame may be used otherwise by its owner. `everywhere`: on all CPUs, for a frame that changes its owner.
pub fn settle<P: Platform>(ctx: &mut Ctx<'_, P>, everywhere: bool) {
    let cpus = if everywhere { ctx.platform().online() } else { ctx.dom.dirty_cpus.load() };
    ctx.platform().flush(ctx.cpu, &cpus, Flush::All);
    if cpus.has(ctx.cpu) {
        ctx.effects.flushed();
    }
}

/// Writes an entry at a linear address of the caller's running tables.
///
/// # Errors
/// `Invalid` when there is no level-1 table for it, with the claim.
pub fn install_l1e_at_va<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    va: Vaddr,
    claim: PteClaim,
) -> Result<(), (PagingError, PteClaim)> {
    match find_l1e(ctx.hv, ctx.pv.kernel_root, va) {
        Some((table, index)) => install(ctx, table, index, claim),
        None => Err((PagingError::Invalid, claim)),
    }
}

/// Writes the entry at a machine address (8-byte aligned), which must be in a level-1 table of the caller's.
///
/// # Errors
/// As [`install_l1e_at_va`].
pub fn install_l1e_at_maddr<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    at: Maddr,
    claim: PteClaim,
) -> Result<(), (PagingError, PteClaim)> {
    if at.0 & 7 != 0 {
        return Err((PagingError::Invalid, claim));
    }
    install(ctx, at.mfn(), at.offset() / 8, claim)
}

fn install<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    table: Mfn,
    index: usize,
    claim: PteClaim,
) -> Result<(), (PagingError, PteClaim)> {
    let mut mmu = Mmu::new(ctx);
    let new = claim.entry.adjust_l1();
    let fits = new.present()
        && new.mfn() == claim.frame.mfn()
        && new.writable() == claim.used.is_some()
        && new.allowed_l1(mmu.dom.privileged);
    let mut claim = Some(claim);
    let result = if fits {
        mmu.with_l1(table, |mmu, guard| {
            let word = mmu.page(guard.mfn()).words().get(index).ok_or(PagingError::Invalid)?;
            if mmu.frames().owner(new.mfn()) != Some(mmu.dom.id) {
                mmu.frames().set_foreign(new.mfn());
            }
            mmu.frames().set_occupied(guard.mfn(), mmu.frames().occupied(guard.mfn()) | group_bit(index));
            let old = Pte(word.swap(new.0, core::sync::atomic::Ordering::SeqCst));
            if let Some(PteClaim { frame, used, .. }) = claim.take() {
                frame.store();
                let _ = used.map(TypeRef::store);
            }
            mmu.put_l1e(old);
            Ok(())
        })
    } else {
        Err(PagingError::Invalid)
    };
    match (result, claim) {
        (Err(error), Some(claim)) => Err((error, claim)),
        _ => Ok(()),
    }
}

/// Clears the entry at a linear address of the caller's running tables, if it maps `expected`, writable or not as told: one
/// that does not is another mapping of the same frame, whose end is not this one's.
///
/// # Errors
/// `Invalid` when it does not.
pub fn clear_l1e_at_va<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    va: Vaddr,
    expected: Mfn,
    writable: bool,
) -> Result<Displaced, PagingError> {
    let (table, index) = find_l1e(ctx.hv, ctx.pv.kernel_root, va).ok_or(PagingError::Invalid)?;
    clear(ctx, (table, index), (expected, writable), Pte(0))
}

/// The same for the entry at a machine address.
///
/// # Errors
/// As [`clear_l1e_at_va`].
pub fn clear_l1e_at_maddr<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    at: Maddr,
    expected: Mfn,
    writable: bool,
) -> Result<Displaced, PagingError> {
    if at.0 & 7 != 0 {
        return Err(PagingError::Invalid);
    }
    clear(ctx, (at.mfn(), at.offset() / 8), (expected, writable), Pte(0))
}

/// GNTTABOP_unmap_and_replace: the entry at `to`, which maps `expected` (see [`clear_l1e_at_va`]), becomes the entry at `from`, which is cleared.
///
/// # Errors
/// `Invalid` when `to` does not map `expected`, or one of them has no level-1 table; then nothing is changed.
pub fn move_l1e<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    from: Vaddr,
    to: Vaddr,
    expected: Mfn,
    writable: bool,
) -> Result<Displaced, PagingError> {
    let root = ctx.pv.kernel_root;
    let (from_table, from_index) = find_l1e(ctx.hv, root, from).ok_or(PagingError::Invalid)?;
    let (to_table, to_index) = find_l1e(ctx.hv, root, to).ok_or(PagingError::Invalid)?;
    if (from_table, from_index) == (to_table, to_index) {
        return Err(PagingError::Invalid);
    }
    // The entry and its references move; between the two steps nobody's table holds them.
    let moved = Mmu::new(ctx).with_l1(from_table, |mmu, guard| {
        let word = mmu.page(guard.mfn()).words().get(from_index).ok_or(PagingError::Invalid)?;
        Ok(Pte(word.swap(0, core::sync::atomic::Ordering::SeqCst)))
    })?;
    clear(ctx, (to_table, to_index), (expected, writable), moved).inspect_err(|_| {
        let mut mmu = Mmu::new(ctx);
        let back = mmu.with_l1(from_table, |mmu, guard| {
            let word = mmu.page(guard.mfn()).words().get(from_index).ok_or(PagingError::Invalid)?;
            let now = Pte(word.swap(moved.0, core::sync::atomic::Ordering::SeqCst));
            mmu.put_l1e(now);
            Ok(())
        });
        if back.is_err() {
            // The table is gone, and the entry with it.
            mmu.put_l1e(moved);
        }
    })
}

fn clear<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    (table, index): (Mfn, usize),
    (expected, writable): (Mfn, bool),
    new: Pte,
) -> Result<Displaced, PagingError> {
    Mmu::new(ctx).with_l1(table, |mmu, guard| {
        let words = mmu.page(guard.mfn()).words();
        let word = words.get(index).ok_or(PagingError::Invalid)?;
        let old = load(words, index);
        if !old.present() || old.mfn() != expected || old.writable() != writable || !mmu.frames().is_ram(expected) {
            return Err(PagingError::Invalid);
        }
        if new.present() {
            mmu.frames().set_occupied(guard.mfn(), mmu.frames().occupied(guard.mfn()) | group_bit(index));
        }
        // Only the CPU can have changed it since: accessed and dirty bits.
        let old = Pte(word.swap(new.0, core::sync::atomic::Ordering::SeqCst));
        Ok(Displaced {
            entry: old,
            frame: FrameRef::restore(old.mfn()),
            used: old.writable().then(|| TypeRef::restore(old.mfn(), FrameType::Writable)),
        })
    })
}

impl<P: Platform> Mmu<'_, P> {
    /// Works on a level-1 table of the domain, locked.
    fn with_l1<T>(
        &mut self,
        table: Mfn,
        work: impl FnOnce(&mut Self, &TableGuard) -> Result<T, PagingError>,
    ) -> Result<T, PagingError> {
        let (frame, guard) = self.lock_l1(table)?;
        let result = work(self, &guard);
        self.frames().unlock_table(guard);
        self.put(frame);
        result
    }

    /// Locks a level-1 table of the domain.
    ///
    /// # Errors
    /// `Invalid` when it is none.
    #[inline(always)]
    pub(super) fn lock_l1(&mut self, table: Mfn) -> Result<(FrameRef, TableGuard), PagingError> {
        match self.frames().lock_own_table(table, self.dom.id, FrameType::L1) {
            Ok(locked) => Ok(locked),
            Err(spare) => self.lock_l1_slow(table, spare),
        }
    }

    #[cold]
    fn lock_l1_slow(&mut self, table: Mfn, spare: Option<FrameRef>) -> Result<(FrameRef, TableGuard), PagingError> {
        let frame = match spare {
            Some(frame) => frame,
            None => self.frames().get(table, self.dom.id)?,
        };
        match self.frames().lock_table(&frame) {
            Some(guard) if guard.ty() == FrameType::L1 => Ok((frame, guard)),
            other => {
                if let Some(guard) = other {
                    self.frames().unlock_table(guard);
                }
                self.put(frame);
                Err(PagingError::Invalid)
            }
        }
    }

    /// Writes an entry of what was found to be a level-1 table of the domain, and is checked to be one.
    #[inline]
    pub(super) fn write_l1e_of(&mut self, table: Mfn, index: usize, new: Pte, how: Write) -> Result<bool, PagingError> {
        self.with_l1(table, |mmu, guard| mmu.write_l1e(guard, index, new, how))
    }
}
