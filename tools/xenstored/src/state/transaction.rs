//! Transactions: a copied root, what was looked at, what was changed.
//!
//! A commit succeeds if everything that the transaction looked at is as it was when the transaction began,
//! node by node: value, permissions and existence apart from the list of children. So transactions that touch
//! different nodes never disturb one another, even when they add children to one directory. The changes are
//! then applied to the store as it is now.

use super::nodes::{CountDelta, Edit, Event, LOOKED_AT_LIST, LOOKED_AT_NODE, NodeCounts, Reads, Refused};
use super::{Quotas, Subject};
use crate::tree::{Tree, Writer};
use std::collections::BTreeMap;
use triomphe::Arc;

/// The subtree at this path was removed at some point.
pub(crate) const REMOVED: u8 = 1;
/// The node was written, or its permissions set.
pub(crate) const WRITTEN: u8 = 2;
/// The node was made as a missing ancestor of another.
pub(crate) const PARENT: u8 = 4;

/// An open transaction.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// The store when it began.
    pub(crate) base: Tree,
    /// The store as the transaction sees it.
    pub(crate) tree: Tree,
    /// What it looked at.
    pub(crate) reads: Reads,
    /// What it changed, in the order of the first change.
    pub(crate) dirty: Vec<(Box<str>, u8)>,
    /// Where a path stands in `dirty`.
    pub(crate) index: BTreeMap<Box<str>, usize>,
    /// Nodes made and removed so far, by owner.
    pub(crate) delta: CountDelta,
}

/// Why a commit fails.
#[derive(Debug)]
pub(super) enum CommitError {
    /// Something that was looked at has changed; by whom.
    Conflict(Writer),
    /// A quota.
    Refused(Refused),
}

impl Transaction {
    pub(super) fn new(base: &Tree) -> Self {
        Transaction {
            base: base.clone(),
            tree: base.clone(),
            reads: Reads::default(),
            dirty: Vec::new(),
            index: BTreeMap::new(),
            delta: CountDelta::new(),
        }
    }

    /// Notes a change of the node at `path`.
    pub(super) fn mark(&mut self, path: &str, flags: u8) {
        if let Some((_, f)) = self.index.get(path).and_then(|i| self.dirty.get_mut(*i)) {
            *f |= flags;
        } else {
            self.index.insert(path.into(), self.dirty.len());
            self.dirty.push((path.into(), flags));
        }
    }

    /// The ancestors of `path` that are missing, from the top down.
    pub(super) fn missing_parents(&self, path: &str) -> Vec<Box<str>> {
        let (_, at, found) = self.tree.nearest(path);
        if found {
            return Vec::new();
        }
        let from = if at == "/" { 0 } else { at.len() };
        let ends = path.char_indices().filter(|(i, c)| *c == '/' && *i > from).map(|(i, _)| i);
        ends.filter_map(|end| path.get(..end).map(Box::from)).collect()
    }

    /// Who changed something that this transaction looked at, if anybody did.
    fn conflict(&self, now: &Tree) -> Option<Writer> {
        if self.base.same(now) {
            return None;
        }
        self.reads.paths.iter().find_map(|(path, what)| match (self.base.get(path), now.get(path)) {
            (None, None) => None,
            (Some(a), Some(b)) if Arc::ptr_eq(a, b) => None,
            (Some(a), Some(b)) => {
                if what & LOOKED_AT_NODE != 0 && a.generation != b.generation {
                    Some(b.writer)
                } else if what & LOOKED_AT_LIST != 0 && a.list_generation().0 != b.list_generation().0 {
                    Some(b.list_generation().1)
                } else {
                    None
                }
            }
            (None, Some(b)) => Some(b.writer),
            (Some(_), None) => Some(now.nearest(path).0.list_generation().1),
        })
    }

    /// The store with this transaction's changes in it.
    pub(super) fn commit(
        &self,
        now: &Tree,
        clock: &mut u64,
        counts: &NodeCounts,
        quotas: &Quotas,
        subject: Subject,
    ) -> Result<(Tree, CountDelta, Vec<Event>), CommitError> {
        if let Some(writer) = self.conflict(now) {
            return Err(CommitError::Conflict(writer));
        }
        let mut tree = now.clone();
        let mut delta = CountDelta::new();
        let mut events = Vec::new();
        let mut edit = Edit {
            tree: &mut tree,
            clock,
            counts,
            delta: &mut delta,
            events: Some(&mut events),
            reads: None,
            subject,
            quotas,
        };
        for (path, flags) in &self.dirty {
            if flags & REMOVED != 0 && edit.tree.get(path).is_some() {
                edit.remove_subtree(path);
            }
        }
        for (path, flags) in &self.dirty {
            if flags & (WRITTEN | PARENT) != 0 {
                edit.copy_from(&self.tree, path, flags & WRITTEN == 0).map_err(CommitError::Refused)?;
            }
        }
        // A node that was made as an ancestor is told by what is below it, or by itself if all of that is gone again.
        for (path, flags) in &self.dirty {
            let bare = |tree: &Tree| tree.get(path).is_some_and(|node| node.children().iter().next().is_none());
            if flags & (WRITTEN | PARENT) == PARENT && now.get(path).is_none() && bare(edit.tree) {
                edit.changed(path, None);
            }
        }
        // A node that was removed and made again is one event to a watcher.
        let mut seen = std::collections::BTreeSet::new();
        events.reverse();
        events.retain(|e| seen.insert((e.path.clone(), e.exact)));
        events.reverse();
        Ok((tree, delta, events))
    }
}
