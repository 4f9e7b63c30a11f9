//! Cores, sockets and nodes.

use super::SystemMachine;
use crate::addr::Vaddr;
use crate::cpu::CpuId;
use crate::ctx::Ctx;
use crate::hypercall::Stop;
use crate::physdev::Function;
use crate::platform::Platform;
use xen_abi::member;
use xen_abi::physdev::PhysdevPciDevice;
use xen_abi::sysctl::*;

/// Functions between two safe points.
const BATCH: u32 = 32;

pub(super) fn cpus<P: Platform>(
    ctx: &Ctx<'_, P>,
    machine: &impl SystemMachine,
    op: &mut XenSysctl,
) -> Result<(), Stop> {
    let mut arg: XenSysctlCputopoinfo = member::get(&op.u);
    let count = u32::from(machine.cpus());
    if !arg.cputopo.is_null() {
        for n in 0..arg.num_cpus.min(count) {
            let cpu = CpuId(u16::try_from(n).unwrap_or(u16::MAX));
            let known = machine.cpu(cpu).is_some_and(|cpu| cpu.online);
            let (core, socket) = machine.topology(cpu);
            let none = XenSysctlCputopo {
                core: XEN_INVALID_CORE_ID,
                socket: XEN_INVALID_SOCKET_ID,
                node: XEN_INVALID_NODE_ID,
            };
            let answer = if known { XenSysctlCputopo { core, socket, node: 0 } } else { none };
            ctx.write_at(Vaddr(arg.cputopo.addr()), n.into(), &answer)?;
        }
    }
    arg.num_cpus = count;
    member::put(&mut op.u, &arg);
    Ok(())
}

/// One node, with all memory, at distance 10 from itself.
pub(super) fn nodes<P: Platform>(ctx: &Ctx<'_, P>, op: &mut XenSysctl) -> Result<(), Stop> {
    let mut arg: XenSysctlNumainfo = member::get(&op.u);
    let heap = ctx.hv.heap.stats();
    if arg.num_nodes != 0 {
        if !arg.meminfo.is_null() {
            let info = XenSysctlMeminfo { memsize: heap.total << 12, memfree: heap.free << 12 };
            ctx.write(Vaddr(arg.meminfo.addr()), &info)?;
        }
        if !arg.distance.is_null() {
            ctx.write(Vaddr(arg.distance.addr()), &10u32)?;
        }
    }
    arg.num_nodes = 1;
    member::put(&mut op.u, &arg);
    Ok(())
}

/// Gives how many it did, which may be fewer than asked for: the caller goes on from there.
pub(super) fn functions<P: Platform>(ctx: &Ctx<'_, P>, op: &mut XenSysctl) -> Result<(), Stop> {
    let mut arg: XenSysctlPcitopoinfo = member::get(&op.u);
    let mut done = 0;
    while done < arg.num_devs {
        let device: PhysdevPciDevice = ctx.read_at(Vaddr(arg.devs.addr()), done.into())?;
        let function = Function::from(device);
        let known = ctx.hv.lines.next_function(function) == Some(function);
        let node = if known { XEN_INVALID_NODE_ID } else { XEN_INVALID_DEV };
        ctx.write_at(Vaddr(arg.nodes.addr()), done.into(), &node)?;
        done += 1;
        if done % BATCH == 0 && ctx.preempt_pending() {
            break;
        }
    }
    arg.num_devs = done;
    member::put(&mut op.u, &arg);
    Ok(())
}
