//! Copies, whole and in part, direct and through a third domain.

use super::*;

fn by_reference(domid: u16, reference: u32, offset: u16) -> GnttabCopyPtr {
    GnttabCopyPtr { u: reference.into(), domid, offset, ..Default::default() }
}

fn by_frame(mfn: Mfn, offset: u16) -> GnttabCopyPtr {
    GnttabCopyPtr { u: mfn.0, domid: DOMID_SELF, offset, ..Default::default() }
}

fn copy(guest: &mut Guest<'_>, source: GnttabCopyPtr, dest: GnttabCopyPtr, len: u16, flags: u16) -> i16 {
    guest.op(GNTTABOP_copy, GnttabCopy { source, dest, len, flags, status: 99, ..Default::default() }).status
}

fn fill(guest: &Guest<'_>, mfn: Mfn) {
    (0..4096).for_each(|at| guest.page(mfn).store_u8(at, (at % 251) as u8));
}

#[test]
fn bytes_arrive_where_they_should_and_nowhere_else() {
    let world = world();
    let (granter, mut grantee, frame) = pair(&world);
    let own = grantee.frame();
    fill(&granter, frame);
    granter.grant(0, 2, frame, GTF_permit_access | GTF_readonly);
    for (from, to, len) in [(0u16, 0u16, 4096u16), (3, 8, 1000), (4095, 0, 1), (100, 4000, 96), (7, 7, 0)] {
        grantee.page(own).zero();
        let status = copy(&mut grantee, by_reference(1, 0, from), by_frame(own, to), len, GNTCOPY_source_gref);
        assert_eq!(status, GNTST_okay);
        for at in 0..4096usize {
            let inside = at >= to.into() && at < usize::from(to) + usize::from(len);
            let expected = if inside { ((at - usize::from(to) + usize::from(from)) % 251) as u8 } else { 0 };
            assert_eq!(grantee.page(own).load_u8(at), expected, "{from} {to} {len}: {at}");
        }
    }
    assert_eq!((granter.flags(0), granter.counts(frame).0), (GTF_permit_access | GTF_readonly, 1));
    assert_eq!(grantee.counts(own), (1, (FrameType::Writable, 0)));
}

#[test]
fn a_copy_goes_from_one_granter_to_another() {
    let world = world();
    let (granter, mut grantee, frame) = pair(&world);
    let mut other = Guest::new(&world, 0);
    other.setup(1);
    let theirs = other.frame();
    fill(&granter, frame);
    granter.grant(0, 2, frame, GTF_permit_access);
    other.grant(3, 2, theirs, GTF_permit_access);
    let flags = GNTCOPY_source_gref | GNTCOPY_dest_gref;
    assert_eq!(copy(&mut grantee, by_reference(1, 0, 0), by_reference(0, 3, 10), 20, flags), GNTST_okay);
    assert_eq!((other.page(theirs).load_u8(10), other.page(theirs).load_u8(29)), (0, 19));
    assert_eq!((other.flags(3), granter.flags(0)), (GTF_permit_access, GTF_permit_access));
}

#[test]
fn each_copy_of_a_call_says_of_each_end_whether_it_is_a_reference() {
    let world = world();
    let (granter, mut grantee, granted) = pair(&world);
    granter.grant(0, 2, granted, GTF_permit_access);
    let [own, other] = [(); 2].map(|()| grantee.frame());
    for at in 0..4 {
        grantee.page(own).store_u8(at, 10 + at as u8);
    }
    let op = |source, dest, flags| GnttabCopy { source, dest, len: 1, flags, status: 99, ..Default::default() };
    let reference = |offset| by_reference(1, 0, offset);
    let ops = [
        op(by_frame(own, 0), by_frame(other, 0), 0),
        op(by_frame(own, 1), reference(1), GNTCOPY_dest_gref),
        op(reference(1), by_frame(other, 1), GNTCOPY_source_gref),
        op(reference(1), reference(2), GNTCOPY_source_gref | GNTCOPY_dest_gref),
    ];
    let (result, done) = grantee.ops(GNTTABOP_copy, &ops);
    assert_eq!((result, done.iter().map(|op| op.status).collect()), (Ok(0), vec![GNTST_okay; 4]));
    let bytes = |mfn: Mfn| [0, 1, 2].map(|at| grantee.page(mfn).load_u8(at));
    assert_eq!((bytes(other), bytes(granted)), ([10, 11, 0], [0, 11, 11]));
}

#[test]
fn each_thing_that_is_wrong_with_a_copy_has_its_status() {
    let world = world();
    let (granter, mut grantee, frame) = pair(&world);
    let own = grantee.frame();
    granter.grant(0, 2, frame, GTF_permit_access | GTF_readonly);
    granter.grant(1, 0, frame, GTF_permit_access);
    let (source, dest) = (GNTCOPY_source_gref, GNTCOPY_dest_gref);
    let cases = [
        (by_reference(1, 0, 1), by_frame(own, 0), 4096, source, GNTST_bad_copy_arg),
        (by_reference(1, 0, 0), by_frame(own, 4096), 1, source, GNTST_bad_copy_arg),
        (by_reference(1, 0, u16::MAX), by_frame(own, 0), u16::MAX, source, GNTST_bad_copy_arg),
        (by_reference(9, 0, 0), by_frame(own, 0), 1, source, GNTST_bad_domain),
        (by_reference(1, 512, 0), by_frame(own, 0), 1, source, GNTST_bad_gntref),
        (by_reference(1, 1, 0), by_frame(own, 0), 1, source, GNTST_general_error),
        (by_reference(1, 2, 0), by_frame(own, 0), 1, source, GNTST_general_error),
        (by_frame(own, 0), by_reference(1, 0, 0), 1, dest, GNTST_general_error),
        (GnttabCopyPtr { domid: 1, ..by_frame(frame, 0) }, by_frame(own, 0), 1, 0, GNTST_permission_denied),
        (GnttabCopyPtr { domid: 2, ..by_frame(own, 0) }, by_frame(own, 0), 1, 0, GNTST_permission_denied),
        (by_frame(frame, 0), by_frame(own, 0), 1, 0, GNTST_bad_page),
        (by_frame(Mfn(u64::MAX), 0), by_frame(own, 0), 1, 0, GNTST_bad_page),
        (by_frame(own, 0), by_frame(grantee.tables[3], 0), 1, 0, GNTST_bad_page),
        (by_frame(own, 0), by_frame(own, 100), 100, 0, GNTST_okay),
        (by_frame(grantee.tables[3], 0), by_frame(own, 0), 8, 0, GNTST_okay),
    ];
    for (n, (from, to, len, flags, status)) in cases.into_iter().enumerate() {
        assert_eq!(copy(&mut grantee, from, to, len, flags), status, "case {n}");
    }
    assert_eq!((granter.counts(frame).0, grantee.counts(own).0), (1, 1));
    assert!((0..3).all(|reference| granter.flags(reference) & (GTF_reading | GTF_writing) == 0));
}

/// Version 2 entries of domain 1.
fn second_version(granter: &mut Guest<'_>) {
    assert_eq!(granter.op(GNTTABOP_set_version, GnttabSetVersion { version: 2 }).version, 2);
}

fn write_v2(granter: &Guest<'_>, reference: u32, header: (u16, u16), middle: (u16, u16), frame: u64) {
    let (page, at) = granter.shared(reference);
    page.store_u16(at + 4, middle.0);
    page.store_u16(at + 6, middle.1);
    page.store_u64(at + 8, frame);
    page.store_u32(at, u32::from(header.0) | u32::from(header.1) << 16);
}

fn status_of(granter: &Guest<'_>, reference: u32) -> u16 {
    let frame = granter.dom().grants.inner.lock().status[0];
    granter.page(frame).load_u16(reference as usize * 2)
}

#[test]
fn a_grant_of_a_part_can_be_copied_from_within_that_part_and_not_be_mapped() {
    let world = world();
    let (mut granter, mut grantee, frame) = pair(&world);
    let own = grantee.frame();
    second_version(&mut granter);
    write_v2(&granter, 9, (GTF_permit_access | GTF_sub_page, 2), (100, 50), frame.0);
    let mut part =
        |offset, len| copy(&mut grantee, by_reference(1, 9, offset), by_frame(own, 0), len, GNTCOPY_source_gref);
    assert_eq!(part(100, 50), GNTST_okay);
    assert_eq!(part(149, 1), GNTST_okay);
    for (offset, len) in [(99, 2), (100, 51), (150, 1), (0, 4096)] {
        assert_eq!(part(offset, len), GNTST_general_error, "{offset} {len}");
    }
    assert_eq!(grantee.map(1, 9, address(1), RO).0, GNTST_general_error);
    assert_eq!((status_of(&granter, 9), granter.counts(frame).0), (0, 1));
}

#[test]
fn a_transitive_grant_leads_one_step_and_no_further() {
    let world = world();
    let (mut granter, mut grantee, _) = pair(&world);
    let mut third = Guest::new(&world, 0);
    third.setup(1);
    let theirs = third.frame();
    fill(&third, theirs);
    let own = grantee.frame();
    second_version(&mut granter);
    second_version(&mut third);
    // Domain 0 grants to 1, which passes it on to 2.
    write_v2(&third, 20, (GTF_permit_access | GTF_readonly, 1), (0, 0), theirs.0);
    write_v2(&granter, 10, (GTF_transitive, 2), (0, 0), 20);
    let mut from =
        |reference| copy(&mut grantee, by_reference(1, reference, 5), by_frame(own, 0), 9, GNTCOPY_source_gref);
    assert_eq!(from(10), GNTST_okay);
    assert_eq!(world.hv.platform.page(own).load_u8(8), 13);
    // To itself, to a transitive one, to nobody, to one that is not granted to domain 1.
    write_v2(&granter, 11, (GTF_transitive, 2), (1, 0), 10);
    write_v2(&third, 21, (GTF_transitive, 1), (1, 0), 10);
    write_v2(&granter, 12, (GTF_transitive, 2), (0, 0), 21);
    write_v2(&granter, 13, (GTF_transitive, 2), (9, 0), 0);
    write_v2(&third, 22, (GTF_permit_access, 2), (0, 0), theirs.0);
    write_v2(&granter, 14, (GTF_transitive, 2), (0, 0), 22);
    for reference in 11..15 {
        assert_eq!(from(reference), GNTST_general_error, "{reference}");
    }
    let back = copy(&mut grantee, by_frame(own, 0), by_reference(1, 10, 0), 9, GNTCOPY_dest_gref);
    assert_eq!(back, GNTST_general_error, "the grant behind it is read-only");
    assert!((10..15).all(|reference| status_of(&granter, reference) == 0));
    assert!((20..23).all(|reference| status_of(&third, reference) == 0));
    assert_eq!(grantee.map(1, 10, address(1), RO).0, GNTST_general_error, "never mapped");
    assert_eq!((third.counts(theirs).0, grantee.counts(own).0), (1, 1));
}

/// Parts of two frames, copied to one and to another, in one call: an end that stays is held, and given back with the
/// call, also when the call is preempted after each copy, when a copy fails, and when the list cannot be read any more.
#[test]
fn ends_that_neighbouring_copies_share_are_given_back_with_the_call() {
    let world = world();
    let (granter, mut grantee, frame) = pair(&world);
    let (second, own, other) = (granter.frame(), grantee.frame(), grantee.frame());
    fill(&granter, frame);
    fill(&granter, second);
    granter.grant(0, 2, frame, GTF_permit_access | GTF_readonly);
    granter.grant(1, 2, second, GTF_permit_access | GTF_readonly);
    let part = |reference: u32, to: Mfn, at: u16| GnttabCopy {
        source: by_reference(1, reference, at),
        dest: by_frame(to, at),
        len: 100,
        flags: GNTCOPY_source_gref,
        status: 99,
        ..Default::default()
    };
    let list = [
        part(0, own, 0),
        part(0, own, 100),
        part(0, other, 200),
        part(1, other, 300),
        part(9, other, 400),
        part(1, grantee.tables[3], 500),
        part(1, own, 600),
    ];
    let free = |granter: &Guest<'_>, grantee: &Guest<'_>| {
        assert_eq!([granter.flags(0), granter.flags(1)], [GTF_permit_access | GTF_readonly; 2]);
        assert_eq!([granter.counts(frame).0, granter.counts(second).0], [1, 1]);
        assert_eq!([grantee.counts(own), grantee.counts(other)], [(1, (FrameType::Writable, 0)); 2]);
    };
    for polls in [u64::MAX, 0] {
        grantee.page(own).zero();
        grantee.page(other).zero();
        world.platform().polls_left.store(polls, Ordering::SeqCst);
        let (result, done) = grantee.ops(GNTTABOP_copy, &list);
        world.platform().polls_left.store(u64::MAX, Ordering::SeqCst);
        assert_eq!(result, Ok(0));
        let okay = GNTST_okay;
        let wanted = [okay, okay, okay, okay, GNTST_general_error, GNTST_bad_page, okay];
        assert_eq!(done.iter().map(|op| op.status).collect::<Vec<_>>(), wanted);
        for (to, parts) in [(own, [0usize, 100, 600].as_slice()), (other, &[200, 300])] {
            for at in 0..4096 {
                let copied = parts.iter().any(|&part| (part..part + 100).contains(&at));
                assert_eq!(grantee.page(to).load_u8(at), if copied { (at % 251) as u8 } else { 0 }, "{at}");
            }
        }
        free(&granter, &grantee);
    }
    // The guest takes the memory of the list away: two requests are read and answered, the third is not.
    world.platform().poke(ARGS, &list);
    world.platform().copies_left.store(4, Ordering::SeqCst);
    assert_eq!(grantee.call([GNTTABOP_copy.into(), ARGS, 3]), Err(Errno::EFAULT.into()));
    world.platform().copies_left.store(u64::MAX, Ordering::SeqCst);
    free(&granter, &grantee);
}
