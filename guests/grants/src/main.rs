//! Grant tables, between a domain and itself: map, unmap, copy, and what a domain must not get away with: a second
//! unmap, a page that is granted read-only and written, a table that changes its version under a mapping.
#![cfg_attr(target_os = "none", no_std, no_main)]

use guest_rt::abi::GuestPtr;
use guest_rt::abi::grant_table::*;
use guest_rt::abi::xen::{__HYPERVISOR_grant_table_op, DOMID_SELF, UVMF_INVLPG};
use guest_rt::memory::{self, KERNEL_RO, KERNEL_RW, Page};
use guest_rt::trap::Trap;
use guest_rt::{Report, hypercall, probe};

guest_rt::guest!("grants", run);

const EINVAL: i64 = -22;
const EBUSY: i64 = -16;
/// The first reference that is not reserved.
const FIRST: u32 = 8;

fn op<T>(command: u32, argument: &mut T) -> i64 {
    let at = (&raw mut *argument).addr() as u64;
    hypercall::raw(__HYPERVISOR_grant_table_op, [command.into(), at, 1, 0, 0])
}

/// The table, version 1, and the domain's number as its entries name it.
struct Table {
    page: Page,
    domid: u64,
}

impl Table {
    fn set(&self, reference: u32, flags: u16, frame: u64) {
        self.page.write(reference as usize, u64::from(flags) | self.domid << 16 | frame << 32);
    }
    fn flags(&self, reference: u32) -> u16 {
        self.page.read(reference as usize) as u16
    }
}

fn run(report: &mut Report) {
    let Some(table) = set_up(report) else { return };
    let (granted, window) = (Page::new(), Page::new());
    map_and_unmap(report, &table, granted, window);
    refused_maps(report, &table, granted, window);
    copies(report, &table, granted);
    versions(report, &table, granted, window);
    errors(report);
}

fn set_up(report: &mut Report) -> Option<Table> {
    let mut frames = [0u64; 1];
    let mut setup = GnttabSetupTable {
        dom: DOMID_SELF,
        nr_frames: 1,
        frame_list: GuestPtr::new(frames.as_mut_ptr().addr() as u64),
        ..Default::default()
    };
    report.result("setup_table", op(GNTTABOP_setup_table, &mut setup), 0);
    report.expect("its status", i32::from(setup.status), i32::from(GNTST_okay));
    let page = Page::new();
    let mapped = hypercall::update_va_mapping(page.va(), frames[0] << 12 | KERNEL_RW, UVMF_INVLPG);
    report.result("mapping the table", mapped, 0);
    let mut size = GnttabQuerySize { dom: DOMID_SELF, ..Default::default() };
    report.result("query_size", op(GNTTABOP_query_size, &mut size), 0);
    report.check("frames there are and may be", size.nr_frames >= 1 && size.max_nr_frames >= size.nr_frames);
    (mapped == 0).then_some(Table { page, domid: 0 })
}

fn map(at: u64, reference: u32, flags: u32) -> (i16, u32) {
    // Here DOMID_SELF is no domain: dom0 names itself.
    let mut argument = GnttabMapGrantRef { host_addr: at, flags, r#ref: reference, dom: 0, ..Default::default() };
    let result = op(GNTTABOP_map_grant_ref, &mut argument);
    (if result == 0 { argument.status } else { i16::MIN }, argument.handle)
}

fn unmap(at: u64, handle: u32) -> i16 {
    let mut argument = GnttabUnmapGrantRef { host_addr: at, handle, ..Default::default() };
    let result = op(GNTTABOP_unmap_grant_ref, &mut argument);
    if result == 0 { argument.status } else { i16::MIN }
}

const HOST: u32 = GNTMAP_host_map;
const READ_ONLY: u32 = GNTMAP_host_map | GNTMAP_readonly;

fn map_and_unmap(report: &mut Report, table: &Table, granted: Page, window: Page) {
    granted.write(0, 0x1111);
    table.set(FIRST, GTF_permit_access, granted.mfn());
    let own = window.mfn();
    let (status, handle) = map(window.va(), FIRST, HOST);
    report.expect("map_grant_ref", status, GNTST_okay);
    report.expect(
        "the table says that it is in use",
        table.flags(FIRST),
        GTF_permit_access | GTF_reading | GTF_writing,
    );
    report.expect("the page is there", probe::read(window.va()), Ok(0x1111));
    report.expect("and can be written", probe::write(window.va(), 0x2222), Ok(()));
    report.expect("it is the same page", granted.read(0), 0x2222);
    report.check("it cannot be a page table now", granted.make_read_only() == 0 && granted.pin(1) < 0);
    report.result("the page writable", granted.make_writable(), 0);
    let replaced = hypercall::update_va_mapping(window.va(), own << 12 | KERNEL_RW, UVMF_INVLPG);
    report.result("mapping over a grant is allowed", replaced, 0);
    report.check("but the grant is not given back by it", table.flags(FIRST) & GTF_writing != 0);
    report.check("unmapping finds another entry", unmap(window.va(), handle) != GNTST_okay);
    let again = hypercall::update_va_mapping(window.va(), granted.mfn() << 12 | KERNEL_RW, UVMF_INVLPG);
    report.result("mapping one's own frame there", again, 0);
    report.expect("then it does", unmap(window.va(), handle), GNTST_okay);
    report.expect("the table is free", table.flags(FIRST), GTF_permit_access);
    report.expect("unmapping twice", unmap(window.va(), handle), GNTST_bad_handle);
    report.expect("the window is empty", probe::read(window.va()), Err(Trap { vector: 14, error_code: 0 }));
    report.expect("a handle that was never given", unmap(window.va(), 0x1234_5678), GNTST_bad_handle);

    table.set(FIRST, GTF_permit_access | GTF_readonly, granted.mfn());
    report.check("a read-only grant cannot be mapped writable", map(window.va(), FIRST, HOST).0 != GNTST_okay);
    let (status, handle) = map(window.va(), FIRST, READ_ONLY);
    report.expect("read-only it can", status, GNTST_okay);
    report.expect("in use for reading", table.flags(FIRST), GTF_permit_access | GTF_readonly | GTF_reading);
    report.expect("it can be read", probe::read(window.va()), Ok(0x2222));
    report.expect("and not written", probe::write(window.va(), 0), Err(Trap { vector: 14, error_code: 3 }));
    let (status, second) = map(granted.va(), FIRST, READ_ONLY);
    report.expect("a second mapping", status, GNTST_okay);
    report.expect("unmapping the first", unmap(window.va(), handle), GNTST_okay);
    report.expect("leaves it in use", table.flags(FIRST) & GTF_reading, GTF_reading);
    report.expect("unmapping the second", unmap(granted.va(), second), GNTST_okay);
    report.expect("does not", table.flags(FIRST) & GTF_reading, 0);
    let back = hypercall::update_va_mapping(granted.va(), granted.mfn() << 12 | KERNEL_RW, UVMF_INVLPG);
    report.result("the page at its own place", back, 0);
    report.result("the window", hypercall::update_va_mapping(window.va(), own << 12 | KERNEL_RW, UVMF_INVLPG), 0);
}

fn refused_maps(report: &mut Report, table: &Table, granted: Page, window: Page) {
    let mut refused = |what: &'static str, at: u64, reference: u32, flags: u32| {
        let (status, _) = map(at, reference, flags);
        report.check(what, status < 0);
    };
    table.set(FIRST, GTF_permit_access, granted.mfn());
    refused("a reference beyond the table", window.va(), u32::MAX, HOST);
    refused("a reference that is not granted", window.va(), FIRST + 1, HOST);
    refused("no kind of mapping", window.va(), FIRST, 0);
    refused("in the hypervisor's space", 0xffff_8300_0000_0000, FIRST, HOST);
    refused("at an address that is not canonical", 1 << 47, FIRST, HOST);
    refused("at an address without a page table", 0x1234_5000, FIRST, HOST);
    refused("at a page-table entry that is none", granted.mfn() << 12, FIRST, HOST | GNTMAP_contains_pte);
    table.set(FIRST + 1, GTF_permit_access, 0x1200);
    refused("a frame that is not the granter's", window.va(), FIRST + 1, HOST);
    table.set(FIRST + 1, GTF_permit_access, 0xff_ffff);
    refused("a frame beyond the machine", window.va(), FIRST + 1, HOST);
    let l1 = memory::entry(window.va(), 1).map_or(0, |entry| entry.machine >> 12);
    table.set(FIRST + 1, GTF_permit_access, l1);
    refused("a page table, writable", window.va(), FIRST + 1, HOST);
    table.page.write(FIRST as usize + 1, u64::from(GTF_permit_access) | 0x77 << 16 | granted.mfn() << 32);
    refused("what is granted to another domain", window.va(), FIRST + 1, HOST);
    table.page.write(FIRST as usize + 1, 0);
    report.expect("the window is as it was", memory::entry(window.va(), 1).map(|e| e.mfn()), Some(window.mfn()));
    let entry = memory::entry(window.va(), 1);
    if let Some(entry) = entry {
        let flags = HOST | GNTMAP_contains_pte;
        let (status, handle) = map(entry.machine, FIRST, flags);
        report.expect("by the address of its entry", status, GNTST_okay);
        report.expect("it is mapped", probe::read(window.va()), Ok(granted.read(0)));
        report.expect("and unmapped", unmap(entry.machine, handle), GNTST_okay);
        report.result("the window again", entry.update(window.mfn() << 12 | KERNEL_RW), 0);
    }
    let _ = KERNEL_RO;
}

fn copies(report: &mut Report, table: &Table, granted: Page) {
    let own = Page::new();
    (0..512).for_each(|n| granted.write(n, 0x4040_0000 + n as u64));
    table.set(FIRST, GTF_permit_access | GTF_readonly, granted.mfn());
    let side = |u: u64, offset: u16| GnttabCopyPtr { u, domid: DOMID_SELF, offset, ..Default::default() };
    let copy = |source: GnttabCopyPtr, dest: GnttabCopyPtr, len: u16, flags: u16| {
        let mut argument = GnttabCopy { source, dest, len, flags, ..Default::default() };
        let result = op(GNTTABOP_copy, &mut argument);
        if result == 0 { argument.status } else { i16::MIN }
    };
    let from = |offset| side(FIRST.into(), offset);
    let to = |offset| side(own.mfn(), offset);
    report.expect("copy from a grant", copy(from(8), to(16), 24, GNTCOPY_source_gref), GNTST_okay);
    let words = [1, 2, 3, 4, 5].map(|n| own.read(n));
    report.expect("copies exactly that", words, [0, 0x4040_0001, 0x4040_0002, 0x4040_0003, 0]);
    report.check("copy to a read-only grant", copy(to(0), from(0), 8, GNTCOPY_dest_gref) < 0);
    report.check("copy across the end of a page", copy(from(4090), to(0), 8, GNTCOPY_source_gref) < 0);
    report.check("to across the end of a page", copy(from(0), to(4090), 8, GNTCOPY_source_gref) < 0);
    report.check("from an offset beyond a page", copy(from(5000), to(0), 8, GNTCOPY_source_gref) < 0);
    report.check("from a frame that is not ours", copy(side(0x1200, 0), to(0), 8, 0) < 0);
    report.check("to a page table", {
        let l1 = memory::entry(own.va(), 1).map_or(0, |entry| entry.machine >> 12);
        copy(from(0), side(l1, 0), 8, GNTCOPY_source_gref) < 0
    });
    report.expect("nothing of it arrived", [own.read(0), own.read(511)], [0, 0]);
    report.expect("the grant is not in use", table.flags(FIRST), GTF_permit_access | GTF_readonly);
}

fn versions(report: &mut Report, table: &Table, granted: Page, window: Page) {
    let version = || {
        let mut argument = GnttabGetVersion { dom: DOMID_SELF, ..Default::default() };
        (op(GNTTABOP_get_version, &mut argument), argument.version)
    };
    let set = |version: u32| op(GNTTABOP_set_version, &mut GnttabSetVersion { version });
    report.expect("version 1", version(), (0, 1));
    report.result("version 3", set(3), EINVAL);
    table.set(FIRST, GTF_permit_access, granted.mfn());
    let (status, handle) = map(window.va(), FIRST, HOST);
    report.expect("a mapping", status, GNTST_okay);
    report.result("version 2 under a mapping", set(2), EBUSY);
    report.expect("still version 1", version(), (0, 1));
    report.expect("unmapped", unmap(window.va(), handle), GNTST_okay);
    let back = hypercall::update_va_mapping(window.va(), window.mfn() << 12 | KERNEL_RW, UVMF_INVLPG);
    report.result("the window", back, 0);
    report.result("version 2", set(2), 0);
    report.expect("is version 2", version(), (0, 2));
    report.result("version 1 again", set(1), 0);
    report.expect("is version 1", version(), (0, 1));
}

fn errors(report: &mut Report) {
    let raw = |command: u32, at: u64, count: u64| {
        hypercall::raw(__HYPERVISOR_grant_table_op, [command.into(), at, count, 0, 0])
    };
    for command in
        [GNTTABOP_map_grant_ref, GNTTABOP_unmap_grant_ref, GNTTABOP_setup_table, GNTTABOP_copy, GNTTABOP_set_version]
    {
        for at in [0x1000u64, 0xffff_8300_0000_0000, 1 << 47] {
            report.result("an argument nowhere", raw(command, at, 1), -14);
        }
    }
    report.result("a command that is not there", raw(99, 0, 1), -38);
    report.result("no requests", raw(GNTTABOP_map_grant_ref, 0x1000, 0), 0);
    report.check("more requests than can be", raw(GNTTABOP_map_grant_ref, 0x1000, u64::MAX) < 0);
    let mut other = GnttabQuerySize { dom: 0x1234, ..Default::default() };
    report.result("a domain that is not there", op(GNTTABOP_query_size, &mut other), 0);
    report.check("by its status", other.status < 0);
}
