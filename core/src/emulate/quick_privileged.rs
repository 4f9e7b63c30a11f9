//! The privileged instructions that kernels execute all day, without the full decoder: CLI, STI, RDMSR, WRMSR, IN and OUT
//! in 64-bit code. Whatever is not exactly one of these, or is refused, is [`super::privileged_op`]'s.

use super::operand::mask;
use super::portio::port_allowed;
use super::privileged::{pair, set_pair};
use super::{Mode, Outcome, PrivMachine, View, retire};
use crate::pv::Regs;

/// Executes the instruction at RIP, of which `code` has 16 bytes, for the guest. `None`: nothing was done.
#[inline]
pub fn quick_privileged_op<M: PrivMachine>(
    regs: &mut Regs,
    view: &View,
    code: [u64; 2],
    machine: &mut M,
) -> Option<Outcome> {
    if view.mode != Mode::Bits64 {
        return None;
    }
    let byte = |at: u32| (code[0] >> (8 * at)) as u8;
    let len = match (byte(0), byte(1)) {
        (0xfa | 0xfb, _) if view.iopl_allows() => 1,
        (0x0f, 0x30) if view.kernel => {
            machine.wrmsr(regs.rcx as u32, pair(regs))?;
            2
        }
        (0x0f, 0x32) if view.kernel => {
            let value = machine.rdmsr(regs.rcx as u32)?;
            set_pair(regs, value);
            2
        }
        (0xe4..=0xe7, port) => port_io(regs, view, byte(0), false, port.into(), machine).map(|()| 2)?,
        (0xec..=0xef, _) => port_io(regs, view, byte(0), false, regs.rdx as u16, machine).map(|()| 1)?,
        (0x66, opcode @ 0xe4..=0xe7) => port_io(regs, view, opcode, true, byte(2).into(), machine).map(|()| 3)?,
        (0x66, opcode @ 0xec..=0xef) => port_io(regs, view, opcode, true, regs.rdx as u16, machine).map(|()| 2)?,
        _ => return None,
    };
    Some(Outcome::Done { single_step: retire(regs, view.mode, len) })
}

/// IN (bit 1 of the opcode clear) or OUT of a byte (bit 0 clear), else of 2 bytes (`word`) or 4.
fn port_io<M: PrivMachine>(
    regs: &mut Regs,
    view: &View,
    opcode: u8,
    word: bool,
    port: u16,
    machine: &mut M,
) -> Option<()> {
    let width = match (opcode & 1, word) {
        (0, _) => 1,
        (_, true) => 2,
        (_, false) => 4,
    };
    if !port_allowed(view, port, width, machine) {
        return None;
    }
    if opcode & 2 != 0 {
        machine.out_port(port, width, (regs.rax & mask(width)) as u32);
    } else {
        let value = u64::from(machine.in_port(port, width)) & mask(width);
        // Writing EAX clears the upper half of RAX.
        let kept = if width == 4 { 0 } else { regs.rax & !mask(width) };
        regs.rax = kept | value;
    }
    Some(())
}
