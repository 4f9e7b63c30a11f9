//! Memory and CPUs of the machine.

use super::SystemMachine;
use crate::addr::{Mfn, Vaddr};
use crate::cpu::CpuId;
use crate::cpupolicy::Kind;
use crate::ctx::Ctx;
use crate::hypercall::Stop;
use crate::platform::Platform;
use xen_abi::Errno;
use xen_abi::member;
use xen_abi::sysctl::*;

const PAGE_SHIFT: u32 = 12;

/// Physical CPUs that run guests.
pub(super) fn online(machine: &impl SystemMachine) -> u32 {
    let cpus = (0..machine.cpus()).filter(|&cpu| machine.cpu(CpuId(cpu)).is_some_and(|cpu| cpu.online));
    u32::try_from(cpus.count()).unwrap_or(u32::MAX)
}

pub(super) fn physical<P: Platform>(ctx: &Ctx<'_, P>, machine: &impl SystemMachine, op: &mut XenSysctl) {
    let heap = ctx.hv.heap.stats();
    let host = machine.policy(Kind::Dom0).host;
    let first = machine.topology(CpuId(0));
    let count = |same: &dyn Fn((u32, u32)) -> bool| {
        let cpus = (0..machine.cpus()).filter(|&cpu| same(machine.topology(CpuId(cpu))));
        u32::try_from(cpus.count()).unwrap_or(1).max(1)
    };
    let threads = count(&|place| place == first);
    let of_socket = count(&|place| place.1 == first.1);
    let info = XenSysctlPhysinfo {
        threads_per_core: threads,
        cores_per_socket: of_socket.checked_div(threads).unwrap_or(1).max(1),
        nr_cpus: online(machine),
        max_cpu_id: u32::from(machine.cpus()).saturating_sub(1),
        nr_nodes: 1,
        max_node_id: 0,
        cpu_khz: machine.cpu_khz(),
        capabilities: XEN_SYSCTL_PHYSCAP_pv | XEN_SYSCTL_PHYSCAP_gnttab_v1 | XEN_SYSCTL_PHYSCAP_gnttab_v2,
        total_pages: ctx.hv.machine.ram_pages().max(heap.total),
        free_pages: heap.free,
        outstanding_pages: heap.claimed,
        max_mfn: ctx.hv.frames.end().0.saturating_sub(1),
        hw_cap: core::array::from_fn(|n| host.word(n)),
        ..Default::default()
    };
    member::put(&mut op.u, &info);
}

pub(super) fn idle_times<P: Platform>(
    ctx: &Ctx<'_, P>,
    machine: &impl SystemMachine,
    op: &mut XenSysctl,
) -> Result<(), Stop> {
    let mut arg: XenSysctlGetcpuinfo = member::get(&op.u);
    arg.nr_cpus = arg.max_cpus.min(machine.cpus().into());
    for cpu in 0..arg.nr_cpus {
        let idletime = machine.idle_time(CpuId(u16::try_from(cpu).unwrap_or(u16::MAX)));
        ctx.write_at(Vaddr(arg.info.addr()), cpu.into(), &XenSysctlCpuinfo { idletime })?;
    }
    member::put(&mut op.u, &arg);
    Ok(())
}

pub(super) fn free_memory<P: Platform>(ctx: &Ctx<'_, P>, op: &mut XenSysctl) -> Result<(), Errno> {
    let mut arg: XenSysctlAvailheap = member::get(&op.u);
    // One node.
    if !matches!(arg.node, -1 | 0) {
        return Err(Errno::EINVAL);
    }
    let max = if arg.max_bitwidth == 0 { 64 } else { arg.max_bitwidth };
    arg.avail_bytes = ctx.hv.heap.free_between(arg.min_bitwidth, max) << PAGE_SHIFT;
    member::put(&mut op.u, &arg);
    Ok(())
}

/// Frames cannot be taken out of use; all that are RAM are in use.
pub(super) fn offline<P: Platform>(ctx: &Ctx<'_, P>, op: &XenSysctl) -> Result<(), Stop> {
    const MOST: u32 = 1 << 12;
    let arg: XenSysctlPageOfflineOp = member::get(&op.u);
    let count = arg.end.checked_sub(arg.start).filter(|&count| count < MOST).ok_or(Errno::EINVAL)?;
    let status = match arg.cmd {
        sysctl_page_online => PG_ONLINE_ONLINED,
        sysctl_query_page_offline => 0,
        sysctl_page_offline => return Err(Errno::EOPNOTSUPP.into()),
        _ => return Err(Errno::EINVAL.into()),
    };
    for n in 0..=count {
        let mfn = Mfn(u64::from(arg.start).saturating_add(n.into()));
        let status = if mfn < ctx.hv.frames.end() { status } else { PG_OFFLINE_INVALID };
        ctx.write_at(Vaddr(arg.status.addr()), n.into(), &status)?;
    }
    Ok(())
}

/// There are no trace buffers.
pub(super) fn trace(op: &mut XenSysctl) -> Result<(), Errno> {
    let mut arg: XenSysctlTbufOp = member::get(&op.u);
    match arg.cmd {
        XEN_SYSCTL_TBUFOP_get_info => {
            (arg.evt_mask, arg.buffer_mfn, arg.size) = (0, 0, 0);
            member::put(&mut op.u, &arg);
            Ok(())
        }
        XEN_SYSCTL_TBUFOP_disable => Ok(()),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

/// There are no live patches, and none can be loaded.
pub(super) fn live_patches(op: &mut XenSysctl) -> Result<(), Errno> {
    let mut arg: XenSysctlLivepatchOp = member::get(&op.u);
    if arg.pad != 0 {
        return Err(Errno::EINVAL);
    }
    match arg.cmd {
        XEN_SYSCTL_LIVEPATCH_LIST => {
            let mut list: XenSysctlLivepatchList = member::get(&arg.u);
            if list.pad != 0 {
                return Err(Errno::EINVAL);
            }
            (list.version, list.nr, list.name_total_size, list.metadata_total_size) = (0, 0, 0, 0);
            member::put(&mut arg.u, &list);
            member::put(&mut op.u, &arg);
            Ok(())
        }
        XEN_SYSCTL_LIVEPATCH_GET | XEN_SYSCTL_LIVEPATCH_ACTION => Err(Errno::ENOENT),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

/// CPUs stay as they were at boot.
pub(super) fn hotplug(machine: &impl SystemMachine, op: &XenSysctl) -> Result<(), Errno> {
    let arg: XenSysctlCpuHotplug = member::get(&op.u);
    let cpu = || u16::try_from(arg.cpu).ok().and_then(|cpu| machine.cpu(CpuId(cpu))).ok_or(Errno::EINVAL);
    match arg.op {
        XEN_SYSCTL_CPU_HOTPLUG_ONLINE if cpu()?.online => Ok(()),
        XEN_SYSCTL_CPU_HOTPLUG_OFFLINE if !cpu()?.online => Ok(()),
        _ => Err(Errno::EOPNOTSUPP),
    }
}
