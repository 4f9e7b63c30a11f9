//! IN, OUT, INS and OUTS.

use super::operand::{self, Offset, mask};
use super::segment::{SegmentName, violation};
use super::{Exception, Mode, Outcome, PrivMachine, RFLAGS_DF, RFLAGS_TF, View, retire};
use crate::addr::Vaddr;
use crate::pv::Regs;
use iced_x86::{Instruction, Mnemonic, OpKind, Register};

/// Whether the guest may use `width` ports from `port` on: by its I/O privilege level, else by its permission bitmap.
pub(super) fn port_allowed<M: PrivMachine>(view: &View, port: u16, width: u8, machine: &mut M) -> bool {
    if view.iopl_allows() {
        return true;
    }
    if u32::from(port).wrapping_add(width.into()) > view.iobmp_limit {
        return false;
    }
    let wanted = (1u32 << width).wrapping_sub(1) << (port & 7);
    machine.io_bitmap(u32::from(port >> 3)).is_ok_and(|bits| u32::from(bits) & wanted == 0)
}

/// IN and OUT: `register` is the accumulator in its width.
pub(super) fn plain<M: PrivMachine>(
    regs: &mut Regs,
    view: &View,
    instruction: &Instruction,
    machine: &mut M,
) -> Result<Outcome, Exception> {
    let input = instruction.mnemonic() == Mnemonic::In;
    let (data, port) = if input { (0, 1) } else { (1, 0) };
    let name = instruction.op_register(data);
    let Some((value, width)) = operand::read(regs, name) else { return Err(Exception::gp(regs.error_code)) };
    let port = match instruction.op_kind(port) {
        OpKind::Immediate8 => u16::from(instruction.immediate8()),
        _ => regs.rdx as u16,
    };
    if !port_allowed(view, port, width, machine) {
        return Err(Exception::gp(regs.error_code));
    }
    if input {
        let value = u64::from(machine.in_port(port, width)) & mask(width);
        let _ = operand::write(regs, name, value);
    } else {
        machine.out_port(port, width, value as u32);
    }
    Ok(Outcome::Done { single_step: retire(regs, view.mode, instruction.len()) })
}

/// INS and OUTS, with their repeat prefixes; stops between iterations when the machine asks for it.
///
/// Before a port is read, the memory is read, so that the usual page fault comes before the port's value is lost.
pub(super) fn string<M: PrivMachine>(
    regs: &mut Regs,
    view: &View,
    instruction: &Instruction,
    machine: &mut M,
) -> Result<Outcome, Exception> {
    let (input, width) = match instruction.mnemonic() {
        Mnemonic::Insb => (true, 1),
        Mnemonic::Insw => (true, 2),
        Mnemonic::Insd => (true, 4),
        Mnemonic::Outsb => (false, 1),
        Mnemonic::Outsw => (false, 2),
        _ => (false, 4),
    };
    let (memory, segment) = if input { (0, Register::ES) } else { (1, instruction.memory_segment()) };
    let Some(index) = operand::string_index(instruction.op_kind(memory)) else {
        return Err(Exception::gp(regs.error_code));
    };
    let Some(segment) = operand::segment_name(segment) else { return Err(Exception::gp(regs.error_code)) };
    let counter = operand::count_register(index);
    let repeated = instruction.has_rep_prefix() || instruction.has_repne_prefix();
    let port = regs.rdx as u16;

    if repeated && operand::read(regs, counter).is_none_or(|(count, _)| count == 0) {
        return Ok(Outcome::Done { single_step: retire(regs, view.mode, instruction.len()) });
    }
    if !port_allowed(view, port, width, machine) {
        return Err(Exception::gp(regs.error_code));
    }
    loop {
        let (value, address_bytes) = operand::read(regs, index).unwrap_or((0, 8));
        let at = linear(view, segment, Offset { value, address_bytes }, width, input, machine)?;
        let mut data = [0; 4];
        let Some(bytes) = data.get_mut(..usize::from(width)) else { return Err(Exception::gp(0)) };
        machine.read_guest(at, bytes).map_err(|fault| Exception::pf(fault.at, input))?;
        if input {
            let data = machine.in_port(port, width).to_le_bytes();
            let bytes = data.get(..usize::from(width)).unwrap_or(&[]);
            machine.write_guest(at, bytes).map_err(|fault| Exception::pf(fault.at, true))?;
        } else {
            machine.out_port(port, width, u32::from_le_bytes(data));
        }
        let by = if regs.rflags & RFLAGS_DF != 0 { 0u64.wrapping_sub(width.into()) } else { width.into() };
        let _ = operand::write(regs, index, value.wrapping_add(by));
        if !repeated {
            break;
        }
        let (count, count_bytes) = operand::read(regs, counter).unwrap_or((1, 8));
        let left = count.wrapping_sub(1) & mask(count_bytes);
        let _ = operand::write(regs, counter, left);
        if left == 0 {
            break;
        }
        // A single-stepped string instruction traps after each iteration, with RIP still on it.
        if regs.rflags & RFLAGS_TF != 0 {
            return Ok(Outcome::Done { single_step: true });
        }
        if machine.preempt_pending() {
            return Ok(Outcome::Again);
        }
    }
    Ok(Outcome::Done { single_step: retire(regs, view.mode, instruction.len()) })
}

/// The linear address of an access of the guest.
pub(super) fn linear<M: PrivMachine>(
    view: &View,
    name: SegmentName,
    offset: Offset,
    width: u8,
    write: bool,
    machine: &mut M,
) -> Result<Vaddr, Exception> {
    if view.mode != Mode::Bits64 {
        let segment = machine.segment(name).ok_or(violation(name))?;
        return segment.linear(name, offset.value, width, write);
    }
    let base = match name {
        SegmentName::Fs | SegmentName::Gs => machine.segment(name).map_or(0, |segment| segment.base),
        _ => 0,
    };
    let at = Vaddr(base.wrapping_add(offset.value));
    let last = Vaddr(at.0.wrapping_add(u64::from(width).saturating_sub(1)));
    if at.is_canonical() && last.is_canonical() { Ok(at) } else { Err(violation(name)) }
}
