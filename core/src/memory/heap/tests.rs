use super::*;
use crate::testing::TestPlatform;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Mutex;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Entry {
    Blank,
    Head(u32, u64, u32),
    Allocated,
}

/// A frame table that also counts which entries were ever written.
struct Table {
    entries: Vec<Mutex<Entry>>,
    writes: AtomicU64,
}

impl Table {
    fn new(frames: usize) -> Self {
        Table { entries: (0..frames).map(|_| Mutex::new(Entry::Blank)).collect(), writes: AtomicU64::new(0) }
    }
    fn change(&self, frame: u32, from: fn(Entry) -> bool, to: Entry) -> bool {
        let mut entry = self.entries[frame as usize].lock().unwrap();
        self.writes.fetch_add(1, Ordering::Relaxed);
        let ok = from(*entry);
        if ok {
            *entry = to;
        }
        ok
    }
}

impl FrameEntries for Table {
    fn head(&self, frame: u32) -> Option<Head> {
        match *self.entries.get(frame as usize)?.lock().unwrap() {
            Entry::Head(link, word, stamp) => Some(Head::unpack(link, word, stamp)),
            _ => None,
        }
    }
    fn set_head(&self, frame: u32, head: Head) {
        let (link, word, stamp) = head.pack();
        assert!(self.change(frame, |entry| entry != Entry::Allocated, Entry::Head(link, word, stamp)));
    }
    fn clear_head(&self, frame: u32) {
        assert!(self.change(frame, |entry| matches!(entry, Entry::Head(..)), Entry::Blank));
    }
    fn take(&self, frame: u32) -> bool {
        self.change(frame, |entry| entry == Entry::Blank, Entry::Allocated)
    }
    fn give_back(&self, frame: u32) -> bool {
        self.change(frame, |entry| entry == Entry::Allocated, Entry::Blank)
    }
}

struct World {
    platform: TestPlatform,
    table: Table,
    heap: Heap,
    cpus: CpuMask,
}

impl World {
    fn new(frames: usize, ranges: &[(u64, u64)]) -> Self {
        let world = World {
            platform: TestPlatform::new(frames, 0),
            table: Table::new(frames),
            heap: Heap::new(),
            cpus: TestPlatform::all_cpus(),
        };
        ranges.iter().for_each(|&(start, count)| world.heap.add(&world.table, Mfn(start), count));
        world
    }
    fn here(&self) -> Here<'_, TestPlatform> {
        Here { platform: &self.platform, cpu: CpuId(0), online: &self.cpus }
    }
    fn alloc(&self, request: Request<'_>) -> Option<Mfn> {
        self.heap.alloc(&self.table, &self.here(), request)
    }
    fn order(&self, order: u32) -> Option<Mfn> {
        self.alloc(Request { order, ..Request::default() })
    }
    fn free(&self, mfn: Mfn, order: u32) {
        self.heap.free(&self.table, &self.platform, mfn, order, true);
    }
    fn blocks(&self) -> BTreeSet<(u64, u32)> {
        let mut blocks = BTreeSet::new();
        self.heap.check(&self.table, |at, order| assert!(blocks.insert((at.0, order))));
        blocks
    }
    fn fill(&self, mfn: Mfn, order: u32) {
        (0..1 << order).for_each(|n| self.platform.page(mfn.offset(n)).store_u64(8, 0x5ec3e7));
    }
    fn is_zero(&self, mfn: Mfn, order: u32) -> bool {
        (0..1 << order).all(|n| self.platform.page(mfn.offset(n)).load_u64(8) == 0)
    }
}

#[test]
fn adding_ram_costs_a_step_per_order_and_touches_no_memory() {
    let frames = 1 << 17;
    let world = World::new(frames, &[(1, 0x9e), (0x100, frames as u64 - 0x100)]);
    assert_eq!(world.heap.stats().free, 0x9e + frames as u64 - 0x100);
    assert!(world.table.writes.load(Ordering::Relaxed) < 200);
    assert!((0..frames as u64).all(|mfn| !world.platform.touched(Mfn(mfn))));
}

#[test]
fn high_memory_goes_first_and_low_memory_is_there_for_those_who_need_it() {
    let world = World::new(0x4000, &[(0, 0x4000)]);
    assert!(world.order(0).unwrap().0 >= 0x2000);
    let low = world.alloc(Request { order: 2, max_address_bits: 24, ..Request::default() }).unwrap();
    assert!(low.0 + 4 <= 0x1000);
    assert_eq!(world.alloc(Request { max_address_bits: 12, ..Request::default() }), None, "frame 0 is nobody's");
    assert_eq!(world.alloc(Request { max_address_bits: 5, ..Request::default() }), None);
    assert_eq!(world.heap.free_between(0, 24), 0xfff - 4);
    assert_eq!(world.heap.free_between(25, 64), 0x3000 - 1);
}

#[test]
fn orders_beyond_the_largest_are_refused() {
    let world = World::new(0x4000, &[(0, 0x4000)]);
    assert_eq!(world.order(MAX_ORDER + 1), None);
    assert_eq!(world.order(u32::MAX), None);
}

#[test]
fn what_one_owner_wrote_the_next_does_not_see() {
    let world = World::new(64, &[(32, 32)]);
    let first = world.order(5).unwrap();
    world.fill(first, 5);
    world.free(first, 5);
    let again = world.order(5).unwrap();
    assert_eq!(again, first);
    assert!(world.is_zero(again, 5));
}

#[test]
fn a_caller_that_overwrites_is_spared_the_scrubbing() {
    let world = World::new(64, &[(32, 32)]);
    let mfn = world.alloc(Request { overwritten: true, ..Request::default() }).unwrap();
    assert!(!world.platform.touched(mfn));
}

#[test]
fn a_frame_changes_owner_only_after_the_cpus_that_may_hold_it_flushed() {
    let world = World::new(64, &[(32, 32)]);
    let mfn = world.order(5).unwrap();
    assert!(world.platform.flushes.lock().unwrap().is_empty(), "RAM from boot was in no TLB");
    world.free(mfn, 5);
    let mut two = CpuMask::one(CpuId(0));
    two.set(CpuId(2));
    world.platform.flush(CpuId(2), &two, Flush::All);
    world.platform.flushes.lock().unwrap().clear();
    world.order(0).unwrap();
    let mut others = CpuMask::one(CpuId(1));
    others.set(CpuId(3));
    assert_eq!(*world.platform.flushes.lock().unwrap(), [(CpuId(0), others, Flush::All)]);
    world.order(0).unwrap();
    assert_eq!(world.platform.flushes.lock().unwrap().len(), 1, "all have flushed since");
}

#[test]
fn a_frame_that_no_guest_had_needs_no_flush() {
    let world = World::new(64, &[(32, 32)]);
    let mfn = world.order(5).unwrap();
    world.heap.free(&world.table, &world.platform, mfn, 5, false);
    world.order(5).unwrap();
    assert!(world.platform.flushes.lock().unwrap().is_empty());
}

#[test]
fn idle_scrubbing_flushes_before_it_zeroes_and_ends() {
    let world = World::new(1 << 10, &[(1 << 9, 1 << 9)]);
    let mfn = world.order(9).unwrap();
    world.fill(mfn, 9);
    world.free(mfn, 9);
    assert_eq!(world.heap.scrub_some(&world.table, &world.here(), 100, || true), 128);
    assert_eq!(world.platform.flushes.lock().unwrap().len(), 1);
    assert_eq!(world.heap.scrub_some(&world.table, &world.here(), 1, || false), 0);
    assert_eq!(world.heap.scrub_some(&world.table, &world.here(), u32::MAX, || true), 512 - 128);
    assert_eq!(world.heap.scrub_some(&world.table, &world.here(), u32::MAX, || true), 0);
    assert_eq!(world.blocks(), BTreeSet::from([(1 << 9, 9)]));
    assert!(world.is_zero(mfn, 9));
    // What is clean is not scrubbed again.
    world.fill(mfn, 9);
    let again = world.order(9).unwrap();
    assert!(!world.is_zero(again, 0));
}

#[test]
fn a_scrubbed_frame_is_preferred() {
    let world = World::new(256, &[(128, 128)]);
    world.heap.scrub_some(&world.table, &world.here(), 64, || true);
    let touched = |n: u64| world.platform.touched(Mfn(128 + n));
    assert!((0..64).all(touched) && !(64..128).any(touched));
    let all: BTreeSet<_> = (0..64).map(|_| world.order(0).unwrap().0).collect();
    assert_eq!(all, (128..192).collect());
}

#[test]
#[should_panic(expected = "is freed but was not allocated")]
fn a_double_free_is_caught() {
    let world = World::new(64, &[(32, 32)]);
    let mfn = world.order(0).unwrap();
    world.free(mfn, 0);
    world.free(mfn, 0);
}

#[test]
#[should_panic(expected = "overlaps a free block")]
fn adding_ram_twice_is_caught() {
    World::new(256, &[(32, 32), (60, 10)]);
}

#[test]
#[should_panic(expected = "overlaps a free block")]
fn adding_ram_around_other_ram_is_caught() {
    World::new(256, &[(40, 2), (32, 32)]);
}

#[test]
fn claimed_frames_are_for_the_claimant() {
    let world = World::new(64, &[(32, 32)]);
    let claim = AtomicU64::new(0);
    assert_eq!(world.heap.claim(&claim, 10, 100, 10), Err(ClaimError::Invalid), "has as much");
    assert_eq!(world.heap.claim(&claim, 10, 20, 21), Err(ClaimError::Invalid), "may not have as much");
    assert_eq!(world.heap.claim(&claim, 10, 100, 43), Err(ClaimError::OutOfMemory));
    assert_eq!(world.heap.claim(&claim, 2, 100, 32), Ok(()));
    assert_eq!(world.heap.claim(&claim, 2, 100, 31), Err(ClaimError::Invalid), "one claim at a time");
    assert_eq!(world.heap.stats().claimed, 30);
    assert!(world.order(1).is_some());
    assert_eq!(world.order(0), None);
    let own = Request { order: 4, claim: Some(&claim), ..Request::default() };
    assert!(world.alloc(own).is_some());
    assert_eq!((world.heap.stats().claimed, claim.load(Ordering::Relaxed)), (14, 14));
    assert_eq!(world.alloc(own), None, "more than its claim, and nothing else is free");
    assert_eq!(world.heap.claim(&claim, 0, 0, 0), Ok(()));
    assert_eq!(world.heap.stats().claimed, 0);
    assert!(world.order(0).is_some());
}

#[test]
fn a_claim_is_used_up_by_a_larger_allocation_once() {
    let world = World::new(64, &[(32, 32)]);
    let claim = AtomicU64::new(0);
    world.heap.claim(&claim, 0, 100, 3).unwrap();
    assert!(world.alloc(Request { order: 3, claim: Some(&claim), ..Request::default() }).is_some());
    assert_eq!((world.heap.stats().claimed, claim.load(Ordering::Relaxed)), (0, 0));
}

#[test]
fn a_domain_may_claim_as_much_as_it_may_have_and_get_it_at_once() {
    let world = World::new(64, &[(32, 32)]);
    let claim = AtomicU64::new(0);
    assert_eq!(world.heap.claim(&claim, 10, 42, 42), Ok(()));
    assert_eq!(world.order(0), None);
    assert!(world.alloc(Request { order: 5, claim: Some(&claim), ..Request::default() }).is_some());
    assert_eq!((world.heap.stats().claimed, claim.load(Ordering::Relaxed)), (0, 0));
}

#[test]
fn the_largest_block_can_be_had() {
    let frames = 1 << MAX_ORDER;
    let world = World::new(2 * frames, &[(frames as u64, frames as u64)]);
    let all = Request { order: MAX_ORDER, overwritten: true, ..Request::default() };
    assert_eq!(world.alloc(all), Some(Mfn(frames as u64)));
}

#[test]
fn frames_that_are_freed_together_need_not_be_a_block() {
    for (start, order) in [(1, 1), (3, 2), (33, 1), (34, 2), (36, 3), (32, 0), (32, 5)] {
        let world = World::new(64, &[(1, 63)]);
        (1..64).for_each(|_| _ = world.order(0).unwrap());
        world.free(Mfn(start), order);
        assert_eq!(world.blocks(), naive_blocks(&(start..start + (1 << order)).collect()), "{start} {order}");
        assert!(world.platform.lines.lock().unwrap().is_empty(), "nothing is wrong");
        let free: Vec<u64> = (0..65).filter(|mfn| world.heap.is_free(&world.table, Mfn(*mfn))).collect();
        assert_eq!(free, (start..start + (1 << order)).collect::<Vec<_>>());
        assert!(!world.heap.is_free(&world.table, Mfn(start + (1 << 32))));
    }
}

#[test]
fn a_frame_that_a_guest_had_stands_for_nothing_any_more() {
    let world = World::new(64, &[(32, 32)]);
    for (mapped, stands_for) in [(true, u64::MAX), (false, 77)] {
        let mfn = world.order(0).unwrap();
        world.platform.set_m2p(mfn, 77);
        world.heap.free(&world.table, &world.platform, mfn, 0, mapped);
        assert_eq!(world.platform.m2p_of(mfn.0), stands_for);
    }
}

#[test]
fn of_a_block_what_is_clean_already_is_not_scrubbed() {
    let world = World::new(256, &[(128, 64)]);
    let low = world.order(5).unwrap();
    let high = world.order(5).unwrap();
    assert_eq!((low, high), (Mfn(128), Mfn(160)));
    world.free(low, 5);
    assert_eq!(world.heap.scrub_some(&world.table, &world.here(), 100, || true), 32);
    world.fill(high, 5);
    world.free(high, 5);
    assert_eq!(world.blocks(), BTreeSet::from([(128, 6)]));
    // What somebody has who is next to it, and a mark in the clean half.
    world.fill(Mfn(64), 6);
    world.fill(low, 5);
    assert_eq!(world.heap.scrub_some(&world.table, &world.here(), 100, || true), 32);
    assert!(world.is_zero(high, 5));
    assert!((64..160).all(|mfn| !world.is_zero(Mfn(mfn), 0)));
}

#[derive(Clone, Debug)]
enum Step {
    Alloc(u32, u32),
    Free(prop::sample::Index),
    FreePart(prop::sample::Index),
    Scrub(u32),
    FlushAll,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..7u32, prop_oneof![3 => Just(0u32), 1 => 17..24u32]).prop_map(|(order, bits)| Step::Alloc(order, bits)),
        3 => any::<prop::sample::Index>().prop_map(Step::Free),
        1 => any::<prop::sample::Index>().prop_map(Step::FreePart),
        1 => (1..200u32).prop_map(Step::Scrub),
        1 => Just(Step::FlushAll),
    ]
}

/// The same blocks from nothing but the set of free frames: whatever is wholly free, and else its halves.
fn naive_blocks(free: &BTreeSet<u64>) -> BTreeSet<(u64, u32)> {
    let below: Vec<u64> = (0..=1024)
        .scan(0, |sum, frame| Some(std::mem::replace(sum, *sum + u64::from(free.contains(&frame)))))
        .collect();
    let mut blocks = BTreeSet::new();
    let mut todo = vec![(0u64, 10u32)];
    while let Some((start, order)) = todo.pop() {
        let half = (1 << order) / 2;
        match below[(start + (1 << order)) as usize] - below[start as usize] {
            0 => {}
            count if count == 1 << order && start != 0 => drop(blocks.insert((start, order))),
            _ => todo.extend([(start, order - 1), (start + half, order - 1)]),
        }
    }
    blocks
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    /// Against a set of free frames: nothing overlaps, everything is aligned, inside its limit and zeroed, a stale
    /// translation never survives, and the free blocks are always as large as they can be.
    #[test]
    fn the_heap_agrees_with_a_set_of_frames(steps in prop::collection::vec(step(), 1..60)) {
        const FRAMES: u64 = 600;
        let world = World::new(FRAMES as usize, &[(0, 100), (130, 1), (256, 300)]);
        let mut free: BTreeSet<u64> = (1..100).chain([130]).chain(256..556).collect();
        let mut held: Vec<(Mfn, u32)> = Vec::new();
        // When each frame was last freed, by the platform's stamp.
        let mut freed_at = std::collections::BTreeMap::new();
        for step in steps {
            match step {
                Step::Alloc(order, bits) => {
                    let got = world.alloc(Request { order, max_address_bits: bits, ..Request::default() });
                    let limit = if bits == 0 { u64::MAX } else { 1 << (bits - PAGE_SHIFT) };
                    let possible = naive_blocks(&free).iter().any(|&(at, o)| o >= order && at < limit);
                    prop_assert_eq!(got.is_some(), possible);
                    if let Some(mfn) = got {
                        prop_assert_eq!(mfn.0 & ((1 << order) - 1), 0);
                        prop_assert!(mfn.0 + (1 << order) <= limit);
                        prop_assert!(world.is_zero(mfn, order));
                        for frame in mfn.0..mfn.0 + (1 << order) {
                            prop_assert!(free.remove(&frame), "frame {frame:#x} was not free");
                            if let Some(&stamp) = freed_at.get(&frame) {
                                prop_assert!(world.cpus.iter().all(|cpu| world.platform.flushed_since(cpu, stamp)));
                            }
                        }
                        world.fill(mfn, order);
                        held.push((mfn, order));
                    }
                }
                Step::Free(which) | Step::FreePart(which) if !held.is_empty() => {
                    let (mfn, order) = held.swap_remove(which.index(held.len()));
                    for frame in mfn.0..mfn.0 + (1 << order) {
                        free.insert(frame);
                        freed_at.insert(frame, world.platform.tlb_stamp());
                        if matches!(step, Step::FreePart(_)) {
                            world.free(Mfn(frame), 0);
                        }
                    }
                    if matches!(step, Step::Free(_)) {
                        world.free(mfn, order);
                    }
                }
                Step::Scrub(budget) => {
                    world.heap.scrub_some(&world.table, &world.here(), budget, || true);
                }
                Step::FlushAll => world.platform.flush(CpuId(0), &world.cpus, Flush::All),
                _ => {}
            }
            prop_assert_eq!(world.blocks(), naive_blocks(&free));
            prop_assert_eq!(world.heap.stats().free, free.len() as u64);
        }
    }
}
