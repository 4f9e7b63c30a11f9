//! Every compression, in a synthetic bzImage made by the tools that the kernel's build uses.

mod common;

use common::{PACKERS, bzimage, sample, sized};
use ferroxen_loader::{Compression, Container, ImageError, KernelImage};

fn unpack(image: &[u8]) -> Result<Vec<u8>, ImageError> {
    let image = KernelImage::parse(image)?;
    let mut out = vec![0xa5; image.payload_len() + 32];
    let len = image.decompress_into(&mut out)?;
    assert_eq!(len, image.payload_len());
    assert!(out[len..].iter().all(|byte| *byte == 0xa5), "wrote behind the stated size");
    out.truncate(len);
    Ok(out)
}

#[test]
fn what_the_build_packs_comes_out_again() {
    for packer in PACKERS {
        for len in [0usize, 1, 7, 4096, 100_000, 700_000] {
            let data = sample(len);
            let Some(image) = packer.bzimage(&data) else { continue };
            let parsed = KernelImage::parse(&image).unwrap();
            assert_eq!(parsed.container(), Container::BzImage { version: 0x020f });
            assert_eq!(parsed.compression().name(), packer.name);
            assert_eq!(parsed.payload_len(), len);
            assert!(unpack(&image) == Ok(data), "{:?} of {len} bytes", packer.command);
        }
    }
}

/// More than one of LZ4's 8 MiB blocks, and more than one of zstd's and LZMA2's resets.
#[test]
fn large_payloads_cross_the_formats_block_sizes() {
    let data = sample(20 << 20);
    for packer in PACKERS.iter().filter(|packer| {
        matches!(packer.command, ["lz4", _, "-1"] | ["zstd", _, "-1", _] | ["gzip", _, "-1"] | ["xz", "-0", ..])
    }) {
        let Some(image) = packer.bzimage(&data) else { continue };
        assert!(unpack(&image).as_ref() == Ok(&data), "{:?}", packer.command);
    }
}

#[test]
fn incompressible_and_constant_data_come_out_again() {
    let mut state = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(300_000)
    .collect();
    for data in [noise, vec![0; 300_000], b"ab".repeat(70_000), b"abcdefg".repeat(9_000)] {
        for packer in PACKERS {
            let Some(image) = packer.bzimage(&data) else { continue };
            assert!(unpack(&image).as_ref() == Ok(&data), "{:?}", packer.command);
        }
    }
}

#[test]
fn a_size_word_that_lies_is_an_error_and_never_more_output() {
    let data = sample(50_000);
    for packer in PACKERS.iter().filter(|packer| !packer.own_size) {
        let Some(stream) = packer.pack(&data) else { continue };
        for stated in [0usize, 1, 4096, 40_000, 49_999] {
            let error = unpack(&bzimage(&sized(stream.clone(), stated))).unwrap_err();
            assert!(
                matches!(error, ImageError::MoreThanStated { stated: told, .. } if told == stated as u64),
                "{} stated {stated}: {error:?}",
                packer.name
            );
        }
        let error = unpack(&bzimage(&sized(stream.clone(), 50_001))).unwrap_err();
        assert!(
            matches!(error, ImageError::LessThanStated { stated: 50_001, made: 50_000, .. }),
            "{}: {error:?}",
            packer.name
        );
    }
}

#[test]
fn a_gzip_size_that_lies_is_an_error() {
    let data = sample(50_000);
    let Some(stream) = PACKERS[0].pack(&data) else { return };
    for stated in [0u32, 49_999, 50_001, 1 << 20] {
        let mut stream = stream.clone();
        let at = stream.len() - 4;
        stream[at..].copy_from_slice(&stated.to_le_bytes());
        for image in [bzimage(&stream), stream] {
            assert!(unpack(&image).is_err(), "stated {stated}");
        }
    }
}

#[test]
fn a_stream_cut_anywhere_is_an_error() {
    let data = sample(6_000);
    for packer in PACKERS {
        let Some(stream) = packer.pack(&data) else { continue };
        // gzip's last word is its size: cutting that off and appending it changes nothing.
        let whole = if packer.own_size { stream.len() - 4 } else { stream.len() };
        for cut in 0..whole {
            let image = bzimage(&sized(stream[..cut].to_vec(), data.len()));
            assert!(unpack(&image).is_err(), "{} cut at {cut}", packer.name);
        }
    }
}

#[test]
fn a_flipped_bit_is_an_error_where_the_format_has_a_checksum() {
    let data = sample(6_000);
    for packer in PACKERS {
        let unchecked = packer.name == "lzma"
            || packer.name == "lz4"
            || packer.command.contains(&"--check=none")
            || packer.command.contains(&"--no-check");
        let Some(stream) = packer.pack(&data) else { continue };
        for at in 0..stream.len() {
            let mut stream = stream.clone();
            stream[at] ^= 1 << (at % 8);
            let image = bzimage(&if packer.own_size { stream } else { sized(stream, data.len()) });
            let result = unpack(&image);
            // gzip's header holds fields that mean nothing here.
            if unchecked || (packer.name == "gzip" && (4..10).contains(&at)) {
                continue;
            }
            assert!(result.is_err() || result == Ok(data.clone()), "{} flipped at {at}", packer.name);
        }
    }
}

#[test]
fn a_bare_gzip_file_is_unpacked_and_other_bare_files_are_named() {
    let data = sample(10_000);
    for packer in PACKERS {
        let Some(stream) = packer.pack(&data) else { continue };
        if packer.name == "gzip" {
            assert_eq!(KernelImage::parse(&stream).unwrap().container(), Container::Gzip);
            assert_eq!(unpack(&stream), Ok(data.clone()));
        } else {
            let error = unpack(&stream).unwrap_err();
            assert!(matches!(error, ImageError::BareCompressed(format) if format.name() == packer.name), "{error:?}");
        }
    }
}

#[test]
fn a_buffer_below_the_stated_size_is_refused_before_anything_is_written() {
    let data = sample(10_000);
    let Some(image) = PACKERS[0].bzimage(&data) else { return };
    let mut out = vec![7; 9_999];
    let error = KernelImage::parse(&image).unwrap().decompress_into(&mut out);
    assert_eq!(error, Err(ImageError::BufferTooSmall { need: 10_000, have: 9_999 }));
    assert!(out.iter().all(|byte| *byte == 7));
}

#[test]
fn an_uncompressed_payload_is_borrowed() {
    let mut elf = b"\x7fELF".to_vec();
    elf.extend(sample(1000));
    let image = bzimage(&elf);
    let parsed = KernelImage::parse(&image).unwrap();
    assert_eq!(parsed.compression(), Compression::None);
    assert_eq!(parsed.borrowed(), Some(elf.as_slice()));
    assert_eq!(unpack(&image), Ok(elf.clone()));
    assert_eq!(KernelImage::parse(&elf).unwrap().borrowed(), Some(elf.as_slice()));
}
