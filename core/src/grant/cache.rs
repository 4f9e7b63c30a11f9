//! GNTTABOP_cache_flush.

use crate::addr::{Maddr, PAGE_SIZE};
use crate::cpu::CpuMask;
use crate::ctx::Ctx;
use crate::platform::Platform;
use xen_abi::Errno;
use xen_abi::grant_table::*;

/// Writes back what the caches hold of a part of a frame that is the caller's, or that it has mapped. x86 keeps caches and
/// devices coherent, so only a domain with devices can tell a difference.
///
/// # Errors
/// `EINVAL`: the part leaves the frame, or the operation is unknown; `EOPNOTSUPP`: by grant reference, or to discard what was
/// not written back; `EPERM`: not the caller's frame.
pub fn cache_flush<P: Platform>(ctx: &Ctx<'_, P>, op: &GnttabCacheFlush) -> Result<(), Errno> {
    if u64::from(op.offset) >= PAGE_SIZE
        || u64::from(op.offset) + u64::from(op.length) > PAGE_SIZE
        || op.op & !(GNTTAB_CACHE_CLEAN | GNTTAB_CACHE_INVAL | GNTTAB_CACHE_SOURCE_GREF) != 0
    {
        return Err(Errno::EINVAL);
    }
    if op.length == 0 || op.op == 0 {
        return Ok(());
    }
    if op.op & GNTTAB_CACHE_SOURCE_GREF != 0 || op.op & GNTTAB_CACHE_CLEAN == 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let frame = Maddr(op.a).mfn();
    if ctx.hv.frames.owner(frame) != Some(ctx.dom.id) && !ctx.dom.grants.maptrack.lock().maps(frame) {
        return Err(Errno::EPERM);
    }
    if ctx.dom.privileged {
        ctx.hv.platform.flush_caches(ctx.cpu, &CpuMask::one(ctx.cpu));
    }
    Ok(())
}
