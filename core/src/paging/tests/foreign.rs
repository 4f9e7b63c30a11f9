//! Entries for others' frames, and moving entries about.

use super::*;

#[test]
fn only_an_entry_that_maps_the_frame_in_the_same_way_is_cleared() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    let (page, other) = (guest.frame(), guest.frame());
    for (entry, cleared) in [
        (Pte::new(page, RO), true),
        (Pte::new(page, RW), false),
        (Pte::new(page, USER), false),
        (Pte::new(other, RO), false),
        (Pte::new(other, USER), false),
        (Pte(0), false),
    ] {
        guest.set(tables[3], 5, entry).unwrap();
        let before = guest.peek(tables[3], 5);
        match guest.call(|ctx| clear_l1e_at_va(ctx, Vaddr(0x5000), page, false)) {
            Ok(gone) => {
                assert_eq!((gone.entry, guest.peek(tables[3], 5), cleared), (before, Pte(0), true));
                guest.call(|ctx| put_writable(ctx, gone.frame, gone.used));
            }
            Err(error) => assert_eq!((error, guest.peek(tables[3], 5), cleared), (PagingError::Invalid, before, false)),
        }
    }
    guest.assert_idle(&[page, other]);
}

#[test]
fn a_table_with_a_moved_entry_gives_back_all_that_its_entries_hold() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    let (granted, moved, far) = (guest.frame(), guest.frame(), guest.frame());
    for (index, entry) in [(1, Pte::new(granted, RW)), (50, Pte::new(moved, RO)), (100, Pte::new(far, RO))] {
        guest.set(tables[3], index, entry).unwrap();
    }
    let gone = guest.call(|ctx| move_l1e(ctx, Vaddr(50 << 12), Vaddr(1 << 12), granted, true)).unwrap();
    guest.call(|ctx| put_writable(ctx, gone.frame, gone.used));
    assert_eq!((guest.references(moved), guest.references(far)), (2, 2));
    guest.set(tables[2], 0, Pte(0)).unwrap();
    guest.assert_idle(&[granted, moved, far, tables[3]]);
}

#[test]
fn pages_of_the_hypervisor_are_the_control_domains_to_map() {
    let world = world();
    let mut dom0 = Guest::new(&world, 0);
    let tables = dom0.running();
    let page = world.hv.alloc_frames(crate::cpu::CpuId(0), Request::default()).unwrap();
    world.hv.frames.share(page, DomId::XEN, false).unwrap();
    let entry = (at(tables[3], 0), Pte::new(page, RO).0);
    assert_eq!(dom0.update_for(u64::from(DOMID_XEN), &[entry]), (Ok(0), 1));
    assert_eq!(dom0.references(page), 2);
    assert_eq!(dom0.update_for(u64::from(DOMID_XEN), &[(entry.0, Pte::new(page, RW).0)]).0, EBUSY, "as it is shared");
}

#[test]
fn io_memory_is_no_domains_but_what_has_devices() {
    let world = world();
    let mut dom0 = Guest::new(&world, 0);
    let tables = dom0.running();
    let entry = Pte::new(Mfn(0x500), RO).0;
    for (data, result) in
        [(DOMID_SELF, Ok(0)), (DOMID_IO, Ok(0)), (1, EPERM), (DOMID_XEN, EPERM)].map(|(id, result)| (id.into(), result))
    {
        assert_eq!(dom0.update_for(data, &[(at(tables[3], 5), entry)]).0, result, "{data:#x}");
        dom0.set(tables[3], 5, Pte(0)).unwrap();
        if data != u64::from(DOMID_SELF) {
            let by_va = dom0.call(|ctx| update_va_mapping_otherdomain(ctx, Vaddr(0x5000), entry, UVMF_NONE, data));
            assert_eq!(by_va, result, "{data:#x}");
        }
        dom0.set(tables[3], 5, Pte(0)).unwrap();
    }
    let mut guest = Guest::new(&world, 1);
    guest.running();
    let io = u64::from(DOMID_IO);
    assert_eq!(guest.call(|ctx| update_va_mapping_otherdomain(ctx, Vaddr(0x5000), 0, UVMF_NONE, io)), EPERM);
}
