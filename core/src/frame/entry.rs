//! One entry of the frame table: 32 bytes of atomics.
//!
//! The *use word* names the owner together with the number of references, so that taking a reference and checking
//! the owner is one compare-exchange: a frame that changes hands between the two is not a case that exists.
//! The *type word* counts the uses of the frame as one type. Where a type needs work before it holds (a flush, a
//! validation), `LOCKED` names the one CPU that does it.

use crate::domain::DomId;
use ferroxen_sync::atomic::{AtomicU16, AtomicU32, AtomicU64};

/// What a frame is used as. A frame is one of these at a time; that a page table is never writable is just this.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[repr(u8)]
pub enum FrameType {
    /// Nothing that needs a promise: read-only mappings, or none.
    #[default]
    None = 0,
    /// A page table of level 1: its entries map frames.
    L1 = 1,
    /// A page table of level 2.
    L2 = 2,
    /// A page table of level 3.
    L3 = 3,
    /// A root page table.
    L4 = 4,
    /// Descriptors of a GDT or LDT.
    SegDesc = 5,
    /// Mapped writable.
    Writable = 6,
}

impl FrameType {
    const fn from_bits(bits: u64) -> FrameType {
        match bits {
            1 => FrameType::L1,
            2 => FrameType::L2,
            3 => FrameType::L3,
            4 => FrameType::L4,
            5 => FrameType::SegDesc,
            6 => FrameType::Writable,
            _ => FrameType::None,
        }
    }
    /// The page-table level, 1 to 4, or 0 when it is no page table.
    pub const fn level(self) -> u32 {
        match self {
            FrameType::L1 => 1,
            FrameType::L2 => 2,
            FrameType::L3 => 3,
            FrameType::L4 => 4,
            _ => 0,
        }
    }
    /// The page-table type of `level`; `None` for a number that is no level.
    pub const fn of_level(level: u32) -> FrameType {
        match level {
            1 => FrameType::L1,
            2 => FrameType::L2,
            3 => FrameType::L3,
            4 => FrameType::L4,
            _ => FrameType::None,
        }
    }
    /// Whether entries of it hold references to other frames.
    pub const fn is_table(self) -> bool {
        self.level() != 0
    }
}

/// Whose a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameKind {
    /// No RAM (a device, a hole, firmware), or inside a free block, or the hypervisor's image. Has no counts.
    Blank,
    /// The first frame of a free block of the heap.
    FreeBlock,
    /// Allocated by the hypervisor for itself, or on its way between owners.
    Hypervisor,
    /// A domain's.
    Owned(DomId),
}

/// An entry of the frame table. All zeroes: blank.
#[derive(Default)]
#[repr(C)]
pub struct FrameEntry {
    pub(super) used: AtomicU64,
    pub(super) typed: AtomicU64,
    /// Entries `0..partial` of a parked table hold references.
    pub(super) partial: AtomicU16,
    /// Same-level links: entries of this table that lead to its own level (positive) or such entries of other
    /// tables that lead here (negative). Never both, so that a walk of them is two tables deep at most.
    pub(super) linear: AtomicU16,
    /// When the last use that a TLB may remember ended.
    pub(super) stamp: AtomicU32,
    /// First of a free block: the heap's link. Page table: see `FrameTable::occupied`.
    pub(super) link: AtomicU32,
    _spare: AtomicU32,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<FrameEntry>() == 32);

/// The use word, taken apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Used(pub u64);

impl Used {
    pub const COUNT: u64 = 0xffff_ffff;
    /// One more than the most references that a frame may have.
    pub const LIMIT: u64 = 0x8000_0000;
    const STATE: u64 = 3 << 32;
    pub const BLANK: u64 = 0;
    pub const FREE_BLOCK: u64 = 1 << 32;
    pub const HYPERVISOR: u64 = 2 << 32;
    pub const OWNED: u64 = 3 << 32;
    /// One of the references is the allocation itself.
    pub const ALLOCATED: u64 = 1 << 40;
    /// A domain other than the owner maps it writable or did: TLBs of any CPU may hold it.
    pub const FOREIGN: u64 = 1 << 41;
    /// The hypervisor's page, shown to a domain: its type never changes.
    pub const SHARED: u64 = 1 << 42;
    const OWNER_SHIFT: u32 = 48;
    const OWNER: u64 = 0xffff << Used::OWNER_SHIFT;

    pub const fn owned_by(owner: DomId) -> u64 {
        Used::OWNED | (owner.0 as u64) << Used::OWNER_SHIFT
    }
    pub const fn count(self) -> u64 {
        self.0 & Used::COUNT
    }
    pub const fn state(self) -> u64 {
        self.0 & Used::STATE
    }
    pub const fn has(self, bit: u64) -> bool {
        self.0 & bit != 0
    }
    pub const fn owner(self) -> DomId {
        DomId((self.0 >> Used::OWNER_SHIFT) as u16)
    }
    pub const fn is_owned_by(self, owner: DomId) -> bool {
        self.0 & (Used::STATE | Used::OWNER) == Used::owned_by(owner)
    }
    /// Whether `owner` has it and it may have one reference more.
    #[inline(always)]
    pub const fn may_get(self, owner: DomId) -> bool {
        const { assert!(Used::LIMIT.is_power_of_two() && Used::LIMIT & (Used::STATE | Used::OWNER) == 0) };
        (self.0 ^ Used::owned_by(owner)) & (Used::STATE | Used::OWNER | Used::LIMIT) == 0
    }
    pub const fn kind(self) -> FrameKind {
        match self.state() {
            Used::FREE_BLOCK => FrameKind::FreeBlock,
            Used::HYPERVISOR => FrameKind::Hypervisor,
            Used::OWNED => FrameKind::Owned(self.owner()),
            _ => FrameKind::Blank,
        }
    }
}

/// The type word, taken apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Typed(pub u64);

impl Typed {
    pub const COUNT: u64 = 0xffff_ffff;
    pub const LIMIT: u64 = 0x8000_0000;
    /// One CPU changes the type or the table's entries.
    pub const LOCKED: u64 = 1 << 32;
    /// The type holds: everything that it promises was checked.
    pub const VALIDATED: u64 = 1 << 33;
    /// A validation or devalidation was interrupted; nobody works on it now.
    pub const PARTIAL: u64 = 1 << 34;
    /// One of the uses is the guest's pin.
    pub const PINNED: u64 = 1 << 35;
    const TYPE_SHIFT: u32 = 60;
    const TYPE: u64 = 0xf << Typed::TYPE_SHIFT;

    /// Whether the type holds and one use more may be counted.
    #[inline(always)]
    pub const fn may_get(self, ty: FrameType) -> bool {
        const { assert!(Typed::LIMIT.is_power_of_two() && Typed::LIMIT <= Typed::COUNT) };
        (self.0 ^ (Typed::of(ty) | Typed::VALIDATED)) & (Typed::TYPE | Typed::VALIDATED | Typed::LIMIT) == 0
    }
    /// Whether it is a valid table of this type that no CPU works on. A valid table has a use.
    #[inline(always)]
    pub const fn may_lock(self, ty: FrameType) -> bool {
        let wanted = Typed::of(ty) | Typed::VALIDATED;
        (self.0 ^ wanted) & (Typed::TYPE | Typed::VALIDATED | Typed::LOCKED) == 0 && self.count() != 0
    }
    pub const fn of(ty: FrameType) -> u64 {
        (ty as u64) << Typed::TYPE_SHIFT
    }
    pub const fn ty(self) -> FrameType {
        FrameType::from_bits(self.0 >> Typed::TYPE_SHIFT)
    }
    pub const fn count(self) -> u64 {
        self.0 & Typed::COUNT
    }
    pub const fn has(self, bit: u64) -> bool {
        self.0 & bit != 0
    }
}
