//! `HYPERVISOR_set_trap_table`: the guest's exception and software-interrupt handlers.

use super::{HypercallResult, Stop};
use crate::addr::Vaddr;
use crate::ctx::Ctx;
use crate::domain::Vcpu;
use crate::platform::Platform;
use core::sync::atomic::Ordering;
use xen_abi::Errno;
use xen_abi::arch_x86::TrapInfo;

/// `HYPERVISOR_set_trap_table(table)`: entries up to one with address 0; no table at all clears every gate.
///
/// # Errors
/// `EFAULT`; `EINVAL`: an address that is not canonical. Entries before the bad one hold.
pub fn set_trap_table<P: Platform>(ctx: &Ctx<'_, P>, table: u64) -> HypercallResult {
    if table == 0 {
        (0..=u8::MAX).for_each(|vector| set_gate(ctx.vcpu, &TrapInfo { vector, ..TrapInfo::default() }));
        return Ok(0);
    }
    let mut at = table;
    loop {
        let entry: TrapInfo = ctx.read(Vaddr(at))?;
        if entry.address == 0 {
            return Ok(0);
        }
        if !Vaddr(entry.address).is_canonical() {
            return Err(Errno::EINVAL.into());
        }
        set_gate(ctx.vcpu, &entry);
        at = at.wrapping_add(size_of::<TrapInfo>() as u64);
        if ctx.preempt_pending() {
            return Err(Stop::Again([at, 0, 0, 0, 0, 0]));
        }
    }
}

/// Sets one gate. A PV kernel runs in ring 3: its code selector gets that privilege.
pub fn set_gate<P: Platform>(vcpu: &Vcpu<P>, entry: &TrapInfo) {
    let Some(gate) = vcpu.traps.get(usize::from(entry.vector)) else { return };
    let selector = if entry.address == 0 { 0 } else { ring3(entry.cs) };
    let flags = u32::from(entry.dpl()) << 16 | u32::from(entry.masks_events()) << 18;
    gate.selector_flags.store(u32::from(selector) | flags, Ordering::Relaxed);
    gate.address.store(entry.address, Ordering::Release);
}

/// A selector with the privilege of a PV guest.
pub fn ring3(selector: u16) -> u16 {
    selector | 3
}
