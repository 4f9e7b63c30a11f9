//! The frames of a table.

use super::*;

fn request(dom: u16, nr_frames: u32) -> GnttabSetupTable {
    GnttabSetupTable { dom, nr_frames, frame_list: GuestPtr::new(LIST), ..Default::default() }
}

#[test]
fn a_table_grows_and_its_frames_can_be_mapped_but_be_no_page_tables() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let before = world.dom(1).pages.total.load(Ordering::SeqCst);
    let two = guest.setup(2);
    let four = guest.setup(4);
    assert_eq!(two, four[..2]);
    for &mfn in &four {
        assert_eq!(guest.counts(mfn), (1, (FrameType::Writable, 0)));
        assert!(world.hv.frames.is_shared(mfn));
    }
    assert_eq!(guest.setup(1), four[..1], "only as many are listed as asked for");
    assert_eq!(world.dom(1).pages.total.load(Ordering::SeqCst), before, "they are not its memory");
    assert_eq!(guest.set_entry(3, Pte::new(four[3], PRESENT | WRITABLE).0), Ok(0));
    assert_eq!(guest.counts(four[3]), (2, (FrameType::Writable, 1)));
    world.platform().poke(ARGS, &MmuextOp { cmd: MMUEXT_PIN_L1_TABLE, arg1: four[2].0, ..Default::default() });
    let pin = world.call_with(1, &mut guest.pv, |ctx| mmuext_op(ctx, Vaddr(ARGS), 1, Vaddr(0), DOMID_SELF.into())).0;
    assert!(pin.is_err());
}

#[test]
fn the_limit_holds_and_foreign_tables_are_for_the_privileged() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let mut status = |op: GnttabSetupTable| guest.op(GNTTABOP_setup_table, op).status;
    assert_eq!(status(request(DOMID_SELF, 65)), GNTST_general_error);
    assert_eq!(status(request(1, 64)), GNTST_okay, "its own number is itself");
    assert_eq!(status(request(2, 1)), GNTST_permission_denied);
    assert_eq!(status(request(7, 1)), GNTST_bad_domain);
    let mut dom0 = Guest::new(&world, 0);
    assert_eq!(dom0.op(GNTTABOP_setup_table, request(2, 1)).status, GNTST_okay);
    assert_eq!(world.dom(2).grants.size(), (1, 1));
    assert_eq!(dom0.ops(GNTTABOP_setup_table, &[request(2, 1); 2]).0, Err(Stop::Err(Errno::EINVAL)));
}

#[test]
fn a_list_that_cannot_be_written_is_the_requests_fault_and_one_in_the_hypervisor_the_calls() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let op = GnttabSetupTable { frame_list: GuestPtr::new(8), ..request(DOMID_SELF, 1) };
    assert_eq!(guest.op(GNTTABOP_setup_table, op).status, GNTST_bad_virt_addr);
    let op = GnttabSetupTable { frame_list: GuestPtr::new(0xffff_8300_0000_0000), ..request(DOMID_SELF, 1) };
    assert_eq!(guest.ops(GNTTABOP_setup_table, &[op]).0, Err(Stop::Err(Errno::EFAULT)));
}

#[test]
fn sizes_and_versions_can_be_asked_for() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    guest.setup(3);
    let size = |dom| GnttabQuerySize { dom, ..Default::default() };
    let got = guest.op(GNTTABOP_query_size, size(DOMID_SELF));
    assert_eq!((got.status, got.nr_frames, got.max_nr_frames), (GNTST_okay, 3, 64));
    assert_eq!(guest.op(GNTTABOP_query_size, size(0)).status, GNTST_permission_denied);
    assert_eq!(guest.op(GNTTABOP_query_size, size(9)).status, GNTST_bad_domain);
    let version = |dom| GnttabGetVersion { dom, ..Default::default() };
    assert_eq!(guest.op(GNTTABOP_get_version, version(DOMID_SELF)).version, 1);
    assert_eq!(guest.ops(GNTTABOP_get_version, &[version(2)]).0, Err(Stop::Err(Errno::EPERM)));
    assert_eq!(guest.ops(GNTTABOP_get_version, &[version(9)]).0, Err(Stop::Err(Errno::ESRCH)));
}

#[test]
fn the_version_is_set_and_asked_for_by_one_request_whatever_the_count() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    for count in [0, 1, 2, 100] {
        let version = 1 + (count as u32 & 1);
        world.platform().poke(ARGS, &GnttabSetVersion { version });
        assert_eq!(guest.call([GNTTABOP_set_version.into(), ARGS, count]), Ok(0));
        world.platform().poke(ARGS, &GnttabGetVersion { dom: DOMID_SELF, ..Default::default() });
        assert_eq!(guest.call([GNTTABOP_get_version.into(), ARGS, count]), Ok(0));
        assert_eq!(world.platform().peek::<GnttabGetVersion>(ARGS).version, version);
    }
}

#[test]
fn unknown_commands_and_absurd_counts_are_refused() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    assert_eq!(guest.call([13, ARGS, 1]), Err(Stop::Err(Errno::ENOSYS)));
    assert_eq!(guest.call([1 << 32, ARGS, 1]), Err(Stop::Err(Errno::ENOSYS)));
    assert_eq!(guest.call([0, ARGS, 1 << 31]), Err(Stop::Err(Errno::EINVAL)));
    assert_eq!(guest.call([0, 8, (1 << 31) - 1]), Err(Stop::Err(Errno::EFAULT)), "the most");
    assert_eq!(guest.call([0, 8, 1]), Err(Stop::Err(Errno::EFAULT)));
    assert_eq!(guest.call([0, 8, 0]), Ok(0), "an empty list is never looked at");
}

#[test]
fn a_table_that_finds_no_memory_stays_as_it_was() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    guest.setup(1);
    let mut hoard = Vec::new();
    while let Some(frame) = world.hv.alloc_frames(CpuId(0), Default::default()) {
        hoard.push(frame);
    }
    assert_eq!(guest.op(GNTTABOP_setup_table, request(DOMID_SELF, 2)).status, GNTST_general_error);
    assert_eq!(world.dom(1).grants.size(), (1, 1));
    hoard.into_iter().for_each(|frame| world.hv.free_frames(frame, 0, false));
    guest.setup(2);
}

#[test]
fn the_tools_get_frames_by_number() {
    let world = world();
    let dom = world.dom(1);
    let get = |at| dom.grants.shared_frame(&world.hv, CpuId(0), &dom, at);
    let last = get(3).unwrap();
    assert_eq!((dom.grants.size(), get(3), get(64)), ((1, 4), Ok(last), Err(Errno::EINVAL)));
    assert_eq!(get(u32::MAX), Err(Errno::EINVAL));
    assert_eq!(dom.grants.status_frame(&world.hv, CpuId(0), &dom, 0), Err(Errno::EINVAL), "version 1 has none");
}

#[test]
fn the_control_domain_acquires_the_frames_of_another_ones_table() {
    use crate::memory::memory_op;
    use xen_abi::memory::*;
    let world = world();
    let acquire = |caller, id, frame, nr_frames| {
        let op = XenMemAcquireResource {
            domid: 1,
            r#type: XENMEM_resource_grant_table,
            id,
            frame,
            nr_frames,
            frame_list: GuestPtr::new(LIST),
            ..Default::default()
        };
        world.platform().poke(ARGS, &op);
        world.call(caller, |ctx| memory_op(ctx, XENMEM_acquire_resource.into(), ARGS)).0
    };
    let shared = XENMEM_resource_grant_table_id_shared;
    assert_eq!(acquire(0, shared, 1, 2), Ok(0));
    let frames: [u64; 2] = [world.platform().peek(LIST), world.platform().peek(LIST + 8)];
    assert!(frames.iter().all(|&mfn| world.hv.frames.is_shared(Mfn(mfn))));
    assert_eq!(Guest::new(&world, 1).setup(3)[1..], frames.map(Mfn));
    assert_eq!(acquire(0, shared, 63, 2), Err(Stop::Err(Errno::EINVAL)), "beyond the limit");
    assert_eq!(acquire(0, XENMEM_resource_grant_table_id_status, 0, 1), Err(Stop::Err(Errno::EINVAL)));
    assert_eq!(acquire(2, shared, 0, 1), Err(Stop::Err(Errno::EPERM)));
}
