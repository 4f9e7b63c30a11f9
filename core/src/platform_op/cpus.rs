//! Physical CPUs.

use super::seam::{CpuFacts, PlatformMachine};
use crate::cpu::CpuId;
use xen_abi::Errno;
use xen_abi::member;
use xen_abi::platform::*;

fn cpu(machine: &impl PlatformMachine, number: u32) -> Option<CpuFacts> {
    machine.cpu(CpuId(u16::try_from(number).ok()?))
}

fn last(machine: &impl PlatformMachine) -> u32 {
    u32::from(machine.cpus()).saturating_sub(1)
}

pub(super) fn info(machine: &impl PlatformMachine, op: &mut XenPlatformOp) -> Result<(), Errno> {
    let mut arg: XenpfPcpuinfo = member::get(&op.u);
    arg.max_present = last(machine);
    match cpu(machine, arg.xen_cpuid) {
        None => arg.flags = XEN_PCPU_FLAGS_INVALID,
        Some(found) => {
            arg.apic_id = found.apic_id;
            arg.acpi_id = found.acpi_id;
            arg.flags = if found.online { XEN_PCPU_FLAGS_ONLINE } else { 0 };
        }
    }
    member::put(&mut op.u, &arg);
    Ok(())
}

pub(super) fn version(machine: &impl PlatformMachine, op: &mut XenPlatformOp) -> Result<(), Errno> {
    let mut arg: XenpfPcpuVersion = member::get(&op.u);
    arg.max_present = last(machine);
    let found = cpu(machine, arg.xen_cpuid).filter(|cpu| cpu.online).unwrap_or_default();
    let part = |shift: u32, bits: u32| found.signature >> shift & ((1 << bits) - 1);
    let (family, model) = (part(8, 4), part(4, 4));
    arg.vendor_id = found.vendor;
    arg.family = if family == 0xf { family + part(20, 8) } else { family };
    arg.model = if matches!(family, 6 | 0xf) { model | part(16, 4) << 4 } else { model };
    arg.stepping = part(0, 4);
    member::put(&mut op.u, &arg);
    Ok(())
}

/// A CPU that runs stays as it is; one that did not start at boot is not started later.
pub(super) fn online(machine: &impl PlatformMachine, op: &XenPlatformOp) -> Result<(), Errno> {
    let arg: XenpfCpuOl = member::get(&op.u);
    match cpu(machine, arg.cpuid).ok_or(Errno::EINVAL)?.online {
        true => Ok(()),
        false => Err(Errno::EOPNOTSUPP),
    }
}

pub(super) fn offline(machine: &impl PlatformMachine, op: &XenPlatformOp) -> Result<(), Errno> {
    let arg: XenpfCpuOl = member::get(&op.u);
    match cpu(machine, arg.cpuid).ok_or(Errno::EINVAL)?.online {
        true => Err(Errno::EOPNOTSUPP),
        false => Ok(()),
    }
}

/// No core is ever parked.
pub(super) fn park(op: &mut XenPlatformOp) -> Result<(), Errno> {
    let mut arg: XenpfCoreParking = member::get(&op.u);
    match arg.r#type {
        XEN_CORE_PARKING_GET => arg.idle_nums = 0,
        XEN_CORE_PARKING_SET if arg.idle_nums == 0 => {}
        XEN_CORE_PARKING_SET => return Err(Errno::EOPNOTSUPP),
        _ => return Err(Errno::EINVAL),
    }
    member::put(&mut op.u, &arg);
    Ok(())
}
