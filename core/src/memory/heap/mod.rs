//! The frame allocator: buddies of 2^0 to 2^18 frames in zones by address width.
//!
//! All of its data is in the frame table's entries of free frames ([`Head`]), so it allocates nothing, and an operation
//! costs at most one step per order: adding a range of RAM at boot touches neither the memory nor its table entries.
//!
//! * **Zeroed.** Freed frames and RAM from boot are dirty; they are scrubbed when they are allocated, or before that by
//!   [`Heap::scrub_some`] on an idle CPU. Both happen outside the lock.
//! * **Flushed.** A freed frame carries a TLB stamp. Before it gets another owner, and before it is scrubbed ahead of
//!   that, every CPU that has not flushed since is flushed: no former owner can reach it through a stale translation.
//! * **Claimed.** Frames that a domain has staked a claim on (XENMEM_claim_pages) are not given to others.

mod entry;
mod lists;
#[cfg(test)]
mod tests;

pub use entry::{FrameEntries, Head};

use crate::addr::{Mfn, PAGE_SHIFT};
use crate::cpu::{CpuId, CpuMask};
use crate::platform::{Flush, Platform};
use core::sync::atomic::{AtomicU64, Ordering};
use entry::NONE;
use ferroxen_sync::{Lock, rank};
use lists::{Lists, zone_of};

/// The largest block: 2^18 frames, 1 GiB.
pub const MAX_ORDER: u32 = 18;
/// Zone `z` holds frames whose numbers have `z` bits.
const ZONES: usize = 33;
/// Idle-time scrubbing takes blocks of at most this order off the lists (256 KiB).
const SCRUB_ORDER: u32 = 6;

/// Where an allocation runs: the machine, this CPU, and every CPU that may hold translations.
pub struct Here<'a, P: Platform> {
    /// The machine.
    pub platform: &'a P,
    /// This CPU.
    pub cpu: CpuId,
    /// All CPUs that run guests.
    pub online: &'a CpuMask,
}

/// What is asked for.
#[derive(Clone, Copy, Default)]
pub struct Request<'a> {
    /// log2 of the frames; the block is aligned to its size.
    pub order: u32,
    /// The most bits that its addresses may have; 0: any.
    pub max_address_bits: u32,
    /// The caller writes every byte of every frame before anyone else can see it: leave the old contents.
    pub overwritten: bool,
    /// The claim of the domain that gets it, in frames: it is used up first.
    pub claim: Option<&'a AtomicU64>,
}

/// A claim could not be staked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClaimError {
    /// The domain has one already, or has so many frames, or may not have so many.
    Invalid,
    /// That much is not free and unclaimed.
    OutOfMemory,
}

/// How much there is, in frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeapStats {
    /// Handed to the heap.
    pub total: u64,
    /// Free, claimed ones included.
    pub free: u64,
    /// Staked by claims.
    pub claimed: u64,
}

/// The frame allocator.
pub struct Heap(Lock<rank::Heap, Lists>);

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

impl Heap {
    /// One without memory.
    pub fn new() -> Self {
        Heap(Lock::new(Lists::new()))
    }

    /// Hands RAM to the heap: `frames` blank frames from `start` on, contents unknown, never seen by a guest. Frame 0
    /// is left out: a PV guest's "no frame". What the frame table cannot hold (32-bit numbers) is left out too.
    pub fn add<E: FrameEntries>(&self, entries: &E, start: Mfn, frames: u64) {
        let end = start.0.saturating_add(frames).min(u64::from(NONE));
        let mut at = start.0.max(1);
        let mut lists = self.0.lock();
        if cfg!(debug_assertions) {
            lists.walk(entries, |block, head| {
                let (block, len) = (u64::from(block), u64::from(head.len()));
                assert!(block + len <= at || end <= block, "RAM {at:#x}-{end:#x} overlaps a free block at {block:#x}");
            });
        }
        while at < end {
            let order = at.trailing_zeros().min((end - at).ilog2()).min(MAX_ORDER);
            let Ok(frame) = u32::try_from(at) else { break };
            let block = Head { next: NONE, prev: NONE, order, first_dirty: 0, stamp: None };
            lists.account(frame, order, true);
            lists.total += 1 << order;
            lists.put(entries, frame, block, 0);
            at += 1 << order;
        }
    }

    /// A block of frames that no CPU has a translation of and, unless `overwritten`, of zeroes. Its entries are in the
    /// state *allocated*, without owner.
    pub fn alloc<P: Platform, E: FrameEntries>(
        &self,
        entries: &E,
        here: &Here<'_, P>,
        request: Request<'_>,
    ) -> Option<Mfn> {
        if request.order > MAX_ORDER {
            return None;
        }
        let frames = 1u64 << request.order;
        let max_zone = match request.max_address_bits {
            0 => ZONES - 1,
            bits => usize::try_from(bits.checked_sub(PAGE_SHIFT)?).ok()?,
        };
        let (frame, head) = {
            let mut lists = self.0.lock();
            let own = request.claim.map_or(0, |claim| claim.load(Ordering::Relaxed));
            if own < frames && lists.free.saturating_sub(lists.claimed) < frames {
                return None;
            }
            let block = lists.take(entries, request.order, max_zone)?;
            if let Some(claim) = request.claim {
                let used = own.min(frames);
                claim.store(own - used, Ordering::Relaxed);
                lists.claimed = lists.claimed.saturating_sub(used);
            }
            block
        };
        for at in frame..frame + head.len() {
            let blank = entries.take(at);
            debug_assert!(blank, "free frame {at:#x} is in use");
        }
        settle(here, head.stamp);
        if !request.overwritten {
            scrub(here, frame + head.first_dirty..frame + head.len());
        }
        Some(Mfn(u64::from(frame)))
    }

    /// Takes back 2^`order` frames, aligned or not to their size, whose entries are *allocated* without owner and
    /// references. `mapped`: a guest may have had translations of them; then they stop standing for guest frames, too.
    ///
    /// A frame that is not in that state is a bug of ours: debug builds stop; others log it and never hand that frame
    /// out again.
    pub fn free<P: Platform, E: FrameEntries>(&self, entries: &E, platform: &P, at: Mfn, order: u32, mapped: bool) {
        let now = platform.tlb_stamp();
        let Ok(start) = u32::try_from(at.0) else { return };
        let frames = 1u32.checked_shl(order).unwrap_or(0);
        let whole = start & frames.wrapping_sub(1) == 0 && order <= MAX_ORDER;
        let returned = |frame: u32| {
            let ok = entries.give_back(frame);
            debug_assert!(ok, "frame {frame:#x} is freed but was not allocated");
            if !ok {
                platform.log(
                    crate::platform::Level::Error,
                    format_args!("frame {frame:#x} is freed but was not allocated: it is lost"),
                );
            }
            if ok && mapped {
                platform.set_m2p(Mfn(u64::from(frame)), u64::MAX);
            }
            ok
        };
        let stamp = mapped.then_some(now);
        let block = |order| Head { next: NONE, prev: NONE, order, first_dirty: 0, stamp };
        let end = start.saturating_add(frames);
        let good = (start..end).take_while(|&frame| returned(frame)).count() as u32;
        if whole && good == frames {
            return self.put(entries, start, block(order), now);
        }
        let rest = (start.saturating_add(good).saturating_add(1)..end).filter(|&frame| returned(frame));
        (start..start.saturating_add(good)).chain(rest).for_each(|frame| self.put(entries, frame, block(0), now));
    }

    fn put<E: FrameEntries>(&self, entries: &E, frame: u32, block: Head, now: u32) {
        let mut lists = self.0.lock();
        debug_assert_eq!(Lists::covering(entries, frame), None, "frame {frame:#x} is freed twice");
        lists.account(frame, block.order, true);
        lists.put(entries, frame, block, now);
    }

    /// Scrubs up to about `budget` free frames ahead of their allocation, while `go_on`; gives how many. For idle CPUs.
    /// The frames that are being scrubbed (at most 64) cannot be allocated meanwhile.
    pub fn scrub_some<P: Platform, E: FrameEntries>(
        &self,
        entries: &E,
        here: &Here<'_, P>,
        budget: u32,
        go_on: impl Fn() -> bool,
    ) -> u32 {
        let mut done = 0;
        while done < budget && go_on() {
            let Some((frame, head)) = self.0.lock().take_dirty(entries, SCRUB_ORDER) else { break };
            settle(here, head.stamp);
            scrub(here, frame + head.first_dirty..frame + head.len());
            done += head.len() - head.first_dirty;
            let now = here.platform.tlb_stamp();
            let clean = Head { first_dirty: head.len(), stamp: None, ..head };
            self.0.lock().put(entries, frame, clean, now);
        }
        done
    }

    /// Stakes a claim for a domain that has `owned` frames and may have `max`: it is to have `wanted` in the end.
    /// 0 drops its claim.
    pub fn claim(&self, claim: &AtomicU64, owned: u64, max: u64, wanted: u64) -> Result<(), ClaimError> {
        let mut lists = self.0.lock();
        if wanted == 0 {
            lists.claimed = lists.claimed.saturating_sub(claim.swap(0, Ordering::Relaxed));
            return Ok(());
        }
        if claim.load(Ordering::Relaxed) != 0 || wanted <= owned || wanted > max {
            return Err(ClaimError::Invalid);
        }
        let more = wanted - owned;
        if more > lists.free.saturating_sub(lists.claimed) {
            return Err(ClaimError::OutOfMemory);
        }
        lists.claimed += more;
        claim.store(more, Ordering::Relaxed);
        Ok(())
    }

    /// How much there is.
    pub fn stats(&self) -> HeapStats {
        let lists = self.0.lock();
        HeapStats { total: lists.total, free: lists.free, claimed: lists.claimed }
    }

    /// Free frames whose addresses have `min_bits` to `max_bits` bits.
    pub fn free_between(&self, min_bits: u32, max_bits: u32) -> u64 {
        let zone = |bits: u32| usize::try_from(bits.saturating_sub(PAGE_SHIFT)).map_or(ZONES, |zone| zone.min(ZONES));
        let lists = self.0.lock();
        (zone(min_bits)..zone(max_bits.saturating_add(1))).map(|zone| lists.free_in(zone)).sum()
    }

    /// Whether the frame is in a free block (diagnosis; stale as soon as it is read).
    pub fn is_free<E: FrameEntries>(&self, entries: &E, frame: Mfn) -> bool {
        let _lists = self.0.lock();
        u32::try_from(frame.0).is_ok_and(|frame| Lists::covering(entries, frame).is_some())
    }

    /// Checks the lists against the entries and the counts; gives the free blocks. For tests and `sim/`; takes as long
    /// as there are free blocks, and wants nobody scrubbing.
    ///
    /// # Panics
    /// When they do not agree.
    pub fn check<E: FrameEntries>(&self, entries: &E, mut block: impl FnMut(Mfn, u32)) {
        let lists = self.0.lock();
        let mut free = [0u64; ZONES];
        lists.walk(entries, |frame, head| {
            assert_eq!(frame & (head.len() - 1), 0, "block {frame:#x} is aligned to its order {}", head.order);
            free[zone_of(frame)] += u64::from(head.len());
            block(Mfn(u64::from(frame)), head.order);
        });
        (0..ZONES).for_each(|zone| assert_eq!(free[zone], lists.free_in(zone), "free frames of zone {zone}"));
        assert_eq!(free.iter().sum::<u64>(), lists.free);
    }
}

/// Makes sure that no CPU has a translation from before the stamp.
fn settle<P: Platform>(here: &Here<'_, P>, stamp: Option<u32>) {
    let Some(stamp) = stamp else { return };
    let mut stale = CpuMask::EMPTY;
    here.online.iter().filter(|&cpu| !here.platform.flushed_since(cpu, stamp)).for_each(|cpu| stale.set(cpu));
    if !stale.is_empty() {
        here.platform.flush(here.cpu, &stale, Flush::All);
    }
}

fn scrub<P: Platform>(here: &Here<'_, P>, frames: core::ops::Range<u32>) {
    frames.for_each(|frame| here.platform.page(Mfn(u64::from(frame))).zero());
}
