//! The simulated machine.
//!
//! Every call of the hypervisor to it is a moment at which other CPUs may do something, so at every one of them each
//! CPU's TLB fills itself with all that it may take in, guests write wherever a remembered translation lets them, and
//! the processor sets accessed and dirty bits.

use crate::tlb::Tlb;
use ferroxen_core::addr::{Maddr, Mfn, Vaddr};
use ferroxen_core::cpu::{CpuId, CpuMask};
use ferroxen_core::domain::DomId;
use ferroxen_core::paging::Pte;
use ferroxen_core::paging::entry::{ACCESSED, DIRTY, PRESENT, USER, WRITABLE};
use ferroxen_core::platform::{Fault, Flush, Level, Platform};
use ferroxen_sync::SharedPage;
use ferroxen_sync::fail::pause;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// CPUs of the machine.
pub const CPUS: usize = 4;
/// Where hypercalls' arguments are: a piece of guest memory beside the tables.
pub const ARGUMENTS: u64 = 0x10_0000;
/// The present entries of a table, by index.
type Entries = Rc<[(usize, Pte)]>;

/// How large it is.
pub const ARGUMENT_BYTES: usize = 0x2000;

/// The machine.
pub struct SimPlatform {
    pages: Vec<SharedPage>,
    m2p: Vec<AtomicU64>,
    arguments: Mutex<Vec<u8>>,
    tlbs: Mutex<[Tlb; CPUS]>,
    stamp: AtomicU32,
    flushed: [AtomicU32; CPUS],
    random: AtomicU64,
    /// Guests write through what their TLBs remember, at any moment.
    pub hostile: AtomicBool,
    /// Safe points that pass before preemption is pending; `u64::MAX`: never.
    pub polls_left: AtomicU64,
    /// Copies to and from guests that succeed before one fails; `u64::MAX`: all do.
    pub copies_left: AtomicU64,
    /// Number of TLB flushes that were asked for.
    pub flushes: AtomicU64,
}

impl SimPlatform {
    /// A machine with so many frames.
    pub fn new(frames: usize, seed: u64) -> Self {
        SimPlatform {
            pages: (0..frames).map(|_| SharedPage::zeroed()).collect(),
            m2p: (0..frames).map(|_| AtomicU64::new(u64::MAX)).collect(),
            arguments: Mutex::new(vec![0; ARGUMENT_BYTES]),
            tlbs: Mutex::default(),
            stamp: AtomicU32::new(1),
            flushed: [const { AtomicU32::new(0) }; CPUS],
            random: AtomicU64::new(seed | 1),
            hostile: AtomicBool::new(false),
            polls_left: AtomicU64::new(u64::MAX),
            copies_left: AtomicU64::new(u64::MAX),
            flushes: AtomicU64::new(0),
        }
    }

    /// Number of frames.
    pub fn frames(&self) -> usize {
        self.pages.len()
    }

    /// Puts a hypercall's argument where the guest would have it.
    pub fn poke<T: zerocopy::IntoBytes + zerocopy::Immutable>(&self, at: u64, value: &T) {
        let mut memory = self.arguments.lock().unwrap_or_else(|e| e.into_inner());
        let bytes = value.as_bytes();
        let start = (at - ARGUMENTS) as usize;
        memory[start..start + bytes.len()].copy_from_slice(bytes);
    }

    /// Reads the guest's arguments back.
    pub fn peek<T: zerocopy::FromBytes>(&self, at: u64) -> T {
        let memory = self.arguments.lock().unwrap_or_else(|e| e.into_inner());
        let start = (at - ARGUMENTS) as usize;
        T::read_from_bytes(&memory[start..start + size_of::<T>()]).unwrap_or_else(|_| panic!("{at:#x} is no argument"))
    }

    /// A root is loaded without telling anybody: a context switch, or a switch between a guest's kernel and user mode.
    pub fn switch(&self, cpu: CpuId, root: Option<(DomId, Mfn)>, what: Flush) {
        self.moment();
        let mut tlbs = self.tlbs.lock().unwrap_or_else(|e| e.into_inner());
        let tlb = &mut tlbs[usize::from(cpu.0)];
        tlb.root = root;
        drop(tlbs);
        self.drop_translations(cpu, what);
    }

    /// Drops translations on one CPU.
    pub fn drop_translations(&self, cpu: CpuId, what: Flush) {
        if what == Flush::All {
            let now = self.stamp.fetch_add(1, Ordering::SeqCst) + 1;
            self.flushed[usize::from(cpu.0)].store(now, Ordering::SeqCst);
        }
        let _ours = pause();
        self.tlbs.lock().unwrap_or_else(|e| e.into_inner())[usize::from(cpu.0)].flush(what);
        self.moment();
    }

    /// What the CPUs remember.
    pub fn with_tlbs<R>(&self, look: impl FnOnce(&[Tlb; CPUS]) -> R) -> R {
        self.moment();
        look(&self.tlbs.lock().unwrap_or_else(|e| e.into_inner()))
    }

    fn number(&self, below: u64) -> u64 {
        // xorshift: the same story from the same seed.
        let mut x = self.random.load(Ordering::Relaxed);
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.store(x, Ordering::Relaxed);
        x % below.max(1)
    }

    /// Something can happen on every CPU now.
    pub fn moment(&self) {
        let _ours = pause();
        let mut tlbs = self.tlbs.lock().unwrap_or_else(|e| e.into_inner());
        let mut seen: Vec<Option<Entries>> = vec![None; self.pages.len()];
        for tlb in tlbs.iter_mut() {
            tlb.fill(|mfn| match (seen.get_mut(mfn.0 as usize), self.pages.get(mfn.0 as usize)) {
                (Some(known), Some(page)) => known.get_or_insert_with(|| present(page)).clone(),
                _ => Rc::new([]),
            });
        }
        if !self.hostile.load(Ordering::Relaxed) {
            return;
        }
        let cpu = self.number(CPUS as u64) as usize;
        let writable: Vec<_> = tlbs[cpu].leaves.iter().filter(|leaf| leaf.writable).collect();
        let chosen = self.number(writable.len() as u64) as usize;
        if let Some(page) = writable.get(chosen).and_then(|leaf| self.pages.get(leaf.mfn.0 as usize)) {
            let flags = [PRESENT | USER, PRESENT | USER | WRITABLE, 0][self.number(3) as usize];
            let entry = Pte::new(Mfn(self.number(self.pages.len() as u64)), flags);
            let index = [0, 1, 15, 256, 511][self.number(5) as usize];
            page.store_u64(index * 8, entry.0);
        }
        // The processor uses a table: it may set these bits in any present entry that it can reach.
        let steps: Vec<_> = tlbs[cpu].steps.iter().collect();
        let chosen = self.number(steps.len() as u64) as usize;
        if let Some(step) = steps.get(chosen)
            && let Some(page) = self.pages.get(step.mfn.0 as usize)
        {
            let index = [0, 1, 2, 15, 16][self.number(5) as usize];
            let entry = Pte(page.load_u64(index * 8));
            if entry.present() {
                let dirty = if step.level == 1 && entry.writable() { DIRTY } else { 0 };
                page.or_u64(index * 8, ACCESSED | dirty);
            }
        }
        drop(tlbs);
    }

    fn copy(&self, at: Vaddr, len: usize, mut each: impl FnMut(usize, &mut u8)) -> Result<(), Fault> {
        if count_down(&self.copies_left) {
            return Err(Fault { at });
        }
        let mut memory = self.arguments.lock().unwrap_or_else(|e| e.into_inner());
        for i in 0..len {
            let address = at.0.wrapping_add(i as u64);
            let byte = address.checked_sub(ARGUMENTS).and_then(|at| memory.get_mut(at as usize));
            each(i, byte.ok_or(Fault { at: Vaddr(address) })?);
        }
        Ok(())
    }
}

/// The present entries of a page.
fn present(page: &SharedPage) -> Rc<[(usize, Pte)]> {
    let mut found = Vec::new();
    for (at, group) in page.words().chunks_exact(8).enumerate() {
        if group.iter().fold(0, |all, word| all | word.load(Ordering::Relaxed)) & PRESENT == 0 {
            continue;
        }
        for (offset, word) in group.iter().enumerate() {
            let entry = Pte(word.load(Ordering::Relaxed));
            if entry.present() {
                found.push((at * 8 + offset, entry));
            }
        }
    }
    found.into()
}

/// Counts down unless it is "never"; `true` once it is at 0.
fn count_down(counter: &AtomicU64) -> bool {
    match counter.load(Ordering::SeqCst) {
        u64::MAX => false,
        0 => true,
        left => {
            counter.store(left - 1, Ordering::SeqCst);
            false
        }
    }
}

impl Platform for SimPlatform {
    fn page(&self, mfn: Mfn) -> &SharedPage {
        self.pages.get(mfn.0 as usize).unwrap_or_else(|| panic!("{mfn:?} is no memory"))
    }

    fn copy_from_guest(&self, _cpu: CpuId, from: Vaddr, to: &mut [u8]) -> Result<(), Fault> {
        self.moment();
        self.copy(from, to.len(), |i, byte| to[i] = *byte)
    }

    fn copy_to_guest(&self, _cpu: CpuId, to: Vaddr, from: &[u8]) -> Result<(), Fault> {
        self.moment();
        self.copy(to, from.len(), |i, byte| *byte = from[i])
    }

    fn install_root_slots(&self, root: &SharedPage) {
        (256..272).for_each(|slot| root.store_u64(slot * 8, hypervisor_slot(slot)));
    }

    fn m2p(&self, mfn: Mfn) -> u64 {
        self.m2p[mfn.0 as usize].load(Ordering::SeqCst)
    }

    fn set_m2p(&self, mfn: Mfn, pfn: u64) {
        self.m2p[mfn.0 as usize].store(pfn, Ordering::SeqCst);
    }

    fn flush(&self, _cpu: CpuId, cpus: &CpuMask, what: Flush) {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        self.moment();
        cpus.iter().for_each(|cpu| self.drop_translations(cpu, what));
    }

    fn tlb_stamp(&self) -> u32 {
        let stamp = self.stamp.load(Ordering::SeqCst);
        self.moment();
        stamp
    }

    fn flushed_since(&self, cpu: CpuId, stamp: u32) -> bool {
        self.flushed[usize::from(cpu.0)].load(Ordering::SeqCst) > stamp
    }

    fn online(&self) -> CpuMask {
        let mut mask = CpuMask::EMPTY;
        (0..CPUS as u16).for_each(|cpu| mask.set(CpuId(cpu)));
        mask
    }

    fn load_root(&self, cpu: CpuId, root: Maddr) {
        let dom = self.tlbs.lock().unwrap_or_else(|e| e.into_inner())[usize::from(cpu.0)].root;
        let root = dom.map(|(dom, _)| (dom, root.mfn()));
        assert!(root.is_some(), "a root is loaded on an idle CPU");
        self.switch(cpu, root, Flush::All);
    }

    fn flush_caches(&self, _cpu: CpuId, _cpus: &CpuMask) {}

    fn now(&self) -> u64 {
        0
    }

    fn preempt_pending(&self, _cpu: CpuId) -> bool {
        self.moment();
        count_down(&self.polls_left)
    }

    fn kick(&self, _cpu: CpuId) {}

    fn check_events(&self, _cpu: CpuId) {}

    fn console_write(&self, _bytes: &[u8]) {}

    fn log(&self, level: Level, text: core::fmt::Arguments<'_>) {
        assert!(level != Level::Error, "{text}");
    }
}

/// What the hypervisor's slots of a root hold here.
pub fn hypervisor_slot(slot: usize) -> u64 {
    0xfe00_0000_0000_0000 | slot as u64
}
