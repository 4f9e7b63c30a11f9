//! Registers by decoder name, and addresses of memory operands.

use super::Mode;
use super::segment::SegmentName;
use crate::pv::Regs;
use iced_x86::{Instruction, OpKind, Register};

/// A 64-bit register and the part of it that a name means.
#[derive(Clone, Copy)]
struct Part {
    shift: u32,
    bytes: u8,
}

macro_rules! registers {
    ($regs:expr, $name:expr, $(($field:ident: $b:ident $(, $h:ident)?; $w:ident, $d:ident, $q:ident))*) => {
        match $name {
            $(
                Register::$b => Some((&mut $regs.$field, Part { shift: 0, bytes: 1 })),
                $(Register::$h => Some((&mut $regs.$field, Part { shift: 8, bytes: 1 })),)?
                Register::$w => Some((&mut $regs.$field, Part { shift: 0, bytes: 2 })),
                Register::$d => Some((&mut $regs.$field, Part { shift: 0, bytes: 4 })),
                Register::$q => Some((&mut $regs.$field, Part { shift: 0, bytes: 8 })),
            )*
            _ => None,
        }
    };
}

fn part(regs: &mut Regs, name: Register) -> Option<(&mut u64, Part)> {
    registers!(regs, name,
        (rax: AL, AH; AX, EAX, RAX) (rcx: CL, CH; CX, ECX, RCX) (rdx: DL, DH; DX, EDX, RDX) (rbx: BL, BH; BX, EBX, RBX)
        (rsp: SPL; SP, ESP, RSP) (rbp: BPL; BP, EBP, RBP) (rsi: SIL; SI, ESI, RSI) (rdi: DIL; DI, EDI, RDI)
        (r8: R8L; R8W, R8D, R8) (r9: R9L; R9W, R9D, R9) (r10: R10L; R10W, R10D, R10) (r11: R11L; R11W, R11D, R11)
        (r12: R12L; R12W, R12D, R12) (r13: R13L; R13W, R13D, R13) (r14: R14L; R14W, R14D, R14)
        (r15: R15L; R15W, R15D, R15))
}

/// All ones in `bytes` bytes (1 to 8).
pub(super) fn mask(bytes: u8) -> u64 {
    u64::MAX.checked_shr(64u32.saturating_sub(8 * u32::from(bytes))).unwrap_or(0)
}

/// A general register's value and width in bytes. `None`: not a general register.
pub(super) fn read(regs: &Regs, name: Register) -> Option<(u64, u8)> {
    let mut copy = *regs;
    let (cell, Part { shift, bytes }) = part(&mut copy, name)?;
    Some((*cell >> shift & mask(bytes), bytes))
}

/// Writes a general register as an instruction would: 32 bits clear the upper half, 8 and 16 leave the rest alone.
pub(super) fn write(regs: &mut Regs, name: Register, value: u64) -> Option<()> {
    let (cell, Part { shift, bytes }) = part(regs, name)?;
    *cell = match bytes {
        4 => value & 0xffff_ffff,
        _ => *cell & !(mask(bytes) << shift) | (value & mask(bytes)) << shift,
    };
    Some(())
}

/// The segment register that a decoder name means.
pub(super) fn segment_name(name: Register) -> Option<SegmentName> {
    Some(match name {
        Register::ES => SegmentName::Es,
        Register::CS => SegmentName::Cs,
        Register::SS => SegmentName::Ss,
        Register::DS => SegmentName::Ds,
        Register::FS => SegmentName::Fs,
        Register::GS => SegmentName::Gs,
        _ => return None,
    })
}

/// The accumulator of a width.
pub(super) fn accumulator(bytes: u8) -> Register {
    match bytes {
        1 => Register::AL,
        2 => Register::AX,
        4 => Register::EAX,
        _ => Register::RAX,
    }
}

/// An offset inside a segment, and the width of addresses by which it was formed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Offset {
    pub value: u64,
    pub address_bytes: u8,
}

impl Offset {
    /// Further on by `by` (wraps in the address width).
    pub fn plus(self, by: u64) -> Offset {
        Offset { value: self.value.wrapping_add(by) & mask(self.address_bytes), ..self }
    }
}

/// The offset of memory operand `operand` inside its segment. `None`: not a memory operand, or a vector index.
pub(super) fn offset(regs: &Regs, mode: Mode, instruction: &Instruction, operand: u32) -> Option<Offset> {
    let value = instruction.virtual_address(operand, 0, |register, _, _| match segment_name(register) {
        Some(_) => Some(0),
        None => read(regs, register).map(|(value, _)| value),
    })?;
    let width = |register| match register {
        Register::None => None,
        Register::RIP => Some(8),
        Register::EIP => Some(4),
        other => read(regs, other).map(|(_, bytes)| bytes),
    };
    let address_bytes = width(instruction.memory_base()).or(width(instruction.memory_index())).unwrap_or(
        match (instruction.memory_displ_size(), mode) {
            (2, _) => 2,
            (4, _) => 4,
            (8, _) => 8,
            (_, Mode::Bits64) => 8,
            (_, Mode::Bits32) => 4,
            (_, Mode::Bits16) => 2,
        },
    );
    Some(Offset { value, address_bytes })
}

/// The index register of a string operand (SI or DI in its width).
pub(super) fn string_index(kind: OpKind) -> Option<Register> {
    Some(match kind {
        OpKind::MemorySegSI => Register::SI,
        OpKind::MemorySegESI => Register::ESI,
        OpKind::MemorySegRSI => Register::RSI,
        OpKind::MemoryESDI => Register::DI,
        OpKind::MemoryESEDI => Register::EDI,
        OpKind::MemoryESRDI => Register::RDI,
        _ => return None,
    })
}

/// The count register of a repeated string instruction with this index register.
pub(super) fn count_register(index: Register) -> Register {
    match index {
        Register::SI | Register::DI => Register::CX,
        Register::ESI | Register::EDI => Register::ECX,
        _ => Register::RCX,
    }
}
