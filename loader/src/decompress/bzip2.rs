//! bzip2: blocks of Huffman-coded, move-to-front and Burrows-Wheeler transformed bytes. The heap
//! holds one word for each byte of a block, at most 3.6 MB.
//!
//! Written from the format's description (Joe Tsai, "BZIP2: Format Specification", 2015).

use super::{Fault, crc};
use alloc::vec::Vec;

const BLOCK_MAGIC: u64 = 0x3141_5926_5359;
const END_MAGIC: u64 = 0x1772_4538_5090;
const GROUP: usize = 50;
const MAX_CODE: u32 = 20;
const MAX_SYMBOLS: usize = 258;
/// More selectors than a block can use are read and dropped, as bzip2 itself does.
const MAX_SELECTORS: usize = 18_002;

#[inline(never)] // its tables would be on every format's stack
pub(super) fn decode(payload: &[u8], out: &mut [u8]) -> Result<usize, Fault> {
    let mut bits = Bits::new(payload);
    if bits.take(24) != 0x42_5a68 {
        return Err(Fault::Corrupt("bzip2 magic"));
    }
    let level = bits.take(8).wrapping_sub(u64::from(b'0'));
    if !(1..=9).contains(&level) {
        return Err(Fault::Corrupt("bzip2 block size"));
    }
    let capacity = (level as usize).wrapping_mul(100_000);
    let mut block = Block { words: Vec::new(), selectors: Vec::new(), capacity };
    block.words.try_reserve_exact(capacity).map_err(|_| Fault::OutOfMemory)?;
    block.selectors.try_reserve_exact(MAX_SELECTORS).map_err(|_| Fault::OutOfMemory)?;
    let mut done = 0usize;
    let mut combined = 0u32;
    loop {
        let magic = bits.take(48);
        let sum = bits.take(32) as u32;
        match magic {
            BLOCK_MAGIC => {
                let origin = block.read(&mut bits)?;
                let room = out.get_mut(done..).ok_or(Fault::TooLong)?;
                let len = block.write(origin, room)?;
                if room.get(..len).map(crc::crc32_msb) != Some(sum) {
                    return Err(Fault::Checksum);
                }
                combined = combined.rotate_left(1) ^ sum;
                done = done.wrapping_add(len);
            }
            END_MAGIC if bits.overrun() => return Err(Fault::Truncated),
            END_MAGIC if combined != sum => return Err(Fault::Checksum),
            END_MAGIC => return Ok(done),
            _ if bits.overrun() => return Err(Fault::Truncated),
            _ => return Err(Fault::Corrupt("bzip2 block magic")),
        }
    }
}

/// Bits, most significant first. Past the end there are zeros, and [`Bits::overrun`] says so.
struct Bits<'a> {
    input: &'a [u8],
    pos: usize,
    /// The next bits, at the top.
    buffer: u64,
    have: u32,
}

impl<'a> Bits<'a> {
    fn new(input: &'a [u8]) -> Self {
        Bits { input, pos: 0, buffer: 0, have: 0 }
    }

    #[inline(always)]
    fn refill(&mut self) {
        while self.have <= 56 {
            let byte = self.input.get(self.pos).copied().unwrap_or(0);
            self.pos = self.pos.wrapping_add(1);
            self.buffer |= u64::from(byte) << 56u32.wrapping_sub(self.have);
            self.have = self.have.wrapping_add(8);
        }
    }

    /// At most 48 bits.
    #[inline(always)]
    fn take(&mut self, count: u32) -> u64 {
        if self.have < count {
            self.refill();
        }
        let value = self.peek(count);
        self.drop(count);
        value
    }

    /// The next `count` bits (1 to 63), which a refill made sure of.
    #[inline(always)]
    fn peek(&self, count: u32) -> u64 {
        self.buffer >> (64u32.wrapping_sub(count) & 63)
    }

    #[inline(always)]
    fn drop(&mut self, count: u32) {
        self.buffer <<= count & 63;
        self.have = self.have.wrapping_sub(count);
    }

    /// Whether bits behind the end were taken.
    fn overrun(&self) -> bool {
        let unused = (self.have >> 3) as usize;
        self.pos.wrapping_sub(unused) > self.input.len()
    }
}

/// A canonical Huffman code.
struct Code {
    /// Left-aligned to `MAX_CODE` bits: the first value that is no code of this length or shorter.
    limit: [u32; MAX_CODE as usize + 1],
    /// What to add to a code of this length to get its place in `symbols`.
    offset: [u32; MAX_CODE as usize + 1],
    symbols: [u16; MAX_SYMBOLS],
    shortest: u32,
}

impl Code {
    const EMPTY: Code = Code { limit: [0; 21], offset: [0; 21], symbols: [0; MAX_SYMBOLS], shortest: 1 };

    fn read(&mut self, bits: &mut Bits<'_>, count: usize) -> Result<(), Fault> {
        let mut lengths = [0u8; MAX_SYMBOLS];
        let mut length = bits.take(5);
        for slot in lengths.iter_mut().take(count) {
            // Every step is a bit, and past the end they are zeros: this ends.
            loop {
                if !(1..=u64::from(MAX_CODE)).contains(&length) {
                    return Err(Fault::Corrupt("bzip2 code length"));
                }
                if bits.take(1) == 0 {
                    break;
                }
                length = if bits.take(1) == 0 { length.wrapping_add(1) } else { length.wrapping_sub(1) };
            }
            *slot = length as u8;
        }
        let lengths = lengths.get(..count).unwrap_or(&[]);
        let mut places = self.symbols.iter_mut();
        let mut code = 0u32;
        let mut place = 0u32;
        self.shortest = 0;
        for (length, (limit, offset)) in (0u32..).zip(self.limit.iter_mut().zip(self.offset.iter_mut())) {
            code <<= 1;
            *offset = place.wrapping_sub(code);
            for (symbol, _) in (0u16..).zip(lengths).filter(|(_, other)| u32::from(**other) == length) {
                if let Some(slot) = places.next() {
                    *slot = symbol;
                }
                code = code.wrapping_add(1);
                place = place.wrapping_add(1);
                if self.shortest == 0 {
                    self.shortest = length;
                }
            }
            *limit = code.wrapping_shl(MAX_CODE.wrapping_sub(length));
            if *limit > 1 << MAX_CODE {
                return Err(Fault::Corrupt("bzip2 code"));
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn symbol(&self, bits: &mut Bits<'_>) -> Result<u16, Fault> {
        if bits.have < MAX_CODE {
            bits.refill();
        }
        let next = bits.peek(MAX_CODE) as u32;
        let mut length = self.shortest;
        while self.limit.get(length as usize).is_some_and(|limit| next >= *limit) {
            length = length.wrapping_add(1);
        }
        let offset = self.offset.get(length as usize).ok_or(Fault::Corrupt("bzip2 code"))?;
        bits.drop(length);
        let place = (next >> MAX_CODE.wrapping_sub(length)).wrapping_add(*offset);
        self.symbols.get(place as usize).copied().ok_or(Fault::Corrupt("bzip2 code"))
    }
}

/// One block: the last column of the sorted rotations, then the links between them.
struct Block {
    words: Vec<u32>,
    selectors: Vec<u8>,
    capacity: usize,
}

impl Block {
    /// Reads a block into `words` and returns the row of the original.
    fn read(&mut self, bits: &mut Bits<'_>) -> Result<u32, Fault> {
        if bits.take(1) != 0 {
            return Err(Fault::Unsupported("randomised bzip2 block"));
        }
        let origin = bits.take(24) as u32;
        let mut stack = [0u8; 256];
        let used = read_alphabet(bits, &mut stack);
        if used == 0 {
            return Err(Fault::Corrupt("bzip2 alphabet"));
        }
        let tables = bits.take(3) as usize;
        let selectors = bits.take(15) as usize;
        if !(2..=6).contains(&tables) || selectors == 0 {
            return Err(Fault::Corrupt("bzip2 selectors"));
        }
        self.read_selectors(bits, tables, selectors)?;
        let symbols = used.wrapping_add(2);
        let mut codes = [const { Code::EMPTY }; 6];
        for code in codes.iter_mut().take(tables) {
            code.read(bits, symbols)?;
        }
        if bits.overrun() {
            return Err(Fault::Truncated);
        }
        self.read_symbols(bits, &codes, &mut stack, symbols)?;
        if bits.overrun() {
            return Err(Fault::Truncated);
        }
        if origin as usize >= self.words.len() {
            return Err(Fault::Corrupt("bzip2 origin"));
        }
        Ok(origin)
    }

    fn read_selectors(&mut self, bits: &mut Bits<'_>, tables: usize, count: usize) -> Result<(), Fault> {
        self.selectors.clear();
        let mut order = [0u8, 1, 2, 3, 4, 5];
        for _ in 0..count {
            let mut place = 0usize;
            while bits.take(1) == 1 {
                place = place.wrapping_add(1);
                if place >= tables {
                    return Err(Fault::Corrupt("bzip2 selector"));
                }
            }
            let front = order.get_mut(..=place).ok_or(Fault::Corrupt("bzip2 selector"))?;
            front.rotate_right(1);
            if self.selectors.len() < MAX_SELECTORS {
                self.selectors.push(order[0]);
            }
        }
        Ok(())
    }

    /// Undoes Huffman, run lengths and move-to-front.
    fn read_symbols(
        &mut self,
        bits: &mut Bits<'_>,
        codes: &[Code; 6],
        stack: &mut [u8; 256],
        symbols: usize,
    ) -> Result<(), Fault> {
        let end = symbols.wrapping_sub(1);
        self.words.clear();
        let mut run = 0usize;
        let mut weight = 1usize;
        for selector in &self.selectors {
            let code = codes.get(usize::from(*selector)).ok_or(Fault::Corrupt("bzip2 selector"))?;
            for _ in 0..GROUP {
                let symbol = usize::from(code.symbol(bits)?);
                if symbol < 2 {
                    run = run.wrapping_add(weight.wrapping_shl(symbol as u32));
                    weight <<= 1;
                    if run > self.capacity {
                        return Err(Fault::Corrupt("bzip2 run"));
                    }
                    continue;
                }
                if run != 0 {
                    let len = self.words.len().saturating_add(run);
                    if len > self.capacity {
                        return Err(Fault::Corrupt("bzip2 block length"));
                    }
                    self.words.resize(len, u32::from(stack[0]));
                    (run, weight) = (0, 1);
                }
                if symbol == end {
                    return Ok(());
                }
                let place = symbol.wrapping_sub(1);
                let byte = *stack.get(place).ok_or(Fault::Corrupt("bzip2 symbol"))?;
                stack.copy_within(..place, 1);
                stack[0] = byte;
                if self.words.len() >= self.capacity {
                    return Err(Fault::Corrupt("bzip2 block length"));
                }
                self.words.push(u32::from(byte));
            }
        }
        Err(Fault::Corrupt("bzip2 block without end"))
    }

    /// Undoes the transform and the outer run lengths into `out`.
    fn write(&mut self, origin: u32, out: &mut [u8]) -> Result<usize, Fault> {
        self.link();
        let words = self.words.as_slice();
        let mut next = words.get(origin as usize).map_or(0, |word| word >> 8);
        let mut pos = 0usize;
        let mut last = 0u8;
        let mut equal = 0u32;
        for _ in 0..words.len() {
            let Some(word) = words.get(next as usize) else {
                return Err(Fault::Corrupt("bzip2 origin"));
            };
            next = word >> 8;
            let byte = (word & 0xff) as u8;
            if equal == 4 {
                let end = pos.saturating_add(usize::from(byte));
                out.get_mut(pos..end).ok_or(Fault::TooLong)?.fill(last);
                (pos, equal) = (end, 0);
                continue;
            }
            equal = if byte == last && equal > 0 { equal.wrapping_add(1) } else { 1 };
            last = byte;
            let Some(slot) = out.get_mut(pos) else {
                return Err(Fault::TooLong);
            };
            *slot = byte;
            pos = pos.wrapping_add(1);
        }
        Ok(pos)
    }

    /// Puts into the upper 24 bits of each row the row that follows it.
    #[expect(clippy::indexing_slicing, reason = "indices are bytes, and places below the sum of all counts")]
    fn link(&mut self) {
        let mut starts = [0u32; 256];
        for word in &self.words {
            let count = &mut starts[(*word & 0xff) as usize];
            *count = count.wrapping_add(1);
        }
        let mut sum = 0u32;
        for start in &mut starts {
            let count = *start;
            *start = sum;
            sum = sum.wrapping_add(count);
        }
        for row in 0..self.words.len() {
            let start = &mut starts[(self.words[row] & 0xff) as usize];
            let place = *start as usize;
            *start = start.wrapping_add(1);
            self.words[place] |= (row as u32) << 8;
        }
    }
}

/// The bytes that a block uses, in order, to the front of `stack`; returns how many.
fn read_alphabet(bits: &mut Bits<'_>, stack: &mut [u8; 256]) -> usize {
    let mut used = 0usize;
    let rows = bits.take(16);
    for row in 0..16u32 {
        if rows & (0x8000 >> row) == 0 {
            continue;
        }
        let columns = bits.take(16);
        for column in 0..16u32 {
            if columns & (0x8000 >> column) != 0
                && let Some(slot) = stack.get_mut(used)
            {
                *slot = ((row << 4) | column) as u8;
                used = used.wrapping_add(1);
            }
        }
    }
    used
}
