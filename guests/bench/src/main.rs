//! What hypercalls cost without a kernel around them: null hypercall, page-table updates and pins, grants, events,
//! timers. One line each: `bench NAME TICKS ROUNDS`, where a tick of QEMU's time-stamp counter is an instruction
//! under `-icount`. `./x bench` runs this on Debian's Xen and on Ferroxen; the marks are for lab/fxcount.
#![cfg_attr(target_os = "none", no_std, no_main)]
// A counter and two nops.
#![allow(unsafe_code)]

use core::arch::asm;
use core::ffi::CStr;

use guest_rt::abi::GuestPtr;
use guest_rt::abi::grant_table::*;
use guest_rt::abi::version::XENVER_version;
use guest_rt::abi::xen::*;
use guest_rt::memory::{self, KERNEL_RO, KERNEL_RW, Page};
use guest_rt::{Report, events, hypercall, println, time};

guest_rt::guest!("bench", run);

/// Batches of which the cheapest counts.
const BATCHES: u32 = 5;
/// A grant reference that is not reserved.
const REFERENCE: u32 = 8;

fn run(report: &mut Report) {
    println!("bench boot-to-guest {} 1", ticks());
    null_hypercall(report);
    mappings(report);
    pins(report);
    event(report);
    timer(report);
    grants(report);
}

fn ticks() -> u64 {
    // SAFETY: reads a counter.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Does `work` in batches of `rounds`, says what one cost; `work` says whether it succeeded.
fn measure(report: &mut Report, name: &'static CStr, rounds: u32, mut work: impl FnMut(u32) -> bool) {
    let mut good = work(0);
    let mut best = u64::MAX;
    for _ in 0..BATCHES {
        let start = ticks();
        mark_begin(name, rounds);
        for round in 0..rounds {
            good &= work(round);
        }
        mark_end();
        best = best.min(ticks().wrapping_sub(start));
    }
    let name = name.to_str().unwrap_or("?");
    println!("bench {name} {} {rounds}", best / u64::from(rounds));
    report.check(name, good);
}

fn mark_begin(name: &CStr, rounds: u32) {
    // SAFETY: a nop with an operand (see lab/fxcount/src/decode.rs): no register or memory changes.
    unsafe {
        asm!(
            ".byte 0x0f, 0x1f, 0x84, 0x00, 0x01, 0x42, 0x58, 0x46",
            in("rdi") name.as_ptr(), in("rsi") u64::from(rounds),
            options(nostack, preserves_flags)
        );
    }
}

fn mark_end() {
    // SAFETY: a nop with an operand: no register or memory changes.
    unsafe { asm!(".byte 0x0f, 0x1f, 0x84, 0x00, 0x01, 0x45, 0x58, 0x46", options(nostack, preserves_flags)) };
}

fn null_hypercall(report: &mut Report) {
    measure(report, c"null-hypercall", 1000, |_| {
        hypercall::raw(__HYPERVISOR_xen_version, [XENVER_version.into(), 0, 0, 0, 0]) > 0
    });
    measure(report, c"sched-yield", 1000, |_| hypercall::sched_yield() == 0);
}

/// One mapping changed in three ways, and 32 by one call.
fn mappings(report: &mut Report) {
    let (page, other) = (Page::new(), Page::new());
    let own = page.mfn() << 12 | KERNEL_RW;
    let entries = [own, other.mfn() << 12 | KERNEL_RW];
    let entry = |round: u32| entries[round as usize % 2];
    measure(report, c"update-va-mapping", 500, |round| {
        hypercall::update_va_mapping(page.va(), entry(round), UVMF_INVLPG) == 0
    });
    hypercall::update_va_mapping(page.va(), own, UVMF_INVLPG);
    let Some(place) = memory::entry(page.va(), 1) else {
        report.check("the page's entry", false);
        return;
    };
    measure(report, c"mmu-update-1", 500, |round| place.update(entry(round)) == 0);
    place.update(own);

    let table = Page::new();
    report.result("the table read-only", table.make_read_only(), 0);
    report.result("the table pinned", table.pin(1), 0);
    measure(report, c"mmu-update-32", 100, |round| {
        let mut requests: [MmuUpdate; 32] = core::array::from_fn(|number| MmuUpdate {
            ptr: (table.mfn() << 12) + number as u64 * 8,
            val: entry(round),
        });
        hypercall::mmu_update(&mut requests) == (0, 32)
    });
    report.result("the table unpinned", table.unpin(), 0);
}

/// A level 1 table pinned and unpinned: empty, and with each of its entries a mapping.
fn pins(report: &mut Report) {
    let (empty, full, target) = (Page::new(), Page::new(), Page::new());
    for index in 0..512 {
        full.write(index, target.mfn() << 12 | KERNEL_RO);
    }
    for (table, name) in [(empty, c"pin-unpin-empty"), (full, c"pin-unpin-full")] {
        report.result("a table read-only", table.make_read_only(), 0);
        measure(report, name, 100, |_| table.pin(1) == 0 && table.unpin() == 0);
    }
}

/// An event to oneself, until its handler ran.
fn event(report: &mut Report) {
    let Ok(port) = events::bind_ipi(0) else {
        report.check("bind_ipi", false);
        return;
    };
    events::mask_all(false);
    let mut count = events::count(port);
    measure(report, c"event-channel", 500, |_| {
        count += 1;
        events::send(port) == 0 && events::count(port) == count
    });
    report.result("closing the port", events::close(port), 0);
}

/// How late a vcpu that waits for a millisecond wakes up.
fn timer(report: &mut Report) {
    const ROUNDS: u64 = 20;
    let (mut late, mut good) = (0, true);
    for _ in 0..ROUNDS {
        let deadline = time::now() + 1_000_000;
        good &= hypercall::poll(&[], deadline) == 0;
        late += time::now().saturating_sub(deadline);
    }
    println!("bench timer-lateness-ns {} {ROUNDS}", late / ROUNDS);
    report.check("timer-lateness-ns", good);
}

fn grants(report: &mut Report) {
    let op =
        |command: u32, argument: u64| hypercall::raw(__HYPERVISOR_grant_table_op, [command.into(), argument, 1, 0, 0]);
    let mut frames = [0u64; 1];
    let mut setup = GnttabSetupTable {
        dom: DOMID_SELF,
        nr_frames: 1,
        frame_list: GuestPtr::new(frames.as_mut_ptr().addr() as u64),
        ..Default::default()
    };
    report.result("setup_table", op(GNTTABOP_setup_table, (&raw mut setup).addr() as u64), 0);
    let (table, granted, window) = (Page::new(), Page::new(), Page::new());
    let mapped = hypercall::update_va_mapping(table.va(), frames[0] << 12 | KERNEL_RW, UVMF_INVLPG);
    if mapped != 0 {
        report.result("mapping the grant table", mapped, 0);
        return;
    }
    // dom0 grants to itself.
    table.write(REFERENCE as usize, u64::from(GTF_permit_access) | granted.mfn() << 32);
    measure(report, c"grant-map-unmap", 200, |_| {
        let mut map = GnttabMapGrantRef {
            host_addr: window.va(),
            flags: GNTMAP_host_map,
            r#ref: REFERENCE,
            dom: 0,
            ..Default::default()
        };
        let result = op(GNTTABOP_map_grant_ref, (&raw mut map).addr() as u64);
        let mut unmap = GnttabUnmapGrantRef { host_addr: window.va(), handle: map.handle, ..Default::default() };
        result == 0
            && map.status == GNTST_okay
            && op(GNTTABOP_unmap_grant_ref, (&raw mut unmap).addr() as u64) == 0
            && unmap.status == GNTST_okay
    });
    let target = Page::new();
    for (length, name) in [(64, c"grant-copy-64"), (4096, c"grant-copy-4096")] {
        measure(report, name, 100, |_| {
            let side = |u: u64, domid: u16| GnttabCopyPtr { u, domid, ..Default::default() };
            let (source, dest) = (side(REFERENCE.into(), DOMID_SELF), side(target.mfn(), DOMID_SELF));
            let mut copy = GnttabCopy { source, dest, len: length, flags: GNTCOPY_source_gref, ..Default::default() };
            op(GNTTABOP_copy, (&raw mut copy).addr() as u64) == 0 && copy.status == GNTST_okay
        });
    }
}
