//! `HYPERVISOR_platform_op` (platform.h): how the control domain manages the machine.
//!
//! The hypervisor scales no frequencies and adds neither memory nor CPUs while it runs: these commands say so with
//! the error that Xen gives where it is not in charge either.

mod cpus;
mod efi;
mod firmware;
mod memtype;
mod resource;
mod seam;
#[cfg(test)]
mod tests;

pub use efi::{EfiCall, EfiFacts, EfiRegion};
pub use seam::{CpuFacts, MemoryType, PlatformMachine, Symbol};

use crate::access;
use crate::addr::Vaddr;
use crate::ctx::Ctx;
use crate::hypercall::{HypercallResult, Stop};
use crate::platform::{Level, Platform};
use crate::time::WallClock;
use xen_abi::Errno;
use xen_abi::member;
use xen_abi::platform::*;

const SECOND: u64 = 1_000_000_000;

/// `platform_op(arg)`.
///
/// # Errors
/// `EACCES`: another interface version; `EPERM`: not the control domain; then as platform.h says.
pub fn platform_op<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    machine: &mut impl PlatformMachine,
    arg: Vaddr,
) -> HypercallResult {
    let mut op: XenPlatformOp = ctx.read(arg)?;
    if op.interface_version != XENPF_INTERFACE_VERSION {
        return Err(Errno::EACCES.into());
    }
    access::control(ctx)?;
    match op.cmd {
        XENPF_settime32 => {
            let time: XenpfSettime32 = member::get(&op.u);
            set_time(machine, time.secs.into(), time.nsecs, time.system_time)?;
        }
        XENPF_settime64 => {
            let time: XenpfSettime64 = member::get(&op.u);
            if time.mbz != 0 {
                return Err(Errno::EINVAL.into());
            }
            set_time(machine, time.secs, time.nsecs, time.system_time)?;
        }
        XENPF_add_memtype => memtype::add(machine, &mut op)?,
        XENPF_del_memtype => memtype::delete(machine, &op)?,
        XENPF_read_memtype => memtype::read(machine, &mut op)?,
        XENPF_firmware_info => firmware::info(ctx, machine, &mut op)?,
        XENPF_efi_runtime_call => efi::runtime_call(ctx, machine, &mut op)?,
        XENPF_enter_acpi_sleep => sleep(ctx, machine, &member::get(&op.u))?,
        XENPF_set_processor_pminfo => {
            let info: XenpfSetProcessorPminfo = member::get(&op.u);
            // What the firmware offers is taken note of by nobody: CPUs run at full speed, and idle ones halt.
            if !matches!(info.r#type, XEN_PM_CX | XEN_PM_PX | XEN_PM_TX | XEN_PM_PDC) {
                return Err(Errno::EINVAL.into());
            }
            return Ok(0);
        }
        XENPF_platform_quirk => {
            let quirk: XenpfPlatformQuirk = member::get(&op.u);
            // Lines are never moved between CPUs, and the index register is written before each access.
            return match quirk.quirk_id {
                QUIRK_NOIRQBALANCING | QUIRK_IOAPIC_BAD_REGSEL | QUIRK_IOAPIC_GOOD_REGSEL => Ok(0),
                _ => Err(Errno::EINVAL.into()),
            };
        }
        XENPF_get_cpuinfo => cpus::info(machine, &mut op)?,
        XENPF_get_cpu_version => cpus::version(machine, &mut op)?,
        XENPF_cpu_online => {
            cpus::online(machine, &op)?;
            return Ok(0);
        }
        XENPF_cpu_offline => {
            cpus::offline(machine, &op)?;
            return Ok(0);
        }
        XENPF_core_parking => cpus::park(&mut op)?,
        XENPF_resource_op => return resource::resource_op(ctx, machine, &member::get(&op.u)),
        XENPF_get_symbol => resource::symbol(ctx, machine, &mut op)?,
        // Frequencies are not dom0's to change; nothing can be plugged in.
        XENPF_change_freq | XENPF_getidletime | XENPF_microcode_update | XENPF_cpu_hotadd | XENPF_mem_hotadd => {
            return Err(Errno::ENOSYS.into());
        }
        _ => return Err(Errno::ENOSYS.into()),
    }
    ctx.write(arg, &op)?;
    Ok(0)
}

fn set_time(machine: &mut impl PlatformMachine, seconds: u64, nanos: u32, system: u64) -> Result<(), Errno> {
    if u64::from(nanos) >= SECOND {
        return Err(Errno::EINVAL);
    }
    let unix = seconds.checked_mul(SECOND).and_then(|ns| ns.checked_add(nanos.into())).ok_or(Errno::EINVAL)?;
    machine.set_wall_clock(WallClock::from_now(unix, system));
    Ok(())
}

/// S5 switches off. Other states would have to bring CPUs and devices back.
fn sleep<P: Platform>(
    ctx: &Ctx<'_, P>,
    machine: &mut impl PlatformMachine,
    op: &XenpfEnterAcpiSleep,
) -> Result<(), Stop> {
    const SOFT_OFF: u32 = 5;
    if op.flags & !XENPF_ACPI_SLEEP_EXTENDED != 0 || op.sleep_state > SOFT_OFF || op.sleep_state == 0 {
        return Err(Errno::EINVAL.into());
    }
    // Hardware-reduced ACPI has other registers than PM1.
    if op.sleep_state != SOFT_OFF || op.flags != 0 {
        return Err(Errno::EOPNOTSUPP.into());
    }
    ctx.platform().log(Level::Info, format_args!("Entering ACPI S5 state"));
    machine.power_off(op.val_a, op.val_b);
    Err(Errno::EIO.into())
}
