//! Changing one entry of a valid table: new references first, then the entry, then the old references.

use super::entry::{ACCESSED, DIRTY, HYPERVISOR_SLOTS, Pte, WRITABLE};
use super::validate::{group_bit, load};
use super::{Mmu, PagingError};
use crate::frame::{FrameKind, FrameRef, FrameType, TableGuard};
use crate::platform::Platform;
use core::sync::atomic::{AtomicU64, Ordering};

/// How an entry is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Write {
    /// As it is.
    Plain,
    /// Keeping the accessed and dirty bits that are set.
    PreserveAd,
    /// Only if the entry is this one.
    IfStill(Pte),
}

/// Writes the entry with a full barrier, so that a TLB stamp that is taken afterwards is younger than the write.
/// Gives the old entry; `None`: it was not the expected one.
#[inline(always)]
fn exchange(word: &AtomicU64, new: Pte, how: Write) -> Option<Pte> {
    match how {
        Write::Plain => Some(Pte(word.swap(new.0, Ordering::SeqCst))),
        Write::PreserveAd => {
            let mut old = word.load(Ordering::Relaxed);
            loop {
                let kept = new.0 | old & (ACCESSED | DIRTY);
                match word.compare_exchange(old, kept, Ordering::SeqCst, Ordering::Relaxed) {
                    Ok(old) => return Some(Pte(old)),
                    Err(now) => old = now,
                }
            }
        }
        Write::IfStill(old) => word.compare_exchange(old.0, new.0, Ordering::SeqCst, Ordering::Relaxed).ok().map(Pte),
    }
}

impl<P: Platform> Mmu<'_, P> {
    /// Writes entry `index` of a locked table. Gives whether it was written: `false` only for [`Write::IfStill`].
    ///
    /// # Errors
    /// `Invalid`, `NotPermitted`, `Busy`, `Interrupted`: the entry is as it was.
    #[inline(always)]
    pub(super) fn write_entry(
        &mut self,
        table: &TableGuard,
        index: usize,
        new: Pte,
        how: Write,
    ) -> Result<bool, PagingError> {
        let level = table.ty().level();
        if level == 1 {
            self.write_l1e(table, index, new, how)
        } else {
            self.write_upper(table, level, index, new, how)
        }
    }

    #[inline(always)]
    pub(super) fn write_l1e(
        &mut self,
        table: &TableGuard,
        index: usize,
        new: Pte,
        how: Write,
    ) -> Result<bool, PagingError> {
        let words = self.page(table.mfn()).words();
        let Some(word) = words.get(index) else { return Err(PagingError::Invalid) };
        let old = load(words, index);
        let new = new.adjust_l1();
        if !new.present() {
            // An absent entry keeps no accessed and dirty bits.
            let how = if how == Write::PreserveAd && !old.present() { Write::Plain } else { how };
            let Some(old) = exchange(word, new, how) else { return Ok(false) };
            self.put_l1e(old);
            return Ok(true);
        }
        if old.present() {
            if old.same_rights(new) {
                return Ok(exchange(word, new, how).is_some());
            }
            // Write protection, the common change of rights: the frame's reference stays.
            if Pte(old.0 & !WRITABLE).same_rights(new) && matches!(self.frames().kind(new.mfn()), FrameKind::Owned(_)) {
                let done = exchange(word, new, how).is_some();
                if done {
                    self.put_writable(new.mfn());
                }
                return Ok(done);
            }
            // Its end: the entry's own reference is all that a use needs.
            if Pte(old.0 | WRITABLE).same_rights(new)
                && self.data == self.dom.id
                && self.frames().kind(new.mfn()) == FrameKind::Owned(self.data)
            {
                let held = FrameRef::restore(new.mfn());
                let used = self.use_in_table(&held, FrameType::Writable);
                held.store();
                used?.store();
                let done = exchange(word, new, how).is_some();
                if !done {
                    self.put_writable(new.mfn());
                }
                return Ok(done);
            }
        }
        let new = self.get_l1e(new)?;
        let occupied = self.frames().occupied(table.mfn());
        if occupied & group_bit(index) == 0 {
            self.frames().set_occupied(table.mfn(), occupied | group_bit(index));
        }
        match exchange(word, new, how) {
            Some(old) => {
                self.put_l1e(old);
                Ok(true)
            }
            None => {
                self.put_l1e(new);
                Ok(false)
            }
        }
    }

    fn write_upper(
        &mut self,
        table: &TableGuard,
        level: u32,
        index: usize,
        new: Pte,
        how: Write,
    ) -> Result<bool, PagingError> {
        if level == 4 && HYPERVISOR_SLOTS.contains(&index) {
            return Err(PagingError::Invalid);
        }
        let words = self.page(table.mfn()).words();
        let Some(word) = words.get(index) else { return Err(PagingError::Invalid) };
        let old = load(words, index);
        let new = new.adjust_upper();
        if old.same_rights(new) {
            if !new.allowed_upper() {
                return Err(PagingError::Invalid);
            }
            return Ok(exchange(word, new, how).is_some());
        }
        self.get_upper(table.mfn(), level, new)?;
        if new.present() {
            let occupied = self.frames().occupied(table.mfn());
            self.frames().set_occupied(table.mfn(), occupied | group_bit(index));
        }
        match exchange(word, new, how) {
            Some(old) => {
                self.drop_upper(table.mfn(), level, old);
                Ok(true)
            }
            None => {
                self.drop_upper(table.mfn(), level, new);
                Ok(false)
            }
        }
    }
}
