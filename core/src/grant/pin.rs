//! Taking a grant into use, and giving it back.

use super::active::Use;
use super::entry::{Grant, Purpose};
use super::status::Status;
use crate::addr::Mfn;
use crate::domain::{DomId, Domain, Hypervisor};
use crate::platform::Platform;

/// Takes one of `granter`'s grants into use for `by`: judges the entry, marks it, counts the uses. On an error nothing has
/// changed. The frame is not referenced yet.
pub(super) fn pin<P: Platform>(
    hv: &Hypervisor<P>,
    granter: &Domain<P>,
    reference: u32,
    by: DomId,
    uses: &[Use],
    purpose: Purpose,
) -> Result<Grant, Status> {
    if granter.is_dying() {
        return Err(Status::General);
    }
    let mut table = granter.grants.inner.lock();
    let entry = table.entry(&hv.platform, reference)?;
    let active = table.active(reference).ok_or(Status::BadRef)?;
    let mut pins = active.pins;
    for &what in uses {
        pins.add(what)?;
    }
    let grant = entry.mark(by, uses.iter().any(|what| what.writable), purpose)?;
    active.pins = pins;
    active.by = by;
    if let Grant::Frame { frame, .. } = grant {
        active.frame = frame;
    }
    Ok(grant)
}

/// Gives uses of a grant back. The marks go with the last use, unless the table is gone.
pub(super) fn unpin<P: Platform>(hv: &Hypervisor<P>, granter: &Domain<P>, reference: u32, uses: &[Use]) {
    let mut table = granter.grants.inner.lock();
    let entry = table.entry(&hv.platform, reference);
    let Some(active) = table.active(reference) else { return };
    uses.iter().for_each(|&what| active.pins.remove(what));
    if let Ok(entry) = entry {
        entry.unmark(!active.pins.written(), !active.pins.any());
    }
}

/// The same by the granter's number; a granter that is gone keeps nothing.
pub(super) fn unpin_of<P: Platform>(hv: &Hypervisor<P>, granter: DomId, reference: u32, uses: &[Use]) {
    if let Some(granter) = hv.domains.get(granter) {
        unpin(hv, &granter, reference, uses);
    }
}

/// A grant whose frame cannot be used (its number is checked where a reference is taken).
pub(super) fn whole_frame(grant: Grant) -> Result<Mfn, Status> {
    match grant {
        Grant::Frame { frame, .. } => Ok(frame),
        Grant::Transitive { .. } => Err(Status::General),
    }
}
