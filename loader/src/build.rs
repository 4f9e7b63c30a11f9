//! Where everything of a new 64-bit PV domain lies in its first mapping (xen.h, "Start-of-day memory layout").
//!
//! From `virt_base`: the kernel at its place, the initrd (unless the kernel takes it unmapped), the p2m list (unless the
//! kernel names an address for it), start info, a domU's rings, page tables, the boot stack; then at least 512 KiB of room, up to a
//! multiple of 4 MiB. Unmapped parts follow by pseudo-physical frame: the p2m list's frames, then the initrd's.

use crate::elf::PvLayout;

const PAGE: u64 = 4096;
/// Room behind the boot stack.
const SPARE: u64 = 512 << 10;

/// A run of frames or bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    /// First.
    pub start: u64,
    /// First behind it.
    pub end: u64,
}

impl Span {
    /// How many.
    pub fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The layout. Virtual addresses in bytes; `pfn`: pseudo-physical frame numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainLayout {
    /// Virtual address of pseudo-physical frame 0.
    pub virt_base: u64,
    /// The initial mapping.
    pub mapped: Span,
    /// The initrd, by frame.
    pub initrd_pfn: Span,
    /// Whether the initrd is inside the initial mapping.
    pub initrd_mapped: bool,
    /// The p2m list: virtual address of its first entry.
    pub p2m: u64,
    /// The p2m list, by frame.
    pub p2m_pfn: Span,
    /// Whether the p2m list has a mapping of its own (at the address that the kernel named).
    pub p2m_apart: bool,
    /// Virtual address of the start-info page.
    pub start_info: u64,
    /// Virtual address of the first ring page (xenstore's, then the console's), if there are any.
    pub rings: u64,
    /// Page tables: virtual address of the first, which is the root.
    pub tables: u64,
    /// How many.
    pub table_count: u64,
    /// Virtual address behind the boot stack.
    pub stack_end: u64,
}

/// Why there is no layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// The domain's memory is too small for its own kernel and initrd; the least number of frames.
    TooSmall(u64),
    /// The kernel's addresses leave no room behind it in the address space.
    NoRoom,
}

/// The end of `frames` pages from `at`.
fn after(at: u64, frames: u64) -> Option<u64> {
    at.checked_add(frames.checked_mul(PAGE)?)
}

/// Tables below the root that map `span` with 4 KiB pages.
fn tables_for(span: Span) -> Option<u64> {
    let Some(last) = span.end.checked_sub(1).filter(|&last| last >= span.start) else { return Some(0) };
    let at_level = |shift: u32| (last >> shift).checked_sub(span.start >> shift)?.checked_add(1);
    at_level(21)?.checked_add(at_level(30)?)?.checked_add(at_level(39)?)
}

impl DomainLayout {
    /// The layout of a domain with `frames` frames of memory and an initrd of `initrd_bytes`.
    ///
    /// # Errors
    /// [`LayoutError`].
    pub fn new(
        kernel: &PvLayout,
        takes_unmapped_initrd: bool,
        frames: u64,
        initrd_bytes: u64,
    ) -> Result<DomainLayout, LayoutError> {
        Self::with_rings(kernel, takes_unmapped_initrd, frames, initrd_bytes, 0)
    }

    /// The same with `rings` pages between start info and page tables.
    ///
    /// # Errors
    /// [`LayoutError`].
    pub fn with_rings(
        kernel: &PvLayout,
        takes_unmapped_initrd: bool,
        frames: u64,
        initrd_bytes: u64,
        rings: u64,
    ) -> Result<DomainLayout, LayoutError> {
        let (layout, used) =
            Self::place(kernel, takes_unmapped_initrd, frames, initrd_bytes, rings).ok_or(LayoutError::NoRoom)?;
        if used > frames { Err(LayoutError::TooSmall(used)) } else { Ok(layout) }
    }

    /// The layout, and how many frames it uses.
    fn place(
        kernel: &PvLayout,
        takes_unmapped: bool,
        frames: u64,
        initrd_bytes: u64,
        rings: u64,
    ) -> Option<(DomainLayout, u64)> {
        let base = kernel.virt_base;
        let initrd_frames = initrd_bytes.div_ceil(PAGE);
        let p2m_frames = frames.checked_mul(8)?.div_ceil(PAGE);
        let mut next = kernel.virt_end().checked_next_multiple_of(PAGE)?;
        let pfn = |va: u64| Some(va.checked_sub(base)? / PAGE);
        let span = |start: u64, len: u64| Some(Span { start, end: start.checked_add(len)? });
        let initrd_mapped = !takes_unmapped && initrd_frames != 0;
        let mut initrd_pfn = Span::default();
        if initrd_mapped {
            initrd_pfn = span(pfn(next)?, initrd_frames)?;
            next = after(next, initrd_frames)?;
        }
        let p2m_apart = kernel.init_p2m.is_some();
        let (p2m, mut p2m_pfn) = match kernel.init_p2m {
            Some(at) => (at, Span::default()),
            None => {
                let at = next;
                next = after(at, p2m_frames)?;
                (at, span(pfn(at)?, p2m_frames)?)
            }
        };
        let start_info = next;
        let rings_at = after(next, 1)?;
        let tables = after(rings_at, rings)?;
        let apart = if p2m_apart { tables_for(Span { start: p2m, end: after(p2m, p2m_frames)? })? } else { 0 };
        // The tables are inside what they map: grow until it fits.
        let mut table_count: u64 = 1;
        let (mapped, stack_end) = loop {
            let stack_end = after(tables, table_count.checked_add(1)?)?;
            let end = stack_end.checked_add(SPARE)?.checked_next_multiple_of(4 << 20)?;
            let mapped = Span { start: base, end };
            let wanted = tables_for(mapped)?.checked_add(apart)?.checked_add(1)?;
            if wanted <= table_count {
                break (mapped, stack_end);
            }
            table_count = wanted;
        };
        let mut next_pfn = mapped.len() / PAGE;
        if p2m_apart {
            p2m_pfn = span(next_pfn, p2m_frames)?;
            next_pfn = p2m_pfn.end;
        }
        if !initrd_mapped && initrd_frames != 0 {
            initrd_pfn = span(next_pfn, initrd_frames)?;
            next_pfn = initrd_pfn.end;
        }
        let layout = DomainLayout {
            virt_base: base,
            mapped,
            initrd_pfn,
            initrd_mapped,
            p2m,
            p2m_pfn,
            p2m_apart,
            start_info,
            rings: rings_at,
            tables,
            table_count,
            stack_end,
        };
        Some((layout, next_pfn))
    }

    /// Frame that a virtual address of the initial mapping stands for.
    pub fn pfn(&self, va: u64) -> u64 {
        va.saturating_sub(self.virt_base) / PAGE
    }

    /// Whether a frame is one of the page tables.
    pub fn is_table(&self, pfn: u64) -> bool {
        pfn.checked_sub(self.pfn(self.tables)).is_some_and(|index| index < self.table_count)
    }
}

/// The 4096 bytes of a 64-bit PV guest's hypercall page: one stub of 32 bytes for each number.
pub fn hypercall_page() -> [u8; 4096] {
    let mut page = [0xcc; 4096];
    for (number, stub) in page.chunks_exact_mut(32).enumerate() {
        let [low, high, ..] = number.to_le_bytes();
        if number == 23 {
            // iret: push rcx, r11, rax; mov eax, 23; syscall: never comes back here.
            let code = [0x51, 0x41, 0x53, 0x50, 0xb8, 23, 0, 0, 0, 0x0f, 0x05];
            stub.iter_mut().zip(code).for_each(|(to, from)| *to = from);
        } else {
            // push rcx, r11; mov eax, number; syscall; pop r11, rcx; ret.
            let code = [0x51, 0x41, 0x53, 0xb8, low, high, 0, 0, 0x0f, 0x05, 0x41, 0x5b, 0x59, 0xc3];
            stub.iter_mut().zip(code).for_each(|(to, from)| *to = from);
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linux() -> PvLayout {
        PvLayout {
            virt_base: 0xffff_ffff_8000_0000,
            paddr_offset: 0,
            phys_start: 0x100_0000,
            phys_end: 0x400_0000,
            entry: 0xffff_ffff_8307_91c0,
            hypercall_page: Some(0xffff_ffff_81e0_0000),
            init_p2m: Some(0x80_0000_0000),
        }
    }

    #[test]
    fn a_linux_layout_is_in_order_and_its_tables_suffice() {
        let layout = DomainLayout::new(&linux(), true, 1 << 18, 9 << 20).unwrap();
        assert_eq!(layout.start_info, 0xffff_ffff_8400_0000);
        assert_eq!(layout.tables, layout.start_info + 4096);
        assert!(layout.stack_end + (512 << 10) <= layout.mapped.end);
        // Root; for the kernel 1 + 1 + 34, for the p2m list (512 frames) 1 + 1 + 1.
        assert_eq!(layout.table_count, 1 + 2 + layout.mapped.len().div_ceil(2 << 20) + 3);
        assert_eq!(layout.p2m_pfn.start, layout.mapped.len() / 4096);
        assert_eq!(layout.initrd_pfn.start, layout.p2m_pfn.end);
        assert!(layout.is_table(layout.pfn(layout.tables)));
        assert!(!layout.is_table(layout.pfn(layout.start_info)));
    }

    #[test]
    fn rings_lie_between_start_info_and_tables() {
        let layout = DomainLayout::with_rings(&linux(), true, 1 << 18, 0, 2).unwrap();
        assert_eq!((layout.rings, layout.tables), (layout.start_info + 4096, layout.start_info + 3 * 4096));
    }

    #[test]
    fn without_notes_everything_is_mapped() {
        let kernel = PvLayout { init_p2m: None, ..linux() };
        let layout = DomainLayout::new(&kernel, false, 1 << 18, 5000).unwrap();
        assert!(layout.initrd_mapped && !layout.p2m_apart);
        assert_eq!(layout.initrd_pfn.len(), 2);
        assert_eq!(layout.p2m, 0xffff_ffff_8400_2000);
    }

    #[test]
    fn a_domain_without_room_for_its_initrd_is_refused() {
        let result = DomainLayout::new(&linux(), true, 20_000, 1 << 30);
        assert!(matches!(result, Err(LayoutError::TooSmall(frames)) if frames > 1 << 18));
    }

    #[test]
    fn addresses_at_the_end_of_the_address_space_are_refused() {
        let kernel = PvLayout { virt_base: u64::MAX - 0x40_0000, phys_start: 0, phys_end: 0x30_0000, ..linux() };
        assert_eq!(DomainLayout::new(&kernel, true, 1 << 18, 0), Err(LayoutError::NoRoom));
    }
}
