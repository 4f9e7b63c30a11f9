use super::*;
use crate::addr::Mfn;
use crate::domain::DomId;
use crate::memory::heap::FrameEntries;
use alloc::vec::Vec;

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
