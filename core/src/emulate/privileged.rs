//! Instructions that raised #GP because a PV kernel runs in ring 3.

use super::operand::{self, mask};
use super::{Exception, Outcome, PrivMachine, View, forced, portio, retire};
use crate::addr::Vaddr;
use crate::pv::Regs;
use iced_x86::{Decoder, DecoderError, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

const CR0_PE: u64 = 1;
const CR0_TS: u64 = 1 << 3;

/// Executes the instruction at RIP for the guest, or says which fault it gets.
///
/// For #GP with an error code of 0 (another one names a selector or an IDT entry, never one of these instructions),
/// and for #UD of the forced-emulation prefix. `code` are the bytes at RIP as many as could be read, at most 15; when
/// more are needed than were given, the guest gets a page fault for the first missing one.
///
/// What is not emulated is handed back as #GP with the error code in `regs`.
pub fn privileged_op<M: PrivMachine>(regs: &mut Regs, view: &View, code: &[u8], machine: &mut M) -> Outcome {
    if forced::is_forced_cpuid(code) {
        return Outcome::Done { single_step: forced::cpuid(regs, view, forced::FORCED_CPUID.len(), machine) };
    }
    let mut decoder = Decoder::with_ip(view.mode.bits(), code, regs.rip, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    decoder.decode_out(&mut instruction);
    match decoder.last_error() {
        DecoderError::None => {}
        DecoderError::NoMoreBytes => {
            let at = Vaddr(view.mode.ip(regs.rip.wrapping_add(code.len() as u64)));
            // Where no instruction can be, the fetch itself was what faulted.
            let fault = if at.is_canonical() { Exception::pf_fetch(at) } else { Exception::gp(regs.error_code) };
            return Outcome::Raise(fault);
        }
        _ => return Outcome::Raise(Exception::gp(regs.error_code)),
    }
    execute(regs, view, &instruction, machine).unwrap_or_else(Outcome::Raise)
}

/// A fault leaves the registers, except those of a string instruction's finished iterations.
fn execute<M: PrivMachine>(
    regs: &mut Regs,
    view: &View,
    instruction: &Instruction,
    machine: &mut M,
) -> Result<Outcome, Exception> {
    let refused = Exception::gp(regs.error_code);
    match instruction.mnemonic() {
        // What user mode may do too.
        Mnemonic::In | Mnemonic::Out => return portio::plain(regs, view, instruction, machine),
        Mnemonic::Insb | Mnemonic::Insw | Mnemonic::Insd | Mnemonic::Outsb | Mnemonic::Outsw | Mnemonic::Outsd => {
            return portio::string(regs, view, instruction, machine);
        }
        // Accepted and without effect: a PV guest masks events in its vcpu_info, and POPF, which nothing traps,
        // could not undo what STI and CLI did.
        Mnemonic::Cli | Mnemonic::Sti if view.iopl_allows() => {}
        // Processors that can make CPUID fault: the policy answers.
        Mnemonic::Cpuid => {
            let single_step = forced::cpuid(regs, view, instruction.len(), machine);
            return Ok(Outcome::Done { single_step });
        }
        Mnemonic::Rdtsc | Mnemonic::Rdtscp if view.kernel || !view.tsd => {
            set_pair(regs, machine.rdtsc());
            if instruction.mnemonic() == Mnemonic::Rdtscp {
                regs.rcx = machine.tsc_aux().into();
            }
        }
        Mnemonic::Smsw => store_machine_status(regs, view, instruction, machine)?,
        _ if view.kernel => return kernel(regs, view, instruction, machine),
        _ => return Err(refused),
    }
    Ok(Outcome::Done { single_step: retire(regs, view.mode, instruction.len()) })
}

/// What only the guest's kernel may do.
fn kernel<M: PrivMachine>(
    regs: &mut Regs,
    view: &View,
    instruction: &Instruction,
    machine: &mut M,
) -> Result<Outcome, Exception> {
    let refused = Exception::gp(regs.error_code);
    match instruction.mnemonic() {
        Mnemonic::Mov => move_control(regs, instruction, machine).ok_or(refused)?,
        Mnemonic::Clts => {
            let cr0 = machine.read_cr(0).ok_or(refused)?;
            machine.write_cr(0, cr0 & !CR0_TS).ok_or(refused)?;
        }
        Mnemonic::Lmsw => load_machine_status(regs, view, instruction, machine)?,
        Mnemonic::Rdmsr => {
            let value = machine.rdmsr(regs.rcx as u32).ok_or(refused)?;
            set_pair(regs, value);
        }
        Mnemonic::Wrmsr => machine.wrmsr(regs.rcx as u32, pair(regs)).ok_or(refused)?,
        Mnemonic::Xsetbv => machine.xsetbv(regs.rcx as u32, pair(regs)).ok_or(refused)?,
        Mnemonic::Rdpmc => {
            let value = machine.rdpmc(regs.rcx as u32).ok_or(refused)?;
            set_pair(regs, value);
        }
        Mnemonic::Wbinvd | Mnemonic::Wbnoinvd | Mnemonic::Invd => machine.write_back_caches(),
        Mnemonic::Invlpg => {
            let offset = operand::offset(regs, view.mode, instruction, 0).ok_or(refused)?;
            let name = operand::segment_name(instruction.memory_segment()).ok_or(refused)?;
            // An address that no translation can have is nothing to drop, as in hardware.
            if let Ok(at) = portio::linear(view, name, offset, 1, false, machine) {
                machine.invlpg(at);
            }
        }
        Mnemonic::Hlt => {
            let single_step = retire(regs, view.mode, instruction.len());
            return Ok(if single_step { Outcome::Done { single_step } } else { Outcome::Halted });
        }
        _ => return Err(refused),
    }
    Ok(Outcome::Done { single_step: retire(regs, view.mode, instruction.len()) })
}

/// MOV to and from control and debug registers.
fn move_control<M: PrivMachine>(regs: &mut Regs, instruction: &Instruction, machine: &mut M) -> Option<()> {
    let (to, from) = (instruction.op0_register(), instruction.op1_register());
    match (special(to), special(from)) {
        (Some(Special::Control(n)), None) => machine.write_cr(n, operand::read(regs, from)?.0),
        (Some(Special::Debug(n)), None) => machine.write_dr(n, operand::read(regs, from)?.0),
        (None, Some(Special::Control(n))) => operand::write(regs, to, machine.read_cr(n)?),
        (None, Some(Special::Debug(n))) => operand::write(regs, to, machine.read_dr(n)?),
        _ => None,
    }
}

enum Special {
    Control(u32),
    Debug(u32),
}

fn special(name: Register) -> Option<Special> {
    use Register::{CR0, CR2, CR3, CR4, CR8, DR0, DR1, DR2, DR3, DR4, DR5, DR6, DR7};
    const CONTROL: [(Register, u32); 5] = [(CR0, 0), (CR2, 2), (CR3, 3), (CR4, 4), (CR8, 8)];
    const DEBUG: [Register; 8] = [DR0, DR1, DR2, DR3, DR4, DR5, DR6, DR7];
    if let Some(&(_, n)) = CONTROL.iter().find(|(register, _)| *register == name) {
        return Some(Special::Control(n));
    }
    (0u32..).zip(DEBUG).find(|(_, register)| *register == name).map(|(n, _)| Special::Debug(n))
}

/// LMSW: the low four bits of CR0, of which PE can only be set.
fn load_machine_status<M: PrivMachine>(
    regs: &Regs,
    view: &View,
    instruction: &Instruction,
    machine: &mut M,
) -> Result<(), Exception> {
    let refused = Exception::gp(regs.error_code);
    let value = if instruction.op0_kind() == OpKind::Register {
        operand::read(regs, instruction.op0_register()).ok_or(refused)?.0
    } else {
        let mut bytes = [0; 2];
        let at = operand_address(regs, view, instruction, 2, false, machine)?;
        machine.read_guest(at, &mut bytes).map_err(|fault| Exception::pf(fault.at, false))?;
        u16::from_le_bytes(bytes).into()
    };
    let cr0 = machine.read_cr(0).ok_or(refused)?;
    machine.write_cr(0, cr0 & !0xf | value & 0xf | cr0 & CR0_PE).ok_or(refused)
}

/// SMSW, which faults in ring 3 where the processor's UMIP is on.
fn store_machine_status<M: PrivMachine>(
    regs: &mut Regs,
    view: &View,
    instruction: &Instruction,
    machine: &mut M,
) -> Result<(), Exception> {
    let refused = Exception::gp(regs.error_code);
    let cr0 = machine.read_cr(0).ok_or(refused)?;
    if instruction.op0_kind() == OpKind::Register {
        return operand::write(regs, instruction.op0_register(), cr0).ok_or(refused);
    }
    let at = operand_address(regs, view, instruction, 2, true, machine)?;
    machine.write_guest(at, &((cr0 & mask(2)) as u16).to_le_bytes()).map_err(|fault| Exception::pf(fault.at, true))
}

fn operand_address<M: PrivMachine>(
    regs: &Regs,
    view: &View,
    instruction: &Instruction,
    width: u8,
    write: bool,
    machine: &mut M,
) -> Result<Vaddr, Exception> {
    let refused = Exception::gp(regs.error_code);
    let offset = operand::offset(regs, view.mode, instruction, 0).ok_or(refused)?;
    let name = operand::segment_name(instruction.memory_segment()).ok_or(refused)?;
    portio::linear(view, name, offset, width, write, machine)
}

/// EDX:EAX.
pub(super) fn pair(regs: &Regs) -> u64 {
    (regs.rdx & mask(4)) << 32 | regs.rax & mask(4)
}

/// Writes EDX:EAX, clearing the upper halves.
pub(super) fn set_pair(regs: &mut Regs, value: u64) {
    regs.rax = value & mask(4);
    regs.rdx = value >> 32;
}
