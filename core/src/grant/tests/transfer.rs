//! Frames that change hands, entries that change places, caches.

use super::*;
use crate::platform::Flush;
use crate::testing::TestPlatform;

fn give(guest: &mut Guest<'_>, mfn: Mfn, domid: u16, reference: u32) -> i16 {
    let op = GnttabTransfer { mfn: mfn.0, domid, r#ref: reference, status: 99, ..Default::default() };
    guest.op(GNTTABOP_transfer, op).status
}

fn total(world: &TestWorld, id: u16) -> u64 {
    world.dom(id).pages.total.load(Ordering::SeqCst)
}

#[test]
fn a_transferred_frame_is_the_others_with_its_contents() {
    let world = world();
    let (granter, mut grantee, _) = pair(&world);
    let gift = grantee.frame();
    grantee.page(gift).store_u64(8, 77);
    granter.grant(3, 2, Mfn(0x1234), GTF_accept_transfer);
    let (before_1, before_2) = (total(&world, 1), total(&world, 2));
    assert_eq!(give(&mut grantee, gift, 1, 3), GNTST_okay);
    assert_eq!(world.hv.frames.owner(gift), Some(DomId(1)));
    assert_eq!((total(&world, 1), total(&world, 2)), (before_1 + 1, before_2 - 1));
    let (page, at) = granter.shared(3);
    assert_eq!(granter.flags(3), GTF_accept_transfer | GTF_transfer_committed | GTF_transfer_completed);
    assert_eq!(page.load_u32(at + 4), gift.0 as u32);
    assert_eq!((world.hv.platform.m2p(gift), granter.page(gift).load_u64(8)), (0x1234, 77));
    assert_eq!(give(&mut grantee, gift, 1, 3), GNTST_bad_page, "it is not the caller's any more");
}

#[test]
fn a_transferred_frame_was_flushed_before_it_changed_hands() {
    let world = world();
    let (granter, mut grantee, _) = pair(&world);
    let gift = grantee.frame();
    granter.grant(3, 2, Mfn(0), GTF_accept_transfer);
    world.platform().flushes.lock().unwrap().clear();
    assert_eq!(give(&mut grantee, gift, 1, 3), GNTST_okay);
    // On every CPU: a third domain may have had the frame mapped, where its owner never ran.
    let flushes = world.platform().flushes.lock().unwrap();
    let (_, cpus, what) = flushes.last().expect("a flush");
    assert_eq!((*cpus, *what), (TestPlatform::all_cpus(), Flush::All));
}

#[test]
fn a_failed_transfer_costs_the_frame_unless_it_was_no_good() {
    let world = world();
    let (mut granter, mut grantee, frame) = pair(&world);
    let mapped = grantee.frame();
    grantee.set_entry(1, Pte::new(mapped, PRESENT).0).unwrap();
    granter.grant(0, 0, Mfn(0), GTF_accept_transfer);
    granter.grant(1, 2, Mfn(0), GTF_permit_access);
    granter.grant(2, 2, Mfn(0), GTF_accept_transfer);
    let table = granter.setup(1)[0];
    let before = total(&world, 2);
    for no_good in [frame, mapped, grantee.tables[3], table, Mfn(u64::MAX), Mfn(1)] {
        assert_eq!(give(&mut grantee, no_good, 1, 2), GNTST_bad_page, "{no_good:?}");
    }
    assert_eq!(total(&world, 2), before);
    let free = world.hv.heap.stats().free;
    let mut fails = |domid, reference| {
        let gift = grantee.frame();
        let status = give(&mut grantee, gift, domid, reference);
        assert_eq!(world.hv.heap.stats().free, free);
        status
    };
    assert_eq!(fails(9, 0), GNTST_bad_domain);
    assert_eq!(fails(1, 0), GNTST_bad_gntref);
    assert_eq!(fails(1, 1), GNTST_bad_gntref);
    assert_eq!(fails(1, 512), GNTST_bad_gntref);
    world.dom(1).pages.max.store(total(&world, 1), Ordering::SeqCst);
    assert_eq!(fails(1, 2), GNTST_general_error, "no headroom");
    world.dom(1).pages.max.store(u64::MAX, Ordering::SeqCst);
    world.dom(1).dying.store(true, Ordering::SeqCst);
    assert_eq!(fails(1, 2), GNTST_general_error);
    assert_eq!(total(&world, 2), before);
    assert_eq!(granter.flags(2), GTF_accept_transfer);
}

#[test]
fn entries_swap_unless_they_are_in_use() {
    let world = world();
    let (mut granter, mut grantee, frame) = pair(&world);
    granter.grant(10, 2, frame, GTF_permit_access);
    let mut swap = |ref_a, ref_b| {
        granter.op(GNTTABOP_swap_grant_ref, GnttabSwapGrantRef { ref_a, ref_b, ..Default::default() }).status
    };
    assert_eq!((swap(10, 511), swap(10, 10), swap(0, 512)), (GNTST_okay, GNTST_okay, GNTST_bad_gntref));
    assert_eq!(grantee.map(1, 10, address(1), HOST).0, GNTST_general_error);
    assert_eq!(grantee.map(1, 511, address(1), HOST).0, GNTST_okay);
    assert_eq!((swap(511, 3), swap(3, 511)), (GNTST_eagain, GNTST_eagain));
    assert_eq!(grantee.unmap(0, address(1), 0), GNTST_okay);
    assert_eq!(swap(511, 3), GNTST_okay);
    assert_eq!(granter.flags(3), GTF_permit_access);
}

#[test]
fn caches_are_flushed_for_frames_that_one_has() {
    let world = world();
    let (granter, mut grantee, frame) = pair(&world);
    let own = grantee.frame();
    let mut flush = |mfn: Mfn, offset, length, op| {
        let op = GnttabCacheFlush { a: mfn.maddr().0, offset, length, op };
        grantee.ops(GNTTABOP_cache_flush, &[op]).0
    };
    let clean = GNTTAB_CACHE_CLEAN;
    assert_eq!(flush(own, 0, 4096, clean), Ok(0));
    assert_eq!(flush(own, 1, 4096, clean), Err(Stop::Err(Errno::EINVAL)));
    assert_eq!(flush(own, 4096, 0, clean), Err(Stop::Err(Errno::EINVAL)));
    assert_eq!(flush(own, 0, 8, 4), Err(Stop::Err(Errno::EINVAL)));
    assert_eq!(flush(own, 0, 8, GNTTAB_CACHE_INVAL), Err(Stop::Err(Errno::EOPNOTSUPP)));
    assert_eq!(flush(own, 0, 8, clean | GNTTAB_CACHE_SOURCE_GREF), Err(Stop::Err(Errno::EOPNOTSUPP)));
    assert_eq!(flush(frame, 0, 8, clean), Err(Stop::Err(Errno::EPERM)));
    assert_eq!((flush(frame, 0, 0, clean), flush(frame, 0, 8, 0)), (Ok(0), Ok(0)), "nothing to do");
    granter.grant(0, 2, frame, GTF_permit_access);
    assert_eq!(grantee.map(1, 0, address(1), RO).0, GNTST_okay);
    let op = GnttabCacheFlush { a: frame.maddr().0, offset: 0, length: 8, op: clean };
    assert_eq!(grantee.ops(GNTTABOP_cache_flush, &[op]).0, Ok(0), "mapped");
}
