//! Rights to interrupts, ports and I/O memory.

use crate::addr::Mfn;
use crate::ctx::Ctx;
use crate::domain::Domain;
use crate::frame::IoAccess;
use crate::platform::Platform;
use xen_abi::Errno;
use xen_abi::domctl::*;
use xen_abi::v4_20::{XEN_DOMCTL_GSI_ACTION_MASK, XEN_DOMCTL_GSI_GRANT, XenDomctlGsiPermission};

/// The most frames of one XEN_DOMCTL_memory_mapping.
const MOST_FRAMES: u64 = 1 << 16;

fn last(first: u64, count: u64) -> Result<u64, Errno> {
    count.checked_sub(1).and_then(|n| first.checked_add(n)).ok_or(Errno::EINVAL)
}

/// The pirq is the caller's name for the line.
pub(super) fn interrupt<P: Platform>(
    ctx: &Ctx<'_, P>,
    dom: &Domain<P>,
    arg: &XenDomctlIrqPermission,
) -> Result<(), Errno> {
    line(ctx, dom, arg.pirq, arg.allow_access != 0)
}

/// The number is the machine's, which the control domain's pirqs are, too.
pub(super) fn gsi<P: Platform>(ctx: &Ctx<'_, P>, dom: &Domain<P>, arg: &XenDomctlGsiPermission) -> Result<(), Errno> {
    if arg.flags & !XEN_DOMCTL_GSI_ACTION_MASK != 0 {
        return Err(Errno::EINVAL);
    }
    line(ctx, dom, arg.gsi, arg.flags == XEN_DOMCTL_GSI_GRANT)
}

fn line<P: Platform>(ctx: &Ctx<'_, P>, dom: &Domain<P>, line: u32, allow: bool) -> Result<(), Errno> {
    if line >= ctx.hv.lines.count() {
        return Err(Errno::EINVAL);
    }
    let mut lines = dom.devices.rights.lines.lock();
    if allow { lines.add(line.into(), line.into()) } else { lines.remove(line.into(), line.into()) }
}

pub(super) fn ports<P: Platform>(dom: &Domain<P>, arg: &XenDomctlIoportPermission) -> Result<(), Errno> {
    const PORTS: u64 = 0x1_0000;
    let (first, last) = (arg.first_port.into(), last(arg.first_port.into(), arg.nr_ports.into())?);
    if last >= PORTS {
        return Err(Errno::EINVAL);
    }
    let mut ports = dom.devices.rights.ports.lock();
    if arg.allow_access != 0 { ports.add(first, last) } else { ports.remove(first, last) }
}

pub(super) fn memory<P: Platform>(dom: &Domain<P>, arg: &XenDomctlIomemPermission) -> Result<(), Errno> {
    let last = last(arg.first_mfn, arg.nr_mfns)?;
    let mut memory = dom.devices.rights.memory.lock();
    if arg.allow_access != 0 { memory.add(arg.first_mfn, last) } else { memory.remove(arg.first_mfn, last) }
}

/// A PV domain maps by itself what it has the right to: there is nothing to map for it.
pub(super) fn mapping<P: Platform>(
    ctx: &Ctx<'_, P>,
    dom: &Domain<P>,
    arg: &XenDomctlMemoryMapping,
) -> Result<(), Errno> {
    let end = last(arg.first_mfn, arg.nr_mfns)?;
    last(arg.first_gfn, arg.nr_mfns)?;
    if arg.nr_mfns > MOST_FRAMES {
        return Err(Errno::E2BIG);
    }
    let io = |mfn| ctx.hv.frames.io.access(Mfn(mfn)) != IoAccess::Refused;
    if !dom.devices.rights.memory.lock().has(arg.first_mfn, end) || !(arg.first_mfn..=end).all(io) {
        return Err(Errno::EPERM);
    }
    Ok(())
}
