//! `HYPERVISOR_vm_assist`: behaviour that a domain can ask for.

use super::HypercallResult;
use crate::ctx::Ctx;
use crate::platform::Platform;
use core::sync::atomic::Ordering;
use xen_abi::Errno;
use xen_abi::xen::*;

/// The assists that a 64-bit PV domain can have. Who acts on which: `writable_pagetables` and `m2p_strict` paging,
/// `architectural_iopl` the emulator, `runstate_update_flag` the run states; the others are for 32-bit guests and
/// only remembered.
pub const VALID_ASSISTS: u64 = 1 << VMASST_TYPE_4gb_segments
    | 1 << VMASST_TYPE_4gb_segments_notify
    | 1 << VMASST_TYPE_writable_pagetables
    | 1 << VMASST_TYPE_pae_extended_cr3
    | 1 << VMASST_TYPE_architectural_iopl
    | 1 << VMASST_TYPE_runstate_update_flag
    | 1 << VMASST_TYPE_m2p_strict;

/// `HYPERVISOR_vm_assist(cmd, type)`.
///
/// # Errors
/// `EINVAL`: no such assist; `ENOSYS`: no such command.
pub fn vm_assist<P: Platform>(ctx: &Ctx<'_, P>, cmd: u64, assist: u64) -> HypercallResult {
    // Both are C's `unsigned int`.
    let (cmd, assist) = ((cmd & 0xffff_ffff) as u32, (assist & 0xffff_ffff) as u32);
    let bit = 1u64.checked_shl(assist).unwrap_or(0) & VALID_ASSISTS;
    if bit == 0 {
        return Err(Errno::EINVAL.into());
    }
    match cmd {
        VMASST_CMD_enable => drop(ctx.dom.vm_assist.fetch_or(bit, Ordering::AcqRel)),
        VMASST_CMD_disable => drop(ctx.dom.vm_assist.fetch_and(!bit, Ordering::AcqRel)),
        _ => return Err(Errno::ENOSYS.into()),
    }
    Ok(0)
}
