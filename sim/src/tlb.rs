//! A TLB that keeps whatever it may: each translation and each step of a walk that the tables ever allowed while a
//! root was loaded, until a flush that must drop it. A real TLB keeps a subset of this one, so what holds for this
//! one holds for all.

use ferroxen_core::addr::{Mfn, Vaddr};
use ferroxen_core::domain::DomId;
use ferroxen_core::paging::Pte;
use ferroxen_core::paging::entry::{GLOBAL, HYPERVISOR_SLOTS, PAT_OR_PSE};
use ferroxen_core::platform::Flush;
use std::collections::BTreeSet;
use std::rc::Rc;

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

/// What one CPU remembers.
#[derive(Default, Debug)]
pub struct Tlb {
    /// The root that is loaded, and whose it is.
    pub root: Option<(DomId, Mfn)>,
    /// Translations.
    pub leaves: BTreeSet<Leaf>,
    /// Paging-structure caches.
    pub steps: BTreeSet<Step>,
}

impl Tlb {
    /// Drops what a flush must drop, and nothing else.
    pub fn flush(&mut self, what: Flush) {
        match what {
            Flush::All => {
                self.leaves.clear();
                self.steps.clear();
            }
            Flush::NonGlobal => {
                self.leaves.retain(|leaf| leaf.global);
                self.steps.clear();
            }
            Flush::Page(Vaddr(va)) => {
                self.leaves.retain(|leaf| leaf.va != va & !0xfff);
                self.steps.clear();
            }
        }
    }

    /// Takes in everything that the tables allow now, also through tables that are none any more but are remembered.
    /// `entries` gives the present entries of a frame and their places; none beyond memory.
    pub fn fill(&mut self, mut entries: impl FnMut(Mfn) -> Rc<[(usize, Pte)]>) {
        let mut todo: Vec<Step> = self.steps.iter().copied().collect();
        if let Some((dom, mfn)) = self.root {
            todo.push(Step { dom, va: 0, level: 4, mfn, writable: true });
        }
        let mut seen: BTreeSet<Step> = todo.iter().copied().collect();
        while let Some(step) = todo.pop() {
            for &(index, entry) in entries(step.mfn).iter() {
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
                    if seen.insert(next) {
                        self.steps.insert(next);
                        todo.push(next);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferroxen_core::paging::entry::{PRESENT, USER, WRITABLE};

    const DOM: DomId = DomId(1);

    fn filled(l1: u64) -> Tlb {
        let mut tlb = Tlb { root: Some((DOM, Mfn(1))), ..Tlb::default() };
        tlb.fill(|mfn| match mfn.0 {
            1..=3 => Rc::new([(0, Pte::new(Mfn(mfn.0 + 1), PRESENT | WRITABLE | USER))]),
            4 if l1 != 0 => Rc::new([(5, Pte(l1))]),
            _ => Rc::new([]),
        });
        tlb
    }

    #[test]
    fn it_remembers_what_the_tables_no_longer_say_until_the_flush() {
        let mut tlb = filled(Pte::new(Mfn(9), PRESENT | WRITABLE).0);
        assert_eq!(tlb.leaves.len(), 1);
        tlb.fill(|_| Rc::new([]));
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
        tlb.fill(|mfn| if mfn == Mfn(4) { Rc::new([(7, Pte::new(Mfn(8), PRESENT))]) } else { Rc::new([]) });
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
