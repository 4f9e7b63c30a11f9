//! XEN_DOMCTL_createdomain, XEN_DOMCTL_max_vcpus, and what a domain is given before it runs.

use crate::addr::{Maddr, Mfn};
use crate::cpupolicy::{Kind, Policy};
use crate::ctx::Ctx;
use crate::domain::{DomId, Domain, Hypervisor, MAX_VCPUS};
use crate::grant::Limits;
use crate::hypercall::Stop;
use crate::memory::Request;
use crate::platform::Platform;
use crate::sched::{PAUSED, Scheduler};
use crate::settings::Settings;
use crate::sysctl::{SystemMachine, features_of, write_policy};
use crate::time::WallClock;
use core::sync::atomic::Ordering;
use ferroxen_sync::Shared;
use xen_abi::Errno;
use xen_abi::arch_x86::XEN_X86_MISC_FLAGS_MAX;
use xen_abi::domctl::*;
use xen_abi::member;
use xen_abi::xen::VcpuInfo;

/// Pirqs of a domain beside the lines (Xen's extra_guest_irqs).
const EXTRA_PIRQS: u32 = 32;
/// Vcpus that have their `struct vcpu_info` in the shared-info page (XEN_LEGACY_MAX_VCPUS).
const LEGACY_VCPUS: u32 = 32;

/// The domain is made paused, without vcpus and memory. `domain` is the wanted number (0: any), then its own.
///
/// # Errors
/// `EINVAL`: more than a PV domain can have; `EEXIST`: the number is taken; `ENOMEM`.
pub(super) fn create<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    machine: &mut impl SystemMachine,
    arg: &XenDomctlCreatedomain,
    domain: &mut u16,
) -> Result<(), Stop> {
    if arg.flags & !XEN_DOMCTL_CDF_xs_domain != 0
        || arg.iommu_opts != 0
        || arg.arch.emulation_flags != 0
        || arg.arch.misc_flags & !XEN_X86_MISC_FLAGS_MAX != 0
        || arg.vmtrace_size != 0
        || arg.cpupool_id != 0
        || arg.max_vcpus as usize > MAX_VCPUS
    {
        return Err(Errno::EINVAL.into());
    }
    let limits = limits(&ctx.hv.settings, arg)?;
    let id = match DomId(*domain) {
        id if id.0 != 0 && id < DomId::FIRST_RESERVED => Some(id),
        _ => None,
    };
    if let Some(id) = id
        && ctx.hv.domains.get(id).is_some()
    {
        return Err(Errno::EEXIST.into());
    }
    let id = match id {
        Some(id) => id,
        None => free_number(ctx.hv).ok_or(Errno::ENOMEM)?,
    };
    let dom = Domain::try_new(id, arg.max_vcpus, false)?;
    dom.handle.set(arg.handle);
    dom.grants.set_limits(limits);
    dom.events.set_limit(arg.max_evtchn_port);
    let pirqs = ctx.hv.lines.count().saturating_add(EXTRA_PIRQS);
    dom.events.set_pirqs(pirqs)?;
    dom.devices.init(pirqs, false)?;
    dom.toolstack.xenstore.store(arg.flags & XEN_DOMCTL_CDF_xs_domain != 0, Ordering::Relaxed);
    dom.toolstack.pauses.store(1, Ordering::Relaxed);
    dom.pause_count.store(1, Ordering::Relaxed);
    let dom = Shared::try_new(dom).map_err(|_| Errno::ENOMEM)?;
    let request = Request { max_address_bits: 32, ..Request::default() };
    let shared = ctx.hv.alloc_frames(ctx.cpu, request).ok_or(Errno::ENOMEM)?;
    if ctx.hv.frames.share(shared, id, true).is_err() {
        ctx.hv.free_frames(shared, 0, false);
        return Err(Errno::ENOMEM.into());
    }
    dom.shared_info.store(shared.0, Ordering::Release);
    write_wall_clock(ctx.hv, &dom, machine.wall_clock());
    if ctx.hv.domains.insert(dom.clone()).is_err() {
        dom.shared_info.store(0, Ordering::Release);
        release_shared_info(ctx.hv, &dom, shared);
        // Somebody else took the number meanwhile, or there is no memory.
        return Err(if ctx.hv.domains.get(id).is_some() { Errno::EEXIST } else { Errno::ENOMEM }.into());
    }
    *domain = id.0;
    Ok(())
}

/// The lowest number from 1 on that no domain has.
fn free_number<P: Platform>(hv: &Hypervisor<P>) -> Option<DomId> {
    // Numbers are not given out again soon, so that a toolstack that looks late does not meet another domain.
    let after = hv.last_domid.load(Ordering::Relaxed);
    let all = (after.saturating_add(1)..DomId::FIRST_RESERVED.0).chain(1..=after);
    let found = all.map(DomId).find(|&id| hv.domains.get(id).is_none())?;
    hv.last_domid.store(found.0, Ordering::Relaxed);
    Some(found)
}

/// -1: the most that the settings allow.
fn limits(settings: &Settings, arg: &XenDomctlCreatedomain) -> Result<Limits, Errno> {
    let most_frames = settings.gnttab_max_frames.load(Ordering::Relaxed);
    let most_maptrack = settings.gnttab_max_maptrack_frames.load(Ordering::Relaxed);
    let frames = u32::try_from(arg.max_grant_frames).unwrap_or(most_frames);
    let maptrack = u32::try_from(arg.max_maptrack_frames).unwrap_or(most_maptrack);
    let version = arg.grant_opts & XEN_DOMCTL_GRANT_version_mask;
    let bad = arg.grant_opts & !XEN_DOMCTL_GRANT_version_mask != 0
        || frames > most_frames
        || maptrack > most_maptrack
        || !matches!(version, 1 | 2);
    if bad { Err(Errno::EINVAL) } else { Ok(Limits { frames, maptrack, version }) }
}

/// Gives the shared-info page back; the last mapping of it frees it.
pub(super) fn release_shared_info<P: Platform>(hv: &Hypervisor<P>, dom: &Domain<P>, frame: Mfn) {
    if let Ok(Some(freed)) = hv.frames.release(frame, dom.id) {
        hv.free_frame(freed);
    }
}

/// Writes a domain's wall clock, which may be off the machine's.
pub fn write_wall_clock<P: Platform>(hv: &Hypervisor<P>, dom: &Domain<P>, wall: WallClock) {
    let shared = dom.shared_info.load(Ordering::Acquire);
    if shared != 0 {
        let sec = wall.sec.saturating_add_signed(dom.toolstack.time_offset.load(Ordering::Relaxed));
        WallClock { sec, ..wall }.write(&hv.platform, Mfn(shared).maddr());
    }
}

/// XEN_DOMCTL_max_vcpus: makes the vcpus. Again is no error.
pub(super) fn vcpus<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    dom: &Shared<Domain<P>>,
    arg: &XenDomctlMaxVcpus,
) -> Result<(), Stop> {
    // As many as createdomain made room for.
    if arg.max != dom.max_vcpus {
        return Err(Errno::EINVAL.into());
    }
    let shared = dom.shared_info.load(Ordering::Acquire);
    for id in 0..arg.max {
        if dom.vcpu(id).is_some() {
            continue;
        }
        ctx.hv.reserve_vcpu()?;
        let vcpu = match dom.create_vcpu(id) {
            Ok(vcpu) => vcpu,
            Err(error) => {
                ctx.hv.sched.release(1);
                if error == Errno::EEXIST {
                    continue;
                }
                return Err(error.into());
            }
        };
        if dom.pause_count.load(Ordering::SeqCst) != 0 {
            vcpu.sched.set(PAUSED);
        }
        if id < LEGACY_VCPUS && shared != 0 {
            let info = Maddr(Mfn(shared).maddr().0.saturating_add(u64::from(id) * size_of::<VcpuInfo>() as u64));
            vcpu.set_info(info);
            let mask = info.offset().saturating_add(core::mem::offset_of!(VcpuInfo, evtchn_upcall_mask));
            ctx.platform().page(info.mfn()).store_u8(mask, 1);
        }
    }
    Ok(())
}

fn policy_of<'a, P: Platform>(machine: &'a impl SystemMachine, dom: &'a Domain<P>) -> &'a Policy {
    let kind = if dom.privileged { Kind::Dom0 } else { Kind::DomU };
    dom.toolstack.policy.get().unwrap_or_else(|| machine.policy(kind))
}

pub(super) fn get_policy<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    machine: &impl SystemMachine,
    dom: &Domain<P>,
    op: &mut XenDomctl,
) -> Result<(), Stop> {
    let mut arg: XenDomctlCpuPolicy = member::get(&op.u);
    let policy = policy_of(machine, dom);
    let (leaves, msrs) =
        write_policy(ctx, policy, &machine.xen_info(), (arg.leaves, arg.nr_leaves), (arg.msrs, arg.nr_msrs))?;
    (arg.nr_leaves, arg.nr_msrs) = (leaves, msrs);
    member::put(&mut op.u, &arg);
    Ok(())
}

/// The features are taken, as far as the machine and PV have them; other leaves follow from the machine.
pub(super) fn set_policy<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    machine: &impl SystemMachine,
    dom: &Domain<P>,
    op: &mut XenDomctl,
) -> Result<(), Stop> {
    let mut arg: XenDomctlCpuPolicy = member::get(&op.u);
    (arg.err_leaf, arg.err_subleaf, arg.err_msr) =
        (XEN_CPUID_INPUT_UNUSED, XEN_CPUID_INPUT_UNUSED, XEN_CPUID_INPUT_UNUSED);
    if dom.privileged {
        return Err(Errno::EPERM.into());
    }
    let mut policy = policy_of(machine, dom).clone();
    let wanted = features_of(ctx, arg.leaves, arg.nr_leaves, &policy)?;
    policy.restrict(wanted);
    if let Err(policy) = dom.toolstack.policy.set(policy) {
        // A guest's processor does not change under it.
        let same = dom.toolstack.policy.get().is_some_and(|old| old.features == policy.features);
        if !same {
            return Err(if dom.toolstack.policy.get().is_some() { Errno::EBUSY } else { Errno::ENOMEM }.into());
        }
    }
    member::put(&mut op.u, &arg);
    Ok(())
}
