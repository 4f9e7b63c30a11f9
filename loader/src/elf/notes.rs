//! Xen's ELF notes (`xen/elfnote.h`), from PT_NOTE segments, else from SHT_NOTE sections, else from
//! the string of an old kernel's `__xen_guest` section.

use super::features::Features;
use super::header::{self, FileHeader, PT_NOTE, SHT_NOTE};
use super::legacy;
use crate::bytes::{Eof, Input};
use crate::error::ImageError;
use xen_abi::elfnote::*;

/// Where the notes were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteSource {
    /// A PT_NOTE segment.
    Segment,
    /// A SHT_NOTE section.
    Section,
    /// The `__xen_guest` section of kernels before the notes.
    GuestString,
}

/// `XEN_ELFNOTE_PAE_MODE`, for 32-bit kernels only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PaeMode {
    /// Two-level page tables.
    #[default]
    No,
    /// PAE, the top table below 4 GiB (only the old string can say so).
    Yes,
    /// PAE, the top table anywhere.
    ExtendedCr3,
    /// Either.
    Bimodal,
}

/// `XEN_ELFNOTE_L1_MFN_VALID`: a non-present L1 entry carries a valid MFN if
/// `entry & mask == value` for one of the pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct L1MfnValid<'a> {
    desc: &'a [u8],
    wide: bool,
}

impl L1MfnValid<'_> {
    /// The `(mask, value)` pairs.
    pub fn pairs(&self) -> impl Iterator<Item = (u64, u64)> {
        let wide = self.wide;
        let mut input = Input::new(self.desc);
        core::iter::from_fn(move || {
            let mut word = || if wide { input.u64() } else { input.u32().map(u64::from) };
            Some((word().ok()?, word().ok()?))
        })
    }
}

/// What a kernel says about itself to Xen. `None` means that it does not say so; the defaults are
/// in the comments of `xen/elfnote.h` and applied by [`ElfKernel::pv`](super::ElfKernel::pv).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XenNotes<'a> {
    /// Where the notes were found.
    pub source: NoteSource,
    /// Virtual address of the entry point.
    pub entry: Option<u64>,
    /// Virtual address of the hypercall transfer page.
    pub hypercall_page: Option<u64>,
    /// Virtual address of pseudo-physical address 0.
    pub virt_base: Option<u64>,
    /// What to subtract from `p_paddr` to get a pseudo-physical address.
    pub paddr_offset: Option<u64>,
    /// The Xen interface that the kernel was built for.
    pub xen_version: Option<&'a str>,
    /// The operating system.
    pub guest_os: Option<&'a str>,
    /// Its version.
    pub guest_version: Option<&'a str>,
    /// The loader that it wants.
    pub loader: Option<&'a str>,
    /// Both feature notes together.
    pub features: Features,
    /// PAE mode of a 32-bit kernel.
    pub pae_mode: PaeMode,
    /// Whether the symbol table must be loaded behind the kernel.
    pub bsd_symtab: bool,
    /// The lowest address where the hypervisor's hole may begin.
    pub hv_start_low: Option<u64>,
    /// How to recognise non-present L1 entries that carry an MFN.
    pub l1_mfn_valid: L1MfnValid<'a>,
    /// Whether a suspend may be cancelled.
    pub suspend_cancel: bool,
    /// Virtual address where the initial p2m is to be mapped.
    pub init_p2m: Option<u64>,
    /// Whether the initrd may be passed by frame number, unmapped.
    pub mod_start_pfn: bool,
    /// Physical entry point of a PVH domain.
    pub phys32_entry: Option<u32>,
}

impl<'a> XenNotes<'a> {
    pub(super) fn empty(source: NoteSource) -> Self {
        XenNotes {
            source,
            entry: None,
            hypercall_page: None,
            virt_base: None,
            paddr_offset: None,
            xen_version: None,
            guest_os: None,
            guest_version: None,
            loader: None,
            features: Features::default(),
            pae_mode: PaeMode::default(),
            bsd_symtab: false,
            hv_start_low: None,
            l1_mfn_valid: L1MfnValid::default(),
            suspend_cancel: false,
            init_p2m: None,
            mod_start_pfn: false,
            phys32_entry: None,
        }
    }

    fn add(&mut self, kind: u32, desc: &'a [u8]) -> Result<(), ImageError> {
        match kind {
            XEN_ELFNOTE_ENTRY => self.entry = Some(number("ENTRY", desc)?),
            XEN_ELFNOTE_HYPERCALL_PAGE => self.hypercall_page = Some(number("HYPERCALL_PAGE", desc)?),
            XEN_ELFNOTE_VIRT_BASE => self.virt_base = Some(number("VIRT_BASE", desc)?),
            XEN_ELFNOTE_PADDR_OFFSET => self.paddr_offset = Some(number("PADDR_OFFSET", desc)?),
            XEN_ELFNOTE_XEN_VERSION => self.xen_version = Some(text("XEN_VERSION", desc)?),
            XEN_ELFNOTE_GUEST_OS => self.guest_os = Some(text("GUEST_OS", desc)?),
            XEN_ELFNOTE_GUEST_VERSION => self.guest_version = Some(text("GUEST_VERSION", desc)?),
            XEN_ELFNOTE_LOADER => self.loader = Some(text("LOADER", desc)?),
            XEN_ELFNOTE_PAE_MODE => self.pae_mode = pae(text("PAE_MODE", desc)?)?,
            XEN_ELFNOTE_FEATURES => self.features.add_names(text("FEATURES", desc)?)?,
            XEN_ELFNOTE_SUPPORTED_FEATURES => self.features.add_bits(number("SUPPORTED_FEATURES", desc)?),
            XEN_ELFNOTE_BSD_SYMTAB => self.bsd_symtab = text("BSD_SYMTAB", desc)? == "yes",
            XEN_ELFNOTE_HV_START_LOW => self.hv_start_low = Some(number("HV_START_LOW", desc)?),
            XEN_ELFNOTE_L1_MFN_VALID => self.l1_mfn_valid = mfn_valid(desc)?,
            XEN_ELFNOTE_SUSPEND_CANCEL => self.suspend_cancel = number("SUSPEND_CANCEL", desc)? != 0,
            XEN_ELFNOTE_INIT_P2M => self.init_p2m = Some(number("INIT_P2M", desc)?),
            XEN_ELFNOTE_MOD_START_PFN => self.mod_start_pfn = number("MOD_START_PFN", desc)? != 0,
            XEN_ELFNOTE_PHYS32_ENTRY => {
                let note = "PHYS32_ENTRY";
                let entry = number(note, desc)?;
                let entry = u32::try_from(entry).map_err(|_| ImageError::BadNote { note, what: "is above 4 GiB" })?;
                self.phys32_entry = Some(entry);
            }
            // XEN_ELFNOTE_INFO is for people; what is newer than us is not for us.
            _ => {}
        }
        Ok(())
    }
}

/// Finds the notes in the order of the module's first line.
pub(super) fn find<'a>(bytes: &'a [u8], header: &FileHeader) -> Result<Option<XenNotes<'a>>, ImageError> {
    let mut found = None;
    for index in 0..header.program_headers() {
        let ph = header.program_header(bytes, index)?;
        if ph.kind == PT_NOTE {
            let area =
                header::range(bytes, ph.offset, ph.filesz).ok_or(ImageError::BadNotes("segment outside the file"))?;
            scan(area, ph.align, NoteSource::Segment, &mut found)?;
        }
    }
    if found.is_some() {
        return Ok(found);
    }
    // Section headers are not needed to run: damaged ones cost only the notes in them.
    for index in 0..header.sections() {
        let Ok(section) = header.section(bytes, index) else {
            return Ok(None);
        };
        if section.kind == SHT_NOTE {
            let area = header::range(bytes, section.offset, section.size)
                .ok_or(ImageError::BadNotes("section outside the file"))?;
            scan(area, section.align, NoteSource::Section, &mut found)?;
        }
    }
    if found.is_some() {
        return Ok(found);
    }
    let Some(section) = header.section_named(bytes, b"__xen_guest")? else {
        return Ok(None);
    };
    let area =
        header::range(bytes, section.offset, section.size).ok_or(ImageError::BadNotes("section outside the file"))?;
    legacy::parse(area).map(Some)
}

/// Adds the Xen notes of one area.
fn scan<'a>(
    area: &'a [u8],
    align: u64,
    source: NoteSource,
    found: &mut Option<XenNotes<'a>>,
) -> Result<(), ImageError> {
    let align = if align == 8 { 8 } else { 4 };
    let mut input = Input::new(area);
    while !input.rest().is_empty() {
        let (name, kind, desc) = note(&mut input, align).map_err(|Eof| ImageError::BadNotes("note cut off"))?;
        if name == b"Xen\0" {
            found.get_or_insert_with(|| XenNotes::empty(source)).add(kind, desc)?;
        }
    }
    Ok(())
}

/// One note: name, type, contents. Padding may be missing behind the last one.
fn note<'a>(input: &mut Input<'a>, align: usize) -> Result<(&'a [u8], u32, &'a [u8]), Eof> {
    let (name_len, desc_len, kind) = (input.u32()?, input.u32()?, input.u32()?);
    let name = input.take(name_len as usize)?;
    pad(input, align);
    let desc = input.take(desc_len as usize)?;
    pad(input, align);
    Ok((name, kind, desc))
}

fn pad(input: &mut Input<'_>, align: usize) {
    let missing = input.pos().wrapping_neg() & align.wrapping_sub(1);
    let _short = input.skip(missing.min(input.rest().len()));
}

/// A numeric note: 4 or 8 bytes.
fn number(note: &'static str, desc: &[u8]) -> Result<u64, ImageError> {
    let mut input = Input::new(desc);
    let value = match desc.len() {
        4 => input.u32().map(u64::from),
        8 => input.u64(),
        _ => Err(Eof),
    };
    value.map_err(|Eof| ImageError::BadNote { note, what: "must have 4 or 8 bytes" })
}

/// A string note, up to its NUL.
fn text<'a>(note: &'static str, desc: &'a [u8]) -> Result<&'a str, ImageError> {
    let bytes = desc.split(|byte| *byte == 0).next().unwrap_or(&[]);
    core::str::from_utf8(bytes).map_err(|_| ImageError::BadNote { note, what: "is not text" })
}

fn pae(value: &str) -> Result<PaeMode, ImageError> {
    if value.contains("bimodal") {
        return Ok(PaeMode::Bimodal);
    }
    match value {
        "yes" | "yes[extended-cr3]" => Ok(PaeMode::ExtendedCr3),
        "no" => Ok(PaeMode::No),
        _ => Err(ImageError::BadNote { note: "PAE_MODE", what: "must be yes, no or bimodal" }),
    }
}

/// Pairs of `maddr_t`: 8 bytes each, or 4 in a 32-bit kernel without PAE.
fn mfn_valid(desc: &[u8]) -> Result<L1MfnValid<'_>, ImageError> {
    match desc.len() {
        len if len >= 16 && len.is_multiple_of(16) => Ok(L1MfnValid { desc, wide: true }),
        8 => Ok(L1MfnValid { desc, wide: false }),
        _ => Err(ImageError::BadNote { note: "L1_MFN_VALID", what: "must have pairs of masks and values" }),
    }
}
