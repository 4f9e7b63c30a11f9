//! The rules of direct paging, attacked one by one: no page table is ever writable, no mapping reaches another domain's
//! frame or the hypervisor, no table is entered that was not checked.
#![cfg_attr(target_os = "none", no_std, no_main)]

use guest_rt::abi::xen::*;
use guest_rt::memory::{self, Entry, FRAME, KERNEL_RO, KERNEL_RW, LARGE, PRESENT, Page, USER, WRITE};
use guest_rt::{Report, hypercall, probe, start};

guest_rt::guest!("pt-attacks", run);

const EINVAL: i64 = -22;

fn run(report: &mut Report) {
    writable_tables(report);
    foreign_frames(report);
    pinning(report);
    wrong_levels(report);
    hypervisor_slots(report);
    roots(report);
    descriptor_tables(report);
    requests(report);
}

fn refused(report: &mut Report, what: &'static str, result: i64) {
    report.check(what, result < 0);
}

fn map(va: u64, entry: u64) -> i64 {
    hypercall::update_va_mapping(va, entry, UVMF_INVLPG)
}

fn writable_tables(report: &mut Report) {
    let window = Page::new();
    for level in 1..=4 {
        let Some(entry) = memory::entry(window.va(), level) else { continue };
        let table = entry.machine & !0xfff;
        refused(report, "a table of our own cannot be mapped writable", map(window.va(), table | KERNEL_RW));
        report.result("it can be mapped read-only", map(window.va(), table | KERNEL_RO), 0);
        refused(
            report,
            "and not made writable by its entry",
            memory::entry(window.va(), 1).map_or(0, |e| e.update(table | KERNEL_RW)),
        );
        report.check("nor by a store that would do it", probe::write(window.va(), table | KERNEL_RW).is_err());
        report.check("which would have shown", window.read(0) != table | KERNEL_RW);
    }
    report.result("the window goes back", window.make_writable(), 0);

    let page = Page::new();
    refused(report, "a page that is mapped writable cannot be pinned as a table", page.pin(1));
    refused(report, "at no level", page.pin(4));
    report.result("read-only", page.make_read_only(), 0);
    report.result("it can", page.pin(1), 0);
    refused(report, "while it is a table it cannot be mapped writable", page.make_writable());
    report.result("unpinned", page.unpin(), 0);
    report.result("writable", page.make_writable(), 0);
    let alias = Page::new();
    report.result("a second, writable mapping", map(alias.va(), page.mfn() << 12 | KERNEL_RW), 0);
    report.result("the first read-only", page.make_read_only(), 0);
    refused(report, "a page with one writable mapping left cannot be pinned", page.pin(1));
    report.result("the alias read-only", map(alias.va(), page.mfn() << 12 | KERNEL_RO), 0);
    report.result("now it can", page.pin(1), 0);
    report.result("and is unpinned", page.unpin(), 0);
    report.result("alias back", alias_back(alias), 0);
}

fn alias_back(alias: Page) -> i64 {
    alias.make_writable()
}

fn foreign_frames(report: &mut Report) {
    let page = Page::new();
    let Some(entry) = memory::entry(page.va(), 1) else {
        report.check("the guest's own page has an entry", false);
        return;
    };
    // Frames that the guest does not own: searched in what the hypervisor's table says nobody has.
    let mut tried = 0;
    for mfn in [0x1000u64, 0x1200, 0x2000, 0x3000, 0x8000, 0x1_0000] {
        let pfn = probe::read(0xffff_8000_0000_0000 + mfn * 8).unwrap_or(u64::MAX);
        if pfn < start::info().nr_pages && memory::p2m(pfn) == mfn {
            continue;
        }
        tried += 1;
        refused(report, "a frame of the hypervisor or of nobody, read-only", entry.update(mfn << 12 | KERNEL_RO));
        refused(report, "the same, writable", entry.update(mfn << 12 | KERNEL_RW));
    }
    report.check("there were frames of others to try", tried > 0);
    refused(report, "a frame beyond the machine's memory", entry.update(0xf_ffff_f000_0000 | KERNEL_RW));
    report.expect("the entry is as it was", entry.now() & FRAME, page.mfn() << 12);
    let mut other = [MmuUpdate { ptr: entry.machine, val: 0 }];
    refused(report, "a domain that is not there", hypercall::mmu_update_of(&mut other, 0x1234).0);
    refused(report, "a domain number that cannot be", hypercall::mmu_update_of(&mut other, 0x7ff9).0);
}

fn pinning(report: &mut Report) {
    let page = Page::new();
    report.result("unpinning what is not pinned", page.unpin(), EINVAL);
    report.result(
        "pinning a frame that is not there",
        hypercall::mmuext(MMUEXT_PIN_L1_TABLE, 0xf_ffff_ffff, 0),
        EINVAL,
    );
    report.result("read-only", page.make_read_only(), 0);
    report.result("pinned", page.pin(1), 0);
    report.result("pinned twice", page.pin(1), EINVAL);
    refused(report, "pinned as another level", page.pin(2));
    report.result("unpinned", page.unpin(), 0);
    report.result("unpinned twice", page.unpin(), EINVAL);
    report.result("as another level now", page.pin(2), 0);
    report.result("unpinned", page.unpin(), 0);
    report.result("writable", page.make_writable(), 0);
    // A table whose own entry maps it writable.
    page.write(7, page.mfn() << 12 | KERNEL_RW);
    report.result("read-only", page.make_read_only(), 0);
    refused(report, "a table that maps itself writable cannot be pinned", page.pin(1));
    report.result("writable", page.make_writable(), 0);
    page.write(7, page.mfn() << 12 | KERNEL_RO);
    report.result("read-only", page.make_read_only(), 0);
    report.result("one that maps itself read-only can", page.pin(1), 0);
    report.result("unpinned", page.unpin(), 0);
}

fn wrong_levels(report: &mut Report) {
    let (lower, upper) = (Page::new(), Page::new());
    report.result("a level 1 table read-only", lower.make_read_only(), 0);
    report.result("pinned", lower.pin(1), 0);
    upper.write(0, lower.mfn() << 12 | PRESENT | WRITE | USER);
    report.result("its parent read-only", upper.make_read_only(), 0);
    refused(report, "a level 3 table cannot name a level 1 table", upper.pin(3));
    report.result("a level 2 table can", upper.pin(2), 0);
    report.result("unpinning the child leaves it in use", lower.unpin(), 0);
    refused(report, "in use it is not made writable", lower.make_writable());
    let entry = Entry { machine: upper.mfn() << 12 | 8, va: upper.va() + 8, value: 0 };
    refused(report, "a superpage", entry.update(PRESENT | WRITE | USER | LARGE));
    refused(report, "reserved bits", entry.update(lower.mfn() << 12 | PRESENT | USER | 1 << 50));
    report.expect("nothing was written", entry.now(), 0);
    report.result("the parent unpinned", upper.unpin(), 0);
    report.result("both are free again", lower.make_writable(), 0);
    report.result("both are free again", upper.make_writable(), 0);
    // Linear page tables: a level 2 table that names itself or another level 2 table.
    let (a, b) = (Page::new(), Page::new());
    a.write(0, a.mfn() << 12 | PRESENT | WRITE | USER);
    report.result("read-only", a.make_read_only(), 0);
    refused(report, "a table that names itself with the write bit", a.pin(2));
    b.write(0, b.mfn() << 12 | PRESENT | WRITE);
    report.result("read-only", b.make_read_only(), 0);
    refused(report, "a root that names itself writable", b.pin(4));
}

fn hypervisor_slots(report: &mut Report) {
    let Some(root) = memory::entry(0, 4) else {
        report.check("the guest has a root", false);
        return;
    };
    for slot in [256u64, 257, 261, 271] {
        let entry = Entry { machine: root.machine + slot * 8, va: root.va + slot * 8, value: 0 };
        let before = entry.now();
        refused(report, "a root's slot that is the hypervisor's", entry.update(0));
        let table = memory::entry(memory::VIRT_BASE, 4).map_or(0, |entry| entry.value);
        refused(report, "not even a good entry goes there", entry.update(table));
        report.expect("it is as it was", entry.now(), before);
    }
    for va in [0xffff_8000_0000_0000u64, 0xffff_82d0_4000_0000, 0xffff_8300_0000_0000, 0xffff_87ff_ffff_f000, 1 << 47] {
        refused(report, "update_va_mapping in the hypervisor's space", map(va, KERNEL_RW | Page::new().mfn() << 12));
    }
}

fn roots(report: &mut Report) {
    let page = Page::new();
    refused(report, "NEW_BASEPTR with an ordinary page", hypercall::mmuext(MMUEXT_NEW_BASEPTR, page.mfn(), 0));
    refused(
        report,
        "NEW_BASEPTR with a frame that is not there",
        hypercall::mmuext(MMUEXT_NEW_BASEPTR, u64::MAX >> 12, 0),
    );
    refused(
        report,
        "NEW_USER_BASEPTR with an ordinary page",
        hypercall::mmuext(MMUEXT_NEW_USER_BASEPTR, page.mfn(), 0),
    );
    let l4 = memory::p2m((start::info().pt_base - memory::VIRT_BASE) >> 12);
    report.result("NEW_BASEPTR with the root in use", hypercall::mmuext(MMUEXT_NEW_BASEPTR, l4, 0), 0);
    report.result("NEW_USER_BASEPTR with 0", hypercall::mmuext(MMUEXT_NEW_USER_BASEPTR, 0, 0), 0);
}

fn descriptor_tables(report: &mut Report) {
    let set_gdt = |frame: u64, entries: u64| {
        let frames = [frame];
        hypercall::raw(__HYPERVISOR_set_gdt, [frames.as_ptr().addr() as u64, entries, 0, 0, 0])
    };
    let page = Page::new();
    refused(report, "a GDT in a page that is mapped writable", set_gdt(page.mfn(), 512));
    page.write(1, 0x00cf_9300_0000_ffff);
    page.write(2, 0x0000_8900_0000_0067);
    page.write(3, 0x00cf_ec00_0000_ffff);
    report.result("read-only", page.make_read_only(), 0);
    let gate = set_gdt(page.mfn(), 512);
    report.check(
        "a GDT with a call gate or a TSS in ring 0 is refused or disarmed",
        gate < 0 || page.read(2) >> 47 & 1 == 0 || page.read(2) >> 45 & 3 == 3,
    );
    if gate == 0 {
        report.result("no GDT", set_gdt(0, 0), 0);
    }
    refused(report, "too many entries", set_gdt(page.mfn(), 7169));
    report.result("writable", page.make_writable(), 0);
    (1..4).for_each(|n| page.write(n, 0));
    report.result("read-only", page.make_read_only(), 0);
    report.result("an empty GDT", set_gdt(page.mfn(), 512), 0);
    refused(report, "cannot be mapped writable", page.make_writable());
    let update = |at: u64, descriptor: u64| hypercall::raw(__HYPERVISOR_update_descriptor, [at, descriptor, 0, 0, 0]);
    let place = page.mfn() << 12 | 8;
    report.result("a data segment of ring 3", update(place, 0x00cf_f300_0000_ffff), 0);
    report.expect("is there", page.read(1) | 1 << 40, 0x00cf_f300_0000_ffff);
    report.check("a call gate into the hypervisor's code is refused", update(place, 0x0000_ec00_e008_0000) < 0);
    report.check("a TSS is refused", update(place, 0x0000_8900_0000_0067) < 0);
    report.check("an interrupt gate is refused", update(place, 0x0000_ee00_0008_0000) < 0);
    report.check("a descriptor at an odd place is refused", update(place | 1, 0) < 0);
    report.result("no GDT again", set_gdt(0, 0), 0);
    report.result("the page is free", page.make_writable(), 0);
}

fn requests(report: &mut Report) {
    let at = |ptr: u64, count: u64| hypercall::raw(__HYPERVISOR_mmu_update, [ptr, count, 0, DOMID_SELF.into(), 0]);
    report.result("no requests", at(0, 0), 0);
    report.check("requests in the hypervisor's space", at(0xffff_8300_0000_0000, 1) < 0);
    report.check("requests at an address that is not canonical", at(1 << 47, 1) < 0);
    report.check("requests at an address that is not mapped", at(0x1000, 1) < 0);
    report.check("too many requests at nowhere", at(0x1000, 0xffff_ffff) < 0);
    let page = Page::new();
    let mut plain = [MmuUpdate { ptr: page.mfn() << 12, val: 0x77 }];
    // Writing to an ordinary page of one's own by mmu_update is allowed: the frame becomes no table.
    let (result, done) = hypercall::mmu_update(&mut plain);
    report
        .check("an update of a page that is no table", result == 0 && done == 1 && page.read(0) == 0x77 || result < 0);
    let mut machphys = [MmuUpdate { ptr: page.mfn() << 12 | MMU_MACHPHYS_UPDATE, val: page.pfn() }];
    report.result("MACHPHYS for a frame of our own", hypercall::mmu_update(&mut machphys).0, 0);
    let mut machphys = [MmuUpdate { ptr: 0x2000 << 12 | MMU_MACHPHYS_UPDATE, val: 0 }];
    refused(report, "MACHPHYS for a frame that is not ours", hypercall::mmu_update(&mut machphys).0);
    report.check("an extended operation that is not there", hypercall::mmuext(99, 0, 0) < 0);
}
