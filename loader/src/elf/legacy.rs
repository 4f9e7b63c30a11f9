//! The `__xen_guest` section of kernels before ELF notes: `NAME=VALUE` pairs separated by commas,
//! a value perhaps in double quotes.

use super::notes::{NoteSource, PaeMode, XenNotes};
use crate::error::ImageError;

const PAGE_SHIFT: u32 = 12;

pub(super) fn parse(area: &[u8]) -> Result<XenNotes<'_>, ImageError> {
    let text = area.split(|byte| *byte == 0).next().unwrap_or(&[]);
    let text = core::str::from_utf8(text).map_err(|_| ImageError::BadNotes("__xen_guest is not text"))?;
    let mut notes = XenNotes::empty(NoteSource::GuestString);
    let mut hypercall_pfn = None;
    let mut rest = text;
    while let Some((name, value, tail)) = pair(rest) {
        rest = tail;
        match name {
            "GUEST_OS" => notes.guest_os = Some(value),
            "GUEST_VER" => notes.guest_version = Some(value),
            "XEN_VER" => notes.xen_version = Some(value),
            "LOADER" => notes.loader = Some(value),
            "VIRT_BASE" => notes.virt_base = Some(number("VIRT_BASE", value)?),
            "VIRT_ENTRY" => notes.entry = Some(number("VIRT_ENTRY", value)?),
            "ELF_PADDR_OFFSET" => notes.paddr_offset = Some(number("ELF_PADDR_OFFSET", value)?),
            "HYPERCALL_PAGE" => hypercall_pfn = Some(number("HYPERCALL_PAGE", value)?),
            "FEATURES" => notes.features.add_names(value)?,
            "BSD_SYMTAB" => notes.bsd_symtab = true,
            "PAE" => {
                notes.pae_mode = match value {
                    "yes[extended-cr3]" => PaeMode::ExtendedCr3,
                    value if value.contains("bimodal") => PaeMode::Bimodal,
                    value if value.starts_with("yes") => PaeMode::Yes,
                    _ => PaeMode::No,
                }
            }
            _ => {}
        }
    }
    // Here the hypercall page is a frame number, and p_paddr holds virtual addresses by default.
    if let Some(pfn) = hypercall_pfn {
        let offset = pfn.checked_mul(1 << PAGE_SHIFT);
        let address = offset.and_then(|offset| offset.checked_add(notes.virt_base.unwrap_or(0)));
        let bad = ImageError::BadNote { note: "HYPERCALL_PAGE", what: "is not a frame of the kernel" };
        notes.hypercall_page = Some(address.ok_or(bad)?);
    }
    notes.paddr_offset = notes.paddr_offset.or(notes.virt_base);
    Ok(notes)
}

/// The first pair of `text`, and what is behind it. A name without `=` has an empty value.
fn pair(text: &str) -> Option<(&str, &str, &str)> {
    let text = text.trim_start_matches([',', ' ', '\t', '\n']);
    if text.is_empty() {
        return None;
    }
    let (name, rest) = text.split_at(text.find(['=', ',']).unwrap_or(text.len()));
    let Some(rest) = rest.strip_prefix('=') else {
        return Some((name, "", rest));
    };
    if let Some((value, rest)) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
        return Some((name, value, rest));
    }
    let (value, rest) = rest.split_once(',').unwrap_or((rest, ""));
    Some((name, value, rest))
}

/// C's notation: `0x` for hexadecimal, else decimal.
fn number(note: &'static str, value: &str) -> Result<u64, ImageError> {
    let parsed = match value.strip_prefix("0x").or_else(|| value.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => value.parse(),
    };
    parsed.map_err(|_| ImageError::BadNote { note, what: "is not a number" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_netbsd_style_string_is_read_with_its_own_defaults() {
        let text = b"GUEST_OS=netbsd,GUEST_VER=3.99,XEN_VER=xen-3.0,LOADER=generic,VIRT_BASE=0xc0000000,\
            VIRT_ENTRY=0xc0100000,HYPERCALL_PAGE=0x101,PAE=yes[extended-cr3],BSD_SYMTAB=yes,FEATURES=\"writable_page_tables|!dom0\"\0junk";
        let notes = parse(text).unwrap();
        assert_eq!(notes.source, NoteSource::GuestString);
        assert_eq!(notes.guest_os, Some("netbsd"));
        assert_eq!(notes.guest_version, Some("3.99"));
        assert_eq!(notes.xen_version, Some("xen-3.0"));
        assert_eq!(notes.loader, Some("generic"));
        assert_eq!(notes.entry, Some(0xc010_0000));
        assert_eq!(notes.hypercall_page, Some(0xc010_1000), "a frame number in the old string");
        assert_eq!(notes.paddr_offset, Some(0xc000_0000), "defaults to VIRT_BASE in the old string");
        assert_eq!(notes.pae_mode, PaeMode::ExtendedCr3);
        assert!(notes.bsd_symtab);
        assert_eq!((notes.features.supported, notes.features.required), (1 | 1 << 11, 1 << 11));
    }

    #[test]
    fn odd_strings_end_and_do_not_panic() {
        for text in ["", ",", "=", "A", "A=", "A=\"", "A=\"x", ",,,B=\"\"C=1,", "\"=,"] {
            assert!(parse(text.as_bytes()).is_ok(), "{text:?}");
        }
        assert!(parse(b"VIRT_BASE=zero").is_err());
        assert!(parse(b"HYPERCALL_PAGE=0xffffffffffffffff").is_err());
        assert!(parse(b"\xff").is_err());
    }
}
