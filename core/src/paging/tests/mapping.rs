//! Single entries: what may be mapped, and the ways to write them.

use super::*;
use crate::ctx::Effect;
use crate::frame::FrameRef;
use crate::platform::Flush;

#[test]
fn a_page_table_is_never_mapped_writable() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    for table in tables {
        assert_eq!(guest.set(tables[3], 9, Pte::new(table, RW)), EBUSY);
        assert_eq!(guest.set(tables[3], 9, Pte::new(table, RO)), Ok(0));
        assert_eq!(guest.set(tables[3], 9, Pte::new(table, RW)), EBUSY, "nor by changing the right");
    }
}

#[test]
fn a_writable_frame_is_no_page_table_until_its_last_writable_mapping_goes() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    let page = guest.frame();
    guest.set(tables[3], 0, Pte::new(page, RW)).unwrap();
    guest.set(tables[3], 1, Pte::new(page, RW)).unwrap();
    guest.set(tables[3], 1, Pte::new(page, RO)).unwrap();
    assert_eq!(guest.ext(MMUEXT_PIN_L1_TABLE, page.0, 0), EINVAL);
    assert_eq!(guest.set(tables[2], 1, Pte::new(page, RW)), EBUSY);
    guest.set(tables[3], 0, Pte::new(page, RO)).unwrap();
    assert_eq!(guest.references(page), 3);
    guest.set(tables[2], 1, Pte::new(page, RW)).unwrap();
    assert_eq!(guest.type_of(page), (FrameType::L1, 1));
}

#[test]
fn a_table_that_maps_itself_writable_is_refused() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let page = guest.frame();
    guest.poke(page, 3, Pte::new(page, RW));
    assert_eq!(guest.ext(MMUEXT_PIN_L1_TABLE, page.0, 0), EINVAL);
    guest.assert_idle(&[page]);
    guest.poke(page, 3, Pte::new(page, RO));
    guest.ext(MMUEXT_PIN_L1_TABLE, page.0, 0).unwrap();
}

#[test]
fn kernel_and_user_entries_read_back_with_what_was_added() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    let page = guest.frame();
    guest.set(tables[3], 0, Pte::new(page, PRESENT | WRITABLE)).unwrap();
    assert_eq!(guest.peek(tables[3], 0), Pte::new(page, RW | GUEST_KERNEL));
    guest.set(tables[3], 0, Pte::new(page, RW)).unwrap();
    assert_eq!(guest.peek(tables[3], 0), Pte::new(page, RW | GLOBAL));
    guest.set(tables[3], 0, Pte(0xdead_0000)).unwrap();
    assert_eq!(guest.peek(tables[3], 0), Pte(0xdead_0000));
    guest.assert_idle(&[page]);
}

#[test]
fn another_domains_frame_is_not_mapped() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let other = Guest::new(&world, 0);
    let tables = guest.running();
    let foreign = other.frame();
    for flags in [RO, RW] {
        assert_eq!(guest.set(tables[3], 0, Pte::new(foreign, flags)), EINVAL);
    }
    // Nor a free frame, nor the hypervisor's.
    let own = world.hv.alloc_frames(crate::cpu::CpuId(0), Default::default()).unwrap();
    assert_eq!(guest.set(tables[3], 0, Pte::new(own, RO)), EINVAL);
    let free = (16..200).map(Mfn).find(|&mfn| world.hv.heap.is_free(&world.hv.frames, mfn)).unwrap();
    assert_ne!(guest.set(tables[3], 0, Pte::new(free, RO)), Ok(0));
    other.assert_idle(&[foreign]);
}

#[test]
fn io_memory_is_for_domains_with_the_right_to_it() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let mut dom0 = Guest::new(&world, 0);
    let (unprivileged, tables) = (guest.running(), dom0.running());
    let io = Mfn(0x500);
    assert_eq!(guest.set(unprivileged[3], 0, Pte::new(io, RW)), EPERM);
    assert_eq!(guest.update_for(u64::from(DOMID_IO), &[(at(unprivileged[3], 0), Pte::new(io, RW).0)]).0, EPERM);
    dom0.set(tables[3], 0, Pte::new(io, RW | PCD | PWT)).unwrap();
    assert_eq!(dom0.set(tables[3], 1, Pte::new(Mfn(0xfee), RO)), EPERM, "the hypervisor's device");
    assert_eq!(dom0.set(tables[3], 1, Pte::new(Mfn(0x1000), RO)), EPERM, "no such address");
    dom0.set(tables[3], 1, Pte::new(Mfn(0xfed), RW)).unwrap();
    assert!(!dom0.peek(tables[3], 1).writable(), "read-only for everybody");
    // Changing and clearing it touches no count.
    dom0.set(tables[3], 0, Pte::new(io, RO)).unwrap();
    dom0.set(tables[3], 0, Pte(0)).unwrap();
    // DOMID_IO: no RAM, not even one's own.
    let page = dom0.frame();
    let entry = Pte::new(page, RO).0;
    assert_ne!(dom0.update_for(u64::from(DOMID_IO), &[(at(tables[3], 0), entry)]).0, Ok(0));
    // Free RAM is no I/O memory.
    let free = (16..200).rev().map(Mfn).find(|&mfn| world.hv.frames.kind(mfn) == FrameKind::Blank).unwrap();
    assert_eq!(dom0.set(tables[3], 0, Pte::new(free, RO)), EPERM);
}

/// Only the right of who asks was looked at, so that the control domain could write device memory into the tables of a
/// domain without the right to any: found by fuzzing. As with Xen, both need it.
#[test]
fn io_memory_comes_into_no_table_of_a_domain_without_the_right_to_it() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let mut dom0 = Guest::new(&world, 0);
    let (theirs, own) = (guest.running(), dom0.running());
    let entry = Pte::new(Mfn(0x500), RW).0;
    let tables_of = |id: u64| (id + 1) << 16;
    for data in [DOMID_SELF, DOMID_IO].map(u64::from) {
        assert_eq!(dom0.update_for(data | tables_of(1), &[(at(theirs[3], 0), entry)]), (EPERM, 0));
        assert_eq!(guest.peek(theirs[3], 0), Pte(0));
        dom0.update_for(data | tables_of(0), &[(at(own[3], 0), entry)]).0.unwrap();
    }
    let page = dom0.frame();
    let entry = Pte::new(page, RO).0;
    dom0.update_for(u64::from(DOMID_SELF) | tables_of(1), &[(at(theirs[3], 0), entry)]).0.unwrap();
    assert_eq!(guest.peek(theirs[3], 0).mfn(), page, "RAM is the control domain's to give");
}

#[test]
fn memory_types_are_refused_to_a_guest_without_devices() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    let page = guest.frame();
    for bit in [PWT, PCD, PAT_OR_PSE] {
        assert_eq!(guest.set(tables[3], 0, Pte::new(page, RO | bit)), EINVAL);
        let table = guest.frame();
        guest.poke(table, 0, Pte::new(page, RO | bit));
        assert_eq!(guest.ext(MMUEXT_PIN_L1_TABLE, table.0, 0), EINVAL);
        guest.assert_idle(&[table, page]);
    }
    guest.set(tables[3], 0, Pte::new(page, RO | 0x7ff << 52 | NO_EXECUTE | 0xe00)).unwrap();
}

#[test]
fn the_last_mapping_of_a_released_frame_frees_it() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    let page = guest.frame();
    guest.set(tables[3], 0, Pte::new(page, RW)).unwrap();
    let total = world.dom(1).pages.total.load(Ordering::SeqCst);
    assert_eq!(world.hv.frames.release(page, DomId(1)), Ok(None));
    guest.set(tables[3], 0, Pte(0)).unwrap();
    assert!(world.hv.heap.is_free(&world.hv.frames, page));
    assert_eq!(world.dom(1).pages.total.load(Ordering::SeqCst), total - 1);
}

#[test]
fn requests_before_the_first_bad_one_are_done_and_counted() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    let page = guest.frame();
    let good = |index| (at(tables[3], index), Pte::new(page, RO).0);
    let requests: Vec<_> = (0..40).map(|i| if i == 33 { (good(0).0, RO) } else { good(i) }).collect();
    let (result, done) = guest.update(&requests);
    assert_eq!((result, done), (EPERM, 33), "frame 0 is no RAM");
    assert_eq!(guest.references(page), 1 + 33);
    assert_eq!(guest.update(&[good(0), (at(tables[3], 0) + 3, 0)]), (Ok(0), 2), "command 3 is an update too");
}

#[test]
fn a_fault_in_the_request_list_stops_there() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    // The guest's memory ends inside the fourth request.
    let end = GUEST_BASE + 0x1_0000;
    for i in 0..3u64 {
        let request = MmuUpdate { ptr: at(tables[3], i as usize), val: i << 1 };
        world.platform().poke(end - 56 + i * 16, &request);
    }
    world.platform().poke(GUEST_BASE, &0u32);
    let result = guest.call(|ctx| mmu_update(ctx, Vaddr(end - 56), 9, Vaddr(GUEST_BASE), u64::from(DOMID_SELF)));
    assert_eq!(result, EFAULT);
    assert_eq!(world.platform().peek::<u32>(GUEST_BASE), 3);
    assert_eq!(guest.peek(tables[3], 2), Pte(4));
}

#[test]
fn a_frame_that_is_no_table_is_written_as_it_stands() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let page = guest.frame();
    assert_eq!(guest.set(page, 511, Pte(u64::MAX)), Ok(0));
    assert_eq!(guest.peek(page, 511), Pte(u64::MAX));
    guest.assert_idle(&[page]);
    let other = Guest::new(&world, 0).frame();
    assert_eq!(guest.set(other, 0, Pte(1)), EINVAL);
    guest.call(|ctx| set_gdt(ctx, &[page], 1)).unwrap();
    assert_eq!(guest.set(page, 0, Pte(0)), EINVAL, "descriptors are not written so");
}

#[test]
fn preserving_keeps_accessed_and_dirty() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    let page = guest.frame();
    guest.set(tables[3], 0, Pte::new(page, RW | ACCESSED | DIRTY)).unwrap();
    guest.update(&[(at(tables[3], 0) | MMU_PT_UPDATE_PRESERVE_AD, Pte::new(page, RO).0)]).0.unwrap();
    assert_eq!(guest.peek(tables[3], 0), Pte::new(page, RO | GLOBAL | ACCESSED | DIRTY));
    guest.update(&[(at(tables[3], 0), Pte::new(page, RO).0)]).0.unwrap();
    assert_eq!(guest.peek(tables[3], 0), Pte::new(page, RO | GLOBAL));
}

#[test]
fn the_machine_to_physical_table_is_changed_for_ones_own_frames_only() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let (own, other) = (guest.frame(), Guest::new(&world, 0).frame());
    guest.update(&[(own.maddr().0 | MMU_MACHPHYS_UPDATE, 1234)]).0.unwrap();
    assert_eq!(world.platform().m2p(own), 1234);
    assert_eq!(guest.update(&[(other.maddr().0 | MMU_MACHPHYS_UPDATE, 1234)]).0, EINVAL);
    let mut dom0 = Guest::new(&world, 0);
    dom0.update_for(1, &[(own.maddr().0 | MMU_MACHPHYS_UPDATE, 99)]).0.unwrap();
    assert_eq!(world.platform().m2p(own), 99);
}

#[test]
fn a_mapping_is_changed_by_its_linear_address() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    let page = guest.frame();
    let va = Vaddr(5 << 12);
    guest.call(|ctx| update_va_mapping(ctx, va, Pte::new(page, RW).0, UVMF_NONE)).unwrap();
    assert_eq!(guest.effects, Effects::default());
    assert_eq!(guest.peek(tables[3], 5), Pte::new(page, RW | GLOBAL));
    for (flags, flush_all, invlpg) in
        [(UVMF_TLB_FLUSH, true, None), (UVMF_INVLPG, false, Some(va)), (UVMF_INVLPG | UVMF_ALL, false, Some(va))]
    {
        guest.call(|ctx| update_va_mapping(ctx, va, Pte::new(page, RO).0, flags)).unwrap();
        assert_eq!((guest.effects.has(Effect::FLUSH_ALL), guest.effects.page()), (flush_all, invlpg));
    }
    // The hypervisor's slot leads to tables, too.
    guest.poke(tables[0], 256, Pte::new(tables[1], RW));
    for bad in [1 << 21, 0xffff_8000_0000_0000, 0xffff_87ff_ffff_f000, 0x8000_0000_0000, 1 << 46, 1 << 48] {
        assert_eq!(guest.call(|ctx| update_va_mapping(ctx, Vaddr(bad), 0, UVMF_NONE)), EINVAL, "{bad:#x}");
    }
}

#[test]
fn a_multi_flush_reaches_the_vcpus_in_the_bitmap() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    guest.running();
    guest.world.dom(1).dirty_cpus.set(crate::cpu::CpuId(2));
    world.platform().poke(GUEST_BASE + 8, &1u64);
    world.platform().flushes.lock().unwrap().clear();
    let flags = UVMF_INVLPG | (GUEST_BASE + 8);
    guest.call(|ctx| update_va_mapping(ctx, Vaddr(0), 0, flags)).unwrap();
    assert_eq!(guest.effects.page(), Some(Vaddr(0)), "vcpu 0 is the caller");
    assert!(world.platform().flushes.lock().unwrap().is_empty());
    guest.ext(MMUEXT_INVLPG_ALL, 0x7000, 0).unwrap();
    let (_, cpus, what) = world.platform().flushes.lock().unwrap()[0];
    assert!(cpus.has(crate::cpu::CpuId(2)) && what == Flush::Page(Vaddr(0x7000)));
    assert_eq!(guest.effects.page(), Some(Vaddr(0x7000)));
    assert_eq!(guest.ext(MMUEXT_TLB_FLUSH_MULTI, 0, 0x10), EINVAL);
}

#[test]
fn clear_and_copy_write_no_page_table() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    let (a, b) = (guest.frame(), guest.frame());
    guest.poke(a, 7, Pte(7));
    guest.ext(MMUEXT_COPY_PAGE, b.0, a.0).unwrap();
    assert_eq!(guest.peek(b, 7), Pte(7));
    guest.ext(MMUEXT_CLEAR_PAGE, b.0, 0).unwrap();
    assert_eq!(guest.peek(b, 7), Pte(0));
    assert_eq!(guest.ext(MMUEXT_CLEAR_PAGE, tables[3].0, 0), EINVAL);
    assert_eq!(guest.ext(MMUEXT_COPY_PAGE, tables[3].0, a.0), EINVAL);
    guest.ext(MMUEXT_COPY_PAGE, b.0, tables[2].0).unwrap();
    guest.assert_idle(&[a, b]);
    assert_eq!(guest.ext(MMUEXT_FLUSH_CACHE, 0, 0), EPERM);
    assert_eq!(guest.ext(MMUEXT_MARK_SUPER, a.0, 0), Err(Stop::Err(Errno::EOPNOTSUPP)));
    assert_eq!(guest.ext(14, 0, 0), ENOSYS);
}

#[test]
fn local_flushes_are_done_wherever_they_stand_in_a_list() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    guest.running();
    let effects = |guest: &mut Guest<'_>, ops: &[MmuextOp], done_out| {
        world.platform().poke(GUEST_BASE, ops);
        let count = ops.len() as u64;
        let self_ = u64::from(DOMID_SELF);
        assert_eq!(guest.call(|ctx| mmuext_op(ctx, Vaddr(GUEST_BASE), count, Vaddr(done_out), self_)), Ok(0));
        assert!(done_out == 0 || world.platform().peek::<u32>(done_out) == ops.len() as u32);
        (guest.effects.has(Effect::FLUSH_ALL), guest.effects.page())
    };
    let page = MmuextOp { cmd: MMUEXT_INVLPG_LOCAL, arg1: 0x7000, ..Default::default() };
    let all = MmuextOp { cmd: MMUEXT_TLB_FLUSH_LOCAL, ..Default::default() };
    for done_out in [0, GUEST_BASE + 0x200] {
        assert_eq!(effects(&mut guest, &[page], done_out), (false, Some(Vaddr(0x7000))));
        assert_eq!(effects(&mut guest, &[page, page], done_out), (false, Some(Vaddr(0x7000))));
        assert!(effects(&mut guest, &[all], done_out).0);
        assert!(effects(&mut guest, &[page, all], done_out).0);
        let nowhere = MmuextOp { arg1: 1 << 47, ..page };
        assert_eq!(effects(&mut guest, &[nowhere], done_out), (false, None));
        assert!(effects(&mut guest, &[MmuextOp { cmd: MMUEXT_TLB_FLUSH_ALL, ..all }], done_out).0);
        let some = MmuextOp { arg2: GUEST_BASE + 0x100, ..page };
        world.platform().poke(GUEST_BASE + 0x100, &1u64);
        let multi = [MmuextOp { cmd: MMUEXT_INVLPG_MULTI, ..some }];
        assert_eq!(effects(&mut guest, &multi, done_out), (false, Some(Vaddr(0x7000))));
        assert!(effects(&mut guest, &[MmuextOp { cmd: MMUEXT_TLB_FLUSH_MULTI, ..some }], done_out).0);
    }
}

#[test]
fn caches_are_flushed_on_the_vcpus_cpu_or_on_all_of_them() {
    let world = world();
    let mut dom0 = Guest::new(&world, 0);
    for (cmd, cpus) in [
        (MMUEXT_FLUSH_CACHE, crate::cpu::CpuMask::one(crate::cpu::CpuId(0))),
        (MMUEXT_FLUSH_CACHE_GLOBAL, TestPlatform::all_cpus()),
    ] {
        dom0.ext(cmd, 0, 0).unwrap();
        assert_eq!(core::mem::take(&mut *world.platform().cache_flushes.lock().unwrap()), [cpus]);
    }
}

#[test]
fn what_belongs_to_a_vcpu_is_set_for_oneself_only() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    let mut dom0 = Guest::new(&world, 0);
    dom0.running();
    let before = dom0.pv.kernel_root;
    for cmd in [MMUEXT_NEW_BASEPTR, MMUEXT_NEW_USER_BASEPTR, MMUEXT_SET_LDT] {
        assert_eq!(dom0.ext_for(1, cmd, tables[0].maddr().0 >> 12, 0), EPERM, "{cmd}");
    }
    assert_eq!(dom0.pv.kernel_root, before);
}

#[test]
fn preserving_keeps_accessed_and_dirty_of_an_entry_that_was_present() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    let page = guest.frame();
    let preserve = MMU_PT_UPDATE_PRESERVE_AD;
    let present = Pte::new(page, RO | GUEST_KERNEL).0;
    let ad = ACCESSED | DIRTY;
    for (old, new, kept) in [
        (present | ad, present, ad),
        (present | ACCESSED, present | DIRTY, ad),
        (present | ad, 0x1000, ad),
        (ad, 0x1000, 0),
        (ad | 0x2000, DIRTY | 0x1000, DIRTY),
    ] {
        guest.set(tables[3], 9, Pte(0)).unwrap();
        guest.set(tables[3], 9, Pte(old)).unwrap();
        assert_eq!(guest.update(&[(at(tables[3], 9) | preserve, new)]), (Ok(0), 1));
        assert_eq!(guest.peek(tables[3], 9), Pte(new | kept), "{old:#x} {new:#x}");
    }
    guest.set(tables[3], 9, Pte(0)).unwrap();
    guest.assert_idle(&[page]);
}

#[test]
fn an_upper_entry_with_the_same_rights_may_change_its_other_bits_except_global() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    let entry = guest.peek(tables[1], 0).0;
    assert_eq!(guest.set(tables[1], 0, Pte(entry | GLOBAL)), EINVAL);
    assert_eq!(guest.peek(tables[1], 0), Pte(entry));
    for bits in [ACCESSED, NO_EXECUTE, 0xe00, 0] {
        assert_eq!(guest.set(tables[1], 0, Pte(entry | bits)), Ok(0));
        assert_eq!(guest.peek(tables[1], 0), Pte(entry | bits));
    }
}

#[test]
fn one_request_without_a_count_means_whose_frames_it_says() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    let val = Pte::new(guest.frame(), RO | GUEST_KERNEL).0;
    world.platform().poke(GUEST_BASE, &MmuUpdate { ptr: at(tables[3], 9), val });
    let mut update =
        |foreign: u16| guest.call(|ctx| mmu_update(ctx, Vaddr(GUEST_BASE), 1, Vaddr(0), u64::from(foreign)));
    assert_eq!(update(DOMID_XEN), EPERM);
    assert_eq!((update(1), update(9)), (ESRCH, ESRCH));
    assert_ne!(update(DOMID_IO), Ok(0), "RAM is no I/O memory");
    assert_eq!(update(DOMID_SELF), Ok(0));
    assert_eq!(guest.peek(tables[3], 9), Pte(val));
    let refused = MmuUpdate { ptr: at(tables[3], 10), val: Pte::new(Guest::new(&world, 0).frame(), RO).0 };
    world.platform().poke(GUEST_BASE, &refused);
    let own = u64::from(DOMID_SELF);
    assert_eq!(guest.call(|ctx| mmu_update(ctx, Vaddr(GUEST_BASE), 1, Vaddr(0), own)), EINVAL);
}

#[test]
fn a_store_of_any_width_changes_its_bytes_of_an_entry_only() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    guest.set(tables[3], 3, Pte::new(tables[3], RO)).unwrap();
    // Neither makes the entry present, nor does any of the operations.
    let (entry, operand) = (0xf0e1_d2c3_b4a5_9686_u64, 0x3c5a_69a5_c396_7178_u64);
    for width in [1, 2, 4, 8] {
        for offset in (0..8).step_by(width) {
            let byte = |word: u64, at: usize| word.to_le_bytes()[at];
            let number = |bytes: [u8; 8]| u64::from_le_bytes(bytes);
            let inside: [bool; 8] = core::array::from_fn(|at| (offset..offset + width).contains(&at));
            let low = |at: usize| byte(operand, at.wrapping_sub(offset) % 8);
            let old = number(core::array::from_fn(|at| if at < width { byte(entry, at + offset) } else { 0 }));
            let combine = |f: fn(u8, u8) -> u8| {
                number(core::array::from_fn(
                    |at| {
                        if inside[at] { f(byte(entry, at), low(at)) } else { byte(entry, at) }
                    },
                ))
            };
            let set = combine(|_, new| new);
            for (write, expected) in [
                (PtWrite::Set(operand), set),
                (PtWrite::And(operand), combine(|now, bits| now & bits)),
                (PtWrite::Or(operand), combine(|now, bits| now | bits)),
                (PtWrite::Xor(operand), combine(|now, bits| now ^ bits)),
                (PtWrite::CmpXchg { old, new: operand }, set),
                (PtWrite::CmpXchg { old: !old, new: operand }, entry),
            ] {
                guest.set(tables[3], 7, Pte(entry)).unwrap();
                let what = format!("{width} bytes at {offset}");
                let va = Vaddr(0x3038 + offset as u64);
                assert_eq!(guest.call(|ctx| guest_pt_write(ctx, va, width, write)), Ok(old), "{what}");
                assert_eq!(guest.peek(tables[3], 7).0, expected, "{what}");
            }
        }
    }
}

#[test]
fn only_a_write_to_a_present_mapping_can_be_a_store_to_a_table() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    guest.set(tables[3], 3, Pte::new(tables[3], RO)).unwrap();
    world.dom(1).vm_assist.store(1 << VMASST_TYPE_writable_pagetables, Ordering::SeqCst);
    // Bit 0: present, 1: write, 2: user mode (which PV kernels run in), 3: reserved bit, 4: instruction fetch.
    for code in 0..32 {
        let expected = code & !4 == 3;
        assert_eq!(guest.call(|ctx| is_pt_write_fault(ctx, Vaddr(0x3000), code)), expected, "{code:#x}");
    }
}

#[test]
fn a_store_to_a_level_1_table_is_a_checked_update() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    let (page, other) = (guest.frame(), Guest::new(&world, 0).frame());
    // Address 0x3000 shows the level-1 table read-only, 0x4000 the level-2 table.
    guest.set(tables[3], 3, Pte::new(tables[3], RO)).unwrap();
    guest.set(tables[3], 4, Pte::new(tables[2], RO)).unwrap();
    guest.set(tables[3], 5, Pte::new(page, RO)).unwrap();
    let fault = |guest: &mut Guest<'_>, va, code| guest.call(|ctx| is_pt_write_fault(ctx, Vaddr(va), code));
    assert!(!fault(&mut guest, 0x3000, 7), "the assist is off");
    world.dom(1).vm_assist.store(1 << VMASST_TYPE_writable_pagetables, Ordering::SeqCst);
    assert!(fault(&mut guest, 0x3008, 7));
    assert!(!fault(&mut guest, 0x3008, 5), "a read");
    assert!(!fault(&mut guest, 0x3008, 6), "not present");
    assert!(!fault(&mut guest, 0x4000, 7), "directories are not writable");
    assert!(!fault(&mut guest, 0x5000, 7), "no table");

    let entry = Pte::new(page, RW).0;
    guest.call(|ctx| guest_pt_write(ctx, Vaddr(0x3038), 8, PtWrite::Set(entry))).unwrap();
    assert_eq!(guest.peek(tables[3], 7), Pte(entry | GLOBAL));
    assert_eq!(guest.type_of(page), (FrameType::Writable, 1));
    // `lock andb $~RW`, as a kernel write-protects.
    let old = guest.call(|ctx| guest_pt_write(ctx, Vaddr(0x3038), 1, PtWrite::And(!WRITABLE)));
    assert_eq!(old, Ok(entry & 0xff));
    assert_eq!(guest.type_of(page), (FrameType::Writable, 0));
    let set = |guest: &mut Guest<'_>, va, width, write| guest.call(|ctx| guest_pt_write(ctx, Vaddr(va), width, write));
    assert_eq!(set(&mut guest, 0x3038, 8, PtWrite::CmpXchg { old: 1, new: 0 }), Ok(Pte::new(page, RO | GLOBAL).0));
    assert_eq!(guest.peek(tables[3], 7).mfn(), page, "did not match");
    let now = guest.peek(tables[3], 7).0;
    set(&mut guest, 0x3038, 8, PtWrite::CmpXchg { old: now, new: 0 }).unwrap();
    assert_eq!(guest.references(page), 2);
    let foreign = Pte::new(other, RO).0;
    assert_eq!(set(&mut guest, 0x3038, 8, PtWrite::Set(foreign)), Err(PagingError::Invalid));
    assert_eq!(guest.peek(tables[3], 7), Pte(0));
    // By halves: the second one makes it present, and is what is checked.
    set(&mut guest, 0x303c, 4, PtWrite::Set(entry >> 32)).unwrap();
    set(&mut guest, 0x3038, 4, PtWrite::Set(entry)).unwrap();
    assert_eq!(guest.type_of(page), (FrameType::Writable, 1));
    assert_eq!(set(&mut guest, 0x3039, 8, PtWrite::Set(0)), Err(PagingError::Invalid), "unaligned");
    assert_eq!(set(&mut guest, 0x5000, 8, PtWrite::Set(0)), Err(PagingError::Invalid), "no table");
    assert_eq!(set(&mut guest, 0x4000, 8, PtWrite::Set(0)), Err(PagingError::Invalid), "a directory");
}

#[test]
fn an_entry_with_brought_references_owns_them() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let owner = Guest::new(&world, 0);
    let tables = guest.running();
    let (granted, own) = (owner.frame(), guest.frame());
    let dom0 = world.dom(0);
    let claim = |guest: &mut Guest<'_>, flags: u64| {
        let writable = flags & WRITABLE != 0;
        let (frame, used) = guest.call(|ctx| get_writable(ctx, &dom0, granted, writable)).unwrap();
        PteClaim { entry: Pte::new(granted, flags), frame, used }
    };
    guest.set(tables[3], 1, Pte::new(own, RW)).unwrap();
    let first = claim(&mut guest, RW);
    assert!(guest.call(|ctx| install_l1e_at_va(ctx, Vaddr(0x1000), first)).is_ok());
    guest.assert_idle(&[own]);
    assert!(world.hv.frames.is_foreign(granted));
    assert_eq!(guest.type_of(granted), (FrameType::Writable, 1));
    // The guest may drop it, but never gain rights.
    let second = claim(&mut guest, RO);
    let place = crate::addr::Maddr(at(tables[3], 2));
    assert!(guest.call(|ctx| install_l1e_at_maddr(ctx, place, second)).is_ok());
    assert_eq!(guest.set(tables[3], 2, Pte::new(granted, RW)), EINVAL);
    guest.set(tables[3], 2, Pte(0)).unwrap();
    assert_eq!(owner.references(granted), 2);
    // Moving another entry over it.
    guest.set(tables[3], 3, Pte::new(own, RO)).unwrap();
    assert!(guest.call(|ctx| clear_l1e_at_va(ctx, Vaddr(0x3000), granted, true)).is_err());
    assert!(guest.call(|ctx| move_l1e(ctx, Vaddr(0x3000), Vaddr(0x1000), granted, false)).is_err());
    let moved = guest.call(|ctx| move_l1e(ctx, Vaddr(0x3000), Vaddr(0x1000), granted, true)).unwrap();
    assert_eq!(moved.entry, Pte::new(granted, RW | GLOBAL));
    assert_eq!((guest.peek(tables[3], 1).mfn(), guest.peek(tables[3], 3)), (own, Pte(0)));
    guest.call(|ctx| put_writable(ctx, moved.frame, moved.used));
    owner.assert_idle(&[granted]);
    // What fails gives the claim back.
    let third = claim(&mut guest, RO);
    let (error, back) = guest.call(|ctx| install_l1e_at_va(ctx, Vaddr(1 << 40), third)).unwrap_err();
    assert_eq!(error, PagingError::Invalid);
    guest.call(|ctx| put_writable(ctx, back.frame, back.used));
    assert!(guest.call(|ctx| move_l1e(ctx, Vaddr(0x1000), Vaddr(0x6000), granted, true)).is_err());
    assert_eq!(guest.peek(tables[3], 1).mfn(), own, "a move that failed changes nothing");
}

#[test]
fn a_claim_must_be_the_frame_that_it_names() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    guest.running();
    let (a, b) = (guest.frame(), guest.frame());
    let frame: FrameRef = world.hv.frames.get(a, DomId(1)).unwrap();
    let claim = PteClaim { entry: Pte::new(b, RO), frame, used: None };
    let (_, claim) = guest.call(|ctx| install_l1e_at_va(ctx, Vaddr(0), claim)).unwrap_err();
    let claim = PteClaim { entry: Pte::new(a, RW), ..claim };
    let (_, claim) = guest.call(|ctx| install_l1e_at_va(ctx, Vaddr(0), claim)).unwrap_err();
    guest.call(|ctx| put_writable(ctx, claim.frame, claim.used));
    guest.assert_idle(&[a, b]);
}

/// Bit 2 of a request's address was dropped, so that 5 was MMU_MACHPHYS_UPDATE: found by guests/mmu-calls.
#[test]
fn an_update_of_half_an_entry_is_no_command() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    for low in 4..8 {
        let (result, done) = guest.update(&[(at(tables[3], 5) | low, 0)]);
        assert_eq!((result, done), (Err(Stop::Err(Errno::ENOSYS)), 0));
    }
}

#[test]
fn frames_of_no_domain_have_no_extended_operations() {
    let world = world();
    let mut guest = Guest::new(&world, 0);
    guest.running();
    for foreign in [DomId::IO, DomId::XEN] {
        let result = guest.ext_for(foreign.0.into(), MMUEXT_TLB_FLUSH_LOCAL, 0, 0);
        assert_eq!(result, Err(Stop::Err(Errno::EPERM)));
    }
}

#[test]
fn where_use_otherwise_is_no_case_of_its_own_it_is_an_invalid_argument() {
    assert_eq!(PagingError::Busy.unfit(), PagingError::Invalid);
    for error in [PagingError::Invalid, PagingError::NotPermitted, PagingError::NoDomain, PagingError::Interrupted] {
        assert_eq!(error.unfit(), error);
    }
}
