//! grant_table_op beyond `grants`: version 2 with status frames and sub-page and transitive grants, unmap_and_replace,
//! swap, transfer, cache_flush; counts and pointers of every subcommand.
#![cfg_attr(target_os = "none", no_std, no_main)]

use guest_rt::abi::GuestPtr;
use guest_rt::abi::grant_table::*;
use guest_rt::abi::xen::*;
use guest_rt::grant::{self, TableV1, copy, map, op, unmap};
use guest_rt::hypercall::error::*;
use guest_rt::hypercall::{NOBODY, NOWHERE, raw, update_va_mapping};
use guest_rt::memory::{self, KERNEL_RW, Page};
use guest_rt::{Report, probe, start};

guest_rt::guest!("grant-calls", run);

/// The first reference that is not reserved.
const FIRST: u32 = 8;
const HOST: u32 = GNTMAP_host_map;

fn run(report: &mut Report) {
    before(report);
    let Some(table) = TableV1::new() else {
        report.check("a table", false);
        return;
    };
    pointers(report);
    domains(report);
    dump(report);
    replace(report, &table);
    swap(report, &table);
    transfer(report, &table);
    cache(report, &table);
    setup(report);
    version_2(report);
}

/// XSA-134: swapping references of a table that nobody had set up.
fn before(report: &mut Report) {
    for (a, b) in [(0, 1), (FIRST, FIRST), (0, u32::MAX), (u32::MAX, u32::MAX)] {
        let mut swap = GnttabSwapGrantRef { ref_a: a, ref_b: b, ..Default::default() };
        report.result("a swap before the table is set up", op(GNTTABOP_swap_grant_ref, &mut swap), 0);
        // Xen's first page is there from the start.
        let want = if b < 512 && !start::is_ferroxen() { GNTST_okay } else { GNTST_bad_gntref };
        report.expect("its status", swap.status, want);
    }
    report.expect("a map before that", map(Page::new().va(), FIRST, HOST).0 < 0, true);
}

fn pointers(report: &mut Report) {
    let call = |command: u32, at: u64, count: u64| raw(__HYPERVISOR_grant_table_op, [command.into(), at, count, 0, 0]);
    for command in (0..=GNTTABOP_cache_flush).filter(|&command| command != GNTTABOP_dump_table) {
        for at in NOWHERE {
            report.expect("a request nowhere", (command, call(command, at, 1)), (command, EFAULT));
        }
        report.expect("more than an int of requests", (command, call(command, 0x1000, 1 << 31)), (command, EINVAL));
        report.expect("requests have 32 bits", (command, call(command, 0x1000, 1 << 32 | 1)), (command, EFAULT));
        let one_only = matches!(command, 2 | 6 | 9);
        let none = call(command, 0x1000, 0);
        // 8 and 10 take one request, and do not look at the count.
        let want = if matches!(command, 8 | 10) {
            EFAULT
        } else if one_only {
            EINVAL
        } else {
            0
        };
        report.expect("no requests", (command, none), (command, want));
        if one_only {
            report.expect("two requests of what takes one", (command, call(command, 0x1000, 2)), (command, EINVAL));
        }
    }
    for command in [13, 99] {
        report.result("a subcommand that is not there", call(command, 0x1000, 1), ENOSYS);
    }
}

fn domains(report: &mut Report) {
    for dom in [NOBODY, DOMID_INVALID, DOMID_XEN, DOMID_IO] {
        let mut size = GnttabQuerySize { dom, ..Default::default() };
        report.result("the size of nobody's table", op(GNTTABOP_query_size, &mut size), 0);
        report.expect("its status", (dom, size.status), (dom, GNTST_bad_domain));
        let mut setup = GnttabSetupTable { dom, nr_frames: 1, ..Default::default() };
        report.result("setting nobody's table up", op(GNTTABOP_setup_table, &mut setup), 0);
        report.expect("its status", (dom, setup.status), (dom, GNTST_bad_domain));
        let mut version = GnttabGetVersion { dom, ..Default::default() };
        report.expect("nobody's version", op(GNTTABOP_get_version, &mut version), ESRCH);
        let mut argument =
            GnttabMapGrantRef { host_addr: 0x1000, flags: HOST, r#ref: FIRST, dom, ..Default::default() };
        report.result("mapping nobody's grant", op(GNTTABOP_map_grant_ref, &mut argument), 0);
        report.expect("its status", (dom, argument.status), (dom, GNTST_bad_domain));
    }
}

fn dump(report: &mut Report) {
    let mut dump = GnttabDumpTable { dom: NOBODY, status: 0 };
    let result = op(GNTTABOP_dump_table, &mut dump);
    report.differs("a dump of nobody's table", result, ENOSYS, 0, "Xen has no dumps but by its debug key");
    report.expect("its status", dump.status, if result == 0 { GNTST_bad_domain } else { 0 });
}

fn replace(report: &mut Report, table: &TableV1) {
    let (granted, window, spare) = (Page::new(), Page::new(), Page::new());
    granted.write(0, 0x11);
    spare.write(0, 0x22);
    let spare_mfn = spare.mfn();
    table.set(FIRST, GTF_permit_access, granted.mfn());
    let (status, handle) = map(window.va(), FIRST, HOST);
    report.expect("a mapping", status, GNTST_okay);
    let replace = |host_addr: u64, new_addr: u64, handle: u32| {
        let mut argument = GnttabUnmapAndReplace { host_addr, new_addr, handle, ..Default::default() };
        let result = op(GNTTABOP_unmap_and_replace, &mut argument);
        if result == 0 { argument.status } else { i16::MIN }
    };
    for (what, host, new, handle) in [
        ("a handle that is not there", window.va(), spare.va(), 0x1234),
        ("a handle of 2^32", window.va(), spare.va(), u32::MAX),
        ("a replacement without a table", window.va(), 0x1234_5000, handle),
        ("a replacement in the hypervisor", window.va(), 0xffff_8300_0000_0000, handle),
        ("a replacement that is not canonical", window.va(), 1 << 47, handle),
        ("a place in the hypervisor", 0xffff_8300_0000_0000, spare.va(), handle),
    ] {
        report.check(what, replace(host, new, handle) < 0);
        report.expect("the grant is still mapped", probe::read(window.va()), Ok(0x11));
        report.expect("and in use", table.flags(FIRST), GTF_permit_access | GTF_reading | GTF_writing);
        // Xen takes the replacement away before it looks at the rest.
        report.result("the replacement is mapped", spare.make_writable(), 0);
    }
    report.expect("unmap_and_replace", replace(window.va(), spare.va(), handle), GNTST_okay);
    report.expect("the replacement is there", probe::read(window.va()), Ok(0x22));
    report.check("and no longer at its old place", probe::read(spare.va()).is_err());
    report.expect("the grant is free", table.flags(FIRST), GTF_permit_access);
    report.expect("the replacement's frame", memory::entry(window.va(), 1).map(|e| e.mfn()), Some(spare_mfn));
    report.expect("a second time", replace(window.va(), spare.va(), handle), GNTST_bad_handle);
}

/// XSA-18: references that were not compared with the table's size.
fn swap(report: &mut Report, table: &TableV1) {
    let (granted, window) = (Page::new(), Page::new());
    let swap = |a: u32, b: u32| {
        let mut argument = GnttabSwapGrantRef { ref_a: a, ref_b: b, ..Default::default() };
        let result = op(GNTTABOP_swap_grant_ref, &mut argument);
        if result == 0 { argument.status } else { i16::MIN }
    };
    table.set(FIRST, GTF_permit_access, granted.mfn());
    table.set(FIRST + 1, 0, 0);
    report.expect("swap", swap(FIRST, FIRST + 1), GNTST_okay);
    report.expect("swaps", (table.flags(FIRST), table.flags(FIRST + 1)), (0, GTF_permit_access));
    report.expect("with itself", swap(FIRST, FIRST), GNTST_okay);
    for bad in [512, 1 << 20, 1 << 31, u32::MAX] {
        report.expect("with one beyond", swap(FIRST, bad), GNTST_bad_gntref);
        report.expect("of one beyond", swap(bad, FIRST), GNTST_bad_gntref);
    }
    let (status, handle) = map(window.va(), FIRST + 1, HOST);
    report.expect("a mapping", status, GNTST_okay);
    report.expect("a grant in use is not swapped", swap(FIRST, FIRST + 1), GNTST_eagain);
    report.expect("unmapped", unmap(window.va(), handle), GNTST_okay);
    report.expect("it is", swap(FIRST, FIRST + 1), GNTST_okay);
}

/// XSA-214, XSA-217: a frame that is given away must not stay mapped or typed.
fn transfer(report: &mut Report, table: &TableV1) {
    let page = Page::new();
    let give = |mfn: u64, domid: u16, reference: u32| {
        let mut argument = GnttabTransfer { mfn, domid, r#ref: reference, ..Default::default() };
        let result = op(GNTTABOP_transfer, &mut argument);
        if result == 0 { argument.status } else { i16::MIN }
    };
    report.check("a frame to nobody", give(page.mfn(), NOBODY, FIRST) < 0);
    report.check("a frame to no domain", give(page.mfn(), DOMID_INVALID, FIRST) < 0);
    for mfn in [0xf_ffff_ffff, 0x200, u64::MAX] {
        report.expect("a frame that is not ours", give(mfn, 0, FIRST), GNTST_bad_page);
    }
    page.write(0, 0x33);
    report.check("a frame that is mapped writable", give(page.mfn(), 0, FIRST) < 0);
    report.expect("it is still there", page.read(0), 0x33);
    let l1 = memory::entry(page.va(), 1).map_or(0, |entry| entry.machine >> 12);
    report.check("a page table", give(l1, 0, FIRST) < 0);
    table.set(FIRST, 0, 0);
    report.check("to a reference that does not accept one", give(page.mfn(), 0, FIRST) < 0);
    report.expect("the page works", probe::write(page.va(), 1), Ok(()));
}

/// XSA-232: a page whose owner has no grant table.
fn cache(report: &mut Report, table: &TableV1) {
    let page = Page::new();
    table.set(FIRST, GTF_permit_access, page.mfn());
    let flush = |a: u64, offset: u16, length: u16, operation: u32| {
        op(GNTTABOP_cache_flush, &mut GnttabCacheFlush { a, offset, length, op: operation })
    };
    let own = page.mfn() << 12;
    for (what, result, want) in [
        ("nothing of nothing", flush(own, 0, 0, 0), 0),
        ("of no length", flush(own, 0, 0, GNTTAB_CACHE_CLEAN), 0),
        ("behind the page", flush(own, 4096, 1, GNTTAB_CACHE_CLEAN), EINVAL),
        ("across its end", flush(own, 4095, 2, GNTTAB_CACHE_CLEAN), EINVAL),
        ("an operation that is not there", flush(own, 0, 8, 4), EINVAL),
        ("and another", flush(own, 0, 8, 1 << 30), EINVAL),
    ] {
        report.result(what, result, want);
    }
    for mfn in [0x200, 0xfee00, 0xa0, 0xf_ffff_ffff] {
        report.refused("a frame that is not ours", flush(mfn << 12, 0, 64, GNTTAB_CACHE_CLEAN));
    }
    report
        .refused("a reference that is not granted", flush(4000, 0, 64, GNTTAB_CACHE_CLEAN | GNTTAB_CACHE_SOURCE_GREF));
}

fn setup(report: &mut Report) {
    let setup = |nr_frames: u32, list: u64| {
        let mut argument =
            GnttabSetupTable { dom: DOMID_SELF, nr_frames, frame_list: GuestPtr::new(list), ..Default::default() };
        (op(GNTTABOP_setup_table, &mut argument), argument.status)
    };
    let page = Page::new();
    report.expect("no frames", setup(0, 0), (0, GNTST_okay));
    report.expect("more frames than there can be", setup(1 << 20, page.va()), (0, GNTST_general_error));
    report.expect("2^32 - 1 frames", setup(u32::MAX, page.va()), (0, GNTST_general_error));
    report.expect("a list nowhere", setup(1, 0x1000), (0, GNTST_bad_virt_addr));
    report.expect("a list in the hypervisor", setup(1, 0xffff_8300_0000_0000).0, EFAULT);
    report.expect("two frames", setup(2, page.va()), (0, GNTST_okay));
    report.check("are two", page.read(0) != 0 && page.read(1) != 0 && page.read(0) != page.read(1));
    let (status, _) = map(Page::new().va(), 600, HOST);
    report.expect("a reference of the second is not granted", status, GNTST_general_error);
}

fn version_2(report: &mut Report) {
    let set = |version: u32| op(GNTTABOP_set_version, &mut GnttabSetVersion { version });
    for version in [0, 3, u32::MAX] {
        report.result("a version that is not there", set(version), EINVAL);
    }
    report.result("version 2", set(2), 0);
    let list = Page::new();
    let frames = |nr_frames: u32, at: u64, dom: u16| {
        let mut argument =
            GnttabGetStatusFrames { nr_frames, dom, frame_list: GuestPtr::new(at), ..Default::default() };
        (op(GNTTABOP_get_status_frames, &mut argument), argument.status)
    };
    report.expect("status frames", frames(1, list.va(), DOMID_SELF), (0, GNTST_okay));
    report.check("one", list.read(0) != 0);
    // XSA-382: more than there are.
    report.expect("more than there are", frames(100, list.va(), DOMID_SELF), (0, GNTST_general_error));
    report.expect("very many", frames(u32::MAX, list.va(), DOMID_SELF), (0, GNTST_general_error));
    report.expect("nobody's", frames(1, list.va(), NOBODY), (0, GNTST_bad_domain));
    report.expect("nowhere", frames(1, 0x1000, DOMID_SELF), (0, GNTST_bad_virt_addr));
    report.expect("in the hypervisor", frames(1, 0xffff_8300_0000_0000, DOMID_SELF).0, EFAULT);
    let shared = grant::frame(0);
    let status_page = Page::new();
    report.result(
        "the status page mapped",
        update_va_mapping(status_page.va(), list.read(0) << 12 | KERNEL_RW, UVMF_INVLPG),
        0,
    );
    let table = Page::new();
    report.result("the table mapped", update_va_mapping(table.va(), shared << 12 | KERNEL_RW, UVMF_INVLPG), 0);
    let (granted, window) = (Page::new(), Page::new());
    (0..512).for_each(|n| granted.write(n, 0x7000 + n as u64));
    let entry = |reference: u32, low: u64, high: u64| {
        table.write(reference as usize * 2, 0);
        table.write(reference as usize * 2 + 1, high);
        table.write(reference as usize * 2, low);
    };
    let status = |reference: u32| (status_page.read(reference as usize / 4) >> (reference % 4 * 16)) as u16;
    entry(FIRST, GTF_permit_access.into(), granted.mfn());
    let (result, handle) = map(window.va(), FIRST, HOST);
    report.expect("a mapping", result, GNTST_okay);
    report.expect("the status word says so", status(FIRST), GTF_reading | GTF_writing);
    report.result("version 1 under a mapping", set(1), EBUSY);
    report.expect("unmapped", unmap(window.va(), handle), GNTST_okay);
    report.expect("the status word too", status(FIRST), 0);
    // A grant of bytes 0x100 to 0x17f is for copies only.
    let sub = u64::from(GTF_permit_access | GTF_sub_page) | 0x100 << 32 | 0x80 << 48;
    entry(FIRST, sub, granted.mfn());
    report.expect("a part of a page cannot be mapped", map(window.va(), FIRST, HOST).0 < 0, true);
    let own = Page::new();
    report.expect("it can be copied", copy(FIRST, 0x100, own.mfn(), 0, 0x80), GNTST_okay);
    report.expect("exactly it", (own.read(0), own.read(15), own.read(16)), (0x7020, 0x702f, 0));
    for (offset, len) in [(0xff, 1), (0x180, 1), (0x100, 0x81), (0xf8, 16), (0, 4096)] {
        report.expect("not what is around it", copy(FIRST, offset, own.mfn(), 0, len) < 0, true);
    }
    // XSA-226: transitive grants, to oneself, in a circle, to nobody.
    let transitive = |domid: u64, reference: u64| {
        entry(FIRST + 1, u64::from(GTF_transitive) | domid << 32, reference);
        copy(FIRST + 1, 0, own.mfn(), 0, 64)
    };
    for (what, domid, reference) in [
        ("of one's own", 0, FIRST.into()),
        ("of itself", 0, u64::from(FIRST) + 1),
        ("of nobody", NOBODY.into(), FIRST.into()),
        ("of no domain", DOMID_INVALID.into(), FIRST.into()),
        ("of DOMID_SELF", DOMID_SELF.into(), FIRST.into()),
    ] {
        report.expect(what, transitive(domid, reference) < 0, true);
    }
    // XSA-255, XSA-379: the status pages go away with version 2, whoever still maps them.
    let kept = set(1);
    report.check("version 1 while the status page is mapped", kept == 0 || kept == EBUSY);
    report.result("the status page mapped no more", status_page.make_writable(), 0);
    report.result("the table neither", table.make_writable(), 0);
    for _ in 0..5 {
        report.result("version 1", set(1), 0);
        report.result("version 2", set(2), 0);
    }
    report.result("version 1 at last", set(1), 0);
    // Here they stay the domain's as long as it lives, empty, and are used again.
    let old = update_va_mapping(status_page.va(), list.read(0) << 12 | KERNEL_RW, UVMF_INVLPG);
    report.expect("the old status page is not other memory", old < 0 || start::is_ferroxen(), true);
    if old == 0 {
        report.check("and says nothing", (0..512).all(|n| status_page.read(n) == 0));
        report.result("mapped no more", status_page.make_writable(), 0);
    }
}
