//! A PV vcpu's whole state from outside: VCPUOP_initialise, and the toolstack's setvcpucontext.

use crate::addr::{Maddr, Mfn, Vaddr};
use crate::ctx::{Ctx, Effects};
use crate::domain::Vcpu;
use crate::hypercall::Stop;
use crate::paging;
use crate::platform::Platform;
use crate::pv::{self, GDT_FRAMES, Regs};
use crate::sched::INITIALISED;
use core::sync::atomic::Ordering;
use ferroxen_sync::Shared;
use xen_abi::Errno;
use xen_abi::arch_x86::*;
use xen_abi::arch_x86_64::CpuUserRegs;

/// Flags a guest may start with: all but IOPL, VM, NT, RF.
const RFLAGS: u64 = 0x24_0dd5;
const RFLAGS_IF: u64 = 1 << 9;

/// Gives `target`, which never ran, the state `c`. On an error it is as before.
///
/// # Errors
/// `EINVAL` for a root table, a GDT or an address that is refused; `EAGAIN` when the validation of the tables was
/// interrupted too often.
pub fn load<P: Platform>(ctx: &mut Ctx<'_, P>, target: &Shared<Vcpu<P>>, c: &VcpuGuestContext) -> Result<(), Stop> {
    let guest = |va: u64| Vaddr(va).is_guest();
    let addresses = [c.event_callback_eip, c.failsafe_callback_eip, c.syscall_callback_eip, c.kernel_sp];
    let bases = [c.fs_base, c.gs_base_kernel, c.gs_base_user];
    if !addresses.into_iter().all(guest) || !bases.into_iter().all(|va| Vaddr(va).is_canonical()) {
        return Err(Errno::EINVAL.into());
    }
    let [_, user_root, _, kernel_root, ..] = c.ctrlreg;
    let mut saved = target.saved.lock();
    if target.sched.flags() & INITIALISED != 0 {
        return Err(Errno::EEXIST.into());
    }
    let mut inner =
        Ctx { hv: ctx.hv, cpu: ctx.cpu, vcpu: target, dom: ctx.dom, pv: &mut saved.pv, effects: Effects::default() };
    let dom = inner.dom;
    let kernel = root(&mut inner, dom, kernel_root)?;
    let user = if user_root == 0 { Ok(Maddr(0)) } else { root(&mut inner, dom, user_root) };
    let user = match user {
        Ok(user) => user,
        Err(stop) => {
            let _ = paging::put_root_of(&mut inner, dom, kernel);
            return Err(stop);
        }
    };
    let mut frames = [Mfn(0); GDT_FRAMES];
    for (to, from) in frames.iter_mut().zip(c.gdt_frames) {
        *to = Mfn(from);
    }
    let entries = u32::try_from(c.gdt_ents).map_err(|_| Errno::EINVAL);
    let gdt = entries.and_then(|entries| paging::set_gdt(&mut inner, &frames, entries).map_err(|e| e.errno()));
    if let Err(error) = gdt {
        let _ = paging::put_root_of(&mut inner, dom, kernel);
        if user.0 != 0 {
            let _ = paging::put_root_of(&mut inner, dom, user);
        }
        return Err(error.into());
    }
    let state = &mut saved.pv;
    state.kernel_root = kernel;
    state.user_root = user;
    state.flags = 0;
    for (bit, flag) in [
        (VGCF_in_kernel, pv::IN_KERNEL),
        (VGCF_failsafe_disables_events, pv::FAILSAFE_MASKS_EVENTS),
        (VGCF_syscall_disables_events, pv::SYSCALL_MASKS_EVENTS),
    ] {
        if c.flags & bit != 0 {
            state.flags |= flag;
        }
    }
    state.kernel_sp = crate::pv::kernel_stack(c.kernel_sp);
    state.kernel_ss = c.kernel_ss & 0xffff | 3;
    state.event_callback = c.event_callback_eip;
    state.failsafe_callback = c.failsafe_callback_eip;
    state.syscall_callback = c.syscall_callback_eip;
    state.fs_base = c.fs_base;
    state.gs_base_kernel = c.gs_base_kernel;
    state.gs_base_user = c.gs_base_user;
    state.debug = [0, 0, 0, 0, 0xffff_0ff0, 0x400];
    let u = &c.user_regs;
    // Linux's other CPUs start with IOPL 1, which their kernels need for ports.
    state.iopl = (u.rflags >> 12 & 3) as u32;
    state.selectors = [u.ds, u.es, u.fs, u.gs];
    saved.regs = registers(u);
    for (gate, from) in target.traps.iter().zip(&c.trap_ctxt) {
        let address = if guest(from.address) { from.address } else { 0 };
        let flags = u32::from(from.flags);
        let masks = u32::from(flags & 4 != 0) << 18;
        gate.address.store(address, Ordering::Relaxed);
        gate.selector_flags.store(u32::from(from.cs | 3) | (flags & 3) << 16 | masks, Ordering::Relaxed);
    }
    target.sched.set(INITIALISED);
    Ok(())
}

/// General registers as a guest may have them: ring 3, with interrupts on.
pub fn registers(u: &CpuUserRegs) -> Regs {
    Regs {
        r15: u.r15,
        r14: u.r14,
        r13: u.r13,
        r12: u.r12,
        rbp: u.rbp,
        rbx: u.rbx,
        r11: u.r11,
        r10: u.r10,
        r9: u.r9,
        r8: u.r8,
        rax: u.rax,
        rcx: u.rcx,
        rdx: u.rdx,
        rsi: u.rsi,
        rdi: u.rdi,
        error_code: 0,
        entry_vector: 0,
        rip: u.rip,
        cs: u64::from(u.cs) | 3,
        rflags: u.rflags & RFLAGS | RFLAGS_IF | 2,
        rsp: u.rsp,
        ss: u64::from(u.ss) | 3,
    }
}

fn root<P: Platform>(ctx: &mut Ctx<'_, P>, dom: &crate::Domain<P>, control: u64) -> Result<Maddr, Stop> {
    // xen_pfn_to_cr3 of x86_64: the frame's address, without flags.
    let mfn = Maddr(control & 0x000f_ffff_ffff_f000).mfn();
    for _ in 0..1000 {
        match paging::take_root(ctx, dom, mfn) {
            Ok(root) => return Ok(root),
            Err(paging::PagingError::Interrupted) => {}
            Err(error) => return Err(Stop::Err(error.errno())),
        }
    }
    Err(Errno::EAGAIN.into())
}
