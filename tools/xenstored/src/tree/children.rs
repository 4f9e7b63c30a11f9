//! The children of one node: a sorted list in shared chunks.
//!
//! A write copies at most the list of chunks and one chunk, and only if a transaction or a snapshot still
//! holds the old version; a node that nobody shares is changed in place.

use super::Node;
use triomphe::Arc;

/// Entries above which a chunk is split.
const CHUNK_MAX: usize = 64;

/// Sorted by name; no chunk is empty.
#[derive(Clone, Debug, Default)]
pub struct Children {
    chunks: Vec<Arc<Vec<Arc<Node>>>>,
}

impl Children {
    /// None.
    pub(super) const NONE: Children = Children { chunks: Vec::new() };

    /// From nodes that are sorted by name already (a snapshot's).
    pub(crate) fn from_sorted(nodes: Vec<Arc<Node>>) -> Self {
        let chunks = nodes.chunks(CHUNK_MAX).map(|c| Arc::new(c.to_vec())).collect();
        Children { chunks }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// In order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.chunks.iter().flat_map(|c| c.iter())
    }

    /// The chunk that holds or would hold `name`.
    fn chunk_of(&self, name: &str) -> usize {
        let after = self.chunks.partition_point(|c| c.first().is_some_and(|n| n.name_bytes() <= name.as_bytes()));
        after.saturating_sub(1)
    }

    fn find(&self, name: &str) -> Option<(usize, usize)> {
        let c = self.chunk_of(name);
        let i = self.chunks.get(c)?.binary_search_by(|n| n.name_bytes().cmp(name.as_bytes())).ok()?;
        Some((c, i))
    }

    /// The child with this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Node>> {
        let (c, i) = self.find(name)?;
        self.chunks.get(c)?.get(i)
    }

    /// The child with this name, for a change; copied first if shared.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Node> {
        let (c, i) = self.find(name)?;
        let chunk = Arc::make_mut(self.chunks.get_mut(c)?);
        chunk.get_mut(i).map(Arc::make_mut)
    }

    /// Adds a child, or replaces the one with its name.
    pub fn insert(&mut self, node: Node) {
        let c = self.chunk_of(node.name());
        let Some(chunk) = self.chunks.get_mut(c) else {
            self.chunks.push(Arc::new(vec![Arc::new(node)]));
            return;
        };
        let chunk = Arc::make_mut(chunk);
        match chunk.binary_search_by(|n| n.name_bytes().cmp(node.name_bytes())) {
            Ok(i) => {
                if let Some(slot) = chunk.get_mut(i) {
                    *slot = Arc::new(node);
                }
            }
            Err(i) => {
                if chunk.len() == chunk.capacity() {
                    // Most lists stay short, and there are many.
                    chunk.reserve_exact(8);
                }
                chunk.insert(i, Arc::new(node));
            }
        }
        if chunk.len() > CHUNK_MAX {
            let tail = chunk.split_off(chunk.len() / 2);
            self.chunks.insert(c + 1, Arc::new(tail));
        }
    }

    /// Takes a child out.
    pub fn remove(&mut self, name: &str) -> Option<Arc<Node>> {
        let (c, i) = self.find(name)?;
        let chunk = Arc::make_mut(self.chunks.get_mut(c)?);
        let node = chunk.remove(i);
        if chunk.is_empty() {
            self.chunks.remove(c);
        }
        Some(node)
    }
}
