//! A store that the guest's tables refused: to one of its page tables (writable page tables) or to a read-only MMIO
//! range. Decoded to a [`Store`], which says for a current value what the memory and the registers become, so that
//! the caller can validate and compare-exchange, and try again when it lost a race.

use super::arith::{self, ARITHMETIC, CF, PF, ZF};
use super::operand::{self, mask};
use super::segment::SegmentName;
use super::{Mode, RFLAGS_DF, RFLAGS_TF, retire};
use crate::addr::Vaddr;
use crate::pv::Regs;
use iced_x86::{Code, Decoder, DecoderError, DecoderOptions, Instruction, MemorySize, Mnemonic, OpKind, Register};

/// Why an instruction is not emulated as a store. The guest gets its page fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// More bytes are needed than could be read.
    Fetch,
    /// Not an instruction that is emulated.
    NotAStore,
    /// It does not write where the fault was.
    Elsewhere,
    /// The operand is not aligned to its width.
    Unaligned,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// MOV, SETcc, STOS: the value does not depend on memory.
    Put(u64),
    /// MOVS: the value is read from `Store::source`.
    Copy,
    /// XCHG with this register.
    Exchange(Register),
    Add(u64),
    Adc(u64),
    Sub(u64),
    Sbb(u64),
    And(u64),
    Or(u64),
    Xor(u64),
    Inc,
    Dec,
    Not,
    Neg,
    /// XADD with this register.
    ExchangeAdd(Register),
    /// CMPXCHG: writes this value if memory holds the accumulator.
    CompareExchange(u64),
    /// CMPXCHG8B and CMPXCHG16B.
    ComparePair,
    BitSet(u32),
    BitReset(u32),
    BitComplement(u32),
}

/// What a string instruction does beside its store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Strings {
    index: Register,
    repeated: bool,
    moves_source: bool,
}

/// One decoded store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Store {
    /// Where it writes; aligned to `width`.
    pub at: Vaddr,
    /// Bytes: 1, 2, 4, 8 or 16.
    pub width: u8,
    /// MOVS: where its value comes from (`width` bytes, any alignment). The caller copies it from the guest once.
    pub source: Option<Vaddr>,
    kind: Kind,
    strings: Option<Strings>,
    len: usize,
    regs: Regs,
}

/// What a store does when memory holds a certain value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// What memory becomes; `None`: nothing is written (a compare that failed).
    pub new: Option<u128>,
    /// All registers after the instruction: to be taken over once the write has happened.
    pub regs: Regs,
    /// TF was set: the guest gets #DB.
    pub single_step: bool,
}

/// The same for the 8-byte page-table entry that holds the stored bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryStep {
    /// What the entry becomes.
    pub new: Option<u64>,
    /// All registers after the instruction.
    pub regs: Regs,
    /// TF was set: the guest gets #DB.
    pub single_step: bool,
}

impl Store {
    /// Decodes the instruction at RIP as a store that covers `fault`. `code`: the bytes at RIP, as many as could be
    /// read, at most 15. `base` gives the base of FS or GS. Only 64-bit code is emulated: the kernel of a 64-bit guest.
    ///
    /// Of a repeated string instruction one iteration is done, after which RIP stands on it again unless it was the
    /// last one.
    pub fn decode(
        regs: &Regs,
        code: &[u8],
        fault: Vaddr,
        mut base: impl FnMut(SegmentName) -> u64,
    ) -> Result<Store, Refused> {
        let mut decoder = Decoder::with_ip(64, code, regs.rip, DecoderOptions::NONE);
        let mut instruction = Instruction::default();
        decoder.decode_out(&mut instruction);
        match decoder.last_error() {
            DecoderError::None => {}
            DecoderError::NoMoreBytes => return Err(Refused::Fetch),
            _ => return Err(Refused::NotAStore),
        }
        let mut linear = |name: Register, offset: u64| {
            Vaddr(match operand::segment_name(name) {
                Some(name @ (SegmentName::Fs | SegmentName::Gs)) => base(name).wrapping_add(offset),
                _ => offset,
            })
        };
        let mut store = Store {
            at: Vaddr(0),
            width: 0,
            source: None,
            kind: Kind::Copy,
            strings: None,
            len: instruction.len(),
            regs: *regs,
        };
        match instruction.mnemonic() {
            Mnemonic::Stosb | Mnemonic::Stosw | Mnemonic::Stosd | Mnemonic::Stosq => {
                store.width = string_width(instruction.mnemonic());
                let index = operand::string_index(instruction.op0_kind()).ok_or(Refused::NotAStore)?;
                store.at = Vaddr(operand::read(regs, index).ok_or(Refused::NotAStore)?.0);
                store.kind = Kind::Put(regs.rax & mask(store.width));
                store.strings = Some(Strings { index, repeated: repeated(&instruction), moves_source: false });
            }
            // The vector instruction of the same name has another code.
            Mnemonic::Movsb | Mnemonic::Movsw | Mnemonic::Movsd | Mnemonic::Movsq => {
                let known = [Code::Movsb_m8_m8, Code::Movsw_m16_m16, Code::Movsd_m32_m32, Code::Movsq_m64_m64];
                if !known.contains(&instruction.code()) {
                    return Err(Refused::NotAStore);
                }
                store.width = string_width(instruction.mnemonic());
                let index = operand::string_index(instruction.op0_kind()).ok_or(Refused::NotAStore)?;
                store.at = Vaddr(operand::read(regs, index).ok_or(Refused::NotAStore)?.0);
                let from = operand::string_index(instruction.op1_kind()).ok_or(Refused::NotAStore)?;
                let from = operand::read(regs, from).ok_or(Refused::NotAStore)?.0;
                store.source = Some(linear(instruction.memory_segment(), from));
                store.strings = Some(Strings { index, repeated: repeated(&instruction), moves_source: true });
            }
            _ => {
                let (kind, width, extra) = ordinary(regs, &instruction).ok_or(Refused::NotAStore)?;
                let offset =
                    operand::offset(regs, Mode::Bits64, &instruction, 0).ok_or(Refused::NotAStore)?.plus(extra);
                (store.kind, store.width) = (kind, width);
                store.at = linear(instruction.memory_segment(), offset.value);
            }
        }
        if store.strings.is_some_and(|strings| strings.repeated && count(regs, strings) == Some(0)) {
            return Err(Refused::Elsewhere);
        }
        if fault.0.wrapping_sub(store.at.0) >= u64::from(store.width) {
            return Err(Refused::Elsewhere);
        }
        if store.at.0 & u64::from(store.width).wrapping_sub(1) != 0 {
            return Err(Refused::Unaligned);
        }
        Ok(store)
    }

    /// Whether what is written depends on what memory holds. Stores of which this is false may go to memory that
    /// cannot be read first (MMIO).
    pub fn needs_current(&self) -> bool {
        !matches!(self.kind, Kind::Put(_) | Kind::Copy)
    }

    /// What happens when memory holds `current` (its `width` bytes); `source` is what was read at `Store::source`.
    pub fn step(&self, current: u128, source: u64) -> Step {
        let mut regs = self.regs;
        let new = match self.kind {
            Kind::ComparePair => self.compare_pair(&mut regs, current),
            kind => self.compute(&mut regs, kind, current as u64 & mask(self.width), source).map(u128::from),
        };
        let single_step = match self.strings {
            Some(strings) => self.advance(&mut regs, strings),
            None => retire(&mut regs, Mode::Bits64, self.len),
        };
        Step { new, regs, single_step }
    }

    /// The 8-byte entry that holds the stored bytes.
    pub fn entry_at(&self) -> Vaddr {
        Vaddr(self.at.0 & !7)
    }

    /// What happens when that entry is `entry`. `None`: the store is wider than an entry.
    pub fn on_entry(&self, entry: u64, source: u64) -> Option<EntryStep> {
        if self.width > 8 {
            return None;
        }
        let shift = 8 * (self.at.0 & 7) as u32;
        let step = self.step(u128::from(entry >> shift), source);
        let new = step.new.map(|new| entry & !(mask(self.width) << shift) | (new as u64 & mask(self.width)) << shift);
        Some(EntryStep { new, regs: step.regs, single_step: step.single_step })
    }

    /// Whether it replaces a whole entry whatever it was: it can be written without comparing.
    pub fn replaces_entry(&self) -> bool {
        self.width == 8 && !self.needs_current()
    }

    fn compute(&self, regs: &mut Regs, kind: Kind, old: u64, source: u64) -> Option<u64> {
        let width = self.width;
        let carry = regs.rflags & CF != 0;
        let (result, changes) = match kind {
            Kind::Put(value) => return Some(value),
            Kind::Copy => return Some(source & mask(width)),
            Kind::Not => return Some(!old & mask(width)),
            Kind::Exchange(register) => {
                let (value, _) = operand::read(regs, register)?;
                operand::write(regs, register, old)?;
                return Some(value);
            }
            Kind::BitSet(n) | Kind::BitReset(n) | Kind::BitComplement(n) => {
                let bit = 1u64.checked_shl(n)?;
                regs.rflags = regs.rflags & !CF | if old & bit != 0 { CF } else { 0 };
                return Some(match kind {
                    Kind::BitSet(_) => old | bit,
                    Kind::BitReset(_) => old & !bit,
                    _ => old ^ bit,
                });
            }
            Kind::CompareExchange(value) => {
                let register = operand::accumulator(width);
                let (expected, _) = operand::read(regs, register)?;
                let compared = arith::sub(expected, old, false, width);
                regs.rflags = regs.rflags & !ARITHMETIC | compared.flags;
                if compared.flags & ZF != 0 {
                    return Some(value);
                }
                operand::write(regs, register, old)?;
                return None;
            }
            Kind::ExchangeAdd(register) => {
                let (value, _) = operand::read(regs, register)?;
                operand::write(regs, register, old)?;
                (arith::add(old, value, false, width), ARITHMETIC)
            }
            Kind::Add(value) => (arith::add(old, value, false, width), ARITHMETIC),
            Kind::Adc(value) => (arith::add(old, value, carry, width), ARITHMETIC),
            Kind::Sub(value) => (arith::sub(old, value, false, width), ARITHMETIC),
            Kind::Sbb(value) => (arith::sub(old, value, carry, width), ARITHMETIC),
            Kind::Neg => (arith::sub(0, old, false, width), ARITHMETIC),
            Kind::Inc => (arith::add(old, 1, false, width), ARITHMETIC & !CF),
            Kind::Dec => (arith::sub(old, 1, false, width), ARITHMETIC & !CF),
            Kind::And(value) => (arith::logic(old & value, width), ARITHMETIC),
            Kind::Or(value) => (arith::logic(old | value, width), ARITHMETIC),
            Kind::Xor(value) => (arith::logic(old ^ value, width), ARITHMETIC),
            Kind::ComparePair => return None,
        };
        regs.rflags = regs.rflags & !changes | result.flags & changes;
        Some(result.value)
    }

    fn compare_pair(&self, regs: &mut Regs, current: u128) -> Option<u128> {
        let half = u32::from(self.width) * 4;
        let low_mask = u128::from(mask(self.width / 2));
        let pair = |high: u64, low: u64| (u128::from(high) & low_mask) << half | u128::from(low) & low_mask;
        let full = low_mask << half | low_mask;
        if pair(regs.rdx, regs.rax) == current & full {
            regs.rflags |= ZF;
            return Some(pair(regs.rcx, regs.rbx));
        }
        regs.rflags &= !ZF;
        regs.rax = (current & low_mask) as u64;
        regs.rdx = (current >> half & low_mask) as u64;
        None
    }

    /// One iteration of a string instruction is done: moves the index registers, counts, and moves on after the last.
    fn advance(&self, regs: &mut Regs, strings: Strings) -> bool {
        let by = if regs.rflags & RFLAGS_DF != 0 { 0u64.wrapping_sub(self.width.into()) } else { self.width.into() };
        let step = |regs: &mut Regs, register: Register| {
            let (value, _) = operand::read(regs, register).unwrap_or((0, 8));
            let _ = operand::write(regs, register, value.wrapping_add(by));
        };
        step(regs, strings.index);
        if strings.moves_source {
            step(regs, if strings.index == Register::EDI { Register::ESI } else { Register::RSI });
        }
        if strings.repeated {
            let count = operand::count_register(strings.index);
            let (left, width) = operand::read(regs, count).unwrap_or((1, 8));
            let left = left.wrapping_sub(1) & mask(width);
            let _ = operand::write(regs, count, left);
            if left != 0 {
                return regs.rflags & RFLAGS_TF != 0;
            }
        }
        retire(regs, Mode::Bits64, self.len)
    }
}

fn count(regs: &Regs, strings: Strings) -> Option<u64> {
    operand::read(regs, operand::count_register(strings.index)).map(|(count, _)| count)
}

fn string_width(mnemonic: Mnemonic) -> u8 {
    match mnemonic {
        Mnemonic::Stosb | Mnemonic::Movsb => 1,
        Mnemonic::Stosw | Mnemonic::Movsw => 2,
        Mnemonic::Stosd | Mnemonic::Movsd => 4,
        _ => 8,
    }
}

fn repeated(instruction: &Instruction) -> bool {
    instruction.has_rep_prefix() || instruction.has_repne_prefix()
}

/// Bytes of a plain integer operand.
fn width_of(size: MemorySize) -> Option<u8> {
    Some(match size {
        MemorySize::UInt8 | MemorySize::Int8 => 1,
        MemorySize::UInt16 | MemorySize::Int16 => 2,
        MemorySize::UInt32 | MemorySize::Int32 => 4,
        MemorySize::UInt64 | MemorySize::Int64 => 8,
        MemorySize::UInt128 | MemorySize::Int128 => 16,
        _ => return None,
    })
}

/// What is done to the memory operand, its width, and what a bit index adds to its address.
fn ordinary(regs: &Regs, instruction: &Instruction) -> Option<(Kind, u8, u64)> {
    // Whatever writes memory names it first (to the decoder, XCHG and XADD too).
    if instruction.op0_kind() != OpKind::Memory {
        return None;
    }
    let mnemonic = instruction.mnemonic();
    let width = width_of(instruction.memory_size())?;
    if width == 16 && mnemonic != Mnemonic::Cmpxchg16b {
        return None;
    }
    let register = || {
        let name = instruction.op1_register();
        (instruction.op1_kind() == OpKind::Register).then_some(name)
    };
    let source = || match register() {
        Some(name) => operand::read(regs, name).map(|(value, _)| value & mask(width)),
        None => instruction.try_immediate(1).ok().map(|value| value & mask(width)),
    };
    let kind = match mnemonic {
        Mnemonic::Mov | Mnemonic::Movnti => Kind::Put(source()?),
        Mnemonic::Xchg => {
            let name = register()?;
            operand::read(regs, name)?;
            Kind::Exchange(name)
        }
        Mnemonic::Add => Kind::Add(source()?),
        Mnemonic::Adc => Kind::Adc(source()?),
        Mnemonic::Sub => Kind::Sub(source()?),
        Mnemonic::Sbb => Kind::Sbb(source()?),
        Mnemonic::And => Kind::And(source()?),
        Mnemonic::Or => Kind::Or(source()?),
        Mnemonic::Xor => Kind::Xor(source()?),
        Mnemonic::Inc => Kind::Inc,
        Mnemonic::Dec => Kind::Dec,
        Mnemonic::Not => Kind::Not,
        Mnemonic::Neg => Kind::Neg,
        Mnemonic::Xadd => {
            let name = register()?;
            operand::read(regs, name)?;
            Kind::ExchangeAdd(name)
        }
        Mnemonic::Cmpxchg => Kind::CompareExchange(source()?),
        Mnemonic::Cmpxchg8b | Mnemonic::Cmpxchg16b => Kind::ComparePair,
        Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc => {
            let bits = u32::from(width) * 8;
            let (index, extra) = match register() {
                Some(name) => {
                    let (value, bytes) = operand::read(regs, name)?;
                    let unused = 64u32.saturating_sub(8 * u32::from(bytes));
                    let signed = (value << unused) as i64 >> unused;
                    let words = signed >> bits.trailing_zeros();
                    (value as u32, (words as u64).wrapping_mul(width.into()))
                }
                None => (instruction.try_immediate(1).ok()? as u32, 0),
            };
            let bit = index & bits.wrapping_sub(1);
            let kind = match mnemonic {
                Mnemonic::Bts => Kind::BitSet(bit),
                Mnemonic::Btr => Kind::BitReset(bit),
                _ => Kind::BitComplement(bit),
            };
            return Some((kind, width, extra));
        }
        other => Kind::Put(set_on_condition(other, regs.rflags)?),
    };
    Some((kind, width, 0))
}

/// The byte that SETcc writes.
fn set_on_condition(mnemonic: Mnemonic, rflags: u64) -> Option<u64> {
    use super::arith::{OF, SF};
    let has = |flag: u64| rflags & flag != 0;
    let less = has(SF) != has(OF);
    Some(u64::from(match mnemonic {
        Mnemonic::Seto => has(OF),
        Mnemonic::Setno => !has(OF),
        Mnemonic::Setb => has(CF),
        Mnemonic::Setae => !has(CF),
        Mnemonic::Sete => has(ZF),
        Mnemonic::Setne => !has(ZF),
        Mnemonic::Setbe => has(CF) || has(ZF),
        Mnemonic::Seta => !has(CF) && !has(ZF),
        Mnemonic::Sets => has(SF),
        Mnemonic::Setns => !has(SF),
        Mnemonic::Setp => has(PF),
        Mnemonic::Setnp => !has(PF),
        Mnemonic::Setl => less,
        Mnemonic::Setge => !less,
        Mnemonic::Setle => less || has(ZF),
        Mnemonic::Setg => !less && !has(ZF),
        _ => return None,
    }))
}
