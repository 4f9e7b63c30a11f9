//! Giving exceptions, events and system calls to a PV guest: a frame on its kernel's stack, then its handler.
//!
//! The frame, from its lowest address: RCX, R11, an error code where the exception has one, RIP, CS with the saved
//! event mask in its upper half, RFLAGS, RSP, SS (arch-x86/xen-x86_64.h and what guests' entry code pops).

use crate::machine::hv;
use crate::percpu::{self, Counter};
use crate::{error, machine, switch};
use core::sync::atomic::{AtomicU8, Ordering};
use ferroxen_core::Platform;
use ferroxen_core::addr::Vaddr;
use ferroxen_core::pv::{self, FAILSAFE_MASKS_EVENTS};
use ferroxen_x86::descriptors::{RING3_CS64, RING3_DS};
use ferroxen_x86::{StackTop, instructions};
use zerocopy::IntoBytes;

const IF: u64 = 1 << 9;
/// Flags that a handler does not inherit: TF, NT, RF, VM, AC, and IOPL, which is virtual.
const CLEARED: u64 = 1 << 8 | 1 << 14 | 1 << 16 | 1 << 17 | 1 << 18 | 3 << 12;

/// Where a guest is to go.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Address of the handler.
    pub address: u64,
    /// Code selector of the handler.
    pub selector: u16,
    /// Masks events on the way.
    pub masks_events: bool,
    /// Error code to push.
    pub error: Option<u32>,
}

/// The first two bytes of the running vcpu's `struct vcpu_info`: evtchn_upcall_pending and evtchn_upcall_mask.
#[inline(always)]
pub fn upcall(top: &StackTop) -> &[AtomicU8; 2] {
    // SAFETY: `info` is the mapped `struct vcpu_info` of what runs here (`NO_INFO` without one), in a frame that is held.
    unsafe { &*(top.cpu.info as *const [AtomicU8; 2]) }
}

/// Sets the event mask; a page that has it already is not written.
fn set_mask(top: &StackTop, masked: bool) {
    let [_, mask] = upcall(top);
    if (mask.load(Ordering::Relaxed) != 0) != masked {
        mask.store(masked.into(), Ordering::Relaxed);
    }
}

/// Builds the frame and goes to the handler. Crashes the domain if its stack cannot be written.
pub fn bounce(top: &mut StackTop, target: Target) {
    let (sp, [rcx, r11, rip, cs, rflags, rsp, ss]) = interrupted(top);
    match target.error {
        None => go(top, target, sp, &[rcx, r11, rip, cs, rflags, rsp, ss]),
        Some(error) => go(top, target, sp, &[rcx, r11, error.into(), rip, cs, rflags, rsp, ss]),
    }
}

/// Enters the kernel's mode. Where its stack goes on, and what every frame has of the interrupted state.
#[inline(always)]
fn interrupted(top: &mut StackTop) -> (u64, [u64; 7]) {
    let from_kernel = top.pv.in_kernel();
    if !from_kernel {
        switch::toggle_mode(&mut top.pv);
    }
    let sp = if from_kernel { top.regs.rsp } else { top.pv.kernel_sp } & !15;
    let was_masked = upcall(top)[1].load(Ordering::Relaxed) != 0;
    let regs = &top.regs;
    let mut flags = regs.rflags & !(3 << 12) & !IF;
    if !was_masked {
        flags |= IF;
    }
    if architectural_iopl(top) {
        flags |= u64::from(top.pv.iopl) << 12;
    }
    let cs = (if from_kernel { regs.cs & 0xfffc } else { regs.cs & 0xffff }) | u64::from(was_masked) << 32;
    (sp, [regs.rcx, regs.r11, regs.rip, cs, flags, regs.rsp, regs.ss & 0xffff])
}

/// Puts the frame below `sp`, on the kernel's stack, and goes to its handler.
#[inline(always)]
fn go<const N: usize>(top: &mut StackTop, target: Target, sp: u64, frame: &[u64; N]) {
    let at = sp.wrapping_sub(size_of_val(frame) as u64);
    if hv().platform.copy_to_guest(percpu::this(), Vaddr(at), frame.as_bytes()).is_err() {
        crash(top, format_args!("the frame for its handler {:#x} cannot be written at {at:#x}", target.address));
        return;
    }
    if target.masks_events {
        set_mask(top, true);
    }
    let regs = &mut top.regs;
    regs.rsp = at;
    regs.ss = RING3_DS.into();
    regs.rip = target.address;
    regs.cs = u64::from(target.selector | 3);
    regs.rflags = regs.rflags & !CLEARED | IF;
    regs.entry_vector = 0;
}

/// VMASST_TYPE_architectural_iopl: the guest sees its IOPL in its flags.
fn architectural_iopl(top: &StackTop) -> bool {
    // SAFETY: `switch::enter` sets it to the running domain's word, and nothing is bounced without one.
    let assists = unsafe { &*top.cpu.vm_assist };
    assists.load(Ordering::Relaxed) & 1 << xen_abi::xen::VMASST_TYPE_architectural_iopl != 0
}

/// Gives an exception to the guest, as its trap table says.
pub fn exception(top: &mut StackTop, vector: u8, error: Option<u32>) {
    percpu::count(Counter::Bounced);
    let Some((vcpu, _, _)) = switch::running() else { return };
    let gate = &vcpu.traps[usize::from(vector)];
    let address = gate.address.load(Ordering::Relaxed);
    if address == 0 {
        crash(top, format_args!("exception {vector} (error {:#x}) has no handler", error.unwrap_or(0)));
        return;
    }
    let bits = gate.selector_flags.load(Ordering::Relaxed);
    bounce(top, Target { address, selector: bits as u16, masks_events: bits & 1 << 18 != 0, error });
}

/// Gives a page fault to the guest.
pub fn page_fault(top: &mut StackTop, va: u64, error: u32) {
    let info = top.pv.vcpu_info;
    // arch.cr2, the first word of `struct arch_vcpu_info`.
    let at = info.offset() + core::mem::offset_of!(xen_abi::xen::VcpuInfo, arch);
    hv().platform.page(info.mfn()).store_u64(at, va);
    top.pv.cr2 = va;
    // Ring 3 is where its kernel runs, too.
    let error = if top.pv.in_kernel() { error & !4 } else { error };
    exception(top, 14, Some(error));
}

/// Goes to the guest's handler for NMIs, if it has one; no further NMI comes before that returns.
pub fn deliver_nmi(top: &mut StackTop, vcpu: &machine::Vcpu) {
    const NMI: u8 = 2;
    if vcpu.traps[usize::from(NMI)].address.load(Ordering::Relaxed) != 0
        && vcpu.pending_nmi.swap(false, Ordering::AcqRel)
    {
        top.pv.flags |= pv::NMI_MASKED;
        exception(top, NMI, None);
    }
}

/// Goes to the event callback.
pub fn deliver_event(top: &mut StackTop) {
    percpu::count(Counter::EventCallback);
    let address = top.pv.event_callback;
    if address == 0 {
        // Not set up yet: events wait, masked.
        set_mask(top, true);
        return;
    }
    bounce(top, Target { address, selector: RING3_CS64, masks_events: true, error: None });
}

/// Goes to the failsafe callback: one of the selectors (ds, es, fs, gs) that the guest wanted loaded was bad.
pub fn failsafe(top: &mut StackTop, wanted: [u16; 4]) {
    let address = top.pv.failsafe_callback;
    if address == 0 {
        crash(top, format_args!("a bad segment or return frame, and no failsafe callback"));
        return;
    }
    let masks_events = top.pv.flags & FAILSAFE_MASKS_EVENTS != 0;
    let [ds, es, fs, gs] = wanted.map(u64::from);
    let (sp, [rcx, r11, rip, cs, rflags, rsp, ss]) = interrupted(top);
    let target = Target { address, selector: RING3_CS64, masks_events, error: None };
    go(top, target, sp, &[rcx, r11, ds, es, fs, gs, rip, cs, rflags, rsp, ss]);
}

/// A system call of the guest's user mode.
pub fn system_call(top: &mut StackTop) {
    let address = top.pv.syscall_callback;
    if address == 0 {
        top.regs.rip = top.regs.rip.wrapping_sub(2);
        exception(top, 6, None);
        return;
    }
    let masks_events = top.pv.flags & pv::SYSCALL_MASKS_EVENTS != 0;
    // What SYSCALL itself does to the two registers.
    top.regs.rcx = top.regs.rip;
    top.regs.r11 = top.regs.rflags;
    bounce(top, Target { address, selector: RING3_CS64, masks_events, error: None });
    top.regs.rflags &= !(1 << 10);
}

/// A system call of 32-bit code in the guest's user mode. Where the guest has no callback for it, and in its kernel, the
/// instruction is not there.
pub fn system_call_32(top: &mut StackTop) {
    let address = top.pv.syscall32_callback;
    if address == 0 || top.pv.in_kernel() {
        top.regs.rip = top.regs.rip.wrapping_sub(2);
        exception(top, 6, None);
        return;
    }
    let masks_events = top.pv.flags & pv::SYSCALL32_MASKS_EVENTS != 0;
    bounce(top, Target { address, selector: top.pv.syscall32_cs as u16, masks_events, error: None });
    top.regs.rflags &= !(1 << 10);
}

/// SYSENTER in the guest's user mode. Its handler knows where to return to; there is nothing to go back to otherwise, so
/// that #GP without one, and in the guest's kernel, has no address.
pub fn sysenter(top: &mut StackTop) {
    // It cleared IF, and single-stepping ends with it.
    top.regs.rflags = top.regs.rflags & !(1 << 8) | IF;
    let address = top.pv.sysenter_callback;
    if address == 0 || top.pv.in_kernel() {
        exception(top, 13, Some(0));
        return;
    }
    let masks_events = top.pv.flags & pv::SYSENTER_MASKS_EVENTS != 0;
    bounce(top, Target { address, selector: top.pv.sysenter_cs as u16, masks_events, error: None });
}

/// Ends the running domain because of something it did.
pub fn crash(top: &StackTop, why: core::fmt::Arguments<'_>) {
    let Some((vcpu, domain, _)) = switch::running() else { return };
    error!("d{}v{} crashed: {why}", domain.id.0, vcpu.id);
    show_guest(top);
    machine::domain_shutdown(domain, xen_abi::sched::SHUTDOWN_crash as u8);
}

/// Prints the guest's registers.
pub fn show_guest(top: &StackTop) {
    let r = &top.regs;
    error!(
        "  rip {:04x}:{:016x} rflags {:08x} rsp {:04x}:{:016x} {}",
        r.cs,
        r.rip,
        r.rflags,
        r.ss,
        r.rsp,
        if top.pv.in_kernel() { "kernel" } else { "user" }
    );
    error!("  rax {:016x} rbx {:016x} rcx {:016x} rdx {:016x}", r.rax, r.rbx, r.rcx, r.rdx);
    error!("  rsi {:016x} rdi {:016x} rbp {:016x} r8  {:016x}", r.rsi, r.rdi, r.rbp, r.r8);
    error!("  r9  {:016x} r10 {:016x} r11 {:016x} r12 {:016x}", r.r9, r.r10, r.r11, r.r12);
    error!("  r13 {:016x} r14 {:016x} r15 {:016x}", r.r13, r.r14, r.r15);
    error!("  cr3 {:016x} cr2 {:016x} vector {:#x}", instructions::read_cr3(), top.pv.cr2, r.entry_vector);
    if top.pv.in_kernel() {
        let mut stack = [0u64; 8];
        if hv().platform.copy_from_guest(percpu::this(), Vaddr(r.rsp), stack.as_mut_bytes()).is_ok() {
            error!("  stack {stack:016x?}");
        }
    }
}

/// HYPERVISOR_iret: `struct iret_context` at the guest's stack pointer.
pub fn iret(top: &mut StackTop) -> Result<(), ()> {
    let mut c = [0u64; 9];
    if hv().platform.copy_from_guest(percpu::this(), Vaddr(top.regs.rsp), c.as_mut_bytes()).is_err() {
        crash(top, format_args!("iret: its context cannot be read at {:#x}", top.regs.rsp));
        return Err(());
    }
    let [rax, r11, rcx, flags, rip, cs, rflags, rsp, ss] = c;
    if cs & 3 == 3 {
        if top.pv.user_root.0 == 0 {
            crash(top, format_args!("iret to user mode without a user root"));
            return Err(());
        }
        switch::toggle_mode(&mut top.pv);
    }
    let regs = &mut top.regs;
    regs.rip = rip;
    regs.cs = cs & 0xffff | 3;
    regs.rflags = rflags & 0x24_0dd5 | IF | 2;
    regs.rsp = rsp;
    regs.ss = ss & 0xffff | 3;
    regs.rax = rax;
    if flags & 0x100 != 0 {
        // VGCF_in_syscall: a return by SYSRET, which loads these two.
        regs.rcx = rip;
        regs.r11 = rflags;
    } else {
        regs.rcx = rcx;
        regs.r11 = r11;
    }
    regs.entry_vector = 0;
    if architectural_iopl(top) {
        top.pv.iopl = (rflags >> 12 & 3) as u32;
    }
    top.pv.flags &= !pv::NMI_MASKED;
    set_mask(top, rflags & IF == 0);
    Ok(())
}
