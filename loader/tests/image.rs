//! Containers: what is recognised, and the one line for what is not.

mod common;

use common::{Elf, bzimage, sized};
use ferroxen_loader::{Compression, Container, ImageError, KernelImage, MAX_PAYLOAD};

fn parse(bytes: &[u8]) -> Result<KernelImage<'_>, ImageError> {
    KernelImage::parse(bytes)
}

#[test]
fn an_elf_file_of_either_class_is_its_own_payload() {
    for wide in [true, false] {
        let elf = Elf { wide, ..Elf::linux() }.build();
        let image = parse(&elf).unwrap();
        assert_eq!((image.container(), image.compression()), (Container::Elf, Compression::None));
        assert_eq!(image.borrowed(), Some(elf.as_slice()));
        assert_eq!(image.payload_len(), elf.len());
    }
}

#[test]
fn anything_else_is_not_a_kernel() {
    for bytes in [&b""[..], b"\x7f", b"#!/bin/sh\n", &[0; 4096], b"07070100000000"] {
        assert_eq!(parse(bytes).unwrap_err(), ImageError::NotAKernel);
    }
    let mut image = bzimage(b"\x7fELF and more");
    image[0x1fe] = 0;
    assert_eq!(parse(&image).unwrap_err(), ImageError::NotAKernel, "no boot flag");
}

#[test]
fn a_setup_header_before_2_08_has_no_payload_offset() {
    for (version, ok) in [(0x0200u16, false), (0x0207, false), (0x0208, true), (0x020f, true), (0x0300, true)] {
        let mut image = bzimage(b"\x7fELF and more");
        image[0x206..0x208].copy_from_slice(&version.to_le_bytes());
        match parse(&image) {
            Ok(image) => assert!(ok && image.container() == Container::BzImage { version }),
            Err(error) => assert_eq!((error, ok), (ImageError::OldProtocol { version }, false)),
        }
    }
}

#[test]
fn zero_setup_sectors_mean_four() {
    let mut image = bzimage(b"");
    image[0x1f1] = 0;
    image.resize(5 * 512 + 0x40, 0);
    image.extend(b"\x7fELF");
    image[0x24c] = 4;
    assert_eq!(parse(&image).unwrap().borrowed(), Some(&b"\x7fELF"[..]));
}

#[test]
fn a_bzimage_cut_anywhere_before_its_payloads_end_is_refused() {
    let payload = sized(b"\xfd7zXZ\0 some stream".to_vec(), 1000);
    let image = bzimage(&payload);
    let end = image.len() - 100; // what follows the payload is not needed
    assert!(parse(&image[..end]).is_ok());
    for cut in 0..end {
        let error = parse(&image[..cut]).unwrap_err();
        if cut < 0x206 {
            assert_eq!(error, ImageError::NotAKernel, "cut at {cut}");
        } else {
            assert!(
                matches!(error, ImageError::Truncated { need, have, .. } if have == cut as u64 && need > have),
                "cut at {cut}: {error:?}"
            );
        }
    }
}

#[test]
fn payload_fields_that_point_out_of_the_file_are_refused() {
    for (offset, length) in [(u32::MAX, 4u32), (0x40, u32::MAX), (u32::MAX, u32::MAX), (0x4000, 0)] {
        let mut image = bzimage(b"\x7fELF");
        image[0x248..0x24c].copy_from_slice(&offset.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&length.to_le_bytes());
        assert!(matches!(parse(&image).unwrap_err(), ImageError::Truncated { what: "payload", .. }));
    }
}

#[test]
fn unknown_and_unsupported_compressions_are_named() {
    let error = parse(&bzimage(&sized(b"\x89LZO\0\r\n\x1a\n".to_vec(), 100))).unwrap_err();
    assert_eq!(error, ImageError::UnsupportedCompression(Compression::Lzo));
    assert!(error.to_string().contains("lzo"));
    let error = parse(&bzimage(&[0xde, 0xad, 0xbe, 0xef, 0, 0])).unwrap_err();
    assert_eq!(error, ImageError::UnknownCompression { magic: [0xde, 0xad, 0xbe, 0xef] });
    assert!(error.to_string().contains("deadbeef"));
    assert_eq!(parse(&bzimage(b"")).unwrap_err(), ImageError::UnknownCompression { magic: [0; 4] });
    let error = parse(b"\x28\xb5\x2f\xfd and so on").unwrap_err();
    assert_eq!(error, ImageError::BareCompressed(Compression::Zstd));
}

#[test]
fn a_stated_size_above_the_cap_is_refused() {
    for (stated, ok) in [(MAX_PAYLOAD, true), (MAX_PAYLOAD + 1, false), (u32::MAX as usize, false)] {
        let image = bzimage(&sized(b"\xfd7zXZ\0".to_vec(), stated));
        match parse(&image) {
            Ok(image) => assert!(ok && image.payload_len() == stated),
            Err(error) => assert_eq!((error, ok), (ImageError::TooLarge { stated: stated as u64 }, false)),
        }
    }
}

/// One line, that says more than its name, without a full stop or a newline in it.
#[test]
fn every_error_is_one_line() {
    use ImageError::*;
    let xz = Compression::Xz;
    let required = Elf { notes: Some(common::xen(10, b"!no_such_feature")), ..Elf::linux() }.build();
    let errors = [
        NotAKernel,
        BareCompressed(xz),
        OldProtocol { version: 0x0207 },
        Truncated { what: "payload", need: 10, have: 5 },
        UnknownCompression { magic: [1, 2, 3, 4] },
        UnsupportedCompression(Compression::Lzo),
        UnsupportedFeature { compression: xz, what: "filter" },
        TooLarge { stated: 1 << 40 },
        BufferTooSmall { need: 10, have: 5 },
        MoreThanStated { compression: xz, stated: 5 },
        LessThanStated { compression: xz, stated: 10, made: 5 },
        PayloadTruncated(xz),
        Corrupt { compression: xz, what: "index" },
        Checksum(xz),
        OutOfMemory(xz),
        NotElf,
        ElfHeader("not an executable"),
        ElfMachine(183),
        TooManyHeaders("sections"),
        NoSegments,
        BadSegment { index: 3, what: "wraps" },
        Overlap { first: 1, second: 2 },
        BadNotes("note cut off"),
        BadNote { note: "ENTRY", what: "must have 4 or 8 bytes" },
        NoXenNotes,
        ferroxen_loader::ElfKernel::parse(&required).unwrap_err(),
        MissingFeatures { bits: 1 << 11 },
        Pv32Unsupported,
        Layout("the entry point is outside the kernel"),
        NoPvhEntry,
    ];
    let mut lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    for line in &lines {
        assert!(line.len() > 25 && line.len() < 160, "{line}");
        assert!(!line.contains('\n') && !line.ends_with('.'), "{line}");
    }
    assert_eq!(OldProtocol { version: 0x0207 }.to_string().matches("2.07").count(), 1);
    assert!(MissingFeatures { bits: 1 << 11 }.to_string().contains(" dom0;"));
    assert!(Corrupt { compression: xz, what: "index" }.to_string().starts_with("xz payload is damaged (index)"));
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), errors.len(), "two errors with the same line");
}
