//! From a guest's registers to core's dispatch table and back.

use crate::machine::{self, hv};
use crate::percpu;
use crate::platform::Machine;
use crate::traps::with_ctx;
use crate::{bounce, console, irq};
use ferroxen_core::Platform;
use ferroxen_core::addr::Vaddr;
use ferroxen_core::ctx::Ctx;
use ferroxen_core::evtchn::PirqEffect;
use ferroxen_core::hypercall::{Devices, HypercallResult, Stop, dispatch};
use ferroxen_x86::{StackTop, instructions};
use xen_abi::Errno;
use xen_abi::xen::*;

/// Bytes of the SYSCALL instruction: a continuation executes it again.
const SYSCALL_LEN: u64 = 2;

/// A hypercall of the guest's kernel; interrupts are on.
#[unsafe(no_mangle)]
extern "C" fn hypercall_from_guest(top: &mut StackTop) {
    let number = top.regs.rax;
    percpu::count_hypercall(number);
    if number == u64::from(__HYPERVISOR_iret) {
        // On an error the domain has crashed.
        let _ = bounce::iret(top);
        return;
    }
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
struct Hardware;

impl Devices<Machine> for Hardware {
    fn physdev_op(&mut self, _ctx: &mut Ctx<'_, Machine>, _cmd: u32, _arg: Vaddr) -> HypercallResult {
        Err(Errno::ENOSYS.into())
    }
    fn platform_op(&mut self, _ctx: &mut Ctx<'_, Machine>, _arg: Vaddr) -> HypercallResult {
        Err(Errno::ENOSYS.into())
    }
    fn sysctl(&mut self, _ctx: &mut Ctx<'_, Machine>, _arg: Vaddr) -> HypercallResult {
        Err(Errno::ENOSYS.into())
    }
    fn domctl(&mut self, _ctx: &mut Ctx<'_, Machine>, _arg: Vaddr) -> HypercallResult {
        Err(Errno::ENOSYS.into())
    }
    fn pirq(&mut self, _ctx: &mut Ctx<'_, Machine>, effect: PirqEffect) -> Result<(), Errno> {
        match effect {
            PirqEffect::Bind { pirq, .. } => {
                if irq::vector_of(pirq).is_none() && pirq >= irq::gsi_count() {
                    return Err(Errno::EINVAL);
                }
                if pirq < irq::gsi_count() {
                    irq::set_mask(pirq, false);
                }
                Ok(())
            }
            PirqEffect::Unbind { pirq } => {
                if pirq < irq::gsi_count() {
                    irq::set_mask(pirq, true);
                }
                Ok(())
            }
            PirqEffect::Affinity { .. } => Ok(()),
        }
    }
    fn set_segment_base(&mut self, ctx: &mut Ctx<'_, Machine>, which: u32, base: u64) -> HypercallResult {
        use xen_abi::arch_x86_64::*;
        let canonical = Vaddr(base).is_canonical();
        match which {
            SEGBASE_FS | SEGBASE_GS_KERNEL | SEGBASE_GS_USER if !canonical => return Err(Errno::EINVAL.into()),
            // SAFETY: canonical; the hypervisor uses none of the three. The guest's kernel runs, so the active base
            // is its own and the other one its user mode's.
            SEGBASE_FS => unsafe { instructions::wrmsr(0xc000_0100, base) },
            // SAFETY: as above.
            SEGBASE_GS_KERNEL => unsafe { instructions::wrmsr(0xc000_0101, base) },
            // SAFETY: as above.
            SEGBASE_GS_USER => unsafe { instructions::wrmsr(0xc000_0102, base) },
            SEGBASE_GS_USER_SEL => {
                // The selector is loaded as the user mode's GS: its base becomes the user base.
                let selector = (base & 0xffff) as u16;
                let [ds, es, fs, _] = ferroxen_x86::guest_copy::selectors();
                // SAFETY: the hypervisor uses neither base; the kernel's is put back.
                unsafe {
                    let kernel = instructions::rdmsr(0xc000_0101);
                    ferroxen_x86::guest_copy::load_selectors([ds, es, fs, selector]);
                    let user = instructions::rdmsr(0xc000_0101);
                    instructions::wrmsr(0xc000_0102, user);
                    instructions::wrmsr(0xc000_0101, kernel);
                }
            }
            _ => return Err(Errno::EINVAL.into()),
        }
        debug_assert!(ctx.pv.in_kernel());
        Ok(0)
    }
    fn console_io(&mut self, ctx: &mut Ctx<'_, Machine>, cmd: u32, count: u64, buffer: Vaddr) -> HypercallResult {
        ferroxen_core::hypercall::console_io(ctx, cmd, count, buffer, &mut console::write_bytes)
    }
}

