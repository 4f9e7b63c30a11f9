//! Vcpus from outside: state, affinity, NMIs.

use crate::addr::Vaddr;
use crate::cpu::{CpuId, CpuMask, MAX_CPUS};
use crate::ctx::Ctx;
use crate::domain::Domain;
use crate::hypercall::Stop;
use crate::platform::Platform;
use crate::sched::{BLOCKED, UP};
use core::sync::atomic::Ordering;
use xen_abi::Errno;
use xen_abi::domctl::*;
use xen_abi::ferroxen::FerroxenVcpuAccount;
use xen_abi::member;
use xen_abi::vcpu::RUNSTATE_running;
use xen_abi::xen::XenctlBitmap;

pub(super) fn info<P: Platform>(ctx: &Ctx<'_, P>, dom: &Domain<P>, op: &mut XenDomctl) -> Result<(), Errno> {
    let mut arg: XenDomctlGetvcpuinfo = member::get(&op.u);
    if arg.vcpu >= dom.max_vcpus {
        return Err(Errno::EINVAL);
    }
    let vcpu = dom.vcpu(arg.vcpu).ok_or(Errno::ESRCH)?;
    let state = vcpu.sched.flags();
    let running = vcpu.sched.running_on();
    let spent = vcpu.runstate.snapshot(ctx.platform().now()).time;
    arg.online = u8::from(state & UP != 0);
    arg.blocked = u8::from(state & BLOCKED != 0);
    arg.running = u8::from(vcpu.sched.running());
    arg.cpu_time = spent.get(RUNSTATE_running as usize).copied().unwrap_or(0);
    arg.cpu = running.unwrap_or(vcpu.sched.last_cpu()).0.into();
    member::put(&mut op.u, &arg);
    Ok(())
}

/// What a vcpu did: its run states, as its domain itself sees them, and its hypercalls.
pub(super) fn account<P: Platform>(ctx: &Ctx<'_, P>, dom: &Domain<P>, op: &mut XenDomctl) -> Result<(), Errno> {
    let arg: FerroxenVcpuAccount = member::get(&op.u);
    if arg.vcpu >= dom.max_vcpus || arg.pad != 0 {
        return Err(Errno::EINVAL);
    }
    let vcpu = dom.vcpu(arg.vcpu).ok_or(Errno::ESRCH)?;
    let runstate = vcpu.runstate.snapshot(ctx.platform().now());
    let hypercalls = vcpu.hypercalls.load(Ordering::Relaxed);
    member::put(&mut op.u, &FerroxenVcpuAccount { runstate, hypercalls, ..arg });
    Ok(())
}

/// Writes a set of CPUs into a guest's bitmap, as many as it has room for.
pub(crate) fn write_bitmap<P: Platform>(ctx: &Ctx<'_, P>, to: &XenctlBitmap, cpus: &CpuMask) -> Result<(), Stop> {
    let bits = to.nr_bits.min(MAX_CPUS as u32);
    let bytes = cpus.words().iter().flat_map(|word| word.to_le_bytes());
    for (n, byte) in (0..bits.div_ceil(8)).zip(bytes) {
        let left = bits.saturating_sub(n.saturating_mul(8)).min(8);
        let mask = u8::try_from((1u32 << left) - 1).unwrap_or(u8::MAX);
        ctx.write_at(Vaddr(to.bitmap.addr()), n.into(), &(byte & mask))?;
    }
    // What this hypervisor cannot have is not there.
    for n in bits.div_ceil(8)..to.nr_bits.div_ceil(8).min(1 << 10) {
        ctx.write_at(Vaddr(to.bitmap.addr()), n.into(), &0u8)?;
    }
    Ok(())
}

fn read_bitmap<P: Platform>(ctx: &Ctx<'_, P>, from: &XenctlBitmap) -> Result<CpuMask, Stop> {
    let mut mask = CpuMask::EMPTY;
    let bits = from.nr_bits.min(MAX_CPUS as u32);
    for n in 0..bits.div_ceil(8) {
        let byte: u8 = ctx.read_at(Vaddr(from.bitmap.addr()), n.into())?;
        for bit in (0..8).filter(|bit| byte >> bit & 1 == 1) {
            let cpu = n.saturating_mul(8).saturating_add(bit);
            if cpu < bits {
                mask.set(CpuId(u16::try_from(cpu).unwrap_or(u16::MAX)));
            }
        }
    }
    Ok(mask)
}

/// Hard affinity is where the vcpu may run. Soft affinity is remembered for the toolstack; with one node there is nothing to prefer.
///
/// # Errors
/// `EINVAL`: neither kind, no such vcpu, or no CPU that is online.
pub(super) fn set_affinity<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    dom: &Domain<P>,
    arg: &XenDomctlVcpuaffinity,
) -> Result<(), Stop> {
    const BOTH: u32 = XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT;
    if arg.flags & BOTH == 0 || arg.flags & !(BOTH | XEN_VCPUAFFINITY_FORCE) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let vcpu = dom.vcpu(arg.vcpu).ok_or(if arg.vcpu < dom.max_vcpus { Errno::ESRCH } else { Errno::EINVAL })?;
    let online = ctx.platform().online();
    if arg.flags & XEN_VCPUAFFINITY_HARD != 0 {
        let wanted = read_bitmap(ctx, &arg.cpumap_hard)?;
        if wanted.and(&online).is_empty() {
            return Err(Errno::EINVAL.into());
        }
        vcpu.sched.hard.store(&wanted);
        // It leaves a CPU where it may not be any more.
        if let Some(cpu) = vcpu.sched.running_on()
            && !wanted.has(cpu)
        {
            ctx.platform().kick(cpu);
        }
        write_bitmap(ctx, &arg.cpumap_hard, &wanted.and(&online))?;
    }
    if arg.flags & XEN_VCPUAFFINITY_SOFT != 0 {
        let wanted = read_bitmap(ctx, &arg.cpumap_soft)?;
        if wanted.is_empty() {
            return Err(Errno::EINVAL.into());
        }
        vcpu.sched.soft.store(&wanted);
        let effective = wanted.and(&online).and(&vcpu.sched.hard.load_or_all());
        write_bitmap(ctx, &arg.cpumap_soft, &effective)?;
    }
    Ok(())
}

pub(super) fn get_affinity<P: Platform>(
    ctx: &Ctx<'_, P>,
    dom: &Domain<P>,
    arg: &XenDomctlVcpuaffinity,
) -> Result<(), Stop> {
    let vcpu = dom.vcpu(arg.vcpu).ok_or(if arg.vcpu < dom.max_vcpus { Errno::ESRCH } else { Errno::EINVAL })?;
    if arg.flags & XEN_VCPUAFFINITY_HARD != 0 {
        write_bitmap(ctx, &arg.cpumap_hard, &vcpu.sched.hard.load_or_all())?;
    }
    if arg.flags & XEN_VCPUAFFINITY_SOFT != 0 {
        write_bitmap(ctx, &arg.cpumap_soft, &vcpu.sched.soft.load_or_all())?;
    }
    Ok(())
}

/// One node, number 0.
pub(super) fn node_affinity<P: Platform>(ctx: &Ctx<'_, P>, arg: &XenDomctlNodeaffinity, set: bool) -> Result<(), Stop> {
    let node = CpuMask::one(CpuId(0));
    if !set {
        return write_bitmap(ctx, &arg.nodemap, &node);
    }
    if read_bitmap(ctx, &arg.nodemap)?.has(CpuId(0)) { Ok(()) } else { Err(Errno::EINVAL.into()) }
}

/// A PV vcpu can be sent an NMI; the other triggers are buttons of a machine.
pub(super) fn trigger<P: Platform>(ctx: &Ctx<'_, P>, dom: &Domain<P>, arg: &XenDomctlSendtrigger) -> Result<(), Errno> {
    match arg.trigger {
        XEN_DOMCTL_SENDTRIGGER_NMI => {}
        // Buttons of HVM domains.
        XEN_DOMCTL_SENDTRIGGER_POWER | XEN_DOMCTL_SENDTRIGGER_SLEEP => return Err(Errno::EINVAL),
        _ => return Err(Errno::ENOSYS),
    }
    let vcpu = dom.vcpu(arg.vcpu).ok_or(if arg.vcpu < dom.max_vcpus { Errno::ESRCH } else { Errno::EINVAL })?;
    ctx.hv.send_nmi(vcpu);
    Ok(())
}
