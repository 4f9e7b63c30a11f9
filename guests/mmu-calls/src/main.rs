//! mmu_update, update_va_mapping, update_va_mapping_otherdomain and mmuext_op: each subcommand with good, bad and extreme
//! arguments; what the attacks of `pt-attacks` do not need.
#![cfg_attr(target_os = "none", no_std, no_main)]

use guest_rt::abi::xen::*;
use guest_rt::hypercall::error::*;
use guest_rt::hypercall::{NOBODY, NOWHERE, mmuext, raw, update_va_mapping};
use guest_rt::memory::{self, KERNEL_RO, KERNEL_RW, Page};
use guest_rt::{Report, probe};

guest_rt::guest!("mmu-calls", run);

const SELF: u64 = DOMID_SELF as u64;
/// A frame beyond all memory.
const BEYOND: u64 = 0xf_ffff_ffff;

fn run(report: &mut Report) {
    domains(report);
    counts(report);
    commands(report);
    machphys(report);
    preserve(report);
    va_mapping(report);
    flushes(report);
    pages(report);
    tables(report);
}

fn update(ptr: u64, val: u64, domains: u64) -> (i64, u32) {
    guest_rt::hypercall::mmu_update_of(&mut [MmuUpdate { ptr, val }], domains)
}

/// The last argument: the domain of the frames in its low half, of the tables in its upper half (plus one).
fn domains(report: &mut Report) {
    let page = Page::new();
    let Some(entry) = memory::entry(page.va(), 1) else { return };
    let value = page.mfn() << 12 | KERNEL_RW;
    let table = |domid: u64| (domid + 1) << 16;
    for (what, domains, want) in [
        ("one's own frames", SELF, 0),
        ("by number: one's own is no foreign domain", 0, ESRCH),
        ("nobody's frames", NOBODY.into(), ESRCH),
        ("a reserved number", 0x7ff5, ESRCH),
        ("no domain", DOMID_INVALID.into(), ESRCH),
        ("the idle domain", DOMID_IDLE.into(), ESRCH),
        ("one's own frames and tables", table(0) | SELF, 0),
        ("tables of DOMID_SELF", table(SELF) | SELF, ESRCH),
        ("nobody's tables", table(NOBODY.into()) | SELF, ESRCH),
        ("tables of no domain", table(DOMID_INVALID.into()) | SELF, ESRCH),
        ("the highest bits of 32", 0xffff_0000 | SELF, ESRCH),
        ("domains have 32 bits", 1 << 32 | SELF, 0),
    ] {
        report.result(what, update(entry.machine, value, domains).0, want);
    }
    for (what, domid) in [("I/O frames", DOMID_IO), ("the hypervisor's frames", DOMID_XEN)] {
        let other = Page::new();
        let Some(entry) = memory::entry(other.va(), 1) else { continue };
        report.refused(what, update(entry.machine, value, domid.into()).0);
    }
    report.result("copy-on-write frames", update(entry.machine, value, DOMID_COW.into()).0, ESRCH);
    for (what, domid, want) in [
        ("mmuext_op for nobody", NOBODY.into(), ESRCH),
        ("for no domain", u64::from(DOMID_INVALID), ESRCH),
        ("for oneself by number", 0, ESRCH),
        ("for I/O", DOMID_IO.into(), EPERM),
        ("for the hypervisor", DOMID_XEN.into(), EPERM),
    ] {
        let op = MmuextOp { cmd: MMUEXT_TLB_FLUSH_LOCAL, ..Default::default() };
        report.result(what, raw(__HYPERVISOR_mmuext_op, [(&raw const op).addr() as u64, 1, 0, domid, 0]), want);
    }
}

fn counts(report: &mut Report) {
    for (number, size) in [(__HYPERVISOR_mmu_update, 16u64), (__HYPERVISOR_mmuext_op, 24)] {
        let call = |at: u64, count: u64, done: u64| raw(number, [at, count, done, SELF, 0]);
        report.result("nothing", call(0, 0, 0), 0);
        report.result("nothing, with the count of what was done nowhere", call(0, 0, 0x1000), 0);
        report.result("nothing, nowhere", call(1 << 47, 0, 0), EFAULT);
        report.differs(
            "only the bit of a continuation",
            call(0, 1 << 31, 0),
            SELF as i64,
            0,
            "how Xen goes on with half-done work; a guest has no reason to",
        );
        for at in NOWHERE {
            report.result("requests nowhere", call(at, 1, 0), EFAULT);
            report.result("many requests nowhere", call(at, 0x7fff_ffff, 0), EFAULT);
        }
        report.result("more requests than there is memory", call(0x1000, u64::MAX, 0), EFAULT);
        // Requests that end with their page; the next one is not there.
        let (first, second) = (Page::new(), Page::new());
        report.result("the page behind goes", update_va_mapping(second.va(), 0, UVMF_INVLPG), 0);
        let words = size / 8;
        let at = first.va() + 4096 - size;
        let word = |n: u64, value: u64| first.write((512 - words + n) as usize, value);
        if number == __HYPERVISOR_mmu_update {
            word(0, memory::entry(first.va(), 1).map_or(0, |entry| entry.machine));
            word(1, first.mfn() << 12 | KERNEL_RW);
        } else {
            word(0, MMUEXT_TLB_FLUSH_LOCAL.into());
        }
        let done = Page::new();
        report.result("the second request is nowhere", call(at, 2, done.va()), EFAULT);
        report.expect("the first was done", done.read(0), 1);
        report.result("results add up only within a call", call(at, 1, done.va()), 0);
        report.expect("one", done.read(0), 1);
        report.result("the count of the done nowhere: it is done", call(at, 1, 0x1000), 0);
        report.result("or in the hypervisor", call(at, 1, 0xffff_8300_0000_0000), 0);
        report.result("the page behind is back", second.make_writable(), 0);
    }
}

fn commands(report: &mut Report) {
    let page = Page::new();
    let Some(entry) = memory::entry(page.va(), 1) else { return };
    let value = page.mfn() << 12 | KERNEL_RW;
    for (what, low, want) in [
        ("an ordinary update", MMU_NORMAL_PT_UPDATE, 0),
        ("one that keeps accessed and dirty", MMU_PT_UPDATE_PRESERVE_AD, 0),
        ("one without translation", MMU_PT_UPDATE_NO_TRANSLATE, 0),
    ] {
        report.result(what, update(entry.machine | low, value, SELF).0, want);
    }
    for low in 4..8 {
        report.refused("an entry that is not aligned", update(entry.machine | low, value, SELF).0);
    }
    for mfn in [BEYOND, 0, 0xa0, 0xfee00] {
        report.refused("a table that is none of ours", update(mfn << 12, value, SELF).0);
    }
    report.refused("a frame number of more than 40 bits", update(!0xfff, value, SELF).0);
    let free = Page::new();
    report.result("a page that is no table: is written", update(free.mfn() << 12 | 16, 0x1234_5678_9abc, SELF).0, 0);
    report.expect("as it is", free.read(2), 0x1234_5678_9abc);
    report.expect("the rest is not", [free.read(1), free.read(3)], [0, 0]);
    for cmd in [14, 21, 22, 99, u32::MAX] {
        report.result("an extended operation that is not there", mmuext(cmd, 0, 0), ENOSYS);
    }
    report.result("MARK_SUPER", mmuext(MMUEXT_MARK_SUPER, 0, 0), EOPNOTSUPP);
    report.result("UNMARK_SUPER", mmuext(MMUEXT_UNMARK_SUPER, 0, 0), EOPNOTSUPP);
}

fn machphys(report: &mut Report) {
    let page = Page::new();
    let set = |mfn: u64, pfn: u64| update(mfn << 12 | MMU_MACHPHYS_UPDATE, pfn, SELF).0;
    report.result("a frame of our own", set(page.mfn(), 0x77), 0);
    report.expect("is what the table says", memory::m2p(page.mfn()), 0x77);
    report.result("any number", set(page.mfn(), u64::MAX - 5), 0);
    report.result("back", set(page.mfn(), page.pfn()), 0);
    report.expect("is back", memory::m2p(page.mfn()), page.pfn());
    for mfn in [BEYOND, 0xa0, 0xfee00, u64::MAX >> 12] {
        report.result("a frame that is not ours", set(mfn, 1), EINVAL);
    }
}

fn preserve(report: &mut Report) {
    let page = Page::new();
    let Some(entry) = memory::entry(page.va(), 1) else { return };
    report.expect("touched", page.read(0), 0);
    page.write(0, 1);
    let clean = page.mfn() << 12 | memory::PRESENT | memory::WRITE | memory::USER;
    report.result("PRESERVE_AD without the bits", update(entry.machine | MMU_PT_UPDATE_PRESERVE_AD, clean, SELF).0, 0);
    let both = memory::ACCESSED | memory::DIRTY;
    report.expect("keeps them", entry.now() & both, both);
    report.result("an ordinary one", update(entry.machine, clean, SELF).0, 0);
    report.expect("does not", entry.now() & both, 0);
    report.expect("the page works", page.read(0), 1);
}

fn va_mapping(report: &mut Report) {
    let page = Page::new();
    let value = page.mfn() << 12 | KERNEL_RW;
    for flags in 0..8u64 {
        let flags = if flags & 4 != 0 { flags & 3 | UVMF_ALL } else { flags };
        report.result("a flush of each kind", update_va_mapping(page.va(), value, flags), 0);
    }
    let mask = [1u64];
    let at = mask.as_ptr().addr() as u64;
    for flush in [UVMF_TLB_FLUSH, UVMF_INVLPG] {
        report.result("a flush of some vcpus", update_va_mapping(page.va(), value, at | flush), 0);
        report.result("with their mask nowhere", update_va_mapping(page.va(), value, 0x1000 | flush), EFAULT);
        report.result(
            "or in the hypervisor",
            update_va_mapping(page.va(), value, 0xffff_8300_0000_0000 | flush),
            EFAULT,
        );
    }
    report.result("in the middle of a page", update_va_mapping(page.va() + 0x123, value, UVMF_INVLPG), 0);
    for va in [0x1234_5000, 0x7fff_ffff_f000, 0xffff_8800_0000_0000, 0xffff_ffff_c000_0000] {
        report.result("where there is no table", update_va_mapping(va, value, UVMF_INVLPG), EINVAL);
    }
    for va in [1 << 47, 0xffff_7fff_ffff_f000, 0xffff_8000_0000_0000, 0xffff_87ff_ffff_f000] {
        report.result("where a guest has no table", update_va_mapping(va, value, UVMF_INVLPG), EINVAL);
    }
    let other = |domid: u64| raw(__HYPERVISOR_update_va_mapping_otherdomain, [page.va(), value, UVMF_INVLPG, domid, 0]);
    for (what, domid, want) in [
        ("one's own frames", SELF, 0),
        ("by number", 0, ESRCH),
        ("nobody's", NOBODY.into(), ESRCH),
        ("of no domain", DOMID_INVALID.into(), ESRCH),
    ] {
        report.result(what, other(domid), want);
    }
    report.expect("the page works", page.read(0), 0);
}

fn flushes(report: &mut Report) {
    let mask = [1u64];
    let at = mask.as_ptr().addr() as u64;
    let page = Page::new();
    for cmd in [MMUEXT_TLB_FLUSH_LOCAL, MMUEXT_TLB_FLUSH_ALL] {
        report.result("a flush", mmuext(cmd, u64::MAX, u64::MAX), 0);
    }
    // XSA-279: INVLPG of such an address, by INVPCID, faulted in the hypervisor.
    for va in [page.va(), 0, 1 << 47, 0x8000_0000_0000_0000, u64::MAX, 0xffff_8300_0000_0000] {
        report.result("INVLPG_LOCAL", mmuext(MMUEXT_INVLPG_LOCAL, va, 0), 0);
        report.result("INVLPG_ALL", mmuext(MMUEXT_INVLPG_ALL, va, 0), 0);
        report.result("INVLPG_MULTI", mmuext(MMUEXT_INVLPG_MULTI, va, at), 0);
    }
    report.result("TLB_FLUSH_MULTI", mmuext(MMUEXT_TLB_FLUSH_MULTI, 0, at), 0);
    for nowhere in NOWHERE {
        report.result("with the mask nowhere", mmuext(MMUEXT_TLB_FLUSH_MULTI, 0, nowhere), EINVAL);
        report.result("with the mask nowhere", mmuext(MMUEXT_INVLPG_MULTI, 0, nowhere), EINVAL);
    }
    report.result("FLUSH_CACHE", mmuext(MMUEXT_FLUSH_CACHE, 0, 0), 0);
    report.result("FLUSH_CACHE_GLOBAL", mmuext(MMUEXT_FLUSH_CACHE_GLOBAL, 0, 0), 0);
}

fn pages(report: &mut Report) {
    let (from, to) = (Page::new(), Page::new());
    (0..512).for_each(|n| from.write(n, n as u64 + 1));
    report.result("COPY_PAGE", mmuext(MMUEXT_COPY_PAGE, to.mfn(), from.mfn()), 0);
    report.check("copies all of it", (0..512).all(|n| to.read(n) == n as u64 + 1));
    report.result("of a page to itself", mmuext(MMUEXT_COPY_PAGE, to.mfn(), to.mfn()), 0);
    report.result("CLEAR_PAGE", mmuext(MMUEXT_CLEAR_PAGE, to.mfn(), 0), 0);
    report.check("clears all of it", (0..512).all(|n| to.read(n) == 0));
    let table = memory::entry(to.va(), 1).map_or(0, |entry| entry.machine >> 12);
    for (what, mfn) in [
        ("a page table", table),
        ("a frame beyond", BEYOND),
        ("a frame that is not ours", 0xa0),
        ("the hypervisor's", 0x200),
    ] {
        report.result(what, mmuext(MMUEXT_CLEAR_PAGE, mfn, 0), EINVAL);
        report.result("copied to", mmuext(MMUEXT_COPY_PAGE, mfn, from.mfn()), EINVAL);
        if mfn != table {
            report.result("copied from", mmuext(MMUEXT_COPY_PAGE, to.mfn(), mfn), EINVAL);
        }
    }
    report.result("a page table is a source like any", mmuext(MMUEXT_COPY_PAGE, to.mfn(), table), 0);
    report.expect("cleared again", mmuext(MMUEXT_CLEAR_PAGE, to.mfn(), 0), 0);
    report.result("a read-only page", to.make_read_only(), 0);
    report.result("is cleared: it is still ours to write", mmuext(MMUEXT_CLEAR_PAGE, to.mfn(), 0), 0);
    report.result("pinned", to.pin(1), 0);
    report.result("it is not", mmuext(MMUEXT_CLEAR_PAGE, to.mfn(), 0), EINVAL);
    report.result("unpinned", to.unpin(), 0);
    report.result("writable", to.make_writable(), 0);
}

fn tables(report: &mut Report) {
    let page = Page::new();
    for level in 1..=4 {
        report.result("a writable page pinned", page.pin(level), EINVAL);
    }
    report.result("read-only", page.make_read_only(), 0);
    for level in 1..=4 {
        report.result("an empty table of each level", page.pin(level), 0);
        for other in (1..=4).filter(|&other| other != level) {
            report.result("is none of another", page.pin(other), EINVAL);
        }
        report.result("pinned twice", page.pin(level), EINVAL);
        report.result("cannot be mapped writable", page.make_writable(), EBUSY);
        report.result("unpinned", page.unpin(), 0);
        report.result("unpinned twice", page.unpin(), EINVAL);
    }
    for mfn in [BEYOND, 0xa0, 0x200, 0xfee00] {
        for cmd in [MMUEXT_PIN_L1_TABLE, MMUEXT_PIN_L4_TABLE, MMUEXT_UNPIN_TABLE, MMUEXT_NEW_BASEPTR] {
            report.result("a frame that is not ours", mmuext(cmd, mfn, 0), EINVAL);
        }
        report.result("as user mode's root", mmuext(MMUEXT_NEW_USER_BASEPTR, mfn, 0), EINVAL);
    }
    report.result("NEW_BASEPTR of frame 0", mmuext(MMUEXT_NEW_BASEPTR, 0, 0), EINVAL);
    report.result("writable", page.make_writable(), 0);
    // A root that lacks the guest's kernel is a good one for user mode, and is in use then.
    let root = Page::new();
    report.result("read-only", root.make_read_only(), 0);
    report.result("as user mode's root, not pinned", mmuext(MMUEXT_NEW_USER_BASEPTR, root.mfn(), 0), 0);
    report.refused("it is in use", root.make_writable());
    report.result("no root", mmuext(MMUEXT_NEW_USER_BASEPTR, 0, 0), 0);
    report.result("it is free", root.make_writable(), 0);
    report.result("LDT of 8192 entries", mmuext(MMUEXT_SET_LDT, page.va(), 8192), 0);
    for (what, at, entries) in [
        ("one more", page.va(), 8193),
        ("very many", page.va(), 0xffff_ffff),
        ("not in its page", page.va() + 8, 1),
        ("in the hypervisor", 0xffff_8300_0000_0000, 1),
        ("not canonical", 1 << 47, 1),
    ] {
        report.result(what, mmuext(MMUEXT_SET_LDT, at, entries), EINVAL);
    }
    report.result("no LDT", mmuext(MMUEXT_SET_LDT, 0, 0), 0);
    report.expect("the page works", probe::write(page.va(), KERNEL_RO), Ok(()));
}
