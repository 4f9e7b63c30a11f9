//! XEN_DOMCTL_getdomaininfo and XEN_SYSCTL_getdomaininfolist: what `xl list` shows.

use crate::addr::Vaddr;
use crate::ctx::Ctx;
use crate::domain::{DomId, Domain, Hypervisor};
use crate::hypercall::Stop;
use crate::platform::Platform;
use crate::sched::{BLOCKED, UP};
use core::sync::atomic::Ordering;
use xen_abi::domctl::*;
use xen_abi::member;
use xen_abi::sysctl::{XenSysctl, XenSysctlGetdomaininfolist};
use xen_abi::vcpu::RUNSTATE_running;

/// A domain as its toolstack sees it.
pub(super) fn of<P: Platform>(hv: &Hypervisor<P>, dom: &Domain<P>) -> XenDomctlGetdomaininfo {
    let now = hv.platform.now();
    let mut flags = 0;
    let (mut online, mut blocked, mut cpu_time, mut last) = (0u32, 0u32, 0u64, None);
    for vcpu in dom.vcpus() {
        last = Some(vcpu.id);
        let spent = vcpu.runstate.snapshot(now).time;
        cpu_time = cpu_time.saturating_add(spent.get(RUNSTATE_running as usize).copied().unwrap_or(0));
        let state = vcpu.sched.flags();
        if state & UP == 0 {
            continue;
        }
        online = online.saturating_add(1);
        if state & BLOCKED != 0 {
            blocked = blocked.saturating_add(1);
        }
        if vcpu.sched.running() {
            flags |= XEN_DOMINF_running;
        }
    }
    if online != 0 && blocked == online {
        flags |= XEN_DOMINF_blocked;
    }
    if dom.is_dying() {
        flags |= XEN_DOMINF_dying;
    }
    let shutdown = dom.shutdown.load(Ordering::Acquire);
    // Without a reason yet, Xen says 255.
    let code = shutdown.checked_sub(1);
    flags |= u32::from(code.unwrap_or(u8::MAX)) << XEN_DOMINF_shutdownshift;
    if code.is_some() {
        flags |= XEN_DOMINF_shutdown;
    }
    if dom.toolstack.paused() {
        flags |= XEN_DOMINF_paused;
    }
    if dom.toolstack.xenstore.load(Ordering::Relaxed) {
        flags |= XEN_DOMINF_xs_domain;
    }
    let last_frame = hv.frames.end().0.saturating_sub(1);
    let bits = 64u32.saturating_sub((last_frame << 12).leading_zeros());
    XenDomctlGetdomaininfo {
        domain: dom.id.0,
        flags,
        tot_pages: dom.pages.total.load(Ordering::Relaxed),
        // Xen counts a domain's frames in 32 bits: that is its "no limit".
        max_pages: dom.pages.max.load(Ordering::Relaxed).min(u32::MAX.into()),
        outstanding_pages: dom.pages.claim.load(Ordering::Relaxed),
        shared_info_frame: dom.shared_info.load(Ordering::Relaxed),
        cpu_time,
        nr_online_vcpus: online,
        max_vcpu_id: last.unwrap_or(XEN_INVALID_MAX_VCPU_ID),
        handle: dom.handle.get(),
        gpaddr_bits: u8::try_from(bits).unwrap_or(64),
        ..Default::default()
    }
}

/// Number of domains.
pub(crate) fn count_domains<P: Platform>(hv: &Hypervisor<P>) -> u32 {
    let mut count = 0u32;
    each(hv, DomId(0), |_| {
        count = count.saturating_add(1);
        true
    });
    count
}

/// Calls `f` with every domain from a number on, until it says `false`.
fn each<P: Platform>(hv: &Hypervisor<P>, from: DomId, mut f: impl FnMut(&Domain<P>) -> bool) {
    let mut next = from;
    while let Some(dom) = hv.domains.next(next) {
        if !f(&dom) || dom.id >= DomId::FIRST_RESERVED {
            return;
        }
        next = DomId(dom.id.0.saturating_add(1));
    }
}

/// XEN_SYSCTL_getdomaininfolist.
pub(crate) fn list<P: Platform>(ctx: &Ctx<'_, P>, op: &mut XenSysctl) -> Result<(), Stop> {
    let mut arg: XenSysctlGetdomaininfolist = member::get(&op.u);
    let mut done = 0u32;
    let mut result = Ok(());
    each(ctx.hv, DomId(arg.first_domain), |dom| {
        if done >= arg.max_domains {
            return false;
        }
        result = ctx.write_at(Vaddr(arg.buffer.addr()), done.into(), &of(ctx.hv, dom));
        done = done.saturating_add(1);
        result.is_ok()
    });
    result?;
    arg.num_domains = done;
    member::put(&mut op.u, &arg);
    Ok(())
}
