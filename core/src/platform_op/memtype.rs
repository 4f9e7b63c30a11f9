//! Memory types (MTRRs). They are the firmware's; a page's type comes from its PAT bits. What is asked for and is so
//! already is granted, anything else is refused as if no register were free.

use super::seam::{MemoryType, PlatformMachine};
use xen_abi::Errno;
use xen_abi::member;
use xen_abi::platform::*;

/// No CPU has more.
const MOST_REGISTERS: u32 = 64;

pub(super) fn read(machine: &impl PlatformMachine, op: &mut XenPlatformOp) -> Result<(), Errno> {
    let mut arg: XenpfReadMemtype = member::get(&op.u);
    let found = machine.memory_type(arg.reg).ok_or(Errno::EINVAL)?;
    arg.mfn = found.mfn;
    arg.nr_mfns = found.frames;
    arg.r#type = found.kind;
    member::put(&mut op.u, &arg);
    Ok(())
}

pub(super) fn add(machine: &impl PlatformMachine, op: &mut XenPlatformOp) -> Result<(), Errno> {
    let mut arg: XenpfAddMemtype = member::get(&op.u);
    if arg.nr_mfns == 0 || !matches!(arg.r#type, 0 | 1 | 4 | 5 | 6) {
        return Err(Errno::EINVAL);
    }
    let wanted = MemoryType { mfn: arg.mfn, frames: arg.nr_mfns, kind: arg.r#type };
    let found = (0..MOST_REGISTERS)
        .map_while(|register| machine.memory_type(register).map(|found| (register, found)))
        .find(|(_, found)| *found == wanted);
    let (register, _) = found.ok_or(Errno::ENOSPC)?;
    arg.handle = 0;
    arg.reg = register;
    member::put(&mut op.u, &arg);
    Ok(())
}

/// Only what [`add`] gave out can be given back, and that changes nothing.
pub(super) fn delete(machine: &impl PlatformMachine, op: &XenPlatformOp) -> Result<(), Errno> {
    let arg: XenpfDelMemtype = member::get(&op.u);
    match machine.memory_type(arg.reg) {
        Some(found) if arg.handle == 0 && found.frames != 0 => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}
