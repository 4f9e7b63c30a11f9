//! `HYPERVISOR_set_debugreg` and `get_debugreg`; MOV to and from DRn of a PV kernel comes here, too.

use super::HypercallResult;
use crate::ctx::{Ctx, Effect};
use crate::platform::Platform;
use crate::pv::PvState;
use xen_abi::Errno;
use xen_abi::arch_x86_64::HYPERVISOR_VIRT_END;

/// DR6: bits that are always set, and bit 12, which never is (no transactional memory for guests).
const DR6_ONES: u64 = 0xffff_0ff0;
const DR6_MASK: u64 = 0xffff_efff;
/// DR7: bit 10 is always set; bits 11, 12, 14, 15 and the upper half never are.
const DR7_ONES: u64 = 0x400;
const DR7_MASK: u64 = 0xffff_23ff;
/// DR7: the local and global enable bits of the four breakpoints.
const DR7_ENABLED: u64 = 0xff;
/// DR7: a MOV to or from a debug register raises #DB: in the hypervisor, as the guest's are emulated.
const DR7_GENERAL_DETECT: u64 = 1 << 13;
/// DR7: the type of a breakpoint that watches I/O ports.
const DR7_IO: u64 = 2;
/// CR4.DE: I/O breakpoints exist, DR4 and DR5 do not.
const CR4_DE: u64 = 1 << 3;

/// `HYPERVISOR_set_debugreg(reg, value)`.
///
/// # Errors
/// As [`set`].
pub fn set_debugreg<P: Platform>(ctx: &mut Ctx<'_, P>, reg: u64, value: u64) -> HypercallResult {
    set(ctx.pv, reg, value)?;
    ctx.effects.add(Effect::LOAD_DEBUG);
    Ok(0)
}

/// `HYPERVISOR_get_debugreg(reg)`.
///
/// # Errors
/// `ENODEV`: no such register.
pub fn get_debugreg<P: Platform>(ctx: &Ctx<'_, P>, reg: u64) -> HypercallResult {
    Ok(get(ctx.pv, reg)?)
}

/// Where a register is kept.
fn index(pv: &PvState, reg: u64) -> Result<usize, Errno> {
    match reg {
        0..=3 => Ok(reg as usize),
        4 | 5 if pv.cr4 & CR4_DE != 0 => Err(Errno::ENODEV),
        4 | 6 => Ok(4),
        5 | 7 => Ok(5),
        _ => Err(Errno::ENODEV),
    }
}

/// Sets a debug register of the running vcpu; who calls it loads them afterwards (`Effects::load_debug`).
///
/// # Errors
/// `ENODEV`: no such register; `EPERM`: a breakpoint in the hypervisor's or in no address space, one on ports without
/// CR4.DE, or general detection. `EINVAL`: a bit of DR6's or DR7's upper half. I/O breakpoints are kept but never hit.
pub fn set(pv: &mut PvState, reg: u64, value: u64) -> Result<(), Errno> {
    let index = index(pv, reg)?;
    let value = match index {
        0..=3 if !is_guest_address(value) => return Err(Errno::EPERM),
        0..=3 => value,
        _ if value > u64::from(u32::MAX) => return Err(Errno::EINVAL),
        4 => value & DR6_MASK | DR6_ONES,
        _ => control(pv, value)?,
    };
    if let Some(slot) = pv.debug.get_mut(index) {
        *slot = value;
    }
    Ok(())
}

/// Reads one.
///
/// # Errors
/// `ENODEV`: no such register.
pub fn get(pv: &PvState, reg: u64) -> Result<u64, Errno> {
    let index = index(pv, reg)?;
    let value = pv.debug.get(index).copied().unwrap_or(0);
    Ok(match index {
        4 => value | DR6_ONES,
        5 => value | DR7_ONES,
        _ => value,
    })
}

/// DR7 as the hardware may have it.
fn control(pv: &PvState, value: u64) -> Result<u64, Errno> {
    let mut value = value & DR7_MASK | DR7_ONES;
    if value & DR7_GENERAL_DETECT != 0 {
        return Err(Errno::EPERM);
    }
    if value & DR7_ENABLED != 0 {
        for breakpoint in 0..4 {
            if value >> (16 + 4 * breakpoint) & 3 == DR7_IO {
                if pv.cr4 & CR4_DE == 0 {
                    return Err(Errno::EPERM);
                }
                // The hardware would watch the hypervisor's accesses to ports.
                value &= !(3 << (2 * breakpoint));
            }
        }
    }
    Ok(value)
}

/// Whether the guest may have something at this linear address.
fn is_guest_address(address: u64) -> bool {
    !(1 << 47..HYPERVISOR_VIRT_END).contains(&address)
}
