//! Security advisories about races, each as two vcpus that do the two halves at the same time, again and again. The
//! counts must be right afterwards: every page is free for every use.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use guest_rt::abi::GuestPtr;
use guest_rt::abi::event_channel::*;
use guest_rt::abi::grant_table::*;
use guest_rt::abi::memory::*;
use guest_rt::abi::xen::*;
use guest_rt::grant::{TableV1, copy, map, op, unmap};
use guest_rt::memory::{self, KERNEL_RW, PRESENT, Page, USER, WRITE};
use guest_rt::smp::Rival;
use guest_rt::{Report, events, hypercall, probe, time};

guest_rt::guest!("xsa-races", run);

const FIRST: u32 = 8;
const HOST: u32 = GNTMAP_host_map;
const ROUND: u64 = 250_000_000;

/// What the rival works on.
static A: AtomicU64 = AtomicU64::new(0);
static B: AtomicU64 = AtomicU64::new(0);
static HANDLE: AtomicU32 = AtomicU32::new(0);

fn run(report: &mut Report) {
    let Some(table) = TableV1::new() else {
        report.check("a table", false);
        return;
    };
    let rival = match Rival::start(1, rest) {
        Ok(rival) => rival,
        Err(error) => {
            report.result("vcpu 1", error, 0);
            return;
        }
    };
    xsa_218_unmaps(report, &rival, &table);
    xsa_228_maptrack(report, &rival, &table);
    xsa_73_lock_order(report, &rival);
    xsa_286_recursive_mappings(report, &rival);
    xsa_343_event_reset(report, &rival);
    xsa_401_type_references(report, &rival);
    xsa_411_copies(report, &rival, &table);
    xsa_202_changing_instruction(report, &rival);
    report.check("the rival stops", rival.stop());
}

fn rest() {
    core::hint::spin_loop();
}

fn for_a_while(mut what: impl FnMut()) {
    let end = time::now() + ROUND;
    while time::now() < end {
        what();
    }
}

fn is_free(report: &mut Report, page: Page) {
    report.result("mapped", page.make_writable(), 0);
    report.result("read-only", page.make_read_only(), 0);
    report.result("no other use is left", page.pin(1), 0);
    report.result("unpinned", page.unpin(), 0);
    report.result("writable", page.make_writable(), 0);
}

fn unmap_rival() {
    let handle = HANDLE.load(Ordering::Relaxed);
    if handle != u32::MAX {
        let _ = unmap(A.load(Ordering::Relaxed), handle);
    }
}

/// XSA-218, XSA-224: one mapping that two vcpus undo at once.
fn xsa_218_unmaps(report: &mut Report, rival: &Rival, table: &TableV1) {
    let (granted, window) = (Page::new(), Page::new());
    table.set(FIRST, GTF_permit_access, granted.mfn());
    A.store(window.va(), Ordering::SeqCst);
    HANDLE.store(u32::MAX, Ordering::SeqCst);
    rival.turn_to(unmap_rival);
    let (mut maps, mut both) = (0u32, 0u32);
    for_a_while(|| {
        let (status, handle) = map(window.va(), FIRST, HOST);
        if status != GNTST_okay {
            return;
        }
        maps += 1;
        HANDLE.store(handle, Ordering::SeqCst);
        let undone = unmap(window.va(), handle) == GNTST_okay;
        HANDLE.store(u32::MAX, Ordering::SeqCst);
        both += u32::from(undone && probe::read(window.va()).is_ok());
    });
    rival.turn_to(rest);
    // The rival may have undone by an old handle what was mapped anew under another: that one has lost its entry, by the
    // guest's own doing, and is undone where its frame is mapped.
    for handle in 0..256 {
        if table.flags(FIRST) == GTF_permit_access {
            break;
        }
        let _ = hypercall::update_va_mapping(window.va(), granted.mfn() << 12 | KERNEL_RW, UVMF_INVLPG);
        let _ = unmap(window.va(), handle);
    }
    guest_rt::println!("{maps} mappings were undone by two");
    report.check("it could be mapped", maps > 0);
    report.expect("never mapped after it was undone", both, 0);
    report.expect("the grant is free", table.flags(FIRST), GTF_permit_access);
    is_free(report, granted);
}

fn map_rival() {
    let (status, handle) = map(A.load(Ordering::Relaxed), FIRST + 1, HOST | GNTMAP_readonly);
    if status == GNTST_okay {
        let _ = unmap(A.load(Ordering::Relaxed), handle);
    }
}

/// XSA-228: the list of free handles, when two vcpus take from it and give back.
fn xsa_228_maptrack(report: &mut Report, rival: &Rival, table: &TableV1) {
    let (granted, mine, its) = (Page::new(), Page::new(), Page::new());
    table.set(FIRST, GTF_permit_access, granted.mfn());
    table.set(FIRST + 1, GTF_permit_access | GTF_readonly, granted.mfn());
    A.store(its.va(), Ordering::SeqCst);
    rival.turn_to(map_rival);
    let (mut failed, mut done) = (0u32, 0u32);
    for_a_while(|| {
        let (status, handle) = map(mine.va(), FIRST, HOST);
        failed += u32::from(status != GNTST_okay || unmap(mine.va(), handle) != GNTST_okay);
        done += 1;
    });
    rival.turn_to(rest);
    report.check("mapped and unmapped", done > 0);
    report.expect("always", failed, 0);
    report.expect(
        "both grants are free",
        (table.flags(FIRST), table.flags(FIRST + 1)),
        (GTF_permit_access, GTF_permit_access | GTF_readonly),
    );
    is_free(report, granted);
}

fn reservation_rival() {
    let list = [0x77u64];
    let mut argument = XenMemoryReservation {
        extent_start: GuestPtr::new(list.as_ptr().addr() as u64),
        nr_extents: 1,
        domid: DOMID_SELF,
        ..Default::default()
    };
    hypercall::op(__HYPERVISOR_memory_op, XENMEM_populate_physmap, &mut argument);
    hypercall::op(__HYPERVISOR_memory_op, XENMEM_decrease_reservation, &mut argument);
}

/// XSA-73, XSA-114: the lock of the allocator and that of the grant table, in both orders.
fn xsa_73_lock_order(report: &mut Report, rival: &Rival) {
    rival.turn_to(reservation_rival);
    let mut count = 0u32;
    for_a_while(|| {
        let mut frames = [0u64; 4];
        let mut setup = GnttabSetupTable {
            dom: DOMID_SELF,
            nr_frames: 1 + count % 4,
            frame_list: GuestPtr::new(frames.as_mut_ptr().addr() as u64),
            ..Default::default()
        };
        op(GNTTABOP_setup_table, &mut setup);
        count += 1;
    });
    let rounds = rival.rounds();
    rival.turn_to(rest);
    report.check("both went on", count > 0 && rounds > 0);
}

fn flip_rival() {
    let (window, frame) = (A.load(Ordering::Relaxed), B.load(Ordering::Relaxed));
    let _ = hypercall::update_va_mapping(window, frame << 12 | KERNEL_RW, UVMF_INVLPG | UVMF_ALL);
    let _ = hypercall::update_va_mapping(window, 0, UVMF_INVLPG | UVMF_ALL);
}

/// XSA-241, XSA-286: a translation that a CPU still remembers when the frame has become a page table.
fn xsa_286_recursive_mappings(report: &mut Report, rival: &Rival) {
    let (page, window, data) = (Page::new(), Page::new(), Page::new());
    report.result("read-only", page.make_read_only(), 0);
    A.store(window.va(), Ordering::SeqCst);
    B.store(page.mfn(), Ordering::SeqCst);
    rival.turn_to(flip_rival);
    let (mut pinned, mut written) = (0u32, 0u32);
    for_a_while(|| {
        if page.pin(1) != 0 {
            return;
        }
        pinned += 1;
        // A store through what was a mapping a moment ago must not reach the table.
        let _ = probe::write(window.va() + 80, data.mfn() << 12 | KERNEL_RW);
        written += u32::from(page.read(10) != 0);
        page.unpin();
    });
    rival.turn_to(rest);
    guest_rt::println!("pinned {pinned} times");
    report.check("it could be pinned", pinned > 0);
    report.expect("the table was never written", written, 0);
    is_free(report, page);
    let _ = window.make_writable();
}

fn send_rival() {
    for port in 1..40 {
        events::send(port);
        events::unmask(port);
    }
}

/// XSA-338, XSA-343: a reset while another vcpu uses the ports.
fn xsa_343_event_reset(report: &mut Report, rival: &Rival) {
    events::mask_all(true);
    rival.turn_to(send_rival);
    let mut resets = 0u32;
    for_a_while(|| {
        for _ in 0..10 {
            let _ = events::bind_ipi(0);
            let mut argument = EvtchnAllocUnbound { dom: DOMID_SELF, remote_dom: DOMID_SELF, port: 0 };
            events::event_op(EVTCHNOP_alloc_unbound, &mut argument);
            let mut bind =
                EvtchnBindInterdomain { remote_dom: DOMID_SELF, remote_port: argument.port, ..Default::default() };
            events::event_op(EVTCHNOP_bind_interdomain, &mut bind);
        }
        resets += u32::from(events::event_op(EVTCHNOP_reset, &mut EvtchnReset { dom: DOMID_SELF }) == 0);
    });
    rival.turn_to(rest);
    report.check("it was reset", resets > 0);
    report.check("ports can be made", events::bind_ipi(0).is_ok_and(|port| events::close(port) == 0));
}

fn pin_rival() {
    let level = |page: u64, level: u32| {
        let _ = hypercall::mmuext(level - 1, page, 0);
        let _ = hypercall::mmuext(MMUEXT_UNPIN_TABLE, page, 0);
    };
    level(A.load(Ordering::Relaxed), 2);
    level(B.load(Ordering::Relaxed), 1);
}

/// XSA-299, XSA-310, XSA-401: references to a type while it is being given up: a level-2 table and its level-1 table,
/// pinned and unpinned by both.
fn xsa_401_type_references(report: &mut Report, rival: &Rival) {
    let (upper, lower, data) = (Page::new(), Page::new(), Page::new());
    (0..400).for_each(|n| lower.write(n, data.mfn() << 12 | memory::KERNEL_RO));
    (0..400).for_each(|n| upper.write(n, lower.mfn() << 12 | PRESENT | WRITE | USER));
    for page in [upper, lower] {
        report.result("read-only", page.make_read_only(), 0);
    }
    A.store(upper.mfn(), Ordering::SeqCst);
    B.store(lower.mfn(), Ordering::SeqCst);
    rival.turn_to(pin_rival);
    let (mut pinned, mut wrong) = (0u32, 0u32);
    for_a_while(|| {
        if upper.pin(2) == 0 {
            pinned += 1;
            upper.unpin();
        }
        // As long as the rival may hold either as a table, it may be refused; when it is not, it is no table.
        if lower.make_writable() == 0 {
            wrong += u32::from(lower.pin(1) == 0);
            lower.make_read_only();
        }
    });
    rival.turn_to(rest);
    let (_, _) = (upper.unpin(), lower.unpin());
    guest_rt::println!("pinned {pinned} times");
    report.expect("never a table while it was writable", wrong, 0);
    is_free(report, lower);
    (0..512).for_each(|n| lower.write(n, 0));
    report.result("writable", upper.make_writable(), 0);
    (0..512).for_each(|n| upper.write(n, 0));
    is_free(report, upper);
    is_free(report, data);
}

fn copy_rival() {
    let _ = copy(FIRST + 1, 0, A.load(Ordering::Relaxed), 0, 512);
}

/// XSA-411: copies that take the locks of two grants in both orders.
fn xsa_411_copies(report: &mut Report, rival: &Rival, table: &TableV1) {
    let (one, two) = (Page::new(), Page::new());
    table.set(FIRST, GTF_permit_access, one.mfn());
    table.set(FIRST + 1, GTF_permit_access, two.mfn());
    A.store(one.mfn(), Ordering::SeqCst);
    rival.turn_to(copy_rival);
    let (mut done, mut failed) = (0u32, 0u32);
    for_a_while(|| {
        failed += u32::from(copy(FIRST, 0, two.mfn(), 0, 512) != GNTST_okay);
        done += 1;
    });
    rival.turn_to(rest);
    report.check("copied", done > 0);
    report.expect("always", failed, 0);
    report.expect(
        "both are free",
        (table.flags(FIRST), table.flags(FIRST + 1)),
        (GTF_permit_access, GTF_permit_access),
    );
    is_free(report, one);
    is_free(report, two);
}

fn code_rival() {
    let at = A.load(Ordering::Relaxed);
    let _ = probe::write(at, B.load(Ordering::Relaxed));
    let _ = probe::write(at, STOS);
}

/// STOSQ; RET, with a prefix that means nothing. An instruction may be fetched in pieces while it changes: what takes its
/// place differs in one byte only, so that each is one or the other.
const STOS: u64 = 0xc3_ab_48_66;

/// XSA-202: the other vcpu changes an instruction between its fault and its emulation, to one that clears IF.
fn xsa_202_changing_instruction(report: &mut Report, rival: &Rival) {
    let assist = [VMASST_CMD_enable.into(), VMASST_TYPE_writable_pagetables.into(), 0, 0, 0];
    report.result("vm_assist(writable_pagetables)", hypercall::raw(__HYPERVISOR_vm_assist, assist), 0);
    let (table, code) = (Page::new(), Page::new());
    report.result("read-only", table.make_read_only(), 0);
    report.result("a table", table.pin(1), 0);
    code.write(0, STOS);
    report.result("code", hypercall::update_va_mapping(code.va(), code.mfn() << 12 | KERNEL_RW, UVMF_INVLPG), 0);
    A.store(code.va(), Ordering::SeqCst);
    // CLI, STI, nothing. POPF of what is on the stack would take the test with it.
    for other in [0xc3_fa_48_66, 0xc3_fb_48_66, 0xc3_90_48_66] {
        B.store(other, Ordering::SeqCst);
        rival.turn_to(code_rival);
        let end = time::now() + ROUND / 3;
        while time::now() < end {
            let _ = probe::call_with(code.va(), table.va() + 64, 0);
        }
        rival.turn_to(rest);
        code.write(0, STOS);
        // Were interrupts off, the timer of the hypervisor would not come, and this would never end.
        let now = time::now();
        report.result("time goes on", hypercall::poll(&[], now + 1_000_000), 0);
    }
    report.result("unpinned", table.unpin(), 0);
    report.result("writable", table.make_writable(), 0);
}
