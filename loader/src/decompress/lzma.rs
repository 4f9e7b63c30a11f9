//! The LZMA decoder that XZ (LZMA2) and LZMA-alone payloads share.
//!
//! The output buffer is the dictionary: a kernel is decompressed once, to one place, so nothing is
//! ever copied from a window to its destination and no dictionary is allocated. The only heap
//! memory is the 35 KiB of adaptive probabilities.
//!
//! Written from the LZMA specification (Igor Pavlov, public domain) and the XZ file format
//! specification.

use super::Fault;
use alloc::vec::Vec;

const PROB_INIT: u16 = 1 << 10;
const PROB_BITS: u32 = 11;
const PROB_MOVE: u32 = 5;
const RANGE_TOP: u32 = 1 << 24;
const MATCH_MIN: usize = 2;

// One flat table of probabilities. Each region has a power-of-two size, so that an index masked to
// its region is provably inside the table and costs no bounds check.
const LITERAL: usize = 0;
const LITERAL_SIZE: usize = 16 << 10;
const IS_MATCH: usize = LITERAL + LITERAL_SIZE;
const IS_MATCH_SIZE: usize = 256;
const IS_REP0_LONG: usize = IS_MATCH + IS_MATCH_SIZE;
const IS_REP0_LONG_SIZE: usize = 256;
const IS_REP: usize = IS_REP0_LONG + IS_REP0_LONG_SIZE;
const IS_REP0: usize = IS_REP + 16;
const IS_REP1: usize = IS_REP0 + 16;
const IS_REP2: usize = IS_REP1 + 16;
const DIST_SLOT: usize = IS_REP2 + 16;
const DIST_SLOT_SIZE: usize = 4 * 64;
const DIST_SPECIAL: usize = DIST_SLOT + DIST_SLOT_SIZE;
const DIST_SPECIAL_SIZE: usize = 128;
const DIST_ALIGN: usize = DIST_SPECIAL + DIST_SPECIAL_SIZE;
const DIST_ALIGN_SIZE: usize = 16;
const MATCH_LEN: usize = DIST_ALIGN + DIST_ALIGN_SIZE;
const REP_LEN: usize = MATCH_LEN + LEN_SIZE;
const TABLE: usize = REP_LEN + LEN_SIZE;

// Inside a length coder's region.
const LEN_CHOICE: usize = 0;
const LEN_LOW: usize = 16;
const LEN_MID: usize = LEN_LOW + 128;
const LEN_HIGH: usize = LEN_MID + 128;
const LEN_SIZE: usize = LEN_HIGH + 256;

/// `lc`, `lp` and `pb` of a stream, from its properties byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Props {
    lc: u32,
    lp_mask: usize,
    pb_mask: usize,
}

impl Props {
    /// Decodes `(pb * 5 + lp) * 9 + lc`. As XZ does, refuses `lc + lp > 4`: LZMA2 forbids it and no
    /// kernel build asks for it in LZMA-alone.
    pub(super) fn from_byte(byte: u8) -> Result<Self, Fault> {
        let byte = u32::from(byte);
        let (lc, rest) = (byte % 9, byte / 9);
        let (lp, pb) = (rest % 5, rest / 5);
        if pb > 4 || lc.wrapping_add(lp) > 4 {
            return Err(Fault::Corrupt("LZMA properties"));
        }
        Ok(Props { lc, lp_mask: (1usize << lp).wrapping_sub(1), pb_mask: (1usize << pb).wrapping_sub(1) })
    }
}

/// The range decoder over one chunk of input. Reading past the end yields zeros and is noticed by
/// [`Range::finish`]: every symbol makes output, and output is bounded, so it cannot run away.
#[derive(Clone, Copy)]
struct Range<'a> {
    input: &'a [u8],
    pos: usize,
    range: u32,
    code: u32,
}

impl<'a> Range<'a> {
    fn new(input: &'a [u8]) -> Result<Self, Fault> {
        let Some(([first, code @ ..], _)) = input.split_first_chunk::<5>() else {
            return Err(Fault::Truncated);
        };
        if *first != 0 {
            return Err(Fault::Corrupt("LZMA range coder start"));
        }
        Ok(Range { input, pos: 5, range: u32::MAX, code: u32::from_be_bytes(*code) })
    }

    #[inline(always)]
    fn normalize(&mut self) {
        if self.range < RANGE_TOP {
            let byte = self.input.get(self.pos).copied().unwrap_or(0);
            self.pos = self.pos.wrapping_add(1);
            self.range <<= 8;
            self.code = (self.code << 8) | u32::from(byte);
        }
    }

    #[inline(always)]
    fn bit(&mut self, prob: &mut u16) -> bool {
        self.normalize();
        let p = *prob;
        let bound = (self.range >> PROB_BITS).wrapping_mul(u32::from(p));
        if self.code < bound {
            self.range = bound;
            *prob = p.wrapping_add((1u16 << PROB_BITS).wrapping_sub(p) >> PROB_MOVE);
            false
        } else {
            self.range = self.range.wrapping_sub(bound);
            self.code = self.code.wrapping_sub(bound);
            *prob = p.wrapping_sub(p >> PROB_MOVE);
            true
        }
    }

    /// `count` bits of fixed probability, most significant first.
    #[inline(always)]
    fn direct(&mut self, count: u32) -> u32 {
        let mut value = 0u32;
        for _ in 0..count {
            self.normalize();
            self.range >>= 1;
            let below = self.code.wrapping_sub(self.range);
            let borrow = below >> 31; // 1: the bit is 0
            self.code = below.wrapping_add(self.range & 0u32.wrapping_sub(borrow));
            value = (value << 1) | (borrow ^ 1);
        }
        value
    }

    /// What was consumed. The last normalisation is still due.
    fn finish(&mut self) -> Result<usize, Fault> {
        self.normalize();
        if self.pos > self.input.len() {
            return Err(Fault::Truncated);
        }
        Ok(self.pos)
    }
}

/// How a run of [`Decoder::run`] may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// Exactly when the window is full.
    Full,
    /// At an end marker, which must come no later than the window is full.
    Marker,
}

/// Decoder state that survives from one LZMA2 chunk to the next.
pub(super) struct Decoder {
    probs: Vec<u16>,
    props: Props,
    state: usize,
    reps: [u32; 4],
}

impl Decoder {
    /// Allocates the probabilities; everything else needs [`Decoder::reset`] first.
    pub(super) fn new(props: Props) -> Result<Self, Fault> {
        let mut probs = Vec::new();
        probs.try_reserve_exact(TABLE).map_err(|_| Fault::OutOfMemory)?;
        probs.resize(TABLE, PROB_INIT);
        Ok(Decoder { probs, props, state: 0, reps: [0; 4] })
    }

    /// Back to the initial state, with new properties.
    pub(super) fn reset(&mut self, props: Props) {
        self.probs.fill(PROB_INIT);
        self.props = props;
        self.state = 0;
        self.reps = [0; 4];
    }

    /// The current properties.
    pub(super) fn props(&self) -> Props {
        self.props
    }

    /// Decodes `input` into `window[pos..]`. What stands before `pos` is the dictionary. Returns
    /// the new position and how much input was consumed.
    pub(super) fn run(
        &mut self,
        input: &[u8],
        window: &mut [u8],
        mut pos: usize,
        until: Until,
    ) -> Result<(usize, usize), Fault> {
        let mut rc = Range::new(input)?;
        let Ok(probs) = <&mut [u16; TABLE]>::try_from(self.probs.as_mut_slice()) else {
            return Err(Fault::OutOfMemory);
        };
        let Props { lc, lp_mask, pb_mask } = self.props;
        let mut state = self.state & 15;
        let [mut rep0, mut rep1, mut rep2, mut rep3] = self.reps;
        loop {
            if pos >= window.len() && until == Until::Full {
                break;
            }
            let pos_state = pos & pb_mask & 15;
            let row = (state << 4) | pos_state;
            if !rc.bit(prob::<IS_MATCH, IS_MATCH_SIZE>(probs, row)) {
                let previous = pos.checked_sub(1).and_then(|at| window.get(at)).copied().unwrap_or(0);
                let context = ((pos & lp_mask) << lc) | (usize::from(previous) >> 8u32.wrapping_sub(lc));
                let base = context << 10;
                let symbol = if state < 7 {
                    literal(&mut rc, probs, base)
                } else {
                    let like = back(window, pos, rep0).ok_or(Fault::Corrupt("LZMA distance"))?;
                    literal_like(&mut rc, probs, base, like)
                };
                let Some(slot) = window.get_mut(pos) else {
                    return Err(Fault::TooLong);
                };
                *slot = symbol;
                pos = pos.wrapping_add(1);
                state = match state {
                    0..=3 => 0,
                    4..=9 => state.wrapping_sub(3),
                    _ => state.wrapping_sub(6),
                };
                continue;
            }
            let len;
            if !rc.bit(prob::<IS_REP, 16>(probs, state)) {
                (rep3, rep2, rep1) = (rep2, rep1, rep0);
                len = length::<MATCH_LEN>(&mut rc, probs, pos_state);
                state = if state < 7 { 7 } else { 10 };
                rep0 = distance(&mut rc, probs, len);
                if rep0 == u32::MAX {
                    if until == Until::Full {
                        return Err(Fault::TooShort);
                    }
                    break;
                }
            } else {
                if !rc.bit(prob::<IS_REP0, 16>(probs, state)) {
                    if !rc.bit(prob::<IS_REP0_LONG, IS_REP0_LONG_SIZE>(probs, row)) {
                        let byte = back(window, pos, rep0).ok_or(Fault::Corrupt("LZMA distance"))?;
                        let Some(slot) = window.get_mut(pos) else {
                            return Err(Fault::TooLong);
                        };
                        *slot = byte;
                        pos = pos.wrapping_add(1);
                        state = if state < 7 { 9 } else { 11 };
                        continue;
                    }
                } else if !rc.bit(prob::<IS_REP1, 16>(probs, state)) {
                    (rep0, rep1) = (rep1, rep0);
                } else if !rc.bit(prob::<IS_REP2, 16>(probs, state)) {
                    (rep0, rep1, rep2) = (rep2, rep0, rep1);
                } else {
                    (rep0, rep1, rep2, rep3) = (rep3, rep0, rep1, rep2);
                }
                len = length::<REP_LEN>(&mut rc, probs, pos_state);
                state = if state < 7 { 8 } else { 11 };
            }
            let dist = (rep0 as usize).wrapping_add(1);
            pos = super::copy_match(window, pos, dist, len)?;
        }
        self.state = state;
        self.reps = [rep0, rep1, rep2, rep3];
        let consumed = rc.finish()?;
        Ok((pos, consumed))
    }
}

/// The probability `index` of the region of `SIZE` (a power of two) that begins at `BASE`.
#[inline(always)]
#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "BASE + SIZE <= TABLE, checked at compile time"
)]
fn prob<const BASE: usize, const SIZE: usize>(probs: &mut [u16; TABLE], index: usize) -> &mut u16 {
    const { assert!(SIZE.is_power_of_two() && BASE + SIZE <= TABLE) };
    &mut probs[BASE + (index & (SIZE - 1))]
}

#[inline(always)]
fn back(window: &[u8], pos: usize, rep: u32) -> Option<u8> {
    let at = pos.checked_sub((rep as usize).wrapping_add(1))?;
    window.get(at).copied()
}

#[inline(always)]
fn literal(rc: &mut Range<'_>, probs: &mut [u16; TABLE], base: usize) -> u8 {
    let mut symbol = 1usize;
    while symbol < 0x100 {
        let bit = rc.bit(prob::<LITERAL, LITERAL_SIZE>(probs, base | symbol));
        symbol = (symbol << 1) | usize::from(bit);
    }
    (symbol & 0xff) as u8
}

/// A literal after a match, coded relative to the byte that stands at the last distance.
#[inline(always)]
fn literal_like(rc: &mut Range<'_>, probs: &mut [u16; TABLE], base: usize, like: u8) -> u8 {
    let mut like = usize::from(like) << 1;
    let mut offset = 0x100usize;
    let mut symbol = 1usize;
    while symbol < 0x100 {
        let like_bit = like & offset;
        like <<= 1;
        let index = base | offset.wrapping_add(like_bit).wrapping_add(symbol);
        if rc.bit(prob::<LITERAL, LITERAL_SIZE>(probs, index)) {
            symbol = (symbol << 1) | 1;
            offset &= like_bit;
        } else {
            symbol <<= 1;
            offset &= !like_bit;
        }
    }
    (symbol & 0xff) as u8
}

/// A bit tree of `bits` levels at `base` inside a region.
#[inline(always)]
fn tree<const BASE: usize, const SIZE: usize>(
    rc: &mut Range<'_>,
    probs: &mut [u16; TABLE],
    base: usize,
    limit: usize,
) -> usize {
    let mut symbol = 1usize;
    while symbol < limit {
        let bit = rc.bit(prob::<BASE, SIZE>(probs, base | symbol));
        symbol = (symbol << 1) | usize::from(bit);
    }
    symbol.wrapping_sub(limit)
}

#[inline(always)]
fn length<const BASE: usize>(rc: &mut Range<'_>, probs: &mut [u16; TABLE], pos_state: usize) -> usize {
    // Stable Rust cannot compute with a const parameter: choose between the two coders instead.
    if BASE == MATCH_LEN {
        length_at::<
            { MATCH_LEN + LEN_CHOICE },
            { MATCH_LEN + LEN_LOW },
            { MATCH_LEN + LEN_MID },
            { MATCH_LEN + LEN_HIGH },
        >(rc, probs, pos_state)
    } else {
        length_at::<{ REP_LEN + LEN_CHOICE }, { REP_LEN + LEN_LOW }, { REP_LEN + LEN_MID }, { REP_LEN + LEN_HIGH }>(
            rc, probs, pos_state,
        )
    }
}

#[inline(always)]
fn length_at<const CHOICE: usize, const LOW: usize, const MID: usize, const HIGH: usize>(
    rc: &mut Range<'_>,
    probs: &mut [u16; TABLE],
    pos_state: usize,
) -> usize {
    let base = pos_state << 3;
    let (symbol, from) = if !rc.bit(prob::<CHOICE, 16>(probs, 0)) {
        (tree::<LOW, 128>(rc, probs, base, 8), 0)
    } else if !rc.bit(prob::<CHOICE, 16>(probs, 1)) {
        (tree::<MID, 128>(rc, probs, base, 8), 8)
    } else {
        (tree::<HIGH, 256>(rc, probs, 0, 256), 16)
    };
    symbol.wrapping_add(from).wrapping_add(MATCH_MIN)
}

/// A distance minus one; `u32::MAX` is the end marker.
#[inline(always)]
fn distance(rc: &mut Range<'_>, probs: &mut [u16; TABLE], len: usize) -> u32 {
    let dist_state = len.wrapping_sub(MATCH_MIN).min(3);
    let slot = tree::<DIST_SLOT, DIST_SLOT_SIZE>(rc, probs, dist_state << 6, 64) as u32;
    if slot < 4 {
        return slot;
    }
    let bits = (slot >> 1).wrapping_sub(1);
    let high = (2 | (slot & 1)).wrapping_shl(bits);
    if slot < 14 {
        let base = (high.wrapping_sub(slot)) as usize;
        let mut symbol = 1usize;
        let mut low = 0u32;
        for i in 0..bits {
            let index = base.wrapping_add(symbol);
            let bit = rc.bit(prob::<DIST_SPECIAL, DIST_SPECIAL_SIZE>(probs, index));
            symbol = (symbol << 1) | usize::from(bit);
            low |= u32::from(bit) << i;
        }
        return high.wrapping_add(low);
    }
    let middle = rc.direct(bits.wrapping_sub(4)) << 4;
    let mut symbol = 1usize;
    let mut low = 0u32;
    for i in 0..4 {
        let bit = rc.bit(prob::<DIST_ALIGN, DIST_ALIGN_SIZE>(probs, symbol));
        symbol = (symbol << 1) | usize::from(bit);
        low |= u32::from(bit) << i;
    }
    high.wrapping_add(middle).wrapping_add(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_outside_lzma2_are_refused() {
        assert_eq!(Props::from_byte(0x5d), Ok(Props { lc: 3, lp_mask: 0, pb_mask: 3 }));
        assert_eq!(Props::from_byte(225), Err(Fault::Corrupt("LZMA properties")));
        assert_eq!(Props::from_byte(8), Err(Fault::Corrupt("LZMA properties")), "lc 8");
        assert_eq!(Props::from_byte(0x5d + 18), Err(Fault::Corrupt("LZMA properties")), "lc 3 + lp 2");
    }

    #[test]
    fn a_range_coder_must_start_with_zero() {
        assert!(matches!(Range::new(&[1, 0, 0, 0, 0]), Err(Fault::Corrupt(_))));
        assert!(matches!(Range::new(&[0, 0, 0, 0]), Err(Fault::Truncated)));
    }
}
