//! Where domains are found by number.

use super::{DomId, Domain};
use crate::platform::Platform;
use alloc::vec::Vec;
use ferroxen_sync::{Lock, Shared, rank};

/// All domains.
pub struct DomainTable<P: Platform>(Lock<rank::DomainTable, Vec<Shared<Domain<P>>>>);

impl<P: Platform> Default for DomainTable<P> {
    fn default() -> Self {
        DomainTable(Lock::new(Vec::new()))
    }
}

impl<P: Platform> DomainTable<P> {
    /// The domain with this number.
    pub fn get(&self, id: DomId) -> Option<Shared<Domain<P>>> {
        let table = self.0.lock();
        let at = table.binary_search_by_key(&id, |domain| domain.id).ok()?;
        table.get(at).cloned()
    }
    /// The first domain whose number is at least `id` (for walking all of them).
    pub fn next(&self, id: DomId) -> Option<Shared<Domain<P>>> {
        let table = self.0.lock();
        let at = table.partition_point(|domain| domain.id < id);
        table.get(at).cloned()
    }
}
