//! Addresses and frame numbers: one type each, so that a guest's number is never taken for a machine's.

/// log2 of the page size.
pub const PAGE_SHIFT: u32 = 12;
/// Bytes of a page.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;

macro_rules! number {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name(pub u64);
        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }
        impl core::fmt::LowerHex for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::LowerHex::fmt(&self.0, f)
            }
        }
    )*};
}

number! {
    /// A machine frame number.
    Mfn;
    /// A guest frame number: what hypercalls take; for a PV guest the same number as the machine's.
    Gfn;
    /// A guest's pseudo-physical frame number.
    Pfn;
    /// A machine address.
    Maddr;
    /// A guest-linear (virtual) address.
    Vaddr;
}

impl Mfn {
    /// The frame's first byte.
    pub const fn maddr(self) -> Maddr {
        Maddr(self.0 << PAGE_SHIFT)
    }
    /// The frame `n` further on (wraps, so that a hostile sum fails its later range check).
    pub const fn offset(self, n: u64) -> Mfn {
        Mfn(self.0.wrapping_add(n))
    }
}

impl Maddr {
    /// The frame that holds the address.
    pub const fn mfn(self) -> Mfn {
        Mfn(self.0 >> PAGE_SHIFT)
    }
    /// The offset inside the frame, in bytes.
    pub const fn offset(self) -> usize {
        (self.0 & (PAGE_SIZE - 1)) as usize
    }
}

impl Vaddr {
    /// Bits 63 to 47 are all the same (48-bit linear addresses).
    pub const fn is_canonical(self) -> bool {
        ((self.0 as i64) << 16 >> 16) as u64 == self.0
    }
    /// Whether it is a guest's to use: canonical and outside the hypervisor's range (HYPERVISOR_VIRT_START to _END).
    pub const fn is_guest(self) -> bool {
        self.is_canonical() && !(self.0 >= 0xffff_8000_0000_0000 && self.0 < 0xffff_8800_0000_0000)
    }
    /// Index into the table of `level` (1 to 4).
    pub const fn index(self, level: u32) -> usize {
        ((self.0 >> (PAGE_SHIFT + 9 * (level - 1))) & 0x1ff) as usize
    }
}
