//! The simulated machine.
//!
//! Every call of the hypervisor to it is a moment at which other CPUs may do something, so at every one of them each
//! CPU's TLB fills itself with all that it may take in, guests write wherever a remembered translation lets them, and
//! the processor sets accessed and dirty bits.
//!
//! Only frames that were asked for since the last moment can have changed, so only those are looked at; a reference to one
//! lives no longer than the hypercall that asked for it ([`SimPlatform::call_is_over`]).

use crate::tlb::Tlb;
use ferroxen_core::addr::{Maddr, Mfn, Vaddr};
use ferroxen_core::cpu::{CpuId, CpuMask};
use ferroxen_core::domain::DomId;
use ferroxen_core::paging::Pte;
use ferroxen_core::paging::entry::{ACCESSED, DIRTY, PRESENT, USER, WRITABLE};
use ferroxen_core::platform::{Fault, Flush, Level, Platform};
use ferroxen_sync::SharedPage;
use ferroxen_sync::fail::pause;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

/// CPUs of the machine.
pub const CPUS: usize = 4;
/// Frames that it can have at most.
const MOST_FRAMES: usize = 128;
/// Where hypercalls' arguments are: a piece of guest memory beside the tables.
pub const ARGUMENTS: u64 = 0x10_0000;
/// How large it is.
pub const ARGUMENT_BYTES: usize = 0x2000;

/// What the CPUs remember, and what they can see.
#[derive(Default)]
struct Caches {
    tlbs: [Tlb; CPUS],
    /// The present entries of each frame, with their places.
    entries: Vec<Vec<(usize, Pte)>>,
    scratch: Vec<(usize, Pte)>,
    /// Frames whose entries changed since the CPUs looked last, a bit each.
    changed: [u64; MOST_FRAMES / 64],
}

/// Memory of machines that are over, for the next: to come by some is half of a short story's time.
static MEMORY: Mutex<Vec<Vec<SharedPage>>> = Mutex::new(Vec::new());

/// The machine.
pub struct SimPlatform {
    pages: Vec<SharedPage>,
    /// Frames that this hypercall asked for, a bit each.
    touched: [AtomicU64; MOST_FRAMES / 64],
    /// Those that earlier ones asked for, not yet looked at.
    stale: [AtomicU64; MOST_FRAMES / 64],
    m2p: Vec<AtomicU64>,
    arguments: Mutex<Vec<u8>>,
    caches: Mutex<Caches>,
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
    ///
    /// # Panics
    /// More than 128 frames.
    pub fn new(frames: usize, seed: u64) -> Self {
        assert!(frames <= MOST_FRAMES);
        let mut pages = MEMORY.lock().unwrap_or_else(|e| e.into_inner()).pop().unwrap_or_default();
        pages.truncate(frames);
        pages.iter().for_each(SharedPage::zero);
        pages.resize_with(frames, SharedPage::zeroed);
        SimPlatform {
            pages,
            touched: Default::default(),
            stale: Default::default(),
            m2p: (0..frames).map(|_| AtomicU64::new(u64::MAX)).collect(),
            arguments: Mutex::new(vec![0; ARGUMENT_BYTES]),
            caches: Mutex::new(Caches { entries: vec![Vec::new(); frames], ..Caches::default() }),
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

    /// Nothing is left of all arguments.
    pub fn forget_arguments(&self) {
        self.arguments.lock().unwrap_or_else(|e| e.into_inner()).fill(0);
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
        self.caches().tlbs[usize::from(cpu.0)].load(root);
        self.drop_translations(cpu, what);
    }

    /// Drops translations on one CPU.
    pub fn drop_translations(&self, cpu: CpuId, what: Flush) {
        if what == Flush::All {
            let now = self.stamp.fetch_add(1, Ordering::SeqCst) + 1;
            self.flushed[usize::from(cpu.0)].store(now, Ordering::SeqCst);
        }
        let _ours = pause();
        self.caches().tlbs[usize::from(cpu.0)].flush(what);
        self.moment();
    }

    /// What the CPUs remember.
    pub fn with_tlbs<R>(&self, look: impl FnOnce(&[Tlb; CPUS]) -> R) -> R {
        self.moment();
        look(&self.caches().tlbs)
    }

    /// The present entries of each frame, with their places, as they are now.
    pub fn with_entries<R>(&self, look: impl FnOnce(&[Vec<(usize, Pte)>]) -> R) -> R {
        let mut caches = self.caches();
        self.look_again(&mut caches);
        look(&caches.entries)
    }

    /// A hypercall ended: it refers to no frame any more.
    pub fn call_is_over(&self) {
        for (touched, stale) in self.touched.iter().zip(&self.stale) {
            stale.store(stale.load(Ordering::Relaxed) | touched.load(Ordering::Relaxed), Ordering::Relaxed);
            touched.store(0, Ordering::Relaxed);
        }
    }

    fn caches(&self) -> MutexGuard<'_, Caches> {
        self.caches.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Reads a frame's words, and changes none.
    pub fn words(&self, mfn: Mfn) -> impl Iterator<Item = u64> {
        let page = usize::try_from(mfn.0).ok().and_then(|at| self.pages.get(at));
        page.into_iter().flat_map(|page| page.words()).map(|word| word.load(Ordering::Relaxed))
    }

    /// Reads one of a frame's words.
    pub fn word(&self, mfn: Mfn, index: usize) -> u64 {
        self.pages[mfn.0 as usize].load_u64(index * 8)
    }

    /// The frame's contents, which may change from now on.
    fn touch(&self, mfn: Mfn) -> Option<&SharedPage> {
        let at = usize::try_from(mfn.0).ok()?;
        let page = self.pages.get(at)?;
        let word = &self.touched[at / 64];
        word.store(word.load(Ordering::Relaxed) | 1 << (at % 64), Ordering::Relaxed);
        Some(page)
    }

    /// Sees the frames that may have changed.
    fn look_again(&self, caches: &mut Caches) {
        for n in 0..self.touched.len() {
            let mut left = self.touched[n].load(Ordering::Relaxed) | self.stale[n].swap(0, Ordering::Relaxed);
            while left != 0 {
                let bit = left.trailing_zeros() as usize;
                left &= left - 1;
                caches.scratch.clear();
                present(&self.pages[n * 64 + bit], &mut caches.scratch);
                let known = &mut caches.entries[n * 64 + bit];
                if *known != caches.scratch {
                    known.clone_from(&caches.scratch);
                    caches.changed[n] |= 1 << bit;
                }
            }
        }
    }

    /// All CPUs take in what they can.
    fn fill(&self, caches: &mut Caches) {
        self.look_again(caches);
        let changed = std::mem::take(&mut caches.changed);
        let Caches { tlbs, entries, .. } = caches;
        for tlb in tlbs {
            tlb.fill(|mfn| bit(&changed, mfn), |mfn| list(entries, mfn));
        }
    }

    /// Looks at everything anew and compares it with what was thought to be known.
    ///
    /// # Panics
    /// When a change was overlooked, or a CPU could have taken in what it did not.
    pub fn verify(&self) {
        self.moment();
        let mut caches = self.caches();
        self.fill(&mut caches);
        let Caches { tlbs, entries, scratch, .. } = &mut *caches;
        for (page, known) in self.pages.iter().zip(&*entries) {
            scratch.clear();
            present(page, scratch);
            assert_eq!(known, scratch);
        }
        for tlb in tlbs {
            let before = (tlb.leaves.len(), tlb.steps.len());
            tlb.fill(|_| true, |mfn| list(entries, mfn));
            assert_eq!((tlb.leaves.len(), tlb.steps.len()), before);
        }
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
        let mut caches = self.caches();
        self.fill(&mut caches);
        let tlbs = &caches.tlbs;
        if !self.hostile.load(Ordering::Relaxed) {
            return;
        }
        let tlb = &tlbs[self.number(CPUS as u64) as usize];
        let writable = tlb.leaves.iter().filter(|leaf| leaf.writable);
        let chosen = self.number(writable.clone().count() as u64) as usize;
        if let Some(page) = writable.clone().nth(chosen).and_then(|leaf| self.touch(leaf.mfn)) {
            let flags = [PRESENT | USER, PRESENT | USER | WRITABLE, 0][self.number(3) as usize];
            let entry = Pte::new(Mfn(self.number(self.pages.len() as u64)), flags);
            let index = [0, 1, 15, 256, 511][self.number(5) as usize];
            page.store_u64(index * 8, entry.0);
        }
        // The processor uses a table: it may set these bits in any present entry that it can reach.
        let chosen = self.number(tlb.steps.len() as u64) as usize;
        if let Some(step) = tlb.steps.get(chosen)
            && let Some(page) = self.touch(step.mfn)
        {
            let index = [0, 1, 2, 15, 16][self.number(5) as usize];
            let entry = Pte(page.load_u64(index * 8));
            if entry.present() {
                let dirty = if step.level == 1 && entry.writable() { DIRTY } else { 0 };
                page.or_u64(index * 8, ACCESSED | dirty);
            }
        }
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

impl Drop for SimPlatform {
    fn drop(&mut self) {
        MEMORY.lock().unwrap_or_else(|e| e.into_inner()).push(std::mem::take(&mut self.pages));
    }
}

/// Appends the present entries of a page, with their places.
fn present(page: &SharedPage, found: &mut Vec<(usize, Pte)>) {
    for (at, group) in page.words().chunks_exact(16).enumerate() {
        if group.iter().fold(0, |all, word| all | word.load(Ordering::Relaxed)) & PRESENT == 0 {
            continue;
        }
        for (offset, word) in group.iter().enumerate() {
            let entry = Pte(word.load(Ordering::Relaxed));
            if entry.present() {
                found.push((at * 16 + offset, entry));
            }
        }
    }
}

/// A frame's entries; none beyond memory.
fn list(entries: &[Vec<(usize, Pte)>], mfn: Mfn) -> &[(usize, Pte)] {
    usize::try_from(mfn.0).ok().and_then(|at| entries.get(at)).map_or(&[], |list| list)
}

/// Whether a frame's bit is set; not beyond memory.
fn bit(words: &[u64; MOST_FRAMES / 64], mfn: Mfn) -> bool {
    mfn.0 < MOST_FRAMES as u64 && words[mfn.0 as usize / 64] >> (mfn.0 % 64) & 1 != 0
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
        self.touch(mfn).unwrap_or_else(|| panic!("{mfn:?} is no memory"))
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
        let dom = self.caches().tlbs[usize::from(cpu.0)].root();
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
