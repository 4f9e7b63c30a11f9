//! Writable page tables: a guest's store to one of its level-1 tables, which it maps read-only, is done for it as a
//! checked update (VMASST_TYPE_writable_pagetables).

use super::change::Write;
use super::validate::load;
use super::{Mmu, PagingError, find_l1e};
use crate::addr::{Mfn, PAGE_SIZE, Vaddr};
use crate::ctx::Ctx;
use crate::frame::FrameType;
use crate::paging::entry::{PRESENT, Pte, WRITABLE};
use crate::platform::Platform;
use core::sync::atomic::Ordering;
use xen_abi::xen::VMASST_TYPE_writable_pagetables;

/// Page-fault error code: the page was present.
const PFEC_PRESENT: u32 = 1 << 0;
/// A write.
const PFEC_WRITE: u32 = 1 << 1;
/// A reserved bit was set.
const PFEC_RESERVED: u32 = 1 << 3;
/// An instruction fetch.
const PFEC_FETCH: u32 = 1 << 4;

/// A store to a page table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PtWrite {
    /// Writes a value.
    Set(u64),
    /// Writes `new` if memory holds `old`.
    CmpXchg {
        /// What must be there.
        old: u64,
        /// What is written then.
        new: u64,
    },
    /// Clears the bits that are not in it (`lock and`).
    And(u64),
    /// Sets bits (`lock or`).
    Or(u64),
    /// Flips bits (`lock xor`).
    Xor(u64),
}

/// Whether a page fault of the guest's kernel is a store to one of the domain's level-1 tables, so that its
/// instruction is to be decoded and done with [`guest_pt_update`]. It is a hint: everything is checked again.
pub fn is_pt_write_fault<P: Platform>(ctx: &Ctx<'_, P>, va: Vaddr, error_code: u32) -> bool {
    error_code & (PFEC_PRESENT | PFEC_WRITE | PFEC_RESERVED | PFEC_FETCH) == PFEC_PRESENT | PFEC_WRITE
        && ctx.pv.in_kernel()
        && ctx.dom.vm_assist.load(Ordering::Relaxed) >> VMASST_TYPE_writable_pagetables & 1 == 1
        && shown(ctx, va).is_some_and(|mfn| {
            let frames = &ctx.hv.frames;
            frames.owner(mfn) == Some(ctx.dom.id)
                && frames.type_count(mfn).0 == FrameType::L1
                && frames.is_validated(mfn)
        })
}

/// The frame that a read-only mapping at `va` shows.
#[inline(always)]
fn shown<P: Platform>(ctx: &Ctx<'_, P>, va: Vaddr) -> Option<Mfn> {
    let (table, index) = find_l1e(ctx.hv, ctx.pv.root(), va)?;
    let mapping = load(ctx.hv.platform.page(table).words(), index);
    (mapping.0 & (PRESENT | WRITABLE) == PRESENT).then(|| mapping.mfn())
}

/// Performs a store to the 8-byte entry that holds `va`: `change` gets the entry as it is and says what it becomes
/// (`None`: nothing is written). It may be asked again when the CPU set an accessed or dirty bit meanwhile. Gives the
/// entry as it was.
///
/// # Errors
/// `Invalid` when `va` does not show a level-1 table of the domain; what the new entry is refused for: the guest gets
/// its page fault. `Interrupted`: the guest goes on without anything done, and faults again.
#[inline]
pub fn guest_pt_update<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    va: Vaddr,
    mut change: impl FnMut(u64) -> Option<u64>,
) -> Result<u64, PagingError> {
    let Some(table) = shown(ctx, va) else { return Err(PagingError::Invalid) };
    let mut mmu = Mmu::new(ctx);
    mmu.finish_parked()?;
    let index = (va.0 & (PAGE_SIZE - 1)) as usize / 8;
    let (frame, guard) = mmu.lock_l1(table)?;
    let words = mmu.page(table).words();
    let result = loop {
        let old = load(words, index);
        let Some(new) = change(old.0) else { break Ok(old.0) };
        match mmu.write_l1e(&guard, index, Pte(new), Write::IfStill(old)) {
            Ok(true) => break Ok(old.0),
            Ok(false) => {}
            Err(error) => break Err(error),
        }
    };
    mmu.frames().unlock_table(guard);
    mmu.put(frame);
    result
}

/// The same for a simple store of `width` bytes (1, 2, 4, 8; aligned). Gives the `width` bytes from before, so that
/// for a `CmpXchg` the caller sees whether it wrote.
///
/// # Errors
/// As [`guest_pt_update`]; `Invalid` for another width or an unaligned address.
pub fn guest_pt_write<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    va: Vaddr,
    width: usize,
    write: PtWrite,
) -> Result<u64, PagingError> {
    let bytes = width as u64;
    if !matches!(width, 1 | 2 | 4 | 8) || va.0 & bytes.wrapping_sub(1) != 0 {
        return Err(PagingError::Invalid);
    }
    let shift = (va.0 & 7) as u32 * 8;
    let mask = u64::MAX >> (64 - 8 * bytes as u32);
    let old = guest_pt_update(ctx, va, |entry| {
        let now = entry >> shift & mask;
        let new = match write {
            PtWrite::Set(value) => value,
            PtWrite::CmpXchg { old, new } => {
                if now != old & mask {
                    return None;
                }
                new
            }
            PtWrite::And(value) => now & value,
            PtWrite::Or(value) => now | value,
            PtWrite::Xor(value) => now ^ value,
        };
        Some(entry & !(mask << shift) | (new & mask) << shift)
    })?;
    Ok(old >> shift & mask)
}
