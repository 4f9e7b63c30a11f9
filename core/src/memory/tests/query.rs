//! Questions about memory, and what a PV domain has none of.

use super::*;
use crate::cpu::CpuId;
use zerocopy::FromBytes;

/// Calls, and the argument afterwards.
fn ask<T: IntoBytes + FromBytes + Immutable>(world: &TestWorld, id: u16, cmd: u32, arg: &T) -> Result<T, Errno> {
    match op(world, id, cmd.into(), arg) {
        Ok(0) => Ok(world.platform().peek(ARG)),
        Ok(other) => panic!("{cmd}: {other}"),
        Err(Stop::Err(errno)) => Err(errno),
        Err(Stop::Again(_)) => panic!("{cmd} is short"),
    }
}

#[test]
fn only_ram_is_counted_as_such() {
    static MAP: [E820Entry; 4] = [
        E820Entry::new(0, 0x9_f000, 1),
        E820Entry::new(0x9_f000, 0x1000, 2),
        E820Entry::new(0x10_0000, 0x1_0000_1800, 1),
        E820Entry::new(1 << 40, 1 << 40, 5),
    ];
    let machine = Machine { e820: &MAP, ..Machine::default() };
    assert_eq!(machine.ram_pages(), 0x9f + 0x10_0001);
}

#[test]
fn a_domain_without_a_physical_map_has_no_last_frame() {
    let world = world();
    let last = |shared: u64| {
        world.dom(1).shared_info.store(shared, Ordering::SeqCst);
        op(&world, 1, XENMEM_maximum_gpfn.into(), &XenMemoryDomain { domid: DomId::SELF.0 })
    };
    let shared = world.hv.alloc_frames(CpuId(0), Default::default()).unwrap();
    let at = std::mem::offset_of!(xen_abi::xen::SharedInfo, arch)
        + std::mem::offset_of!(xen_abi::arch_x86::ArchSharedInfo, max_pfn);
    for (size, frame) in [(0, 0), (1, 0), (2, 1), (u64::MAX, u64::MAX - 1)] {
        world.platform().page(shared).store_u64(at, size);
        assert_eq!(last(shared.0), Ok(frame), "{size}");
    }
    assert_eq!((last(0), last(0x1000), last(u64::MAX)), (Ok(0), Ok(0), Ok(0)));
}

#[test]
fn a_claim_is_for_plain_frames_of_another_domain() {
    let world = world();
    let good = XenMemoryReservation { domid: 1, ..request(5, 0, 0) };
    for bad in [
        XenMemoryReservation { extent_start: GuestPtr::new(LIST), ..good },
        XenMemoryReservation { extent_order: 1, ..good },
        XenMemoryReservation { mem_flags: 1, ..good },
        XenMemoryReservation { domid: DomId::SELF.0, ..good },
        XenMemoryReservation { domid: 77, ..good },
    ] {
        assert_eq!(ask(&world, 0, XENMEM_claim_pages, &bad), Err(Errno::EINVAL), "{bad:?}");
    }
    assert_eq!(world.hv.heap.stats().claimed, 0);
    assert!(ask(&world, 0, XENMEM_claim_pages, &good).is_ok());
    assert_eq!(world.hv.heap.stats().claimed, 5);
    assert_eq!(ask(&world, 1, XENMEM_claim_pages, &XenMemoryReservation { nr_extents: 0, ..good }), Err(Errno::EPERM));
}

#[test]
fn who_may_ask_for_what_no_pv_domain_has_is_told_so() {
    let world = world();
    // Of another domain, of itself; without privilege, of one that is not there.
    let pod = |by, domid, command| ask(&world, by, command, &XenPodTarget { domid, ..Default::default() }).err();
    for command in [XENMEM_set_pod_target, XENMEM_get_pod_target] {
        let errors = [(0, 1), (0, DomId::SELF.0), (1, 1), (0, 9)].map(|(by, about)| pod(by, about, command));
        assert_eq!(errors, [Errno::EINVAL, Errno::EINVAL, Errno::EPERM, Errno::ESRCH].map(Some));
    }
    let access = |by, domid| ask(&world, by, XENMEM_access_op, &XenMemAccessOp { domid, ..Default::default() }).err();
    let errors = [(0, 1), (0, 0), (1, 0), (0, 9)].map(|(by, about)| access(by, about));
    assert_eq!(errors, [Errno::EINVAL, Errno::EPERM, Errno::EPERM, Errno::ESRCH].map(Some));
    let vnuma = |by, domid, pad| {
        ask(&world, by, XENMEM_get_vnumainfo, &XenVnumaTopologyInfo { domid, pad, ..Default::default() }).err()
    };
    let errors = [(1, 1, 0), (1, 1, 1), (1, 0, 0), (0, 9, 0)].map(|(by, about, pad)| vnuma(by, about, pad));
    assert_eq!(errors, [Errno::EOPNOTSUPP, Errno::EINVAL, Errno::EPERM, Errno::ESRCH].map(Some));
}

#[test]
fn no_device_has_reserved_memory() {
    let world = world();
    let regions = |flags| {
        let ask_for = XenReservedDeviceMemoryMap { flags, nr_entries: 9, ..Default::default() };
        ask(&world, 1, XENMEM_reserved_device_memory_map, &ask_for).map(|told| told.nr_entries)
    };
    assert_eq!([0, XENMEM_RDM_ALL, 2, 3].map(regions), [Ok(0), Ok(0), Err(Errno::EINVAL), Err(Errno::EINVAL)]);
}

#[test]
fn a_pv_domain_keeps_its_own_physical_map() {
    let world = world();
    let add = |by, domid, space| {
        ask(&world, by, XENMEM_add_to_physmap, &XenAddToPhysmap { domid, space, ..Default::default() }).err()
    };
    assert_eq!(add(0, 1, XENMAPSPACE_grant_table), Some(Errno::EACCES));
    assert_eq!(add(0, 9, XENMAPSPACE_grant_table), Some(Errno::ESRCH));
    assert_eq!(add(0, 1, XENMAPSPACE_gmfn_foreign), Some(Errno::ENOSYS), "for the batch only");
    let space = XENMAPSPACE_gmfn_foreign as u16;
    let batch = |by, domid| {
        let add = XenAddToPhysmapBatch { domid, space, ..Default::default() };
        ask(&world, by, XENMEM_add_to_physmap_batch, &add).err()
    };
    assert_eq!((batch(0, 1), batch(1, 0)), (Some(Errno::EACCES), Some(Errno::EPERM)));
    let own = world.hv.alloc_for(CpuId(0), &world.dom(1), 0, 0, false).unwrap();
    let remove = |by, domid, gpfn| {
        ask(&world, by, XENMEM_remove_from_physmap, &XenRemoveFromPhysmap { domid, gpfn, ..Default::default() }).err()
    };
    assert_eq!((remove(1, 1, own.0), remove(0, 1, own.0)), (None, None));
    assert_eq!((remove(0, 0, own.0), remove(1, 1, 1)), (Some(Errno::ENOENT), Some(Errno::ENOENT)));
    assert_eq!(remove(1, 0, own.0), Some(Errno::EPERM));
}

#[test]
fn frames_of_a_grant_table_are_counted_and_given_out_in_parts() {
    let world = world();
    let dom = world.dom(1);
    dom.grants.set_limits(crate::grant::Limits { frames: 3, maptrack: 1, version: 1 });
    let base = XenMemAcquireResource {
        domid: 1,
        r#type: XENMEM_resource_grant_table,
        id: XENMEM_resource_grant_table_id_shared,
        nr_frames: 3,
        frame_list: GuestPtr::new(LIST),
        ..Default::default()
    };
    let acquire = |arg: &XenMemAcquireResource| ask(&world, 0, XENMEM_acquire_resource, arg).map(|got| got.nr_frames);
    let count = XenMemAcquireResource { nr_frames: 0, frame_list: GuestPtr::new(0), ..base };
    assert_eq!(acquire(&count), Ok(3));
    // 256 entries of version 2 are in a frame, 2048 words of their status.
    let status = XenMemAcquireResource { id: XENMEM_resource_grant_table_id_status, ..count };
    assert_eq!(acquire(&status), Ok(1));
    for bad in [
        XenMemAcquireResource { nr_frames: 1, ..count },
        XenMemAcquireResource { pad: 1, ..base },
        XenMemAcquireResource { id: 2, ..base },
        XenMemAcquireResource { r#type: XENMEM_resource_ioreq_server, ..base },
        XenMemAcquireResource { frame: 1, ..base },
        XenMemAcquireResource { nr_frames: 4, ..base },
        XenMemAcquireResource { frame: u64::MAX, ..base },
    ] {
        assert_eq!(acquire(&bad), Err(Errno::EINVAL), "{bad:?}");
    }
    let started =
        |start: u64, arg: &XenMemAcquireResource| op(&world, 0, u64::from(XENMEM_acquire_resource) | start << 6, arg);
    assert_eq!(started(1, &count), Err(Stop::Err(Errno::EINVAL)), "nothing to go on with");
    assert_eq!((started(3, &base), started(4, &base)), (Ok(0), Err(Stop::Err(Errno::EINVAL))));
    world.platform().polls_left.store(0, Ordering::SeqCst);
    let again = |start: u64| Err(Stop::Again([u64::from(XENMEM_acquire_resource) | start << 6, ARG, 0, 0, 0, 0]));
    assert_eq!((started(0, &base), started(1, &base), started(2, &base)), (again(1), again(2), Ok(0)));
    let frames = peek_list(&world, LIST, 3);
    let table: Vec<u64> = (0..3).map(|at| dom.grants.shared_frame(&world.hv, CpuId(0), &dom, at).unwrap().0).collect();
    assert_eq!(frames, table);
}

#[test]
fn a_question_cannot_be_gone_on_with() {
    let world = world();
    for (command, errno) in [
        (XENMEM_maximum_ram_page, Errno::EINVAL),
        (XENMEM_get_vnumainfo, Errno::EINVAL),
        (29, Errno::ENOSYS),
        (63, Errno::ENOSYS),
    ] {
        assert_eq!(op(&world, 0, u64::from(command) | 1 << 6, &[0u64; 8]), Err(Stop::Err(errno)), "{command}");
    }
}
