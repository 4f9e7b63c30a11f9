//! How a 64-bit PV domain is laid out: the notes' defaults applied and checked against the segments.

use super::{Class, ElfKernel, Segment};
use crate::error::{ImageError, Name};
use xen_abi::arch_x86_64::{HYPERVISOR_VIRT_END, HYPERVISOR_VIRT_START};

const LOW_CANONICAL_END: u64 = 0x0000_8000_0000_0000;
const PAGE_MASK: u64 = 0xfff;

/// Where a 64-bit PV kernel wants to be. All addresses are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PvLayout {
    /// Virtual address of pseudo-physical address 0.
    pub virt_base: u64,
    /// What to subtract from `p_paddr` to get a pseudo-physical address.
    pub paddr_offset: u64,
    /// Lowest pseudo-physical address of the kernel.
    pub phys_start: u64,
    /// First pseudo-physical address behind the kernel.
    pub phys_end: u64,
    /// Virtual address where the domain starts.
    pub entry: u64,
    /// Virtual address of the hypercall transfer page, inside the kernel and page-aligned.
    pub hypercall_page: Option<u64>,
    /// Virtual address of the initial p2m, page-aligned and outside the kernel.
    pub init_p2m: Option<u64>,
}

impl PvLayout {
    /// Virtual address of the kernel's first byte.
    pub fn virt_start(&self) -> u64 {
        self.virt_base.saturating_add(self.phys_start)
    }

    /// First virtual address behind the kernel.
    pub fn virt_end(&self) -> u64 {
        self.virt_base.saturating_add(self.phys_end)
    }

    /// Pseudo-physical address of a segment of the same kernel.
    pub fn phys_of(&self, segment: &Segment<'_>) -> u64 {
        segment.paddr.saturating_sub(self.paddr_offset)
    }
}

impl ElfKernel<'_> {
    /// The layout of this kernel as a 64-bit PV domain.
    ///
    /// # Errors
    /// [`ImageError::Pv32Unsupported`], [`ImageError::NoXenNotes`], a foreign Xen version or
    /// loader, and [`ImageError::Layout`] where notes and segments contradict each other.
    pub fn pv(&self) -> Result<PvLayout, ImageError> {
        let notes = self.notes()?;
        if self.class() == Class::Elf32 {
            return Err(ImageError::Pv32Unsupported);
        }
        if let Some(version) = notes.xen_version
            && version != "xen-3.0"
        {
            return Err(ImageError::XenVersion(Name::new(version.as_bytes())));
        }
        let linux = notes.guest_os.is_some_and(|os| os.starts_with("linux"));
        if let Some(loader) = notes.loader
            && !loader.starts_with("generic")
            && !linux
        {
            return Err(ImageError::Loader(Name::new(loader.as_bytes())));
        }
        let paddr_offset = notes.paddr_offset.unwrap_or(0);
        let virt_base = notes.virt_base.unwrap_or(0);
        let low = self.segments().iter().map(|segment| segment.paddr).min().ok_or(ImageError::NoSegments)?;
        let high = self.segments().iter().map(Segment::paddr_end).max().ok_or(ImageError::NoSegments)?;
        let phys_start =
            low.checked_sub(paddr_offset).ok_or(ImageError::Layout("PADDR_OFFSET is above the lowest segment"))?;
        let phys_end = high.saturating_sub(paddr_offset);
        let wraps = ImageError::Layout("VIRT_BASE places the kernel beyond the address space");
        let virt_end = virt_base.checked_add(phys_end).ok_or(wraps)?;
        let virt_start = virt_base.saturating_add(phys_start);
        if !guest_range(virt_start, virt_end) {
            return Err(ImageError::Layout("the kernel's virtual addresses are not a guest's"));
        }
        let inside = |address: u64| address >= virt_start && address < virt_end;
        let entry = notes.entry.unwrap_or(self.entry());
        if !inside(entry) {
            return Err(ImageError::Layout("the entry point is outside the kernel"));
        }
        if notes.hypercall_page.is_some_and(|page| page & PAGE_MASK != 0 || !inside(page)) {
            return Err(ImageError::Layout("HYPERCALL_PAGE is not a page of the kernel"));
        }
        if let Some(p2m) = notes.init_p2m {
            let end = p2m.saturating_add(1);
            if p2m & PAGE_MASK != 0 || !guest_range(p2m, end) || (p2m >= virt_base && p2m < virt_end) {
                return Err(ImageError::Layout("INIT_P2M is not free and page-aligned"));
            }
        }
        Ok(PvLayout {
            virt_base,
            paddr_offset,
            phys_start,
            phys_end,
            entry,
            hypercall_page: notes.hypercall_page,
            init_p2m: notes.init_p2m,
        })
    }
}

/// Whether a guest may have `start..end`: canonical, and outside the hypervisor's hole.
fn guest_range(start: u64, end: u64) -> bool {
    const { assert!(HYPERVISOR_VIRT_START < HYPERVISOR_VIRT_END) };
    start <= end && (end <= LOW_CANONICAL_END || start >= HYPERVISOR_VIRT_END)
}
