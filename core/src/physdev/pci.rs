//! PCI functions: what dom0 tells of them.

use super::lines::Mmcfg;
use super::seam::InterruptMachine;
use super::{map, msi};
use crate::access;
use crate::addr::Vaddr;
use crate::ctx::Ctx;
use crate::hypercall::Stop;
use crate::platform::Platform;
use xen_abi::Errno;
use xen_abi::physdev::*;

/// A PCI function.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Function {
    /// PCI segment.
    pub segment: u16,
    /// Bus.
    pub bus: u8,
    /// Device (bits 3 to 7) and function (bits 0 to 2).
    pub devfn: u8,
}

impl Function {
    /// A function of segment 0.
    pub const fn on_bus(bus: u8, devfn: u8) -> Function {
        Function { segment: 0, bus, devfn }
    }
}

impl From<PhysdevPciDevice> for Function {
    fn from(device: PhysdevPciDevice) -> Function {
        Function { segment: device.seg, bus: device.bus, devfn: device.devfn }
    }
}

/// The subcommands about functions.
pub(super) fn pci_op<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    machine: &mut impl InterruptMachine,
    cmd: u32,
    arg: Vaddr,
) -> Result<(), Stop> {
    access::control(ctx)?;
    match cmd {
        PHYSDEVOP_manage_pci_add => {
            let op: PhysdevManagePci = ctx.read(arg)?;
            add(ctx, Function::on_bus(op.bus, op.devfn))?;
        }
        PHYSDEVOP_manage_pci_add_ext => {
            let op: PhysdevManagePciExt = ctx.read(arg)?;
            // Either an extended function number, or a virtual function.
            if op.is_extfn > 1 || op.is_virtfn > 1 {
                return Err(Errno::EINVAL.into());
            }
            add(ctx, Function::on_bus(op.bus, op.devfn))?;
        }
        PHYSDEVOP_pci_device_add => {
            let op: PhysdevPciDeviceAdd = ctx.read(arg)?;
            add(ctx, Function { segment: op.seg, bus: op.bus, devfn: op.devfn })?;
        }
        PHYSDEVOP_manage_pci_remove => {
            let op: PhysdevManagePci = ctx.read(arg)?;
            remove(ctx, machine, Function::on_bus(op.bus, op.devfn))?;
        }
        PHYSDEVOP_pci_device_remove => {
            let op: PhysdevPciDevice = ctx.read(arg)?;
            remove(ctx, machine, op.into())?;
        }
        PHYSDEVOP_restore_msi => {
            let op: PhysdevRestoreMsi = ctx.read(arg)?;
            restore(ctx, machine, Function::on_bus(op.bus, op.devfn))?;
        }
        PHYSDEVOP_restore_msi_ext => {
            let op: PhysdevPciDevice = ctx.read(arg)?;
            restore(ctx, machine, op.into())?;
        }
        PHYSDEVOP_prepare_msix | PHYSDEVOP_release_msix => {
            // Tables are reached when an entry is written, and not kept mapped for a BAR that may move: all that is
            // to be said is whether there is one.
            let op: PhysdevPciDevice = ctx.read(arg)?;
            known(ctx, op.into())?;
            msi::find(machine, op.into(), msi::MSIX).ok_or(Errno::ENODEV)?;
        }
        PHYSDEVOP_pci_mmcfg_reserved => {
            let op: PhysdevPciMmcfgReserved = ctx.read(arg)?;
            mmcfg(ctx, &op)?;
        }
        _ => return Err(Errno::ENOSYS.into()),
    }
    Ok(())
}

/// Adds a function; one that is known already stays.
fn add<P: Platform>(ctx: &Ctx<'_, P>, function: Function) -> Result<(), Errno> {
    let mut state = ctx.hv.lines.last();
    if let Err(at) = state.functions.binary_search(&function) {
        state.functions.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        state.functions.insert(at, function);
    }
    Ok(())
}

fn known<P: Platform>(ctx: &Ctx<'_, P>, function: Function) -> Result<(), Errno> {
    ctx.hv.lines.last().functions.binary_search(&function).map(|_| ()).map_err(|_| Errno::ENODEV)
}

fn remove<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    machine: &mut impl InterruptMachine,
    function: Function,
) -> Result<(), Errno> {
    let at = ctx.hv.lines.last().functions.binary_search(&function).map_err(|_| Errno::ENODEV)?;
    map::unmap_where(ctx.hv, ctx.dom, machine, |pirq| pirq.source.function() == Some(function));
    let mut state = ctx.hv.lines.last();
    if state.functions.get(at) == Some(&function) {
        state.functions.remove(at);
    }
    Ok(())
}

fn restore<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    machine: &mut impl InterruptMachine,
    function: Function,
) -> Result<(), Errno> {
    known(ctx, function)?;
    let table = ctx.dom.devices.table();
    for pirq in table.iter().filter(|pirq| pirq.source.function() == Some(function)) {
        msi::restore(machine, &pirq.source, pirq.bound);
    }
    Ok(())
}

fn mmcfg<P: Platform>(ctx: &Ctx<'_, P>, op: &PhysdevPciMmcfgReserved) -> Result<(), Errno> {
    const BUS_BYTES: u64 = 1 << 20;
    if op.start_bus > op.end_bus || !op.address.is_multiple_of(BUS_BYTES) || op.flags & !XEN_PCI_MMCFG_RESERVED != 0 {
        return Err(Errno::EINVAL);
    }
    let window = Mmcfg { address: op.address, segment: op.segment, buses: (op.start_bus, op.end_bus) };
    let mut state = ctx.hv.lines.last();
    state.mmcfg.retain(|old| (old.segment, old.buses) != (window.segment, window.buses));
    if op.flags & XEN_PCI_MMCFG_RESERVED != 0 {
        state.mmcfg.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        state.mmcfg.push(window);
    }
    Ok(())
}
