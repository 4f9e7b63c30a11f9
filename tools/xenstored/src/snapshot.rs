//! An engine as bytes and back. Trees that share nodes share them again after loading, so that an open
//! transaction costs no more after a restart than before.

use crate::engine::{Engine, Stream};
use crate::state::transaction::Transaction;
use crate::state::{Conn, ConnId, Domain, NodeCounts, Peer, PendingRing, Quotas, Reads, State, Update, Watch};
use crate::tree::{Children, Node, Perms, Tree};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use triomphe::Arc;
use xen_wire::xenstore::{Access, Perm, PermList};

/// Changes whenever the layout does. Version 1 knew no updates.
const VERSION: u32 = 2;

/// A snapshot that cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Not the bytes that were written.
    #[error("the snapshot is damaged: {0}")]
    Damaged(&'static str),
    /// Not decodable.
    #[error("the snapshot cannot be decoded: {0}")]
    Decode(#[from] postcard::Error),
    /// Written by another version of the daemon.
    #[error("the snapshot has version {0}, this daemon reads {VERSION}")]
    Version(u32),
}

type RawPerms = Vec<(u8, u16)>;

#[derive(Serialize, Deserialize)]
struct RawNode {
    name: String,
    value: Vec<u8>,
    perms: u32,
    children: Vec<u32>,
    generation: u64,
    writer: u16,
    /// Generation and writer of the list of children, if there ever was one.
    list: Option<(u64, u16)>,
}

#[derive(Serialize, Deserialize)]
struct RawTransaction {
    base: u32,
    tree: u32,
    reads: BTreeMap<Box<str>, u8>,
    bytes: u64,
    dirty: Vec<(Box<str>, u8)>,
    delta: Vec<(u16, i64)>,
}

#[derive(Serialize, Deserialize)]
struct RawConn<U> {
    peer: Peer,
    watches: BTreeMap<u64, Watch>,
    transactions: BTreeMap<u32, RawTransaction>,
    last_transaction: u32,
    pending: Option<PendingRing>,
    update: U,
}

#[derive(Serialize, Deserialize)]
struct Raw<U> {
    version: u32,
    perms: Vec<RawPerms>,
    /// Children stand before their parents.
    nodes: Vec<RawNode>,
    root: u32,
    clock: u64,
    counts: NodeCounts,
    quotas: Quotas,
    conns: BTreeMap<ConnId, RawConn<U>>,
    domains: BTreeMap<u16, Domain>,
    introduce_perms: RawPerms,
    release_perms: RawPerms,
    last_watch: u64,
    streams: BTreeMap<ConnId, Stream>,
}

fn raw_perms(perms: &[Perm]) -> RawPerms {
    perms.iter().map(|p| (p.access as u8, p.domid)).collect()
}

fn cooked_perms(raw: &[(u8, u16)]) -> PermList {
    let access = |a| match a {
        1 => Access::Read,
        2 => Access::Write,
        3 => Access::Both,
        _ => Access::None,
    };
    raw.iter().map(|(a, d)| Perm::new(access(*a), *d)).collect()
}

/// Gives every node and permission list that it meets a number, once.
#[derive(Default)]
struct Numbering {
    nodes: Vec<RawNode>,
    node_of: HashMap<*const Node, u32>,
    perms: Vec<RawPerms>,
    perms_of: HashMap<Vec<(u8, u16)>, u32>,
}

impl Numbering {
    fn perms(&mut self, perms: &[Perm]) -> u32 {
        let raw = raw_perms(perms);
        let next = index(self.perms.len());
        *self.perms_of.entry(raw).or_insert_with_key(|raw| {
            self.perms.push(raw.clone());
            next
        })
    }

    /// Children first, without recursion: depth is a guest's choice.
    fn tree(&mut self, tree: &Tree) -> u32 {
        let mut stack = vec![(tree.root(), false)];
        while let Some((node, children_done)) = stack.pop() {
            if self.node_of.contains_key(&Arc::as_ptr(node)) {
                continue;
            }
            if !children_done {
                stack.push((node, true));
                stack.extend(node.children().iter().map(|c| (c, false)));
                continue;
            }
            let children = node.children().iter().filter_map(|c| self.node_of.get(&Arc::as_ptr(c)).copied()).collect();
            let raw = RawNode {
                name: node.name().to_owned(),
                value: node.value().to_vec(),
                perms: self.perms(&node.perms),
                children,
                generation: node.generation,
                writer: node.writer,
                list: Some(node.list_generation()).filter(|(generation, _)| *generation != 0),
            };
            self.node_of.insert(Arc::as_ptr(node), index(self.nodes.len()));
            self.nodes.push(raw);
        }
        self.node_of.get(&Arc::as_ptr(tree.root())).copied().unwrap_or(0)
    }
}

fn index(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The engine as bytes.
pub fn save(engine: &Engine) -> Result<Vec<u8>, SnapshotError> {
    let state = &engine.state;
    let mut numbering = Numbering::default();
    let root = numbering.tree(&state.tree);
    let mut conns = BTreeMap::new();
    for (id, c) in &state.conns {
        let mut transactions = BTreeMap::new();
        for (n, t) in &c.transactions {
            let raw = RawTransaction {
                base: numbering.tree(&t.base),
                tree: numbering.tree(&t.tree),
                reads: t.reads.paths.clone(),
                bytes: t.reads.bytes,
                dirty: t.dirty.clone(),
                delta: t.delta.to_vec(),
            };
            transactions.insert(*n, raw);
        }
        let raw = RawConn {
            peer: c.peer,
            watches: c.watches.clone(),
            transactions,
            last_transaction: c.last_transaction,
            pending: c.pending.clone(),
            update: c.update.clone(),
        };
        conns.insert(*id, raw);
    }
    let raw = Raw {
        version: VERSION,
        perms: numbering.perms,
        nodes: numbering.nodes,
        root,
        clock: state.clock,
        counts: state.counts.clone(),
        quotas: state.quotas.clone(),
        conns,
        domains: state.domains.clone(),
        introduce_perms: raw_perms(&state.introduce_perms),
        release_perms: raw_perms(&state.release_perms),
        last_watch: state.last_watch,
        streams: engine.streams.clone(),
    };
    Ok(postcard::to_stdvec(&raw)?)
}

/// The engine from bytes.
pub fn load(bytes: &[u8]) -> Result<Engine, SnapshotError> {
    let (version, _) = postcard::take_from_bytes::<u32>(bytes)?;
    match version {
        VERSION => cooked(postcard::from_bytes::<Raw<Option<Update>>>(bytes)?, |update| update),
        1 => cooked(postcard::from_bytes::<Raw<()>>(bytes)?, |()| None),
        _ => Err(SnapshotError::Version(version)),
    }
}

fn cooked<U>(raw: Raw<U>, update: impl Fn(U) -> Option<Update>) -> Result<Engine, SnapshotError> {
    let perms: Vec<Perms> = raw.perms.iter().map(|p| Arc::new(cooked_perms(p))).collect();
    let mut nodes: Vec<Arc<Node>> = Vec::with_capacity(raw.nodes.len());
    for n in raw.nodes {
        let mut children = Vec::with_capacity(n.children.len());
        for c in n.children {
            children.push(nodes.get(c as usize).ok_or(SnapshotError::Damaged("a child that is not there"))?.clone());
        }
        let perms = perms.get(n.perms as usize).ok_or(SnapshotError::Damaged("permissions that are not there"))?;
        let node = Node::new(&n.name, &n.value, perms.clone(), n.generation, n.writer);
        nodes.push(Arc::new(match n.list {
            Some((generation, writer)) => node.with_children(Children::from_sorted(children), generation, writer),
            None => node,
        }));
    }
    let tree = |i: u32| -> Result<Tree, SnapshotError> {
        let root = nodes.get(i as usize).ok_or(SnapshotError::Damaged("a root that is not there"))?;
        Ok(Tree::from_root(root.clone()))
    };
    let mut state = State::new(raw.quotas);
    state.tree = tree(raw.root)?;
    state.clock = raw.clock;
    state.counts = raw.counts;
    state.domains = raw.domains;
    state.introduce_perms = cooked_perms(&raw.introduce_perms);
    state.release_perms = cooked_perms(&raw.release_perms);
    state.last_watch = raw.last_watch;
    state.conns.clear();
    for (id, c) in raw.conns {
        let mut transactions = BTreeMap::new();
        for (n, t) in c.transactions {
            let index = t.dirty.iter().enumerate().map(|(i, (p, _))| (p.clone(), i)).collect();
            let (base, tree) = (tree(t.base)?, tree(t.tree)?);
            let delta = t.delta.into_iter().collect();
            let reads = Reads { paths: t.reads, bytes: t.bytes };
            transactions.insert(n, Transaction { base, tree, reads, dirty: t.dirty, index, delta });
        }
        let conn = Conn {
            peer: c.peer,
            watches: c.watches,
            transactions,
            last_transaction: c.last_transaction,
            pending: c.pending,
            update: update(c.update),
        };
        state.conns.insert(id, conn);
    }
    state.reindex();
    Ok(Engine::from_parts(state, raw.streams))
}
