//! Where a PV domain's memory is: its own table of machine frames (`struct arch_shared_info`), which is what a guest says
//! and is read as such; and where its kernel has it mapped.

use super::PAGE;
use crate::{Error, Result};
use std::collections::HashMap;
use xen_abi::xen::SharedInfo;
use xenctl::{DomainInfo, Hypercalls, RingMemory as _, Xen};
use zerocopy::FromBytes as _;

/// Entries of a table, or frame numbers of a page.
const ENTRIES: usize = 512;
const PRESENT: u64 = 1;
const LARGE: u64 = 1 << 7;
/// Bits of a page-table entry that are the frame's number.
const FRAME: u64 = 0x000f_ffff_ffff_f000;
/// Linux keeps notes in the two highest bits of an entry of its table: such a frame is somebody else's, or none.
const NOTES: u64 = 3 << 62;
/// The first entry of the fourth level that is the kernel's, and those that are the hypervisor's (xen.h).
const KERNEL: usize = 256;
const HYPERVISOR: std::ops::Range<usize> = 256..272;
/// How often one table is read: a kernel has some at two addresses; a table that stands in itself would have no end.
const VISITS: u8 = 4;
/// Holes in a domain's memory: frames beside those that it may have, at most (16 GiB).
const HOLES: u64 = 4 << 20;

/// A stretch of the kernel's addresses over frames that follow each other in [`Memory::frames`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first address.
    pub(super) address: u64,
    /// The first frame's index.
    pub(super) index: u64,
    /// How many.
    pub(super) frames: u64,
}

/// A domain's memory.
pub(super) struct Memory {
    domid: u16,
    /// Its shared-info page.
    pub(super) shared_info: Vec<u8>,
    /// Pseudo-physical and machine frames, by the first.
    pub(super) frames: Vec<(u64, u64)>,
}

type Table = [u64; ENTRIES];

fn table<H: Hypercalls>(xen: &Xen<H>, domid: u16, mfn: u64) -> xenctl::Result<Table> {
    let map = xen.look_at(domid, &[mfn])?;
    let mut bytes = vec![0; PAGE];
    map.read(0, &mut bytes);
    let mut words = bytes.chunks_exact(8).filter_map(|word| word.first_chunk()).map(|word| u64::from_le_bytes(*word));
    Ok(std::array::from_fn(|_| words.next().unwrap_or(0)))
}

fn index(address: u64, level: u32) -> usize {
    (address >> (12 + 9 * level) & 511) as usize
}

fn entry(table: &Table, at: usize) -> u64 {
    table.get(at).copied().unwrap_or(0)
}

/// Reads a domain's addresses; remembers the last table of each level.
struct Walker<'a, H: Hypercalls> {
    xen: &'a Xen<H>,
    domid: u16,
    root: u64,
    last: [Option<(u64, Table)>; 4],
}

impl<H: Hypercalls> Walker<'_, H> {
    fn table(&mut self, level: usize, mfn: u64) -> Option<&Table> {
        let slot = self.last.get_mut(level)?;
        if slot.as_ref().is_none_or(|(known, _)| *known != mfn) {
            *slot = Some((mfn, table(self.xen, self.domid, mfn).ok()?));
        }
        slot.as_ref().map(|(_, table)| table)
    }

    /// The machine frame at an address.
    fn frame(&mut self, address: u64) -> Option<u64> {
        let mut mfn = self.root;
        for level in [3, 2, 1, 0] {
            let found = entry(self.table(level, mfn)?, index(address, level as u32));
            if found & PRESENT == 0 {
                return None;
            }
            mfn = (found & FRAME) >> 12;
            if level == 1 && found & LARGE != 0 {
                return Some(mfn + index(address, 0) as u64);
            }
        }
        Some(mfn)
    }
}

impl Memory {
    /// Reads a domain's own table of its frames.
    pub(super) fn read<H: Hypercalls>(xen: &Xen<H>, info: &DomainInfo) -> Result<Memory> {
        let domid = info.domid;
        let page = xen.look_at(domid, &[info.shared_info])?;
        let mut bytes = vec![0; PAGE];
        page.read(0, &mut bytes);
        let untold = || {
            Error::Failed(format!(
                "domain {domid}: its kernel has not said yet where its memory is (max_pfn is 0); try again later"
            ))
        };
        let (shared, _) = SharedInfo::read_from_prefix(&bytes).map_err(|_| untold())?;
        let arch = shared.arch;
        if arch.max_pfn == 0 {
            return Err(untold());
        }
        let most = info.max_pages.min(u64::MAX / 2).saturating_add(HOLES);
        if arch.max_pfn > most {
            let what = format!("domain {domid}: it says that it has {} frames, which cannot be", arch.max_pfn);
            return Err(Error::Failed(what));
        }
        let mut frames = Vec::new();
        let mut add = |first: u64, table: &Table| {
            for (pfn, mfn) in (first..arch.max_pfn).zip(table) {
                if mfn & NOTES == 0 {
                    frames.push((pfn, *mfn));
                }
            }
        };
        let pages = (0..arch.max_pfn).step_by(ENTRIES);
        if arch.p2m_cr3 != 0 {
            let mut walker = Walker { xen, domid, root: arch.p2m_cr3 >> 12, last: Default::default() };
            for first in pages {
                let found = arch.p2m_vaddr.checked_add(first * 8).and_then(|address| walker.frame(address));
                if let Some(mfn) = found {
                    add(first, &table(xen, domid, mfn)?);
                }
            }
        } else {
            // Three levels of frame numbers.
            let top = table(xen, domid, arch.pfn_to_mfn_frame_list_list)?;
            let mut middle = (usize::MAX, [0; ENTRIES]);
            for (page, first) in pages.enumerate() {
                if middle.0 != page / ENTRIES {
                    middle = (page / ENTRIES, table(xen, domid, entry(&top, page / ENTRIES))?);
                }
                add(first, &table(xen, domid, entry(&middle.1, page % ENTRIES))?);
            }
        }
        Ok(Memory { domid, shared_info: bytes, frames })
    }

    /// What the kernel has mapped, by the page tables below a root (a `cr3`).
    pub(super) fn kernel_runs<H: Hypercalls>(&self, xen: &Xen<H>, cr3: u64) -> Result<Vec<Run>> {
        let known = (0..).zip(&self.frames).map(|(index, (_, mfn))| (*mfn, index)).collect();
        let mut kernel = Kernel { xen, domid: self.domid, known, visits: HashMap::new(), runs: Vec::new() };
        let top = table(xen, self.domid, cr3 >> 12)?;
        for at in (KERNEL..ENTRIES).filter(|at| !HYPERVISOR.contains(at)) {
            let address = 0xffff << 48 | (at as u64) << 39;
            kernel.collect(2, entry(&top, at), address);
        }
        Ok(kernel.runs)
    }
}

/// A kernel's part of the address space, read table by table.
struct Kernel<'a, H: Hypercalls> {
    xen: &'a Xen<H>,
    domid: u16,
    /// Indices of machine frames.
    known: HashMap<u64, u64>,
    visits: HashMap<u64, u8>,
    runs: Vec<Run>,
}

impl<H: Hypercalls> Kernel<'_, H> {
    /// What is below an entry. What changes meanwhile, or is another's, is left out.
    fn collect(&mut self, level: u32, found: u64, address: u64) {
        let mfn = (found & FRAME) >> 12;
        if found & PRESENT == 0 || !self.known.contains_key(&mfn) {
            return;
        }
        let visits = self.visits.entry(mfn).or_default();
        if *visits == VISITS {
            return;
        }
        *visits += 1;
        let Ok(table) = table(self.xen, self.domid, mfn) else { return };
        for (at, found) in table.iter().enumerate() {
            let address = address | (at as u64) << (12 + 9 * level);
            if level > 0 && found & LARGE == 0 {
                self.collect(level - 1, *found, address);
            } else if found & PRESENT != 0 && level <= 1 {
                let frames = if level == 1 { ENTRIES as u64 } else { 1 };
                let first = (found & FRAME) >> 12;
                for n in 0..frames {
                    if let Some(index) = self.known.get(&(first + n)) {
                        extend(&mut self.runs, address + n * PAGE as u64, *index);
                    }
                }
            }
        }
    }
}

fn extend(runs: &mut Vec<Run>, address: u64, index: u64) {
    match runs.last_mut() {
        Some(last)
            if last.index + last.frames == index && last.address.wrapping_add(last.frames * PAGE as u64) == address =>
        {
            last.frames += 1;
        }
        _ => runs.push(Run { address, index, frames: 1 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_follow_each_other_in_both_are_one_run() {
        let mut runs = Vec::new();
        for (address, index) in [(0x1000, 5), (0x2000, 6), (0x3000, 8), (0x5000, 9), (0x6000, 10)] {
            extend(&mut runs, address, index);
        }
        let run = |address, index, frames| Run { address, index, frames };
        assert_eq!(runs, [run(0x1000, 5, 2), run(0x3000, 8, 1), run(0x5000, 9, 2)]);
    }
}
