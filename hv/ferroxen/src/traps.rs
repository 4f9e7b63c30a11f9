//! What each trap means: the guest's, or the hypervisor's own.

use crate::machine::hv;
use crate::percpu::{self, Counter, work};
use crate::{bounce, irq, panic, platform, privileged, switch, timer};
use core::sync::atomic::Ordering;
use ferroxen_core::Platform;
use ferroxen_core::addr::Vaddr;
use ferroxen_core::cpu::CpuId;
use ferroxen_core::ctx::{Ctx, Effects};
use ferroxen_core::pv::{self, Regs};
use ferroxen_x86::apic::{VECTOR_ERROR, VECTOR_FLUSH, VECTOR_KICK, VECTOR_SPURIOUS, VECTOR_TIMER};
use ferroxen_x86::{StackTop, apic, entry, fpu, instructions, layout};

/// Calls core for the running vcpu and performs the effects.
#[inline(always)]
pub fn with_ctx<T>(top: &mut StackTop, f: impl FnOnce(&mut Ctx<'_, platform::Machine>, &mut Regs) -> T) -> Option<T> {
    let (vcpu, dom) = switch::running_at(top)?;
    let StackTop { regs, pv, cpu, .. } = top;
    let cpu = CpuId(cpu.number as u16);
    let mut ctx = Ctx { hv: hv(), cpu, vcpu, dom, pv, effects: Effects::default() };
    let value = f(&mut ctx, regs);
    if let Some(at) = ctx.effects.only_page() {
        instructions::invlpg(at.0);
    } else if !ctx.effects.is_empty() {
        let effects = ctx.effects;
        crate::work::apply(top, effects);
    }
    Some(value)
}

/// A trap while a guest ran. Interrupts are off; the exit path turns them off again.
#[unsafe(no_mangle)]
extern "C" fn trap_from_guest(top: &mut StackTop) {
    let vector = top.regs.entry_vector as u8;
    let error = top.regs.error_code;
    if vector >= 0x20 && vector != 0x80 && vector != 0x82 {
        interrupt(vector);
        return;
    }
    let cr2 = instructions::read_cr2();
    if vector == 1 {
        // The guest sees DR6 as it is; the CPU's copy is cleared for the next time.
        top.pv.debug[4] = instructions::read_dr6();
        // SAFETY: the reserved bits as the manual wants them.
        unsafe { instructions::write_dr6(0xffff_0ff0) };
    }
    // SAFETY: this CPU is set up.
    unsafe { instructions::sti() };
    match vector {
        14 => page_fault(top, cr2, error),
        13 => general_protection(top, error),
        6 => invalid_opcode(top),
        7 => device_not_available(top),
        2 | 8 | 18 => panic::fatal_trap(&top.regs, "an abort"),
        // #DF, #TS, #NP, #SS, #AC have error codes (SDM volume 3, 6.3.1); so has #CP.
        10 | 11 | 12 | 17 | 21 => bounce::exception(top, vector, Some(error)),
        // The two vectors that user mode may raise by itself: RIP is behind the instruction already.
        0x80 | 0x82 => {
            if !software_interrupt(top, vector, top.regs.rip) {
                top.regs.rip = top.regs.rip.wrapping_sub(2);
                bounce::exception(top, 13, Some(u32::from(vector) << 3 | 2));
            }
        }
        _ => bounce::exception(top, vector, None),
    }
}

/// A page fault of the guest's kernel: a write to a page that is present. Interrupts are off; the exit path turns them off
/// again.
#[unsafe(no_mangle)]
extern "C" fn write_fault_of_kernel(top: &mut StackTop) {
    let cr2 = instructions::read_cr2();
    // SAFETY: this CPU is set up.
    unsafe { instructions::sti() };
    if privileged::quick_write_to_page_table(top, cr2) {
        percpu::count_at(top.cpu.number, Counter::GuestPageFault);
        percpu::count_at(top.cpu.number, Counter::PageTableWrite);
        return;
    }
    page_fault(top, cr2, top.regs.error_code);
}

fn device_not_available(top: &mut StackTop) {
    top.pv.flags &= !pv::TASK_SWITCHED;
    fpu::set_task_switched(false);
    bounce::exception(top, 7, None);
}

fn page_fault(top: &mut StackTop, va: u64, error: u32) {
    percpu::count(Counter::GuestPageFault);
    if error & 4 == 0 && descriptor_fault(top, va) {
        return;
    }
    // A write to a present page, by the guest's kernel: perhaps to a page table.
    if error & 0b11 == 0b11
        && error & 0b11000 == 0
        && top.pv.in_kernel()
        && layout::is_guest(va)
        && privileged::write_to_page_table(top, va)
    {
        percpu::count(Counter::PageTableWrite);
        return;
    }
    bounce::page_fault(top, va, error);
}

/// The CPU itself read a descriptor at `va`, for a selector that the guest loads or returns to. A page of the LDT comes
/// on demand; what is not there is #GP for the selector. `false`: it was no descriptor.
fn descriptor_fault(top: &mut StackTop, va: u64) -> bool {
    let area = layout::cpu_area(percpu::number());
    let offset = |table: u64| Some(va.wrapping_sub(area + table)).filter(|&offset| offset < 0x1_0000);
    let selector = match (offset(layout::AREA_GDT), offset(layout::AREA_LDT)) {
        (Some(offset), _) => offset & 0xfff8,
        (_, Some(offset)) if privileged::load_ldt_page(top, offset / 4096) => return true,
        (_, Some(offset)) => offset & 0xfff8 | 4,
        _ => return false,
    };
    bounce::exception(top, 13, Some(selector as u32));
    true
}

/// INT n: goes to the guest's handler with `next` as its RIP, if the guest has one for it and lets this mode call it.
fn software_interrupt(top: &mut StackTop, vector: u8, next: u64) -> bool {
    let Some((vcpu, _, _)) = switch::running() else { return false };
    let gate = &vcpu.traps[usize::from(vector)];
    let bits = gate.selector_flags.load(Ordering::Relaxed);
    let ring = if top.pv.in_kernel() { 1 } else { 3 };
    if gate.address.load(Ordering::Relaxed) == 0 || (bits >> 16 & 3) < ring {
        return false;
    }
    top.regs.rip = next;
    bounce::exception(top, vector, None);
    true
}

fn general_protection(top: &mut StackTop, error: u32) {
    // INT n: the error code is a reference to the IDT, vector * 8 + 2.
    if error & 0b111 == 0b010 {
        if !software_interrupt(top, (error >> 3) as u8, top.regs.rip.wrapping_add(2)) {
            bounce::exception(top, 13, Some(error));
        }
        return;
    }
    if error == 0 && privileged::emulate(top) {
        percpu::count(Counter::Privileged);
        return;
    }
    bounce::exception(top, 13, Some(error));
}

fn invalid_opcode(top: &mut StackTop) {
    if privileged::forced(top) {
        percpu::count(Counter::Privileged);
        return;
    }
    bounce::exception(top, 6, None);
}

/// A system call from user mode that the fast path left to us. Interrupts are off.
#[unsafe(no_mangle)]
extern "C" fn syscall_from_user(top: &mut StackTop) {
    // SAFETY: this CPU is set up.
    unsafe { instructions::sti() };
    bounce::system_call(top);
}

/// SYSCALL in 32-bit code. Interrupts are off.
#[unsafe(no_mangle)]
extern "C" fn syscall_from_32bit_code(top: &mut StackTop) {
    // SAFETY: this CPU is set up.
    unsafe { instructions::sti() };
    bounce::system_call_32(top);
}

/// SYSENTER. Interrupts are off.
#[unsafe(no_mangle)]
extern "C" fn sysenter_from_guest(top: &mut StackTop) {
    // SAFETY: this CPU is set up.
    unsafe { instructions::sti() };
    bounce::sysenter(top);
}

/// The fast path could not write the guest kernel's stack.
#[unsafe(no_mangle)]
extern "C" fn guest_bounce_failed() {
    let top = switch::top();
    bounce::crash(top, format_args!("its kernel stack {:#x} cannot be written", top.pv.kernel_sp));
}

/// IRETQ to the guest faulted; its registers are back in place, with the fault's vector and error code. The guest gets
/// the fault as if its own instruction at the target had raised it.
#[unsafe(no_mangle)]
extern "C" fn raise_iret_fault(top: &mut StackTop) {
    let cr2 = instructions::read_cr2();
    // SAFETY: this CPU is set up.
    unsafe { instructions::sti() };
    let (vector, error) = (top.regs.entry_vector as u8, top.regs.error_code);
    if vector != 14 || !descriptor_fault(top, cr2) {
        bounce::exception(top, vector, Some(error));
    }
}

/// A trap while the hypervisor ran. Interrupts are off. Gives 0, or, when it was a fault of the exit's IRETQ, the base of
/// this CPU's stack: the frame of the fault is overwritten then.
#[unsafe(no_mangle)]
extern "C" fn trap_from_hypervisor(regs: &mut Regs) -> usize {
    let vector = regs.entry_vector as u8;
    match vector {
        2 => {
            if percpu::remote(percpu::this()).stop.load(Ordering::SeqCst) {
                instructions::halt();
            }
            if regs.cs & 3 == 0 {
                crate::warning!("NMI on CPU {}", percpu::number());
            }
        }
        1 => {
            // A guest can leave a breakpoint pending over SYSCALL (MOV SS), and TF set over SYSENTER; neither means
            // anything here.
            regs.rflags &= !(1 << 8);
            // SAFETY: the reserved bits as the manual wants them.
            unsafe { instructions::write_dr6(0xffff_0ff0) };
        }
        0x20.. => interrupt(vector),
        _ => {
            if entry::fault_in_iret(regs.rip) {
                let top = switch::top();
                let saved = *regs;
                let (rip, cs, rflags, rsp, ss) =
                    (top.regs.rip, top.regs.cs, top.regs.rflags, top.regs.rsp, top.regs.ss);
                top.regs = Regs { rip, cs, rflags, rsp, ss, ..saved };
                return (&raw mut *top).addr();
            }
            match entry::fixup(regs.rip) {
                Some(to) => regs.rip = to,
                None => panic::fatal_trap(regs, name(vector)),
            }
        }
    }
    0
}

fn name(vector: u8) -> &'static str {
    match vector {
        0 => "divide error",
        6 => "invalid opcode",
        8 => "double fault",
        13 => "general protection fault",
        14 => "page fault",
        18 => "machine check",
        _ => "exception",
    }
}

fn interrupt(vector: u8) {
    match vector {
        VECTOR_FLUSH => {
            crate::flush::interrupt();
            apic::end_of_interrupt();
        }
        VECTOR_KICK => {
            percpu::count(Counter::Kick);
            apic::end_of_interrupt();
        }
        VECTOR_TIMER => {
            percpu::count(Counter::TimerInterrupt);
            timer::fired();
            percpu::mark(percpu::this(), work::TIMER);
            apic::end_of_interrupt();
        }
        VECTOR_ERROR => apic::end_of_interrupt(),
        VECTOR_SPURIOUS => {}
        _ => irq::interrupt(vector),
    }
}

/// Reads instruction bytes at the guest's RIP, as many as there are.
pub fn instruction_bytes(top: &StackTop, buffer: &mut [u8; 15]) -> usize {
    let rip = top.regs.rip;
    let platform = &hv().platform;
    let cpu = percpu::this();
    if platform.copy_from_guest(cpu, Vaddr(rip), buffer).is_ok() {
        return buffer.len();
    }
    // The instruction may end at the end of its page.
    let left = (4096 - (rip & 4095)).min(15) as usize;
    if left < 15 && platform.copy_from_guest(cpu, Vaddr(rip), &mut buffer[..left]).is_ok() { left } else { 0 }
}
