//! Page-table entries: which bits a guest may set, and what becomes of what it writes.
//!
//! A 64-bit guest's kernel and user mode both run in ring 3, so every present entry is made accessible to ring 3.
//! What the guest meant is kept where it can read it back: an entry that it wrote without USER gets the software bit
//! [`GUEST_KERNEL`], any other is a user page and becomes GLOBAL, because the switch between the guest's kernel and
//! user mode flushes non-global translations only. An entry that the guest reads and writes back stays what it was.

use crate::addr::Mfn;

/// Present.
pub const PRESENT: u64 = 1 << 0;
/// Writable.
pub const WRITABLE: u64 = 1 << 1;
/// Accessible to ring 3.
pub const USER: u64 = 1 << 2;
/// Write-through.
pub const PWT: u64 = 1 << 3;
/// Cache disabled.
pub const PCD: u64 = 1 << 4;
/// The CPU used the entry.
pub const ACCESSED: u64 = 1 << 5;
/// The CPU wrote through the entry.
pub const DIRTY: u64 = 1 << 6;
/// Level 1: third bit of the memory type. Above: superpage.
pub const PAT_OR_PSE: u64 = 1 << 7;
/// Survives a load of CR3.
pub const GLOBAL: u64 = 1 << 8;
/// Software bit: the guest's kernel page, which it wrote without USER.
pub const GUEST_KERNEL: u64 = 1 << 52;

const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const CACHE: u64 = PWT | PCD | PAT_OR_PSE;
/// What no entry above level 1 may have.
const UPPER_FORBIDDEN: u64 = CACHE | GLOBAL;

/// Entries of a table.
pub const ENTRIES: usize = 512;
/// Slots of a root table that are the hypervisor's.
pub const HYPERVISOR_SLOTS: core::ops::RangeInclusive<usize> = 256..=271;

/// An entry.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct Pte(pub u64);

impl core::fmt::Debug for Pte {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Pte({:#x})", self.0)
    }
}

impl Pte {
    /// An entry for a frame.
    pub const fn new(mfn: Mfn, flags: u64) -> Pte {
        Pte((mfn.0 << 12) & ADDRESS | flags)
    }
    /// Whether the CPU uses it.
    #[inline(always)]
    pub const fn present(self) -> bool {
        self.0 & PRESENT != 0
    }
    /// Whether it allows writes.
    #[inline(always)]
    pub const fn writable(self) -> bool {
        self.0 & WRITABLE != 0
    }
    /// The frame that it names.
    #[inline(always)]
    pub const fn mfn(self) -> Mfn {
        Mfn((self.0 & ADDRESS) >> 12)
    }
    /// Whether it has any of these bits.
    #[inline(always)]
    pub const fn has(self, bits: u64) -> bool {
        self.0 & bits != 0
    }
    /// Whether two present entries differ only in bits that need no new reference: not in frame, writability or
    /// memory type.
    #[inline(always)]
    pub const fn same_rights(self, other: Pte) -> bool {
        (self.0 ^ other.0) & (PRESENT | WRITABLE | CACHE | ADDRESS) == 0 && self.present()
    }

    /// What a level-1 entry becomes that the guest writes.
    #[inline(always)]
    pub const fn adjust_l1(self) -> Pte {
        if !self.present() {
            self
        } else if self.0 & (USER | GUEST_KERNEL) == USER {
            Pte(self.0 | GLOBAL)
        } else {
            Pte((self.0 | USER | GUEST_KERNEL) & !GLOBAL)
        }
    }
    /// What an entry above level 1 becomes that the guest writes.
    #[inline(always)]
    pub const fn adjust_upper(self) -> Pte {
        if self.present() { Pte(self.0 | USER) } else { self }
    }
    /// Whether a guest may set these bits in a present level-1 entry. `may_set_cache`: it has devices.
    #[inline(always)]
    pub const fn allowed_l1(self, may_set_cache: bool) -> bool {
        may_set_cache || !self.has(CACHE)
    }
    /// Whether a guest may set these bits in a present entry above level 1.
    #[inline(always)]
    pub const fn allowed_upper(self) -> bool {
        !self.has(UPPER_FORBIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn what_a_guest_reads_back_and_writes_again_stays_the_same() {
        for bits in [PRESENT, PRESENT | USER, PRESENT | WRITABLE | GLOBAL, PRESENT | USER | GLOBAL, 0, 0xffe] {
            let once = Pte(bits).adjust_l1();
            assert_eq!(once.adjust_l1(), once, "{bits:#x}");
        }
    }

    #[test]
    fn kernel_pages_are_never_global_and_user_pages_always() {
        assert_eq!(Pte(PRESENT | GLOBAL).adjust_l1(), Pte(PRESENT | USER | GUEST_KERNEL));
        assert_eq!(Pte(PRESENT | USER).adjust_l1(), Pte(PRESENT | USER | GLOBAL));
        assert_eq!(Pte(PRESENT | USER | GUEST_KERNEL | GLOBAL).adjust_l1(), Pte(PRESENT | USER | GUEST_KERNEL));
    }

    #[test]
    fn frame_writability_and_memory_type_are_rights_and_no_other_bit_is() {
        let rights = PRESENT | WRITABLE | PWT | PCD | PAT_OR_PSE | 0x000f_ffff_ffff_f000;
        for entry in [Pte(PRESENT), Pte(PRESENT | WRITABLE | USER | PCD | 0x1234_5000), Pte(!0)] {
            assert!(entry.same_rights(entry));
            for bit in 0..64 {
                let other = Pte(entry.0 ^ 1 << bit);
                assert_eq!(entry.same_rights(other), rights >> bit & 1 == 0, "{entry:?} {bit}");
            }
            let absent = Pte(entry.0 & !PRESENT);
            assert!(!absent.same_rights(absent) && !absent.same_rights(entry));
        }
        assert_eq!(format!("{:?}", Pte::new(Mfn(0x12), PRESENT | USER)), "Pte(0x12005)");
    }

    #[test]
    fn an_absent_entry_may_hold_anything() {
        assert_eq!(Pte(!PRESENT).adjust_l1(), Pte(!PRESENT));
        assert_eq!(Pte(!PRESENT).adjust_upper(), Pte(!PRESENT));
    }

    #[test]
    fn superpages_and_cache_bits_are_refused_above_level_1() {
        for bit in [PWT, PCD, PAT_OR_PSE, GLOBAL] {
            assert!(!Pte(PRESENT | bit).allowed_upper());
        }
        assert!(Pte(PRESENT | WRITABLE | USER | ACCESSED | DIRTY | 1 << 63 | 0xe00 | 0x7ff << 52).allowed_upper());
    }

    #[test]
    fn memory_types_are_for_guests_with_devices() {
        for bit in [PWT, PCD, PAT_OR_PSE] {
            assert!(!Pte(PRESENT | bit).allowed_l1(false));
            assert!(Pte(PRESENT | bit).allowed_l1(true));
        }
    }
}
