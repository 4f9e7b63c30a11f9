//! The two bit orders of Zstandard: forward for table descriptions, backward for everything else.

use super::super::Fault;

/// Bits from a byte string's end to its start, most significant first. Beyond the start there are
/// zeros, and [`Backward::left`] becomes negative.
pub(super) struct Backward<'a> {
    data: &'a [u8],
    /// Bytes that were not loaded yet.
    pos: usize,
    /// The next bits, at the top. Below the valid ones there may be a part of the next byte.
    buffer: u64,
    /// How many are valid.
    have: i32,
}

impl<'a> Backward<'a> {
    /// The highest set bit of the last byte marks the start.
    pub(super) fn new(data: &'a [u8]) -> Result<Self, Fault> {
        let last = *data.last().ok_or(Fault::Truncated)?;
        if last == 0 {
            return Err(Fault::Corrupt("zstd bit stream"));
        }
        let mut bits = Backward { data, pos: data.len(), buffer: 0, have: 0 };
        bits.refill();
        bits.skip(last.leading_zeros().wrapping_add(1));
        Ok(bits)
    }

    /// Loads at least 57 bits, or all that are left.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        let word = self.data.get(..self.pos).and_then(|head| head.last_chunk::<8>());
        if let Some(word) = word {
            self.buffer |= u64::from_le_bytes(*word) >> (self.have & 63);
            let bytes = 63i32.wrapping_sub(self.have) >> 3;
            self.pos = self.pos.wrapping_sub(bytes as usize);
            self.have = self.have.wrapping_add(bytes << 3);
        } else {
            self.refill_slowly();
        }
    }

    #[cold]
    fn refill_slowly(&mut self) {
        while self.pos > 0 && self.have <= 56 {
            self.pos = self.pos.wrapping_sub(1);
            let byte = self.data.get(self.pos).copied().unwrap_or(0);
            self.buffer |= u64::from(byte) << (56i32.wrapping_sub(self.have) & 63);
            self.have = self.have.wrapping_add(8);
        }
    }

    /// The next `count` bits (1 to 63) without taking them.
    #[inline(always)]
    pub(super) fn peek(&self, count: u32) -> u64 {
        self.buffer >> (64u32.wrapping_sub(count) & 63)
    }

    /// Drops `count` bits, at most 63.
    #[inline(always)]
    pub(super) fn skip(&mut self, count: u32) {
        self.buffer <<= count & 63;
        self.have = self.have.wrapping_sub(count as i32);
    }

    /// Takes `count` bits, 0 to 63. No more than 57 between two refills.
    #[inline(always)]
    pub(super) fn take(&mut self, count: u32) -> u64 {
        let value = (self.buffer >> 1) >> (63u32.wrapping_sub(count) & 63);
        self.skip(count);
        value
    }

    /// Bits that are left; negative if more were taken than there were.
    #[inline(always)]
    pub(super) fn left(&self) -> i64 {
        ((self.pos as i64) << 3).wrapping_add(i64::from(self.have))
    }
}

/// Bits of a byte string, least significant first.
pub(super) struct Forward<'a> {
    data: &'a [u8],
    bit: usize,
}

impl<'a> Forward<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Forward { data, bit: 0 }
    }

    /// Takes `count` bits, at most 16.
    pub(super) fn take(&mut self, count: u32) -> Result<u32, Fault> {
        let value = self.peek(count);
        self.bit = self.bit.wrapping_add(count as usize);
        if self.bytes() > self.data.len() { Err(Fault::Truncated) } else { Ok(value) }
    }

    fn peek(&self, count: u32) -> u32 {
        let byte = |offset: usize| {
            let at = (self.bit >> 3).wrapping_add(offset);
            u32::from(self.data.get(at).copied().unwrap_or(0))
        };
        let word = byte(0) | (byte(1) << 8) | (byte(2) << 16);
        (word >> (self.bit & 7)) & 1u32.wrapping_shl(count).wrapping_sub(1)
    }

    /// Gives one bit back.
    pub(super) fn unread(&mut self) {
        self.bit = self.bit.saturating_sub(1);
    }

    /// Whole bytes that were touched.
    pub(super) fn bytes(&self) -> usize {
        self.bit.div_ceil(8)
    }
}
