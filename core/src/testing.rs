//! A machine in a process, for the tests of this crate: frames on the heap, one flat guest address space, faults and
//! preemption on demand. It is honest about flushes: [`Platform::flushed_since`] tells what really was flushed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use crate::addr::{Maddr, Mfn, Vaddr};
use crate::cpu::{CpuId, CpuMask};
use crate::ctx::{Ctx, Effects};
use crate::domain::{DomId, Domain, Hypervisor};
use crate::frame::{FrameEntry, FrameKind, FrameTable, IoRanges};
use crate::platform::{Fault, Flush, Level, Platform};
use crate::pv::{IN_KERNEL, PvState};
use ferroxen_sync::{Shared, SharedPage};
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// CPUs of the machine.
pub const CPUS: usize = 4;
/// Where the guest's flat memory begins.
pub const GUEST_BASE: u64 = 0x10_0000;

/// The machine.
pub struct TestPlatform {
    frames: Vec<OnceLock<Box<SharedPage>>>,
    m2p: Vec<AtomicU64>,
    guest: Mutex<Vec<u8>>,
    /// Copies to and from the guest that succeed before one fails; `u64::MAX`: all do.
    pub copies_left: AtomicU64,
    /// Safe points that pass before preemption is pending; `u64::MAX`: never.
    pub polls_left: AtomicU64,
    /// Nanoseconds since boot.
    pub time: AtomicU64,
    stamp: AtomicU32,
    last_flush: [AtomicU32; CPUS],
    /// Every flush: who asked, which CPUs, what.
    pub flushes: Mutex<Vec<(CpuId, CpuMask, Flush)>>,
    /// Every flush of caches: which CPUs.
    pub cache_flushes: Mutex<Vec<CpuMask>>,
    /// The root that each CPU runs on.
    pub roots: Mutex<[Maddr; CPUS]>,
    /// CPUs that were kicked.
    pub kicks: Mutex<Vec<CpuId>>,
    /// What the control domain wrote to the console's device.
    pub console: Mutex<Vec<u8>>,
    /// Console lines.
    pub lines: Mutex<Vec<String>>,
}

impl TestPlatform {
    /// A machine with `frames` frames of zeroes and `guest` bytes of guest memory at [`GUEST_BASE`].
    pub fn new(frames: usize, guest: usize) -> Self {
        TestPlatform {
            frames: (0..frames).map(|_| OnceLock::new()).collect(),
            m2p: (0..frames).map(|_| AtomicU64::new(u64::MAX)).collect(),
            guest: Mutex::new(vec![0; guest]),
            copies_left: AtomicU64::new(u64::MAX),
            polls_left: AtomicU64::new(u64::MAX),
            time: AtomicU64::new(0),
            stamp: AtomicU32::new(1),
            last_flush: [const { AtomicU32::new(0) }; CPUS],
            flushes: Mutex::new(Vec::new()),
            cache_flushes: Mutex::new(Vec::new()),
            roots: Mutex::new([Maddr(0); CPUS]),
            kicks: Mutex::new(Vec::new()),
            console: Mutex::new(Vec::new()),
            lines: Mutex::new(Vec::new()),
        }
    }

    /// Whether anybody ever looked at the frame.
    pub fn touched(&self, mfn: Mfn) -> bool {
        self.frames[mfn.0 as usize].get().is_some()
    }

    /// What the frame stands for in the machine-to-physical table.
    pub fn m2p_of(&self, mfn: u64) -> u64 {
        self.m2p(Mfn(mfn))
    }

    /// All of its CPUs.
    pub fn all_cpus() -> CpuMask {
        let mut mask = CpuMask::EMPTY;
        (0..CPUS as u16).for_each(|cpu| mask.set(CpuId(cpu)));
        mask
    }

    /// The guest's memory at `at`.
    pub fn peek<T: zerocopy::FromBytes>(&self, at: u64) -> T {
        let guest = self.guest.lock().unwrap();
        let at = (at - GUEST_BASE) as usize;
        T::read_from_bytes(&guest[at..at + size_of::<T>()]).ok().unwrap()
    }

    /// Writes the guest's memory at `at`.
    pub fn poke<T: zerocopy::IntoBytes + zerocopy::Immutable + ?Sized>(&self, at: u64, value: &T) {
        let mut guest = self.guest.lock().unwrap();
        let at = (at - GUEST_BASE) as usize;
        guest[at..at + size_of_val(value)].copy_from_slice(value.as_bytes());
    }

    fn copy(&self, at: Vaddr, len: usize, mut each: impl FnMut(usize, &mut u8)) -> Result<(), Fault> {
        if count_down(&self.copies_left) {
            return Err(Fault { at });
        }
        let mut guest = self.guest.lock().unwrap();
        for i in 0..len {
            let address = at.0.wrapping_add(i as u64);
            let byte = address.checked_sub(GUEST_BASE).and_then(|at| guest.get_mut(at as usize));
            each(i, byte.ok_or(Fault { at: Vaddr(address) })?);
        }
        Ok(())
    }
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

impl Platform for TestPlatform {
    fn page(&self, mfn: Mfn) -> &SharedPage {
        self.frames[mfn.0 as usize].get_or_init(|| Box::new(SharedPage::zeroed()))
    }

    fn copy_from_guest(&self, _cpu: CpuId, from: Vaddr, to: &mut [u8]) -> Result<(), Fault> {
        self.copy(from, to.len(), |i, byte| to[i] = *byte)
    }

    fn copy_to_guest(&self, _cpu: CpuId, to: Vaddr, from: &[u8]) -> Result<(), Fault> {
        self.copy(to, from.len(), |i, byte| *byte = from[i])
    }

    fn install_root_slots(&self, root: &SharedPage) {
        (256..272).for_each(|slot| root.store_u64(slot * 8, 0xfe00_0000_0000_0000 | slot as u64));
    }

    fn m2p(&self, mfn: Mfn) -> u64 {
        self.m2p[mfn.0 as usize].load(Ordering::SeqCst)
    }

    fn set_m2p(&self, mfn: Mfn, pfn: u64) {
        self.m2p[mfn.0 as usize].store(pfn, Ordering::SeqCst);
    }

    fn flush(&self, cpu: CpuId, cpus: &CpuMask, what: Flush) {
        if what == Flush::All {
            let now = self.stamp.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
            cpus.iter().for_each(|cpu| self.last_flush[usize::from(cpu.0)].store(now, Ordering::SeqCst));
        }
        self.flushes.lock().unwrap().push((cpu, *cpus, what));
    }

    fn tlb_stamp(&self) -> u32 {
        self.stamp.load(Ordering::SeqCst)
    }

    fn flushed_since(&self, cpu: CpuId, stamp: u32) -> bool {
        self.last_flush[usize::from(cpu.0)].load(Ordering::SeqCst) > stamp
    }

    fn online(&self) -> CpuMask {
        Self::all_cpus()
    }

    fn load_root(&self, cpu: CpuId, root: Maddr) {
        self.flush(cpu, &CpuMask::one(cpu), Flush::All);
        self.roots.lock().unwrap()[usize::from(cpu.0)] = root;
    }

    fn flush_caches(&self, _cpu: CpuId, cpus: &CpuMask) {
        self.cache_flushes.lock().unwrap().push(*cpus);
    }

    fn now(&self) -> u64 {
        self.time.load(Ordering::SeqCst)
    }

    fn preempt_pending(&self, _cpu: CpuId) -> bool {
        count_down(&self.polls_left)
    }

    fn kick(&self, cpu: CpuId) {
        self.kicks.lock().unwrap().push(cpu);
    }

    fn check_events(&self, cpu: CpuId) {
        self.kicks.lock().unwrap().push(cpu);
    }

    fn console_write(&self, bytes: &[u8]) {
        self.console.lock().unwrap().extend(bytes);
    }

    fn log(&self, _level: Level, text: core::fmt::Arguments<'_>) {
        self.lines.lock().unwrap().push(text.to_string());
    }
}

/// A hypervisor on a [`TestPlatform`] with two domains: 0 (privileged) and 1, of one vcpu each, without memory.
pub struct TestWorld {
    /// The hypervisor.
    pub hv: Hypervisor<TestPlatform>,
}

impl TestWorld {
    /// With RAM in the `free` ranges (first frame, number of frames), a frame table for `frames` frames and 64 KiB of
    /// guest memory. All I/O memory is refused.
    pub fn new(frames: usize, free: &[(u64, u64)]) -> Self {
        let entries: Vec<FrameEntry> = (0..frames).map(|_| FrameEntry::default()).collect();
        let table = FrameTable::new(Box::leak(entries.into_boxed_slice()), IoRanges::new(Mfn(0)));
        let hv = Hypervisor::try_new(TestPlatform::new(frames, 0x1_0000), table, CPUS as u16).ok().unwrap();
        free.iter().for_each(|&(start, count)| hv.heap.add(&hv.frames, Mfn(start), count));
        for id in 0..2 {
            let dom = Shared::try_new(Domain::try_new(DomId(id), 1, id == 0).unwrap()).ok().unwrap();
            dom.pages.max.store(u64::MAX, Ordering::SeqCst);
            dom.create_vcpu(0).unwrap();
            assert!(hv.domains.insert(dom).is_ok());
        }
        TestWorld { hv }
    }

    /// The machine.
    pub fn platform(&self) -> &TestPlatform {
        &self.hv.platform
    }

    /// Domain `id`.
    pub fn dom(&self, id: u16) -> Shared<Domain<TestPlatform>> {
        self.hv.domains.get(DomId(id)).unwrap()
    }

    /// Runs a hypercall of domain `id`'s vcpu 0 in its kernel on CPU 0, with fresh PV state; gives its effects too.
    pub fn call<R>(&self, id: u16, handler: impl FnOnce(&mut Ctx<'_, TestPlatform>) -> R) -> (R, Effects) {
        self.call_with(id, &mut PvState { flags: IN_KERNEL, ..PvState::default() }, handler)
    }

    /// The same with the caller's PV state.
    pub fn call_with<R>(
        &self,
        id: u16,
        pv: &mut PvState,
        handler: impl FnOnce(&mut Ctx<'_, TestPlatform>) -> R,
    ) -> (R, Effects) {
        let dom = self.dom(id);
        let vcpu = dom.vcpu(0).unwrap();
        let mut ctx = Ctx { hv: &self.hv, cpu: CpuId(0), vcpu, dom: &dom, pv, effects: Effects::default() };
        let result = handler(&mut ctx);
        (result, ctx.effects)
    }

    /// Frames that are neither free nor a domain's nor blank: what the hypervisor holds.
    pub fn held_frames(&self) -> u64 {
        (0..self.hv.frames.end().0).filter(|&mfn| self.hv.frames.kind(Mfn(mfn)) == FrameKind::Hypervisor).count() as u64
    }
}
