//! The machine's interrupt lines (GSIs): how each is triggered, which vector it has. And what dom0 told about PCI.

use super::pci::Function;
use super::seam::InterruptMachine;
use crate::addr::Maddr;
use crate::domain::{DomId, Hypervisor};
use crate::platform::Platform;
use alloc::vec::Vec;
use ferroxen_sync::{Guard, Lock, rank};
use xen_abi::Errno;

/// A line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Line {
    /// Level-triggered, else edge-triggered.
    pub level: bool,
    /// Active low, else active high.
    pub low: bool,
    /// PHYSDEVOP_setup_gsi was made (or the firmware's tables say how it is).
    pub set_up: bool,
    /// Its vector, from its first use on.
    pub vector: Option<u8>,
    /// The domain that has bound it. Lines are not shared between domains.
    pub user: Option<DomId>,
}

/// A window onto the configuration space of buses (PHYSDEVOP_pci_mmcfg_reserved).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mmcfg {
    /// Machine address of bus 0's part.
    pub address: u64,
    /// PCI segment.
    pub segment: u16,
    /// First and last bus.
    pub buses: (u8, u8),
}

#[derive(Default)]
pub(super) struct State {
    pub lines: Vec<Line>,
    /// Ascending.
    pub functions: Vec<Function>,
    pub mmcfg: Vec<Mmcfg>,
}

/// All lines of the machine.
#[derive(Default)]
pub struct Lines(Lock<rank::Irq, State>);

impl Lines {
    /// Makes room for `count` lines, at boot. The first 16 are edge-triggered and active high (ISA), the others
    /// level-triggered and active low (PCI), until somebody knows better.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn init(&self, count: u32) -> Result<(), Errno> {
        let mut lines = Vec::new();
        lines.try_reserve_exact(usize::try_from(count).map_err(|_| Errno::ENOMEM)?).map_err(|_| Errno::ENOMEM)?;
        lines.extend((0..count).map(|gsi| Line { level: gsi >= 16, low: gsi >= 16, ..Line::default() }));
        self.0.lock().lines = lines;
        Ok(())
    }

    /// How the firmware says that a line is triggered (MADT interrupt source overrides), at boot.
    pub fn set_default(&self, gsi: u32, level: bool, low: bool) {
        if let Some(line) = self.0.lock().get_mut(gsi) {
            line.level = level;
            line.low = low;
        }
    }

    /// Number of lines.
    pub fn count(&self) -> u32 {
        u32::try_from(self.0.lock().lines.len()).unwrap_or(u32::MAX)
    }

    /// A line as it is now.
    pub fn line(&self, gsi: u32) -> Option<Line> {
        self.0.lock().get_mut(gsi).copied()
    }

    /// The windows onto configuration space that dom0 reported.
    pub fn mmcfg(&self, index: usize) -> Option<Mmcfg> {
        self.0.lock().mmcfg.get(index).copied()
    }

    /// The first function that dom0 reported at or behind this one.
    pub fn next_function(&self, from: Function) -> Option<Function> {
        let state = self.0.lock();
        let at = state.functions.partition_point(|&other| other < from);
        state.functions.get(at).copied()
    }

    /// Taken while a domain's table may be held.
    pub(super) fn last(&self) -> Guard<'_, rank::Irq, State> {
        self.0.lock_second()
    }
}

impl State {
    pub fn get_mut(&mut self, gsi: u32) -> Option<&mut Line> {
        self.lines.get_mut(usize::try_from(gsi).ok()?)
    }
}

/// Sets a line up. A second time it keeps how it is.
///
/// # Errors
/// `EINVAL`: no such line; `EEXIST`: set up already.
pub(super) fn set_up<P: Platform>(
    hv: &Hypervisor<P>,
    machine: &mut impl InterruptMachine,
    gsi: u32,
    level: bool,
    low: bool,
) -> Result<(), Errno> {
    let mut state = hv.lines.last();
    let line = state.get_mut(gsi).ok_or(Errno::EINVAL)?;
    if line.set_up {
        return Err(Errno::EEXIST);
    }
    change(machine, line, gsi, level, low)?;
    line.set_up = true;
    Ok(())
}

/// Changes how a line is triggered; one that has a vector gets another one, because the handler goes by it.
fn change(machine: &mut impl InterruptMachine, line: &mut Line, gsi: u32, level: bool, low: bool) -> Result<(), Errno> {
    if let Some(old) = line.vector
        && (line.level, line.low) != (level, low)
    {
        let new = machine.allocate_vectors(gsi, 1, level).ok_or(Errno::ENOSPC)?;
        if !machine.route(gsi, new, level, low) {
            machine.free_vectors(new, 1);
            return Err(Errno::EINVAL);
        }
        machine.free_vectors(old, 1);
        line.vector = Some(new);
        // Routing masked it.
        machine.mask(gsi, line.user.is_none());
    }
    line.level = level;
    line.low = low;
    Ok(())
}

/// A line gets a vector and a route, masked, unless it has them.
pub(super) fn ensure_routed(machine: &mut impl InterruptMachine, line: &mut Line, gsi: u32) -> Result<(), Errno> {
    if line.vector.is_some() {
        return Ok(());
    }
    let vector = machine.allocate_vectors(gsi, 1, line.level).ok_or(Errno::ENOSPC)?;
    if !machine.route(gsi, vector, line.level, line.low) {
        machine.free_vectors(vector, 1);
        return Err(Errno::EINVAL);
    }
    line.vector = Some(vector);
    Ok(())
}

/// PHYSDEVOP_apic_write: of the low half of a redirection entry, trigger mode and polarity are taken; vector, target
/// and mask are the hypervisor's, and other registers are not the guest's to write.
pub(super) fn guest_write<P: Platform>(
    hv: &Hypervisor<P>,
    machine: &mut impl InterruptMachine,
    base: Maddr,
    register: u32,
    value: u32,
) -> Result<(), Errno> {
    const FIRST_ENTRY: u32 = 0x10;
    const POLARITY: u32 = 1 << 13;
    const LEVEL: u32 = 1 << 15;
    const MASKED: u32 = 1 << 16;
    let (first, count) = machine.ioapic_lines(base).ok_or(Errno::EINVAL)?;
    let Some(offset) = register.checked_sub(FIRST_ENTRY).filter(|offset| offset & 1 == 0) else { return Ok(()) };
    if offset / 2 >= count {
        return Err(Errno::EINVAL);
    }
    // A guest masks lines that it has no use for; that says nothing about how they are triggered.
    if value & MASKED != 0 {
        return Ok(());
    }
    let gsi = first.checked_add(offset / 2).ok_or(Errno::EINVAL)?;
    let mut state = hv.lines.last();
    let line = state.get_mut(gsi).ok_or(Errno::EINVAL)?;
    change(machine, line, gsi, value & LEVEL != 0, value & POLARITY != 0)?;
    line.set_up = true;
    Ok(())
}
