//! Making a table valid, entry by entry, and undoing it. Both can be interrupted between entries of levels 2 to 4;
//! progress is parked in the frame. Empty entries cost next to nothing: validation looks at 16 at once and remembers
//! which groups of 16 were not empty, and devalidation looks at those groups only.

use super::descriptor;
use super::entry::{ENTRIES, HYPERVISOR_SLOTS, Pte};
use super::{Mmu, PagingError};
use crate::addr::Mfn;
use crate::domain::DomId;
use crate::frame::{Devalidation, FlushedFrame, FrameRef, FrameTable, FrameType, TypeRef};
use crate::platform::Platform;
use core::sync::atomic::{AtomicU64, Ordering};
use ferroxen_sync::SharedPage;

/// Entries of one bit of a table's occupancy.
const GROUP: usize = SharedPage::GROUP;

#[inline(always)]
pub(super) fn load(words: &[AtomicU64], index: usize) -> Pte {
    Pte(words.get(index).map_or(0, |word| word.load(Ordering::Relaxed)))
}

/// The group's bit in a table's occupancy.
#[inline(always)]
pub(super) fn group_bit(index: usize) -> u32 {
    1 << ((index / GROUP) & 31)
}

/// Makes level-1 entries valid as long as they are absent, or map frames of `owner` read-only, or writable ones that are
/// mapped writable already: nearly all. Gives how many, from the first, it settled, and a reference that is to be put. A
/// loop of its own, in which everything stays in registers.
#[inline(never)]
fn take_plain(frames: &FrameTable, owner: DomId, words: &[AtomicU64]) -> (usize, Option<FrameRef>) {
    for (at, word) in words.iter().enumerate() {
        let old = Pte(word.load(Ordering::Relaxed));
        if !old.present() {
            continue;
        }
        let new = old.adjust_l1();
        if !new.allowed_l1(false) {
            return (at, None);
        }
        if let Err(spare) = frames.get_mapped(new.mfn(), owner, new.writable()) {
            return (at, spare);
        }
        if new != old {
            word.store(new.0, Ordering::Relaxed);
        }
    }
    (words.len(), None)
}

/// Gives back what level-1 entries hold as long as they are absent or read-only and not the last to map their frame.
/// Gives how many, from the first, it settled.
#[inline(never)]
fn give_plain(frames: &FrameTable, words: &[AtomicU64]) -> usize {
    for (at, word) in words.iter().enumerate() {
        let entry = Pte(word.load(Ordering::Relaxed));
        if entry.present() && (entry.writable() || !frames.put_mapped(entry.mfn())) {
            return at;
        }
    }
    words.len()
}

impl<P: Platform> Mmu<'_, P> {
    /// Checks a flushed frame as its new type, and publishes it.
    ///
    /// # Errors
    /// `Invalid` and others when its contents are refused, `Interrupted`. What is half done is parked in the frame.
    pub(super) fn validate(&mut self, flushed: FlushedFrame, frame: &FrameRef) -> Result<TypeRef, PagingError> {
        let page = self.page(flushed.mfn());
        let start = flushed.start();
        let (held, result) = match flushed.ty() {
            FrameType::L1 => match self.validate_l1(flushed.mfn(), page) {
                Ok(()) => (0, Ok(())),
                Err(error) => (0, Err(error)),
            },
            FrameType::L2 | FrameType::L3 | FrameType::L4 => {
                self.validate_upper(flushed.mfn(), flushed.ty().level(), page, usize::from(start))
            }
            FrameType::SegDesc if !descriptor::fix_up_page(page) => (0, Err(PagingError::Invalid)),
            FrameType::SegDesc | FrameType::Writable | FrameType::None => (0, Ok(())),
        };
        match result {
            Ok(()) => {
                let (used, spare) = flushed.publish(self.frames());
                if let Some(spare) = spare {
                    self.put(spare);
                }
                Ok(used)
            }
            Err(error) => {
                if error != PagingError::Interrupted && held != 0 {
                    // To be undone before this vcpu's next operation.
                    self.park_hint(flushed.ty().level(), flushed.mfn());
                }
                if let Some(spare) = flushed.park(self.frames(), held, frame) {
                    self.put(spare);
                }
                Err(error)
            }
        }
    }

    /// All or nothing.
    fn validate_l1(&mut self, table: Mfn, page: &SharedPage) -> Result<(), PagingError> {
        // What a plain entry maps is one's own.
        let owner = (self.data == self.dom.id).then_some(self.data);
        let mut occupied = 0;
        for (at, group) in page.words().chunks_exact(GROUP).enumerate() {
            if page.is_blank(at) {
                continue;
            }
            let mut next = 0;
            while let Some(left) = group.get(next..).filter(|left| !left.is_empty()) {
                if let Some(owner) = owner {
                    let (done, spare) = take_plain(self.frames(), owner, left);
                    next = next.wrapping_add(done);
                    if let Some(spare) = spare {
                        self.put(spare);
                    }
                }
                let Some(word) = group.get(next) else { break };
                let old = Pte(word.load(Ordering::Relaxed));
                if old.present() {
                    match self.get_l1e(old.adjust_l1()) {
                        Ok(new) if new != old => word.store(new.0, Ordering::Relaxed),
                        Ok(_) => {}
                        Err(error) => {
                            self.frames().set_occupied(table, occupied | 1 << at);
                            self.devalidate_l1(table, page, at.wrapping_mul(GROUP).wrapping_add(next));
                            return Err(error);
                        }
                    }
                }
                next = next.wrapping_add(1);
            }
            occupied |= 1 << at;
        }
        self.frames().set_occupied(table, occupied);
        Ok(())
    }

    fn devalidate_l1(&mut self, table: Mfn, page: &SharedPage, end: usize) {
        let words = page.words().get(..end.min(ENTRIES)).unwrap_or(&[]);
        let mut occupied = self.frames().occupied(table);
        for group in words.chunks(GROUP) {
            let present = occupied & 1 != 0;
            occupied >>= 1;
            if !present {
                continue;
            }
            let mut next = 0;
            while let Some(left) = group.get(next..).filter(|left| !left.is_empty()) {
                next = next.wrapping_add(give_plain(self.frames(), left));
                if let Some(word) = group.get(next) {
                    self.put_l1e(Pte(word.load(Ordering::Relaxed)));
                    next = next.wrapping_add(1);
                }
            }
        }
    }

    /// Validates entries from `start` on. Gives how many entries, from the first, hold references if it fails.
    fn validate_upper(
        &mut self,
        table: Mfn,
        level: u32,
        page: &SharedPage,
        start: usize,
    ) -> (u16, Result<(), PagingError>) {
        let mut occupied = if start == 0 { 0 } else { self.frames().occupied(table) };
        // An undoing that was interrupted has stopped before the last entry that is held, or in the middle of it.
        if let Some(last) = start.checked_sub(1)
            && !(level == 4 && HYPERVISOR_SLOTS.contains(&last))
            && let Err(error) = self.mend_upper(table, level, load(page.words(), last))
        {
            return (start as u16, Err(error));
        }
        for (at, group) in page.words().chunks_exact(GROUP).enumerate().skip(start / GROUP) {
            if page.is_blank(at) {
                continue;
            }
            for (offset, word) in group.iter().enumerate() {
                let index = at.wrapping_mul(GROUP).wrapping_add(offset);
                let old = Pte(word.load(Ordering::Relaxed));
                if index < start || !old.present() || level == 4 && HYPERVISOR_SLOTS.contains(&index) {
                    continue;
                }
                let new = old.adjust_upper();
                if let Err(error) = self.get_upper(table, level, new) {
                    self.frames().set_occupied(table, occupied);
                    return (index as u16, Err(error));
                }
                occupied |= 1 << at;
                if new != old {
                    word.store(new.0, Ordering::Relaxed);
                }
                let next = index.wrapping_add(1);
                if next < ENTRIES && self.preempted() {
                    self.frames().set_occupied(table, occupied);
                    return (next as u16, Err(PagingError::Interrupted));
                }
            }
        }
        self.frames().set_occupied(table, occupied);
        if level == 4 {
            self.hv.platform.install_root_slots(page);
        }
        (0, Ok(()))
    }

    /// Gives back what the entries of a table hold, last first.
    ///
    /// # Errors
    /// Interrupted: with the use that the caller wanted to give back, if it was somebody's.
    pub(super) fn devalidate(&mut self, table: Devalidation) -> Result<(), Option<TypeRef>> {
        let (mfn, level) = (table.mfn(), table.ty().level());
        let page = self.page(mfn);
        if level == 1 {
            self.devalidate_l1(mfn, page, usize::from(table.held()));
        } else if let Err(held) = self.devalidate_upper(mfn, level, page, usize::from(table.held())) {
            return Err(table.park(self.frames(), held));
        }
        if let Some(spare) = table.complete(self.frames(), || self.hv.platform.tlb_stamp()) {
            self.put(spare);
        }
        Ok(())
    }

    /// `Err`: interrupted; so many entries, from the first, still hold references.
    fn devalidate_upper(&mut self, table: Mfn, level: u32, page: &SharedPage, end: usize) -> Result<(), u16> {
        let mut occupied = self.frames().occupied(table);
        while occupied != 0 {
            let group = 31 - occupied.leading_zeros();
            occupied &= !(1 << group);
            let first = group as usize * GROUP;
            for index in (first..first.wrapping_add(GROUP).min(end)).rev() {
                let entry = load(page.words(), index);
                if !entry.present() || level == 4 && HYPERVISOR_SLOTS.contains(&index) {
                    continue;
                }
                if self.put_upper(table, level, entry).is_err() {
                    return Err(index.wrapping_add(1) as u16);
                }
                if index != 0 && self.preempted() {
                    return Err(index as u16);
                }
            }
        }
        Ok(())
    }
}
