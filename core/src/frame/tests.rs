use super::entry::{Typed, Used};
use super::*;
use crate::addr::Mfn;
use crate::cpu::CpuId;
use crate::domain::DomId;
use crate::memory::heap::FrameEntries;
use crate::testing::TestPlatform;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

const A: DomId = DomId(1);
const B: DomId = DomId(2);
const F: Mfn = Mfn(5);

fn table() -> FrameTable {
    let entries: Vec<FrameEntry> = (0..16).map(|_| FrameEntry::default()).collect();
    let frames = FrameTable::new(entries.leak(), IoRanges::new(Mfn(1 << 28)));
    for mfn in 1..12 {
        assert!(frames.take(mfn));
    }
    frames.assign(F, A).unwrap();
    frames
}

fn get_new(frames: &FrameTable, frame: &FrameRef, ty: FrameType) -> FlushedFrame {
    match frames.get_type(frame, ty).unwrap() {
        GetType::Locked(locked) => FlushedFrame::for_test(locked.leftover().expect("nothing left over")),
        GetType::Have(used) => panic!("{used:?} held already"),
    }
}

fn have(frames: &FrameTable, frame: &FrameRef, ty: FrameType) -> TypeRef {
    match frames.get_type(frame, ty).unwrap() {
        GetType::Have(used) => used,
        GetType::Locked(locked) => panic!("{locked:?}"),
    }
}

fn writable(frames: &FrameTable, frame: &FrameRef) -> TypeRef {
    let (used, spare) = get_new(frames, frame, FrameType::Writable).publish(frames);
    assert!(spare.is_none());
    used
}

fn put_plain(frames: &FrameTable, used: TypeRef) {
    assert!(matches!(frames.put_type(used, || 1), PutType::Done));
}

/// The words of `F`, as they are only after very many references.
fn set_words(frames: &FrameTable, used: u64, typed: u64) {
    let entry = frames.entry(F).unwrap();
    entry.used.store(used, Ordering::Relaxed);
    entry.typed.store(typed, Ordering::Relaxed);
}

#[test]
fn a_use_word_tells_owner_kind_and_whether_one_reference_more_may_be_had() {
    let owner = DomId(0x7ff0);
    let owned = Used::owned_by(owner);
    let flags = Used::ALLOCATED | Used::FOREIGN | Used::SHARED;
    for (word, kind, may_get) in [
        (Used::BLANK, FrameKind::Blank, false),
        (Used::FREE_BLOCK, FrameKind::FreeBlock, false),
        (Used::HYPERVISOR, FrameKind::Hypervisor, false),
        (Used::HYPERVISOR | 1, FrameKind::Hypervisor, false),
        (owned, FrameKind::Owned(owner), true),
        (owned | flags | 1, FrameKind::Owned(owner), true),
        (owned | (Used::LIMIT - 1), FrameKind::Owned(owner), true),
        (owned | Used::LIMIT, FrameKind::Owned(owner), false),
        (owned | flags | Used::COUNT, FrameKind::Owned(owner), false),
        (Used::owned_by(DomId(0)) | 1, FrameKind::Owned(DomId(0)), false),
        (Used::owned_by(DomId(0xffff)) | 1, FrameKind::Owned(DomId(0xffff)), false),
    ] {
        let used = Used(word);
        assert_eq!((used.kind(), used.may_get(owner)), (kind, may_get), "{word:#x}");
        assert_eq!(used.is_owned_by(owner), kind == FrameKind::Owned(owner), "{word:#x}");
    }
    for bit in 48..64 {
        assert!(!Used(owned ^ 1 << bit).may_get(owner) && !Used(owned ^ 1 << bit).is_owned_by(owner), "{bit}");
    }
}

#[test]
fn a_type_word_tells_whether_one_use_more_or_the_lock_may_be_had() {
    const TYPES: [FrameType; 6] =
        [FrameType::L1, FrameType::L2, FrameType::L3, FrameType::L4, FrameType::SegDesc, FrameType::Writable];
    for ty in TYPES {
        let valid = Typed::of(ty) | Typed::VALIDATED;
        for (word, may_get, may_lock) in [
            (valid, true, false),
            (valid | 1, true, true),
            (valid | Typed::PINNED | 2, true, true),
            (valid | (Typed::LIMIT - 1), true, true),
            (valid | Typed::LIMIT, false, true),
            (valid | Typed::COUNT, false, true),
            (valid | Typed::LOCKED | 1, true, false),
            (Typed::of(ty), false, false),
            (Typed::of(ty) | 1, false, false),
            (Typed::of(ty) | Typed::PARTIAL | 1, false, false),
            (Typed::of(ty) | Typed::LOCKED | 1, false, false),
        ] {
            let typed = Typed(word);
            assert_eq!((typed.may_get(ty), typed.may_lock(ty)), (may_get, may_lock), "{word:#x}");
            for other in TYPES.into_iter().filter(|&other| other != ty) {
                assert!(!typed.may_get(other) && !typed.may_lock(other), "{word:#x} as {other:?}");
            }
        }
    }
}

#[test]
fn the_references_of_mappings_are_counted_by_the_short_way_except_first_and_last() {
    let frames = table();
    assert_eq!(frames.get_mapped(F, A, false).map_err(|_| ()), Ok(()));
    assert_eq!(frames.references(F), 2);
    assert!(frames.get_mapped(F, B, false).unwrap_err().is_none());
    frames.put(frames.get_mapped(F, A, true).unwrap_err().expect("no use as writable yet"));
    let held = frames.get(F, A).unwrap();
    let used = writable(&frames, &held);
    assert_eq!(frames.get_mapped(F, A, true).map_err(|_| ()), Ok(()));
    assert_eq!((frames.references(F), frames.type_count(F)), (4, (FrameType::Writable, 2)));
    put_plain(&frames, TypeRef::restore(F, FrameType::Writable));
    put_plain(&frames, used);
    for left in [3, 2, 1] {
        assert!(frames.put_mapped(F));
        assert_eq!(frames.references(F), left);
    }
    assert!(!frames.put_mapped(F), "the last one");
    assert_eq!(frames.references(F), 1);
    let _ = held.store();
    for other in [Used::BLANK | 5, Used::FREE_BLOCK | 5] {
        set_words(&frames, other, 0);
        assert!(!frames.put_mapped(F), "a frame without counts");
    }
    assert!(!frames.put_mapped(Mfn(99)));
}

#[test]
fn references_and_uses_end_at_their_limit() {
    let frames = table();
    let held = frames.get(F, A).unwrap();
    let owned = Used::owned_by(A) | Used::ALLOCATED;
    set_words(&frames, owned | (Used::LIMIT - 1), 0);
    let _ = frames.get(F, A).unwrap().store();
    assert_eq!(frames.references(F), 0x8000_0000);
    assert_eq!(frames.get(F, A).unwrap_err(), FrameError::Overflow);
    assert!(frames.get_mapped(F, A, false).is_err());
    let valid = Typed::of(FrameType::Writable) | Typed::VALIDATED;
    set_words(&frames, owned | 2, valid | (Typed::LIMIT - 1));
    let _ = have(&frames, &held, FrameType::Writable).store();
    set_words(&frames, owned | 2, valid | (Typed::LIMIT - 1));
    let _ = frames.get_type_if_valid(&held, FrameType::Writable).unwrap().store();
    for count in [Typed::LIMIT, Typed::LIMIT + 1, Typed::COUNT] {
        set_words(&frames, owned | 2, valid | count);
        assert_eq!(frames.get_type(&held, FrameType::Writable).unwrap_err(), FrameError::Overflow);
        assert_eq!(frames.get_type_if_valid(&held, FrameType::Writable).unwrap_err(), FrameError::Busy);
        assert_eq!(frames.type_count(F).1, count as u32);
    }
    set_words(&frames, owned | 2, 0);
    frames.put(held);
}

#[test]
fn a_use_that_costs_nothing_is_one_of_a_type_that_holds() {
    let frames = table();
    let held = frames.get(F, A).unwrap();
    let refused = |ty| assert_eq!(frames.get_type_if_valid(&held, ty).unwrap_err(), FrameError::Busy);
    refused(FrameType::L1);
    let begun = get_new(&frames, &held, FrameType::L1);
    assert!(frames.is_locked(F) && !frames.is_validated(F));
    refused(FrameType::L1);
    let (used, _) = begun.publish(&frames);
    assert!(!frames.is_locked(F) && frames.is_validated(F));
    refused(FrameType::L2);
    let more = frames.get_type_if_valid(&held, FrameType::L1).unwrap();
    assert_eq!(frames.type_count(F), (FrameType::L1, 2));
    frames.put_type_shared(more).unwrap();
    let used = frames.put_type_shared(used).expect_err("the last one");
    assert_eq!(frames.type_count(F), (FrameType::L1, 1));
    let PutType::Devalidate(last) = frames.put_type(used, || 1) else { panic!() };
    last.complete(&frames, || 1);
    frames.put(held);
}

#[test]
fn only_the_last_use_sets_the_stamp() {
    let frames = table();
    let held = frames.get(F, A).unwrap();
    let first = writable(&frames, &held);
    let second = have(&frames, &held, FrameType::Writable);
    assert!(matches!(frames.put_type(first, || 7), PutType::Done));
    assert_eq!(frames.stamp(F), 0);
    assert!(matches!(frames.put_type(second, || 8), PutType::Done));
    assert_eq!(frames.stamp(F), 8);
    let (table, _) = get_new(&frames, &held, FrameType::L2).publish(&frames);
    let PutType::Devalidate(last) = frames.put_type(table, || 9) else { panic!() };
    assert_eq!(frames.stamp(F), 8, "its entries are in use still");
    last.complete(&frames, || 10);
    assert_eq!(frames.stamp(F), 10);
    frames.put(held);
}

#[test]
fn only_interrupted_work_of_one_holder_can_be_abandoned() {
    let frames = table();
    let held = frames.get(F, A).unwrap();
    let (used, _) = get_new(&frames, &held, FrameType::L2).publish(&frames);
    let (used, held) = frames.abandon(used, held).expect_err("it holds");
    let PutType::Devalidate(last) = frames.put_type(used, || 1) else { panic!() };
    let first = last.park(&frames, 9).unwrap();
    // Another one comes, goes on, and is interrupted as well: both wait.
    let spare = get_new(&frames, &held, FrameType::L2).park(&frames, 10, &held).unwrap();
    assert_eq!((frames.type_count(F).1, frames.parked(F)), (1, Some(10)));
    frames.entry(F).unwrap().typed.fetch_add(1, Ordering::Relaxed);
    let (first, held) = frames.abandon(first, held).expect_err("another one waits");
    put_plain(&frames, first);
    frames.abandon(TypeRef::restore(F, FrameType::L2), spare).unwrap();
    let parked = frames.take_parked(F).unwrap();
    assert_eq!((parked.mfn(), parked.ty(), parked.held()), (F, FrameType::L2, 10));
    frames.put(parked.complete(&frames, || 1).unwrap());
    frames.put(held);
    assert_eq!(frames.references(F), 1);
}

#[test]
fn interrupted_work_without_entries_left_still_owns_its_reference() {
    let frames = table();
    let held = frames.get(F, A).unwrap();
    assert!(get_new(&frames, &held, FrameType::L3).park(&frames, 2, &held).is_none());
    assert!(frames.take_parked(F).unwrap().park(&frames, 0).is_none());
    let GetType::Locked(locked) = frames.get_type(&held, FrameType::L1).unwrap() else { panic!() };
    assert_eq!((locked.mfn(), locked.to()), (F, FrameType::L1));
    let leftover = locked.leftover().unwrap_err();
    assert_eq!((leftover.ty(), leftover.held()), (FrameType::L3, 0));
    frames.put(leftover.complete(&frames, || 1).expect("the parked state's reference"));
    frames.put(held);
    assert_eq!(frames.references(F), 1);
}

#[test]
fn only_a_change_of_type_is_flushed() {
    let (frames, platform) = (table(), TestPlatform::new(16, 0));
    let held = frames.get(F, A).unwrap();
    for (ty, changes) in [(FrameType::L1, false), (FrameType::L1, false), (FrameType::L2, true)] {
        let GetType::Locked(locked) = frames.get_type(&held, ty).unwrap() else { panic!() };
        assert_eq!((locked.mfn(), locked.to()), (F, ty));
        let mut asked = false;
        let (flushed, own) = locked.leftover().unwrap().flush(&frames, &platform, CpuId(0), || {
            asked = true;
            TestPlatform::all_cpus()
        });
        assert_eq!((asked, own, platform.flushes.lock().unwrap().len()), (changes, changes, usize::from(changes)));
        assert_eq!((flushed.mfn(), flushed.ty(), flushed.start()), (F, ty, 0));
        let (used, _) = flushed.publish(&frames);
        let PutType::Devalidate(last) = frames.put_type(used, || 1) else { panic!() };
        last.complete(&frames, || 1);
    }
    frames.put(held);
}

#[test]
fn only_the_owner_gets_a_reference() {
    let frames = table();
    assert_eq!(frames.get(F, B).unwrap_err(), FrameError::NotOwner);
    assert_eq!(frames.get(Mfn(0), A).unwrap_err(), FrameError::NotRam);
    assert_eq!(frames.get(Mfn(u64::MAX), A).unwrap_err(), FrameError::NotRam);
    assert_eq!(frames.get(Mfn(6), A).unwrap_err(), FrameError::NotOwner);
    let held = frames.get(F, A).unwrap();
    assert_eq!(frames.references(F), 2);
    assert_eq!(frames.put(held), None);
    assert_eq!(frames.references(F), 1);
}

#[test]
fn a_released_frame_is_freed_by_the_last_reference_and_only_then() {
    let frames = table();
    let held = frames.get(F, A).unwrap();
    assert_eq!(frames.release(F, A), Ok(None));
    assert_eq!(frames.release(F, A), Err(FrameError::NotOwner), "the allocation is gone already");
    assert_eq!(frames.kind(F), FrameKind::Owned(A));
    let freed = frames.put(held).expect("the last reference");
    assert_eq!((freed.mfn(), freed.owner()), (F, A));
    assert_eq!(frames.kind(F), FrameKind::Hypervisor);
    assert_eq!(frames.get(F, A).unwrap_err(), FrameError::NotOwner);
    assert!(frames.give_back(F.0 as u32));
    assert_eq!(frames.kind(F), FrameKind::Blank);
}

#[test]
fn a_frame_is_one_thing_at_a_time() {
    let frames = table();
    let held = frames.get(F, A).unwrap();
    let first = writable(&frames, &held);
    let second = have(&frames, &held, FrameType::Writable);
    assert_eq!(frames.get_type(&held, FrameType::L1).unwrap_err(), FrameError::Busy);
    put_plain(&frames, first);
    assert_eq!(frames.get_type(&held, FrameType::L1).unwrap_err(), FrameError::Busy);
    put_plain(&frames, second);
    let (l1, _) = get_new(&frames, &held, FrameType::L1).publish(&frames);
    assert_eq!(frames.get_type(&held, FrameType::Writable).unwrap_err(), FrameError::Busy);
    let PutType::Devalidate(last) = frames.put_type(l1, || 1) else { panic!("the last use of a table") };
    assert_eq!(last.held(), 512);
    assert!(last.complete(&frames, || 9).is_none());
    assert_eq!(frames.stamp(F), 9);
    put_plain(&frames, writable(&frames, &held));
    frames.put(held);
}

#[test]
fn writable_stays_valid_without_uses() {
    let frames = table();
    let held = frames.get(F, A).unwrap();
    put_plain(&frames, writable(&frames, &held));
    let again = have(&frames, &held, FrameType::Writable);
    put_plain(&frames, again);
    frames.put(held);
}

#[test]
fn an_interrupted_validation_goes_on_where_it_stopped_and_keeps_the_frame() {
    let frames = table();
    let held = frames.get(F, A).unwrap();
    let begun = get_new(&frames, &held, FrameType::L3);
    assert_eq!(begun.start(), 0);
    assert!(begun.park(&frames, 7, &held).is_none());
    assert_eq!(frames.references(F), 3, "allocation, ours, and the parked state's");
    assert_eq!(frames.release(F, A), Err(FrameError::Busy));
    let resumed = get_new(&frames, &held, FrameType::L3);
    assert_eq!(resumed.start(), 7);
    let (used, spare) = resumed.publish(&frames);
    frames.put(spare.expect("the parked state's reference"));
    assert_eq!(frames.references(F), 2);
    let PutType::Devalidate(last) = frames.put_type(used, || 1) else { panic!() };
    // Interrupted on the way down, then given up, then cleaned up by whoever comes.
    let used = last.park(&frames, 3).expect("the use comes back");
    let mine = frames.get(F, A).unwrap();
    frames.abandon(used, mine).unwrap();
    let parked = frames.take_parked(F).unwrap();
    assert_eq!(parked.held(), 3);
    frames.put(parked.complete(&frames, || 1).unwrap());
    assert!(frames.take_parked(F).is_none());
    frames.put(held);
    assert_eq!(frames.references(F), 1);
}

#[test]
fn a_wish_for_another_type_finds_the_interrupted_work() {
    let frames = table();
    let held = frames.get(F, A).unwrap();
    let begun = get_new(&frames, &held, FrameType::L2);
    assert!(begun.park(&frames, 1, &held).is_none());
    let GetType::Locked(locked) = frames.get_type(&held, FrameType::Writable).unwrap() else { panic!() };
    let leftover = locked.leftover().unwrap_err();
    assert_eq!((leftover.ty(), leftover.held()), (FrameType::L2, 1));
    frames.put(leftover.complete(&frames, || 1).unwrap());
    put_plain(&frames, writable(&frames, &held));
    frames.put(held);
    assert_eq!(frames.references(F), 1);
}

#[test]
fn taking_over_an_interrupted_devalidation_makes_it_valid_for_both() {
    let frames = table();
    let held = frames.get(F, A).unwrap();
    let (used, _) = get_new(&frames, &held, FrameType::L4).publish(&frames);
    let PutType::Devalidate(last) = frames.put_type(used, || 1) else { panic!() };
    let first = last.park(&frames, 100).unwrap();
    let resumed = get_new(&frames, &held, FrameType::L4);
    assert_eq!(resumed.start(), 100);
    let (second, spare) = resumed.publish(&frames);
    assert!(spare.is_none());
    assert_eq!(frames.type_count(F), (FrameType::L4, 2));
    put_plain(&frames, first);
    let PutType::Devalidate(last) = frames.put_type(second, || 1) else { panic!() };
    last.complete(&frames, || 1);
    frames.put(held);
}

#[test]
fn a_refused_validation_leaves_nothing() {
    let frames = table();
    let held = frames.get(F, A).unwrap();
    let begun = get_new(&frames, &held, FrameType::L1);
    frames.put(begun.park(&frames, 0, &held).expect("nothing parked"));
    assert_eq!(frames.references(F), 2);
    assert_eq!(frames.type_count(F).1, 0);
    put_plain(&frames, writable(&frames, &held));
    frames.put(held);
}

#[test]
fn a_table_is_locked_by_one_and_its_last_use_waits() {
    let frames = table();
    let held = frames.get(F, A).unwrap();
    assert!(frames.lock_table(&held).is_none(), "no table yet");
    let (used, _) = get_new(&frames, &held, FrameType::L1).publish(&frames);
    let guard = frames.lock_table(&held).unwrap();
    let more = have(&frames, &held, FrameType::L1);
    put_plain(&frames, more);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| frames.put_type(used, || 1));
        std::thread::sleep(std::time::Duration::from_millis(5));
        frames.unlock_table(guard);
        let PutType::Devalidate(last) = waits.join().unwrap() else { panic!() };
        last.complete(&frames, || 1);
    });
    frames.put(held);
}

#[test]
fn a_page_of_the_hypervisor_never_becomes_a_table() {
    let frames = table();
    frames.share(Mfn(7), A, true).unwrap();
    frames.share(Mfn(8), A, false).unwrap();
    for (mfn, may_write) in [(Mfn(7), true), (Mfn(8), false)] {
        let held = frames.get(mfn, A).unwrap();
        for ty in [FrameType::L1, FrameType::L4, FrameType::SegDesc] {
            assert_eq!(frames.get_type(&held, ty).unwrap_err(), FrameError::Busy);
        }
        match frames.get_type(&held, FrameType::Writable) {
            Ok(GetType::Have(used)) if may_write => put_plain(&frames, used),
            Err(FrameError::Busy) if !may_write => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(frames.take_away(mfn, A), Err(FrameError::Busy));
        frames.put(held);
        let freed = frames.release(mfn, A).unwrap().unwrap();
        assert_eq!(freed.mfn(), mfn);
    }
}

#[test]
fn a_frame_is_taken_only_when_nobody_else_refers_to_it() {
    let frames = table();
    let held = frames.get(F, A).unwrap();
    assert_eq!(frames.take_away(F, A), Err(FrameError::Busy));
    frames.put(held);
    assert_eq!(frames.take_away(F, B), Err(FrameError::NotOwner));
    frames.set_foreign(F);
    let taken = frames.take_away(F, A).unwrap();
    assert_eq!(frames.kind(F), FrameKind::Hypervisor);
    assert!(!frames.is_foreign(F));
    frames.assign(taken.mfn(), B).unwrap();
    assert_eq!(frames.owner(F), Some(B));
}

#[test]
fn a_pin_is_one_use_and_is_taken_once() {
    let frames = table();
    let held = frames.get(F, A).unwrap();
    let (used, _) = get_new(&frames, &held, FrameType::L4).publish(&frames);
    frames.pin(used, frames.get(F, A).unwrap()).unwrap();
    let second = have(&frames, &held, FrameType::L4);
    let (second, extra) = frames.pin(second, frames.get(F, A).unwrap()).unwrap_err();
    frames.put(extra);
    put_plain(&frames, second);
    assert_eq!(frames.release(F, A), Err(FrameError::Busy));
    let (used, extra) = frames.unpin(&held).unwrap();
    assert!(frames.unpin(&held).is_none());
    let PutType::Devalidate(last) = frames.put_type(used, || 1) else { panic!() };
    last.complete(&frames, || 1);
    frames.put(extra);
    frames.put(held);
}

#[test]
fn links_of_one_level_are_two_deep_at_most() {
    let frames = table();
    let (a, b, c) = (Mfn(1), Mfn(2), Mfn(3));
    assert!(frames.link_tables(a, b));
    assert!(frames.link_tables(c, b));
    assert!(!frames.link_tables(b, Mfn(4)), "b is a target");
    assert!(!frames.link_tables(b, c), "and c is a source");
    assert!(!frames.link_tables(c, a), "a is a source");
    frames.unlink_tables(a, b);
    frames.unlink_tables(c, b);
    assert!(frames.link_tables(b, c));
    frames.unlink_tables(b, c);
}

#[test]
fn links_of_one_level_end_at_the_entries_of_a_table_and_at_what_a_target_can_count() {
    let entries: Vec<FrameEntry> = (0..70).map(|_| FrameEntry::default()).collect();
    let frames = FrameTable::new(entries.leak(), IoRanges::new(Mfn(1 << 28)));
    let target = Mfn(69);
    for source in (0..64).map(Mfn) {
        assert!((0..512).all(|_| frames.link_tables(source, target)), "{source:?}");
    }
    assert!(!frames.link_tables(Mfn(0), Mfn(68)), "a table has 512 entries");
    assert!(!frames.link_tables(Mfn(64), target), "32768 links lead there");
    assert!(frames.link_tables(Mfn(68), Mfn(64)), "a refused link leaves nothing");
    assert!(!frames.link_tables(Mfn(70), Mfn(65)) && !frames.link_tables(Mfn(65), Mfn(70)), "no such frames");
}

#[test]
fn a_table_that_is_made_blank_knows_nothing() {
    let mut frames = table();
    let held = frames.get(F, A).unwrap();
    assert!(get_new(&frames, &held, FrameType::L1).park(&frames, 3, &held).is_none());
    assert!(frames.link_tables(F, Mfn(6)));
    frames.set_stamp(F, || 4);
    frames.set_occupied(F, 5);
    let _ = held.store();
    frames.blank_all();
    for mfn in (0..16).map(Mfn) {
        assert_eq!((frames.kind(mfn), frames.type_count(mfn)), (FrameKind::Blank, (FrameType::None, 0)));
        assert_eq!((frames.stamp(mfn), frames.occupied(mfn), frames.parked(mfn)), (0, 0, None));
    }
    assert!(frames.link_tables(Mfn(6), F), "nor links");
}

#[test]
fn a_walk_over_a_domains_frames_can_stop_anywhere() {
    let frames = table();
    frames.assign(Mfn(9), A).unwrap();
    let (mut at, mut seen) = (Some(Mfn(0)), Vec::new());
    while let Some(from) = at {
        let (found, next) = frames.next_owned(from, A, 2);
        seen.extend(found);
        at = next;
    }
    assert_eq!(seen, [F, Mfn(9)]);
}

#[test]
fn the_strictest_range_of_io_memory_decides() {
    let mut io = IoRanges::new(Mfn(0x1000));
    assert!(io.restrict(Mfn(0x100), Mfn(0x200), true));
    assert!(io.restrict(Mfn(0x180), Mfn(0x181), false));
    assert_eq!(io.access(Mfn(0xff)), IoAccess::Full);
    assert_eq!(io.access(Mfn(0x100)), IoAccess::ReadOnly);
    assert_eq!(io.access(Mfn(0x180)), IoAccess::Refused);
    assert_eq!(io.access(Mfn(0x200)), IoAccess::Full);
    assert_eq!(io.access(Mfn(0x1000)), IoAccess::Refused);
}

#[test]
#[should_panic(expected = "was dropped, not given back")]
fn a_dropped_reference_is_noticed() {
    let frames = table();
    drop(frames.get(F, A).unwrap());
}

#[test]
#[should_panic(expected = "a type reference of Mfn")]
fn a_dropped_use_is_noticed() {
    drop(TypeRef::restore(F, FrameType::L1));
}
