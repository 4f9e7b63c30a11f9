//! `HYPERVISOR_physdev_op` (physdev.h): physical interrupts, PCI functions, I/O ports, as a domain that drives
//! hardware sees them.
//!
//! A domain knows an interrupt as a *pirq*. A line of the IO-APICs (a GSI) has the same number as pirq in every domain;
//! messages (MSI, MSI-X) get pirqs above all lines. [`DomainDevices`] is what a domain keeps of them, [`Lines`] what
//! the machine knows of its lines and functions, [`InterruptMachine`] the hardware. Core decides vectors' uses, the
//! contents of capabilities and table entries and what is masked; the seam reads and writes registers.
//!
//! A level-triggered line is masked by the interrupt handler and stays so until PHYSDEVOP_eoi. Messages and
//! edge-triggered lines are acknowledged at once and need none.
//!
//! # Locks
//! Both tables have `rank::Irq`; [`Lines`] is taken last. No frame is taken or given back and no event is sent with one of them held.

mod bind;
mod eoi;
mod lines;
mod map;
mod msi;
mod pci;
mod pirqs;
mod rights;
mod seam;
#[cfg(test)]
mod tests;

pub use bind::pirq;
pub use eoi::release_eoi_page;
pub use lines::{Line, Lines, Mmcfg};
pub use map::unmap_all;
pub use pci::Function;
pub use pirqs::{DomainDevices, Pirq, Source};
pub use rights::{Ranges, Rights};
pub use seam::{InterruptMachine, Message};

use crate::access;
use crate::addr::{Gfn, Maddr, Vaddr};
use crate::ctx::Ctx;
use crate::hypercall::{HypercallResult, Stop};
use crate::platform::Platform;
use xen_abi::Errno;
use xen_abi::physdev::*;

/// The ports of the machine (PHYSDEVOP_set_iobitmap).
const PORTS: u32 = 0x1_0000;

/// `physdev_op(cmd, arg)`.
///
/// # Errors
/// As physdev.h says; `EPERM` for what only the control domain may do, `EINVAL` for an interrupt that the domain does
/// not have, `ENOSYS` for an unknown command.
pub fn physdev_op<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    machine: &mut impl InterruptMachine,
    cmd: u32,
    arg: Vaddr,
) -> HypercallResult {
    match cmd {
        PHYSDEVOP_eoi => {
            let op: PhysdevEoi = ctx.read(arg)?;
            eoi::eoi(ctx, machine, op.irq)?;
        }
        PHYSDEVOP_pirq_eoi_gmfn_v1 | PHYSDEVOP_pirq_eoi_gmfn_v2 => {
            let op: PhysdevPirqEoiGmfn = ctx.read(arg)?;
            eoi::register_page(ctx, Gfn(op.gmfn), cmd == PHYSDEVOP_pirq_eoi_gmfn_v1)?;
        }
        PHYSDEVOP_irq_status_query => {
            let mut op: PhysdevIrqStatusQuery = ctx.read(arg)?;
            // Who does not look at the page of PHYSDEVOP_pirq_eoi_gmfn must make the call after every interrupt.
            op.flags = XENIRQSTAT_needs_eoi;
            if op.irq >= ctx.dom.devices.count() {
                return Err(Errno::EINVAL.into());
            }
            ctx.write(arg, &op)?;
        }
        PHYSDEVOP_set_iopl => {
            let op: PhysdevSetIopl = ctx.read(arg)?;
            if op.iopl > 3 {
                return Err(Errno::EINVAL.into());
            }
            ctx.pv.iopl = op.iopl;
        }
        PHYSDEVOP_set_iobitmap => {
            let op: PhysdevSetIobitmap = ctx.read(arg)?;
            // A bitmap that cannot be read forbids all ports.
            if op.nr_ports > PORTS || !Vaddr(op.bitmap.addr()).is_guest() {
                return Err(Errno::EINVAL.into());
            }
            ctx.pv.iobmp = Vaddr(op.bitmap.addr());
            ctx.pv.iobmp_limit = op.nr_ports;
        }
        PHYSDEVOP_apic_read => {
            let mut op: PhysdevApic = ctx.read(arg)?;
            access::control(ctx)?;
            op.value = machine.ioapic_read(Maddr(op.apic_physbase), op.reg).ok_or(Errno::EINVAL)?;
            ctx.write(arg, &op)?;
        }
        PHYSDEVOP_apic_write => {
            let op: PhysdevApic = ctx.read(arg)?;
            access::control(ctx)?;
            lines::guest_write(ctx.hv, machine, Maddr(op.apic_physbase), op.reg, op.value)?;
        }
        PHYSDEVOP_alloc_irq_vector => {
            let mut op: PhysdevIrq = ctx.read(arg)?;
            access::control(ctx)?;
            if op.irq >= ctx.hv.lines.count() {
                return Err(Errno::EINVAL.into());
            }
            // Real vectors are the hypervisor's business: the guest gets a name for the line, which is its number.
            op.vector = op.irq;
            ctx.write(arg, &op)?;
        }
        PHYSDEVOP_setup_gsi => {
            let op: PhysdevSetupGsi = ctx.read(arg)?;
            access::control(ctx)?;
            let gsi = u32::try_from(op.gsi).map_err(|_| Errno::EINVAL)?;
            lines::set_up(ctx.hv, machine, gsi, op.triggering != 0, op.polarity != 0)?;
        }
        PHYSDEVOP_map_pirq => map::map(ctx, machine, arg)?,
        PHYSDEVOP_unmap_pirq => {
            let op: PhysdevUnmapPirq = ctx.read(arg)?;
            map::unmap(ctx, machine, op.domid, u32::try_from(op.pirq).map_err(|_| Errno::EINVAL)?)?;
        }
        PHYSDEVOP_get_free_pirq => {
            let mut op: PhysdevGetFreePirq = ctx.read(arg)?;
            op.pirq = map::reserve(ctx, op.r#type)?;
            ctx.write(arg, &op)?;
        }
        PHYSDEVOP_manage_pci_add
        | PHYSDEVOP_manage_pci_remove
        | PHYSDEVOP_manage_pci_add_ext
        | PHYSDEVOP_pci_device_add
        | PHYSDEVOP_pci_device_remove
        | PHYSDEVOP_restore_msi
        | PHYSDEVOP_restore_msi_ext
        | PHYSDEVOP_prepare_msix
        | PHYSDEVOP_release_msix
        | PHYSDEVOP_pci_mmcfg_reserved => pci::pci_op(ctx, machine, cmd, arg)?,
        PHYSDEVOP_dbgp_op => {
            let op: PhysdevDbgpOp = ctx.read(arg)?;
            access::control(ctx)?;
            // No USB debug port is in use by the hypervisor, so there is nothing to leave and to take up again.
            if !matches!(u32::from(op.op), PHYSDEVOP_DBGP_RESET_PREPARE | PHYSDEVOP_DBGP_RESET_DONE) {
                return Err(Errno::EINVAL.into());
            }
        }
        _ => return Err(Stop::Err(Errno::ENOSYS)),
    }
    Ok(0)
}
