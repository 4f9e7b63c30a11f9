//! `memory_op` as a guest sees it, and that nothing is lost on any way out.

mod query;

use super::*;
use crate::addr::Vaddr;
use crate::domain::DomId;
use crate::frame::{FrameKind, FrameRef};
use crate::hypercall::{HypercallResult, Stop};
use crate::paging::mmuext_op;
use crate::platform::{Flush, Platform as _};
use crate::testing::{GUEST_BASE, TestPlatform, TestWorld};
use proptest::prelude::*;
use std::sync::atomic::Ordering;
use xen_abi::memory::*;
use xen_abi::xen::{MMUEXT_PIN_L1_TABLE, MmuextOp};
use xen_abi::{Errno, GuestPtr};
use zerocopy::{Immutable, IntoBytes};

const ARG: u64 = GUEST_BASE;
const LIST: u64 = GUEST_BASE + 0x1000;
const OUT: u64 = GUEST_BASE + 0x4000;

fn world() -> TestWorld {
    TestWorld::new(0x1000, &[(1, 0xfff)])
}

fn op<T: IntoBytes + Immutable>(world: &TestWorld, id: u16, cmd: u64, arg: &T) -> HypercallResult {
    world.platform().poke(ARG, arg);
    world.call(id, |ctx| memory_op(ctx, cmd, ARG)).0
}

/// Goes on until it is done, as a guest does; gives the number of interruptions too.
fn to_the_end(world: &TestWorld, id: u16, cmd: u32) -> (HypercallResult, u32) {
    let (mut cmd, mut stops) = (u64::from(cmd), 0);
    loop {
        match world.call(id, |ctx| memory_op(ctx, cmd, ARG)).0 {
            Err(Stop::Again([next, ARG, 0, 0, 0, 0])) => (cmd, stops) = (next, stops + 1),
            other => return (other, stops),
        }
        world.platform().polls_left.fetch_max(1, Ordering::SeqCst);
    }
}

fn request(nr_extents: u64, extent_order: u32, list: u64) -> XenMemoryReservation {
    XenMemoryReservation {
        extent_start: GuestPtr::new(list),
        nr_extents,
        extent_order,
        domid: DomId::SELF.0,
        ..Default::default()
    }
}

fn poke_list(world: &TestWorld, at: u64, values: &[u64]) {
    values.iter().zip(0..).for_each(|(value, n)| world.platform().poke(at + n * 8, value));
}

fn peek_list(world: &TestWorld, at: u64, count: u64) -> Vec<u64> {
    (0..count).map(|n| world.platform().peek(at + n * 8)).collect()
}

/// Every frame is free, or counted as its owner's; the hypervisor holds none.
fn check(world: &TestWorld) {
    world.hv.heap.check(&world.hv.frames, |_, _| ());
    let owned = |id| {
        let is_its = |mfn: &u64| world.hv.frames.kind(Mfn(*mfn)) == FrameKind::Owned(DomId(id));
        (0..0x1000).filter(is_its).count() as u64
    };
    for id in 0..2 {
        assert_eq!(world.dom(id).pages.total.load(Ordering::SeqCst), owned(id), "count of domain {id}");
    }
    assert_eq!(world.held_frames(), 0);
    assert_eq!(world.hv.heap.stats().free + owned(0) + owned(1), 0xfff);
}

fn free(world: &TestWorld) -> u64 {
    world.hv.heap.stats().free
}

#[test]
fn populate_gives_zeroed_frames_that_stand_for_the_guests_frames() {
    let world = world();
    poke_list(&world, LIST, &[0x100, 0x200, 0x300]);
    assert_eq!(op(&world, 1, XENMEM_populate_physmap.into(), &request(3, 1, LIST)), Ok(3));
    for (mfn, pfn) in peek_list(&world, LIST, 3).into_iter().zip([0x100, 0x200, 0x300]) {
        assert_eq!(mfn % 2, 0);
        for n in 0..2 {
            assert_eq!(world.hv.frames.owner(Mfn(mfn + n)), Some(DomId(1)));
            assert_eq!(world.hv.frames.references(Mfn(mfn + n)), 1);
            assert_eq!(world.platform().m2p_of(mfn + n), pfn + n);
        }
    }
    assert_eq!(world.dom(1).pages.total.load(Ordering::SeqCst), 6);
    check(&world);
}

#[test]
fn decrease_frees_frames_and_they_stand_for_nothing() {
    let world = world();
    poke_list(&world, LIST, &[7, 8]);
    op(&world, 1, XENMEM_populate_physmap.into(), &request(2, 0, LIST)).unwrap();
    let mfns = peek_list(&world, LIST, 2);
    assert_eq!(op(&world, 1, XENMEM_decrease_reservation.into(), &request(2, 0, LIST)), Ok(2));
    assert_eq!(free(&world), 0xfff);
    assert!(mfns.iter().all(|&mfn| world.platform().m2p_of(mfn) == u64::MAX));
    assert_eq!(op(&world, 1, XENMEM_decrease_reservation.into(), &request(2, 0, LIST)), Ok(0), "not its own any more");
    check(&world);
}

#[test]
fn decrease_of_a_frame_in_use_frees_it_with_the_last_reference() {
    let world = world();
    op(&world, 1, XENMEM_increase_reservation.into(), &request(1, 0, LIST)).unwrap();
    let mfn = Mfn(world.platform().peek(LIST));
    let held: FrameRef = world.hv.frames.get(mfn, DomId(1)).unwrap();
    assert_eq!(op(&world, 1, XENMEM_decrease_reservation.into(), &request(1, 0, LIST)), Ok(1));
    assert_eq!(op(&world, 1, XENMEM_decrease_reservation.into(), &request(1, 0, LIST)), Ok(0), "only once");
    assert_eq!(free(&world), 0xffe);
    check(&world);
    world.hv.free_frame(world.hv.frames.put(held).unwrap());
    assert_eq!(free(&world), 0xfff);
    check(&world);
}

#[test]
fn decrease_of_a_pinned_table_unpins_it() {
    let world = world();
    op(&world, 1, XENMEM_increase_reservation.into(), &request(2, 0, LIST)).unwrap();
    let [table, mapped] = [0, 1].map(|n| Mfn(peek_list(&world, LIST, 2)[n]));
    world.platform().page(table).store_u64(8, mapped.maddr().0 | 7);
    let pin = MmuextOp { cmd: MMUEXT_PIN_L1_TABLE, arg1: table.0, ..Default::default() };
    world.platform().poke(OUT, &pin);
    let pinned = world.call(1, |ctx| mmuext_op(ctx, Vaddr(OUT), 1, Vaddr(0), DomId::SELF.0.into())).0;
    assert_eq!(pinned, Ok(0));
    assert!(world.hv.frames.is_pinned(table));
    assert_eq!(world.hv.frames.references(mapped), 2);
    assert_eq!(op(&world, 1, XENMEM_decrease_reservation.into(), &request(1, 0, LIST)), Ok(1));
    assert_eq!(world.hv.frames.owner(table), None);
    assert_eq!(world.hv.frames.references(mapped), 1);
    check(&world);
}

#[test]
fn a_pinned_frame_is_busy() {
    let world = world();
    let dom = world.dom(1);
    let table = world.hv.alloc_for(crate::cpu::CpuId(0), &dom, 0, 0, false).unwrap();
    let pin = MmuextOp { cmd: MMUEXT_PIN_L1_TABLE, arg1: table.0, ..Default::default() };
    world.platform().poke(OUT, &pin);
    let pinned = world.call(1, |ctx| mmuext_op(ctx, Vaddr(OUT), 1, Vaddr(0), DomId::SELF.0.into())).0;
    assert_eq!((pinned, world.hv.release(&dom, table)), (Ok(0), Err(MemoryError::Busy)));
    assert_eq!(world.hv.release(&dom, Mfn(5)), Err(MemoryError::NotOwned));
}

#[test]
fn errors_of_memory_are_told_as_xen_tells_them() {
    for (error, errno) in [
        (MemoryError::OutOfMemory, Errno::ENOMEM),
        (MemoryError::OverLimit, Errno::ENOMEM),
        (MemoryError::Dying, Errno::EINVAL),
        (MemoryError::NotOwned, Errno::EINVAL),
        (MemoryError::Busy, Errno::EBUSY),
    ] {
        assert_eq!(Errno::from(error), errno);
    }
}

#[test]
fn an_idle_cpu_scrubs_until_something_else_is_to_be_done() {
    let world = TestWorld::new(256, &[(128, 128)]);
    world.platform().polls_left.store(0, Ordering::SeqCst);
    assert_eq!(world.hv.scrub_idle(crate::cpu::CpuId(0), 1), 0);
    world.platform().polls_left.store(u64::MAX, Ordering::SeqCst);
    assert_eq!(world.hv.scrub_idle(crate::cpu::CpuId(0), 1), 64);
    assert_eq!(world.hv.scrub_idle(crate::cpu::CpuId(0), 1000), 64);
    assert_eq!(world.hv.scrub_idle(crate::cpu::CpuId(0), 1000), 0);
}

#[test]
fn a_domain_cannot_free_other_frames_than_its_own() {
    let world = world();
    let theirs = world.hv.alloc_for(crate::cpu::CpuId(0), &world.dom(0), 0, 0, false).unwrap();
    let hypervisors = world.hv.alloc_frames(crate::cpu::CpuId(0), Default::default()).unwrap();
    let shared = world.hv.alloc_frames(crate::cpu::CpuId(0), Default::default()).unwrap();
    world.hv.frames.share(shared, DomId(1), true).unwrap();
    for mfn in [theirs.0, hypervisors.0, shared.0, 5, 0x1000, u64::MAX] {
        poke_list(&world, LIST, &[mfn]);
        assert_eq!(op(&world, 1, XENMEM_decrease_reservation.into(), &request(1, 0, LIST)), Ok(0), "{mfn:#x}");
        poke_list(&world, OUT, &[1]);
        let exchange = exchange(request(1, 0, LIST), request(1, 0, OUT));
        let result = op(&world, 1, XENMEM_exchange.into(), &exchange);
        assert!(matches!(result, Err(Stop::Err(Errno::EINVAL | Errno::EBUSY))), "{mfn:#x}: {result:?}");
    }
    assert_eq!(world.hv.frames.references(shared), 1);
    assert_eq!(free(&world), 0xfff - 3);
}

#[test]
fn the_limit_of_a_domain_holds() {
    let world = world();
    world.dom(1).pages.max.store(5, Ordering::SeqCst);
    assert_eq!(op(&world, 1, XENMEM_increase_reservation.into(), &request(9, 1, LIST)), Ok(2));
    assert_eq!(op(&world, 1, XENMEM_increase_reservation.into(), &request(9, 0, LIST)), Ok(1));
    assert_eq!(world.dom(1).pages.total.load(Ordering::SeqCst), 5);
    check(&world);
}

#[test]
fn a_dying_domain_gets_nothing() {
    let world = world();
    world.dom(1).dying.store(true, Ordering::SeqCst);
    assert_eq!(op(&world, 1, XENMEM_increase_reservation.into(), &request(1, 0, LIST)), Ok(0));
    check(&world);
}

#[test]
fn large_extents_are_for_the_privileged() {
    let world = world();
    world.platform().poke(LIST, &0u64);
    for command in [XENMEM_increase_reservation, XENMEM_populate_physmap, XENMEM_decrease_reservation] {
        assert_eq!(op(&world, 1, command.into(), &request(1, 10, LIST)), Ok(0));
    }
    assert_eq!(op(&world, 1, XENMEM_increase_reservation.into(), &request(1, 9, LIST)), Ok(1));
    assert_eq!(op(&world, 0, XENMEM_increase_reservation.into(), &request(1, 10, LIST)), Ok(1));
    for order in [19, 63, 64, u32::MAX] {
        assert_eq!(op(&world, 0, XENMEM_increase_reservation.into(), &request(1, order, LIST)), Ok(0));
    }
    check(&world);
}

#[test]
fn only_the_privileged_change_another_domain() {
    let world = world();
    let other = |id| XenMemoryReservation { domid: id, ..request(1, 0, 0) };
    assert_eq!(op(&world, 1, XENMEM_increase_reservation.into(), &other(0)), Ok(0));
    assert_eq!(op(&world, 1, XENMEM_increase_reservation.into(), &other(1)), Ok(1), "itself by number");
    assert_eq!(op(&world, 0, XENMEM_increase_reservation.into(), &other(1)), Ok(1));
    assert_eq!(op(&world, 0, XENMEM_increase_reservation.into(), &other(9)), Ok(0), "no such domain");
    assert_eq!(world.dom(1).pages.total.load(Ordering::SeqCst), 2);
    check(&world);
}

#[test]
fn hostile_counts_do_nothing() {
    let world = world();
    for (cmd, extents) in [(0, u64::MAX), (0, 1 << 26), (5 << 6, 5), (!63, 1), (!63, u64::MAX)] {
        let got = op(&world, 1, cmd | u64::from(XENMEM_increase_reservation), &request(extents, 0, 0));
        assert_eq!(got, Ok(cmd >> 6), "the progress that was claimed, and no more");
    }
    check(&world);
}

#[test]
fn as_many_extents_as_a_continuation_can_count_may_be_asked_for() {
    let world = world();
    world.dom(1).pages.max.store(3, Ordering::SeqCst);
    let most = u64::from(u32::MAX >> 6);
    assert_eq!(op(&world, 1, XENMEM_increase_reservation.into(), &request(most + 1, 0, 0)), Ok(0));
    assert_eq!(op(&world, 1, XENMEM_increase_reservation.into(), &request(most, 0, 0)), Ok(3));
    check(&world);
}

#[test]
fn address_bits_are_kept() {
    let world = world();
    let low = XenMemoryReservation { mem_flags: 20, ..request(4, 2, LIST) };
    assert_eq!(op(&world, 1, XENMEM_increase_reservation.into(), &low), Ok(4));
    assert!(peek_list(&world, LIST, 4).iter().all(|mfn| mfn + 4 <= 0x100));
    let none = XenMemoryReservation { mem_flags: 12, ..request(1, 0, LIST) };
    assert_eq!(op(&world, 1, XENMEM_increase_reservation.into(), &none), Ok(0));
    check(&world);
}

#[test]
fn an_interrupted_change_goes_on_where_it_stopped() {
    for command in [XENMEM_increase_reservation, XENMEM_populate_physmap] {
        let world = world();
        poke_list(&world, LIST, &(0..20).collect::<Vec<_>>());
        world.platform().poke(ARG, &request(20, 0, LIST));
        world.platform().polls_left.store(0, Ordering::SeqCst);
        let (result, stops) = to_the_end(&world, 1, command);
        assert_eq!(result, Ok(20));
        assert!(stops >= 5, "{stops}");
        let mut mfns = peek_list(&world, LIST, 20);
        mfns.sort();
        mfns.dedup();
        assert_eq!(mfns.len(), 20);
        check(&world);
        world.platform().polls_left.store(0, Ordering::SeqCst);
        assert_eq!(to_the_end(&world, 1, XENMEM_decrease_reservation).0, Ok(20));
        assert_eq!(free(&world), 0xfff);
        check(&world);
    }
}

#[test]
fn a_fault_at_any_copy_leaves_what_was_done_and_nothing_else() {
    for command in [XENMEM_increase_reservation, XENMEM_populate_physmap, XENMEM_decrease_reservation] {
        for copies in 0..8 {
            let world = world();
            if command == XENMEM_decrease_reservation {
                op(&world, 1, XENMEM_increase_reservation.into(), &request(3, 1, LIST)).unwrap();
            }
            world.platform().poke(ARG, &request(3, 1, LIST));
            world.platform().copies_left.store(copies, Ordering::SeqCst);
            let done = world.call(1, |ctx| memory_op(ctx, command.into(), ARG)).0.unwrap();
            let has = world.dom(1).pages.total.load(Ordering::SeqCst);
            assert_eq!(has, if command == XENMEM_decrease_reservation { 6 - 2 * done } else { 2 * done });
            assert!(copies < 7 || done == 3);
            check(&world);
        }
    }
}

fn exchange(input: XenMemoryReservation, output: XenMemoryReservation) -> XenMemoryExchange {
    XenMemoryExchange { r#in: input, out: output, nr_exchanged: 0 }
}

/// Sixteen frames of domain 1 in `LIST`.
fn world_with_frames() -> (TestWorld, Vec<u64>) {
    let world = world();
    op(&world, 1, XENMEM_increase_reservation.into(), &request(16, 0, LIST)).unwrap();
    let mfns = peek_list(&world, LIST, 16);
    (world, mfns)
}

fn exchanged(world: &TestWorld) -> u64 {
    world.platform().peek(ARG + std::mem::offset_of!(XenMemoryExchange, nr_exchanged) as u64)
}

#[test]
fn single_frames_become_contiguous_ones_below_an_address() {
    let (world, mfns) = world_with_frames();
    poke_list(&world, OUT, &[0x40, 0x80]);
    let output = XenMemoryReservation { mem_flags: 20, ..request(2, 3, OUT) };
    assert_eq!(op(&world, 1, XENMEM_exchange.into(), &exchange(request(16, 0, LIST), output)), Ok(0));
    assert_eq!(exchanged(&world), 16);
    for (mfn, pfn) in peek_list(&world, OUT, 2).into_iter().zip([0x40, 0x80]) {
        assert!(mfn % 8 == 0 && mfn + 8 <= 0x100);
        assert!((0..8).all(|n| world.platform().m2p_of(mfn + n) == pfn + n));
        assert!((0..8).all(|n| world.hv.frames.owner(Mfn(mfn + n)) == Some(DomId(1))));
    }
    assert!(mfns.iter().all(|&mfn| world.hv.frames.owner(Mfn(mfn)).is_none()));
    check(&world);
}

#[test]
fn contiguous_frames_become_single_ones() {
    let world = world();
    op(&world, 1, XENMEM_increase_reservation.into(), &request(2, 2, LIST)).unwrap();
    poke_list(&world, OUT, &[1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(op(&world, 1, XENMEM_exchange.into(), &exchange(request(2, 2, LIST), request(8, 0, OUT))), Ok(0));
    assert_eq!(exchanged(&world), 2);
    let mfns = peek_list(&world, OUT, 8);
    assert!(mfns.iter().zip(1..).all(|(&mfn, pfn)| world.platform().m2p_of(mfn) == pfn));
    check(&world);
}

#[test]
fn a_chunk_that_cannot_be_exchanged_stays_as_it_was() {
    let (world, mfns) = world_with_frames();
    // The last frame of the second chunk is in use.
    let held = world.hv.frames.get(Mfn(mfns[15]), DomId(1)).unwrap();
    let request = exchange(request(16, 0, LIST), request(2, 3, OUT));
    assert_eq!(op(&world, 1, XENMEM_exchange.into(), &request), Err(Stop::Err(Errno::EINVAL)));
    assert_eq!(exchanged(&world), 8);
    assert!(mfns[..8].iter().all(|&mfn| world.hv.frames.owner(Mfn(mfn)).is_none()));
    assert!(mfns[8..].iter().all(|&mfn| world.hv.frames.owner(Mfn(mfn)) == Some(DomId(1))));
    check(&world);
    assert!(world.hv.frames.put(held).is_none());
}

#[test]
fn the_same_frame_cannot_be_given_twice() {
    let (world, mfns) = world_with_frames();
    poke_list(&world, LIST, &[mfns[0], mfns[1], mfns[0], mfns[2]]);
    let request = exchange(request(4, 0, LIST), request(1, 2, OUT));
    assert_eq!(op(&world, 1, XENMEM_exchange.into(), &request), Err(Stop::Err(Errno::EINVAL)));
    assert!(mfns.iter().all(|&mfn| world.hv.frames.owner(Mfn(mfn)) == Some(DomId(1))));
    check(&world);
}

/// A frame that a domain gives in an exchange is taken from it first, and forgets what it was used as. When the exchange then
/// failed (here because of a second frame that is not the domain's) it was given back like a fresh one, whose first use as a
/// page table needs no flush: but a CPU could still remember it as writable, or as a table of another level, and so the guest
/// could write to its own page table. Found by `fuzz/fuzz_targets/hypercalls.rs`.
#[test]
fn a_frame_that_comes_back_from_an_exchange_is_forgotten_by_every_cpu() {
    let (world, mfns) = world_with_frames();
    let flushes = || std::mem::take(&mut *world.platform().flushes.lock().unwrap());
    for wrong in [[mfns[0], 0xfff], [mfns[0], mfns[0]]] {
        poke_list(&world, LIST, &wrong);
        flushes();
        let request = exchange(request(2, 0, LIST), request(1, 1, OUT));
        assert_eq!(op(&world, 1, XENMEM_exchange.into(), &request), Err(Stop::Err(Errno::EINVAL)));
        assert!(matches!(flushes()[..], [(_, cpus, Flush::All)] if cpus == TestPlatform::all_cpus()));
    }
    poke_list(&world, LIST, &[0xfff, mfns[0]]);
    let request = exchange(request(2, 0, LIST), request(1, 1, OUT));
    assert_eq!(op(&world, 1, XENMEM_exchange.into(), &request), Err(Stop::Err(Errno::EINVAL)));
    assert!(flushes().is_empty(), "nothing was taken");
    check(&world);
}

#[test]
fn an_exchange_without_memory_gives_everything_back() {
    let (world, mfns) = world_with_frames();
    let output = XenMemoryReservation { mem_flags: 13, ..request(2, 3, OUT) };
    let request = exchange(request(16, 0, LIST), output);
    assert_eq!(op(&world, 1, XENMEM_exchange.into(), &request), Err(Stop::Err(Errno::ENOMEM)));
    assert_eq!(exchanged(&world), 0);
    assert!(mfns.iter().all(|&mfn| world.hv.frames.owner(Mfn(mfn)) == Some(DomId(1))));
    check(&world);
}

#[test]
fn an_interrupted_exchange_goes_on_where_it_stopped() {
    let (world, _) = world_with_frames();
    poke_list(&world, OUT, &[8, 16, 24, 32]);
    world.platform().poke(ARG, &exchange(request(16, 0, LIST), request(4, 2, OUT)));
    world.platform().polls_left.store(0, Ordering::SeqCst);
    let (result, stops) = to_the_end(&world, 1, XENMEM_exchange);
    assert_eq!((result, exchanged(&world)), (Ok(0), 16));
    assert!(stops >= 1);
    check(&world);
}

#[test]
fn one_chunk_is_exchanged_however_much_is_pending() {
    let (world, mfns) = world_with_frames();
    poke_list(&world, OUT, &[8, 16]);
    world.platform().polls_left.store(0, Ordering::SeqCst);
    let arg = exchange(request(16, 0, LIST), request(2, 3, OUT));
    let again = Err(Stop::Again([XENMEM_exchange.into(), ARG, 0, 0, 0, 0]));
    assert_eq!((op(&world, 1, XENMEM_exchange.into(), &arg), exchanged(&world)), (again, 8));
    // A guest that says that it is done with half of it gets the other half.
    let half = XenMemoryExchange { nr_exchanged: 8, ..arg };
    assert_eq!((op(&world, 1, XENMEM_exchange.into(), &half), exchanged(&world)), (Ok(0), 16));
    assert!(mfns[8..].iter().all(|&mfn| world.hv.frames.owner(Mfn(mfn)).is_none()));
    let all = XenMemoryExchange { nr_exchanged: 16, ..arg };
    assert_eq!((op(&world, 1, XENMEM_exchange.into(), &all), exchanged(&world)), (Ok(0), 16), "nothing is left");
    check(&world);
}

#[test]
fn extents_as_large_as_a_domain_may_have_are_exchanged() {
    let world = world();
    op(&world, 1, XENMEM_increase_reservation.into(), &request(1, 9, LIST)).unwrap();
    let first: u64 = world.platform().peek(LIST);
    poke_list(&world, OUT, &[0x200]);
    assert_eq!(op(&world, 1, XENMEM_exchange.into(), &exchange(request(1, 9, LIST), request(1, 9, OUT))), Ok(0));
    let second: u64 = world.platform().peek(OUT);
    assert_ne!(first, second);
    let owner = |mfn| world.hv.frames.owner(Mfn(mfn));
    assert_eq!((owner(first), owner(second + 511)), (None, Some(DomId(1))));
    check(&world);
}

#[test]
fn lists_of_an_exchange_are_the_guests_own() {
    // XSA-212 was an address in the hypervisor's part.
    const OURS: u64 = 0xffff_8300_0000_0000;
    let (world, mfns) = world_with_frames();
    for (list, out) in [(OURS, OUT), (LIST, OURS)] {
        let arg = exchange(request(8, 0, list), request(1, 3, out));
        assert_eq!(op(&world, 1, XENMEM_exchange.into(), &arg), Err(Stop::Err(Errno::EFAULT)));
    }
    assert!(mfns.iter().all(|&mfn| world.hv.frames.owner(Mfn(mfn)) == Some(DomId(1))));
}

#[test]
fn a_fault_at_any_copy_of_an_exchange_loses_no_frame() {
    for copies in 0..24 {
        let (world, _) = world_with_frames();
        poke_list(&world, OUT, &[8, 16]);
        world.platform().poke(ARG, &exchange(request(16, 0, LIST), request(2, 3, OUT)));
        world.platform().copies_left.store(copies, Ordering::SeqCst);
        let result = world.call(1, |ctx| memory_op(ctx, XENMEM_exchange.into(), ARG)).0;
        assert_eq!(result, if copies < 22 { Err(Stop::Err(Errno::EFAULT)) } else { Ok(0) }, "{copies}");
        assert_eq!(world.dom(1).pages.total.load(Ordering::SeqCst), 16);
        check(&world);
    }
}

#[test]
fn hostile_exchanges_are_refused() {
    let (world, _) = world_with_frames();
    let base = exchange(request(16, 0, LIST), request(2, 3, OUT));
    let refused = |change: fn(&mut XenMemoryExchange), errno| {
        let mut request = base;
        change(&mut request);
        assert_eq!(op(&world, 1, XENMEM_exchange.into(), &request), Err(Stop::Err(errno)));
        check(&world);
    };
    refused(|r| r.r#in.domid = 0, Errno::EINVAL);
    refused(|r| (r.r#in.domid, r.out.domid) = (0, 0), Errno::EPERM);
    refused(|r| (r.r#in.domid, r.out.domid) = (5, 5), Errno::ESRCH);
    refused(|r| r.out.nr_extents = 3, Errno::EINVAL);
    refused(|r| r.out.extent_order = 10, Errno::EPERM);
    refused(|r| r.r#in.extent_order = u32::MAX, Errno::EPERM);
    refused(|r| r.nr_exchanged = 17, Errno::EINVAL);
    refused(|r| (r.r#in.nr_extents, r.out.nr_extents) = (1 << 63, 1 << 60), Errno::EINVAL);
    refused(|r| (r.out.nr_extents, r.r#in.nr_extents) = (1 << 61, 0), Errno::EINVAL);
}

#[test]
fn questions_are_answered_about_oneself_and_by_the_privileged_about_others() {
    let (world, _) = world_with_frames();
    world.dom(1).pages.max.store(99, Ordering::SeqCst);
    let ask = |id, about, command: u32| op(&world, id, command.into(), &XenMemoryDomain { domid: about });
    assert_eq!(ask(1, DomId::SELF.0, XENMEM_current_reservation), Ok(16));
    assert_eq!(ask(0, 1, XENMEM_maximum_reservation), Ok(99));
    assert_eq!(ask(1, 0, XENMEM_current_reservation), Err(Stop::Err(Errno::EPERM)));
    assert_eq!(ask(0, 7, XENMEM_current_reservation), Err(Stop::Err(Errno::ESRCH)));
    assert_eq!(ask(0, 1, XENMEM_maximum_gpfn), Ok(0));
    let shared = world.hv.alloc_frames(crate::cpu::CpuId(0), Default::default()).unwrap();
    world.dom(1).shared_info.store(shared.0, Ordering::SeqCst);
    let at = std::mem::offset_of!(xen_abi::xen::SharedInfo, arch);
    world.platform().page(shared).store_u64(at, 0x8000);
    assert_eq!(ask(1, 1, XENMEM_maximum_gpfn), Ok(0x7fff));
    assert_eq!(ask(1, 1, XENMEM_maximum_ram_page), Ok(0x1000));
}

#[test]
fn the_machine_to_physical_table_is_where_the_abi_says() {
    let mut world = world();
    world.hv.machine.m2p_extents = &[Mfn(0x200), Mfn(0x400), Mfn(0)];
    assert_eq!(op(&world, 1, XENMEM_machphys_mapping.into(), &XenMachphysMapping::default()), Ok(0));
    let mapping: XenMachphysMapping = world.platform().peek(ARG);
    assert_eq!((mapping.v_start, mapping.v_end), (0xffff_8000_0000_0000, 0xffff_8040_0000_0000));
    assert_eq!(mapping.max_mfn, (256 << 30) / 8 - 1);
    for (room, written) in [(2, 2), (9, 3)] {
        let list = XenMachphysMfnList { max_extents: room, extent_start: GuestPtr::new(LIST), ..Default::default() };
        assert_eq!(op(&world, 1, XENMEM_machphys_mfn_list.into(), &list), Ok(0));
        assert_eq!(world.platform().peek::<XenMachphysMfnList>(ARG).nr_extents, written);
        assert_eq!(peek_list(&world, LIST, written.into()), [0x200, 0x400, 0][..written as usize]);
    }
}

#[test]
fn the_machines_map_is_for_the_control_domain() {
    let mut world = world();
    const MAP: &[E820Entry] = &[E820Entry::new(0, 0x9_f000, 1), E820Entry::new(0x1_0000_0000, 0x2_0000_0000, 2)];
    world.hv.machine.e820 = MAP;
    let ask = |nr_entries, buffer| XenMemoryMap { nr_entries, buffer: GuestPtr::new(buffer), ..Default::default() };
    let op = |id, request| op(&world, id, XENMEM_machine_memory_map.into(), &request);
    assert_eq!(op(1, ask(9, LIST)), Err(Stop::Err(Errno::EPERM)));
    assert_eq!(op(0, ask(1, LIST)), Err(Stop::Err(Errno::EINVAL)));
    assert_eq!(op(0, ask(0, 0)), Ok(0));
    assert_eq!(world.platform().peek::<XenMemoryMap>(ARG).nr_entries, 2);
    assert_eq!(op(0, ask(9, LIST)), Ok(0));
    assert_eq!(world.platform().peek::<XenMemoryMap>(ARG).nr_entries, 2);
    assert_eq!(op(0, ask(2, LIST)), Ok(0), "exactly as many");
    let second: E820Entry = world.platform().peek(LIST + 20);
    assert_eq!((second.start(), second.size(), second.kind), (0x1_0000_0000, 0x2_0000_0000, 2));
}

#[test]
fn a_domain_reads_the_map_that_was_set_for_it() {
    let world = world();
    let map = XenMemoryMap { nr_entries: 2, buffer: GuestPtr::new(LIST), ..Default::default() };
    assert_eq!(op(&world, 1, XENMEM_memory_map.into(), &map), Err(Stop::Err(Errno::ENOSYS)));
    world.platform().poke(LIST, &[E820Entry::new(0, 4096, 1), E820Entry::new(8192, 4096, 1)]);
    let set = |domid, nr_entries| XenForeignMemoryMap {
        domid,
        map: XenMemoryMap { nr_entries, ..map },
        ..Default::default()
    };
    assert_eq!(op(&world, 1, XENMEM_set_memory_map.into(), &set(0, 2)), Err(Stop::Err(Errno::EPERM)));
    assert_eq!(op(&world, 0, XENMEM_set_memory_map.into(), &set(1, 1025)), Err(Stop::Err(Errno::EINVAL)));
    assert_eq!(op(&world, 0, XENMEM_set_memory_map.into(), &set(1, 1024)), Ok(0));
    assert_eq!(world.dom(1).memory_map.get().unwrap().len(), 1024);
    assert_eq!(op(&world, 0, XENMEM_set_memory_map.into(), &set(1, 2)), Ok(0));
    world.platform().poke(LIST, &[0u8; 64]);
    assert_eq!(op(&world, 1, XENMEM_memory_map.into(), &XenMemoryMap { nr_entries: 1, ..map }), Ok(0));
    assert_eq!(world.platform().peek::<XenMemoryMap>(ARG).nr_entries, 1, "cut to the buffer");
    assert_eq!(op(&world, 1, XENMEM_memory_map.into(), &XenMemoryMap { nr_entries: 9, ..map }), Ok(0));
    assert_eq!(world.platform().peek::<XenMemoryMap>(ARG).nr_entries, 2);
    assert_eq!(world.platform().peek::<E820Entry>(LIST + 20).start(), 8192);
}

#[test]
fn claims_are_for_the_privileged_and_used_up() {
    let world = world();
    let claim = |domid, nr_extents| XenMemoryReservation { domid, ..request(nr_extents, 0, 0) };
    let stake = |id, request| op(&world, id, XENMEM_claim_pages.into(), &request);
    assert_eq!(stake(1, claim(1, 5)), Err(Stop::Err(Errno::EPERM)));
    assert_eq!(stake(0, XenMemoryReservation { mem_flags: 1, ..claim(1, 5) }), Err(Stop::Err(Errno::EINVAL)));
    assert_eq!(stake(0, claim(1, 0x1000)), Err(Stop::Err(Errno::ENOMEM)));
    assert_eq!(stake(0, claim(1, 0xfff)), Ok(0));
    assert_eq!(op(&world, 0, XENMEM_increase_reservation.into(), &request(1, 0, 0)), Ok(0));
    assert_eq!(op(&world, 1, XENMEM_increase_reservation.into(), &request(4, 0, 0)), Ok(4));
    assert_eq!(world.hv.heap.stats().claimed, 0xfff - 4);
    assert_eq!(stake(0, claim(1, 0)), Ok(0));
    assert_eq!(world.hv.heap.stats().claimed, 0);
}

#[test]
fn what_a_pv_domain_does_not_have_is_refused_as_xen_refuses_it() {
    let world = world();
    let buffer = [0u64; 16];
    let mut own = buffer;
    own[0] = DomId::SELF.0.into();
    let refused = |id, command: u32, arg: &[u64; 16], errno| {
        assert_eq!(op(&world, id, command.into(), arg), Err(Stop::Err(errno)), "subcommand {command}");
    };
    refused(1, XENMEM_add_to_physmap, &own, Errno::EACCES);
    refused(1, XENMEM_add_to_physmap, &buffer, Errno::EPERM);
    refused(1, XENMEM_add_to_physmap_batch, &own, Errno::EACCES);
    refused(1, XENMEM_remove_from_physmap, &own, Errno::ENOENT);
    refused(1, XENMEM_get_vnumainfo, &own, Errno::EOPNOTSUPP);
    refused(1, XENMEM_machphys_compat_mfn_list, &own, Errno::ENOSYS);
    refused(1, XENMEM_paging_op, &own, Errno::ENOSYS);
    refused(1, XENMEM_sharing_op, &own, Errno::ENOSYS);
    refused(0, XENMEM_acquire_resource, &own, Errno::EPERM);
    refused(0, 63, &own, Errno::ENOSYS);
    refused(0, 8, &own, Errno::ENOSYS);
    assert_eq!(op(&world, 1, XENMEM_get_sharing_freed_pages.into(), &own), Ok(0));
    assert_eq!(op(&world, 1, u64::from(XENMEM_maximum_ram_page) | 1 << 6, &own), Err(Stop::Err(Errno::EINVAL)));
}

#[test]
fn a_bad_argument_pointer_is_a_fault() {
    let world = world();
    for command in [3, 5, 7, 9, 11, 12, 13, 14, 15, 16, 17, 23, 24, 26, 27, 28] {
        let id = if command == 9 { 1 } else { 0 };
        if command == 9 {
            world.dom(1).memory_map.set(vec![E820Entry::new(0, 1, 1)]).unwrap();
        }
        let got = world.call(id, |ctx| memory_op(ctx, command, 8)).0;
        assert_eq!(got, Err(Stop::Err(Errno::EFAULT)), "subcommand {command}");
    }
}

#[derive(Clone, Debug)]
struct Call {
    domain: u16,
    about: u16,
    command: u32,
    order: u32,
    other_order: u32,
    bits: u32,
    /// Values for the list: indices into all frames, so that some are the domain's and many are not.
    list: Vec<u16>,
    /// Copies before a fault, safe points before a preemption.
    faults_after: Option<u64>,
    stops_after: Option<u64>,
}

fn call() -> impl Strategy<Value = Call> {
    let command = prop_oneof![
        Just(XENMEM_increase_reservation),
        Just(XENMEM_populate_physmap),
        Just(XENMEM_decrease_reservation),
        Just(XENMEM_exchange),
    ];
    let bits = prop_oneof![3 => Just(0u32), 1 => 13..24u32];
    let who = (0..2u16, prop_oneof![3 => Just(DomId::SELF.0), 1 => 0..3u16]);
    let orders = (0..4u32, 0..4u32);
    let trouble = (prop::option::weighted(0.3, 0..30u64), prop::option::weighted(0.5, 0..3u64));
    (who, command, orders, bits, prop::collection::vec(any::<u16>(), 1..16), trouble).prop_map(
        |((domain, about), command, (order, other_order), bits, list, (faults_after, stops_after))| Call {
            domain,
            about,
            command,
            order,
            other_order,
            bits,
            list,
            faults_after,
            stops_after,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    /// Whatever two domains ask for, with faults and preemption anywhere: every frame is free or counted as its
    /// owner's, no limit is exceeded, and nobody's frame changes by another's call without privilege.
    #[test]
    fn no_sequence_of_calls_loses_or_steals_a_frame(calls in prop::collection::vec(call(), 1..40)) {
        let world = world();
        world.dom(1).pages.max.store(100, Ordering::SeqCst);
        for call in calls {
            let owned = |id| -> Vec<u64> {
                (0..0x1000).filter(|&mfn| world.hv.frames.owner(Mfn(mfn)) == Some(DomId(id))).collect()
            };
            let (mine, theirs) = (owned(call.domain), owned(1 - call.domain));
            // Half of the values name frames that the caller has.
            let pick = |value: &u16| match mine.len() {
                n if n != 0 && value & 1 == 1 => mine[usize::from(value >> 1) % n],
                _ => u64::from(*value) % 0x1001,
            };
            poke_list(&world, LIST, &call.list.iter().map(pick).collect::<Vec<_>>());
            poke_list(&world, OUT, &call.list.iter().map(|&value| value.into()).collect::<Vec<_>>());
            let extents = call.list.len() as u64;
            let input = XenMemoryReservation {
                domid: call.about,
                mem_flags: call.bits,
                ..request(extents, call.order, LIST)
            };
            if call.command == XENMEM_exchange {
                let frames = extents << call.order;
                let output = XenMemoryReservation {
                    domid: call.about,
                    mem_flags: call.bits,
                    ..request(frames >> call.other_order, call.other_order, OUT)
                };
                world.platform().poke(ARG, &exchange(input, output));
            } else {
                world.platform().poke(ARG, &input);
            }
            world.platform().copies_left.store(call.faults_after.unwrap_or(u64::MAX), Ordering::SeqCst);
            world.platform().polls_left.store(call.stops_after.unwrap_or(u64::MAX), Ordering::SeqCst);
            let _ = to_the_end(&world, call.domain, call.command);
            world.platform().copies_left.store(u64::MAX, Ordering::SeqCst);
            world.platform().polls_left.store(u64::MAX, Ordering::SeqCst);
            check(&world);
            prop_assert!(world.dom(1).pages.total.load(Ordering::SeqCst) <= 100);
            if call.domain == 1 {
                prop_assert_eq!(owned(0), theirs);
            }
        }
    }
}

/// XSA-231: a node number that nobody had looked at indexed a table.
#[test]
fn memory_of_a_node_that_is_not_there_is_not_given() {
    let world = world();
    poke_list(&world, LIST, &[7]);
    for flags in [XENMEMF_node(1) | XENMEMF_exact_node_request, XENMEMF_node(200), XENMEMF_node(0xfe)] {
        let argument = XenMemoryReservation { mem_flags: flags, ..request(1, 0, LIST) };
        assert_eq!(op(&world, 1, XENMEM_populate_physmap.into(), &argument), Ok(0));
    }
    for flags in [0, XENMEMF_node(0) | XENMEMF_exact_node_request, XENMEMF_node(1)] {
        let argument = XenMemoryReservation { mem_flags: flags, ..request(1, 0, LIST) };
        assert_eq!(op(&world, 1, XENMEM_populate_physmap.into(), &argument), Ok(1));
    }
    check(&world);
}
