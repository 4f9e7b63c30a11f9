//! The end of either side, by counts.

use super::*;
use crate::paging::relinquish_memory;

fn relinquish(guest: &Guest<'_>) {
    let dom = guest.dom();
    dom.vcpu(0).unwrap().saved.lock().pv = guest.pv.clone();
    let mut progress = 0;
    let _ = guest.world.call(0, |ctx| while relinquish_memory(ctx, &dom, &mut progress).is_err() {});
}

#[test]
fn a_mapper_that_dies_lets_go_of_everything() {
    let world = world();
    let free = world.hv.heap.stats().free;
    let (granter, mut grantee, frame) = pair(&world);
    granter.grant(0, 2, frame, GTF_permit_access);
    for n in 0..100 {
        assert_eq!(grantee.map(1, 0, address(n), HOST | GNTMAP_device_map).0, GNTST_okay);
    }
    assert_eq!(granter.counts(frame), (201, (FrameType::Writable, 200)));
    let dom = world.dom(2);
    dom.dying.store(true, Ordering::SeqCst);
    let mut stops = 0;
    while dom.grants.release_mappings(&world.hv, || true) == Teardown::Preempted {
        stops += 1;
    }
    assert_eq!((stops, dom.grants.mappings()), (4, 0));
    assert_eq!(granter.flags(0), GTF_permit_access);
    assert_eq!(granter.counts(frame), (101, (FrameType::Writable, 100)), "its page tables still stand");
    relinquish(&grantee);
    assert_eq!(granter.counts(frame), (1, (FrameType::Writable, 0)));
    assert_eq!(dom.pages.total.load(Ordering::SeqCst), 0);
    let dom = world.dom(1);
    dom.dying.store(true, Ordering::SeqCst);
    dom.grants.close(&world.hv, &dom);
    relinquish(&granter);
    assert_eq!(world.hv.heap.stats().free, free);
}

#[test]
fn a_granter_that_dies_keeps_a_frame_until_it_is_unmapped() {
    let world = world();
    let free = world.hv.heap.stats().free;
    let (mut granter, mut grantee, frame) = pair(&world);
    let table = granter.setup(1)[0];
    granter.set_entry(0, Pte::new(table, PRESENT | WRITABLE).0).unwrap();
    granter.grant(0, 2, frame, GTF_permit_access);
    assert_eq!(grantee.map(1, 0, address(1), HOST), (GNTST_okay, 0));
    let dom = world.dom(1);
    dom.dying.store(true, Ordering::SeqCst);
    dom.grants.close(&world.hv, &dom);
    assert!(world.hv.frames.is_shared(table), "the guest still has it mapped");
    assert_eq!(dom.grants.shared_frame(&world.hv, CpuId(0), &dom, 0), Err(Errno::EINVAL), "closed for ever");
    relinquish(&granter);
    assert_eq!(dom.pages.total.load(Ordering::SeqCst), 1);
    assert_eq!(grantee.entry(1).mfn(), frame);
    assert_eq!(grantee.unmap(0, address(1), 0), GNTST_okay);
    assert_eq!(dom.pages.total.load(Ordering::SeqCst), 0);
    world.dom(2).dying.store(true, Ordering::SeqCst);
    relinquish(&grantee);
    assert_eq!(world.hv.heap.stats().free, free);
}

#[test]
fn a_grant_of_a_domain_that_is_gone_can_still_be_unmapped() {
    let world = world();
    let (granter, mut grantee, frame) = pair(&world);
    granter.grant(0, 2, frame, GTF_permit_access);
    assert_eq!(grantee.map(1, 0, address(1), HOST), (GNTST_okay, 0));
    world.hv.domains.remove(DomId(1)).unwrap();
    assert_eq!(grantee.unmap(0, address(1), 0), GNTST_okay);
    assert_eq!((grantee.entry(1), world.hv.frames.references(frame)), (Pte(0), 1));
}

#[test]
fn the_dump_shows_grants_in_use() {
    let world = world();
    let (mut granter, mut grantee, frame) = pair(&world);
    granter.grant(6, 2, frame, GTF_permit_access);
    grantee.map(1, 6, address(1), HOST);
    let status = granter.op(GNTTABOP_dump_table, GnttabDumpTable { dom: DOMID_SELF, ..Default::default() }).status;
    assert_eq!(status, GNTST_okay);
    let lines = world.platform().lines.lock().unwrap();
    let text = lines.join("\n");
    assert!(text.contains("grant table of d1: v1, 1 frames, 0 mapped of others"), "{text}");
    assert!(text.contains(&format!("0x6: d2 frame {frame:#x} host 0r 1w device 0r 0w entry d2")), "{text}");
}
