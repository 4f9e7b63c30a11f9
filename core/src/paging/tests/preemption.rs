//! Interrupted operations end where uninterrupted ones end.

use super::*;

/// A frame's owner, references, type and its uses, whether it is pinned, and its contents.
type Picture = (FrameKind, u32, (FrameType, u32), bool, Vec<u64>);

/// All frames.
fn picture(world: &TestWorld) -> Vec<Picture> {
    (0..world.hv.frames.end().0)
        .map(Mfn)
        .map(|mfn| {
            let frames = &world.hv.frames;
            let words = if frames.owner(mfn).is_some() {
                world.platform().page(mfn).words().iter().map(|word| word.load(Ordering::Relaxed)).collect()
            } else {
                Vec::new()
            };
            let (ty, uses) = frames.type_count(mfn);
            let ty = if uses == 0 { FrameType::None } else { ty };
            (frames.kind(mfn), frames.references(mfn), (ty, uses), frames.is_pinned(mfn), words)
        })
        .collect()
}

/// Runs the same story with preemption pending after every `polls` safe points.
fn story(polls: u64) -> (TestWorld, u64) {
    let world = world();
    let mut stops = 0;
    {
        let mut guest = Guest::new(&world, 1);
        world.platform().polls_left.store(polls, Ordering::SeqCst);
        let rearm = || world.platform().polls_left.store(polls, Ordering::SeqCst);
        let tables = guest.tree();
        let (second, third) = (guest.tree(), guest.tree());
        let data = guest.frame();
        guest.poke(tables[0], 20, Pte::new(second[1], RW));
        guest.poke(second[1], 77, Pte::new(third[2], RW));
        guest.poke(second[2], 511, Pte::new(third[3], RW));
        for l1 in [tables[3], second[3], third[3]] {
            (0..40).for_each(|i| guest.poke(l1, i * 12, Pte::new(data, if i % 3 == 0 { RO } else { RW })));
        }
        let mut run = |guest: &mut Guest<'_>, cmd: u32, arg: u64| {
            let op = MmuextOp { cmd, arg1: arg, ..Default::default() };
            world.platform().poke(GUEST_BASE, &op);
            let mut args = [GUEST_BASE, 1, 0, u64::from(DOMID_SELF), 0, 0];
            loop {
                rearm();
                match guest.call(|ctx| mmuext_op(ctx, Vaddr(args[0]), args[1], Vaddr(args[2]), args[3])) {
                    Err(Stop::Again(again)) => args = again,
                    result => return assert_eq!(result, Ok(0)),
                }
                stops += 1;
                assert!(stops < 10_000, "no progress");
            }
        };
        run(&mut guest, MMUEXT_PIN_L4_TABLE, tables[0].0);
        run(&mut guest, MMUEXT_NEW_BASEPTR, tables[0].0);
        run(&mut guest, MMUEXT_PIN_L4_TABLE, third[0].0);
        // Replacing whole subtrees.
        rearm();
        guest.set(tables[0], 20, Pte::new(third[1], RW)).unwrap();
        rearm();
        guest.set(tables[0], 20, Pte(0)).unwrap();
        run(&mut guest, MMUEXT_NEW_BASEPTR, third[0].0);
        run(&mut guest, MMUEXT_UNPIN_TABLE, tables[0].0);
        guest.assert_idle(&tables);
        guest.assert_idle(&second);
    }
    (world, stops)
}

#[test]
fn a_story_interrupted_at_every_safe_point_ends_like_the_uninterrupted_one() {
    let (whole, stops) = story(u64::MAX);
    assert_eq!(stops, 0);
    let expected = picture(&whole);
    for polls in 0..8 {
        let (world, stops) = story(polls);
        assert!(stops > 0, "{polls}");
        assert_eq!(picture(&world), expected, "{polls}");
    }
}

#[test]
fn half_validated_tables_give_way_when_the_guest_wants_something_else() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    let left = guest.tree();
    let data = guest.frame();
    guest.poke(left[3], 0, Pte::new(data, RW));
    guest.poke(left[0], 1, Pte::new(left[1], RW));
    world.platform().polls_left.store(0, Ordering::SeqCst);
    let op = MmuextOp { cmd: MMUEXT_PIN_L4_TABLE, arg1: left[0].0, ..Default::default() };
    world.platform().poke(GUEST_BASE, &op);
    let again = guest.call(|ctx| mmuext_op(ctx, Vaddr(GUEST_BASE), 1, Vaddr(0), u64::from(DOMID_SELF)));
    assert!(matches!(again, Err(Stop::Again(_))));
    // Not continued: the frames are wanted writable instead.
    world.platform().polls_left.store(u64::MAX, Ordering::SeqCst);
    for (at, mfn) in left.into_iter().enumerate() {
        guest.set(tables[3], at, Pte::new(mfn, RW)).unwrap();
        assert_eq!(guest.type_of(mfn), (FrameType::Writable, 1));
    }
    guest.assert_idle(&[data]);
}

/// One vcpu gives a pin up half way, so that a table's only use is held by a half-done one. Another vcpu writes an entry of
/// that table, which leads to the half-done one as something else: undoing it under the lock of the table gave back the
/// table's last use, which waits for the lock. The CPU waited for ever.
#[test]
fn work_that_was_given_up_does_not_wait_for_the_table_that_is_written() {
    for polls in 0..6 {
        for (table, target) in (1..4).flat_map(|table| (0..4).map(move |target| (table, target))) {
            let world = world();
            let mut other = Guest::new(&world, 1);
            let left = other.tree();
            for pair in left.windows(2) {
                other.poke(pair[0], 1, Pte::new(other.frame(), RO));
            }
            world.platform().polls_left.store(polls, Ordering::SeqCst);
            let op = MmuextOp { cmd: MMUEXT_PIN_L4_TABLE, arg1: left[0].0, ..Default::default() };
            world.platform().poke(GUEST_BASE, &op);
            let _given_up = other.call(|ctx| mmuext_op(ctx, Vaddr(GUEST_BASE), 1, Vaddr(0), u64::from(DOMID_SELF)));
            world.platform().polls_left.store(u64::MAX, Ordering::SeqCst);
            let mut guest = Guest::new(&world, 1);
            let result = guest.set(left[table], 5, Pte::new(left[target], RW));
            assert!(matches!(result, Ok(0) | Err(Stop::Err(_))), "{polls} {table} {target}: {result:?}");
            let (ty, uses) = world.hv.frames.type_count(left[target]);
            assert!(result.is_err() || uses == 0 || ty != FrameType::None, "{polls} {table} {target}");
        }
    }
}

/// A root with three good subtrees before a refused one; all frames but the first are in the second list.
fn refused_tree(guest: &Guest<'_>) -> ([Mfn; 4], Vec<Mfn>) {
    let tables = guest.tree();
    let mut others = Vec::new();
    for slot in [3, 7, 100] {
        let tree = guest.tree();
        guest.poke(tables[0], slot, Pte::new(tree[1], RW));
        others.extend(tree);
        if slot == 100 {
            guest.poke(tree[2], 9, Pte::new(tree[3], RW | PAT_OR_PSE));
        }
    }
    (tables, others)
}

#[test]
fn a_refusal_is_told_when_all_is_undone_that_was_done_before_it() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let (tables, other) = refused_tree(&guest);
    world.platform().polls_left.store(0, Ordering::SeqCst);
    assert_eq!(guest.ext(MMUEXT_PIN_L4_TABLE, tables[0].0, 0), EINVAL);
    guest.assert_idle(&tables);
    guest.assert_idle(&other);
}

#[test]
fn every_operation_of_a_batch_is_counted_once_across_interruptions() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    let page = guest.frame();
    let requests: Vec<_> = (0..100).map(|i| (at(tables[3], i), Pte::new(page, RW).0)).collect();
    world.platform().polls_left.store(0, Ordering::SeqCst);
    assert_eq!(guest.update(&requests), (Ok(0), 100));
    assert_eq!(guest.type_of(page), (FrameType::Writable, 100));
}

#[test]
fn a_refusal_that_was_never_fetched_is_not_told_to_another_call() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let (tables, other) = refused_tree(&guest);
    let op = MmuextOp { cmd: MMUEXT_PIN_L4_TABLE, arg1: tables[0].0, ..Default::default() };
    world.platform().poke(GUEST_BASE, &op);
    world.platform().polls_left.store(0, Ordering::SeqCst);
    let mut count = 1;
    while guest.pv.parked_error == 0 {
        let result = guest.call(|ctx| mmuext_op(ctx, Vaddr(GUEST_BASE), count, Vaddr(0), u64::from(DOMID_SELF)));
        let Err(Stop::Again(args)) = result else { panic!("{result:?}") };
        count = args[1];
    }
    world.platform().polls_left.store(u64::MAX, Ordering::SeqCst);
    assert_eq!(guest.update(&[]).0, Ok(0));
    guest.assert_idle(&tables);
    guest.assert_idle(&other);
}

/// Giving a tree back is interrupted in the middle of one of its tables, and somebody wants the tree again: what was given
/// back of that table is checked again, and not taken for valid because the table above had not let go of it. Found by
/// fuzzing; Xen's XSA-299 is of this kind.
#[test]
fn a_tree_that_is_wanted_again_while_it_is_given_back_is_valid_to_its_leaves() {
    for polls in 0..12 {
        let world = world();
        let mut first = Guest::new(&world, 1);
        let tables = first.tree();
        let data = first.frame();
        first.poke(tables[3], 7, Pte::new(data, RW));
        let mut all = tables.to_vec();
        for (level, index) in (0..3).flat_map(|level| [1, 40, 260, 511].map(|index| (level, index))) {
            let below = first.tree();
            first.poke(tables[level], if level == 0 { index % 200 + 1 } else { index }, Pte::new(below[level + 1], RW));
            first.poke(below[3], 3, Pte::new(data, RO));
            all.extend(&below[level + 1..]);
            if level == 1 {
                // A table that takes two steps. One of them is where the hypervisor's slots are in a root.
                let more = first.frame();
                first.poke(below[2], 9, Pte::new(more, RW));
                all.push(more);
            }
        }
        first.ext(MMUEXT_PIN_L4_TABLE, tables[0].0, 0).unwrap();
        let state = |guest: &Guest<'_>| -> Vec<_> {
            let frames = &world.hv.frames;
            all.iter()
                .chain([&data])
                .map(|&mfn| (guest.type_of(mfn), guest.references(mfn), frames.parked(mfn)))
                .collect()
        };
        let pinned = state(&first);
        world.platform().polls_left.store(polls, Ordering::SeqCst);
        let op = MmuextOp { cmd: MMUEXT_UNPIN_TABLE, arg1: tables[0].0, ..Default::default() };
        world.platform().poke(GUEST_BASE, &op);
        let unpin = |ctx: &mut Ctx<'_, TestPlatform>, a: [u64; 6]| mmuext_op(ctx, Vaddr(a[0]), a[1], Vaddr(a[2]), a[3]);
        let result = first.call(|ctx| unpin(ctx, [GUEST_BASE, 1, 0, u64::from(DOMID_SELF), 0, 0]));
        world.platform().polls_left.store(u64::MAX, Ordering::SeqCst);
        let Err(Stop::Again(again)) = result else { panic!("{polls}: {result:?}") };
        // Another vcpu runs on it meanwhile, with and without more interruptions.
        let mut second = Guest::new(&world, 1);
        world.platform().polls_left.store(if polls % 2 == 0 { 0 } else { u64::MAX }, Ordering::SeqCst);
        second.ext(MMUEXT_NEW_BASEPTR, tables[0].0, 0).unwrap();
        for (&mfn, at) in all.iter().zip(0..) {
            assert_eq!(world.hv.frames.parked(mfn), None, "{polls}: table {at} is half valid");
            assert_ne!(second.type_of(mfn).1, 0, "{polls}: table {at} is none");
        }
        world.platform().polls_left.store(u64::MAX, Ordering::SeqCst);
        world.platform().poke(GUEST_BASE, &op);
        first.resume(again, unpin).unwrap();
        second.ext(MMUEXT_PIN_L4_TABLE, tables[0].0, 0).unwrap();
        second.ext(MMUEXT_UNPIN_TABLE, tables[0].0, 0).unwrap();
        assert_eq!(state(&second)[1..], pinned[1..], "{polls}");
    }
}
