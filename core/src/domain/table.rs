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
    /// Adds a domain; gives it back when its number is taken or memory is exhausted.
    pub fn insert(&self, domain: Shared<Domain<P>>) -> Result<(), Shared<Domain<P>>> {
        let mut table = self.0.lock();
        match table.binary_search_by_key(&domain.id, |other| other.id) {
            Err(at) if table.try_reserve(1).is_ok() => {
                table.insert(at, domain);
                Ok(())
            }
            _ => Err(domain),
        }
    }
    /// Takes the domain with this number out.
    pub fn remove(&self, id: DomId) -> Option<Shared<Domain<P>>> {
        let mut table = self.0.lock();
        let at = table.binary_search_by_key(&id, |domain| domain.id).ok()?;
        Some(table.remove(at))
    }
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
