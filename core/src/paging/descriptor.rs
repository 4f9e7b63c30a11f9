//! Descriptor tables: what a guest's GDT and LDT may hold, and which frames hold them.
//!
//! A descriptor that is present may be a code or data segment of ring 3 (its privilege is made 3, because a 64-bit
//! guest's kernel runs there) or the harmless system type 0. Gates and system segments would lead into ring 0.

use super::entry::ENTRIES;
use super::{Mmu, PagingError, find_l1e};
use crate::addr::{Maddr, Mfn, Vaddr};
use crate::ctx::{Ctx, Effect};
use crate::frame::{FrameRef, FrameType, TypeRef};
use crate::platform::Platform;
use crate::pv::{GDT_FRAMES, LDT_FRAMES};
use core::sync::atomic::Ordering;
use ferroxen_sync::SharedPage;

const PRESENT: u64 = 1 << 47;
const DPL: u64 = 3 << 45;
/// Code or data, not a system descriptor.
const SEGMENT: u64 = 1 << 44;
const TYPE: u64 = 0xf << 40;

/// The descriptor as it may stand in a guest's table; `None`: it may not.
pub fn fix_up(descriptor: u64) -> Option<u64> {
    if descriptor & PRESENT == 0 {
        // Using it always faults.
        Some(descriptor)
    } else if descriptor & SEGMENT != 0 || descriptor & TYPE == 0 {
        Some(descriptor | DPL)
    } else {
        None
    }
}

/// Checks a page of descriptors and corrects privileges in it. `false`: one of them is refused.
pub(super) fn fix_up_page(page: &SharedPage) -> bool {
    page.words().iter().all(|word| {
        let old = word.load(Ordering::Relaxed);
        let fixed = fix_up(old);
        if let Some(new) = fixed
            && new != old
        {
            word.store(new, Ordering::Relaxed);
        }
        fixed.is_some()
    })
}

/// `HYPERVISOR_set_gdt`, with the list of frames copied in: `entries` descriptors in `frames`. The old table's uses are
/// given back; [`Effect::LOAD_DESCRIPTOR_TABLES`] makes the CPU use the new one before the vcpu goes on.
///
/// # Errors
/// `Invalid` for too many entries or too few frames, for a frame that is not the domain's or in use as something else,
/// or for a descriptor that is refused; then the old table stays. `Interrupted`.
pub fn set_gdt<P: Platform>(ctx: &mut Ctx<'_, P>, frames: &[Mfn], entries: u32) -> Result<(), PagingError> {
    let needed = usize::try_from(entries).map_err(|_| PagingError::Invalid)?.div_ceil(ENTRIES);
    if needed > GDT_FRAMES {
        return Err(PagingError::Invalid);
    }
    let wanted = frames.get(..needed).ok_or(PagingError::Invalid)?;
    let mut new = [Mfn(0); GDT_FRAMES];
    let mut mmu = Mmu::new(ctx);
    mmu.finish_parked()?;
    for (slot, &mfn) in new.iter_mut().zip(wanted) {
        match mmu.get_descriptors(mfn) {
            Ok(()) => *slot = mfn,
            Err(error) => {
                new.iter().for_each(|&mfn| mmu.put_descriptors(mfn));
                return Err(error);
            }
        }
    }
    let old = core::mem::replace(&mut ctx.pv.gdt_frames, new);
    ctx.pv.gdt_entries = entries;
    ctx.effects.add(Effect::LOAD_DESCRIPTOR_TABLES);
    let mut mmu = Mmu::new(ctx);
    old.iter().for_each(|&mfn| mmu.put_descriptors(mfn));
    Ok(())
}

/// MMUEXT_SET_LDT: `entries` descriptors at a page-aligned linear address. Their pages are looked up when they are
/// used ([`map_ldt_page`]).
///
/// # Errors
/// `Invalid` for an address that is unaligned or not a guest's, or more than 8192 entries.
pub fn set_ldt<P: Platform>(ctx: &mut Ctx<'_, P>, base: Vaddr, entries: u32) -> Result<(), PagingError> {
    let last = Vaddr(base.0.wrapping_add(u64::from(entries).wrapping_mul(8)));
    let valid = base.0 & 0xfff == 0 && base.is_guest() && last.is_guest() && last.0 >= base.0;
    if entries > 8192 || entries != 0 && !valid {
        return Err(PagingError::Invalid);
    }
    let base = if entries == 0 { Vaddr(0) } else { base };
    if ctx.pv.ldt_base == base && ctx.pv.ldt_entries == entries && entries == 0 {
        return Ok(());
    }
    drop_ldt(ctx);
    ctx.pv.ldt_base = base;
    ctx.pv.ldt_entries = entries;
    Ok(())
}

/// Forgets the LDT's pages; each is looked up again when it is used.
pub(super) fn drop_ldt<P: Platform>(ctx: &mut Ctx<'_, P>) {
    let old = core::mem::replace(&mut ctx.pv.ldt_frames, [Mfn(0); LDT_FRAMES]);
    ctx.effects.add(Effect::LOAD_DESCRIPTOR_TABLES);
    let mut mmu = Mmu::new(ctx);
    old.iter().for_each(|&mfn| mmu.put_descriptors(mfn));
}

/// The CPU faulted on page `index` of the LDT, because it was not looked up yet. Gives the frame, which `PvState`
/// names from now on; the caller makes the CPU see it (read-only for the guest, never writable by it).
///
/// # Errors
/// `Invalid` when the LDT has no such page, or what is mapped there is no page of descriptors: the guest gets its
/// fault. `Interrupted`: it tries again.
pub fn map_ldt_page<P: Platform>(ctx: &mut Ctx<'_, P>, index: usize) -> Result<Mfn, PagingError> {
    let pages = usize::try_from(ctx.pv.ldt_entries).unwrap_or(0).div_ceil(ENTRIES);
    let slot = ctx.pv.ldt_frames.get(index).copied().filter(|_| index < pages).ok_or(PagingError::Invalid)?;
    if slot != Mfn(0) {
        return Ok(slot);
    }
    let va = Vaddr(ctx.pv.ldt_base.0.wrapping_add((index as u64) << 12));
    // The LDT is the kernel's memory; user mode may be what needs it.
    let (table, at) = find_l1e(ctx.hv, ctx.pv.kernel_root, va).ok_or(PagingError::Invalid)?;
    let entry = super::validate::load(ctx.hv.platform.page(table).words(), at);
    if !entry.present() {
        return Err(PagingError::Invalid);
    }
    let mut mmu = Mmu::new(ctx);
    mmu.finish_parked()?;
    mmu.get_descriptors(entry.mfn())?;
    if let Some(slot) = ctx.pv.ldt_frames.get_mut(index) {
        *slot = entry.mfn();
    }
    ctx.effects.add(Effect::LOAD_DESCRIPTOR_TABLES);
    Ok(entry.mfn())
}

/// `HYPERVISOR_update_descriptor(maddr, desc)`: writes one descriptor, checked, wherever in the domain's memory.
///
/// # Errors
/// `Invalid` for an unaligned address, a descriptor that is refused, or a frame that is neither descriptors nor
/// writable. `Interrupted`.
pub fn update_descriptor<P: Platform>(ctx: &mut Ctx<'_, P>, at: Maddr, descriptor: u64) -> Result<(), PagingError> {
    let new = fix_up(descriptor).filter(|_| at.0 & 7 == 0).ok_or(PagingError::Invalid)?;
    let mut mmu = Mmu::new(ctx);
    mmu.finish_parked()?;
    let frame = mmu.frames().get(at.mfn(), mmu.dom.id)?;
    let used = match mmu.frames().lock_descriptors(&frame) {
        Some(used) => Ok(used),
        None => mmu.use_as(&frame, FrameType::Writable),
    };
    match used {
        Ok(used) => {
            mmu.page(at.mfn()).store_u64(at.offset(), new);
            mmu.put_table(used, frame);
            Ok(())
        }
        Err(error) => {
            mmu.put(frame);
            Err(if error == PagingError::Busy { PagingError::Invalid } else { error })
        }
    }
}

impl<P: Platform> Mmu<'_, P> {
    fn get_descriptors(&mut self, mfn: Mfn) -> Result<(), PagingError> {
        let frame = self.frames().get(mfn, self.dom.id)?;
        match self.use_as(&frame, FrameType::SegDesc) {
            Ok(used) => {
                used.store();
                frame.store();
                Ok(())
            }
            Err(error) => {
                self.put(frame);
                Err(if error == PagingError::Busy { PagingError::Invalid } else { error })
            }
        }
    }

    pub(super) fn put_descriptors(&mut self, mfn: Mfn) {
        if mfn != Mfn(0) {
            self.put_table(TypeRef::restore(mfn, FrameType::SegDesc), FrameRef::restore(mfn));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_made_ring_3() {
        assert_eq!(fix_up(0x00af_9b00_0000_ffff), Some(0x00af_fb00_0000_ffff), "64-bit code");
        assert_eq!(fix_up(0x00cf_9300_0000_ffff), Some(0x00cf_f300_0000_ffff), "data");
        assert_eq!(fix_up(0), Some(0));
    }

    #[test]
    fn gates_and_system_segments_are_refused() {
        for ty in 1..16u64 {
            assert_eq!(fix_up(PRESENT | ty << 40), None, "type {ty}");
            assert_eq!(fix_up(PRESENT | DPL | ty << 40), None, "type {ty} of ring 3");
            assert_eq!(fix_up(ty << 40), Some(ty << 40), "type {ty} absent");
        }
        assert_eq!(fix_up(PRESENT), Some(PRESENT | DPL), "type 0 always faults");
    }
}
