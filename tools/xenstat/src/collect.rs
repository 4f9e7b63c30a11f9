//! A scrape: asks each source, and puts together what belongs to one domain.
//!
//! Domains come and go meanwhile. What is told of a domain was all found while that domain had its number: the list is asked for
//! again at the end, and who is not in both lists, with the same UUID, is left out.

use crate::snapshot::{Asked, Disk, Domain, Host, Nic, Snapshot, SourceKind, Vcpu};
use std::collections::HashSet;
use std::fmt::Display;
use std::time::{Duration, Instant};
use xenctl::DomainInfo;

/// What did not work, for the log.
pub type Problem = String;

/// Where numbers come from.
pub trait Source {
    /// The machine.
    ///
    /// # Errors
    /// The hypervisor's.
    fn host(&mut self) -> Result<Host, Problem>;
    /// All domains.
    ///
    /// # Errors
    /// The hypervisor's.
    fn domains(&mut self) -> Result<Vec<DomainInfo>, Problem>;
    /// A vcpu of a domain; `None`: it has none with this number (any more).
    ///
    /// # Errors
    /// The hypervisor's.
    fn vcpu(&mut self, domid: u16, vcpu: u32) -> Result<Option<Vcpu>, Problem>;
    /// Name and time of start, as far as the store has them.
    ///
    /// # Errors
    /// The store's.
    fn names(&mut self, domain: &DomainInfo) -> Result<(Option<String>, Option<f64>), Problem>;
    /// xenstored's limits; none if it does not say.
    ///
    /// # Errors
    /// It cannot be reached.
    fn quotas(&mut self) -> Result<Vec<(String, u64)>, Problem>;
    /// What a domain uses of xenstored; none if it does not say.
    ///
    /// # Errors
    /// It cannot be reached.
    fn usage(&mut self, domid: u16) -> Result<Vec<(String, u64)>, Problem>;
    /// All disks.
    ///
    /// # Errors
    /// The kernel's.
    fn disks(&mut self) -> Result<Vec<Disk>, Problem>;
    /// All network cards.
    ///
    /// # Errors
    /// The kernel's.
    fn nics(&mut self) -> Result<Vec<Nic>, Problem>;
}

/// Time and the first problem of each source.
struct Account(Vec<Asked>);

impl Account {
    /// Asks a source; what failed is noted, and is like nothing found.
    fn ask<T: Default, E: Display>(&mut self, source: SourceKind, ask: impl FnOnce() -> Result<T, E>) -> T {
        let since = Instant::now();
        let answer = ask();
        let Some(asked) = self.0.iter_mut().find(|asked| asked.source == source) else { return T::default() };
        asked.took += since.elapsed();
        answer.unwrap_or_else(|error| {
            asked.error.get_or_insert(error.to_string());
            T::default()
        })
    }

    fn failed(&self, source: SourceKind) -> bool {
        self.0.iter().any(|asked| asked.source == source && asked.error.is_some())
    }
}

/// Makes a scrape.
pub fn collect(from: &mut impl Source) -> Snapshot {
    use SourceKind::{Block, Hypervisor, Network, Xenstore, XenstoreQuota};
    let mut account = Account(
        SourceKind::ALL.map(|source| Asked { source, took: Duration::ZERO, error: None }).into_iter().collect(),
    );
    let host = account.ask(Hypervisor, || from.host().map(Some));
    let before = account.ask(Hypervisor, || from.domains());
    let quotas = account.ask(XenstoreQuota, || from.quotas());
    let mut domains: Vec<Domain> = Vec::with_capacity(before.len());
    for info in before {
        let last = info.max_vcpu_id.map_or(0, |last| last.saturating_add(1));
        let vcpus = (0..last).filter_map(|id| account.ask(Hypervisor, || from.vcpu(info.domid, id))).collect();
        // A store that does not answer is waited for once.
        let (name, started) =
            if account.failed(Xenstore) { Default::default() } else { account.ask(Xenstore, || from.names(&info)) };
        let usage = if account.failed(XenstoreQuota) {
            Vec::new()
        } else {
            account.ask(XenstoreQuota, || from.usage(info.domid))
        };
        domains.push(Domain { info, name, started, vcpus, usage, disks: Vec::new(), nics: Vec::new() });
    }
    let disks = account.ask(Block, || from.disks());
    let nics = account.ask(Network, || from.nics());
    let after = account.ask(Hypervisor, || from.domains());
    let still: HashSet<_> = after.iter().map(|info| (info.domid, info.uuid)).collect();
    domains.retain(|domain| still.contains(&(domain.info.domid, domain.info.uuid)));
    domains.sort_by_key(|domain| domain.info.domid);
    for disk in disks {
        if let Some(domain) = with_number(&mut domains, disk.domid) {
            domain.disks.push(disk);
        }
    }
    for nic in nics {
        if let Some(domain) = with_number(&mut domains, nic.domid) {
            domain.nics.push(nic);
        }
    }
    Snapshot { host, domains, quotas, asked: account.0 }
}

fn with_number(domains: &mut [Domain], domid: u16) -> Option<&mut Domain> {
    let at = domains.binary_search_by_key(&domid, |domain| domain.info.domid).ok()?;
    domains.get_mut(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, disk, domain, nic};

    #[test]
    fn who_came_or_went_or_changed_during_a_scrape_is_left_out() {
        let with = |last: Vec<_>| {
            let lists = vec![vec![domain(0, 0), domain(3, 1), domain(4, 2)], last];
            let snapshot =
                collect(&mut Fake { lists, disks: vec![disk(3), disk(5)], nics: vec![nic(4)], ..Fake::default() });
            snapshot
                .domains
                .into_iter()
                .map(|domain| (domain.info.domid, domain.disks.len() + domain.nics.len()))
                .collect::<Vec<_>>()
        };
        assert_eq!(with(vec![domain(0, 0), domain(3, 1), domain(4, 2)]), [(0, 0), (3, 1), (4, 1)]);
        assert_eq!(with(vec![domain(0, 0), domain(4, 2)]), [(0, 0), (4, 1)], "it went");
        assert_eq!(
            with(vec![domain(0, 0), domain(3, 1), domain(4, 2), domain(5, 3)]),
            [(0, 0), (3, 1), (4, 1)],
            "it came"
        );
        assert_eq!(with(vec![domain(0, 0), domain(3, 9), domain(4, 2)]), [(0, 0), (4, 1)], "another has its number");
    }

    #[test]
    fn a_store_that_does_not_answer_is_asked_once() {
        let mut from = Fake {
            broken: &["names"],
            lists: vec![(0..100).map(|domid| domain(domid, 1)).collect()],
            ..Fake::default()
        };
        assert_eq!(collect(&mut from).domains.len(), 100);
        assert_eq!(from.asked_names, 1);
    }
}
