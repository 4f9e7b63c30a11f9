//! Zstandard frames without a dictionary (RFC 8878). The output buffer is the window, whatever
//! size the frame asks for: `zstd --ultra -22`, as kernels are built, wants 128 MiB.

mod bits;
mod fse;
mod huffman;
mod sequences;

use super::{Fault, Input, xxh64};
use alloc::vec::Vec;
use fse::Table;
use huffman::Huffman;
use sequences::Sequences;

const MAGIC: u32 = 0xfd2f_b528;
const SKIPPABLE: u32 = 0x184d_2a50;
const BLOCK_MAX: usize = 128 << 10;

pub(super) fn decode(payload: &[u8], out: &mut [u8]) -> Result<usize, Fault> {
    let mut decoder = Decoder::new()?;
    let mut input = Input::new(payload);
    let mut done = 0usize;
    while !input.rest().is_empty() {
        let magic = input.u32()?;
        if magic & !15 == SKIPPABLE {
            let len = input.u32()?;
            input.skip(len as usize)?;
        } else if magic == MAGIC {
            let window = out.get_mut(done..).ok_or(Fault::TooLong)?;
            done = done.wrapping_add(decoder.frame(&mut input, window)?);
        } else {
            return Err(Fault::Corrupt("zstd magic"));
        }
    }
    Ok(done)
}

struct Decoder {
    literals: Vec<u8>,
    huffman: Huffman,
    weights: Table,
    sequences: Sequences,
}

impl Decoder {
    fn new() -> Result<Self, Fault> {
        let mut literals = Vec::new();
        literals.try_reserve_exact(BLOCK_MAX).map_err(|_| Fault::OutOfMemory)?;
        literals.resize(BLOCK_MAX, 0);
        Ok(Decoder { literals, huffman: Huffman::new()?, weights: Table::new()?, sequences: Sequences::new()? })
    }

    /// One frame behind its magic, into the start of `out`.
    fn frame(&mut self, input: &mut Input<'_>, out: &mut [u8]) -> Result<usize, Fault> {
        let descriptor = input.u8()?;
        if descriptor & 0x08 != 0 {
            return Err(Fault::Unsupported("zstd frame flag"));
        }
        let single_segment = descriptor & 0x20 != 0;
        if !single_segment {
            input.skip(1)?; // the window size
        }
        let dictionary = match descriptor & 3 {
            0 => 0,
            1 => u32::from(input.u8()?),
            2 => u32::from(input.u16()?),
            _ => input.u32()?,
        };
        if dictionary != 0 {
            return Err(Fault::Unsupported("zstd dictionary"));
        }
        let size = match descriptor >> 6 {
            0 if single_segment => Some(u64::from(input.u8()?)),
            0 => None,
            1 => Some(u64::from(input.u16()?).wrapping_add(256)),
            2 => Some(u64::from(input.u32()?)),
            _ => Some(input.u64()?),
        };
        self.huffman.forget();
        self.sequences.reset();
        let mut done = 0usize;
        loop {
            let [a, b, c] = input.array::<3>()?;
            let header = u32::from_le_bytes([a, b, c, 0]);
            let len = (header >> 3) as usize;
            done = match (header >> 1) & 3 {
                0 => copy_literals(input.take(len)?, 0, len, out, done)?,
                1 => {
                    let end = done.saturating_add(len);
                    out.get_mut(done..end).ok_or(Fault::TooLong)?.fill(input.u8()?);
                    end
                }
                2 => self.block(input.take(len)?, out, done)?,
                _ => return Err(Fault::Corrupt("zstd block type")),
            };
            if header & 1 != 0 {
                break;
            }
        }
        let made = out.get(..done).ok_or(Fault::TooLong)?;
        if size.is_some_and(|size| size != done as u64) {
            return Err(Fault::Corrupt("zstd frame size"));
        }
        if descriptor & 4 != 0 && u64::from(input.u32()?) != xxh64::xxh64(made) & u64::from(u32::MAX) {
            return Err(Fault::Checksum);
        }
        Ok(done)
    }

    /// A compressed block.
    fn block(&mut self, data: &[u8], out: &mut [u8], pos: usize) -> Result<usize, Fault> {
        let mut input = Input::new(data);
        let first = input.u8()?;
        let kind = first & 3;
        let format = (first >> 2) & 3;
        if kind < 2 {
            let size = match format {
                0 | 2 => usize::from(first >> 3),
                1 => usize::from(first >> 4) | (usize::from(input.u8()?) << 4),
                _ => usize::from(first >> 4) | (usize::from(input.u16()?) << 4),
            };
            if kind == 0 {
                let literals = input.take(size)?;
                return self.sequences.run(&mut input, literals, out, pos);
            }
            let byte = input.u8()?;
            let literals = self.literals.get_mut(..size).ok_or(Fault::Corrupt("zstd literals size"))?;
            literals.fill(byte);
            return self.sequences.run(&mut input, literals, out, pos);
        }
        let (extra, width) = match format {
            0 | 1 => (2usize, 10u32),
            2 => (3, 14),
            _ => (4, 18),
        };
        let mut header = u64::from(first);
        for (shift, byte) in (8u32..).step_by(8).zip(input.take(extra)?) {
            header |= u64::from(*byte).wrapping_shl(shift);
        }
        let mask = 1u64.wrapping_shl(width).wrapping_sub(1);
        let size = ((header >> 4) & mask) as usize;
        let packed = (header.wrapping_shr(width.wrapping_add(4)) & mask) as usize;
        let mut packed = input.take(packed)?;
        if kind == 2 {
            let tree = self.huffman.read(packed, &mut self.weights)?;
            packed = packed.get(tree..).ok_or(Fault::Truncated)?;
        } else if !self.huffman.ready() {
            return Err(Fault::Corrupt("zstd repeated tree"));
        }
        let literals = self.literals.get_mut(..size).ok_or(Fault::Corrupt("zstd literals size"))?;
        if format == 0 {
            self.huffman.stream(packed, literals)?;
        } else {
            four_streams(&self.huffman, packed, literals)?;
        }
        self.sequences.run(&mut input, literals, out, pos)
    }
}

/// Four streams, the first three of a quarter each; their sizes stand in front.
fn four_streams(huffman: &Huffman, packed: &[u8], literals: &mut [u8]) -> Result<(), Fault> {
    let mut input = Input::new(packed);
    let sizes = [input.u16()?, input.u16()?, input.u16()?];
    let quarter = literals.len().div_ceil(4);
    let mut rest = literals;
    for size in sizes {
        let (part, tail) = rest.split_at_mut_checked(quarter).ok_or(Fault::Corrupt("zstd literals size"))?;
        huffman.stream(input.take(usize::from(size))?, part)?;
        rest = tail;
    }
    huffman.stream(input.rest(), rest)
}

/// Copies `from[start..start + len]` to `window[pos..]` and returns the position behind it.
#[inline(always)]
fn copy_literals(from: &[u8], start: usize, len: usize, window: &mut [u8], pos: usize) -> Result<usize, Fault> {
    let end = pos.saturating_add(len);
    let from = from.get(start..).ok_or(Fault::Corrupt("zstd literals"))?;
    if len <= 16
        && len <= from.len()
        && let Some(from) = from.first_chunk::<16>()
        && let Some(to) = window.get_mut(pos..).and_then(|tail| tail.first_chunk_mut::<16>())
    {
        *to = *from; // what is behind `len` is overwritten by what follows
        return Ok(end);
    }
    let from = from.get(..len).ok_or(Fault::Corrupt("zstd literals"))?;
    window.get_mut(pos..end).ok_or(Fault::TooLong)?.copy_from_slice(from);
    Ok(end)
}
