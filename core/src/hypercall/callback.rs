//! Where the hypervisor enters the guest: `callback_op`, `set_callbacks`, `nmi_op`.

use super::HypercallResult;
use super::traps::set_gate;
use crate::addr::Vaddr;
use crate::ctx::Ctx;
use crate::platform::Platform;
use crate::pv::{FAILSAFE_MASKS_EVENTS, SYSCALL_MASKS_EVENTS, SYSCALL32_MASKS_EVENTS, SYSENTER_MASKS_EVENTS};
use xen_abi::Errno;
use xen_abi::arch_x86::TrapInfo;
use xen_abi::arch_x86_64::FLAT_KERNEL_CS;
use xen_abi::callback::*;
use xen_abi::nmi::{XENNMI_register_callback, XENNMI_unregister_callback, XennmiCallback};

/// Vector of the NMI.
const NMI: u8 = 2;

/// `HYPERVISOR_callback_op(cmd, arg)`.
///
/// # Errors
/// `EFAULT`; `EINVAL`: an address that is not canonical, or a callback that cannot be taken back; `ENOSYS`.
pub fn callback_op<P: Platform>(ctx: &mut Ctx<'_, P>, cmd: u64, arg: u64) -> HypercallResult {
    // C's `int`.
    match (cmd & 0xffff_ffff) as u32 {
        CALLBACKOP_register => {
            let request: CallbackRegister = ctx.read(Vaddr(arg))?;
            register(ctx, request.r#type, request.flags, request.address)
        }
        CALLBACKOP_unregister => {
            let request: CallbackUnregister = ctx.read(Vaddr(arg))?;
            match request.r#type {
                CALLBACKTYPE_event
                | CALLBACKTYPE_failsafe
                | CALLBACKTYPE_syscall
                | CALLBACKTYPE_syscall32
                | CALLBACKTYPE_sysenter => Err(Errno::EINVAL.into()),
                CALLBACKTYPE_nmi => unregister_nmi(ctx),
                _ => Err(Errno::ENOSYS.into()),
            }
        }
        _ => Err(Errno::ENOSYS.into()),
    }
}

/// `HYPERVISOR_set_callbacks(event, failsafe, syscall)`: the old way. An address that is not canonical is not taken,
/// and the guest is not told.
pub fn set_callbacks<P: Platform>(ctx: &mut Ctx<'_, P>, event: u64, failsafe: u64, syscall: u64) -> HypercallResult {
    for (kind, address) in
        [(CALLBACKTYPE_event, event), (CALLBACKTYPE_failsafe, failsafe), (CALLBACKTYPE_syscall, syscall)]
    {
        let _refused = register(ctx, kind, 0, address);
    }
    Ok(0)
}

/// `HYPERVISOR_nmi_op(cmd, arg)`.
///
/// # Errors
/// `EFAULT`, `EINVAL` (not canonical), `ENOSYS`.
pub fn nmi_op<P: Platform>(ctx: &mut Ctx<'_, P>, cmd: u64, arg: u64) -> HypercallResult {
    match (cmd & 0xffff_ffff) as u32 {
        XENNMI_register_callback => {
            let request: XennmiCallback = ctx.read(Vaddr(arg))?;
            register(ctx, CALLBACKTYPE_nmi, 0, request.handler_address)
        }
        XENNMI_unregister_callback => unregister_nmi(ctx),
        _ => Err(Errno::ENOSYS.into()),
    }
}

fn register<P: Platform>(ctx: &mut Ctx<'_, P>, kind: u16, flags: u16, address: u64) -> HypercallResult {
    if !Vaddr(address).is_canonical() {
        return Err(Errno::EINVAL.into());
    }
    let pv = &mut *ctx.pv;
    let selector = if address == 0 { 0 } else { u64::from(FLAT_KERNEL_CS) };
    let masks = match kind {
        CALLBACKTYPE_event => {
            pv.event_callback = address;
            // Events are always masked on the way in.
            return Ok(0);
        }
        CALLBACKTYPE_failsafe => {
            pv.failsafe_callback = address;
            FAILSAFE_MASKS_EVENTS
        }
        CALLBACKTYPE_syscall => {
            pv.syscall_callback = address;
            SYSCALL_MASKS_EVENTS
        }
        CALLBACKTYPE_syscall32 => {
            (pv.syscall32_cs, pv.syscall32_callback) = (selector, address);
            SYSCALL32_MASKS_EVENTS
        }
        CALLBACKTYPE_sysenter => {
            (pv.sysenter_cs, pv.sysenter_callback) = (selector, address);
            SYSENTER_MASKS_EVENTS
        }
        CALLBACKTYPE_nmi => {
            pv.nmi_callback = address;
            set_gate(ctx.vcpu, &TrapInfo { vector: NMI, flags: 4, cs: FLAT_KERNEL_CS, address, ..TrapInfo::default() });
            return Ok(0);
        }
        _ => return Err(Errno::ENOSYS.into()),
    };
    pv.flags = if flags & CALLBACKF_mask_events != 0 { pv.flags | masks } else { pv.flags & !masks };
    Ok(0)
}

fn unregister_nmi<P: Platform>(ctx: &mut Ctx<'_, P>) -> HypercallResult {
    ctx.pv.nmi_callback = 0;
    set_gate(ctx.vcpu, &TrapInfo { vector: NMI, ..TrapInfo::default() });
    Ok(0)
}
