//! Operations on nodes, in the store itself or in a transaction's copy of it.

use super::access::{Need, Subject};
use super::{QuotaKind, Quotas};
use crate::tree::{Node, Perms, Tree};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use triomphe::Arc;
use xen_wire::xenstore::{Perm, XsError, path};

/// Domains at and above this number are no real ones (`DOMID_FIRST_RESERVED`).
pub const DOMID_FIRST_RESERVED: u16 = 0x7ff0;

/// A refused operation; with the quota, if one was the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// For the reply.
    pub error: XsError,
    /// The quota that was hit, and its value.
    pub quota: Option<(QuotaKind, u64)>,
}

impl From<XsError> for Refused {
    fn from(error: XsError) -> Self {
        Refused { error, quota: None }
    }
}

/// A change that watches may want to know of.
#[derive(Clone, Debug)]
pub struct Event {
    /// What changed.
    pub path: Box<str>,
    /// Only for watches on exactly this path (below a subtree that was removed as a whole).
    pub exact: bool,
    /// Whoever may read under one of these may learn of it.
    pub perms: SmallVec<[Perms; 3]>,
}

/// Owned nodes, per domain.
pub type NodeCounts = BTreeMap<u16, u64>;

/// Changes of [`NodeCounts`].
pub type CountDelta = SmallVec<[(u16, i64); 2]>;

/// Adds to a delta.
pub fn charge(delta: &mut CountDelta, domid: u16, by: i64) {
    match delta.iter_mut().find(|(d, _)| *d == domid) {
        Some((_, n)) => *n += by,
        None => delta.push((domid, by)),
    }
}

/// What a transaction looked at, and what it holds in memory.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    /// Paths and [`LOOKED_AT_NODE`], [`LOOKED_AT_LIST`].
    pub paths: BTreeMap<Box<str>, u8>,
    /// Bytes of these paths and of what was written.
    pub bytes: u64,
}

/// The node's existence, value and permissions.
pub const LOOKED_AT_NODE: u8 = 1;
/// The list of its children.
pub const LOOKED_AT_LIST: u8 = 2;

/// A tree under change, and what must be kept with it.
pub struct Edit<'a> {
    /// The tree.
    pub tree: &'a mut Tree,
    /// The last generation that was given out.
    pub clock: &'a mut u64,
    /// Who owned how many nodes before.
    pub counts: &'a NodeCounts,
    /// How this changes it.
    pub delta: &'a mut CountDelta,
    /// What happened; `None` if nobody could be interested (a transaction finds out when it commits).
    pub events: Option<&'a mut Vec<Event>>,
    /// What was looked at, in a transaction.
    pub reads: Option<&'a mut Reads>,
    /// Who does it.
    pub subject: Subject,
    /// The limits.
    pub quotas: &'a Quotas,
}

impl Edit<'_> {
    fn tick(&mut self) -> u64 {
        *self.clock += 1;
        *self.clock
    }

    fn looked(&mut self, path: &str, what: u8) {
        if let Some(reads) = &mut self.reads {
            match reads.paths.get_mut(path) {
                Some(flags) => *flags |= what,
                None => {
                    reads.paths.insert(path.into(), what);
                    reads.bytes += path.len() as u64;
                }
            }
        }
    }

    fn over(&self, quota: QuotaKind, value: u64) -> Result<(), Refused> {
        let limit = self.quotas.get(quota);
        if !self.subject.privileged() && value > limit {
            return Err(Refused { error: XsError::ENOSPC, quota: Some((quota, limit)) });
        }
        Ok(())
    }

    fn charge_one(&mut self, owner: u16, new: u64) -> Result<(), Refused> {
        let pending: i64 = self.delta.iter().filter(|(d, _)| *d == owner).map(|(_, n)| *n).sum();
        let now = self.counts.get(&owner).copied().unwrap_or(0).saturating_add_signed(pending);
        self.over(QuotaKind::Nodes, now.saturating_add(new))?;
        charge(self.delta, owner, i64::try_from(new).unwrap_or(i64::MAX));
        Ok(())
    }

    /// The node at `path`, if the subject has the right. `ENOENT` is told only to who could have seen the
    /// node: whoever lacks the right on the nearest ancestor gets `EACCES`.
    pub fn look(&mut self, path: &str, need: Need, what: u8) -> Result<Arc<Node>, XsError> {
        let (node, at, found) = self.tree.nearest(path);
        let node = node.clone();
        // Whoever may write above a node may know that it is not there.
        let need = if !found && need == Need::Owner { Need::Write } else { need };
        let allowed = self.subject.rights(&node.perms).allow(need);
        if self.reads.is_some() {
            self.looked(path, what | LOOKED_AT_NODE);
            if !found {
                self.looked(at, LOOKED_AT_NODE);
                self.looked(first_missing(path, at), LOOKED_AT_NODE);
            }
        }
        match (allowed, found) {
            (true, true) => Ok(node),
            (true, false) => Err(XsError::ENOENT),
            (false, _) => Err(XsError::EACCES),
        }
    }

    fn event(&mut self, path: &str, exact: bool, perms: &[&Perms]) {
        if let Some(events) = &mut self.events {
            let perms = perms.iter().map(|p| (*p).clone()).collect();
            events.push(Event { path: path.into(), exact, perms });
        }
    }

    pub fn changed(&mut self, path: &str, extra: Option<&Perms>) {
        if self.events.is_none() {
            return;
        }
        let of = |p: &str, tree: &Tree| tree.get(p).map(|n| n.perms.clone());
        let (node, parent) = (of(path, self.tree), of(path::parent(path), self.tree));
        let perms: SmallVec<[&Perms; 3]> = [node.as_ref(), parent.as_ref(), extra].into_iter().flatten().collect();
        self.event(path, false, &perms);
    }

    /// Writes a value; makes the node and its ancestors if they are missing.
    pub fn write(&mut self, path: &str, value: &[u8]) -> Result<(), Refused> {
        self.over(QuotaKind::NodeSize, value.len() as u64 + 24)?;
        if let Some(reads) = &mut self.reads {
            reads.bytes += value.len() as u64;
        }
        match self.look(path, Need::Write, LOOKED_AT_NODE) {
            Ok(old) => {
                drop(old);
                let (generation, writer) = (self.tick(), self.subject.domid);
                if let Some(node) = self.tree.get_mut(path) {
                    node.set_value(value);
                    node.generation = generation;
                    node.writer = writer;
                }
            }
            Err(XsError::ENOENT) => self.create(path, value)?,
            Err(e) => return Err(e.into()),
        }
        self.changed(path, None);
        Ok(())
    }

    /// Makes a node, if it is missing. Returns whether it was.
    pub fn mkdir(&mut self, path: &str) -> Result<bool, Refused> {
        match self.look(path, Need::Write, LOOKED_AT_NODE) {
            Ok(_) => Ok(false),
            Err(XsError::ENOENT) => {
                self.create(path, b"")?;
                self.changed(path, None);
                Ok(true)
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Makes a node that is missing, with the missing ones above it. They inherit the permissions of the
    /// nearest ancestor, but what a guest makes it owns.
    fn create(&mut self, path: &str, value: &[u8]) -> Result<(), Refused> {
        let (above, at, _) = self.tree.nearest(path);
        let perms = if self.subject.privileged() || above.owner() == self.subject.domid {
            above.perms.clone()
        } else {
            let mut list = above.perms.to_vec();
            if let Some(first) = list.first_mut() {
                first.domid = self.subject.domid;
            }
            Arc::new(list)
        };
        let at = at.to_owned();
        let missing: SmallVec<[&str; 8]> = path::components(path.get(at.len()..).unwrap_or("")).collect();
        self.charge_one(perms.first().map_or(0, |p| p.domid), missing.len() as u64)?;
        let (generation, writer) = (self.tick(), self.subject.domid);
        let mut below: Option<Node> = None;
        for name in missing.iter().rev() {
            let value = if below.is_none() { value } else { b"" };
            let mut node = Node::new(name, value, perms.clone(), generation, writer);
            if let Some(b) = below.take() {
                node.change_list(generation, writer).insert(b);
            }
            below = Some(node);
        }
        if let (Some(top), Some(parent)) = (below, self.tree.get_mut(&at)) {
            parent.change_list(generation, writer).insert(top);
        }
        Ok(())
    }

    /// Removes a node and all below it. Fine if it is missing but its parent is there.
    pub fn rm(&mut self, path: &str) -> Result<bool, Refused> {
        match self.look(path, Need::Write, LOOKED_AT_NODE) {
            Ok(_) if path == "/" => Err(XsError::EINVAL.into()),
            Ok(_) => {
                self.remove_subtree(path);
                Ok(true)
            }
            Err(XsError::ENOENT) => {
                let parent = path::parent(path);
                self.looked(parent, LOOKED_AT_NODE);
                if self.tree.get(parent).is_some() { Ok(false) } else { Err(XsError::ENOENT.into()) }
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Removes what is at `path`, unchecked, with its events.
    pub fn remove_subtree(&mut self, path: &str) {
        let mut events = self.events.take();
        let delta = &mut *self.delta;
        self.tree.walk(path, &mut |p, node, parent| {
            charge(delta, node.owner(), -1);
            if let Some(events) = &mut events {
                let perms = [node.perms.clone(), parent.perms.clone()].into_iter().collect();
                events.push(Event { path: p.into(), exact: p != path, perms });
            }
        });
        self.events = events;
        let (generation, writer) = (self.tick(), self.subject.domid);
        if let Some(parent) = self.tree.get_mut(path::parent(path)) {
            parent.change_list(generation, writer).remove(path::basename(path));
        }
    }

    /// Replaces a node's permissions.
    pub fn set_perms(&mut self, path: &str, perms: &[Perm]) -> Result<(), Refused> {
        self.over(QuotaKind::Permissions, perms.len() as u64)?;
        let Some(owner) = perms.first().map(|p| p.domid).filter(|d| *d < DOMID_FIRST_RESERVED) else {
            return Err(XsError::ENOENT.into());
        };
        let old = self.look(path, Need::Owner, LOOKED_AT_NODE)?;
        if !self.subject.privileged() && owner != old.owner() {
            return Err(XsError::EPERM.into());
        }
        let (old_owner, old_perms) = (old.owner(), old.perms.clone());
        drop(old);
        if owner != old_owner {
            self.charge_one(owner, 1)?;
            charge(self.delta, old_owner, -1);
        }
        self.put_perms(path, Arc::new(perms.to_vec()));
        self.changed(path, Some(&old_perms));
        Ok(())
    }

    fn put_perms(&mut self, path: &str, perms: Perms) {
        let (generation, writer) = (self.tick(), self.subject.domid);
        if let Some(node) = self.tree.get_mut(path) {
            node.perms = perms;
            node.generation = generation;
            node.writer = writer;
        }
    }

    /// Makes `path` here what it is in `source`: value and permissions; missing ancestors come along.
    /// With `only_if_missing`, an existing node stays as it is.
    pub fn copy_from(&mut self, source: &Tree, path: &str, only_if_missing: bool) -> Result<(), Refused> {
        let Some(wanted) = source.get(path) else { return Ok(()) };
        let generation = self.tick();
        let writer = self.subject.domid;
        if let Some(old) = self.tree.get(path).cloned() {
            if only_if_missing {
                return Ok(());
            }
            if old.owner() != wanted.owner() {
                self.charge_one(wanted.owner(), 1)?;
                charge(self.delta, old.owner(), -1);
            }
            let old_perms = old.perms.clone();
            drop(old);
            if let Some(node) = self.tree.get_mut(path) {
                node.set_value(wanted.value());
                node.perms = wanted.perms.clone();
                node.generation = generation;
                node.writer = writer;
            }
            self.changed(path, Some(&old_perms));
            return Ok(());
        }
        let (_, at, _) = self.tree.nearest(path);
        let mut at = at.to_owned();
        for name in path::components(path.get(at.len()..).unwrap_or("")) {
            let parent = at.clone();
            if at != "/" {
                at.push('/');
            }
            at.push_str(name);
            let Some(wanted) = source.get(&at) else { return Ok(()) };
            self.charge_one(wanted.owner(), 1)?;
            let node = Node::new(wanted.name(), wanted.value(), wanted.perms.clone(), generation, writer);
            if let Some(parent) = self.tree.get_mut(&parent) {
                parent.change_list(generation, writer).insert(node);
            }
        }
        if !only_if_missing {
            self.changed(path, None);
        }
        Ok(())
    }
}

/// The shortest prefix of `path` that is missing, given that `at` is its nearest existing ancestor.
fn first_missing<'p>(path: &'p str, at: &str) -> &'p str {
    let start = if at == "/" { 1 } else { at.len() + 1 };
    let end = path.get(start..).and_then(|rest| rest.find('/')).map_or(path.len(), |i| start + i);
    path.get(..end).unwrap_or(path)
}
