//! Frames, page tables, and the guest's own pages.

use crate::{hypercall, start};
use core::sync::atomic::{AtomicUsize, Ordering};
use xen_abi::arch_x86_64::MACH2PHYS_VIRT_START;
use xen_abi::xen::{MMU_NORMAL_PT_UPDATE, MMUEXT_PIN_L1_TABLE, MMUEXT_UNPIN_TABLE, MmuUpdate, UVMF_INVLPG};

/// Where pseudo-physical address 0 is mapped.
pub const VIRT_BASE: u64 = 0xffff_ffff_8000_0000;
/// Bytes of a page.
pub const PAGE_SIZE: u64 = 4096;

/// Page-table entry: present.
pub const PRESENT: u64 = 1 << 0;
/// Writable.
pub const WRITE: u64 = 1 << 1;
/// User (a PV kernel is in ring 3: the hypervisor sets this itself where it must).
pub const USER: u64 = 1 << 2;
/// Accessed.
pub const ACCESSED: u64 = 1 << 5;
/// Dirty.
pub const DIRTY: u64 = 1 << 6;
/// A superpage, in a table of level 2 or 3.
pub const LARGE: u64 = 1 << 7;
/// Global.
pub const GLOBAL: u64 = 1 << 8;
/// Not executable.
pub const NX: u64 = 1 << 63;
/// Where the frame is in an entry.
pub const FRAME: u64 = 0x000f_ffff_ffff_f000;
/// What an ordinary mapping has.
pub const KERNEL_RW: u64 = PRESENT | WRITE | USER | ACCESSED | DIRTY;
/// The same, read-only.
pub const KERNEL_RO: u64 = PRESENT | USER | ACCESSED | DIRTY;

#[repr(C, align(4096))]
struct Pool([[u8; 4096]; POOL]);
const POOL: usize = 512;
static mut PAGES: Pool = Pool([[0; 4096]; POOL]);
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// A page of the guest's own, mapped at [`Page::va`] from the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page(u64);

impl Page {
    /// A zeroed page that nobody else has. Pages are never given back: a test is short.
    pub fn new() -> Page {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(n < POOL, "the guest's pool of pages is empty");
        Page((&raw const PAGES).addr() as u64 + n as u64 * PAGE_SIZE)
    }
    /// Its linear address.
    pub fn va(self) -> u64 {
        self.0
    }
    /// Its pseudo-physical frame.
    pub fn pfn(self) -> u64 {
        (self.0 - VIRT_BASE) / PAGE_SIZE
    }
    /// Its machine frame.
    pub fn mfn(self) -> u64 {
        p2m(self.pfn())
    }
    /// Reads a word.
    pub fn read(self, index: usize) -> u64 {
        assert!(index < 512);
        // SAFETY: inside the page, which is mapped.
        unsafe { ((self.0 + index as u64 * 8) as *const u64).read_volatile() }
    }
    /// Writes a word.
    pub fn write(self, index: usize, value: u64) {
        assert!(index < 512);
        // SAFETY: inside the page, which is mapped; while it is read-only this ends the test.
        unsafe { ((self.0 + index as u64 * 8) as *mut u64).write_volatile(value) }
    }
    /// Maps it read-only (what a page table must be) at its own address.
    pub fn make_read_only(self) -> i64 {
        hypercall::update_va_mapping(self.0, self.mfn() << 12 | KERNEL_RO, UVMF_INVLPG)
    }
    /// Maps it writable again.
    pub fn make_writable(self) -> i64 {
        hypercall::update_va_mapping(self.0, self.mfn() << 12 | KERNEL_RW, UVMF_INVLPG)
    }
    /// Pins it as a table of level 1 to 4.
    pub fn pin(self, level: u32) -> i64 {
        hypercall::mmuext(MMUEXT_PIN_L1_TABLE + level - 1, self.mfn(), 0)
    }
    /// Unpins it.
    pub fn unpin(self) -> i64 {
        hypercall::mmuext(MMUEXT_UNPIN_TABLE, self.mfn(), 0)
    }
}

impl Default for Page {
    fn default() -> Page {
        Page::new()
    }
}

/// Whether a linear address is one that a guest can use: canonical, and not the hypervisor's.
pub fn is_guest(va: u64) -> bool {
    !(1 << 47..0xffff_8800_0000_0000).contains(&va)
}

/// The machine frame of a pseudo-physical one.
pub fn p2m(pfn: u64) -> u64 {
    let info = start::info();
    assert!(pfn < info.nr_pages);
    // SAFETY: the list has `nr_pages` entries and is mapped.
    unsafe { ((info.mfn_list + pfn * 8) as *const u64).read_volatile() }
}

/// Notes the machine frame of a pseudo-physical one; all ones: it has none.
pub fn set_p2m(pfn: u64, mfn: u64) {
    let info = start::info();
    assert!(pfn < info.nr_pages);
    // SAFETY: the list has `nr_pages` entries and is the guest's own.
    unsafe { ((info.mfn_list + pfn * 8) as *mut u64).write_volatile(mfn) }
}

/// The pseudo-physical frame of a machine frame, by the hypervisor's table.
pub fn m2p(mfn: u64) -> u64 {
    // SAFETY: the table covers all of the machine's frames, and the frame is this guest's own.
    unsafe { ((MACH2PHYS_VIRT_START + mfn * 8) as *const u64).read_volatile() }
}

/// Where one of the guest's first frames (kernel, tables, start info) is mapped.
pub fn va_of_mfn(mfn: u64) -> u64 {
    VIRT_BASE + m2p(mfn) * PAGE_SIZE
}

/// One entry of the guest's page tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its machine address: what `mmu_update` wants.
    pub machine: u64,
    /// Its linear address (read-only).
    pub va: u64,
    /// What it held.
    pub value: u64,
}

impl Entry {
    /// The frame that it names.
    pub fn mfn(self) -> u64 {
        (self.value & FRAME) >> 12
    }
    /// Changes it by `mmu_update`.
    pub fn update(self, value: u64) -> i64 {
        let request = MmuUpdate { ptr: self.machine | MMU_NORMAL_PT_UPDATE, val: value };
        hypercall::mmu_update(&mut [request]).0
    }
    /// What it holds now.
    pub fn now(self) -> u64 {
        // SAFETY: tables stay mapped.
        unsafe { (self.va as *const u64).read_volatile() }
    }
}

/// The entry of `level` (4 to 1) that maps `va`. `None`: an upper one is not present, or is a superpage.
pub fn entry(va: u64, level: u32) -> Option<Entry> {
    let mut table = start::info().pt_base;
    for at in (level..=4).rev() {
        let place = table + (va >> (12 + 9 * (at - 1)) & 0x1ff) * 8;
        // SAFETY: the guest's first tables are all mapped.
        let value = unsafe { (place as *const u64).read_volatile() };
        if at == level {
            let mfn = p2m((table - VIRT_BASE) / PAGE_SIZE);
            return Some(Entry { machine: mfn << 12 | place & 0xfff, va: place, value });
        }
        if value & PRESENT == 0 || value & LARGE != 0 {
            return None;
        }
        table = va_of_mfn((value & FRAME) >> 12);
    }
    None
}

/// Maps `entry` at `va` under the kernel's root, with tables of the guest's own where there are none yet.
pub fn map_at(va: u64, entry_value: u64) -> Result<(), i64> {
    for level in (2..=4).rev() {
        let Some(upper) = entry(va, level) else { return Err(0) };
        if upper.value & PRESENT == 0 {
            let table = Page::new();
            let checked = |result: i64| if result == 0 { Ok(()) } else { Err(result) };
            checked(table.make_read_only())?;
            checked(upper.update(table.mfn() << 12 | PRESENT | WRITE | USER | ACCESSED))?;
        }
    }
    let Some(last) = entry(va, 1) else { return Err(0) };
    match last.update(entry_value) {
        0 => Ok(()),
        error => Err(error),
    }
}
