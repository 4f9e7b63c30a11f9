//! Registers of CPUs that tools may ask for, and the hypervisor's symbols.

use super::seam::PlatformMachine;
use crate::addr::Vaddr;
use crate::cpu::CpuId;
use crate::ctx::Ctx;
use crate::hypercall::{HypercallResult, Stop};
use crate::platform::Platform;
use core::mem::offset_of;
use xen_abi::Errno;
use xen_abi::member;
use xen_abi::platform::*;

/// The most entries of one call.
const MOST_ENTRIES: u32 = 4;

/// Gives the number of entries that were done. Without platform QoS monitoring no register is open, so each call ends
/// at its first entry, which says why.
pub(super) fn resource_op<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    machine: &impl PlatformMachine,
    op: &XenpfResourceOp,
) -> HypercallResult {
    if op.nr_entries == 0 || op.nr_entries > MOST_ENTRIES {
        return Err(Errno::EINVAL.into());
    }
    let cpu = u16::try_from(op.cpu).ok().and_then(|cpu| machine.cpu(CpuId(cpu)));
    if !cpu.is_some_and(|cpu| cpu.online) {
        return Err(Errno::ENODEV.into());
    }
    let at = Vaddr(op.entries.addr());
    let entry: XenpfResourceEntry = ctx.read(at)?;
    let known = matches!(entry.u, XEN_RESOURCE_OP_MSR_READ | XEN_RESOURCE_OP_MSR_WRITE);
    let why = match (entry.rsvd, known) {
        (0, true) => Errno::EACCES,
        (0, false) => Errno::EOPNOTSUPP,
        _ => Errno::EINVAL,
    };
    let why = i32::try_from(why.as_neg()).unwrap_or(-1).cast_unsigned();
    ctx.write(Vaddr(at.0.wrapping_add(offset_of!(XenpfResourceEntry, u) as u64)), &why)?;
    Ok(0)
}

/// One symbol, and the number of the next; the same number: that was all.
pub(super) fn symbol<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    machine: &impl PlatformMachine,
    op: &mut XenPlatformOp,
) -> Result<(), Stop> {
    let mut arg: XenpfSymdata = member::get(&op.u);
    match machine.symbol(arg.symnum) {
        None => {
            arg.namelen = 0;
            arg.address = 0;
            arg.r#type = 0;
        }
        Some(found) => {
            let name = found.name.as_bytes();
            // With its final NUL, as much as there is room for.
            let room = usize::try_from(arg.namelen).map_err(|_| Errno::EINVAL)?;
            if let Some(last) = room.checked_sub(1) {
                let shown = name.get(..name.len().min(last)).unwrap_or(name);
                ctx.write_bytes(Vaddr(arg.name.addr()), shown)?;
                ctx.write_bytes(Vaddr(arg.name.addr().wrapping_add(shown.len() as u64)), &[0])?;
            }
            arg.namelen = u32::try_from(name.len()).map_err(|_| Errno::EINVAL)?;
            arg.symnum = arg.symnum.saturating_add(1);
            arg.address = found.address;
            arg.r#type = found.kind;
        }
    }
    member::put(&mut op.u, &arg);
    Ok(())
}
