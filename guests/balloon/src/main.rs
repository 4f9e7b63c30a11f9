//! Gives memory back and takes it again. Started by tools, it has what `memory/target` in xenstore says, at any time, until it
//! is asked to shut down (a Debian kernel keeps some 75 MiB for itself: this guest shows that 128 become 64 and 128 again).
//! As the only domain it goes half way down and up once, and asks for more than its largest memory.
#![cfg_attr(target_os = "none", no_std, no_main)]

use guest_rt::abi::GuestPtr;
use guest_rt::abi::memory::*;
use guest_rt::abi::xen::{__HYPERVISOR_memory_op, DOMID_SELF};
use guest_rt::memory::{self, PRESENT, VIRT_BASE};
use guest_rt::xenstore::Store;
use guest_rt::{Report, hypercall, println, start};

guest_rt::guest!("balloon", run);

/// Pages in one hypercall.
const BATCH: usize = 512;

fn run(report: &mut Report) {
    let mut balloon = Balloon::new();
    println!("balloon: {} of {} pages can be given back", balloon.all - balloon.least, balloon.all);
    match Store::open() {
        Some(store) => follow(report, &mut balloon, store),
        None => alone(report, &mut balloon),
    }
}

fn alone(report: &mut Report, balloon: &mut Balloon) {
    let before = reservation();
    let half = balloon.all.midpoint(balloon.least);
    report.expect("pages after giving half of them back", balloon.change(half), half);
    report.expect("the hypervisor counts as many", before - reservation(), (balloon.all - half) as i64);
    report.expect("pages after taking them again", balloon.change(balloon.all), balloon.all);
    report.expect("the hypervisor counts as before", reservation(), before);
    let right = (balloon.least..balloon.all).all(|pfn| memory::m2p(memory::p2m(pfn)) == pfn);
    report.check("the hypervisor's table says where they are", right);
    report.expect("nothing is populated twice, or beyond the largest memory", populate(&mut [0]), 0);
}

fn follow(report: &mut Report, balloon: &mut Balloon, mut store: Store) {
    report.check("its target can be watched", store.watch("memory/target"));
    report.check("its control node can be watched", store.watch("control/shutdown"));
    loop {
        let mut text = [0; 32];
        if store.read("control/shutdown", &mut text).is_some_and(|reason| !reason.is_empty()) {
            report.check("the request is acknowledged", store.write("control/shutdown", b""));
            return;
        }
        let target =
            store.read("memory/target", &mut text).and_then(|kib| core::str::from_utf8(kib).ok()?.parse().ok());
        if let Some(kib) = target.filter(|kib: &u64| kib / 4 != balloon.now) {
            println!("balloon: {} KiB", balloon.change(kib / 4) * 4);
        }
        store.wait();
    }
}

/// Frames `least..now` of `least..all` have memory; those below are the guest itself.
struct Balloon {
    least: u64,
    now: u64,
    all: u64,
}

impl Balloon {
    fn new() -> Balloon {
        let all = start::info().nr_pages;
        let is_mapped = |pfn: &u64| {
            memory::entry(VIRT_BASE + pfn * memory::PAGE_SIZE, 1).is_some_and(|entry| entry.value & PRESENT != 0)
        };
        let least = (0..all).rev().find(is_mapped).map_or(0, |last| last + 1);
        Balloon { least, now: all, all }
    }

    /// Goes to `pages`, or as near as it can; gives how many there are.
    fn change(&mut self, pages: u64) -> u64 {
        let pages = pages.clamp(self.least, self.all);
        let mut frames = [0; BATCH];
        while self.now != pages {
            let count = pages.abs_diff(self.now).min(BATCH as u64);
            let first = if pages < self.now { self.now - count } else { self.now };
            let batch = &mut frames[..count as usize];
            let done = if pages < self.now {
                batch.iter_mut().zip(first..).for_each(|(frame, pfn)| *frame = memory::p2m(pfn));
                memory_op(XENMEM_decrease_reservation, batch)
            } else {
                batch.iter_mut().zip(first..).for_each(|(frame, pfn)| *frame = pfn);
                populate(batch)
            };
            if done != count as i64 {
                println!("balloon: of {count} pages at {first}: {done}");
                return self.now;
            }
            for (frame, pfn) in batch.iter().zip(first..) {
                memory::set_p2m(pfn, if pages < self.now { u64::MAX } else { *frame });
            }
            self.now = if pages < self.now { first } else { first + count };
        }
        self.now
    }
}

/// Asks for memory at these frame numbers, which become those of machine frames; gives how many have some.
fn populate(frames: &mut [u64]) -> i64 {
    memory_op(XENMEM_populate_physmap, frames)
}

fn memory_op(command: u32, frames: &mut [u64]) -> i64 {
    let mut argument = XenMemoryReservation {
        extent_start: GuestPtr::new(frames.as_mut_ptr().addr() as u64),
        nr_extents: frames.len() as u64,
        domid: DOMID_SELF,
        ..Default::default()
    };
    hypercall::op(__HYPERVISOR_memory_op, command, &mut argument)
}

fn reservation() -> i64 {
    hypercall::op(__HYPERVISOR_memory_op, XENMEM_current_reservation, &mut { DOMID_SELF })
}
