//! Mapping, and all that refuses it.

use super::*;
use crate::paging::entry::GUEST_KERNEL;

#[test]
fn a_writable_mapping_is_an_entry_with_references_and_a_marked_grant() {
    let world = world();
    let (granter, mut grantee, frame) = pair(&world);
    granter.grant(5, 2, frame, GTF_permit_access);
    let op = GnttabMapGrantRef { host_addr: address(7), flags: HOST, r#ref: 5, dom: 1, ..Default::default() };
    let op = grantee.op(GNTTABOP_map_grant_ref, op);
    assert_eq!((op.status, op.handle, op.dev_bus_addr), (GNTST_okay, 0, frame.maddr().0));
    let entry = grantee.entry(7);
    assert_eq!(entry.mfn(), frame);
    assert!(entry.writable() && entry.present() && entry.has(ACCESSED) && entry.has(DIRTY));
    assert_eq!(granter.counts(frame), (2, (FrameType::Writable, 1)));
    assert_eq!(granter.flags(5), GTF_permit_access | GTF_reading | GTF_writing);
    assert!(world.hv.frames.is_foreign(frame));
    assert_eq!(world.dom(2).grants.mappings(), 1);
}

#[test]
fn a_read_only_mapping_takes_no_writable_use() {
    let world = world();
    let (granter, mut grantee, frame) = pair(&world);
    granter.grant(1, 2, frame, GTF_permit_access | GTF_readonly);
    assert_eq!(grantee.map(1, 1, address(3), HOST), (GNTST_general_error, 0), "not writable");
    assert_eq!(granter.flags(1), GTF_permit_access | GTF_readonly, "a refused mapping leaves no mark");
    assert_eq!(grantee.map(1, 1, address(3), RO).0, GNTST_okay);
    assert!(!grantee.entry(3).writable());
    assert_eq!(granter.counts(frame), (2, (FrameType::None, 0)));
    assert_eq!(granter.flags(1), GTF_permit_access | GTF_readonly | GTF_reading);
}

#[test]
fn an_entry_can_be_named_by_its_machine_address_with_the_guests_own_bits() {
    let world = world();
    let (granter, mut grantee, frame) = pair(&world);
    granter.grant(2, 2, frame, GTF_permit_access);
    let flags = HOST | GNTMAP_contains_pte | GNTMAP_application_map | 5 << _GNTMAP_guest_avail0;
    let at = grantee.entry_address(9);
    assert_eq!(grantee.map(1, 2, at, flags).0, GNTST_okay);
    let entry = grantee.entry(9);
    assert_eq!((entry.mfn(), entry.0 >> 9 & 7), (frame, 5));
    let foreign_table = granter.entry_address(9);
    assert_eq!(grantee.map(1, 2, foreign_table, flags).0, GNTST_general_error, "not its own table");
    assert_eq!(grantee.map(1, 2, at + 4, flags).0, GNTST_general_error, "not aligned");
    assert_eq!(grantee.map(1, 2, grantee.tables[1].maddr().0, flags).0, GNTST_general_error, "not level 1");
    assert_eq!(grantee.unmap(0, at, 0), GNTST_okay);
    assert_eq!(grantee.entry(9), Pte(0));
    assert_eq!(granter.counts(frame), (1, (FrameType::Writable, 0)));
}

#[test]
fn only_a_mapping_for_the_application_is_its_to_use() {
    let world = world();
    let (granter, mut grantee, frame) = pair(&world);
    granter.grant(2, 2, frame, GTF_permit_access);
    for (slot, flags) in [(1, HOST), (2, HOST | GNTMAP_application_map)] {
        assert_eq!(grantee.map(1, 2, address(slot), flags).0, GNTST_okay);
        assert_eq!(grantee.entry(slot).has(GUEST_KERNEL), slot == 1);
    }
}

#[test]
fn a_mapping_replaces_what_the_entry_held() {
    let world = world();
    let (granter, mut grantee, frame) = pair(&world);
    let own = grantee.frame();
    grantee.set_entry(4, Pte::new(own, PRESENT | WRITABLE).0).unwrap();
    assert_eq!(grantee.counts(own).0, 2);
    granter.grant(0, 2, frame, GTF_permit_access);
    assert_eq!(grantee.map(1, 0, address(4), HOST).0, GNTST_okay);
    assert_eq!(grantee.counts(own), (1, (FrameType::Writable, 0)));
}

#[test]
fn each_thing_that_is_wrong_has_its_status_and_changes_nothing() {
    let world = world();
    let (granter, mut grantee, frame) = pair(&world);
    let foreign = Guest::new(&world, 0).frame();
    granter.grant(0, 2, frame, GTF_permit_access);
    granter.grant(1, 0, frame, GTF_permit_access);
    granter.grant(2, 2, frame, GTF_accept_transfer);
    granter.grant(3, 2, foreign, GTF_permit_access);
    granter.grant(4, 2, granter.tables[3], GTF_permit_access);
    granter.grant(6, 2, Mfn(0xffff_ffff), GTF_permit_access);
    granter.grant(7, 2, frame, GTF_transitive);
    let cases = [
        (9, 0, address(1), HOST, GNTST_bad_domain),
        (DOMID_SELF, 0, address(1), HOST, GNTST_bad_domain),
        (1, 512, address(1), HOST, GNTST_bad_gntref),
        (1, u32::MAX, address(1), HOST, GNTST_bad_gntref),
        (1, 0, address(1), 0, GNTST_bad_gntref),
        (1, 0, address(1), GNTMAP_readonly, GNTST_bad_gntref),
        (0, 0, address(1), HOST, GNTST_bad_gntref),
        (1, 1, address(1), HOST, GNTST_general_error),
        (1, 2, address(1), HOST, GNTST_general_error),
        (1, 3, address(1), HOST, GNTST_general_error),
        (1, 4, address(1), HOST, GNTST_general_error),
        (1, 5, address(1), HOST, GNTST_general_error),
        (1, 6, address(1), HOST, GNTST_general_error),
        (1, 7, address(1), HOST, GNTST_general_error),
        (1, 0, 1 << 30, HOST, GNTST_general_error),
        (1, 0, 0xffff_8000_0000_0000, HOST, GNTST_general_error),
        (1, 0, u64::MAX, HOST, GNTST_general_error),
        (1, 0, 1 << 30, HOST | GNTMAP_device_map, GNTST_general_error),
        (1, 0, !7, HOST | GNTMAP_contains_pte, GNTST_general_error),
    ];
    for (dom, reference, at, flags, status) in cases {
        assert_eq!(grantee.map(dom, reference, at, flags).0, status, "{dom} {reference} {at:#x} {flags:#x}");
    }
    assert_eq!(grantee.entry(1), Pte(0));
    assert_eq!((granter.counts(frame).0, granter.counts(foreign).0), (1, 1));
    assert!((0..8).all(|reference| granter.flags(reference) & (GTF_reading | GTF_writing) == 0));
    assert_eq!(world.dom(2).grants.mappings(), 0);
    assert_eq!(grantee.map(1, 4, address(1), RO).0, GNTST_okay, "a page table may be read");
}

#[test]
fn a_dying_domain_grants_nothing() {
    let world = world();
    let (granter, mut grantee, frame) = pair(&world);
    granter.grant(0, 2, frame, GTF_permit_access);
    world.dom(1).dying.store(true, Ordering::SeqCst);
    assert_eq!(grantee.map(1, 0, address(1), HOST).0, GNTST_general_error);
}

#[test]
fn a_domain_may_map_its_own_grant() {
    let world = world();
    let (mut granter, _, frame) = pair(&world);
    granter.grant(0, 1, frame, GTF_permit_access);
    assert_eq!(granter.map(1, 0, address(1), HOST), (GNTST_okay, 0));
    assert_eq!(granter.unmap(0, address(1), 0), GNTST_okay);
    assert_eq!(granter.counts(frame).0, 1);
}

#[test]
fn handles_run_out_at_the_limit() {
    let world = world();
    let (granter, mut grantee, frame) = pair(&world);
    world.dom(2).grants.set_limits(Limits { maptrack: 1, ..Limits::default() });
    granter.grant(0, 2, frame, GTF_permit_access);
    for n in 0..256 {
        assert_eq!(grantee.map(1, 0, address(n), RO), (GNTST_okay, n as u32));
    }
    assert_eq!(grantee.map(1, 0, address(300), RO).0, GNTST_no_space);
    assert_eq!(granter.counts(frame).0, 257);
    assert_eq!(grantee.unmap(77, address(77), 0), GNTST_okay);
    assert_eq!(grantee.map(1, 0, address(300), RO), (GNTST_okay, 77));
}

#[test]
fn a_handle_that_the_guest_cannot_be_told_is_undone() {
    let world = world();
    let (granter, mut grantee, frame) = pair(&world);
    granter.grant(0, 2, frame, GTF_permit_access);
    // At address 0, too, which an unmapping takes for "nowhere".
    for (slot, flags) in [(1, HOST | GNTMAP_device_map), (0, HOST)] {
        let op = GnttabMapGrantRef { host_addr: address(slot), flags, dom: 1, ..Default::default() };
        world.platform().poke(ARGS, &op);
        world.platform().copies_left.store(1, Ordering::SeqCst);
        assert_eq!(grantee.call([GNTTABOP_map_grant_ref.into(), ARGS, 1]), Err(Stop::Err(Errno::EFAULT)));
        world.platform().copies_left.store(u64::MAX, Ordering::SeqCst);
        assert_eq!((grantee.entry(slot), granter.counts(frame)), (Pte(0), (1, (FrameType::Writable, 0))));
        assert_eq!((granter.flags(0), world.dom(2).grants.mappings()), (GTF_permit_access, 0));
    }
}

#[test]
fn a_long_list_is_done_the_same_however_often_it_is_interrupted() {
    let world = world();
    let (granter, mut grantee, frame) = pair(&world);
    granter.grant(0, 2, frame, GTF_permit_access);
    let ops: Vec<_> = (0..40)
        .map(|n| GnttabMapGrantRef { host_addr: address(n + 1), flags: HOST, dom: 1, ..Default::default() })
        .collect();
    world.platform().polls_left.store(0, Ordering::SeqCst);
    let (result, done) = grantee.ops(GNTTABOP_map_grant_ref, &ops);
    assert_eq!(result, Ok(0));
    assert!(done.iter().zip(0..).all(|(op, n)| (op.status, op.handle) == (GNTST_okay, n)));
    assert_eq!(granter.counts(frame), (41, (FrameType::Writable, 40)));
    let ops: Vec<_> = (0..40)
        .map(|n| GnttabUnmapGrantRef { host_addr: address(n + 1), handle: n as u32, status: 99, ..Default::default() })
        .collect();
    world.platform().polls_left.store(0, Ordering::SeqCst);
    let (result, done) = grantee.ops(GNTTABOP_unmap_grant_ref, &ops);
    assert_eq!(result, Ok(0));
    assert!(done.iter().all(|op| op.status == GNTST_okay));
    assert_eq!((granter.counts(frame).0, granter.flags(0)), (1, GTF_permit_access));
}
