//! GDT, LDT and single descriptors: what a guest may have in them, whether they can be written behind the hypervisor's
//! back, and what an exit leaves in the segment registers. Call gates and system segments would be ways into ring 0.
#![cfg_attr(target_os = "none", no_std, no_main)]
// The instructions under test.
#![allow(unsafe_code)]

use guest_rt::abi::arch_x86_64::{SEGBASE_FS, SEGBASE_GS_USER_SEL};
use guest_rt::abi::xen::*;
use guest_rt::hypercall::error::*;
use guest_rt::hypercall::{NOWHERE, mmuext, raw};
use guest_rt::memory::{self, Page};
use guest_rt::trap::{self, Trap};
use guest_rt::{Report, attempt, hypercall, probe, time};

guest_rt::guest!("descriptors", run);

/// A flat data segment of ring 3 and its accessed bit.
const DATA: u64 = 0x00cf_f300_0000_ffff;

/// Descriptors that no guest may have: (what, the eight bytes).
const FORBIDDEN: [(&str, u64); 9] = [
    ("a data segment of ring 0", 0x00cf_9300_0000_ffff),
    ("code of ring 0", 0x00af_9b00_0000_ffff),
    ("conforming code of ring 0", 0x00af_9f00_0000_ffff),
    ("data of ring 1", 0x00cf_b300_0000_ffff),
    ("a call gate", 0x0000_ec00_e008_1000),
    ("an interrupt gate", 0x0000_ee00_e008_1000),
    ("a trap gate", 0x0000_ef00_e008_1000),
    ("a TSS", 0x0000_e900_0000_0067),
    ("an LDT", 0x0000_e200_0000_ffff),
];

fn run(report: &mut Report) {
    let gdt = Page::new();
    set_gdt_errors(report, gdt);
    updates(report, gdt);
    contents(report);
    ldt(report);
    switched(report);
    limits(report);
}

fn set_gdt(frames: &[u64], entries: u64) -> i64 {
    raw(__HYPERVISOR_set_gdt, [frames.as_ptr().addr() as u64, entries, 0, 0, 0])
}

fn update(at: u64, descriptor: u64) -> i64 {
    raw(__HYPERVISOR_update_descriptor, [at, descriptor, 0, 0, 0])
}

fn set_gdt_errors(report: &mut Report, gdt: Page) {
    let frame = gdt.mfn();
    report.result("a page that is mapped writable", set_gdt(&[frame], 512), EINVAL);
    report.result("read-only", gdt.make_read_only(), 0);
    for (what, frames, entries, want) in [
        ("a GDT", [frame; 14], 512, 0),
        ("of one entry", [frame; 14], 1, 0),
        ("of 14 times the same page", [frame; 14], 7168, 0),
        ("of one entry too many", [frame; 14], 7169, EINVAL),
        ("of 65536", [frame; 14], 65536, EINVAL),
        ("of 2^32 - 1", [frame; 14], 0xffff_ffff, EINVAL),
        ("in a frame that is not there", [0xf_ffff_ffff; 14], 512, EINVAL),
        ("in a frame of the hypervisor", [0x200; 14], 512, EINVAL),
        ("in I/O memory", [0xfee00; 14], 512, EINVAL),
    ] {
        report.result(what, set_gdt(&frames, entries), want);
    }
    let mut second_bad = [frame; 14];
    second_bad[1] = 0x200;
    report.result("a second frame that is bad", set_gdt(&second_bad, 1024), EINVAL);
    report.result("and not needed", set_gdt(&second_bad, 512), 0);
    let table = memory::entry(gdt.va(), 1).map_or(0, |entry| entry.machine >> 12);
    report.result("in a page table", set_gdt(&[table], 512), EINVAL);
    for at in NOWHERE {
        report.result("a list of frames nowhere", raw(__HYPERVISOR_set_gdt, [at, 1, 0, 0, 0]), EFAULT);
    }
    report.result("a good one at last", set_gdt(&[frame], 512), 0);
    report.refused("cannot be mapped writable", gdt.make_writable());
    report.refused("is no page table", gdt.pin(1));
    report.refused("nor cleared", mmuext(MMUEXT_CLEAR_PAGE, frame, 0));
    report.refused("nor copied over", mmuext(MMUEXT_COPY_PAGE, frame, Page::new().mfn()));
    report.refused(
        "nor written by mmu_update",
        hypercall::mmu_update(&mut [MmuUpdate { ptr: frame << 12, val: DATA }]).0,
    );
}

fn updates(report: &mut Report, gdt: Page) {
    let at = |index: u64| (gdt.mfn() << 12) + index * 8;
    report.result("a data segment", update(at(3), DATA), 0);
    report.expect("is there", gdt.read(3) | 1 << 40, DATA);
    report.expect("and can be loaded", probe::load_fs(0x1b), Ok(()));
    report.result("no descriptor", update(at(3), 0), 0);
    report.expect("cannot", probe::load_fs(0x1b), Err(Trap { vector: 13, error_code: 0x18 }));
    report.result("one that is not present", update(at(3), DATA & !(1 << 47)), 0);
    report.expect("cannot either", probe::load_fs(0x1b), Err(Trap { vector: 11, error_code: 0x18 }));
    for (what, descriptor) in FORBIDDEN {
        let result = update(at(4), descriptor);
        let now = gdt.read(4);
        report.expect(what, harmless(result, now), true);
        report.check("and loads as nothing", probe::load_fs(0x23).is_err() || now >> 45 & 3 == 3);
    }
    for (what, place) in [
        ("half an entry", at(3) | 4),
        ("an odd place", at(3) | 1),
        ("a frame that is not there", 0xf_ffff_ffff << 12),
        ("a frame of the hypervisor", 0x200 << 12),
        ("no place at all", u64::MAX),
    ] {
        report.result(what, update(place, 0), EINVAL);
    }
    let other = Page::new();
    report.result("a page of our own that is no descriptor table", update(other.mfn() << 12, DATA), 0);
    let table = memory::entry(other.va(), 1).map_or(0, |entry| entry.machine & !0xfff);
    report.refused("a page table", update(table, 0));
    report.result("no GDT", set_gdt(&[], 0), 0);
    report.result("the page is free", gdt.make_writable(), 0);
}

/// Refused, or stored as something that no ring 3 code can use to leave ring 3.
fn harmless(result: i64, stored: u64) -> bool {
    let (present, system, dpl) = (stored >> 47 & 1 == 1, stored >> 44 & 1 == 0, stored >> 45 & 3);
    result < 0 || !present || !system && dpl == 3
}

/// A page with such a descriptor in it does not become a GDT, or becomes one without its power.
fn contents(report: &mut Report) {
    for (what, descriptor) in FORBIDDEN {
        let page = Page::new();
        page.write(5, descriptor);
        report.result("read-only", page.make_read_only(), 0);
        let result = set_gdt(&[page.mfn()], 512);
        report.expect(what, harmless(result, page.read(5)), true);
        if result == 0 {
            report.check("its selector", probe::load_fs(0x2b).is_err() || page.read(5) >> 45 & 3 == 3);
            report.result("no GDT", set_gdt(&[], 0), 0);
        }
        report.result("writable", page.make_writable(), 0);
    }
}

fn ldt(report: &mut Report) {
    let table = Page::new();
    table.write(0, DATA);
    table.write(1, 0x00af_9b00_0000_ffff);
    report.result("an LDT in a writable page is taken", mmuext(MMUEXT_SET_LDT, table.va(), 16), 0);
    report.check("and not used", probe::load_fs(0x07).is_err());
    report.result("read-only", table.make_read_only(), 0);
    table_again(report, table);
    report.expect("its first entry", probe::load_fs(0x07), Ok(()));
    report.check("not the code of ring 0", probe::load_fs(0x0f).is_err() || table.read(1) >> 45 & 3 == 3);
    report.check("nothing behind its end", probe::load_fs(0x87).is_err());
    report.refused("while it is used it is not writable", table.make_writable());
    report.result("no LDT", mmuext(MMUEXT_SET_LDT, 0, 0), 0);
    report.check("its selectors are none", probe::load_fs(0x07).is_err());
    report.result("writable", table.make_writable(), 0);
    report.result("an LDT that is not mapped", mmuext(MMUEXT_SET_LDT, 0x1000, 16), 0);
    report.check("has no selectors", probe::load_fs(0x07).is_err());
    report.result("no LDT", mmuext(MMUEXT_SET_LDT, 0, 0), 0);
}

/// The LDT's pages are taken when they are used; set it again after the page has become read-only.
fn table_again(report: &mut Report, table: Page) {
    report.result("none", mmuext(MMUEXT_SET_LDT, 0, 0), 0);
    report.result("again", mmuext(MMUEXT_SET_LDT, table.va(), 16), 0);
}

/// FS and GS now.
fn selectors() -> (u16, u16) {
    let (fs, gs): (u16, u16);
    // SAFETY: reads registers.
    unsafe { core::arch::asm!("mov {0:x}, fs", "mov {1:x}, gs", out(reg) fs, out(reg) gs) };
    (fs, gs)
}

/// A selector of the LDT is there again when the vcpu comes back to its CPU, whether its page had been looked up or not;
/// one that is bad by then makes the failsafe callback run, with what it was. SEGBASE_GS_USER_SEL takes such a selector.
fn switched(report: &mut Report) {
    const MS: u64 = 1_000_000;
    // They follow each other: nobody else takes pages.
    let tables = [Page::new(), Page::new()];
    for (page, index) in tables.into_iter().zip([1, 2]) {
        page.write(index, DATA);
        report.result("read-only", page.make_read_only(), 0);
    }
    let set = |entries| mmuext(MMUEXT_SET_LDT, tables[0].va(), entries);
    // The timer is no event: the vcpu leaves its CPU and comes back.
    let away = || hypercall::poll(&[], time::now() + MS);
    report.result("an LDT of two pages", set(1024), 0);
    for (what, selector) in [("the first page", 0x0fu16), ("the second", 0x1017)] {
        // SAFETY: the runtime does not use FS.
        report.expect(what, unsafe { attempt!("mov fs, ax", in("ax") selector) }, Ok(()));
        let before = trap::failsafes();
        report.result("away and back", away(), 0);
        report.expect("is kept", selectors().0, selector);
        report.result("the same LDT anew", set(1024), 0);
        report.result("away and back", away(), 0);
        report.expect("is looked up", selectors().0, selector);
        report.expect("without the failsafe callback", trap::failsafes(), before);
        report.result("SEGBASE_FS", set_base(SEGBASE_FS, 0x1234_5000), 0);
        report.result("the same LDT anew", set(1024), 0);
        report.result("SEGBASE_GS_USER_SEL", set_base(SEGBASE_GS_USER_SEL, selector.into()), 0);
        report.expect("is in both", selectors(), (selector, selector));
        report.expect("FS keeps its base", probe::rdmsr(0xc000_0100), Ok(0x1234_5000));
        report.result("null", set_base(SEGBASE_GS_USER_SEL, 0), 0);
        report.result("no LDT", mmuext(MMUEXT_SET_LDT, 0, 0), 0);
        report.result("away and back", away(), 0);
        // Xen leaves the registers as they are where nobody else ran meanwhile.
        let kept = selectors().0 == selector && trap::failsafes() == before;
        let null = selectors().0 == 0 && trap::failsafes() == before + 1;
        report.check("is kept, or null, and the failsafe callback ran", kept || null);
        report.check("and knows what it was", kept || trap::failsafe_fs() == selector.into());
        report.result("an LDT again", set(1024), 0);
    }
    report.result("no LDT", mmuext(MMUEXT_SET_LDT, 0, 0), 0);
}

fn set_base(which: u32, base: u64) -> i64 {
    raw(__HYPERVISOR_set_segment_base, [which.into(), base, 0, 0, 0])
}

/// LSL, LAR, VERR, VERW and SGDT from ring 3 say nothing of the hypervisor's own descriptors but that they are there.
fn limits(report: &mut Report) {
    for selector in [0xe008u64, 0xe010, 0xe040, 0xe048, 0xfff8, 8, 0] {
        let (mut limit, mut rights) = (0u64, 0u64);
        // SAFETY: these read a descriptor, and change only the register.
        let lsl = unsafe { attempt!("lsl rax, rcx", in("rcx") selector, inlateout("rax") limit) };
        // SAFETY: as above.
        let lar = unsafe { attempt!("lar rax, rcx", in("rcx") selector, inlateout("rax") rights) };
        report.check("LSL and LAR do not fault", lsl.is_ok() && lar.is_ok());
        report.check("and a descriptor of ring 0 stays unknown", limit == 0 || rights >> 13 & 3 == 3);
    }
    for selector in [0xe008u16, 0xe010, 0xe040, 0xe048, 0xfff8] {
        report.check("a selector of the hypervisor cannot be loaded", probe::load_fs(selector | 3).is_err());
    }
    report.expect("LGDT", probe::lgdt(), Err(Trap::GP));
    report.expect("LIDT", probe::lidt(), Err(Trap::GP));
    report.expect("LTR", probe::ltr(), Err(Trap::GP));
    report.expect("LLDT", probe::lldt(), Err(Trap::GP));
}
