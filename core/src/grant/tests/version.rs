//! Changes of version.

use super::*;

fn set(guest: &mut Guest<'_>, version: u32) -> HypercallResult {
    guest.ops(GNTTABOP_set_version, &[GnttabSetVersion { version }]).0
}

fn status_frames(guest: &mut Guest<'_>, nr_frames: u32) -> i16 {
    let op =
        GnttabGetStatusFrames { nr_frames, dom: DOMID_SELF, frame_list: GuestPtr::new(LIST), ..Default::default() };
    guest.op(GNTTABOP_get_status_frames, op).status
}

#[test]
fn only_versions_that_exist_and_are_allowed_can_be_chosen() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    for version in [0, 3, u32::MAX] {
        assert_eq!(set(&mut guest, version), Err(Stop::Err(Errno::EINVAL)));
    }
    world.dom(1).grants.set_limits(Limits { version: 1, ..Limits::default() });
    assert_eq!(set(&mut guest, 2), Err(Stop::Err(Errno::ENOSYS)));
    assert_eq!(set(&mut guest, 1), Ok(0));
    world.dom(1).grants.set_limits(Limits::default());
    assert_eq!(set(&mut guest, 2), Ok(0));
    assert_eq!(world.dom(1).grants.size(), (2, 0));
}

#[test]
fn status_frames_come_with_version_two_and_grow_with_the_table() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    guest.setup(8);
    assert_eq!(status_frames(&mut guest, 1), GNTST_general_error, "version 1 has none");
    set(&mut guest, 2).unwrap();
    assert_eq!(status_frames(&mut guest, 1), GNTST_okay);
    let first: u64 = world.platform().peek(LIST);
    assert!(world.hv.frames.is_shared(Mfn(first)));
    world.platform().poke(LIST, &0u64);
    assert_eq!(status_frames(&mut guest, 2), GNTST_general_error);
    assert_eq!(world.platform().peek::<u64>(LIST), 0, "none is told");
    guest.setup(9);
    assert_eq!((status_frames(&mut guest, 1), status_frames(&mut guest, 2)), (GNTST_okay, GNTST_okay));
    assert_eq!(status_frames(&mut guest, 3), GNTST_general_error);
    assert_eq!(world.platform().peek::<u64>(LIST), first);
    let dom = world.dom(1);
    assert_eq!(dom.grants.status_frame(&world.hv, CpuId(0), &dom, 0), Ok(Mfn(first)));
    assert_eq!(dom.grants.status_frame(&world.hv, CpuId(0), &dom, 8), Err(Errno::EINVAL));
}

#[test]
fn version_two_marks_the_status_word_and_leaves_the_entry_alone() {
    let world = world();
    let (mut granter, mut grantee, frame) = pair(&world);
    set(&mut granter, 2).unwrap();
    let (page, at) = granter.shared(200);
    page.store_u64(at + 8, frame.0);
    page.store_u32(at, u32::from(GTF_permit_access) | 2 << 16);
    assert_eq!(grantee.map(1, 200, address(1), HOST), (GNTST_okay, 0));
    let status = granter.dom().grants.inner.lock().status[0];
    assert_eq!(granter.page(status).load_u16(400), GTF_reading | GTF_writing);
    assert_eq!(granter.flags(200), GTF_permit_access);
    assert_eq!(grantee.map(1, 256, address(2), HOST).0, GNTST_bad_gntref, "half as many entries");
    assert_eq!(grantee.unmap(0, address(1), 0), GNTST_okay);
    assert_eq!((granter.page(status).load_u16(400), granter.counts(frame).0), (0, 1));
}

#[test]
fn the_version_cannot_change_under_a_mapping_but_reserved_entries_may_be_mapped() {
    let world = world();
    let (mut granter, mut grantee, frame) = pair(&world);
    granter.grant(8, 2, frame, GTF_permit_access);
    granter.grant(1, 2, frame, GTF_permit_access);
    assert_eq!(grantee.map(1, 8, address(1), HOST), (GNTST_okay, 0));
    assert_eq!(set(&mut granter, 2), Err(Stop::Err(Errno::EBUSY)));
    assert_eq!(grantee.unmap(0, address(1), 0), GNTST_okay);

    assert_eq!(grantee.map(1, 1, address(1), HOST), (GNTST_okay, 0));
    assert_eq!(set(&mut granter, 2), Ok(0));
    let (page, at) = granter.shared(1);
    assert_eq!((granter.flags(1), page.load_u16(at + 2), page.load_u64(at + 8)), (GTF_permit_access, 2, frame.0));
    let status = granter.dom().grants.inner.lock().status[0];
    assert_eq!(granter.page(status).load_u16(2), GTF_reading | GTF_writing);
    assert_eq!(granter.flags(8), GTF_invalid, "all others are gone");

    assert_eq!(set(&mut granter, 1), Ok(0));
    assert_eq!(granter.flags(1), GTF_permit_access | GTF_reading | GTF_writing);
    assert_eq!(grantee.unmap(0, address(1), 0), GNTST_okay);
    assert_eq!((granter.flags(1), granter.counts(frame).0), (GTF_permit_access, 1));
}

/// A part of a frame was granted; were the entry kept as it is, version 1 would grant all of it.
#[test]
fn a_grant_of_a_part_does_not_become_one_of_the_whole() {
    let world = world();
    let (mut granter, mut grantee, frame) = pair(&world);
    set(&mut granter, 2).unwrap();
    let (page, at) = granter.shared(3);
    page.store_u64(at + 8, frame.0);
    page.store_u32(at, u32::from(GTF_permit_access | GTF_sub_page) | 2 << 16);
    set(&mut granter, 1).unwrap();
    assert_eq!(granter.flags(3), GTF_invalid);
    assert_eq!(grantee.map(1, 3, address(1), RO).0, GNTST_general_error);
}

#[test]
fn a_frame_that_version_one_cannot_name_is_not_kept() {
    let world = world();
    let mut granter = Guest::new(&world, 1);
    granter.setup(1);
    for (reference, frame) in [(1, 1 << 32), (2, u64::from(u32::MAX)), (3, 0x1234)] {
        set(&mut granter, 2).unwrap();
        let (page, at) = granter.shared(reference);
        page.store_u64(at + 8, frame);
        page.store_u32(at, u32::from(GTF_permit_access) | 2 << 16);
        set(&mut granter, 1).unwrap();
        let (page, at) = granter.shared(reference);
        let kept = if frame >> 32 == 0 { u64::from(GTF_permit_access) | 2 << 16 | frame << 32 } else { 0 };
        assert_eq!(page.load_u64(at), kept, "{frame:#x}");
        set(&mut granter, 2).unwrap();
        let (page, at) = granter.shared(reference);
        assert_eq!(page.load_u64(at + 8), kept >> 32, "{frame:#x}");
    }
}

#[test]
fn changing_to_and_fro_takes_no_more_memory() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    guest.setup(4);
    set(&mut guest, 2).unwrap();
    let free = world.hv.heap.stats().free;
    for _ in 0..20 {
        set(&mut guest, 1).unwrap();
        set(&mut guest, 2).unwrap();
    }
    assert_eq!(world.hv.heap.stats().free, free);
}
