//! Unmapping, in every wrong way too.

use super::*;
use crate::platform::Flush;

fn mapped(world: &TestWorld, flags: u32) -> (Guest<'_>, Guest<'_>, Mfn) {
    let (granter, mut grantee, frame) = pair(world);
    granter.grant(0, 2, frame, GTF_permit_access);
    assert_eq!(grantee.map(1, 0, address(1), flags), (GNTST_okay, 0));
    (granter, grantee, frame)
}

#[test]
fn unmapping_gives_everything_back_after_a_flush() {
    let world = world();
    let (granter, mut grantee, frame) = mapped(&world, HOST);
    world.platform().flushes.lock().unwrap().clear();
    assert_eq!(grantee.unmap(0, address(1), 0), GNTST_okay);
    assert_eq!(grantee.entry(1), Pte(0));
    assert_eq!(granter.counts(frame), (1, (FrameType::Writable, 0)));
    assert_eq!(granter.flags(0), GTF_permit_access);
    let flushes = world.platform().flushes.lock().unwrap();
    assert!(flushes.iter().any(|(_, cpus, what)| *what == Flush::All && cpus.has(CpuId(0))));
}

#[test]
fn unmapping_twice_returns_bad_handle() {
    let world = world();
    let (granter, mut grantee, frame) = mapped(&world, HOST);
    assert_eq!(grantee.unmap(0, address(1), 0), GNTST_okay);
    assert_eq!(grantee.unmap(0, address(1), 0), GNTST_bad_handle);
    let op = GnttabUnmapGrantRef { host_addr: address(1), ..Default::default() };
    let (_, again) = grantee.ops(GNTTABOP_unmap_grant_ref, &[op, op]);
    assert_eq!((again[0].status, again[1].status), (GNTST_bad_handle, GNTST_bad_handle));
    assert_eq!(granter.counts(frame).0, 1);
}

#[test]
fn a_handle_twice_in_one_list_counts_once() {
    let world = world();
    let (granter, mut grantee, frame) = mapped(&world, HOST);
    let op = GnttabUnmapGrantRef { host_addr: address(1), ..Default::default() };
    let (_, done) = grantee.ops(GNTTABOP_unmap_grant_ref, &[op, op]);
    assert_eq!((done[0].status, done[1].status), (GNTST_okay, GNTST_bad_handle));
    assert_eq!(granter.counts(frame).0, 1);
}

#[test]
fn handles_that_never_were_are_bad() {
    let world = world();
    let (_, mut grantee, _) = mapped(&world, HOST);
    for handle in [1, 255, 256, u32::MAX] {
        assert_eq!(grantee.unmap(handle, address(1), 0), GNTST_bad_handle);
    }
}

#[test]
fn an_address_that_does_not_map_the_frame_leaves_all_as_it_is() {
    let world = world();
    let (granter, mut grantee, frame) = mapped(&world, HOST);
    let own = grantee.frame();
    grantee.set_entry(2, Pte::new(own, PRESENT).0).unwrap();
    for at in [address(2), address(3), 1 << 30, 0xffff_8000_0000_0000] {
        assert_eq!(grantee.unmap(0, at, 0), GNTST_general_error, "{at:#x}");
    }
    assert_eq!((grantee.entry(2).mfn(), grantee.entry(1).mfn()), (own, frame));
    assert_eq!(granter.flags(0), GTF_permit_access | GTF_reading | GTF_writing);
    assert_eq!(grantee.unmap(0, address(1), 0), GNTST_okay, "the handle is as good as before");
}

/// A guest has a frame twice, once to read and once to write, and gives the writable mapping's handle back with the address
/// of the other: the granter saw nobody who writes any more, and the writable entry stayed (XSA-224 is of the same kind).
#[test]
fn a_writable_mapping_is_not_given_back_by_the_entry_of_a_read_only_one() {
    let world = world();
    let (granter, mut grantee, frame) = mapped(&world, HOST);
    assert_eq!(grantee.map(1, 0, address(2), RO), (GNTST_okay, 1));
    assert_eq!(grantee.unmap(0, address(2), 0), GNTST_general_error);
    assert_eq!(grantee.unmap(1, address(1), 0), GNTST_general_error);
    let replace =
        GnttabUnmapAndReplace { host_addr: address(2), new_addr: address(3), handle: 0, ..Default::default() };
    assert_eq!(grantee.op(GNTTABOP_unmap_and_replace, replace).status, GNTST_general_error);
    assert_eq!((grantee.entry(1).mfn(), grantee.entry(2).mfn()), (frame, frame));
    assert_eq!(granter.flags(0), GTF_permit_access | GTF_reading | GTF_writing);
    assert_eq!(grantee.unmap(0, address(1), 0), GNTST_okay);
    assert_eq!(granter.flags(0), GTF_permit_access | GTF_reading);
    assert_eq!(grantee.unmap(1, address(2), 0), GNTST_okay);
    assert_eq!(granter.counts(frame), (1, (FrameType::Writable, 0)));
}

#[test]
fn an_entry_that_the_guest_overwrote_is_given_back_once() {
    let world = world();
    let (granter, mut grantee, frame) = mapped(&world, HOST);
    grantee.set_entry(1, 0).unwrap();
    assert_eq!(granter.counts(frame), (1, (FrameType::Writable, 0)));
    assert_eq!(grantee.unmap(0, address(1), 0), GNTST_general_error);
    assert_eq!(granter.flags(0), GTF_permit_access | GTF_reading | GTF_writing, "the handle still stands");
    assert_eq!(granter.counts(frame), (1, (FrameType::Writable, 0)));
}

#[test]
fn the_marks_stay_until_the_last_use_is_gone() {
    let world = world();
    let (granter, mut grantee, frame) = mapped(&world, HOST);
    assert_eq!(grantee.map(1, 0, address(2), RO), (GNTST_okay, 1));
    assert_eq!(grantee.map(1, 0, address(3), HOST), (GNTST_okay, 2));
    assert_eq!(granter.counts(frame), (4, (FrameType::Writable, 2)));
    assert_eq!(grantee.unmap(0, address(1), 0), GNTST_okay);
    assert_eq!(granter.flags(0), GTF_permit_access | GTF_reading | GTF_writing);
    assert_eq!(grantee.unmap(2, address(3), 0), GNTST_okay);
    assert_eq!(granter.flags(0), GTF_permit_access | GTF_reading);
    assert_eq!(grantee.unmap(1, address(2), 0), GNTST_okay);
    assert_eq!(granter.flags(0), GTF_permit_access);
    assert_eq!(granter.counts(frame).0, 1);
}

#[test]
fn host_and_device_mappings_end_separately() {
    let world = world();
    let (granter, mut grantee, frame) = mapped(&world, HOST | GNTMAP_device_map);
    let bus = frame.maddr().0;
    assert_eq!(granter.counts(frame), (3, (FrameType::Writable, 2)));
    assert_eq!(grantee.unmap(0, 0, 0), GNTST_okay, "neither is named: nothing happens");
    assert_eq!(grantee.unmap(0, 0, bus + 4096), GNTST_general_error);
    assert_eq!(grantee.unmap(0, address(1), bus + 4096), GNTST_general_error);
    assert_eq!(grantee.entry(1).mfn(), frame, "checked before anything is undone");
    assert_eq!(grantee.unmap(0, address(1), 0), GNTST_okay);
    assert_eq!(granter.counts(frame), (2, (FrameType::Writable, 1)));
    assert_eq!(granter.flags(0), GTF_permit_access | GTF_reading | GTF_writing, "the device still writes");
    assert_eq!(grantee.unmap(0, address(1), bus), GNTST_okay);
    assert_eq!((granter.counts(frame).0, granter.flags(0)), (1, GTF_permit_access));
    assert_eq!(grantee.unmap(0, 0, bus), GNTST_bad_handle);
}

#[test]
fn only_an_entry_that_went_is_flushed() {
    let world = world();
    let (_granter, mut grantee, frame) = mapped(&world, HOST | GNTMAP_device_map);
    let flushes = || world.platform().flushes.lock().unwrap().len();
    let before = flushes();
    assert_eq!(grantee.unmap(0, 0, frame.maddr().0), GNTST_okay);
    assert_eq!(flushes(), before);
    assert_eq!(grantee.unmap(0, address(1), 0), GNTST_okay);
    assert!(flushes() > before);
}

#[test]
fn a_call_undoes_as_many_mappings_as_it_names() {
    let world = world();
    let (granter, mut grantee, frame) = pair(&world);
    granter.grant(0, 2, frame, GTF_permit_access);
    for count in [1, 2, 31, 32, 33, 34, 40, 64, 65] {
        let ops: Vec<_> = (1..=count + 5)
            .map(|slot| {
                let (status, handle) = grantee.map(1, 0, address(slot), HOST);
                assert_eq!(status, GNTST_okay);
                GnttabUnmapGrantRef { host_addr: address(slot), handle, status: 99, ..Default::default() }
            })
            .collect();
        world.platform().poke(ARGS, &ops[..]);
        assert_eq!(grantee.call([GNTTABOP_unmap_grant_ref.into(), ARGS, count as u64]), Ok(0));
        assert_eq!(world.dom(2).grants.mappings(), 5, "{count}");
        for op in &ops[count..] {
            assert_eq!(grantee.unmap(op.handle, op.host_addr, 0), GNTST_okay, "{count}");
        }
        assert_eq!(granter.counts(frame).0, 1);
    }
}

#[test]
fn a_mapping_can_be_replaced_by_another_entry() {
    let world = world();
    let (granter, mut grantee, frame) = mapped(&world, HOST);
    let own = grantee.frame();
    grantee.set_entry(2, Pte::new(own, PRESENT | WRITABLE).0).unwrap();
    let op = |host: usize, new_addr| GnttabUnmapAndReplace { host_addr: address(host), new_addr, ..Default::default() };
    let mut replace = |host, new| grantee.op(GNTTABOP_unmap_and_replace, op(host, new)).status;
    assert_eq!(replace(1, 1 << 30), GNTST_general_error);
    assert_eq!(replace(3, address(2)), GNTST_general_error);
    assert_eq!(replace(1, address(2)), GNTST_okay);
    assert_eq!(replace(1, address(2)), GNTST_bad_handle);
    assert_eq!((grantee.entry(1).mfn(), grantee.entry(2)), (own, Pte(0)));
    assert_eq!((granter.counts(frame).0, grantee.counts(own)), (1, (2, (FrameType::Writable, 1))));
}

#[test]
fn a_mapping_by_entry_cannot_be_replaced() {
    let world = world();
    let (granter, mut grantee, frame) = pair(&world);
    granter.grant(0, 2, frame, GTF_permit_access);
    let at = grantee.entry_address(1);
    grantee.map(1, 0, at, HOST | GNTMAP_contains_pte);
    let op = GnttabUnmapAndReplace { host_addr: at, new_addr: address(2), ..Default::default() };
    assert_eq!(grantee.op(GNTTABOP_unmap_and_replace, op).status, GNTST_general_error);
    let op = GnttabUnmapAndReplace { host_addr: at, ..Default::default() };
    assert_eq!(grantee.op(GNTTABOP_unmap_and_replace, op).status, GNTST_okay, "by nothing: just unmapped");
    assert_eq!(granter.counts(frame).0, 1);
}

#[test]
fn what_was_begun_is_finished_even_if_the_guest_cannot_be_told() {
    let world = world();
    let (granter, mut grantee, frame) = mapped(&world, HOST);
    let op = GnttabUnmapGrantRef { host_addr: address(1), ..Default::default() };
    world.platform().poke(ARGS, &op);
    for copies in 0..3 {
        world.platform().copies_left.store(copies, Ordering::SeqCst);
        assert_eq!(grantee.call([GNTTABOP_unmap_grant_ref.into(), ARGS, 1]), Err(Stop::Err(Errno::EFAULT)));
    }
    world.platform().copies_left.store(u64::MAX, Ordering::SeqCst);
    assert_eq!((granter.counts(frame).0, granter.flags(0)), (1, GTF_permit_access));
    assert_eq!(world.dom(2).grants.mappings(), 0);
}
