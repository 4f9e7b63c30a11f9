//! The ELF file of a kernel: what to load where, and what its Xen notes ask for.

mod features;
mod header;
mod legacy;
mod notes;
mod pv;

pub use features::Features;
pub use header::Class;
pub use notes::{L1MfnValid, NoteSource, PaeMode, XenNotes};
pub use pv::PvLayout;

use crate::error::ImageError;
use alloc::vec::Vec;
use header::{FileHeader, PT_LOAD};

/// A PT_LOAD segment whose addresses and sizes were checked: nothing wraps, the data is inside the
/// file, and its memory overlaps no other segment's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Index among the program headers.
    pub index: u16,
    /// `p_vaddr`. Linux's per-cpu segment has 0 here: a PV domain is laid out by `paddr`.
    pub vaddr: u64,
    /// `p_paddr`, before `XEN_ELFNOTE_PADDR_OFFSET`.
    pub paddr: u64,
    /// Bytes of memory, at least those of `data`; what is beyond `data` is zero.
    pub mem_size: u64,
    /// The bytes from the file.
    pub data: &'a [u8],
    /// `PF_W`.
    pub writable: bool,
    /// `PF_X`.
    pub executable: bool,
}

impl Segment<'_> {
    /// The first `paddr` behind the segment.
    pub fn paddr_end(&self) -> u64 {
        self.paddr.saturating_add(self.mem_size)
    }
}

/// A kernel as an ELF file: checked segments, the entry point and Xen's notes.
#[derive(Clone, Debug)]
pub struct ElfKernel<'a> {
    class: Class,
    entry: u64,
    segments: Vec<Segment<'a>>,
    notes: Option<XenNotes<'a>>,
}

impl<'a> ElfKernel<'a> {
    /// Reads and checks everything that can be checked without knowing how the kernel will be
    /// booted. A kernel without Xen notes is not an error yet.
    ///
    /// # Errors
    /// Everything from [`ImageError::NotElf`] to [`ImageError::BadNote`], and
    /// [`ImageError::UnknownRequiredFeature`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ImageError> {
        let header = FileHeader::parse(bytes)?;
        let segments = segments(bytes, &header)?;
        let notes = notes::find(bytes, &header)?;
        Ok(ElfKernel { class: header.class, entry: header.entry, segments, notes })
    }

    /// Word size of the file.
    pub fn class(&self) -> Class {
        self.class
    }

    /// `e_entry`. [`pv`](Self::pv) and [`pvh_entry`](Self::pvh_entry) know what overrides it.
    pub fn entry(&self) -> u64 {
        self.entry
    }

    /// What to load, by increasing `paddr`; at least one.
    pub fn segments(&self) -> &[Segment<'a>] {
        &self.segments
    }

    /// The Xen notes.
    ///
    /// # Errors
    /// [`ImageError::NoXenNotes`] if there are none.
    pub fn notes(&self) -> Result<&XenNotes<'a>, ImageError> {
        self.notes.as_ref().ok_or(ImageError::NoXenNotes)
    }

    /// The physical address where a PVH domain starts in 32-bit mode without paging.
    ///
    /// # Errors
    /// [`ImageError::NoXenNotes`], [`ImageError::NoPvhEntry`].
    pub fn pvh_entry(&self) -> Result<u32, ImageError> {
        self.notes()?.phys32_entry.ok_or(ImageError::NoPvhEntry)
    }
}

fn segments<'a>(bytes: &'a [u8], header: &FileHeader) -> Result<Vec<Segment<'a>>, ImageError> {
    const PF_X: u32 = 1;
    const PF_W: u32 = 2;
    let mut segments = Vec::new();
    segments
        .try_reserve_exact(usize::from(header.program_headers()))
        .map_err(|_| ImageError::OutOfMemory(crate::Compression::None))?;
    let limit = match header.class {
        Class::Elf32 => u64::from(u32::MAX),
        Class::Elf64 => u64::MAX,
    };
    for index in 0..header.program_headers() {
        let ph = header.program_header(bytes, index)?;
        if ph.kind != PT_LOAD || ph.memsz == 0 {
            continue;
        }
        let bad = |what| ImageError::BadSegment { index, what };
        if ph.filesz > ph.memsz {
            return Err(bad("more bytes in the file than in memory"));
        }
        if ph.paddr.checked_add(ph.memsz).is_none_or(|end| end > limit) {
            return Err(bad("physical addresses wrap"));
        }
        if ph.vaddr.checked_add(ph.memsz).is_none_or(|end| end > limit) {
            return Err(bad("virtual addresses wrap"));
        }
        let data = header::range(bytes, ph.offset, ph.filesz).ok_or(ImageError::Truncated {
            what: "ELF segments",
            need: ph.offset.saturating_add(ph.filesz),
            have: bytes.len() as u64,
        })?;
        segments.push(Segment {
            index,
            vaddr: ph.vaddr,
            paddr: ph.paddr,
            mem_size: ph.memsz,
            data,
            writable: ph.flags & PF_W != 0,
            executable: ph.flags & PF_X != 0,
        });
    }
    if segments.is_empty() {
        return Err(ImageError::NoSegments);
    }
    segments.sort_unstable_by_key(|segment| segment.paddr);
    for pair in segments.windows(2) {
        if let [low, high] = pair
            && low.paddr_end() > high.paddr
        {
            let (first, second) = (low.index.min(high.index), low.index.max(high.index));
            return Err(ImageError::Overlap { first, second });
        }
    }
    Ok(segments)
}
