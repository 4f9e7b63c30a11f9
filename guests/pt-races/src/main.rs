//! Two vcpus race for the type of a frame: one pins a page as a page table while the other maps it writable. Whoever
//! wins, it is never both. The classic of direct paging; XSA-286, -299, -303, -310, -317 and others are about such.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU64, Ordering};
use guest_rt::abi::xen::{MMUEXT_CLEAR_PAGE, UVMF_ALL, UVMF_INVLPG};
use guest_rt::memory::{KERNEL_RO, KERNEL_RW, Page};
use guest_rt::{Report, hypercall, memory, println, probe, smp, time};

guest_rt::guest!("pt-races", run);

/// The other vcpu's orders: which window, which frame; 0 to stop.
static WINDOW: AtomicU64 = AtomicU64::new(0);
static TARGET: AtomicU64 = AtomicU64::new(0);
static ROUNDS: AtomicU64 = AtomicU64::new(0);
static WON: AtomicU64 = AtomicU64::new(0);
static STOP: AtomicU64 = AtomicU64::new(0);

/// Maps the frame writable and unmaps it, as fast as it can.
extern "C" fn mapper(_: u64) -> ! {
    while STOP.load(Ordering::Relaxed) == 0 {
        let (window, frame) = (WINDOW.load(Ordering::Relaxed), TARGET.load(Ordering::Relaxed));
        if frame == 0 {
            core::hint::spin_loop();
            continue;
        }
        if hypercall::update_va_mapping(window, frame << 12 | KERNEL_RW, UVMF_INVLPG) == 0 {
            WON.fetch_add(1, Ordering::Relaxed);
        }
        let _ = hypercall::update_va_mapping(window, 0, UVMF_INVLPG | UVMF_ALL);
        ROUNDS.fetch_add(1, Ordering::SeqCst);
    }
    loop {
        smp::vcpu_op(guest_rt::abi::vcpu::VCPUOP_down, 1, 0);
    }
}

fn run(report: &mut Report) {
    if smp::is_up(1) < 0 {
        report.skip("a second vcpu");
        return;
    }
    report.expect("starting vcpu 1", smp::start(1, mapper, 0), Ok(()));
    pin_against_map(report);
    validate_against_change(report);
    STOP.store(1, Ordering::SeqCst);
    report.check("the other vcpu stops", until(|| smp::is_up(1) == 0));
}

fn until(what: impl Fn() -> bool) -> bool {
    let end = time::now() + 5_000_000_000;
    while !what() {
        if time::now() > end {
            return false;
        }
        hypercall::sched_yield();
    }
    true
}

fn pin_against_map(report: &mut Report) {
    let (page, window) = (Page::new(), Page::new());
    report.result("the page read-only", page.make_read_only(), 0);
    WINDOW.store(window.va(), Ordering::SeqCst);
    TARGET.store(page.mfn(), Ordering::SeqCst);
    let (mut pinned, mut refused, mut both) = (0u32, 0u32, 0u32);
    let end = time::now() + 1_500_000_000;
    while time::now() < end {
        for level in 1..=4 {
            if page.pin(level) != 0 {
                refused += 1;
                continue;
            }
            pinned += 1;
            // While it is pinned, no entry maps it writable.
            let entry = memory::entry(window.va(), 1).map_or(0, |entry| entry.now());
            both += u32::from(entry & 3 == 3 && entry >> 12 & 0xff_ffff_ffff == page.mfn());
            page.unpin();
        }
    }
    TARGET.store(0, Ordering::SeqCst);
    println!(
        "pinned {pinned}, refused {refused}, mapped {} of {}",
        WON.load(Ordering::SeqCst),
        ROUNDS.load(Ordering::SeqCst)
    );
    report.expect("never a table and writable at once", both, 0);
    // Who wins how often is the machine's business.
    report.check("somebody won sometimes", pinned > 0 || WON.load(Ordering::SeqCst) > 0);
    report.check(
        "the other vcpu is done with it",
        until(|| {
            let before = ROUNDS.load(Ordering::SeqCst);
            time::now() > 0 && ROUNDS.load(Ordering::SeqCst) == before
        }),
    );
    report.result("the page is free again", page.make_writable(), 0);
    report.check("and writable", probe::write(page.va(), 1).is_ok());
}

/// One vcpu promotes a table whose entries the other, through no mapping of its own, cannot have changed: a table that
/// names a page which is mapped writable and unmapped all the time.
fn validate_against_change(report: &mut Report) {
    let (table, child, window) = (Page::new(), Page::new(), Page::new());
    report.result("the child read-only", child.make_read_only(), 0);
    table.write(3, child.mfn() << 12 | memory::PRESENT | memory::WRITE | memory::USER);
    report.result("the table read-only", table.make_read_only(), 0);
    WINDOW.store(window.va(), Ordering::SeqCst);
    TARGET.store(child.mfn(), Ordering::SeqCst);
    let (mut pinned, mut both) = (0u32, 0u32);
    let end = time::now() + 1_000_000_000;
    while time::now() < end {
        if table.pin(2) == 0 {
            pinned += 1;
            let entry = memory::entry(window.va(), 1).map_or(0, |entry| entry.now());
            both += u32::from(entry & 3 == 3 && entry >> 12 & 0xff_ffff_ffff == child.mfn());
            report_clear(child, &mut both);
            table.unpin();
        }
    }
    TARGET.store(0, Ordering::SeqCst);
    println!("the parent was pinned {pinned} times");
    report.check("the parent could be pinned sometimes", pinned > 0);
    report.expect("its child was never writable then", both, 0);
    hypercall::sched_yield();
    report.check("the child is free again", until(|| child.make_writable() == 0));
    let _ = KERNEL_RO;
}

/// A page that is a table must not be cleared by MMUEXT_CLEAR_PAGE.
fn report_clear(child: Page, both: &mut u32) {
    *both += u32::from(hypercall::mmuext(MMUEXT_CLEAR_PAGE, child.mfn(), 0) == 0);
}
