//! Quotas. They hold for every domain but the control domain.

use serde::{Deserialize, Serialize};

/// Which quota. Names and meanings are those of Xen's `xenstore-control quota`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum QuotaKind {
    /// Nodes that a domain owns.
    Nodes,
    /// Watches of a domain.
    Watches,
    /// Open transactions of a domain.
    Transactions,
    /// Requests whose replies a domain has not taken yet; above, its requests wait.
    Outstanding,
    /// Nodes that one transaction has read or written.
    TransactionNodes,
    /// Bytes of replies and events queued for a domain (above, it gets no more events), and bytes that its open
    /// transactions hold (each at most its share).
    Memory,
    /// Bytes of a node.
    NodeSize,
    /// Bytes of a path, not counting `/local/domain/N/`.
    PathMax,
    /// Entries in a node's permissions.
    Permissions,
}

impl QuotaKind {
    /// Every quota, in the order of Xen's listing.
    pub const ALL: [QuotaKind; 9] = [
        QuotaKind::Nodes,
        QuotaKind::Watches,
        QuotaKind::Transactions,
        QuotaKind::Outstanding,
        QuotaKind::TransactionNodes,
        QuotaKind::Memory,
        QuotaKind::NodeSize,
        QuotaKind::PathMax,
        QuotaKind::Permissions,
    ];

    /// Its name on the command line and in `CONTROL quota`.
    pub const fn name(self) -> &'static str {
        match self {
            QuotaKind::Nodes => "nodes",
            QuotaKind::Watches => "watches",
            QuotaKind::Transactions => "transactions",
            QuotaKind::Outstanding => "outstanding",
            QuotaKind::TransactionNodes => "transaction-nodes",
            QuotaKind::Memory => "memory",
            QuotaKind::NodeSize => "node-size",
            QuotaKind::PathMax => "path-max",
            QuotaKind::Permissions => "permissions",
        }
    }

    /// What it limits, for people.
    pub const fn meaning(self) -> &'static str {
        match self {
            QuotaKind::Nodes => "Nodes per domain",
            QuotaKind::Watches => "Watches per domain",
            QuotaKind::Transactions => "Transactions per domain",
            QuotaKind::Outstanding => "Outstanding requests per domain",
            QuotaKind::TransactionNodes => "Max. number of accessed nodes per transaction",
            QuotaKind::Memory => "Queued events, and open transactions, per domain (bytes)",
            QuotaKind::NodeSize => "Max. size of a node",
            QuotaKind::PathMax => "Max. length of a node path",
            QuotaKind::Permissions => "Max. number of permissions per node",
        }
    }

    const fn default_value(self) -> u64 {
        match self {
            QuotaKind::Nodes => 1000,
            QuotaKind::Watches => 128,
            QuotaKind::Transactions => 10,
            QuotaKind::Outstanding => 20,
            QuotaKind::TransactionNodes => 1024,
            QuotaKind::Memory => 2_621_440,
            QuotaKind::NodeSize => 2048,
            QuotaKind::PathMax => 2048,
            QuotaKind::Permissions => 5,
        }
    }

    /// The quota with this name.
    pub fn from_name(name: &[u8]) -> Option<QuotaKind> {
        QuotaKind::ALL.into_iter().find(|q| q.name().as_bytes() == name)
    }

    const fn index(self) -> usize {
        self as usize
    }
}

/// The values in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quotas([u64; 9]);

impl Default for Quotas {
    fn default() -> Self {
        Quotas(QuotaKind::ALL.map(QuotaKind::default_value))
    }
}

impl Quotas {
    /// A quota's value.
    pub fn get(&self, kind: QuotaKind) -> u64 {
        self.0.get(kind.index()).copied().unwrap_or(u64::MAX)
    }

    /// Changes a quota.
    pub fn set(&mut self, kind: QuotaKind, value: u64) {
        if let Some(slot) = self.0.get_mut(kind.index()) {
            *slot = value;
        }
    }
}
