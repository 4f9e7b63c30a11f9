//! GNTTABOP_unmap_grant_ref and GNTTABOP_unmap_and_replace, in two steps with a flush between them: entries first, then the
//! flush, and only then the granter sees that its frame is not in use any more.

use super::failure::Failure;
use super::frames::put_stored;
use super::maptrack::Mapping;
use super::pin::unpin_of;
use super::status::Status;
use crate::addr::{Maddr, Vaddr};
use crate::ctx::Ctx;
use crate::paging::{Displaced, clear_l1e_at_maddr, clear_l1e_at_va, move_l1e, put_writable};
use crate::platform::Platform;

/// What is to be undone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub handle: u32,
    /// Where it is mapped; `None`: that stays.
    pub host: Option<u64>,
    /// The address that devices use; 0: that stays.
    pub device: u64,
    /// The entry of this address takes the place of the mapping; 0: nothing does.
    pub replace: u64,
}

/// A mapping whose entry is gone, until the flush is done. The handle is busy.
#[must_use]
#[derive(Debug)]
pub(super) struct Undone {
    handle: u32,
    mapping: Mapping,
    entry: Option<Displaced>,
    device: bool,
}

impl Undone {
    /// Whether TLBs may remember it.
    pub fn needs_flush(&self) -> bool {
        self.entry.is_some()
    }
}

/// First step: the page-table entry. On an error nothing has changed.
pub(super) fn begin<P: Platform>(ctx: &mut Ctx<'_, P>, request: Request) -> Result<Undone, Failure> {
    let mapping = ctx.dom.grants.maptrack.lock().take(request.handle)?;
    let device = mapping.device && request.device != 0;
    let entry = if device && request.device != mapping.frame.maddr().0 {
        Err(Status::General.into())
    } else {
        clear(ctx, request, &mapping)
    };
    match entry {
        Ok(entry) => Ok(Undone { handle: request.handle, mapping, entry, device }),
        Err(failure) => {
            ctx.dom.grants.maptrack.lock().set(request.handle, mapping);
            Err(failure)
        }
    }
}

fn clear<P: Platform>(ctx: &mut Ctx<'_, P>, request: Request, mapping: &Mapping) -> Result<Option<Displaced>, Failure> {
    let Some(host) = request.host.filter(|_| mapping.host) else { return Ok(None) };
    let (frame, writable) = (mapping.frame, mapping.writable);
    let cleared = match (mapping.by_entry, request.replace) {
        (false, 0) => clear_l1e_at_va(ctx, Vaddr(host), frame, writable),
        (true, 0) => clear_l1e_at_maddr(ctx, Maddr(host), frame, writable),
        (false, from) => move_l1e(ctx, Vaddr(from), Vaddr(host), frame, writable),
        // A linear address would have to stand for a machine address.
        (true, _) => return Err(Status::General.into()),
    };
    Ok(Some(cleared?))
}

/// Last step, after the flush: references, the granter's entry, and the handle.
pub(super) fn finish<P: Platform>(ctx: &mut Ctx<'_, P>, undone: Undone) {
    let mut mapping = undone.mapping;
    if let Some(entry) = undone.entry {
        put_writable(ctx, entry.frame, entry.used);
        unpin_of(ctx.hv, mapping.granter, mapping.reference, &[mapping.host_use()]);
        mapping.host = false;
    }
    if undone.device {
        put_stored(ctx.hv, mapping.frame, mapping.writable);
        unpin_of(ctx.hv, mapping.granter, mapping.reference, &[mapping.device_use()]);
        mapping.device = false;
    }
    let mut track = ctx.dom.grants.maptrack.lock();
    if mapping.host || mapping.device {
        track.set(undone.handle, mapping);
    } else {
        track.free(undone.handle);
    }
}
