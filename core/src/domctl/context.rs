//! XEN_DOMCTL_setvcpucontext and XEN_DOMCTL_getvcpucontext: a vcpu's registers from outside.

use super::{On, as_domain};
use crate::addr::Vaddr;
use crate::ctx::Ctx;
use crate::domain::{Vcpu, context};
use crate::hypercall::Stop;
use crate::platform::Platform;
use crate::pv;
use crate::sched::{INITIALISED, UP};
use core::sync::atomic::Ordering;
use ferroxen_sync::Shared;
use xen_abi::Errno;
use xen_abi::arch_x86::*;
use xen_abi::arch_x86_64::CpuUserRegs;
use xen_abi::domctl::XenDomctlVcpucontext;

/// Looks at a vcpu that leaves its CPU before the hypercall is made again.
const PATIENCE: u32 = 100_000;

fn vcpu<'a, P: Platform>(on: &'a On<'_, P>, id: u32) -> Result<&'a Shared<Vcpu<P>>, Errno> {
    on.dom.vcpu(id).ok_or(if id < on.dom.max_vcpus { Errno::ESRCH } else { Errno::EINVAL })
}

/// Runs `f` while no vcpu of the domain runs.
fn stopped<P: Platform, T>(
    ctx: &mut Ctx<'_, P>,
    on: &On<'_, P>,
    f: impl FnOnce(&mut Ctx<'_, P>) -> Result<T, Stop>,
) -> Result<T, Stop> {
    if on.dom.id == ctx.dom.id {
        return Err(Errno::EINVAL.into());
    }
    ctx.hv.pause(on.dom);
    let mut patience = PATIENCE;
    let off = loop {
        if on.dom.vcpus().all(|vcpu| vcpu.sched.running_on().is_none()) {
            break true;
        }
        match patience.checked_sub(1) {
            Some(left) => patience = left,
            None => break false,
        }
        core::hint::spin_loop();
    };
    let result = if off { f(ctx) } else { Err(on.again()) };
    ctx.hv.unpause(on.dom);
    result
}

/// The first state of a vcpu; later, only its general registers can be changed (what a toolstack does when it resumes a
/// domain that failed to suspend).
pub(super) fn set<P: Platform>(ctx: &mut Ctx<'_, P>, on: &On<'_, P>, arg: &XenDomctlVcpucontext) -> Result<(), Stop> {
    let target = vcpu(on, arg.vcpu)?.clone();
    if arg.ctxt.is_null() {
        // A reset would have to undo the vcpu's tables.
        return Err(Errno::EOPNOTSUPP.into());
    }
    let wanted: VcpuGuestContext = ctx.read(Vaddr(arg.ctxt.addr()))?;
    stopped(ctx, on, |ctx| {
        if target.sched.flags() & INITIALISED == 0 {
            as_domain(ctx, on.dom, |ctx| context::load(ctx, &target, &wanted))?;
        } else {
            let mut saved = target.saved.lock();
            saved.regs = context::registers(&wanted.user_regs);
        }
        if wanted.flags & VGCF_online != 0 {
            target.sched.set(UP);
        } else {
            target.sched.clear(UP);
        }
        Ok(())
    })?;
    // It may run now, unless the domain is paused.
    ctx.hv.enqueue(&target);
    Ok(())
}

pub(super) fn get<P: Platform>(ctx: &mut Ctx<'_, P>, on: &On<'_, P>, arg: &XenDomctlVcpucontext) -> Result<(), Stop> {
    let target = vcpu(on, arg.vcpu)?.clone();
    if target.sched.flags() & INITIALISED == 0 {
        return Err(Errno::ENODATA.into());
    }
    stopped(ctx, on, |ctx| {
        let assist = on.dom.vm_assist.load(Ordering::Relaxed);
        let state = snapshot(&target, assist);
        ctx.write(Vaddr(arg.ctxt.addr()), &state)
    })
}

fn snapshot<P: Platform>(vcpu: &Vcpu<P>, vm_assist: u64) -> VcpuGuestContext {
    let saved = vcpu.saved.lock();
    let (regs, state) = (&saved.regs, &saved.pv);
    let mut c = VcpuGuestContext { vm_assist, ..Default::default() };
    for (set, flag) in [
        (state.flags & pv::IN_KERNEL, VGCF_in_kernel),
        (state.flags & pv::FAILSAFE_MASKS_EVENTS, VGCF_failsafe_disables_events),
        (state.flags & pv::SYSCALL_MASKS_EVENTS, VGCF_syscall_disables_events),
        (vcpu.sched.flags() & UP, VGCF_online),
    ] {
        if set != 0 {
            c.flags |= flag;
        }
    }
    if let Some(first) = saved.fpu.first_chunk::<8>() {
        c.flags |= VGCF_i387_valid;
        for (to, from) in c.fpu_ctxt.x.chunks_exact_mut(64).zip(first) {
            to.copy_from_slice(&from.0);
        }
    }
    let selector = |value: u64| (value & 0xffff) as u16;
    let [ds, es, fs, gs] = state.selectors;
    c.user_regs = CpuUserRegs {
        r15: regs.r15,
        r14: regs.r14,
        r13: regs.r13,
        r12: regs.r12,
        rbp: regs.rbp,
        rbx: regs.rbx,
        r11: regs.r11,
        r10: regs.r10,
        r9: regs.r9,
        r8: regs.r8,
        rax: regs.rax,
        rcx: regs.rcx,
        rdx: regs.rdx,
        rsi: regs.rsi,
        rdi: regs.rdi,
        rip: regs.rip,
        cs: selector(regs.cs),
        // The guest sees its virtual I/O privilege level.
        rflags: regs.rflags | u64::from(state.iopl & 3) << 12,
        rsp: regs.rsp,
        ss: selector(regs.ss),
        ds,
        es,
        fs,
        gs,
        ..Default::default()
    };
    for (vector, (to, from)) in (0u8..=255).zip(c.trap_ctxt.iter_mut().zip(&vcpu.traps)) {
        let packed = from.selector_flags.load(Ordering::Relaxed);
        let masks = if packed >> 18 & 1 == 1 { 4 } else { 0 };
        to.address = from.address.load(Ordering::Relaxed);
        if to.address != 0 {
            to.vector = vector;
            to.cs = (packed & 0xffff) as u16;
            to.flags = (packed >> 16 & 3) as u8 | masks;
        }
    }
    c.ldt_base = state.ldt_base.0;
    c.ldt_ents = state.ldt_entries.into();
    c.gdt_ents = state.gdt_entries.into();
    for (to, from) in c.gdt_frames.iter_mut().zip(state.gdt_frames) {
        *to = from.0;
    }
    c.kernel_ss = state.kernel_ss;
    c.kernel_sp = state.kernel_sp;
    let task_switched = if state.flags & pv::TASK_SWITCHED != 0 { 1 << 3 } else { 0 };
    const PE_PG: u64 = 1 | 1 << 31;
    c.ctrlreg = [PE_PG | task_switched, state.user_root.0, 0, state.kernel_root.0, state.cr4, 0, 0, 0];
    let [dr0, dr1, dr2, dr3, dr6, dr7] = state.debug;
    c.debugreg = [dr0, dr1, dr2, dr3, 0, 0, dr6, dr7];
    c.event_callback_eip = state.event_callback;
    c.failsafe_callback_eip = state.failsafe_callback;
    c.syscall_callback_eip = state.syscall_callback;
    c.fs_base = state.fs_base;
    c.gs_base_kernel = state.gs_base_kernel;
    c.gs_base_user = state.gs_base_user;
    c
}
