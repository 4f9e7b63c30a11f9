//! Results and flags of the integer instructions that read, change and write memory.

use super::operand::mask;

/// RFLAGS.CF.
pub const CF: u64 = 1 << 0;
/// RFLAGS.PF.
pub const PF: u64 = 1 << 2;
/// RFLAGS.AF.
pub const AF: u64 = 1 << 4;
/// RFLAGS.ZF.
pub const ZF: u64 = 1 << 6;
/// RFLAGS.SF.
pub const SF: u64 = 1 << 7;
/// RFLAGS.OF.
pub const OF: u64 = 1 << 11;
/// All of them.
pub const ARITHMETIC: u64 = CF | PF | AF | ZF | SF | OF;

/// A value and the arithmetic flags that belong to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Result {
    pub value: u64,
    pub flags: u64,
}

fn when(condition: bool, flag: u64) -> u64 {
    if condition { flag } else { 0 }
}

fn sign(value: u64, bytes: u8) -> bool {
    value >> (8 * u32::from(bytes)).saturating_sub(1) & 1 != 0
}

/// SF, ZF and PF of a result.
fn of_result(value: u64, bytes: u8) -> u64 {
    when(value == 0, ZF) | when(sign(value, bytes), SF) | when((value & 0xff).count_ones().is_multiple_of(2), PF)
}

/// `a + b + carry`; operands already cut to `bytes` bytes.
pub fn add(a: u64, b: u64, carry: bool, bytes: u8) -> Result {
    let wide = u128::from(a) + u128::from(b) + u128::from(carry);
    let value = wide as u64 & mask(bytes);
    let flags = of_result(value, bytes)
        | when(wide > u128::from(mask(bytes)), CF)
        | when((a ^ b ^ value) & 0x10 != 0, AF)
        | when(sign((a ^ value) & (b ^ value), bytes), OF);
    Result { value, flags }
}

/// `a - b - borrow`.
pub fn sub(a: u64, b: u64, borrow: bool, bytes: u8) -> Result {
    let value = a.wrapping_sub(b).wrapping_sub(u64::from(borrow)) & mask(bytes);
    let flags = of_result(value, bytes)
        | when(u128::from(a) < u128::from(b) + u128::from(borrow), CF)
        | when((a ^ b ^ value) & 0x10 != 0, AF)
        | when(sign((a ^ b) & (a ^ value), bytes), OF);
    Result { value, flags }
}

/// AND, OR and XOR clear CF and OF (and AF, which the manuals leave open).
pub fn logic(value: u64, bytes: u8) -> Result {
    Result { value, flags: of_result(value, bytes) }
}
