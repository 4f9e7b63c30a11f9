//! The one CPU pool and its scheduler.

use crate::ctx::Ctx;
use crate::domain::DomId;
use crate::domctl::{SCHEDULER, count_domains, write_bitmap};
use crate::hypercall::Stop;
use crate::platform::Platform;
use xen_abi::Errno;
use xen_abi::member;
use xen_abi::sysctl::*;

const POOL: u32 = 0;

pub(super) fn pool<P: Platform>(ctx: &Ctx<'_, P>, op: &mut XenSysctl) -> Result<(), Stop> {
    let mut arg: XenSysctlCpupoolOp = member::get(&op.u);
    match arg.op {
        // The first pool from this number on.
        XEN_SYSCTL_CPUPOOL_OP_INFO => {
            if arg.cpupool_id != POOL {
                return Err(Errno::ENOENT.into());
            }
            arg.sched_id = SCHEDULER;
            arg.n_dom = count_domains(ctx.hv);
            write_bitmap(ctx, &arg.cpumap, &ctx.platform().online())?;
        }
        // CPUs in no pool: none.
        XEN_SYSCTL_CPUPOOL_OP_FREEINFO => write_bitmap(ctx, &arg.cpumap, &Default::default())?,
        XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN => {
            let id = u16::try_from(arg.domid).map_err(|_| Errno::ESRCH)?;
            ctx.hv.domains.get(DomId(id)).ok_or(Errno::ESRCH)?;
            if arg.cpupool_id != POOL {
                return Err(Errno::ENOENT.into());
            }
        }
        XEN_SYSCTL_CPUPOOL_OP_DESTROY if arg.cpupool_id == POOL => return Err(Errno::EBUSY.into()),
        XEN_SYSCTL_CPUPOOL_OP_DESTROY => return Err(Errno::ENOENT.into()),
        XEN_SYSCTL_CPUPOOL_OP_ADDCPU | XEN_SYSCTL_CPUPOOL_OP_RMCPU => return Err(Errno::EBUSY.into()),
        XEN_SYSCTL_CPUPOOL_OP_CREATE => return Err(Errno::EOPNOTSUPP.into()),
        _ => return Err(Errno::ENOSYS.into()),
    }
    member::put(&mut op.u, &arg);
    Ok(())
}

/// How long a vcpu runs at least before one that used less takes its place: a millisecond, and not to be changed.
const RATELIMIT_US: u32 = 1000;

pub(super) fn scheduler(op: &mut XenSysctl) -> Result<(), Errno> {
    let mut arg: XenSysctlSchedulerOp = member::get(&op.u);
    if arg.cpupool_id != POOL {
        return Err(Errno::ESRCH);
    }
    if arg.sched_id != SCHEDULER {
        return Err(Errno::EINVAL);
    }
    let parameters: XenSysctlCredit2Schedule = member::get(&arg.u);
    match arg.cmd {
        XEN_SYSCTL_SCHEDOP_getinfo => {
            member::put(&mut arg.u, &XenSysctlCredit2Schedule { ratelimit_us: RATELIMIT_US });
        }
        XEN_SYSCTL_SCHEDOP_putinfo if parameters.ratelimit_us == RATELIMIT_US => {}
        XEN_SYSCTL_SCHEDOP_putinfo => return Err(Errno::EOPNOTSUPP),
        _ => return Err(Errno::EINVAL),
    }
    member::put(&mut op.u, &arg);
    Ok(())
}
