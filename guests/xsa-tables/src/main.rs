//! Security advisories about PV page tables, each as an attack. All of them fail on a patched Xen; none may succeed here.
#![cfg_attr(target_os = "none", no_std, no_main)]

use guest_rt::abi::xen::*;
use guest_rt::hypercall::error::*;
use guest_rt::hypercall::{mmuext, raw, update_va_mapping};
use guest_rt::memory::{self, ACCESSED, Entry, FRAME, KERNEL_RO, KERNEL_RW, LARGE, PRESENT, Page, USER, WRITE};
use guest_rt::{Report, hypercall, probe, start};

guest_rt::guest!("xsa-tables", run);

const TABLE: u64 = PRESENT | WRITE | USER | ACCESSED;
const LINEAR: u64 = PRESENT | USER | ACCESSED;

fn run(report: &mut Report) {
    xsa_32_invalid_frames(report);
    xsa_45_long_operations(report);
    xsa_113_machphys_leak(report);
    xsa_148_large_pages(report);
    xsa_167_mark_super(report);
    xsa_182_fast_path(report);
    xsa_213_iret_in_a_multicall(report);
    xsa_240_linear_chain(report);
    xsa_273_foreshadow(report);
    xsa_309_linear_count(report);
    xsa_310_half_validated(report);
    xsa_402_cacheability(report);
}

fn root_entry(slot: u64) -> Entry {
    let mfn = memory::p2m((start::info().pt_base - memory::VIRT_BASE) >> 12);
    let va = start::info().pt_base + slot * 8;
    Entry { machine: (mfn << 12) + slot * 8, va, value: 0 }
}

/// XSA-32: hypercalls that did not check that a frame number is one.
fn xsa_32_invalid_frames(report: &mut Report) {
    for mfn in [0xf_ffff_ffffu64, u64::MAX, u64::MAX >> 12, 1 << 52, 1 << 40, 1 << 36] {
        for cmd in [0, 1, 2, 3, MMUEXT_UNPIN_TABLE, MMUEXT_NEW_BASEPTR, MMUEXT_NEW_USER_BASEPTR, MMUEXT_CLEAR_PAGE] {
            report.refused("an operation on a frame that cannot be", mmuext(cmd, mfn, 0));
        }
        report.refused("a copy from it", mmuext(MMUEXT_COPY_PAGE, Page::new().mfn(), mfn));
        let request = MmuUpdate { ptr: mfn << 12, val: 0 };
        report.refused("an update of it", hypercall::mmu_update(&mut [request]).0);
    }
}

/// XSA-45, XSA-252, XSA-264, XSA-290: pinning and unpinning a whole tree took as long as the guest liked. What can be
/// seen from inside: a tree of many tables, in which every level-1 table is used hundreds of times, is pinned and undone
/// with timer events in between.
fn xsa_45_long_operations(report: &mut Report) {
    let [root, l3, l2, l1] = core::array::from_fn(|_| Page::new());
    (0..512).for_each(|n| l1.write(n, l1.mfn() << 12 | KERNEL_RO));
    (0..512).for_each(|n| l2.write(n, l1.mfn() << 12 | TABLE));
    (0..512).for_each(|n| l3.write(n, l2.mfn() << 12 | TABLE));
    (0..256).for_each(|n| root.write(n, l3.mfn() << 12 | TABLE));
    for page in [l1, l2, l3, root] {
        report.result("read-only", page.make_read_only(), 0);
    }
    for _ in 0..3 {
        report.result("a wide tree is pinned", root.pin(4), 0);
        report.refused("its leaf is in use", l1.make_writable());
        report.result("and unpinned", root.unpin(), 0);
    }
    for page in [root, l3, l2, l1] {
        report.result("all of it is free again", page.make_writable(), 0);
    }
}

/// XSA-113: MMU_MACHPHYS_UPDATE lost a reference when it failed, and the frame could never be freed.
fn xsa_113_machphys_leak(report: &mut Report) {
    let page = Page::new();
    for pfn in [u64::MAX, 1 << 52, 0, page.pfn()] {
        for _ in 0..100 {
            let request = MmuUpdate { ptr: page.mfn() << 12 | MMU_MACHPHYS_UPDATE, val: pfn };
            hypercall::mmu_update(&mut [request]);
        }
    }
    report.result("read-only", page.make_read_only(), 0);
    report.result("no reference is left: it is a page table", page.pin(1), 0);
    report.result("unpinned", page.unpin(), 0);
    report.result("writable", page.make_writable(), 0);
}

/// XSA-148: an update that changed only some flags of a level-2 entry went by a fast path, which let PSE through: a
/// large, writable mapping of everything around a page table.
fn xsa_148_large_pages(report: &mut Report) {
    let window = Page::new();
    for level in [2, 3] {
        let Some(entry) = memory::entry(window.va(), level) else { continue };
        for flags in [LARGE, LARGE | WRITE, LARGE | WRITE | 1 << 12] {
            report.refused("PSE in an entry that is there", entry.update(entry.value | flags));
            report.refused("PSE alone", entry.update(entry.value & FRAME | PRESENT | USER | flags));
            report.expect("it is as it was", entry.now() & !0x60, entry.value & !0x60);
        }
    }
    // The same by MMU_PT_UPDATE_PRESERVE_AD, which was the fast path.
    if let Some(entry) = memory::entry(window.va(), 2) {
        let request = MmuUpdate { ptr: entry.machine | MMU_PT_UPDATE_PRESERVE_AD, val: entry.value | LARGE };
        report.refused("PSE, keeping accessed and dirty", hypercall::mmu_update(&mut [request]).0);
        report.expect("it is as it was", entry.now() & !0x60, entry.value & !0x60);
    }
}

/// XSA-167: MMUEXT_MARK_SUPER of frames that were not checked.
fn xsa_167_mark_super(report: &mut Report) {
    for mfn in [0, 512, Page::new().mfn() & !511, 0xf_ffff_fe00, !511] {
        report.refused("MARK_SUPER", mmuext(MMUEXT_MARK_SUPER, mfn, 0));
        report.refused("UNMARK_SUPER", mmuext(MMUEXT_UNMARK_SUPER, mfn, 0));
    }
}

/// XSA-182: an entry of level 4 that maps its own table read-only got its write bit by the fast path for flags, which
/// did not ask whether the entry was a linear one.
fn xsa_182_fast_path(report: &mut Report) {
    let root = root_entry(0).machine >> 12;
    let own = root_entry(100);
    report.result("a root that maps itself read-only", own.update(root << 12 | LINEAR), 0);
    // Slot 100 at every level.
    let linear = 100u64 << 39 | 100 << 30 | 100 << 21 | 100 << 12;
    report.expect("shows itself", probe::read(linear + 100 * 8).map(|entry| entry & FRAME), Ok(root << 12));
    for flags in [WRITE, WRITE | 1 << 5 | 1 << 6, WRITE | 1 << 63, WRITE | 1 << 9] {
        report.refused("the write bit", own.update(root << 12 | LINEAR | flags));
        report.expect("it is not there", own.now() & WRITE, 0);
        report.check("a store does nothing", probe::write(linear + 200 * 8, KERNEL_RW).is_err());
    }
    for value in [root << 12 | LINEAR | 1 << 9, root << 12 | LINEAR] {
        report.result("harmless flags", own.update(value), 0);
    }
    report.result("cleared", own.update(0), 0);
    // The same with a level-3 table in a level-3 table.
    let (upper, lower) = (Page::new(), Page::new());
    upper.write(3, upper.mfn() << 12 | LINEAR);
    for page in [upper, lower] {
        report.result("read-only", page.make_read_only(), 0);
    }
    let pinned = upper.pin(3);
    if pinned == 0 {
        let entry = Entry { machine: (upper.mfn() << 12) + 24, va: upper.va() + 24, value: 0 };
        report.refused("the write bit", entry.update(upper.mfn() << 12 | LINEAR | WRITE));
        report.expect("it is not there", entry.now() & WRITE, 0);
        report.result("cleared", entry.update(0), 0);
        report.result("unpinned", upper.unpin(), 0);
    }
    report.result("writable", upper.make_writable(), 0);
}

/// XSA-213: IRET as one call of a multicall. The rest of the list was then made with the tables of user mode, which
/// need not map the hypervisor as the kernel's do. Xen 4.17 takes it and gives the rest of the list up (with what stands
/// at the stack pointer as its context: not tried here); Ferroxen does not take it.
fn xsa_213_iret_in_a_multicall(report: &mut Report) {
    if !start::is_ferroxen() {
        return;
    }
    let call = |op: u32| MulticallEntry { op: op.into(), result: 0x77, ..Default::default() };
    let mut calls = [call(__HYPERVISOR_iret), call(__HYPERVISOR_xen_version)];
    calls[1].args[0] = 7;
    let at = calls.as_mut_ptr().addr() as u64;
    report.result("a list with an iret", raw(__HYPERVISOR_multicall, [at, 2, 0, 0, 0]), 0);
    let result = calls[0].result as i64;
    report.differs("is not made", result, 0, ENOSYS, "a return is no call of a list; Xen goes, and gives the rest up");
    report.expect("what follows is", calls[1].result, 4096);
}

/// XSA-240, XSA-280: a chain of level-2 tables, each of which maps the next one, was taken apart by recursion: one stack
/// frame of the hypervisor for each of the guest's tables.
fn xsa_240_linear_chain(report: &mut Report) {
    const LENGTH: usize = 64;
    let chain: [Page; LENGTH] = core::array::from_fn(|_| Page::new());
    for pair in chain.windows(2) {
        pair[0].write(0, pair[1].mfn() << 12 | LINEAR);
    }
    for page in chain {
        report.result("read-only", page.make_read_only(), 0);
    }
    // From the end to the beginning, so that each finds its successor valid; or all at once.
    let mut pinned = 0;
    for page in chain.iter().rev() {
        pinned += u32::from(page.pin(2) == 0);
    }
    guest_rt::println!("{pinned} of {LENGTH} linked level-2 tables are pinned");
    for page in chain {
        let _ = page.unpin();
    }
    let at_once = chain[0].pin(2);
    guest_rt::println!("all at once: {at_once}");
    if at_once == 0 {
        report.result("unpinned", chain[0].unpin(), 0);
    }
    for page in chain {
        report.result("all of it is free again", page.make_writable(), 0);
    }
}

/// XSA-273 (L1TF): an entry that is not present but names a frame let some processors read that frame from their cache.
/// Xen answers with shadow paging, or, where that is not built in, lets it stand; here the entry must at least not
/// count as a mapping.
fn xsa_273_foreshadow(report: &mut Report) {
    let page = Page::new();
    let Some(entry) = memory::entry(page.va(), 1) else { return };
    for value in [0x200 << 12, 0xf_ffff_f000 << 8, page.mfn() << 12 | WRITE, FRAME | 0xffe] {
        let result = entry.update(value & !PRESENT);
        if result == 0 {
            report.check("an entry that is not present maps nothing", probe::read(page.va()).is_err());
        }
    }
    report.result("mapped again", entry.update(page.mfn() << 12 | KERNEL_RW), 0);
    report.expect("and there", probe::write(page.va(), 1), Ok(()));
    let Some(upper) = memory::entry(page.va(), 2) else { return };
    let other = Entry { machine: upper.machine | 0xff8, va: upper.va | 0xff8, value: 0 };
    let before = other.now();
    if before & PRESENT == 0 {
        let result = other.update(0x1234_5000);
        report.check("the same at level 2", result <= 0);
        report.result("back", other.update(before), 0);
    }
}

/// XSA-309: the count of linear uses went wrong when a table was refused half way, and the table could then be used
/// as linear and as an ordinary one at once.
fn xsa_309_linear_count(report: &mut Report) {
    let (a, b, l1) = (Page::new(), Page::new(), Page::new());
    // b maps itself, maps a level-1 table, and ends with an entry that no table may have.
    b.write(0, b.mfn() << 12 | LINEAR);
    b.write(1, l1.mfn() << 12 | TABLE);
    b.write(511, 0x200 << 12 | TABLE);
    a.write(0, b.mfn() << 12 | LINEAR);
    for page in [a, b, l1] {
        report.result("read-only", page.make_read_only(), 0);
    }
    for _ in 0..20 {
        report.refused("a table with a bad end", b.pin(2));
        report.refused("one that names it", a.pin(2));
    }
    for page in [a, b, l1] {
        report.result("no use is left", page.make_writable(), 0);
        (0..512).for_each(|n| page.write(n, 0));
    }
    report.result("read-only", l1.make_read_only(), 0);
    report.result("a level-1 table once more", l1.pin(1), 0);
    report.result("unpinned", l1.unpin(), 0);
    report.result("writable", l1.make_writable(), 0);
}

/// XSA-242, XSA-299, XSA-310: work on a tree that is refused or interrupted half way must leave the counts as they were.
fn xsa_310_half_validated(report: &mut Report) {
    let [root, l3, l2, l1, data] = core::array::from_fn(|_| Page::new());
    (0..400).for_each(|n| l1.write(n, data.mfn() << 12 | KERNEL_RO));
    (0..400).for_each(|n| l2.write(n, l1.mfn() << 12 | TABLE));
    (0..400).for_each(|n| l3.write(n, l2.mfn() << 12 | TABLE));
    root.write(0, l3.mfn() << 12 | TABLE);
    for page in [l1, l2, l3, root, data] {
        report.result("read-only", page.make_read_only(), 0);
    }
    for (what, page, index, bad) in [
        ("a bad entry at the end of level 1", l1, 511, 0x200 << 12 | KERNEL_RW),
        ("a table mapped writable", l1, 511, l2.mfn() << 12 | KERNEL_RW),
        ("a bad entry at the end of level 2", l2, 511, data.mfn() << 12 | TABLE | LARGE),
        ("a level-1 table at level 3", l3, 511, l1.mfn() << 12 | TABLE),
        ("a level-2 table at level 4", root, 255, l2.mfn() << 12 | TABLE),
    ] {
        report.result("the table is made writable", page.make_writable(), 0);
        page.write(index, bad);
        report.result("and read-only", page.make_read_only(), 0);
        for _ in 0..3 {
            report.refused(what, root.pin(4));
        }
        report.result("it is free", page.make_writable(), 0);
        page.write(index, 0);
        report.result("read-only", page.make_read_only(), 0);
    }
    report.result("without them it is good", root.pin(4), 0);
    report.result("unpinned", root.unpin(), 0);
    for page in [l1, l2, l3, root, data] {
        report.result("all of it is free", page.make_writable(), 0);
    }
}

/// XSA-154, XSA-402: mappings of one frame with different cacheability. Memory of its own a guest may map as it
/// likes; the hypervisor's and unusable combinations it may not.
fn xsa_402_cacheability(report: &mut Report) {
    const PWT: u64 = 1 << 3;
    const PCD: u64 = 1 << 4;
    const PAT: u64 = 1 << 7;
    let (page, alias) = (Page::new(), Page::new());
    for bits in [0, PWT, PCD, PWT | PCD, PAT, PAT | PWT, PAT | PCD, PAT | PWT | PCD] {
        let result = update_va_mapping(alias.va(), page.mfn() << 12 | KERNEL_RW | bits, UVMF_INVLPG);
        if result == 0 {
            alias.write(0, bits);
            report.expect("both mappings show the same", page.read(0), bits);
        }
        let mut request = [MmuUpdate { ptr: 0, val: 0x200 << 12 | KERNEL_RW | bits }];
        request[0].ptr = memory::entry(alias.va(), 1).map_or(0, |entry| entry.machine);
        report.refused("the hypervisor's memory with it", hypercall::mmu_update(&mut request).0);
    }
    report.result("back", alias.make_writable(), 0);
    report.result("the page is made a table after all that", page.make_read_only(), 0);
    report.result("pinned", page.pin(1), 0);
    report.result("unpinned", page.unpin(), 0);
    report.result("writable", page.make_writable(), 0);
}
