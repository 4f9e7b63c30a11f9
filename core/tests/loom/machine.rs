//! The least of a machine that the models need.

use ferroxen_core::addr::{Maddr, Mfn, Vaddr};
use ferroxen_core::cpu::{CpuId, CpuMask};
use ferroxen_core::domain::DomId;
use ferroxen_core::frame::{FrameEntry, FrameTable, IoRanges};
use ferroxen_core::memory::heap::FrameEntries;
use ferroxen_core::platform::{Fault, Flush, Level, Platform};
use ferroxen_sync::SharedPage;
use std::sync::atomic::{AtomicU32, Ordering};

/// Frames of the machine.
pub const FRAMES: usize = 8;
/// When the CPU flushed everything last, as a stamp.
pub const LAST_FLUSH: u32 = 5;
/// The stamp now.
pub const NOW: u32 = 9;

/// See the module. Its own counters are no part of what is modelled.
pub struct Machine {
    pages: Vec<SharedPage>,
    pub flushes: AtomicU32,
}

impl Machine {
    pub fn new() -> Self {
        Machine { pages: (0..FRAMES).map(|_| SharedPage::zeroed()).collect(), flushes: AtomicU32::new(0) }
    }
}

/// A table in which `owner` has frames 1 to 7.
pub fn frames(owner: DomId) -> FrameTable {
    let entries: Vec<FrameEntry> = (0..FRAMES).map(|_| FrameEntry::default()).collect();
    let table = FrameTable::new(Box::leak(entries.into_boxed_slice()), IoRanges::new(Mfn(0)));
    for mfn in 1..FRAMES as u32 {
        assert!(table.take(mfn));
        assert_eq!(table.assign(Mfn(mfn.into()), owner), Ok(()));
    }
    table
}

impl Platform for Machine {
    fn page(&self, mfn: Mfn) -> &SharedPage {
        &self.pages[mfn.0 as usize]
    }
    fn copy_from_guest(&self, _: CpuId, from: Vaddr, _: &mut [u8]) -> Result<(), Fault> {
        Err(Fault { at: from })
    }
    fn copy_to_guest(&self, _: CpuId, to: Vaddr, _: &[u8]) -> Result<(), Fault> {
        Err(Fault { at: to })
    }
    fn install_root_slots(&self, _: &SharedPage) {}
    fn m2p(&self, _: Mfn) -> u64 {
        u64::MAX
    }
    fn set_m2p(&self, _: Mfn, _: u64) {}
    fn flush(&self, _: CpuId, _: &CpuMask, what: Flush) {
        assert_eq!(what, Flush::All);
        self.flushes.fetch_add(1, Ordering::SeqCst);
    }
    fn tlb_stamp(&self) -> u32 {
        NOW
    }
    fn flushed_since(&self, _: CpuId, stamp: u32) -> bool {
        LAST_FLUSH > stamp
    }
    fn online(&self) -> CpuMask {
        CpuMask::one(CpuId(0))
    }
    fn load_root(&self, _: CpuId, _: Maddr) {}
    fn flush_caches(&self, _: CpuId, _: &CpuMask) {}
    fn now(&self) -> u64 {
        0
    }
    fn preempt_pending(&self, _: CpuId) -> bool {
        false
    }
    fn kick(&self, _: CpuId) {}

    fn check_events(&self, _: CpuId) {}
    fn console_write(&self, _: &[u8]) {}
    fn log(&self, _: Level, _: core::fmt::Arguments<'_>) {}
}
