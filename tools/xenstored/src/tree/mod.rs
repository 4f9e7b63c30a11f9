//! The store's content: an immutable tree with structural sharing.
//!
//! Cloning a [`Tree`] costs one reference count. Two trees that descend from one share every node that was
//! not changed in between; that is what makes a transaction a copied root.

mod children;

pub use children::Children;

use triomphe::Arc;
use xen_wire::xenstore::{Access, Perm, path};

/// Permissions of a node: at least one entry. Nodes that inherit them share them.
pub type Perms = Arc<Vec<Perm>>;

/// What a walk calls for each node: its path, it, and its parent.
pub type Visitor<'a> = dyn FnMut(&str, &Arc<Node>, &Arc<Node>) + 'a;

/// Who changed something, for blame when a transaction fails.
pub type Writer = u16;

/// A node. Immutable once shared. Most nodes are leaves with a short name and a short value, and there are many:
/// a node is one allocation of 56 bytes, and one for the text.
#[derive(Clone, Debug)]
pub struct Node {
    /// Last component of its path (empty for the root), then its value.
    text: Box<[u8]>,
    /// The first entry names the owner.
    pub perms: Perms,
    /// What lies below, if anything ever did.
    branch: Option<Box<Branch>>,
    /// Changes whenever the value or the permissions do, and is new for a new node.
    pub generation: u64,
    name_len: u16,
    /// The domain that set `generation`.
    pub writer: Writer,
}

#[derive(Clone, Debug)]
struct Branch {
    children: Children,
    /// Changes whenever a child appears or disappears.
    generation: u64,
    writer: Writer,
}

impl Node {
    /// A node without children. The name is a component of a checked path, so at most 3071 bytes.
    pub fn new(name: &str, value: &[u8], perms: Perms, generation: u64, writer: Writer) -> Node {
        let mut text = Vec::with_capacity(name.len() + value.len());
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(value);
        let name_len = u16::try_from(name.len()).unwrap_or(u16::MAX);
        Node { text: text.into(), perms, branch: None, generation, name_len, writer }
    }

    /// A node with what lies below it (a snapshot's).
    pub(crate) fn with_children(mut self, children: Children, generation: u64, writer: Writer) -> Node {
        self.branch = Some(Box::new(Branch { children, generation, writer }));
        self
    }

    /// The last component of its path; empty for the root.
    pub fn name(&self) -> &str {
        // Names are components of checked paths: ASCII.
        std::str::from_utf8(self.name_bytes()).unwrap_or("")
    }

    /// The same as bytes.
    pub fn name_bytes(&self) -> &[u8] {
        self.text.get(..usize::from(self.name_len)).unwrap_or_default()
    }

    /// Its value.
    pub fn value(&self) -> &[u8] {
        self.text.get(usize::from(self.name_len)..).unwrap_or_default()
    }

    /// Replaces the value.
    pub fn set_value(&mut self, value: &[u8]) {
        if self.value().len() == value.len() {
            if let Some(old) = self.text.get_mut(usize::from(self.name_len)..) {
                old.copy_from_slice(value);
            }
        } else {
            self.text = [self.name_bytes(), value].concat().into();
        }
    }

    /// What lies below.
    pub fn children(&self) -> &Children {
        const NONE: &Children = &Children::NONE;
        self.branch.as_ref().map_or(NONE, |b| &b.children)
    }

    /// What lies below, for a change of one of them.
    pub fn child_mut(&mut self, name: &str) -> Option<&mut Node> {
        self.branch.as_mut()?.children.get_mut(name)
    }

    /// What lies below, to add or remove; noting who does it, at which generation.
    pub fn change_list(&mut self, generation: u64, writer: Writer) -> &mut Children {
        let branch =
            self.branch.get_or_insert_with(|| Box::new(Branch { children: Children::NONE, generation, writer }));
        branch.generation = generation;
        branch.writer = writer;
        &mut branch.children
    }

    /// Changes whenever a child appears or disappears; 0 if there never was one. And who changed it.
    pub fn list_generation(&self) -> (u64, Writer) {
        self.branch.as_ref().map_or((0, self.writer), |b| (b.generation, b.writer))
    }

    /// The domain that owns the node (and pays for it).
    pub fn owner(&self) -> u16 {
        self.perms.first().map_or(0, |p| p.domid)
    }
}

/// A whole store.
#[derive(Clone, Debug)]
pub struct Tree {
    root: Arc<Node>,
}

impl Default for Tree {
    fn default() -> Self {
        let root = Node::new("", b"", Arc::new(vec![Perm::new(Access::None, 0)]), 0, 0);
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
        path::components(path).try_fold(&self.root, |n, c| n.children().get(c))
    }

    /// The node at `path`, or its nearest ancestor; and whether it is the node itself.
    pub fn nearest<'p>(&self, path: &'p str) -> (&Arc<Node>, &'p str, bool) {
        let mut node = &self.root;
        let mut end = 0;
        for c in path::components(path) {
            match node.children().get(c) {
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
        path::components(path).try_fold(Arc::make_mut(&mut self.root), Node::child_mut)
    }

    /// Every node at or below `path`, children before their parents: its path, it, and its parent.
    pub fn walk(&self, path: &str, visit: &mut Visitor<'_>) {
        let Some(node) = self.get(path) else { return };
        let Some(parent) = self.get(path::parent(path)) else { return };
        // An explicit stack: depth is a guest's choice.
        let mut buf = String::from(path);
        let mut stack = vec![(parent, node, node.children().iter(), buf.len())];
        while let Some((parent, node, children, len)) = stack.last_mut() {
            buf.truncate(*len);
            if let Some(child) = children.next() {
                let node: &Arc<Node> = node;
                if !buf.ends_with('/') {
                    buf.push('/');
                }
                buf.push_str(child.name());
                let len = buf.len();
                stack.push((node, child, child.children().iter(), len));
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
        Node::new(name, value, Tree::default().root().perms.clone(), 0, 0)
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
                let got: Vec<_> = c.iter().map(|n| (n.name().to_string(), n.value().to_vec())).collect();
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
            tree.get_mut(&at).unwrap().change_list(1, 0).insert(leaf("d", b""));
            path.push_str("/d");
        }
        let mut n = 0;
        tree.walk("/d", &mut |_, _, _| n += 1);
        assert_eq!(n, 1500);
        drop(tree);
    }
}
