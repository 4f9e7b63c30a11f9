//! PHYSDEVOP_map_pirq and its neighbours: which interrupt a pirq stands for.

use super::bind::{deafen, set_needs_eoi};
use super::msi;
use super::pci::Function;
use super::pirqs::{Pirq, Source, entry};
use super::seam::InterruptMachine;
use crate::access;
use crate::addr::Vaddr;
use crate::ctx::Ctx;
use crate::domain::{DomId, Domain, Hypervisor};
use crate::hypercall::Stop;
use crate::platform::Platform;
use xen_abi::Errno;
use xen_abi::physdev::*;

/// The most messages of one MSI capability.
const MOST_MESSAGES: u32 = 32;

/// PHYSDEVOP_map_pirq.
pub(super) fn map<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    machine: &mut impl InterruptMachine,
    arg: Vaddr,
) -> Result<(), Stop> {
    let mut op: PhysdevMapPirq = ctx.read(arg)?;
    let target = access::target(ctx, DomId(op.domid))?;
    let segment = u16::try_from(op.bus.cast_unsigned() >> 16).map_err(|_| Errno::EINVAL)?;
    let function = |segment: u16| -> Result<Function, Errno> {
        let bus = u8::try_from(op.bus.cast_unsigned() & 0xffff).map_err(|_| Errno::EINVAL)?;
        let devfn = u8::try_from(op.devfn).map_err(|_| Errno::EINVAL)?;
        Ok(Function { segment, bus, devfn })
    };
    let wanted = u32::try_from(op.pirq).ok();
    let pirq = match op.r#type {
        MAP_PIRQ_TYPE_GSI => {
            let gsi = u32::try_from(op.index).map_err(|_| Errno::EINVAL)?;
            if !ctx.dom.devices.rights.lines.lock().has(gsi.into(), gsi.into()) {
                access::control(ctx)?;
            }
            map_line(ctx.hv, &target, gsi, wanted)?
        }
        MAP_PIRQ_TYPE_MSI | MAP_PIRQ_TYPE_MSI_SEG => {
            access::control(ctx)?;
            if op.index != -1 {
                return Err(Errno::EINVAL.into());
            }
            let function = function(if op.r#type == MAP_PIRQ_TYPE_MSI { 0 } else { segment })?;
            let what = if op.table_base != 0 {
                What::Entry(u16::try_from(op.entry_nr).map_err(|_| Errno::EINVAL)?, op.table_base)
            } else {
                What::Messages(1)
            };
            map_messages(ctx.hv, &target, machine, function, wanted, what)?
        }
        MAP_PIRQ_TYPE_MULTI_MSI => {
            access::control(ctx)?;
            let count = u32::try_from(op.entry_nr).ok().filter(|n| (1..=MOST_MESSAGES).contains(n));
            let count = count.ok_or(Errno::EDOM)?.next_power_of_two();
            op.entry_nr = i32::try_from(count).unwrap_or(1);
            let function = function(segment)?;
            let count = u8::try_from(count).map_err(|_| Errno::EDOM)?;
            map_messages(ctx.hv, &target, machine, function, wanted, What::Messages(count))?
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    op.pirq = i32::try_from(pirq).map_err(|_| Errno::EINVAL)?;
    if let Err(stop) = ctx.write(arg, &op) {
        // A line that was mapped before stays so; the guest knows its number.
        if op.r#type != MAP_PIRQ_TYPE_GSI {
            let _ = unmap_one(ctx.hv, &target, machine, pirq);
        }
        return Err(stop);
    }
    Ok(())
}

/// `pirq` of a line is the line's number, in every domain.
fn map_line<P: Platform>(hv: &Hypervisor<P>, dom: &Domain<P>, gsi: u32, wanted: Option<u32>) -> Result<u32, Errno> {
    if gsi >= hv.lines.count() || wanted.is_some_and(|pirq| pirq != gsi) {
        return Err(Errno::EINVAL);
    }
    let mut table = dom.devices.table();
    let slot = entry(&mut table, gsi).ok_or(Errno::EINVAL)?;
    match slot.source {
        Source::Line => {}
        Source::Free | Source::Reserved => *slot = Pirq { source: Source::Line, bound: false },
        _ => return Err(Errno::EEXIST),
    }
    Ok(gsi)
}

enum What {
    /// So many messages of the MSI capability.
    Messages(u8),
    /// An entry of the MSI-X table, and where dom0 says that its BAR is.
    Entry(u16, u64),
}

fn map_messages<P: Platform>(
    hv: &Hypervisor<P>,
    dom: &Domain<P>,
    machine: &mut impl InterruptMachine,
    function: Function,
    wanted: Option<u32>,
    what: What,
) -> Result<u32, Errno> {
    // Configuration space is reached by ports, which know one segment.
    if function.segment != 0 {
        return Err(Errno::ENODEV);
    }
    let lines = hv.lines.count();
    let mut table = dom.devices.table();
    if dom.is_dying() {
        return Err(Errno::EINVAL);
    }
    for pirq in table.iter().filter(|pirq| pirq.source.function() == Some(function)) {
        match (pirq.source, &what) {
            (Source::Msix { entry, .. }, What::Entry(wanted, _)) if entry != *wanted => {}
            (Source::Msix { .. }, What::Entry(..)) | (Source::Msi { .. }, What::Messages(_)) => {
                return Err(Errno::EEXIST);
            }
            // One function uses one kind at a time.
            _ => return Err(Errno::EBUSY),
        }
    }
    let count = match what {
        What::Messages(count) => count,
        What::Entry(..) => 1,
    };
    let pirq = match wanted {
        Some(pirq) => {
            let free = |n: u32| {
                entry(&mut table, n).is_some_and(|slot| matches!(slot.source, Source::Free | Source::Reserved))
            };
            let run = pirq.checked_add(count.into()).map(|end| pirq..end).ok_or(Errno::EINVAL)?;
            if pirq < lines || !run.into_iter().all(free) {
                return Err(Errno::EINVAL);
            }
            pirq
        }
        None => free_run(&table, lines, count.into()).ok_or(Errno::ENOSPC)?,
    };
    let first = match what {
        What::Messages(count) => msi::prepare(machine, function, pirq, count)?,
        What::Entry(entry, base) => msi::prepare_msix(machine, function, pirq, entry, base)?,
    };
    for n in 0..count {
        let source = match first {
            Source::Msi { function, capability, count, vector, .. } => {
                Source::Msi { function, capability, index: n, count, vector: vector.saturating_add(n) }
            }
            other => other,
        };
        if let Some(slot) = entry(&mut table, pirq.saturating_add(n.into())) {
            *slot = Pirq { source, bound: false };
        }
    }
    Ok(pirq)
}

/// The highest run of free pirqs above the lines, its first a multiple of its length.
fn free_run(table: &[Pirq], lines: u32, count: u32) -> Option<u32> {
    let end = u32::try_from(table.len()).ok()?;
    let last = end.checked_sub(count)?.checked_div(count)?;
    (0..=last).rev().filter_map(|n| n.checked_mul(count)).take_while(|&first| first >= lines).find(|&first| {
        let run = first as usize..(first as usize).saturating_add(count as usize);
        table.get(run).is_some_and(|run| run.iter().all(|pirq| pirq.source == Source::Free))
    })
}

/// PHYSDEVOP_get_free_pirq.
pub(super) fn reserve<P: Platform>(ctx: &mut Ctx<'_, P>, kind: i32) -> Result<u32, Stop> {
    let lines = ctx.hv.lines.count();
    let mut table = ctx.dom.devices.table();
    let found = match kind {
        MAP_PIRQ_TYPE_GSI => {
            let free = |&pirq: &u32| table.get(pirq as usize).is_some_and(|slot| slot.source == Source::Free);
            (16..lines).find(free).or_else(|| free_run(&table, lines, 1))
        }
        MAP_PIRQ_TYPE_MSI | MAP_PIRQ_TYPE_MSI_SEG | MAP_PIRQ_TYPE_MULTI_MSI => free_run(&table, lines, 1),
        _ => return Err(Errno::EINVAL.into()),
    };
    let pirq = found.ok_or(Errno::ENOSPC)?;
    if let Some(slot) = entry(&mut table, pirq) {
        slot.source = Source::Reserved;
    }
    Ok(pirq)
}

/// PHYSDEVOP_unmap_pirq.
pub(super) fn unmap<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    machine: &mut impl InterruptMachine,
    domid: u16,
    pirq: u32,
) -> Result<(), Stop> {
    let target = access::target(ctx, DomId(domid))?;
    if !ctx.dom.devices.rights.lines.lock().has(pirq.into(), pirq.into()) {
        access::control(ctx)?;
    }
    unmap_one(ctx.hv, &target, machine, pirq)?;
    Ok(())
}

/// A pirq stands for nothing any more; of several messages of one capability, the first takes all with it.
///
/// # Errors
/// `EINVAL`: it does not, or is not the first.
fn unmap_one<P: Platform>(
    hv: &Hypervisor<P>,
    dom: &Domain<P>,
    machine: &mut impl InterruptMachine,
    pirq: u32,
) -> Result<(), Errno> {
    let mut table = dom.devices.table();
    let old = *entry(&mut table, pirq).ok_or(Errno::EINVAL)?;
    let count = match old.source {
        Source::Free => return Err(Errno::EINVAL),
        Source::Msi { index, .. } if index != 0 => return Err(Errno::EINVAL),
        Source::Msi { count, .. } => count,
        _ => 1,
    };
    for n in 0..count {
        let number = pirq.saturating_add(n.into());
        if let Some(slot) = entry(&mut table, number) {
            deafen(hv, dom, machine, number, slot);
            slot.source = Source::Free;
        }
        set_needs_eoi(hv, dom, number, false);
    }
    msi::release(machine, &old.source);
    Ok(())
}

/// Unmaps all pirqs that `which` holds for.
pub(super) fn unmap_where<P: Platform>(
    hv: &Hypervisor<P>,
    dom: &Domain<P>,
    machine: &mut impl InterruptMachine,
    which: impl Fn(&Pirq) -> bool,
) {
    for pirq in 0..dom.devices.count() {
        if dom.devices.pirq(pirq).is_some_and(|found| found.source != Source::Free && which(&found)) {
            // Not the first of several messages: goes, or went, with that.
            let _ = unmap_one(hv, dom, machine, pirq);
        }
    }
}

/// Takes all interrupts of a dying domain back.
pub fn unmap_all<P: Platform>(hv: &Hypervisor<P>, dom: &Domain<P>, machine: &mut impl InterruptMachine) {
    unmap_where(hv, dom, machine, |_| true);
}
