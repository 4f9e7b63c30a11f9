//! `HYPERVISOR_domctl` (domctl.h, interface versions 0x15 and 0x17): a toolstack's operations on a domain. PV domains only.

mod context;
mod create;
mod destroy;
mod info;
mod interface;
mod memory;
mod rights;
mod state;
#[cfg(test)]
mod tests;
mod vcpu;

pub use create::write_wall_clock;
pub(crate) use info::{count_domains, list};
use interface::Interface;
pub use state::{Stage, Toolstack};
pub(crate) use vcpu::write_bitmap;

use crate::access;
use crate::addr::Vaddr;
use crate::ctx::{Ctx, Effect, Effects};
use crate::domain::{DomId, Domain};
use crate::hypercall::{HypercallResult, Stop};
use crate::physdev::InterruptMachine;
use crate::platform::Platform;
use crate::pv::PvState;
use crate::sysctl::SystemMachine;
use core::sync::atomic::Ordering;
use ferroxen_sync::Shared;
use xen_abi::Errno;
use xen_abi::domctl::*;
use xen_abi::ferroxen::XEN_DOMCTL_ferroxen_vcpu_account;
use xen_abi::member;
use xen_abi::v4_20::{XEN_DOMCTL_gsi_permission, XEN_DOMCTL_set_llc_colors};

/// The scheduler as tools know it: by weight, work-conserving, as credit2 is.
pub(crate) const SCHEDULER: u32 = XEN_SCHEDULER_CREDIT2;
/// What every domain weighs.
const WEIGHT: u16 = 256;

/// Another domain, with what an operation on it needs.
struct On<'a, P: Platform> {
    dom: &'a Shared<Domain<P>>,
    arg: Vaddr,
}

impl<P: Platform> On<'_, P> {
    /// "Make the same hypercall again."
    fn again(&self) -> Stop {
        Stop::Again([self.arg.0, 0, 0, 0, 0, 0])
    }
}

/// Runs `f` as if the caller's vcpu were the domain's, for what works on "the caller's" memory or tables. What is to be
/// done to this CPU stays to be done.
fn as_domain<P: Platform, T>(ctx: &mut Ctx<'_, P>, dom: &Domain<P>, f: impl FnOnce(&mut Ctx<'_, P>) -> T) -> T {
    let mut pv = PvState::default();
    let mut inner = Ctx { hv: ctx.hv, cpu: ctx.cpu, vcpu: ctx.vcpu, dom, pv: &mut pv, effects: Effects::default() };
    let result = f(&mut inner);
    // Local flushes are joined; nothing else concerns the vcpu that runs.
    let made = inner.effects;
    if made.has(Effect::FLUSH_ALL) || made.page().is_some() {
        ctx.effects.add(Effect::FLUSH_ALL);
    }
    if made.has(Effect::FLUSH_NON_GLOBAL) {
        ctx.effects.add(Effect::FLUSH_NON_GLOBAL);
    }
    result
}

/// `domctl(arg)`.
///
/// # Errors
/// `EACCES`: another interface version; `EPERM`: not the control domain; `ESRCH`: no such domain; then as domctl.h says. `ENOSYS`,
/// `EOPNOTSUPP` for what PV domains of this hypervisor have not.
pub fn domctl<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    machine: &mut (impl SystemMachine + InterruptMachine),
    arg: Vaddr,
) -> HypercallResult {
    let mut op: XenDomctl = ctx.read(arg)?;
    let interface = Interface::of(op.interface_version)?;
    access::control(ctx)?;
    if op.cmd == XEN_DOMCTL_createdomain {
        let wanted = interface.createdomain(&op)?;
        create::create(ctx, machine, &wanted, &mut op.domain)?;
        ctx.write(arg, &op)?;
        return Ok(0);
    }
    let found = match DomId(op.domain) {
        // A list is made by asking for the first domain from a number on, again and again.
        id if op.cmd == XEN_DOMCTL_getdomaininfo => {
            if id >= DomId::FIRST_RESERVED {
                return Err(Errno::EINVAL.into());
            }
            ctx.hv.domains.next(id).filter(|dom| dom.id < DomId::FIRST_RESERVED)
        }
        DomId::SELF => ctx.hv.domains.get(ctx.dom.id),
        id => ctx.hv.domains.get(id),
    };
    let dom = found.ok_or(Errno::ESRCH)?;
    if !interface.has(op.cmd) {
        return Err(Errno::ENOSYS.into());
    }
    let on = On { dom: &dom, arg };
    const OF_THE_DYING: &[u32] =
        &[XEN_DOMCTL_destroydomain, XEN_DOMCTL_getdomaininfo, XEN_DOMCTL_getvcpuinfo, XEN_DOMCTL_ferroxen_vcpu_account];
    if dom.is_dying() && !OF_THE_DYING.contains(&op.cmd) {
        return Err(Errno::EINVAL.into());
    }
    if perform(ctx, machine, &on, &mut op)? {
        ctx.write(arg, &op)?;
    }
    Ok(0)
}

/// Gives whether the argument changed.
fn perform<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    machine: &mut (impl SystemMachine + InterruptMachine),
    on: &On<'_, P>,
    op: &mut XenDomctl,
) -> Result<bool, Stop> {
    let dom = on.dom;
    match op.cmd {
        XEN_DOMCTL_destroydomain => quiet(destroy::destroy(ctx, machine, on)),
        XEN_DOMCTL_pausedomain => {
            not_itself(ctx, dom)?;
            dom.toolstack.pauses.fetch_add(1, Ordering::SeqCst);
            ctx.hv.pause(dom);
            Ok(false)
        }
        XEN_DOMCTL_unpausedomain => {
            let pauses = &dom.toolstack.pauses;
            pauses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).map_err(|_| Errno::EINVAL)?;
            ctx.hv.unpause(dom);
            Ok(false)
        }
        XEN_DOMCTL_resumedomain => {
            if dom.shutdown.swap(0, Ordering::SeqCst) != 0 {
                ctx.hv.unpause(dom);
            }
            Ok(false)
        }
        XEN_DOMCTL_getdomaininfo => {
            let info = info::of(ctx.hv, dom);
            op.domain = info.domain;
            member::put(&mut op.u, &info);
            Ok(true)
        }
        XEN_DOMCTL_max_vcpus => quiet(create::vcpus(ctx, dom, &member::get(&op.u))),
        XEN_DOMCTL_max_mem => {
            let arg: XenDomctlMaxMem = member::get(&op.u);
            dom.pages.max.store((arg.max_memkb >> 2).min(u32::MAX.into()), Ordering::Relaxed);
            Ok(false)
        }
        XEN_DOMCTL_setdomainhandle => {
            let arg: XenDomctlSetdomainhandle = member::get(&op.u);
            dom.handle.set(arg.handle);
            Ok(false)
        }
        XEN_DOMCTL_setvcpucontext => quiet(context::set(ctx, on, &member::get(&op.u))),
        XEN_DOMCTL_getvcpucontext => quiet(context::get(ctx, on, &member::get(&op.u))),
        XEN_DOMCTL_getvcpuinfo => told(vcpu::info(ctx, dom, op)),
        XEN_DOMCTL_ferroxen_vcpu_account => told(vcpu::account(ctx, dom, op)),
        XEN_DOMCTL_setvcpuaffinity => quiet(vcpu::set_affinity(ctx, dom, &member::get(&op.u))),
        XEN_DOMCTL_getvcpuaffinity => quiet(vcpu::get_affinity(ctx, dom, &member::get(&op.u))),
        XEN_DOMCTL_setnodeaffinity | XEN_DOMCTL_getnodeaffinity => {
            quiet(vcpu::node_affinity(ctx, &member::get(&op.u), op.cmd == XEN_DOMCTL_setnodeaffinity))
        }
        XEN_DOMCTL_sendtrigger => quiet(vcpu::trigger(ctx, dom, &member::get(&op.u))),
        XEN_DOMCTL_scheduler_op => told(scheduler(op)),
        XEN_DOMCTL_hypercall_init => quiet(memory::hypercall_page(ctx, machine, dom, &member::get(&op.u))),
        XEN_DOMCTL_getpageframeinfo3 => quiet(memory::frame_info(ctx, on, &member::get(&op.u))),
        XEN_DOMCTL_shadow_op => told(memory::shadow(op)),
        XEN_DOMCTL_settimeoffset => {
            let arg: XenDomctlSettimeoffset = member::get(&op.u);
            dom.toolstack.time_offset.store(arg.time_offset_seconds, Ordering::Relaxed);
            create::write_wall_clock(ctx.hv, dom, machine.wall_clock());
            Ok(false)
        }
        XEN_DOMCTL_gettscinfo => {
            let info = XenDomctlTscInfo {
                tsc_mode: 0,
                gtsc_khz: machine.cpu_khz(),
                incarnation: dom.toolstack.incarnation.load(Ordering::Relaxed),
                pad: 0,
                elapsed_nsec: 0,
            };
            member::put(&mut op.u, &info);
            Ok(true)
        }
        XEN_DOMCTL_settscinfo => {
            const DEFAULT: u32 = 0;
            const NATIVE: u32 = 2;
            let arg: XenDomctlTscInfo = member::get(&op.u);
            // RDTSC is never emulated: a domain that must have it so cannot run here.
            if !matches!(arg.tsc_mode, DEFAULT | NATIVE) {
                return Err(Errno::EOPNOTSUPP.into());
            }
            dom.toolstack.incarnation.store(arg.incarnation, Ordering::Relaxed);
            Ok(false)
        }
        XEN_DOMCTL_irq_permission => quiet(rights::interrupt(ctx, dom, &member::get(&op.u))),
        XEN_DOMCTL_gsi_permission => quiet(rights::gsi(ctx, dom, &member::get(&op.u))),
        XEN_DOMCTL_iomem_permission => quiet(rights::memory(dom, &member::get(&op.u))),
        XEN_DOMCTL_ioport_permission => quiet(rights::ports(dom, &member::get(&op.u))),
        XEN_DOMCTL_memory_mapping => quiet(rights::mapping(ctx, dom, &member::get(&op.u))),
        XEN_DOMCTL_set_address_size => {
            let arg: XenDomctlAddressSize = member::get(&op.u);
            // As a Xen that was built without 32-bit PV.
            if arg.size == 64 { Ok(false) } else { Err(Errno::EOPNOTSUPP.into()) }
        }
        XEN_DOMCTL_get_address_size => {
            member::put(&mut op.u, &XenDomctlAddressSize { size: 64 });
            Ok(true)
        }
        XEN_DOMCTL_get_cpu_policy => told(create::get_policy(ctx, machine, dom, op)),
        XEN_DOMCTL_set_cpu_policy => told(create::set_policy(ctx, machine, dom, op)),
        XEN_DOMCTL_set_virq_handler => {
            let arg: XenDomctlSetVirqHandler = member::get(&op.u);
            ctx.hv.virq_handlers.set(arg.virq, dom.id)?;
            Ok(false)
        }
        XEN_DOMCTL_subscribe => {
            let arg: XenDomctlSubscribe = member::get(&op.u);
            dom.toolstack.suspend_port.store(arg.port, Ordering::Relaxed);
            Ok(false)
        }
        XEN_DOMCTL_setdebugging => {
            let arg: XenDomctlSetdebugging = member::get(&op.u);
            if arg.enable == 0 { Ok(false) } else { Err(Errno::EOPNOTSUPP.into()) }
        }
        XEN_DOMCTL_gethvmcontext
        | XEN_DOMCTL_sethvmcontext
        | XEN_DOMCTL_gethvmcontext_partial
        | XEN_DOMCTL_setvnumainfo
        | XEN_DOMCTL_soft_reset
        | XEN_DOMCTL_get_paging_mempool_size
        | XEN_DOMCTL_set_paging_mempool_size
        | XEN_DOMCTL_getvcpuextstate
        | XEN_DOMCTL_setvcpuextstate
        | XEN_DOMCTL_vmtrace_op
        | XEN_DOMCTL_set_llc_colors => Err(Errno::EOPNOTSUPP.into()),
        _ => Err(Errno::ENOSYS.into()),
    }
}

/// Done, and the argument is as it was.
fn quiet<E: Into<Stop>>(result: Result<(), E>) -> Result<bool, Stop> {
    result.map(|()| false).map_err(E::into)
}

/// Done, and the argument has the answer.
fn told<E: Into<Stop>>(result: Result<(), E>) -> Result<bool, Stop> {
    result.map(|()| true).map_err(E::into)
}

/// Nobody stops or ends himself by domctl.
fn not_itself<P: Platform>(ctx: &Ctx<'_, P>, dom: &Domain<P>) -> Result<(), Errno> {
    if dom.id == ctx.dom.id { Err(Errno::EINVAL) } else { Ok(()) }
}

/// All domains weigh the same.
fn scheduler(op: &mut XenDomctl) -> Result<(), Stop> {
    let mut arg: XenDomctlSchedulerOp = member::get(&op.u);
    if arg.sched_id != SCHEDULER {
        return Err(Errno::EINVAL.into());
    }
    match arg.cmd {
        XEN_DOMCTL_SCHEDOP_getinfo => {
            member::put(&mut arg.u, &XenDomctlSchedCredit2 { weight: WEIGHT, cap: 0 });
        }
        XEN_DOMCTL_SCHEDOP_putinfo => {
            let wanted: XenDomctlSchedCredit2 = member::get(&arg.u);
            if !matches!(wanted.weight, 0 | WEIGHT) || wanted.cap != 0 {
                return Err(Errno::EOPNOTSUPP.into());
            }
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    member::put(&mut op.u, &arg);
    Ok(())
}
