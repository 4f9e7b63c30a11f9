//! Small calls about the running vcpu's registers: `stack_switch`, `fpu_taskswitch`, `set_segment_base`.

use super::HypercallResult;
use super::traps::ring3;
use crate::addr::Vaddr;
use crate::ctx::{Ctx, Effect};
use crate::platform::Platform;
use crate::pv::{TASK_SWITCHED, kernel_stack};
use xen_abi::Errno;
use xen_abi::arch_x86_64::{SEGBASE_FS, SEGBASE_GS_KERNEL, SEGBASE_GS_USER, SEGBASE_GS_USER_SEL};

/// `HYPERVISOR_stack_switch(ss, esp)`: the kernel's stack for entries from user mode.
pub fn stack_switch<P: Platform>(ctx: &mut Ctx<'_, P>, ss: u64, sp: u64) -> HypercallResult {
    ctx.pv.kernel_ss = u64::from(ring3((ss & 0xffff) as u16));
    ctx.pv.kernel_sp = kernel_stack(sp);
    Ok(0)
}

/// `HYPERVISOR_fpu_taskswitch(set)`: CR0.TS as the guest sees it; while it is set, its FPU instructions raise #NM.
pub fn fpu_taskswitch<P: Platform>(ctx: &mut Ctx<'_, P>, set: u64) -> HypercallResult {
    // C's `int`.
    ctx.pv.flags = if set & 0xffff_ffff != 0 { ctx.pv.flags | TASK_SWITCHED } else { ctx.pv.flags & !TASK_SWITCHED };
    ctx.effects.add(Effect::LOAD_FPU);
    Ok(0)
}

/// `HYPERVISOR_set_segment_base(which, base)`. Hypercalls come from the guest's kernel: its GS is the active one.
///
/// # Errors
/// `EINVAL`: a base that is not canonical, or no such segment.
pub fn set_segment_base<P: Platform>(ctx: &mut Ctx<'_, P>, which: u64, base: u64) -> HypercallResult {
    let bases = ctx.effects.segment_bases_mut();
    let canonical = Vaddr(base).is_canonical();
    // C's `unsigned int`.
    match (which & 0xffff_ffff) as u32 {
        SEGBASE_FS if canonical => {
            bases.fs = Some(base);
            ctx.pv.fs_base = base;
        }
        SEGBASE_GS_USER if canonical => {
            bases.gs_user = Some(base);
            ctx.pv.gs_base_user = base;
        }
        SEGBASE_GS_KERNEL if canonical => {
            bases.gs_kernel = Some(base);
            ctx.pv.gs_base_kernel = base;
        }
        SEGBASE_GS_USER_SEL => {
            let selector = (base & 0xffff) as u16;
            // The null selectors have no privilege.
            bases.gs_user_selector = Some(if selector > 3 { ring3(selector) } else { selector });
            // The selector brings a base of its own.
            bases.gs_user = None;
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}
