//! Sequences: literal length, match length and offset, each coded by its own table
//! (RFC 8878, section 3.1.1.3.2).

use super::super::{Fault, Input, copy_match};
use super::bits::Backward;
use super::copy_literals;
use super::fse::{STATES, State, Table};

const LITERAL_LENGTH: Kind = Kind {
    accuracy: 9,
    max_symbol: 35,
    default_accuracy: 6,
    default: &[
        4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1,
    ],
};
const OFFSET: Kind = Kind {
    accuracy: 8,
    max_symbol: 31,
    default_accuracy: 5,
    default: &[1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1],
};
const MATCH_LENGTH: Kind = Kind {
    accuracy: 9,
    max_symbol: 52,
    default_accuracy: 6,
    default: &[
        1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
    ],
};

/// Base value and number of extra bits of each literal length code; the rest is 0.
static LITERAL_LENGTHS: [(u32, u8); 64] = {
    let mut table = [(0, 0); 64];
    let bits = [1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
    fill(&mut table, 16, 0, &bits)
};

/// The same for match lengths, which begin at 3.
static MATCH_LENGTHS: [(u32, u8); 64] = {
    let mut table = [(0, 0); 64];
    let bits = [1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
    fill(&mut table, 32, 3, &bits)
};

/// `direct` codes of one value each from `first` on, then each covers what its extra bits reach.
#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "evaluated at compile time")]
const fn fill(table: &mut [(u32, u8); 64], direct: usize, first: u32, bits: &[u8]) -> [(u32, u8); 64] {
    let mut value = first;
    let mut code = 0;
    while code < direct + bits.len() {
        let extra = if code < direct { 0 } else { bits[code - direct] };
        table[code] = (value, extra);
        value += 1 << extra;
        code += 1;
    }
    *table
}

struct Kind {
    accuracy: u32,
    max_symbol: usize,
    default_accuracy: u32,
    default: &'static [i16],
}

/// What survives from one block of a frame to the next.
pub(super) struct Sequences {
    literal_lengths: Table,
    offsets: Table,
    match_lengths: Table,
    reps: [usize; 3],
}

impl Sequences {
    pub(super) fn new() -> Result<Self, Fault> {
        Ok(Sequences {
            literal_lengths: Table::new()?,
            offsets: Table::new()?,
            match_lengths: Table::new()?,
            reps: [1, 4, 8],
        })
    }

    /// A new frame begins.
    pub(super) fn reset(&mut self) {
        self.literal_lengths.forget();
        self.offsets.forget();
        self.match_lengths.forget();
        self.reps = [1, 4, 8];
    }

    /// Decodes a block's sequences section and copies literals and matches to `window[pos..]`.
    pub(super) fn run(
        &mut self,
        input: &mut Input<'_>,
        literals: &[u8],
        window: &mut [u8],
        pos: usize,
    ) -> Result<usize, Fault> {
        let count = match input.u8()? {
            first @ 0..128 => u32::from(first),
            255 => u32::from(input.u16()?).wrapping_add(0x7f00),
            first => (u32::from(first & 0x7f) << 8) | u32::from(input.u8()?),
        };
        if count == 0 {
            if !input.rest().is_empty() {
                return Err(Fault::Corrupt("zstd block size"));
            }
            return copy_literals(literals, 0, literals.len(), window, pos);
        }
        let modes = input.u8()?;
        if modes & 3 != 0 {
            return Err(Fault::Corrupt("zstd sequence modes"));
        }
        choose(&mut self.literal_lengths, modes >> 6, &LITERAL_LENGTH, input)?;
        choose(&mut self.offsets, (modes >> 4) & 3, &OFFSET, input)?;
        choose(&mut self.match_lengths, (modes >> 2) & 3, &MATCH_LENGTH, input)?;
        self.copy(input.rest(), count, literals, window, pos)
    }

    fn copy(
        &mut self,
        stream: &[u8],
        count: u32,
        literals: &[u8],
        window: &mut [u8],
        mut pos: usize,
    ) -> Result<usize, Fault> {
        let mut bits = Backward::new(stream)?;
        let (ll_states, of_states) = (self.literal_lengths.states()?, self.offsets.states()?);
        let ml_states = self.match_lengths.states()?;
        let mut ll_state = self.literal_lengths.start(&mut bits);
        let mut of_state = self.offsets.start(&mut bits);
        let mut ml_state = self.match_lengths.start(&mut bits);
        let [mut rep0, mut rep1, mut rep2] = self.reps;
        let mut used = 0usize;
        for left in (0..count).rev() {
            let (ll, of, ml) = (state(ll_states, ll_state), state(of_states, of_state), state(ml_states, ml_state));
            bits.refill();
            let of_code = u32::from(of.symbol & 31);
            let value = (1usize << of_code).wrapping_add(bits.take(of_code) as usize);
            let match_len = extended(&MATCH_LENGTHS, ml.symbol, &mut bits);
            bits.refill();
            let literal_len = extended(&LITERAL_LENGTHS, ll.symbol, &mut bits);
            let dist = if value > 3 {
                (rep2, rep1, rep0) = (rep1, rep0, value.wrapping_sub(3));
                rep0
            } else {
                match value.wrapping_sub(usize::from(literal_len != 0)) {
                    0 => {}
                    1 => (rep0, rep1) = (rep1, rep0),
                    2 => (rep0, rep1, rep2) = (rep2, rep0, rep1),
                    _ => (rep0, rep1, rep2) = (rep0.wrapping_sub(1), rep0, rep1),
                }
                rep0
            };
            if left > 0 {
                ll_state = next(ll, &mut bits);
                ml_state = next(ml, &mut bits);
                of_state = next(of, &mut bits);
            }
            pos = copy_literals(literals, used, literal_len, window, pos)?;
            used = used.wrapping_add(literal_len);
            pos = copy_match(window, pos, dist, match_len)?;
        }
        if bits.left() != 0 {
            return Err(Fault::Corrupt("zstd sequences"));
        }
        self.reps = [rep0, rep1, rep2];
        copy_literals(literals, used, literals.len().wrapping_sub(used), window, pos)
    }
}

/// Prepares a table as its two mode bits say.
fn choose(table: &mut Table, mode: u8, kind: &Kind, input: &mut Input<'_>) -> Result<(), Fault> {
    match mode {
        0 => table.build(kind.default, kind.default_accuracy),
        1 => {
            let symbol = input.u8()?;
            if usize::from(symbol) > kind.max_symbol {
                return Err(Fault::Corrupt("zstd sequence symbol"));
            }
            table.single(symbol);
            Ok(())
        }
        2 => {
            let len = table.read(input.rest(), kind.accuracy, kind.max_symbol)?;
            Ok(input.skip(len)?)
        }
        _ if table.ready() => Ok(()),
        _ => Err(Fault::Corrupt("zstd repeated table")),
    }
}

#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "masked to the array's length")]
fn state(states: &[State; STATES], index: usize) -> State {
    states[index & (STATES - 1)]
}

#[inline(always)]
fn next(state: State, bits: &mut Backward<'_>) -> usize {
    usize::from(state.base).wrapping_add(bits.take(u32::from(state.bits)) as usize)
}

#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "masked to the array's length")]
fn extended(table: &[(u32, u8); 64], code: u8, bits: &mut Backward<'_>) -> usize {
    let (base, extra) = table[usize::from(code & 63)];
    (base as usize).wrapping_add(bits.take(u32::from(extra)) as usize)
}
