//! What the firmware told before the hypervisor started.

use super::efi;
use super::seam::PlatformMachine;
use crate::ctx::Ctx;
use crate::hypercall::Stop;
use crate::platform::Platform;
use xen_abi::Errno;
use xen_abi::platform::*;

/// A BIOS is not asked for disks and displays while booting: as on a Xen that was told `edd=off` and `edid=no`.
pub(super) fn info<P: Platform>(
    ctx: &Ctx<'_, P>,
    machine: &impl PlatformMachine,
    op: &mut XenPlatformOp,
) -> Result<(), Stop> {
    let mut arg: XenpfFirmwareInfo = xen_abi::member::get(&op.u);
    match arg.r#type {
        XEN_FW_KBD_SHIFT_FLAGS if arg.index == 0 => {
            if let Some(flags) = arg.u.first_mut() {
                *flags = machine.keyboard_flags();
            }
        }
        XEN_FW_DISK_INFO | XEN_FW_DISK_MBR_SIGNATURE | XEN_FW_VBEDDC_INFO | XEN_FW_KBD_SHIFT_FLAGS => {
            return Err(Errno::ESRCH.into());
        }
        XEN_FW_EFI_INFO => efi::info(ctx, machine, &mut arg)?,
        _ => return Err(Errno::EINVAL.into()),
    }
    xen_abi::member::put(&mut op.u, &arg);
    Ok(())
}
