//! Walking a guest's tables in software.

use super::entry::{HYPERVISOR_SLOTS, PAT_OR_PSE, PRESENT};
use super::validate::load;
use crate::addr::{Maddr, Mfn, Vaddr};
use crate::domain::Hypervisor;
use crate::platform::Platform;

/// Where the level-1 entry of a linear address is: table and index. `None`: there is no level-1 table for it, or the
/// address is not the guest's.
///
/// The tables may change under the walk (another vcpu's right), so the result is only a claim: who uses it takes a
/// reference to the table and locks it, which says whether it is a level-1 table of the domain.
#[inline]
pub fn find_l1e<P: Platform>(hv: &Hypervisor<P>, root: Maddr, va: Vaddr) -> Option<(Mfn, usize)> {
    if !va.is_canonical() || HYPERVISOR_SLOTS.contains(&va.index(4)) {
        return None;
    }
    let table = descend(hv, root.mfn(), va.index(4))?;
    let table = descend(hv, table, va.index(3))?;
    let table = descend(hv, table, va.index(2))?;
    hv.frames.is_ram(table).then(|| (table, va.index(1)))
}

/// The table that an entry leads to.
#[inline(always)]
fn descend<P: Platform>(hv: &Hypervisor<P>, table: Mfn, index: usize) -> Option<Mfn> {
    if !hv.frames.is_ram(table) {
        return None;
    }
    let entry = load(hv.platform.page(table).words(), index);
    (entry.0 & (PRESENT | PAT_OR_PSE) == PRESENT).then(|| entry.mfn())
}
