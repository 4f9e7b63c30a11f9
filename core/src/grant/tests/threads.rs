//! Several CPUs at once. The ranks of the locks are checked in all of it.

use super::*;
use crate::grant::map;
use crate::grant::unmap::{self, Request};
use crate::paging::settle;

/// One mapping and one unmapping of a running vcpu, without the guest's memory between.
fn map_one(guest: &mut Guest<'_>, reference: u32, slot: usize) -> Option<u32> {
    let host_addr = address(slot);
    let op = GnttabMapGrantRef { host_addr, flags: HOST, r#ref: reference, dom: 1, ..Default::default() };
    guest.world.call_with(guest.id, &mut guest.pv, |ctx| map::map(ctx, &op).ok()).0.map(|mapped| mapped.handle)
}

fn unmap_one(guest: &mut Guest<'_>, handle: u32, slot: usize) -> bool {
    let request = Request { handle, host: Some(address(slot)), device: 0, replace: 0 };
    let unmapped = |ctx: &mut crate::Ctx<'_, crate::testing::TestPlatform>| match unmap::begin(ctx, request) {
        Ok(undone) => {
            settle(ctx, false);
            unmap::finish(ctx, undone);
            true
        }
        Err(_) => false,
    };
    guest.world.call_with(guest.id, &mut guest.pv, unmapped).0
}

/// Another CPU of the same domain.
fn other_cpu<'w>(guest: &Guest<'w>) -> Guest<'w> {
    Guest { world: guest.world, id: guest.id, pv: guest.pv.clone(), tables: guest.tables }
}

#[test]
fn of_two_cpus_that_unmap_a_handle_one_succeeds() {
    let world = world();
    let (granter, mut grantee, frame) = pair(&world);
    granter.grant(0, 2, frame, GTF_permit_access);
    for _ in 0..200 {
        let handle = map_one(&mut grantee, 0, 1).unwrap();
        let mut other = other_cpu(&grantee);
        let (a, b) = std::thread::scope(|scope| {
            let there = scope.spawn(|| unmap_one(&mut other, handle, 1));
            (unmap_one(&mut grantee, handle, 1), there.join().unwrap())
        });
        assert!(a ^ b);
        assert_eq!((granter.counts(frame), granter.flags(0)), ((1, (FrameType::Writable, 0)), GTF_permit_access));
    }
    assert_eq!(world.dom(2).grants.mappings(), 0);
}

#[test]
fn cpus_that_map_and_unmap_at_once_leave_nothing() {
    let world = world();
    let (granter, grantee, frame) = pair(&world);
    let mut second = Guest::new(&world, 0);
    granter.grant(0, 2, frame, GTF_permit_access);
    granter.grant(1, 0, frame, GTF_permit_access);
    let run = |mut guest: Guest<'_>, reference: u32, first: usize| {
        for n in 0..300 {
            let slot = first + n % 3;
            let handle = map_one(&mut guest, reference, slot).unwrap();
            assert!(unmap_one(&mut guest, handle, slot));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| run(other_cpu(&grantee), 0, 1));
        scope.spawn(|| run(other_cpu(&grantee), 0, 10));
        scope.spawn(|| run(other_cpu(&second), 1, 1));
    });
    assert_eq!(granter.counts(frame), (1, (FrameType::Writable, 0)));
    assert_eq!((granter.flags(0), granter.flags(1)), (GTF_permit_access, GTF_permit_access));
    assert_eq!((world.dom(2).grants.mappings(), world.dom(0).grants.mappings()), (0, 0));
    assert_eq!(second.map(1, 1, address(1), HOST).0, GNTST_okay);
}
