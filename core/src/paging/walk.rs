//! Walking a guest's tables in software.

use super::entry::{HYPERVISOR_SLOTS, PAT_OR_PSE, Pte};
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
    let mut table = root.mfn();
    let mut level = 4;
    while level > 1 {
        if !hv.frames.is_ram(table) {
            return None;
        }
        let entry = load(hv.platform.page(table).words(), va.index(level));
        if !entry.present() || entry.has(PAT_OR_PSE) {
            return None;
        }
        table = entry.mfn();
        level -= 1;
    }
    hv.frames.is_ram(table).then(|| (table, va.index(1)))
}

/// The level-1 entry of a linear address as it is now, for decisions that are checked again. `None` as [`find_l1e`].
pub fn read_l1e<P: Platform>(hv: &Hypervisor<P>, root: Maddr, va: Vaddr) -> Option<Pte> {
    let (table, index) = find_l1e(hv, root, va)?;
    Some(load(hv.platform.page(table).words(), index))
}
