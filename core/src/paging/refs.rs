//! The references that an entry stands for: taken before it is written, given back after it is gone.

use super::entry::{Pte, WRITABLE};
use super::{Mmu, PagingError};
use crate::addr::Mfn;
use crate::domain::DomId;
use crate::frame::{FrameError, FrameKind, FrameRef, FrameType, IoAccess, TypeRef};
use crate::platform::Platform;

impl<P: Platform> Mmu<'_, P> {
    /// Takes the references of a level-1 entry (already adjusted). Gives the entry as it may be written: a mapping
    /// of read-only I/O memory loses its writability.
    ///
    /// # Errors
    /// `Invalid`, `NotPermitted`, `Busy`, `Interrupted`; then nothing is held.
    #[inline(always)]
    pub(super) fn get_l1e(&mut self, entry: Pte) -> Result<Pte, PagingError> {
        if !entry.present() {
            return Ok(entry);
        }
        if !entry.allowed_l1(self.dom.privileged) {
            return Err(PagingError::Invalid);
        }
        let mfn = entry.mfn();
        let frame = match self.frames().get(mfn, self.data) {
            Ok(frame) => frame,
            Err(error) => return self.get_io(entry, error),
        };
        if entry.writable() {
            match self.use_in_table(&frame, FrameType::Writable) {
                Ok(used) => {
                    used.store();
                }
                Err(error) => {
                    self.put(frame);
                    return Err(error);
                }
            }
        }
        if self.data != self.dom.id {
            // Only now: a change of type, which would clear it, is over or cannot begin.
            self.frames().set_foreign(mfn);
        }
        frame.store();
        Ok(entry)
    }

    #[cold]
    fn get_io(&self, entry: Pte, error: FrameError) -> Result<Pte, PagingError> {
        let mfn = entry.mfn();
        if self.frames().kind(mfn) != FrameKind::Blank {
            return Err(error.into());
        }
        // Whoever writes it: the entry gives the memory to the domain whose table it is in.
        if !self.io || !self.dom.privileged || self.data == DomId::XEN {
            return Err(PagingError::NotPermitted);
        }
        match self.frames().io.access(mfn) {
            IoAccess::Refused => Err(PagingError::NotPermitted),
            IoAccess::ReadOnly => Ok(Pte(entry.0 & !WRITABLE)),
            IoAccess::Full => Ok(entry),
        }
    }

    /// Gives back the references of a level-1 entry that is gone.
    #[inline(always)]
    pub(super) fn put_l1e(&mut self, entry: Pte) {
        if !entry.present() || !self.frames().is_ram(entry.mfn()) {
            // I/O memory is not counted.
            return;
        }
        if entry.writable() {
            self.put_writable(entry.mfn());
        }
        self.put(FrameRef::restore(entry.mfn()));
    }

    /// Gives back the use that a writable level-1 entry stood for, and keeps its reference.
    #[inline(always)]
    pub(super) fn put_writable(&mut self, mfn: Mfn) {
        let done = self.put_type(TypeRef::restore(mfn, FrameType::Writable));
        debug_assert!(done.is_ok(), "only page tables take time");
        if let Err(used) = done {
            used.store();
        }
    }

    /// Takes the references of an entry of level 2 to 4 (already adjusted) that is to be written to `table`.
    ///
    /// # Errors
    /// `Invalid`, `Busy`, `Interrupted`; then nothing is held.
    pub(super) fn get_upper(&mut self, table: Mfn, level: u32, entry: Pte) -> Result<(), PagingError> {
        if !entry.present() {
            return Ok(());
        }
        if !entry.allowed_upper() {
            return Err(PagingError::Invalid);
        }
        let mfn = entry.mfn();
        let frame = self.frames().get(mfn, self.dom.id)?;
        match self.use_in_table(&frame, FrameType::of_level(level.wrapping_sub(1))) {
            Ok(used) => {
                used.store();
                frame.store();
                Ok(())
            }
            Err(PagingError::Busy) if !entry.writable() => self.get_linear(table, level, frame),
            Err(error) => {
                self.put(frame);
                Err(error)
            }
        }
    }

    /// An entry that leads to a table of its own level (a linear page table): to `table` itself, which needs no
    /// reference, or to another one that is valid already.
    fn get_linear(&mut self, table: Mfn, level: u32, frame: FrameRef) -> Result<(), PagingError> {
        if frame.mfn() == table {
            self.put(frame);
            return Ok(());
        }
        let Ok(used) = self.frames().get_type_if_valid(&frame, FrameType::of_level(level)) else {
            self.put(frame);
            return Err(PagingError::Busy);
        };
        if self.frames().link_tables(table, frame.mfn()) {
            used.store();
            frame.store();
            return Ok(());
        }
        self.put_table(used, frame);
        Err(PagingError::Invalid)
    }

    /// What an entry of level 2 to 4 of `table` holds; `None`: nothing.
    fn held_by_upper(&self, table: Mfn, level: u32, entry: Pte) -> Option<(TypeRef, FrameRef)> {
        if !entry.present() || entry.mfn() == table {
            return None;
        }
        let mfn = entry.mfn();
        // The use that the entry stands for keeps the type as it is.
        let own = FrameType::of_level(level);
        let ty = if self.frames().type_count(mfn).0 == own { own } else { FrameType::of_level(level.wrapping_sub(1)) };
        Some((TypeRef::restore(mfn, ty), FrameRef::restore(mfn)))
    }

    /// Gives back the references of an entry of `table` that stays as it is until this succeeds.
    ///
    /// # Errors
    /// `Interrupted`: they are still held.
    pub(super) fn put_upper(&mut self, table: Mfn, level: u32, entry: Pte) -> Result<(), PagingError> {
        let Some((used, frame)) = self.held_by_upper(table, level, entry) else { return Ok(()) };
        let linear = used.ty().level() == level;
        match self.put_type(used) {
            Ok(()) => {
                if linear {
                    self.frames().unlink_tables(table, frame.mfn());
                }
                self.put(frame);
                Ok(())
            }
            Err(used) => {
                used.store();
                frame.store();
                Err(PagingError::Interrupted)
            }
        }
    }

    /// Makes whole what an entry of `table` holds: giving it back may have been interrupted in the middle of the table that
    /// it leads to, which is valid no more then, but still in use by the entry.
    ///
    /// # Errors
    /// As for [`Mmu::get_upper`]; the entry still holds its use.
    pub(super) fn mend_upper(&mut self, table: Mfn, level: u32, entry: Pte) -> Result<(), PagingError> {
        let Some((used, frame)) = self.held_by_upper(table, level, entry) else { return Ok(()) };
        let mended = self.use_in_table(&frame, used.ty());
        let _ = (used.store(), frame.store());
        // One use too many now, and not the last.
        if let Err(kept) = self.put_type(mended?) {
            debug_assert!(false, "an entry's use has gone");
            kept.store();
        }
        Ok(())
    }

    /// Gives back the references of an entry of `table` that is gone; what is interrupted is finished later.
    pub(super) fn drop_upper(&mut self, table: Mfn, level: u32, entry: Pte) {
        let Some((used, frame)) = self.held_by_upper(table, level, entry) else { return };
        if used.ty().level() == level {
            self.frames().unlink_tables(table, frame.mfn());
        }
        self.put_table(used, frame);
    }
}
