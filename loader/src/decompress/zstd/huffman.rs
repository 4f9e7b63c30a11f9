//! Huffman-coded literals (RFC 8878, section 4.2).

use super::super::Fault;
use super::bits::Backward;
use super::fse::{STATES, Table};
use alloc::vec::Vec;

const MAX_BITS: u32 = 11;
const SLOTS: usize = 1 << MAX_BITS;

/// A decoding table: the code's length in the high byte, the symbol in the low.
pub(super) struct Huffman {
    slots: Vec<u16>,
    bits: u32,
}

impl Huffman {
    pub(super) fn new() -> Result<Self, Fault> {
        let mut slots = Vec::new();
        slots.try_reserve_exact(SLOTS).map_err(|_| Fault::OutOfMemory)?;
        slots.resize(SLOTS, 0);
        Ok(Huffman { slots, bits: 0 })
    }

    pub(super) fn ready(&self) -> bool {
        self.bits > 0
    }

    pub(super) fn forget(&mut self) {
        self.bits = 0;
    }

    /// Reads a tree description and returns its length in bytes.
    pub(super) fn read(&mut self, data: &[u8], scratch: &mut Table) -> Result<usize, Fault> {
        self.bits = 0;
        let (head, data) = data.split_first().ok_or(Fault::Truncated)?;
        let mut weights = [0u8; 256];
        let (count, len) = if *head < 128 {
            let len = usize::from(*head);
            (coded_weights(data.get(..len).ok_or(Fault::Truncated)?, scratch, &mut weights)?, len)
        } else {
            let count = usize::from(*head).wrapping_sub(127);
            let len = count.div_ceil(2);
            let packed = data.get(..len).ok_or(Fault::Truncated)?;
            let nibbles = packed.iter().flat_map(|byte| [byte >> 4, byte & 15]);
            for (slot, weight) in weights.iter_mut().take(count).zip(nibbles) {
                *slot = weight;
            }
            (count, len)
        };
        self.build(&mut weights, count)?;
        Ok(len.wrapping_add(1))
    }

    /// `count` weights are known; one more follows from what is missing to a power of two.
    fn build(&mut self, weights: &mut [u8; 256], count: usize) -> Result<(), Fault> {
        let bad = Fault::Corrupt("zstd Huffman weights");
        let mut sum = 0u32;
        for weight in weights.iter().take(count) {
            if u32::from(*weight) > MAX_BITS {
                return Err(bad);
            }
            sum = sum.wrapping_add(1u32.wrapping_shl(u32::from(*weight)) >> 1);
        }
        let bits = sum.checked_ilog2().ok_or(bad)?.wrapping_add(1);
        if bits > MAX_BITS {
            return Err(bad);
        }
        let missing = 1u32.wrapping_shl(bits).wrapping_sub(sum);
        if !missing.is_power_of_two() {
            return Err(bad);
        }
        *weights.get_mut(count).ok_or(bad)? = (missing.ilog2().wrapping_add(1)) as u8;
        // Longest codes first: weight w covers 2^(w-1) slots.
        let mut slots = self.slots.iter_mut();
        for weight in 1..=bits {
            let covers = 1usize.wrapping_shl(weight.wrapping_sub(1));
            let length = bits.wrapping_add(1).wrapping_sub(weight) as u16;
            for (symbol, _) in (0u16..).zip(weights.iter()).filter(|(_, other)| u32::from(**other) == weight) {
                for slot in slots.by_ref().take(covers) {
                    *slot = (length << 8) | symbol;
                }
            }
        }
        self.bits = bits;
        Ok(())
    }

    /// Decodes one stream, which must fill `out` with its last bit.
    pub(super) fn stream(&self, data: &[u8], out: &mut [u8]) -> Result<(), Fault> {
        let Ok(slots) = <&[u16; SLOTS]>::try_from(self.slots.as_slice()) else {
            return Err(Fault::OutOfMemory);
        };
        let width = self.bits;
        let mut bits = Backward::new(data)?;
        // Five codes of at most eleven bits between two refills.
        for five in out.chunks_mut(5) {
            bits.refill();
            for byte in five {
                let entry = slot(slots, bits.peek(width));
                bits.skip(u32::from(entry >> 8));
                *byte = (entry & 0xff) as u8;
            }
        }
        if bits.left() != 0 {
            return Err(Fault::Corrupt("zstd literals"));
        }
        Ok(())
    }
}

#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "masked to the array's length")]
fn slot(slots: &[u16; SLOTS], index: u64) -> u16 {
    slots[index as usize & (SLOTS - 1)]
}

/// Weights that are FSE-coded themselves, by two states that take turns.
fn coded_weights(data: &[u8], table: &mut Table, weights: &mut [u8; 256]) -> Result<usize, Fault> {
    const MAX_ACCURACY: u32 = 6;
    const MAX_WEIGHT: usize = 12;
    let len = table.read(data, MAX_ACCURACY, MAX_WEIGHT)?;
    let mut bits = Backward::new(data.get(len..).ok_or(Fault::Truncated)?)?;
    let states = table.states()?;
    let (mut state, mut other) = (table.start(&mut bits), table.start(&mut bits));
    if bits.left() < 0 {
        return Err(Fault::Truncated);
    }
    let mut count = 0usize;
    // The last symbol is never stored, so at most 255.
    while let Some(slot) = weights.get_mut(count).filter(|_| count < 254) {
        let now = states.get(state & STATES.wrapping_sub(1)).copied().unwrap_or_default();
        *slot = now.symbol;
        count = count.wrapping_add(1);
        bits.refill();
        let next = usize::from(now.base).wrapping_add(bits.take(u32::from(now.bits)) as usize);
        if bits.left() < 0 {
            // The other state's symbol is the last.
            let last = states.get(other & STATES.wrapping_sub(1)).copied().unwrap_or_default();
            if let Some(slot) = weights.get_mut(count) {
                *slot = last.symbol;
            }
            return Ok(count.wrapping_add(1));
        }
        (state, other) = (other, next);
    }
    Err(Fault::Corrupt("zstd Huffman weights"))
}
