//! From a guest's registers to core's dispatch table and back.

use crate::bounce;
use crate::devices::Hardware;
use crate::percpu;
use crate::platform::Machine;
use crate::traps::with_ctx;
use ferroxen_core::addr::Vaddr;
use ferroxen_core::ctx::Ctx;
use ferroxen_core::domain::{Domain, Hypervisor};
use ferroxen_core::evtchn::PirqEffect;
use ferroxen_core::hypercall::{Devices, HypercallResult, Stop, dispatch};
use ferroxen_core::{domctl, physdev, platform_op, sysctl};
use ferroxen_x86::StackTop;
use xen_abi::Errno;
use xen_abi::xen::*;

/// Bytes of the SYSCALL instruction: a continuation executes it again.
const SYSCALL_LEN: u64 = 2;

/// A hypercall of the guest's kernel; interrupts are on.
#[unsafe(no_mangle)]
extern "C" fn hypercall_from_guest(top: &mut StackTop) {
    let number = top.regs.rax;
    percpu::count_hypercall(top.cpu.number, number);
    if number == u64::from(__HYPERVISOR_iret) {
        // On an error the domain has crashed.
        let _ = bounce::iret(top);
        return;
    }
    top.cpu.hypercalls = top.cpu.hypercalls.wrapping_add(1);
    let r = &top.regs;
    let args = [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9];
    let result = with_ctx(top, |ctx, _| dispatch(ctx, &mut Hardware, number, args));
    let regs = &mut top.regs;
    match result {
        None => {}
        Some(Ok(value)) => regs.rax = value,
        Some(Err(Stop::Err(error))) => regs.rax = error.as_neg().cast_unsigned(),
        Some(Err(Stop::Again(args))) => {
            [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9] = args;
            regs.rip = regs.rip.wrapping_sub(SYSCALL_LEN);
        }
    }
}

/// The hypercalls that are mostly hardware.
impl Devices<Machine> for Hardware {
    fn physdev_op(&mut self, ctx: &mut Ctx<'_, Machine>, cmd: u32, arg: Vaddr) -> HypercallResult {
        physdev::physdev_op(ctx, self, cmd, arg)
    }
    fn platform_op(&mut self, ctx: &mut Ctx<'_, Machine>, arg: Vaddr) -> HypercallResult {
        platform_op::platform_op(ctx, self, arg)
    }
    fn sysctl(&mut self, ctx: &mut Ctx<'_, Machine>, arg: Vaddr) -> HypercallResult {
        sysctl::sysctl(ctx, self, arg)
    }
    fn domctl(&mut self, ctx: &mut Ctx<'_, Machine>, arg: Vaddr) -> HypercallResult {
        domctl::domctl(ctx, self, arg)
    }
    fn pirq(&mut self, hv: &Hypervisor<Machine>, dom: &Domain<Machine>, effect: PirqEffect) -> Result<(), Errno> {
        physdev::pirq(hv, dom, self, effect)
    }
}
