//! XZ as kernels use it: one stream of blocks, each LZMA2 with or without the x86 filter, any of
//! the checks none, CRC32 and CRC64. Headers, blocks, index and footer are all verified.
//!
//! Written from the XZ file format specification 1.1.

use super::lzma::{Decoder, Props, Until};
use super::{Fault, Input, bcj, crc};

const MAGIC: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];
const FOOTER_MAGIC: [u8; 2] = *b"YZ";
const FILTER_X86: u64 = 0x04;
const FILTER_LZMA2: u64 = 0x21;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Check {
    None,
    Crc32,
    Crc64,
}

/// Running totals that the index must repeat.
#[derive(Default)]
struct Totals {
    blocks: u64,
    unpadded: u64,
    uncompressed: u64,
}

pub(super) fn decode(payload: &[u8], out: &mut [u8]) -> Result<usize, Fault> {
    let mut input = Input::new(payload);
    if input.array::<6>()? != MAGIC {
        return Err(Fault::Corrupt("XZ magic"));
    }
    let flags = input.array::<2>()?;
    if input.u32()? != crc::crc32(&flags) {
        return Err(Fault::Corrupt("XZ stream header CRC"));
    }
    let check = match flags {
        [0, 0] => Check::None,
        [0, 1] => Check::Crc32,
        [0, 4] => Check::Crc64,
        [0, 10] => return Err(Fault::Unsupported("SHA-256 check (build the kernel's XZ with --check=crc32)")),
        _ => return Err(Fault::Unsupported("XZ stream flags")),
    };
    let mut decoder = Decoder::new(Props::from_byte(0)?)?;
    let mut totals = Totals::default();
    let mut done = 0usize;
    loop {
        let start = input.pos();
        let header_size = input.u8()?;
        if header_size == 0 {
            index(&mut input, start, &totals)?;
            footer(&mut input, start, flags)?;
            return Ok(done);
        }
        let window = out.get_mut(done..).ok_or(Fault::TooLong)?;
        let len = block(&mut input, start, header_size, check, &mut decoder, window, &mut totals)?;
        done = done.checked_add(len).ok_or(Fault::TooLong)?;
    }
}

fn block(
    input: &mut Input<'_>,
    start: usize,
    header_size: u8,
    check: Check,
    decoder: &mut Decoder,
    out: &mut [u8],
    totals: &mut Totals,
) -> Result<usize, Fault> {
    // The stored size counts 4-byte units of the header without its CRC.
    let body = usize::from(header_size).wrapping_mul(4);
    let header = input.since(start, body)?;
    let mut fields = Input::new(header);
    input.skip(body.wrapping_sub(1))?;
    if input.u32()? != crc::crc32(header) {
        return Err(Fault::Corrupt("XZ block header CRC"));
    }
    fields.skip(1)?;
    let flags = fields.u8()?;
    if flags & 0x3c != 0 {
        return Err(Fault::Unsupported("XZ block flags"));
    }
    let packed_size = if flags & 0x40 != 0 { Some(fields.varint()?) } else { None };
    let unpacked_size = if flags & 0x80 != 0 { Some(fields.varint()?) } else { None };
    let mut x86_start = None;
    let mut id = fields.varint()?;
    let mut properties = fields.varint()?;
    if flags & 3 == 1 && id == FILTER_X86 {
        x86_start = Some(match properties {
            0 => 0,
            4 => fields.u32()?,
            _ => return Err(Fault::Corrupt("XZ x86 filter properties")),
        });
        id = fields.varint()?;
        properties = fields.varint()?;
    } else if flags & 3 != 0 {
        return Err(Fault::Unsupported("XZ filter chain (only x86 + LZMA2)"));
    }
    if id != FILTER_LZMA2 {
        return Err(Fault::Unsupported("XZ filter (only x86 + LZMA2)"));
    }
    if properties != 1 || fields.u8()? > 40 {
        return Err(Fault::Corrupt("LZMA2 dictionary size"));
    }
    if fields.rest().iter().any(|byte| *byte != 0) {
        return Err(Fault::Unsupported("XZ block header fields"));
    }

    let data_start = input.pos();
    let len = lzma2(input, decoder, out)?;
    let data_len = input.pos().wrapping_sub(data_start) as u64;
    if packed_size.is_some_and(|size| size != data_len) || unpacked_size.is_some_and(|size| size != len as u64) {
        return Err(Fault::Corrupt("XZ block size"));
    }
    let data = out.get_mut(..len).ok_or(Fault::TooLong)?;
    if let Some(start) = x86_start {
        bcj::x86(data, start);
    }
    padding(input, data_start)?;
    let check_len = match check {
        Check::None => 0u64,
        Check::Crc32 => {
            if input.u32()? != crc::crc32(data) {
                return Err(Fault::Checksum);
            }
            4
        }
        Check::Crc64 => {
            if input.u64()? != crc::crc64(data) {
                return Err(Fault::Checksum);
            }
            8
        }
    };
    let unpadded = (data_start.wrapping_sub(start) as u64).wrapping_add(data_len).wrapping_add(check_len);
    totals.blocks = totals.blocks.wrapping_add(1);
    totals.unpadded = totals.unpadded.wrapping_add(unpadded);
    totals.uncompressed = totals.uncompressed.wrapping_add(len as u64);
    Ok(len)
}

/// The chunks of one block into the start of `out`; returns how much they made.
fn lzma2(input: &mut Input<'_>, decoder: &mut Decoder, out: &mut [u8]) -> Result<usize, Fault> {
    let mut base = 0usize; // where the dictionary begins
    let mut done = 0usize;
    let mut has_dictionary = false;
    let mut has_props = false;
    let mut has_state = false;
    loop {
        let control = input.u8()?;
        if control == 0 {
            return Ok(done);
        }
        if control == 1 || control >= 0xe0 {
            has_dictionary = true;
            has_props = false;
            base = done;
        } else if !has_dictionary {
            return Err(Fault::Corrupt("LZMA2 first chunk"));
        }
        if control < 0x80 {
            if control > 2 {
                return Err(Fault::Corrupt("LZMA2 control byte"));
            }
            let len = usize::from(input.u16_be()?).wrapping_add(1);
            let data = input.take(len)?;
            let end = done.checked_add(len).ok_or(Fault::TooLong)?;
            out.get_mut(done..end).ok_or(Fault::TooLong)?.copy_from_slice(data);
            done = end;
            continue;
        }
        let high = usize::from(control & 0x1f) << 16;
        let unpacked = (high | usize::from(input.u16_be()?)).wrapping_add(1);
        let packed = usize::from(input.u16_be()?).wrapping_add(1);
        if control >= 0xc0 {
            decoder.reset(Props::from_byte(input.u8()?)?);
            (has_props, has_state) = (true, true);
        } else if !has_props {
            return Err(Fault::Corrupt("LZMA2 chunk without properties"));
        } else if control >= 0xa0 {
            decoder.reset(decoder.props());
            has_state = true;
        }
        if !has_state {
            return Err(Fault::Corrupt("LZMA2 chunk without state"));
        }
        let data = input.take(packed)?;
        let end = done.checked_add(unpacked).ok_or(Fault::TooLong)?;
        let window = out.get_mut(base..end).ok_or(Fault::TooLong)?;
        let (_, consumed) = decoder.run(data, window, done.wrapping_sub(base), Until::Full)?;
        if consumed != packed {
            return Err(Fault::Corrupt("LZMA2 chunk size"));
        }
        done = end;
    }
}

/// Zeros up to the next multiple of four after `start`.
fn padding(input: &mut Input<'_>, start: usize) -> Result<(), Fault> {
    while input.pos().wrapping_sub(start) & 3 != 0 {
        if input.u8()? != 0 {
            return Err(Fault::Corrupt("XZ padding"));
        }
    }
    Ok(())
}

fn index(input: &mut Input<'_>, start: usize, totals: &Totals) -> Result<(), Fault> {
    let mut seen = Totals::default();
    let records = input.varint()?;
    if records != totals.blocks {
        return Err(Fault::Corrupt("XZ index"));
    }
    for _ in 0..records {
        seen.unpadded = seen.unpadded.wrapping_add(input.varint()?);
        seen.uncompressed = seen.uncompressed.wrapping_add(input.varint()?);
    }
    if seen.unpadded != totals.unpadded || seen.uncompressed != totals.uncompressed {
        return Err(Fault::Corrupt("XZ index"));
    }
    padding(input, start)?;
    let covered = input.since(start, input.pos().wrapping_sub(start))?;
    if input.u32()? != crc::crc32(covered) {
        return Err(Fault::Corrupt("XZ index CRC"));
    }
    Ok(())
}

fn footer(input: &mut Input<'_>, index_start: usize, flags: [u8; 2]) -> Result<(), Fault> {
    let index_size = input.pos().wrapping_sub(index_start) as u64;
    let sum = input.u32()?;
    let covered = input.since(input.pos(), 6)?;
    let backward = input.u32()?;
    if crc::crc32(covered) != sum || input.array::<2>()? != flags || input.array::<2>()? != FOOTER_MAGIC {
        return Err(Fault::Corrupt("XZ footer"));
    }
    if u64::from(backward).wrapping_add(1).wrapping_mul(4) != index_size {
        return Err(Fault::Corrupt("XZ footer"));
    }
    Ok(())
}
