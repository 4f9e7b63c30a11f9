//! Flushes of other CPUs' TLBs: a mailbox for each CPU, so that requests of several CPUs travel at the same time, and
//! those that meet in one box are done by one interrupt.

use crate::percpu::{self, remote};
use crate::platform;
use core::sync::atomic::{AtomicU64, Ordering};
use ferroxen_core::Platform;
use ferroxen_core::cpu::{CpuId, CpuMask, MAX_CPUS};
use ferroxen_core::platform::Flush;
use ferroxen_x86::{apic, instructions};

/// What a CPU is asked to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Forget translations.
    Tlb(Flush),
    /// Write its caches back.
    Caches,
}

/// What waits for a CPU.
#[derive(Clone, Copy)]
struct Waiting {
    tlb: Option<Flush>,
    caches: bool,
}

impl Waiting {
    const NOTHING: Waiting = Waiting { tlb: None, caches: false };

    fn is_empty(&self) -> bool {
        self.tlb.is_none() && !self.caches
    }

    fn add(&mut self, request: Request) {
        match (request, self.tlb) {
            (Request::Caches, _) => self.caches = true,
            (Request::Tlb(what), None) => self.tlb = Some(what),
            (Request::Tlb(what), Some(waiting)) if what == waiting => {}
            // Two pages, or user pages (which are global) and others: all.
            (Request::Tlb(_), Some(_)) => self.tlb = Some(Flush::All),
        }
    }
}

/// Held with interrupts off and for a few instructions only.
struct Mailbox {
    waiting: spin::Mutex<Waiting>,
    /// Number of the last request; changes with the lock held.
    asked: AtomicU64,
    /// Number of the last request that is done.
    done: AtomicU64,
}

static MAILBOXES: [Mailbox; MAX_CPUS] = [const {
    Mailbox { waiting: spin::Mutex::new(Waiting::NOTHING), asked: AtomicU64::new(0), done: AtomicU64::new(0) }
}; MAX_CPUS];

fn mailbox(cpu: CpuId) -> &'static Mailbox {
    &MAILBOXES[usize::from(cpu.0) % MAX_CPUS]
}

/// The interrupt by which another CPU asks. Interrupts are off.
pub fn interrupt() {
    let own = mailbox(percpu::this());
    let (taken, number) = {
        let mut waiting = own.waiting.lock();
        (core::mem::replace(&mut *waiting, Waiting::NOTHING), own.asked.load(Ordering::Relaxed))
    };
    if let Some(what) = taken.tlb {
        platform::flush_here(what);
    }
    if taken.caches {
        write_back_caches();
    }
    percpu::count(percpu::Counter::FlushIpi);
    // Interrupts of one CPU do not nest, so the numbers only grow.
    own.done.store(number, Ordering::Release);
}

/// Writes this CPU's caches back.
pub fn write_back_caches() {
    // SAFETY: writing back caches loses nothing.
    unsafe { core::arch::asm!("wbinvd", options(nostack, preserves_flags)) }
}

/// Asks the CPUs of the set but this one, and waits until all have done it. Interrupts are on, so that this CPU answers
/// others meanwhile.
pub fn ask(cpu: CpuId, cpus: &CpuMask, request: Request) {
    let mut others = cpus.and(&crate::machine::hv().platform.online());
    others.clear(cpu);
    if others.is_empty() {
        return;
    }
    debug_assert!(instructions::interrupts_on(), "a flush waits with interrupts on");
    for other in others.iter() {
        post(other, request);
    }
    for other in others.iter() {
        let mailbox = mailbox(other);
        // Ours, or a later one.
        let number = mailbox.asked.load(Ordering::Acquire);
        while mailbox.done.load(Ordering::Acquire) < number {
            core::hint::spin_loop();
        }
    }
}

fn post(to: CpuId, request: Request) {
    let mailbox = mailbox(to);
    let first = instructions::without_interrupts(|| {
        let mut waiting = mailbox.waiting.lock();
        let first = waiting.is_empty();
        waiting.add(request);
        mailbox.asked.store(mailbox.asked.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
        first
    });
    // What was in the box already has its interrupt on the way.
    if first {
        apic::send(remote(to).apic_id.load(Ordering::Relaxed), apic::VECTOR_FLUSH.into());
    }
}
