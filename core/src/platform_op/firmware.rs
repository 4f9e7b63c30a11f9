//! What the firmware told before the hypervisor started.

use super::seam::PlatformMachine;
use xen_abi::Errno;
use xen_abi::platform::*;

/// The BIOS is not asked for disks and displays while booting, and there is no EFI: as on a Xen that was told `edd=off` and `edid=no`.
pub(super) fn info(machine: &impl PlatformMachine, op: &mut XenPlatformOp) -> Result<(), Errno> {
    let arg: XenpfFirmwareInfo = xen_abi::member::get(&op.u);
    let mut arg = arg;
    match arg.r#type {
        XEN_FW_KBD_SHIFT_FLAGS if arg.index == 0 => {
            if let Some(flags) = arg.u.first_mut() {
                *flags = machine.keyboard_flags();
            }
        }
        XEN_FW_DISK_INFO | XEN_FW_DISK_MBR_SIGNATURE | XEN_FW_VBEDDC_INFO | XEN_FW_KBD_SHIFT_FLAGS => {
            return Err(Errno::ESRCH);
        }
        XEN_FW_EFI_INFO => return Err(Errno::ENOSYS),
        _ => return Err(Errno::EINVAL),
    }
    xen_abi::member::put(&mut op.u, &arg);
    Ok(())
}
