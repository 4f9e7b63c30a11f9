//! A TLB that keeps whatever it may: each translation and each step of a walk that the tables ever allowed while a
//! root was loaded, until a flush that must drop it. A real TLB keeps a subset of this one, so what holds for this
//! one holds for all.

use ferroxen_core::addr::{Mfn, Vaddr};
use ferroxen_core::domain::DomId;
use ferroxen_core::paging::Pte;
use ferroxen_core::paging::entry::{GLOBAL, HYPERVISOR_SLOTS, PAT_OR_PSE};
use ferroxen_core::platform::Flush;

/// A translation of one page (or superpage).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Leaf {
    /// Whose tables said so.
    pub dom: DomId,
    /// The linear address.
    pub va: u64,
    /// The frame.
    pub mfn: Mfn,
    /// It may be written.
    pub writable: bool,
    /// It stays when CR3 is loaded.
    pub global: bool,
}

/// A remembered step of a walk: the table of `level` that serves the addresses from `va` on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Step {
    /// Whose tables said so.
    pub dom: DomId,
    /// The first linear address.
    pub va: u64,
    /// Level of the table, 4 for the root.
    pub level: u32,
    /// The table.
    pub mfn: Mfn,
    /// All entries on the way to it allow writes.
    pub writable: bool,
}

/// A set in order, in one piece of memory that stays when it becomes empty.
#[derive(Debug)]
pub struct Sorted<T>(Vec<T>);

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Sorted(Vec::new())
    }
}

impl<T: Ord + Copy> Sorted<T> {
    /// Whether it was not there.
    fn insert(&mut self, item: T) -> bool {
        match self.0.binary_search(&item) {
            Ok(_) => false,
            Err(at) => {
                self.0.insert(at, item);
                true
            }
        }
    }
}

impl<T> std::ops::Deref for Sorted<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

/// What one CPU remembers.
#[derive(Default, Debug)]
pub struct Tlb {
    /// The root that is loaded, and whose it is.
    root: Option<(DomId, Mfn)>,
    /// Translations.
    pub leaves: Sorted<Leaf>,
    /// Paging-structure caches.
    pub steps: Sorted<Step>,
    /// It may take in more, whether tables change or not.
    hungry: bool,
    todo: Vec<Step>,
}

impl Tlb {
    /// The root that is loaded, and whose it is.
    pub fn root(&self) -> Option<(DomId, Mfn)> {
        self.root
    }

    /// Another root is loaded; what is remembered stays.
    pub fn load(&mut self, root: Option<(DomId, Mfn)>) {
        self.root = root;
        self.hungry = true;
    }

    /// Drops what a flush must drop, and nothing else.
    pub fn flush(&mut self, what: Flush) {
        self.hungry = true;
        self.steps.0.clear();
        match what {
            Flush::All => self.leaves.0.clear(),
            Flush::NonGlobal => self.leaves.0.retain(|leaf| leaf.global),
            Flush::Page(Vaddr(va)) => self.leaves.0.retain(|leaf| leaf.va != va & !0xfff),
        }
    }

    /// Takes in everything that the tables allow now, also through tables that are none any more but are remembered.
    /// `entries` gives the present entries of a frame and their places, none beyond memory; those of frames of which
    /// `changed` says no are what they were last time.
    pub fn fill<'a>(&mut self, changed: impl Fn(Mfn) -> bool, entries: impl Fn(Mfn) -> &'a [(usize, Pte)]) {
        let all = std::mem::take(&mut self.hungry);
        let mut todo = std::mem::take(&mut self.todo);
        let root = self.root.map(|(dom, mfn)| Step { dom, va: 0, level: 4, mfn, writable: true });
        todo.extend(self.steps.iter().copied().chain(root).filter(|step| all || changed(step.mfn)));
        while let Some(step) = todo.pop() {
            for &(index, entry) in entries(step.mfn) {
                if step.level == 4 && HYPERVISOR_SLOTS.contains(&index) {
                    continue;
                }
                let writable = step.writable && entry.writable();
                let va = step.va | (index as u64) << (12 + 9 * (step.level - 1));
                if step.level == 1 || entry.has(PAT_OR_PSE) {
                    let global = entry.has(GLOBAL);
                    let leaf = Leaf { dom: step.dom, va, mfn: entry.mfn(), writable, global };
                    self.leaves.insert(leaf);
                } else {
                    let next = Step { dom: step.dom, va, level: step.level - 1, mfn: entry.mfn(), writable };
                    if self.steps.insert(next) {
                        todo.push(next);
                    }
                }
            }
        }
        self.todo = todo;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferroxen_core::paging::entry::{PRESENT, USER, WRITABLE};

    const DOM: DomId = DomId(1);

    fn filled(l1: u64) -> Tlb {
        let mut tlb = Tlb::default();
        tlb.load(Some((DOM, Mfn(1))));
        let upper: Vec<_> = (1..4).map(|n| [(0, Pte::new(Mfn(n + 1), PRESENT | WRITABLE | USER))]).collect();
        let lowest = [(5, Pte(l1))];
        let entries = |mfn: Mfn| match mfn.0 {
            n @ 1..=3 => &upper[n as usize - 1][..],
            4 if l1 != 0 => &lowest[..],
            _ => &[],
        };
        tlb.fill(|_| false, entries);
        tlb
    }

    #[test]
    fn it_remembers_what_the_tables_no_longer_say_until_the_flush() {
        let mut tlb = filled(Pte::new(Mfn(9), PRESENT | WRITABLE).0);
        assert_eq!(tlb.leaves.len(), 1);
        tlb.fill(|_| true, |_| &[]);
        assert_eq!(tlb.leaves.len(), 1);
        tlb.flush(Flush::Page(Vaddr(0x4000)));
        assert_eq!((tlb.leaves.len(), tlb.steps.len()), (1, 0), "another page, but every walk");
        tlb.flush(Flush::Page(Vaddr(0x5123)));
        assert!(tlb.leaves.is_empty());
    }

    #[test]
    fn a_remembered_walk_reads_what_is_in_the_table_now() {
        let mut tlb = filled(0);
        assert_eq!(tlb.steps.len(), 3);
        // The root no longer leads anywhere, but the level-1 table is remembered, and was written since.
        let now = [(7, Pte::new(Mfn(8), PRESENT))];
        tlb.fill(|_| false, |mfn| if mfn == Mfn(4) { &now[..] } else { &[] });
        assert!(tlb.leaves.is_empty(), "nobody said that it changed");
        tlb.fill(|mfn| mfn == Mfn(4), |mfn| if mfn == Mfn(4) { &now[..] } else { &[] });
        assert_eq!(tlb.leaves.iter().next().map(|leaf| (leaf.va, leaf.mfn)), Some((0x7000, Mfn(8))));
    }

    #[test]
    fn global_translations_survive_a_load_of_the_root() {
        let mut tlb = filled(Pte::new(Mfn(9), PRESENT | GLOBAL).0);
        tlb.flush(Flush::NonGlobal);
        assert_eq!((tlb.leaves.len(), tlb.steps.len()), (1, 0));
        tlb.flush(Flush::All);
        assert!(tlb.leaves.is_empty());
    }
}
