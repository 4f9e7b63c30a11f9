//! The store as a state machine: a request and a state give effects and the next state. No I/O, no clock, no
//! randomness: the same inputs give the same bytes, which is what lets a journal of inputs stand for the state.

mod access;
mod control;
mod domains;
mod effects;
mod nodes;
mod quota;
mod request;
pub(crate) mod transaction;
mod update;
mod watches;

pub use access::{Need, Rights, Subject};
pub use domains::{Domain, INTRODUCE_DOMAIN, PendingRing, RELEASE_DOMAIN};
pub use effects::{Effect, Effects, Ticket};
pub use nodes::{DOMID_FIRST_RESERVED, NodeCounts, Reads};
pub use quota::{QuotaKind, Quotas};
pub use transaction::Transaction;
pub use update::Update;
pub use watches::Watch;

use crate::tree::Tree;
use nodes::{CountDelta, Event};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use watches::WatchIndex;
use xen_wire::xenstore::{Access, Perm, PermList};

/// A connection: a socket's number, or a domain's ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnId(pub u64);

impl ConnId {
    const DOMAIN: u64 = 1 << 63;

    /// The connection over a domain's ring.
    pub const fn domain(domid: u16) -> Self {
        ConnId(Self::DOMAIN | domid as u64)
    }

    /// The domain, if this is a ring.
    pub const fn as_domain(self) -> Option<u16> {
        if self.0 & Self::DOMAIN != 0 { Some((self.0 & 0xffff) as u16) } else { None }
    }
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its domain; 0 for sockets.
    pub domid: u16,
    /// It may not change anything.
    pub read_only: bool,
}

/// One connection's part of the state.
#[derive(Clone, Debug)]
pub struct Conn {
    pub(crate) peer: Peer,
    pub(crate) watches: BTreeMap<u64, Watch>,
    pub(crate) transactions: BTreeMap<u32, Transaction>,
    pub(crate) last_transaction: u32,
    pub(crate) pending: Option<PendingRing>,
    pub(crate) update: Option<Update>,
}

impl Conn {
    fn new(peer: Peer) -> Self {
        Conn {
            peer,
            watches: BTreeMap::new(),
            transactions: BTreeMap::new(),
            last_transaction: 0,
            pending: None,
            update: None,
        }
    }
}

/// The state of the whole store.
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) tree: Tree,
    /// The last generation that was given out.
    pub(crate) clock: u64,
    pub(crate) counts: NodeCounts,
    pub(crate) quotas: Quotas,
    pub(crate) conns: BTreeMap<ConnId, Conn>,
    pub(crate) domains: BTreeMap<u16, Domain>,
    pub(crate) introduce_perms: PermList,
    pub(crate) release_perms: PermList,
    pub(crate) last_watch: u64,
    watches: WatchIndex,
}

impl Default for State {
    fn default() -> Self {
        Self::new(Quotas::default())
    }
}

impl State {
    /// A store with nothing in it but `/tool/xenstored`.
    pub fn new(quotas: Quotas) -> Self {
        let control_only = vec![Perm::new(Access::None, 0)];
        let mut state = State {
            tree: Tree::default(),
            clock: 0,
            counts: NodeCounts::from([(0, 1)]),
            quotas,
            conns: BTreeMap::new(),
            domains: BTreeMap::new(),
            introduce_perms: control_only.clone(),
            release_perms: control_only,
            last_watch: 0,
            watches: WatchIndex::default(),
        };
        let subject = Subject { domid: 0, target: None };
        // The control domain is under no quota and may write anywhere: this cannot be refused.
        let _ = state.edit(subject, |edit| edit.mkdir("/tool/xenstored"), &mut Effects::default());
        state
    }

    /// Builds what is derived from the rest, after loading a snapshot.
    pub(crate) fn reindex(&mut self) {
        self.watches = WatchIndex::default();
        for (id, conn) in &self.conns {
            for (n, w) in &conn.watches {
                self.watches.add(&w.path, *id, *n);
            }
        }
    }

    /// A client connected.
    pub fn connect(&mut self, id: ConnId, peer: Peer) {
        self.reset_connection(id);
        self.conns.insert(id, Conn::new(peer));
    }

    /// A client went away; its watches and transactions go with it.
    pub fn disconnect(&mut self, id: ConnId) {
        self.reset_connection(id);
        self.conns.remove(&id);
    }

    /// Drops a connection's watches and transactions, and keeps the connection.
    pub fn reset_connection(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.transactions.clear();
            conn.pending = None;
            conn.update = None;
            for (n, w) in std::mem::take(&mut conn.watches) {
                self.watches.remove(&w.path, id, n);
            }
        }
    }

    /// Whether a connection waits for a ring to be mapped, or for another daemon, so that its next request must wait too.
    pub fn blocked(&self, id: ConnId) -> bool {
        self.conns
            .get(&id)
            .is_some_and(|c| c.pending.is_some() || c.update.as_ref().is_some_and(|update| update.begun.is_some()))
    }

    /// Whether a connection exists.
    pub fn connected(&self, id: ConnId) -> bool {
        self.conns.contains_key(&id)
    }

    /// The connections, in order.
    pub fn connections(&self) -> impl Iterator<Item = ConnId> {
        self.conns.keys().copied()
    }

    /// Who is at the other end of a connection.
    pub fn peer(&self, id: ConnId) -> Option<Peer> {
        self.conns.get(&id).map(|c| c.peer)
    }

    /// The content outside any transaction.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The quotas in force.
    pub fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// Nodes owned by a domain.
    pub fn owned_nodes(&self, domid: u16) -> u64 {
        self.counts.get(&domid).copied().unwrap_or(0)
    }

    fn subject(&self, conn: &Conn) -> Subject {
        subject_of(&self.domains, conn)
    }

    fn apply_delta(&mut self, delta: &CountDelta) {
        for (domid, by) in delta {
            let count = self.counts.entry(*domid).or_default();
            *count = count.saturating_add_signed(*by);
            if *count == 0 {
                self.counts.remove(domid);
            }
        }
    }

    fn fire_all(&self, events: &[Event], fx: &mut Effects) {
        for e in events {
            self.watches.fire(e, &self.conns, |c| subject_of(&self.domains, c), fx);
        }
    }

    fn fire_special(&self, name: &str, domid: u16, fx: &mut Effects) {
        let perms = if name == INTRODUCE_DOMAIN { &self.introduce_perms } else { &self.release_perms };
        self.watches.fire_special(name, domid, perms, &self.conns, |c| subject_of(&self.domains, c), fx);
    }
}

fn subject_of(domains: &BTreeMap<u16, Domain>, conn: &Conn) -> Subject {
    let domid = conn.peer.domid;
    Subject { domid, target: domains.get(&domid).and_then(|d| d.target) }
}
