//! What an event channel on a pirq means for the hardware.

use super::lines;
use super::msi;
use super::pirqs::{Pirq, Source, entry};
use super::seam::InterruptMachine;
use crate::domain::{Domain, Hypervisor};
use crate::evtchn::PirqEffect;
use crate::platform::Platform;
use xen_abi::Errno;

/// Pirqs that the page of PHYSDEVOP_pirq_eoi_gmfn has bits for.
const PAGE_BITS: u32 = 4096 * 8;

/// Performs what an event-channel operation on `dom` wants of an interrupt.
///
/// # Errors
/// `EINVAL`: the domain has no such interrupt; `EBUSY`: another domain uses the line; `ENOSPC`: no vector is left.
pub fn pirq<P: Platform>(
    hv: &Hypervisor<P>,
    dom: &Domain<P>,
    machine: &mut impl InterruptMachine,
    effect: PirqEffect,
) -> Result<(), Errno> {
    match effect {
        PirqEffect::Bind { pirq, .. } => bind(hv, dom, machine, pirq),
        PirqEffect::Unbind { pirq } => {
            let mut table = dom.devices.table();
            if let Some(slot) = entry(&mut table, pirq) {
                deafen(hv, dom, machine, pirq, slot);
            }
            set_needs_eoi(hv, dom, pirq, false);
            Ok(())
        }
        // All interrupts arrive on the boot CPU, and the event goes to the vcpu wherever it runs.
        PirqEffect::Affinity { .. } => Ok(()),
    }
}

fn bind<P: Platform>(
    hv: &Hypervisor<P>,
    dom: &Domain<P>,
    machine: &mut impl InterruptMachine,
    pirq: u32,
) -> Result<(), Errno> {
    let mut table = dom.devices.table();
    let slot = entry(&mut table, pirq).ok_or(Errno::EINVAL)?;
    match slot.source {
        Source::Free | Source::Reserved => return Err(Errno::EINVAL),
        Source::Line => {
            let mut state = hv.lines.last();
            let line = state.get_mut(pirq).ok_or(Errno::EINVAL)?;
            if line.user.is_some_and(|user| user != dom.id) {
                return Err(Errno::EBUSY);
            }
            lines::ensure_routed(machine, line, pirq)?;
            line.user = Some(dom.id);
            set_needs_eoi(hv, dom, pirq, line.level);
            machine.mask(pirq, false);
        }
        source => msi::mask(machine, &source, false),
    }
    slot.bound = true;
    Ok(())
}

/// Masks an interrupt that nobody listens to any more.
pub(super) fn deafen<P: Platform>(
    hv: &Hypervisor<P>,
    dom: &Domain<P>,
    machine: &mut impl InterruptMachine,
    pirq: u32,
    slot: &mut Pirq,
) {
    if !core::mem::take(&mut slot.bound) {
        return;
    }
    match slot.source {
        Source::Line => {
            if let Some(line) = hv.lines.last().get_mut(pirq)
                && line.user == Some(dom.id)
            {
                machine.mask(pirq, true);
                line.user = None;
            }
        }
        source => msi::mask(machine, &source, true),
    }
}

/// Says in the guest's page whether PHYSDEVOP_eoi is to be made after the interrupt.
pub(super) fn set_needs_eoi<P: Platform>(hv: &Hypervisor<P>, dom: &Domain<P>, pirq: u32, needs: bool) {
    let Some(mfn) = dom.devices.eoi_frame().filter(|_| pirq < PAGE_BITS) else { return };
    let page = hv.platform.page(mfn);
    let at = (pirq / 64) as usize * 8;
    let bit = 1u64 << (pirq % 64);
    if needs {
        page.or_u64(at, bit);
    } else {
        page.and_u64(at, !bit);
    }
}
