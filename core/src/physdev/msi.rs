//! Message-signalled interrupts: the MSI capability (PCI 3.0, 6.8.1) and the MSI-X table (6.8.2).

use super::pci::Function;
use super::pirqs::Source;
use super::seam::InterruptMachine;
use crate::addr::Maddr;
use xen_abi::Errno;

const COMMAND: u16 = 0x04;
const COMMAND_MEMORY: u32 = 1 << 1;
const STATUS_CAPABILITIES: u32 = 1 << 20;
const FIRST_BAR: u16 = 0x10;
const CAPABILITIES: u16 = 0x34;
/// Identifier of the MSI capability.
pub(super) const MSI: u8 = 0x05;
/// Identifier of the MSI-X capability.
pub(super) const MSIX: u8 = 0x11;
/// More capabilities than fit configuration space: a loop.
const MOST_CAPABILITIES: usize = 48;

const MSI_ENABLE: u16 = 1 << 0;
const MSI_MULTIPLE_CAPABLE: u32 = 1;
const MSI_MULTIPLE_ENABLE: u32 = 4;
const MSI_WIDE: u16 = 1 << 7;
const MSI_MASKABLE: u16 = 1 << 8;

/// The offset of a capability; `None`: the function has it not, or is not there.
pub(super) fn find(machine: &mut impl InterruptMachine, function: Function, id: u8) -> Option<u16> {
    let command = machine.config_read(function, COMMAND);
    if machine.config_read(function, 0) == u32::MAX || command & STATUS_CAPABILITIES == 0 {
        return None;
    }
    let mut at = machine.config_read(function, CAPABILITIES) & 0xfc;
    for _ in 0..MOST_CAPABILITIES {
        if at < 0x40 {
            return None;
        }
        let offset = u16::try_from(at).ok()?;
        let header = machine.config_read(function, offset);
        if header & 0xff == u32::from(id) {
            return Some(offset);
        }
        at = header >> 8 & 0xfc;
    }
    None
}

fn control(machine: &mut impl InterruptMachine, function: Function, capability: u16) -> u16 {
    (machine.config_read(function, capability) >> 16) as u16
}

fn set_control(machine: &mut impl InterruptMachine, function: Function, capability: u16, value: u16) {
    machine.config_write16(function, capability.saturating_add(2), value);
}

/// Where the mask bits of an MSI capability are, if it has them.
fn mask_register(control: u16, capability: u16) -> Option<u16> {
    let offset = if control & MSI_WIDE != 0 { 0x10 } else { 0xc };
    (control & MSI_MASKABLE != 0).then(|| capability.saturating_add(offset))
}

/// Prepares `count` messages of a function as `pirq` and the following: vectors, message, all masked as far as the function
/// can. It is the guest that enables the capability.
///
/// # Errors
/// `ENODEV`: no such function or capability; `EINVAL`: it has fewer messages; `EOPNOTSUPP`: no vectors in a row;
/// `ENOSPC`: no vector.
pub(super) fn prepare(
    machine: &mut impl InterruptMachine,
    function: Function,
    pirq: u32,
    count: u8,
) -> Result<Source, Errno> {
    let capability = find(machine, function, MSI).ok_or(Errno::ENODEV)?;
    let control = control(machine, function, capability);
    let log = u32::from(count).checked_ilog2().filter(|_| count.is_power_of_two()).ok_or(Errno::EINVAL)?;
    if log > u32::from(control) >> MSI_MULTIPLE_CAPABLE & 7 {
        return Err(Errno::EINVAL);
    }
    let vector = machine.allocate_vectors(pirq, count.into(), false).ok_or(if count == 1 {
        Errno::ENOSPC
    } else {
        Errno::EOPNOTSUPP
    })?;
    let control = control & !MSI_ENABLE & !(7 << MSI_MULTIPLE_ENABLE) | (log as u16) << MSI_MULTIPLE_ENABLE;
    set_control(machine, function, capability, control);
    if let Some(register) = mask_register(control, capability) {
        machine.config_write(function, register, u32::MAX);
    }
    write_message(machine, function, capability, vector);
    Ok(Source::Msi { function, capability, index: 0, count, vector })
}

fn write_message(machine: &mut impl InterruptMachine, function: Function, capability: u16, vector: u8) {
    let message = machine.message(vector);
    let wide = control(machine, function, capability) & MSI_WIDE != 0;
    machine.config_write(function, capability.saturating_add(4), message.address as u32);
    if wide {
        machine.config_write(function, capability.saturating_add(8), (message.address >> 32) as u32);
    }
    let data = capability.saturating_add(if wide { 0xc } else { 8 });
    machine.config_write16(function, data, message.data as u16);
}

/// Prepares entry `entry` of a function's MSI-X table, masked. `given`: where dom0 says that the table's BAR is, which counts
/// only for virtual functions (their BARs read as 0).
///
/// # Errors
/// `ENODEV`: no such function or capability; `EINVAL`: no such entry, or no table; `ENXIO`: the function does not
/// decode memory now; `ENOSPC`: no vector.
pub(super) fn prepare_msix(
    machine: &mut impl InterruptMachine,
    function: Function,
    pirq: u32,
    entry: u16,
    given: u64,
) -> Result<Source, Errno> {
    let capability = find(machine, function, MSIX).ok_or(Errno::ENODEV)?;
    if entry > control(machine, function, capability) & 0x7ff {
        return Err(Errno::EINVAL);
    }
    if machine.config_read(function, COMMAND) & COMMAND_MEMORY == 0 {
        return Err(Errno::ENXIO);
    }
    let table = machine.config_read(function, capability.saturating_add(4));
    let bar = bar(machine, function, (table & 7) as u16)?;
    let base = if bar == 0 { given } else { bar };
    let at = u64::from(table & !7)
        .checked_add(u64::from(entry) * 16)
        .and_then(|offset| base.checked_add(offset))
        .filter(|_| base != 0 && base & 0xf == 0)
        .map(Maddr)
        .ok_or(Errno::EINVAL)?;
    let vector = machine.allocate_vectors(pirq, 1, false).ok_or(Errno::ENOSPC)?;
    machine.msix_mask(at, true);
    let message = machine.message(vector);
    if !machine.msix_write(at, message) {
        machine.free_vectors(vector, 1);
        return Err(Errno::EINVAL);
    }
    Ok(Source::Msix { function, entry, at, vector })
}

/// The address in a memory BAR.
fn bar(machine: &mut impl InterruptMachine, function: Function, index: u16) -> Result<u64, Errno> {
    const IO: u32 = 1;
    const WIDE: u32 = 1 << 2;
    if index > 5 {
        return Err(Errno::EINVAL);
    }
    let register = FIRST_BAR + index * 4;
    let low = machine.config_read(function, register);
    if low & IO != 0 {
        return Err(Errno::EINVAL);
    }
    let high = if low & 6 == WIDE && index < 5 { machine.config_read(function, register + 4) } else { 0 };
    Ok(u64::from(high) << 32 | u64::from(low & !0xf))
}

/// Masks or unmasks a message, as far as its function can.
pub(super) fn mask(machine: &mut impl InterruptMachine, source: &Source, masked: bool) {
    match *source {
        Source::Msi { function, capability, index, .. } => {
            let control = control(machine, function, capability);
            let Some(register) = mask_register(control, capability) else { return };
            let bits = machine.config_read(function, register);
            let bit = 1u32.checked_shl(index.into()).unwrap_or(0);
            machine.config_write(function, register, if masked { bits | bit } else { bits & !bit });
        }
        Source::Msix { at, .. } => machine.msix_mask(at, masked),
        _ => {}
    }
}

/// The function sends no more; its vectors are free. Of several messages of one capability, the first stands for all.
pub(super) fn release(machine: &mut impl InterruptMachine, source: &Source) {
    mask(machine, source, true);
    match *source {
        Source::Msi { function, capability, index: 0, count, vector } => {
            let control = control(machine, function, capability);
            set_control(machine, function, capability, control & !MSI_ENABLE);
            machine.free_vectors(vector, count.into());
        }
        Source::Msix { vector, .. } => machine.free_vectors(vector, 1),
        _ => {}
    }
}

/// Writes again what a function forgot (it was reset, or slept).
pub(super) fn restore(machine: &mut impl InterruptMachine, source: &Source, bound: bool) {
    match *source {
        Source::Msi { function, capability, index, count, vector } => {
            if index == 0 {
                let log = u16::try_from(count.checked_ilog2().unwrap_or(0)).unwrap_or(0);
                let control = control(machine, function, capability);
                let control = control & !(7 << MSI_MULTIPLE_ENABLE) | log << MSI_MULTIPLE_ENABLE;
                set_control(machine, function, capability, control & !MSI_ENABLE);
                write_message(machine, function, capability, vector);
                set_control(machine, function, capability, control | MSI_ENABLE);
            }
        }
        Source::Msix { at, vector, .. } => {
            let message = machine.message(vector);
            machine.msix_write(at, message);
        }
        _ => return,
    }
    mask(machine, source, !bound);
}
