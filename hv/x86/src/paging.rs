//! The hypervisor's own translations. Built at boot, shared by all CPUs and all roots (slots 256 to 271).

use crate::layout;
use core::sync::atomic::{AtomicU64, Ordering};

/// Present.
pub const P: u64 = 1;
/// Writable.
pub const W: u64 = 1 << 1;
/// Guests may read it.
pub const USER: u64 = 1 << 2;
/// Uncached (PWT and PCD).
pub const UNCACHED: u64 = 1 << 3 | 1 << 4;
/// Write-combining, in a 4 KiB entry: the fifth of the page attribute table as guests are told it is.
pub const WRITE_COMBINING: u64 = 1 << 7;
/// A large page.
pub const PS: u64 = 1 << 7;
/// Accessed and dirty, which the CPU sets.
const USED: u64 = 1 << 5 | 1 << 6;
/// Stays over a load of CR3.
pub const GLOBAL: u64 = 1 << 8;
/// Not executable.
pub const NX: u64 = 1 << 63;
const FRAME: u64 = 0x000f_ffff_ffff_f000;

static ROOT: AtomicU64 = AtomicU64::new(0);
static NX_MASK: AtomicU64 = AtomicU64::new(u64::MAX);

/// Leaves out NX where the CPU does not have it.
pub fn without_nx() {
    NX_MASK.store(!NX, Ordering::Relaxed);
}

/// Linear address of RAM in the direct map.
pub fn direct<T>(physical: u64) -> *mut T {
    (layout::DIRECT_MAP + physical) as *mut T
}

/// Gives one zeroed page for a table, by physical address.
pub type TakePage<'a> = &'a mut dyn FnMut() -> u64;

/// Makes the (empty) root of the hypervisor's own tables.
pub fn create_root(take: TakePage<'_>) {
    ROOT.store(take(), Ordering::Relaxed);
}

/// Physical address of the root of the hypervisor's own tables.
pub fn root() -> u64 {
    ROOT.load(Ordering::Relaxed)
}

/// Our entry of the root with this index (256 to 271).
pub fn root_entry(index: usize) -> u64 {
    let table = direct::<u64>(root());
    // SAFETY: the root is a whole page of the direct map.
    unsafe { table.add(index & 511).read_volatile() }
}

fn slot(root: u64, va: u64, level: u32, take: Option<TakePage<'_>>) -> Option<*mut u64> {
    let mut table = direct::<u64>(root);
    let mut take = take;
    for depth in (level..=4).rev() {
        let index = (va >> (12 + 9 * (depth - 1))) as usize & 511;
        // SAFETY: tables are whole pages of the direct map.
        let entry = unsafe { table.add(index) };
        if depth == level {
            return Some(entry);
        }
        // SAFETY: as above.
        let value = unsafe { entry.read_volatile() };
        let next = if value & P == 0 {
            let page = take.as_mut()?();
            // SAFETY: as above. Rights are decided in the last level.
            unsafe { entry.write_volatile(page | P | W | USER) };
            page
        } else {
            assert!(value & PS == 0, "{va:#x} is inside a large page");
            value & FRAME
        };
        table = direct(next);
    }
    None
}

/// Maps `len` bytes with the largest pages that fit, up to `largest` bytes each (4 KiB, 2 MiB, 1 GiB).
pub fn map(va: u64, physical: u64, len: u64, flags: u64, largest: u64, take: TakePage<'_>) {
    map_in(root(), va, physical, len, flags, largest, take);
}

/// [`map`] in other tables than the hypervisor's own.
pub fn map_in(root: u64, va: u64, physical: u64, len: u64, flags: u64, largest: u64, take: TakePage<'_>) {
    let (mut va, mut pa, mut left) = (va, physical, len.next_multiple_of(4096));
    let flags = flags & NX_MASK.load(Ordering::Relaxed);
    while left > 0 {
        let (level, size) = [(3, 1u64 << 30), (2, 1 << 21), (1, 1 << 12)]
            .into_iter()
            .find(|&(_, size)| size <= largest.max(4096) && left >= size && va % size == 0 && pa % size == 0)
            .unwrap_or((1, 4096));
        let entry = slot(root, va, level, Some(&mut *take)).expect("tables are made on the way");
        let large = if level > 1 { PS } else { 0 };
        // SAFETY: an entry of our own tables.
        unsafe { entry.write_volatile(pa | flags | large) };
        va += size;
        pa += size;
        left -= size;
    }
}

/// Changes one 4 KiB entry that [`map`] made the tables for; the caller flushes.
pub fn set(va: u64, entry: u64) {
    if let Some(slot) = slot(root(), va, 1, None) {
        // SAFETY: an entry of our own tables.
        unsafe { slot.write_volatile(entry & NX_MASK.load(Ordering::Relaxed)) };
    }
}

/// As [`set`] for pages one after the other; `changed` is called with the address of each whose entry was another.
/// One walk serves all that one table holds.
pub fn replace_run(va: u64, entries: impl Iterator<Item = u64>, mut changed: impl FnMut(u64)) {
    let mask = NX_MASK.load(Ordering::Relaxed);
    let mut place: Option<*mut u64> = None;
    for (va, entry) in (va..).step_by(4096).zip(entries) {
        let next = match place {
            // SAFETY: the address is not the first that its table maps, so the entry before is in the same page.
            Some(before) if !va.is_multiple_of(1 << 21) => Some(unsafe { before.add(1) }),
            _ => slot(root(), va, 1, None),
        };
        place = next;
        let Some(slot) = next else { continue };
        let entry = entry & mask;
        // SAFETY: an entry of our own tables.
        let old = unsafe { slot.read_volatile() };
        if old & !USED != entry {
            // SAFETY: as above.
            unsafe { slot.write_volatile(entry) };
            changed(va);
        }
    }
}

/// Makes the tables for 4 KiB pages of this range, with nothing present.
pub fn reserve(va: u64, len: u64, take: TakePage<'_>) {
    for at in (va..va + len).step_by(4096) {
        let _ = slot(root(), at, 1, Some(&mut *take));
    }
}

/// A run of linear addresses with the same rights, as one entry of some level gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub va: u64,
    /// Bytes.
    pub len: u64,
    /// It can be written.
    pub writable: bool,
    /// It can be executed.
    pub executable: bool,
    /// Guests may use it.
    pub user: bool,
}

/// Shows every mapping of the hypervisor's own slots to `visit`, in ascending order.
pub fn walk(visit: &mut dyn FnMut(Mapping)) {
    for slot in 256..272usize {
        let entry = root_entry(slot);
        if entry & P != 0 {
            walk_table(entry, 3, layout::HV_START + ((slot as u64 - 256) << 39), entry, visit);
        }
    }
}

/// `rights` holds what all entries above allow: W and USER where each has it, NX where one has it.
fn walk_table(entry: u64, level: u32, va: u64, rights: u64, visit: &mut dyn FnMut(Mapping)) {
    let shift = 12 + 9 * (level - 1);
    for index in 0..512u64 {
        // SAFETY: a table of ours, a whole page of the direct map.
        let below = unsafe { direct::<u64>((entry & FRAME) + index * 8).read_volatile() };
        if below & P == 0 {
            continue;
        }
        let rights = (rights & below & (W | USER)) | ((rights | below) & NX);
        let at = va + (index << shift);
        if level == 1 || below & PS != 0 {
            let (writable, executable, user) = (rights & W != 0, rights & NX == 0, rights & USER != 0);
            visit(Mapping { va: at, len: 1 << shift, writable, executable, user });
        } else {
            walk_table(below, level - 1, at, rights, visit);
        }
    }
}

/// Whether the hypervisor's own tables map this 4 KiB page, where they have entries of that size.
pub fn is_mapped(va: u64) -> bool {
    // SAFETY: an entry of our own tables.
    slot(root(), va, 1, None).is_some_and(|entry| unsafe { entry.read_volatile() } & P != 0)
}
