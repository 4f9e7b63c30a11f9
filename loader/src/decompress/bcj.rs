//! The x86 branch filter of XZ, undone in place over a whole block.
//!
//! The encoder turned the relative operands of `call` (E8) and `jmp` (E9) into absolute ones. Which
//! operands it touched depends on opcode bytes among the last three positions, kept here as a
//! three-bit history. Fact source: the public-domain filter of the LZMA SDK.

/// How many bytes back the nearest suspect stands, for each history.
const SUSPECT: [u32; 8] = [0, 1, 2, 2, 3, 3, 3, 3];

/// Undoes the filter on `data`, whose first byte had the position `start`.
pub(super) fn x86(data: &mut [u8], start: u32) {
    // An operand needs four bytes behind its opcode.
    let Some(end) = data.len().checked_sub(4) else {
        return;
    };
    let mut last: Option<usize> = None;
    let mut history = 0u32;
    let mut at = 0usize;
    while let Some(here) = next_opcode(data, at, end) {
        at = here.wrapping_add(1);
        let gap = last.map_or(4, |last| here.wrapping_sub(last));
        last = Some(here);
        history = if gap > 3 { 0 } else { (history << gap.wrapping_sub(1)) & 7 };
        let Some(operand) = data.get_mut(at..).and_then(|tail| tail.first_chunk_mut::<4>()) else {
            return;
        };
        let back = SUSPECT.get(history as usize).copied().unwrap_or(0);
        if history != 0 {
            let judged = operand.get(3usize.wrapping_sub(back as usize)).copied().unwrap_or(0);
            if matches!(history, 3 | 5 | 6 | 7) || is_sign(judged) {
                history = (history << 1) | 1;
                continue;
            }
        }
        if !is_sign(operand[3]) {
            history = (history << 1) | 1;
            continue;
        }
        let base = start.wrapping_add(here as u32).wrapping_add(5);
        let mut value = u32::from_le_bytes(*operand).wrapping_sub(base);
        if history != 0 {
            // Undo once more while the byte in front of the suspect could be a sign: the encoder
            // did so too. Each round flips the low bits; the value settles within two.
            let shift = back.wrapping_mul(8);
            let low = u32::MAX.wrapping_shr(shift);
            for _ in 0..4 {
                if !is_sign((value >> 24u32.wrapping_sub(shift)).to_le_bytes()[0]) {
                    break;
                }
                value = (value ^ low).wrapping_sub(base);
            }
        }
        // Bit 24 is the sign.
        value &= 0x01ff_ffff;
        value |= 0u32.wrapping_sub(value & 0x0100_0000);
        *operand = value.to_le_bytes();
        at = at.wrapping_add(4);
    }
}

/// Whether a byte can be the highest of a relative operand: the filter only handles ±16 MiB.
fn is_sign(byte: u8) -> bool {
    byte == 0 || byte == 0xff
}

/// The first E8 or E9 in `data[from..end]`.
#[inline(always)]
fn next_opcode(data: &[u8], mut from: usize, end: usize) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let mut tail = data.get(from..end)?;
    while let Some((word, rest)) = tail.split_first_chunk::<8>() {
        // A byte becomes zero exactly if it was E8 or E9; the lowest zero byte is found exactly.
        let odd = (u64::from_le_bytes(*word) | ONES) ^ (ONES.wrapping_mul(0xe9));
        let zeros = odd.wrapping_sub(ONES) & !odd & HIGHS;
        if zeros != 0 {
            return Some(from.wrapping_add((zeros.trailing_zeros() >> 3) as usize));
        }
        from = from.wrapping_add(8);
        tail = rest;
    }
    tail.iter().position(|byte| byte & 0xfe == 0xe8).map(|offset| from.wrapping_add(offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_call_becomes_relative() {
        let mut code = [0x90, 0xe8, 0x06, 0x01, 0, 0, 0x90, 0x90];
        x86(&mut code, 0);
        assert_eq!(code, [0x90, 0xe8, 0x00, 0x01, 0, 0, 0x90, 0x90]);
    }

    #[test]
    fn the_last_four_bytes_and_short_blocks_stay() {
        for len in 0..5usize {
            let mut code = [0xe8u8; 8];
            x86(&mut code[..len], 0);
            assert_eq!(code, [0xe8; 8]);
        }
        let mut code = [0, 0, 0, 0xe8, 0, 0, 0];
        x86(&mut code, 0);
        assert_eq!(code, [0, 0, 0, 0xe8, 0, 0, 0]);
    }
}
