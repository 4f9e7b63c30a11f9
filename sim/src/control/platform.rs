//! A machine without surprises, as large as small domains want it: its frames come into being when they are looked at.

use ferroxen_core::addr::{Maddr, Mfn, Vaddr};
use ferroxen_core::cpu::{CpuId, CpuMask};
use ferroxen_core::platform::{Fault, Flush, Level, Platform};
use ferroxen_sync::{SharedPage, fail};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

/// CPUs of the machine.
pub const CPUS: u16 = 2;
/// Addresses of the first buffer, and between buffers: what runs over the end of one reaches no other.
const BUFFERS: u64 = 0x10_0000;
const GAP: u64 = 0x10_0000;

/// Memory of the control domain that hypercalls can reach.
pub type Bytes = Arc<Mutex<Vec<u8>>>;

/// The machine.
pub struct CalmPlatform {
    frames: Vec<OnceLock<Box<SharedPage>>>,
    m2p: Vec<AtomicU64>,
    buffers: Mutex<BTreeMap<u64, Bytes>>,
    next: AtomicU64,
    stamp: AtomicU32,
    flushed: [AtomicU32; CPUS as usize],
    start: Instant,
    /// Safe points between interruptions, and those that came.
    every: AtomicU64,
    polled: AtomicU64,
}

/// What a panic of one test left is the next one's to judge.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CalmPlatform {
    pub fn new(frames: usize) -> Self {
        CalmPlatform {
            frames: (0..frames).map(|_| OnceLock::new()).collect(),
            m2p: (0..frames).map(|_| AtomicU64::new(u64::MAX)).collect(),
            buffers: Mutex::default(),
            next: AtomicU64::new(BUFFERS),
            stamp: AtomicU32::new(1),
            flushed: Default::default(),
            start: Instant::now(),
            every: AtomicU64::new(0),
            polled: AtomicU64::new(0),
        }
    }

    /// From here on every so many'th safe point interrupts a hypercall; 0: none does.
    pub fn interrupt_every(&self, every: u64) {
        self.every.store(every, Ordering::Relaxed);
        self.polled.store(0, Ordering::Relaxed);
    }

    /// Memory for a hypercall's arguments; gives its address, too.
    pub fn add_buffer(&self, len: usize) -> (u64, Bytes) {
        let room = (len as u64).next_multiple_of(GAP) + GAP;
        let at = self.next.fetch_add(room, Ordering::Relaxed);
        let bytes = Bytes::new(Mutex::new(vec![0; len]));
        lock(&self.buffers).insert(at, bytes.clone());
        (at, bytes)
    }

    pub fn remove_buffer(&self, at: u64) {
        lock(&self.buffers).remove(&at);
    }

    /// The buffer that holds `len` bytes from `at` on, and where they are in it.
    fn find(&self, at: Vaddr, len: usize) -> Result<(Bytes, usize), Fault> {
        let _own = fail::pause();
        let buffers = lock(&self.buffers);
        let (start, bytes) = buffers.range(..=at.0).next_back().ok_or(Fault { at })?;
        let offset = usize::try_from(at.0 - start).map_err(|_| Fault { at })?;
        let room = lock(bytes).len().checked_sub(offset).ok_or(Fault { at })?;
        if len > room {
            return Err(Fault { at: Vaddr(at.0 + room as u64) });
        }
        Ok((bytes.clone(), offset))
    }
}

impl Platform for CalmPlatform {
    fn page(&self, mfn: Mfn) -> &SharedPage {
        let _own = fail::pause();
        self.frames[mfn.0 as usize].get_or_init(|| Box::new(SharedPage::zeroed()))
    }

    fn copy_from_guest(&self, _cpu: CpuId, from: Vaddr, to: &mut [u8]) -> Result<(), Fault> {
        let (bytes, offset) = self.find(from, to.len())?;
        to.copy_from_slice(&lock(&bytes)[offset..offset + to.len()]);
        Ok(())
    }

    fn copy_to_guest(&self, _cpu: CpuId, to: Vaddr, from: &[u8]) -> Result<(), Fault> {
        let (bytes, offset) = self.find(to, from.len())?;
        lock(&bytes)[offset..offset + from.len()].copy_from_slice(from);
        Ok(())
    }

    fn install_root_slots(&self, root: &SharedPage) {
        (256..272).for_each(|slot| root.store_u64(slot * 8, crate::platform::hypervisor_slot(slot)));
    }

    fn m2p(&self, mfn: Mfn) -> u64 {
        self.m2p[mfn.0 as usize].load(Ordering::SeqCst)
    }

    fn set_m2p(&self, mfn: Mfn, pfn: u64) {
        self.m2p[mfn.0 as usize].store(pfn, Ordering::SeqCst);
    }

    fn flush(&self, _cpu: CpuId, cpus: &CpuMask, what: Flush) {
        if what == Flush::All {
            let now = self.stamp.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
            cpus.iter().for_each(|cpu| self.flushed[usize::from(cpu.0)].store(now, Ordering::SeqCst));
        }
    }

    fn tlb_stamp(&self) -> u32 {
        self.stamp.load(Ordering::SeqCst)
    }

    fn flushed_since(&self, cpu: CpuId, stamp: u32) -> bool {
        self.flushed[usize::from(cpu.0)].load(Ordering::SeqCst) > stamp
    }

    fn online(&self) -> CpuMask {
        let mut mask = CpuMask::EMPTY;
        (0..CPUS).for_each(|cpu| mask.set(CpuId(cpu)));
        mask
    }

    fn load_root(&self, _cpu: CpuId, root: Maddr) {
        panic!("the control domain has no page tables here: {root:?}");
    }

    fn flush_caches(&self, _cpu: CpuId, _cpus: &CpuMask) {}

    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn preempt_pending(&self, _cpu: CpuId) -> bool {
        let every = self.every.load(Ordering::Relaxed);
        every != 0 && (self.polled.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(every)
    }

    fn kick(&self, _cpu: CpuId) {}

    fn check_events(&self, _cpu: CpuId) {}

    fn console_write(&self, _bytes: &[u8]) {}

    fn log(&self, level: Level, text: core::fmt::Arguments<'_>) {
        assert!(level != Level::Error, "{text}");
    }
}
