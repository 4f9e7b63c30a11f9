//! A PV domain's first page tables, made here and copied into its frames.

use ferroxen_loader::build::DomainLayout;

const PAGE: u64 = 4096;
/// Present, writable, user, accessed, dirty.
const PAGE_FLAGS: u64 = 0x67;
/// The same without writable: a page table may be looked at only.
const READ_ONLY: u64 = 0x65;
const TABLE_FLAGS: u64 = 0x67;

/// The tables in the order of their frames; the first is the root. `p2m` is the domain's frame list.
pub(crate) fn tables(layout: &DomainLayout, p2m: &[u64]) -> Vec<[u64; 512]> {
    let mut tables = vec![[0u64; 512]; usize::try_from(layout.table_count).unwrap_or(0)];
    let first = layout.pfn(layout.tables);
    let mfn_of = |pfn: u64| usize::try_from(pfn).ok().and_then(|pfn| p2m.get(pfn)).copied().unwrap_or(0);
    let mut used = 1usize;
    // Which table an upper entry leads to.
    let mut children = std::collections::HashMap::new();
    // The last level-1 table that was found: neighbours are in it too.
    let mut last: Option<(u64, usize)> = None;
    let mut map = |va: u64, pfn: u64| {
        let region = va >> 21;
        let at = match last {
            Some((known, at)) if known == region => at,
            _ => {
                let mut at = 0;
                for level in [4u32, 3, 2] {
                    let index = (va >> (12 + 9 * (level - 1)) & 511) as usize;
                    let Some(entry) = tables.get_mut(at).and_then(|table| table.get_mut(index)) else { return };
                    if *entry == 0 {
                        *entry = mfn_of(first + used as u64) << 12 | TABLE_FLAGS;
                        children.insert((at, index), used);
                        used += 1;
                    }
                    at = children.get(&(at, index)).copied().unwrap_or(0);
                }
                last = Some((region, at));
                at
            }
        };
        let flags = if layout.is_table(pfn) { READ_ONLY } else { PAGE_FLAGS };
        if let Some(entry) = tables.get_mut(at).and_then(|table| table.get_mut((va >> 12 & 511) as usize)) {
            *entry = mfn_of(pfn) << 12 | flags;
        }
    };
    for va in (layout.mapped.start..layout.mapped.end).step_by(PAGE as usize) {
        map(va, layout.pfn(va));
    }
    if layout.p2m_apart {
        for (va, pfn) in (layout.p2m..).step_by(PAGE as usize).zip(layout.p2m_pfn.start..layout.p2m_pfn.end) {
            map(va, pfn);
        }
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferroxen_loader::PvLayout;

    /// Walks like the processor; gives the entry.
    fn walk(tables: &[[u64; 512]], first_mfn: u64, va: u64) -> Option<u64> {
        let mut at = 0;
        for shift in [39, 30, 21] {
            let entry = tables[at][(va >> shift & 511) as usize];
            if entry & 1 == 0 {
                return None;
            }
            at = usize::try_from((entry >> 12) - first_mfn).unwrap();
        }
        Some(tables[at][(va >> 12 & 511) as usize]).filter(|entry| entry & 1 == 1)
    }

    #[test]
    fn every_page_of_the_layout_is_mapped_and_tables_read_only() {
        let kernel = PvLayout {
            virt_base: 0xffff_ffff_8000_0000,
            paddr_offset: 0,
            phys_start: 0x100_0000,
            phys_end: 0x200_0000,
            entry: 0xffff_ffff_8100_0000,
            hypercall_page: None,
            init_p2m: Some(0x80_0000_0000),
        };
        let frames = 32768;
        let layout = DomainLayout::with_rings(&kernel, true, frames, 4096 * 3, 2).unwrap();
        let p2m: Vec<u64> = (0..frames).map(|pfn| pfn + 0x10_0000).collect();
        let tables = tables(&layout, &p2m);
        let first_mfn = layout.pfn(layout.tables) + 0x10_0000;
        for va in (layout.mapped.start..layout.mapped.end).step_by(4096) {
            let entry = walk(&tables, first_mfn, va).unwrap();
            assert_eq!(entry >> 12, layout.pfn(va) + 0x10_0000);
            assert_eq!(entry & 2 != 0, !layout.is_table(layout.pfn(va)), "{va:#x}");
        }
        let list = walk(&tables, first_mfn, layout.p2m).unwrap();
        assert_eq!(list >> 12, layout.p2m_pfn.start + 0x10_0000);
        assert_eq!(walk(&tables, first_mfn, layout.mapped.end), None);
    }
}
