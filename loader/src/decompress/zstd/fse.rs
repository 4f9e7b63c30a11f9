//! Finite state entropy tables (RFC 8878, section 4.1).

use super::super::Fault;
use super::bits::{Backward, Forward};
use alloc::vec::Vec;

/// The largest table: 9 bits of accuracy.
pub(super) const STATES: usize = 512;
/// Match lengths have the most symbols.
const MAX_SYMBOLS: usize = 256;

/// One state: what it means, and how the next is found.
#[derive(Clone, Copy, Default)]
pub(super) struct State {
    pub symbol: u8,
    pub bits: u8,
    pub base: u16,
}

/// A decoding table. An accuracy of 0 is a single symbol.
pub(super) struct Table {
    states: Vec<State>,
    accuracy: u32,
    ready: bool,
}

impl Table {
    pub(super) fn new() -> Result<Self, Fault> {
        let mut states = Vec::new();
        states.try_reserve_exact(STATES).map_err(|_| Fault::OutOfMemory)?;
        states.resize(STATES, State::default());
        Ok(Table { states, accuracy: 0, ready: false })
    }

    /// Whether any table was built since the frame began.
    pub(super) fn ready(&self) -> bool {
        self.ready
    }

    pub(super) fn forget(&mut self) {
        self.ready = false;
    }

    /// The states as an array whose masked indices need no check.
    pub(super) fn states(&self) -> Result<&[State; STATES], Fault> {
        <&[State; STATES]>::try_from(self.states.as_slice()).map_err(|_| Fault::OutOfMemory)
    }

    /// Always the same symbol, without a bit.
    pub(super) fn single(&mut self, symbol: u8) {
        self.accuracy = 0;
        self.ready = true;
        if let Some(state) = self.states.first_mut() {
            *state = State { symbol, bits: 0, base: 0 };
        }
    }

    /// Reads a table description and returns its length in bytes.
    pub(super) fn read(&mut self, data: &[u8], max_accuracy: u32, max_symbol: usize) -> Result<usize, Fault> {
        let mut bits = Forward::new(data);
        let accuracy = bits.take(4)?.wrapping_add(5);
        if accuracy > max_accuracy {
            return Err(Fault::Corrupt("zstd table accuracy"));
        }
        let mut counts = [0i16; MAX_SYMBOLS];
        let mut remaining = 1u32.wrapping_shl(accuracy);
        let mut symbol = 0usize;
        while remaining > 0 {
            if symbol > max_symbol {
                return Err(Fault::Corrupt("zstd table symbols"));
            }
            let most = remaining.wrapping_add(1);
            let width = most.ilog2().wrapping_add(1);
            let low_mask = 1u32.wrapping_shl(width.wrapping_sub(1)).wrapping_sub(1);
            let threshold = 1u32.wrapping_shl(width).wrapping_sub(1).wrapping_sub(most);
            let mut value = bits.take(width)?;
            if value & low_mask < threshold {
                bits.unread();
                value &= low_mask;
            } else if value > low_mask {
                value = value.wrapping_sub(threshold);
            }
            let count = (value as i16).wrapping_sub(1);
            let taken = u32::from(count.unsigned_abs());
            remaining = remaining.checked_sub(taken).ok_or(Fault::Corrupt("zstd table counts"))?;
            if let Some(slot) = counts.get_mut(symbol) {
                *slot = count;
            }
            symbol = symbol.wrapping_add(1);
            if count == 0 {
                loop {
                    let zeros = bits.take(2)?;
                    symbol = symbol.wrapping_add(zeros as usize);
                    if symbol > MAX_SYMBOLS {
                        return Err(Fault::Corrupt("zstd table symbols"));
                    }
                    if zeros != 3 {
                        break;
                    }
                }
            }
        }
        self.build(&counts, accuracy)?;
        Ok(bits.bytes())
    }

    /// Spreads symbols by their counts (-1: less than one) over the states.
    pub(super) fn build(&mut self, counts: &[i16], accuracy: u32) -> Result<(), Fault> {
        let bad = Fault::Corrupt("zstd table counts");
        let size = 1usize.wrapping_shl(accuracy);
        let states = self.states.get_mut(..size).ok_or(bad)?;
        let mask = size.wrapping_sub(1);
        let mut next = [0u16; MAX_SYMBOLS];
        let mut high = size;
        for (symbol, (count, next)) in (0u32..).zip(counts.iter().zip(next.iter_mut())) {
            *next = count.unsigned_abs();
            if *count == -1 {
                high = high.checked_sub(1).ok_or(bad)?;
                states.get_mut(high).ok_or(bad)?.symbol = symbol as u8;
            }
        }
        let step = (size >> 1).wrapping_add(size >> 3).wrapping_add(3);
        let mut place = 0usize;
        for (symbol, count) in (0u32..).zip(counts) {
            for _ in 0..(*count).max(0) {
                states.get_mut(place).ok_or(bad)?.symbol = symbol as u8;
                // The step is odd and the table a power of two: a free place comes within `size`.
                for _ in 0..size {
                    place = place.wrapping_add(step) & mask;
                    if place < high {
                        break;
                    }
                }
            }
        }
        if place != 0 {
            return Err(bad);
        }
        for state in states.iter_mut() {
            let next = next.get_mut(usize::from(state.symbol)).ok_or(bad)?;
            let bits = accuracy.wrapping_sub(next.checked_ilog2().ok_or(bad)?);
            state.bits = bits as u8;
            state.base = (next.wrapping_shl(bits)).wrapping_sub(size as u16);
            *next = next.wrapping_add(1);
        }
        self.accuracy = accuracy;
        self.ready = true;
        Ok(())
    }

    /// The first state, from the stream's first bits.
    #[inline(always)]
    pub(super) fn start(&self, bits: &mut Backward<'_>) -> usize {
        bits.take(self.accuracy) as usize
    }
}
