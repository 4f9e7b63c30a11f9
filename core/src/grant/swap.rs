//! GNTTABOP_swap_grant_ref.

use super::status::Status;
use crate::domain::{Domain, Hypervisor};
use crate::platform::Platform;

/// Exchanges the contents of two of the domain's own entries. `BadRef`: there is no such entry; `Again`: one is in use.
pub(super) fn swap<P: Platform>(hv: &Hypervisor<P>, dom: &Domain<P>, a: u32, b: u32) -> Result<(), Status> {
    let mut table = dom.grants.inner.lock();
    let (first, second) = (table.entry(&hv.platform, a)?, table.entry(&hv.platform, b)?);
    if a == b {
        return Ok(());
    }
    for reference in [a, b] {
        if table.active(reference).ok_or(Status::BadRef)?.pins.any() {
            return Err(Status::Again);
        }
    }
    let (x, y) = (first.words(), second.words());
    first.set_words(y);
    second.set_words(x);
    Ok(())
}
