//! Security advisories about grant tables, each as an attack of one vcpu; the races are in `xsa-races`.
#![cfg_attr(target_os = "none", no_std, no_main)]

use guest_rt::abi::grant_table::*;
use guest_rt::abi::xen::*;
use guest_rt::grant::{TableV1, copy, map, op, unmap};
use guest_rt::hypercall::{NOBODY, raw};
use guest_rt::memory::{self, KERNEL_RW, Page, VIRT_BASE};
use guest_rt::{Report, probe};

guest_rt::guest!("xsa-grants", run);

const FIRST: u32 = 8;
const HOST: u32 = GNTMAP_host_map;

fn run(report: &mut Report) {
    let Some(table) = TableV1::new() else {
        report.check("a table", false);
        return;
    };
    xsa_24_status_frames(report);
    xsa_26_version_list(report);
    xsa_50_copy_references(report, &table);
    xsa_224_half_unmaps(report, &table);
    xsa_227_alignment(report, &table);
    xsa_230_marks(report, &table);
    xsa_234_entries(report, &table);
    xsa_236_pins(report, &table);
    xsa_316_partial_batch(report, &table);
    xsa_318_copy_continuation(report, &table);
    xsa_380_long_loops(report, &table);
    xsa_394_device_maps(report, &table);
}

fn device(reference: u32, flags: u32, at: u64) -> (i16, u32, u64) {
    let mut argument = GnttabMapGrantRef { host_addr: at, flags, r#ref: reference, dom: 0, ..Default::default() };
    let result = op(GNTTABOP_map_grant_ref, &mut argument);
    (if result == 0 { argument.status } else { i16::MIN }, argument.handle, argument.dev_bus_addr)
}

fn undo(host_addr: u64, dev_bus_addr: u64, handle: u32) -> i16 {
    let mut argument = GnttabUnmapGrantRef { host_addr, dev_bus_addr, handle, ..Default::default() };
    let result = op(GNTTABOP_unmap_grant_ref, &mut argument);
    if result == 0 { argument.status } else { i16::MIN }
}

/// XSA-24: GNTTABOP_get_status_frames with a count of more frames than there are looped for ever.
fn xsa_24_status_frames(report: &mut Report) {
    for nr_frames in [1, 1 << 16, 1 << 31, u32::MAX] {
        let mut argument = GnttabGetStatusFrames { nr_frames, dom: DOMID_SELF, ..Default::default() };
        report.result("status frames of version 1", op(GNTTABOP_get_status_frames, &mut argument), 0);
        report.check("there are none", argument.status < 0);
    }
}

/// XSA-26: a switch from version 2 to 1 left the list of status pages with pages that were free.
fn xsa_26_version_list(report: &mut Report) {
    for _ in 0..20 {
        for version in [2, 1] {
            report.result("a switch", op(GNTTABOP_set_version, &mut GnttabSetVersion { version }), 0);
        }
    }
}

/// XSA-50: a copy gave a reference back that it had not taken.
fn xsa_50_copy_references(report: &mut Report, table: &TableV1) {
    let (granted, own) = (Page::new(), Page::new());
    for flags in [GTF_permit_access, GTF_permit_access | GTF_readonly, GTF_invalid, GTF_accept_transfer, GTF_transitive]
    {
        table.set(FIRST, flags, granted.mfn());
        for _ in 0..50 {
            copy(FIRST, 0, own.mfn(), 0, 64);
            copy(FIRST, 4095, own.mfn(), 0, 64);
            copy(FIRST, 0, granted.mfn(), 0, 64);
        }
    }
    table.set(FIRST, 0, 0);
    for page in [granted, own] {
        report.result("read-only", page.make_read_only(), 0);
        report.result("no reference too many, none too few", page.pin(1), 0);
        report.result("unpinned", page.unpin(), 0);
        report.result("writable", page.make_writable(), 0);
    }
}

/// XSA-224: a mapping for host and device, of which only one was undone, and that more than once.
fn xsa_224_half_unmaps(report: &mut Report, table: &TableV1) {
    let (granted, window) = (Page::new(), Page::new());
    table.set(FIRST, GTF_permit_access, granted.mfn());
    let (status, handle, bus) = device(FIRST, HOST | GNTMAP_device_map, window.va());
    report.expect("both at once", status, GNTST_okay);
    for _ in 0..3 {
        undo(0, bus, handle);
    }
    report.expect("the mapping is still there", probe::write(window.va(), 1), Ok(()));
    report.check("and the grant in use", table.flags(FIRST) & GTF_writing != 0);
    for _ in 0..3 {
        undo(window.va(), 0, handle);
    }
    report.check("the mapping is gone", probe::read(window.va()).is_err());
    report.expect("the grant is free", table.flags(FIRST), GTF_permit_access);
    report.expect("nothing is left to undo", undo(window.va(), bus, handle), GNTST_bad_handle);
    report.result("read-only", granted.make_read_only(), 0);
    report.result("the frame is no more used", granted.pin(1), 0);
    report.result("unpinned", granted.unpin(), 0);
    report.result("writable", granted.make_writable(), 0);
}

/// XSA-227: the address of a page-table entry that is not aligned: the new entry was written across two.
fn xsa_227_alignment(report: &mut Report, table: &TableV1) {
    let (granted, window) = (Page::new(), Page::new());
    table.set(FIRST, GTF_permit_access, granted.mfn());
    let Some(entry) = memory::entry(window.va(), 1) else { return };
    for offset in 1..8 {
        let (status, ..) = device(FIRST, HOST | GNTMAP_contains_pte, entry.machine + offset);
        report.check("an entry that is not aligned", status < 0);
        report.expect("is not written", entry.now() & memory::FRAME, window.mfn() << 12);
    }
    for at in [0u64, !7, granted.mfn() << 12, 0x200 << 12, entry.machine & !0xfff | 0xff8 << 40] {
        report.check("an address that is no entry", device(FIRST, HOST | GNTMAP_contains_pte, at).0 < 0);
    }
    report.expect("the grant is free", table.flags(FIRST), GTF_permit_access);
}

/// XSA-230: the marks "read" and "written" were taken away while another mapping still read or wrote.
fn xsa_230_marks(report: &mut Report, table: &TableV1) {
    let (granted, one, two) = (Page::new(), Page::new(), Page::new());
    table.set(FIRST, GTF_permit_access, granted.mfn());
    let (_, writer) = map(one.va(), FIRST, HOST);
    let (_, reader) = map(two.va(), FIRST, HOST | GNTMAP_readonly);
    report.expect("both", table.flags(FIRST), GTF_permit_access | GTF_reading | GTF_writing);
    report.expect("the reader goes", unmap(two.va(), reader), GNTST_okay);
    report.expect("the writer's marks stay", table.flags(FIRST) & GTF_writing, GTF_writing);
    report.expect("the writer goes", unmap(one.va(), writer), GNTST_okay);
    let (_, reader) = map(two.va(), FIRST, HOST | GNTMAP_readonly);
    let (_, writer) = map(one.va(), FIRST, HOST);
    report.expect("the writer goes", unmap(one.va(), writer), GNTST_okay);
    report.expect("the reader's mark stays", table.flags(FIRST), GTF_permit_access | GTF_reading);
    report.expect("the reader goes", unmap(two.va(), reader), GNTST_okay);
    report.expect("none", table.flags(FIRST), GTF_permit_access);
}

/// XSA-234: unmapping looked at the frame of the entry and not at the rest: by another mapping of the same frame,
/// which the guest made itself, the wrong references were given back.
fn xsa_234_entries(report: &mut Report, table: &TableV1) {
    let (granted, window, other) = (Page::new(), Page::new(), Page::new());
    table.set(FIRST, GTF_permit_access, granted.mfn());
    let (status, handle) = map(window.va(), FIRST, HOST);
    report.expect("a mapping", status, GNTST_okay);
    for at in [granted.va(), other.va(), 0, 1 << 47, 0xffff_8300_0000_0000, VIRT_BASE] {
        let status = unmap(at, handle);
        if at == granted.va() && status == GNTST_okay {
            // Its own mapping of the frame is like the grant's: no harm, as long as the counts are right.
            break;
        }
        if at != 0 {
            report.check("unmapping it elsewhere", status < 0);
        }
    }
    if table.flags(FIRST) & GTF_writing != 0 {
        report.expect("unmapped", unmap(window.va(), handle), GNTST_okay);
    }
    for page in [granted, window, other] {
        report.result("mapped", page.make_writable(), 0);
    }
    for page in [granted, window, other] {
        report.result("read-only", page.make_read_only(), 0);
        report.result("no writable mapping is left", page.pin(1), 0);
        report.result("unpinned", page.unpin(), 0);
        report.result("writable", page.make_writable(), 0);
    }
}

/// XSA-236: the count of mappings of one grant ended at its width.
fn xsa_236_pins(report: &mut Report, table: &TableV1) {
    let (granted, window) = (Page::new(), Page::new());
    table.set(FIRST, GTF_permit_access | GTF_readonly, granted.mfn());
    let mut handles = [0u32; 300];
    let mut count = 0;
    let mut last = GNTST_okay;
    while count < 300 {
        let (status, handle) = map(window.va(), FIRST, HOST | GNTMAP_readonly);
        if status != GNTST_okay {
            last = status;
            break;
        }
        handles[count] = handle;
        count += 1;
    }
    guest_rt::println!("{count} mappings of one grant, then status {last}");
    report.check("there are as many as can be counted, or all", (128..=300).contains(&count));
    let own = |report: &mut Report| {
        let again =
            guest_rt::hypercall::update_va_mapping(window.va(), granted.mfn() << 12 | memory::KERNEL_RO, UVMF_INVLPG);
        report.result("the window maps the frame", again, 0);
    };
    // All went to one place: only the last is there. The others can be undone where their frame is mapped.
    for handle in &handles[..count] {
        if unmap(window.va(), *handle) != GNTST_okay {
            own(report);
            report.expect("undone", unmap(window.va(), *handle), GNTST_okay);
        }
        own(report);
    }
    report.expect("the grant is free", table.flags(FIRST), GTF_permit_access | GTF_readonly);
}

/// XSA-316: a batch whose first map failed gave success for it with a handle that was none.
fn xsa_316_partial_batch(report: &mut Report, table: &TableV1) {
    let (granted, window) = (Page::new(), Page::new());
    table.set(FIRST, GTF_permit_access, granted.mfn());
    let request = |dom: u16, reference: u32| GnttabMapGrantRef {
        host_addr: window.va(),
        flags: HOST,
        r#ref: reference,
        dom,
        handle: 0x7777,
        ..Default::default()
    };
    let mut batch = [request(NOBODY, FIRST), request(0, 1 << 20), request(0, FIRST), request(0, FIRST + 1)];
    let at = batch.as_mut_ptr().addr() as u64;
    report.result("a batch", raw(__HYPERVISOR_grant_table_op, [GNTTABOP_map_grant_ref.into(), at, 4, 0, 0]), 0);
    let statuses = batch.map(|request| request.status);
    report.expect("only the third was good", statuses.map(|status| status == GNTST_okay), [false, false, true, false]);
    report.expect("unmapped", unmap(window.va(), batch[2].handle), GNTST_okay);
    report.expect("no other handle was given", unmap(window.va(), 0x7777), GNTST_bad_handle);
}

/// XSA-318: a copy of many requests was continued at the wrong one when it was interrupted.
fn xsa_318_copy_continuation(report: &mut Report, table: &TableV1) {
    const COUNT: usize = 48;
    let (granted, own) = (Page::new(), Page::new());
    (0..512).for_each(|n| granted.write(n, n as u64 + 1));
    table.set(FIRST, GTF_permit_access | GTF_readonly, granted.mfn());
    let side = |u: u64, offset: u16| GnttabCopyPtr { u, domid: DOMID_SELF, offset, ..Default::default() };
    let mut batch: [GnttabCopy; COUNT] = core::array::from_fn(|n| GnttabCopy {
        source: side(FIRST.into(), n as u16 * 8),
        dest: side(own.mfn(), n as u16 * 8),
        len: 8,
        flags: GNTCOPY_source_gref,
        status: 0x55,
        ..Default::default()
    });
    for _ in 0..200 {
        batch.iter_mut().for_each(|request| request.status = 0x55);
        let at = batch.as_mut_ptr().addr() as u64;
        let result = raw(__HYPERVISOR_grant_table_op, [GNTTABOP_copy.into(), at, COUNT as u64, 0, 0]);
        if result != 0 || batch.iter().any(|request| request.status != GNTST_okay) {
            report.result("every request of the batch is done", result, 0);
            report.check("every request of the batch is done", false);
            break;
        }
    }
    report.check("all arrived", (0..COUNT).all(|n| own.read(n) == n as u64 + 1) && own.read(COUNT) == 0);
    report.expect("the grant is free", table.flags(FIRST), GTF_permit_access | GTF_readonly);
}

/// XSA-380: many mappings, and a version switch or a setup that walks over all of them.
fn xsa_380_long_loops(report: &mut Report, table: &TableV1) {
    let granted = Page::new();
    let window = Page::new();
    table.set(FIRST, GTF_permit_access | GTF_readonly, granted.mfn());
    let (status, handle) = map(window.va(), FIRST, HOST | GNTMAP_readonly);
    report.expect("a mapping", status, GNTST_okay);
    for _ in 0..200 {
        report.check("busy", op(GNTTABOP_set_version, &mut GnttabSetVersion { version: 2 }) < 0);
    }
    report.expect("unmapped", unmap(window.va(), handle), GNTST_okay);
}

/// XSA-394: a grant that is mapped for a device where there is no device, and undone.
fn xsa_394_device_maps(report: &mut Report, table: &TableV1) {
    let granted = Page::new();
    table.set(FIRST, GTF_permit_access, granted.mfn());
    let (status, handle, bus) = device(FIRST, GNTMAP_device_map, 0);
    if status == GNTST_okay {
        report.check("in use", table.flags(FIRST) & GTF_reading != 0);
        let wrong = undo(0, bus ^ 0x1000, handle);
        report.check("at another address it is not undone", wrong < 0 || table.flags(FIRST) & GTF_reading != 0);
        undo(0, bus, handle);
        report.expect("it is undone", undo(0, bus, handle), GNTST_bad_handle);
    }
    report.expect("the grant is free", table.flags(FIRST), GTF_permit_access);
    let _ = KERNEL_RW;
}
