//! `HYPERVISOR_sysctl` (sysctl.h, interface version 0x15): the toolstack's operations on the system.

mod console;
mod cpuid;
mod info;
mod pool;
mod seam;
#[cfg(test)]
pub(crate) mod tests;
mod topology;

pub(crate) use cpuid::{features_of, write_policy};
pub use seam::SystemMachine;

use crate::access;
use crate::addr::Vaddr;
use crate::ctx::Ctx;
use crate::domctl;
use crate::hypercall::HypercallResult;
use crate::platform::Platform;
use xen_abi::Errno;
use xen_abi::member;
use xen_abi::sysctl::*;

/// The most keys of one XEN_SYSCTL_debug_keys.
const MOST_KEYS: u32 = 256;

/// `sysctl(arg)`.
///
/// # Errors
/// `EACCES`: another interface version; `EPERM`: not the control domain; then as sysctl.h says. `ENOSYS`, `EOPNOTSUPP`, `ENODEV`
/// for what this build or this machine has not.
pub fn sysctl<P: Platform>(ctx: &mut Ctx<'_, P>, machine: &mut impl SystemMachine, arg: Vaddr) -> HypercallResult {
    let mut op: XenSysctl = ctx.read(arg)?;
    if op.interface_version != XEN_SYSCTL_INTERFACE_VERSION {
        return Err(Errno::EACCES.into());
    }
    access::control(ctx)?;
    match op.cmd {
        XEN_SYSCTL_readconsole => console::read(ctx, &mut op)?,
        XEN_SYSCTL_debug_keys => {
            let keys: XenSysctlDebugKeys = member::get(&op.u);
            for n in 0..keys.nr_keys.min(MOST_KEYS) {
                let key: u8 = ctx.read_at(Vaddr(keys.keys.addr()), n.into())?;
                machine.debug_key(key);
            }
            return Ok(0);
        }
        XEN_SYSCTL_physinfo => info::physical(ctx, machine, &mut op),
        XEN_SYSCTL_sched_id => {
            member::put(&mut op.u, &XenSysctlSchedId { sched_id: domctl::SCHEDULER });
        }
        XEN_SYSCTL_getdomaininfolist => domctl::list(ctx, &mut op)?,
        XEN_SYSCTL_getcpuinfo => info::idle_times(ctx, machine, &mut op)?,
        XEN_SYSCTL_availheap => info::free_memory(ctx, &mut op)?,
        XEN_SYSCTL_page_offline_op => {
            info::offline(ctx, &op)?;
            return Ok(0);
        }
        XEN_SYSCTL_tbuf_op => info::trace(&mut op)?,
        XEN_SYSCTL_cpu_hotplug => {
            info::hotplug(machine, &op)?;
            return Ok(0);
        }
        XEN_SYSCTL_cputopoinfo => topology::cpus(ctx, machine, &mut op)?,
        XEN_SYSCTL_numainfo => topology::nodes(ctx, &mut op)?,
        XEN_SYSCTL_pcitopoinfo => topology::functions(ctx, &mut op)?,
        XEN_SYSCTL_cpupool_op => pool::pool(ctx, &mut op)?,
        XEN_SYSCTL_scheduler_op => pool::scheduler(&mut op)?,
        XEN_SYSCTL_get_cpu_levelling_caps => {
            // Each PV domain's leaves are computed for it; nothing of the hardware is masked.
            member::put(&mut op.u, &XenSysctlCpuLevellingCaps { caps: 0 });
        }
        XEN_SYSCTL_get_cpu_featureset => cpuid::featureset(ctx, machine, &mut op)?,
        XEN_SYSCTL_get_cpu_policy => cpuid::policy(ctx, machine, &mut op)?,
        XEN_SYSCTL_get_pmstat | XEN_SYSCTL_pm_op | XEN_SYSCTL_psr_cmt_op | XEN_SYSCTL_psr_alloc => {
            return Err(Errno::ENODEV.into());
        }
        XEN_SYSCTL_livepatch_op => info::live_patches(&mut op)?,
        XEN_SYSCTL_coverage_op => return Err(Errno::EOPNOTSUPP.into()),
        // Counters and lock profiles are not in Debian's build of Xen either.
        _ => return Err(Errno::ENOSYS.into()),
    }
    ctx.write(arg, &op)?;
    Ok(0)
}
