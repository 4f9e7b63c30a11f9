//! The store's content: an immutable tree with structural sharing.
//!
//! Cloning a [`Tree`] costs one reference count. Two trees that descend from one share every node that was
//! not changed in between; that is what makes a transaction a copied root.

mod children;

pub use children::Children;

use compact_str::CompactString;
use smallvec::SmallVec;
use std::sync::Arc;
use xen_wire::xenstore::{Access, Perm, path};

/// A node's value; short ones live inside the node.
pub type Value = SmallVec<[u8; 16]>;

/// Who changed something, for blame when a transaction fails.
pub type Writer = u16;

/// A node. Immutable once shared.
#[derive(Clone, Debug)]
pub struct Node {
    /// Last component of its path; empty for the root.
    pub name: CompactString,
    /// Its value.
    pub value: Value,
    /// At least one entry; the first names the owner.
    pub perms: Arc<[Perm]>,
    /// What lies below.
    pub children: Children,
    /// Changes whenever the value or the permissions do, and is new for a new node.
    pub generation: u64,
    /// Changes whenever a child appears or disappears.
    pub list_generation: u64,
    /// The domain that set `generation`.
    pub writer: Writer,
    /// The domain that set `list_generation`.
    pub list_writer: Writer,
}

impl Node {
    /// The domain that owns the node (and pays for it).
    pub fn owner(&self) -> u16 {
        self.perms.first().map_or(0, |p| p.domid)
    }

    /// Bytes that count against the node-size quota: a header as long as Xen's, value, permissions and the
    /// names of the children.
    pub fn size(&self) -> usize {
        let names: usize = self.children.iter().map(|c| c.name.len() + 1).sum();
        24 + self.value.len() + self.perms.len() * 8 + names
    }
}

/// A whole store.
#[derive(Clone, Debug)]
pub struct Tree {
    root: Arc<Node>,
}

impl Default for Tree {
    fn default() -> Self {
        let root = Node {
            name: CompactString::default(),
            value: Value::new(),
            perms: Arc::new([Perm::new(Access::None, 0)]),
            children: Children::default(),
            generation: 0,
            list_generation: 0,
            writer: 0,
            list_writer: 0,
        };
        Tree { root: Arc::new(root) }
    }
}

impl Tree {
    /// Over a root (a snapshot's).
    pub(crate) fn from_root(root: Arc<Node>) -> Self {
        Tree { root }
    }

    /// The root node.
    pub fn root(&self) -> &Arc<Node> {
        &self.root
    }

    /// Whether nothing at all has changed between the two.
    pub fn same(&self, other: &Tree) -> bool {
        Arc::ptr_eq(&self.root, &other.root)
    }

    /// The node at a checked absolute path.
    pub fn get(&self, path: &str) -> Option<&Arc<Node>> {
        path::components(path).try_fold(&self.root, |n, c| n.children.get(c))
    }

    /// The node at `path`, or its nearest ancestor; and whether it is the node itself.
    pub fn nearest<'p>(&self, path: &'p str) -> (&Arc<Node>, &'p str, bool) {
        let mut node = &self.root;
        let mut end = 0;
        for c in path::components(path) {
            match node.children.get(c) {
                Some(n) => {
                    node = n;
                    end += 1 + c.len();
                }
                None => {
                    let at = if end == 0 { "/" } else { path.get(..end).unwrap_or("/") };
                    return (node, at, false);
                }
            }
        }
        (node, path, true)
    }

    /// The node at `path`, for a change. Copies what is shared on the way, so call it only for a path that
    /// exists.
    pub fn get_mut(&mut self, path: &str) -> Option<&mut Node> {
        path::components(path).try_fold(Arc::make_mut(&mut self.root), |n, c| n.children.get_mut(c))
    }

    /// Every node at or below `path`, children before their parents, with its path.
    pub fn walk(&self, path: &str, visit: &mut dyn FnMut(&str, &Arc<Node>, &Arc<Node>)) {
        let Some(node) = self.get(path) else { return };
        let Some(parent) = self.get(path::parent(path)) else { return };
        // An explicit stack: depth is a guest's choice.
        let mut buf = String::from(path);
        let mut stack = vec![(parent, node, node.children.iter(), buf.len())];
        while let Some((parent, node, children, len)) = stack.last_mut() {
            buf.truncate(*len);
            if let Some(child) = children.next() {
                let node: &Arc<Node> = node;
                if !buf.ends_with('/') {
                    buf.push('/');
                }
                buf.push_str(&child.name);
                let len = buf.len();
                stack.push((node, child, child.children.iter(), len));
            } else {
                visit(&buf, node, parent);
                stack.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn leaf(name: &str, value: &[u8]) -> Node {
        Node { name: name.into(), value: Value::from_slice(value), ..(*Tree::default().root).clone() }
    }

    proptest! {
        #[test]
        fn children_behave_like_a_sorted_map_and_old_versions_stay(
            ops in prop::collection::vec((0u16..400, any::<bool>()), 1..600), keep in 0usize..600
        ) {
            let (mut c, mut model) = (Children::default(), BTreeMap::new());
            let mut old = None;
            for (i, (k, put)) in ops.iter().enumerate() {
                let name = format!("n{k}");
                if *put {
                    c.insert(leaf(&name, &i.to_le_bytes()));
                    model.insert(name, i.to_le_bytes().to_vec());
                } else {
                    prop_assert_eq!(c.remove(&name).is_some(), model.remove(&name).is_some());
                }
                if i == keep { old = Some((c.clone(), model.clone())); }
            }
            for (c, model) in old.into_iter().chain([(c, model)]) {
                let got: Vec<_> = c.iter().map(|n| (n.name.to_string(), n.value.to_vec())).collect();
                let want: Vec<_> = model.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
                prop_assert_eq!(got, want);
                for k in model.keys() { prop_assert!(c.get(k).is_some()); }
            }
        }
    }

    #[test]
    fn a_very_deep_tree_can_be_made_walked_and_dropped() {
        let mut tree = Tree::default();
        let mut path = String::new();
        for _ in 0..1500 {
            let at = if path.is_empty() { "/".to_owned() } else { path.clone() };
            tree.get_mut(&at).unwrap().children.insert(leaf("d", b""));
            path.push_str("/d");
        }
        let mut n = 0;
        tree.walk("/d", &mut |_, _, _| n += 1);
        assert_eq!(n, 1500);
        drop(tree);
    }
}
