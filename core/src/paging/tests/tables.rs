//! Tables as wholes: pins, roots, what may become one.

use super::*;

#[test]
fn a_pinned_tree_holds_each_table_once_and_unpinning_gives_all_back() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.tree();
    let data = guest.frame();
    guest.poke(tables[3], 5, Pte::new(data, RW));
    guest.poke(tables[3], 511, Pte::new(data, RO));
    guest.ext(MMUEXT_PIN_L4_TABLE, tables[0].0, 0).unwrap();
    assert_eq!(guest.type_of(tables[0]), (FrameType::L4, 1));
    assert_eq!(guest.type_of(tables[1]), (FrameType::L3, 1));
    assert_eq!(guest.type_of(tables[2]), (FrameType::L2, 1));
    assert_eq!(guest.type_of(tables[3]), (FrameType::L1, 1));
    assert_eq!(guest.type_of(data), (FrameType::Writable, 1));
    assert_eq!(guest.references(data), 3);
    assert_eq!(guest.ext(MMUEXT_PIN_L4_TABLE, tables[0].0, 0), EINVAL, "pinned already");
    guest.ext(MMUEXT_UNPIN_TABLE, tables[0].0, 0).unwrap();
    guest.assert_idle(&tables);
    guest.assert_idle(&[data]);
    assert_eq!(guest.ext(MMUEXT_UNPIN_TABLE, tables[0].0, 0), EINVAL);
}

#[test]
fn the_hypervisors_slots_are_installed_and_not_the_guests_to_change() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.tree();
    guest.poke(tables[0], 256, Pte::new(Mfn(3), RW));
    guest.poke(tables[0], 271, Pte::new(Mfn(3), RW));
    guest.ext(MMUEXT_PIN_L4_TABLE, tables[0].0, 0).unwrap();
    for slot in [256, 271] {
        assert_eq!(guest.peek(tables[0], slot).0, 0xfe00_0000_0000_0000 | slot as u64);
        assert_eq!(guest.set(tables[0], slot, Pte(0)), EINVAL);
    }
    assert_eq!(guest.set(tables[0], 255, Pte(0)), Ok(0));
    assert_eq!(guest.set(tables[0], 272, Pte(0)), Ok(0));
    guest.ext(MMUEXT_UNPIN_TABLE, tables[0].0, 0).unwrap();
}

#[test]
fn entries_above_level_1_are_made_accessible_and_read_back_so() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.tree();
    guest.poke(tables[0], 0, Pte::new(tables[1], PRESENT | WRITABLE));
    guest.ext(MMUEXT_PIN_L4_TABLE, tables[0].0, 0).unwrap();
    assert_eq!(guest.peek(tables[0], 0), Pte::new(tables[1], RW));
    guest.ext(MMUEXT_UNPIN_TABLE, tables[0].0, 0).unwrap();
}

#[test]
fn a_superpage_is_refused_at_every_level() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    for level in 0..3 {
        let tables = guest.tree();
        guest.poke(tables[level], 7, Pte::new(guest.frame(), RW | PAT_OR_PSE));
        assert_eq!(guest.ext(MMUEXT_PIN_L4_TABLE, tables[0].0, 0), EINVAL);
        guest.assert_idle(&tables);
    }
}

#[test]
fn a_refused_tree_leaves_no_reference_behind() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.tree();
    let (data, more) = (guest.frame(), guest.tree());
    guest.poke(tables[0], 1, Pte::new(more[1], RW));
    guest.poke(tables[3], 0, Pte::new(data, RW));
    guest.poke(more[3], 100, Pte::new(data, RO));
    guest.poke(more[3], 101, Pte::new(Mfn(17), RW));
    assert_eq!(world.hv.frames.kind(Mfn(17)), FrameKind::Blank, "free");
    assert_eq!(guest.ext(MMUEXT_PIN_L4_TABLE, tables[0].0, 0), EPERM);
    guest.assert_idle(&tables);
    guest.assert_idle(&more[1..]);
    guest.assert_idle(&[data]);
}

#[test]
fn a_table_is_no_table_of_another_level() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.tree();
    guest.ext(MMUEXT_PIN_L4_TABLE, tables[0].0, 0).unwrap();
    for (at, cmd) in [(0, MMUEXT_PIN_L1_TABLE), (1, MMUEXT_PIN_L2_TABLE), (3, MMUEXT_PIN_L3_TABLE)] {
        assert_eq!(guest.ext(cmd, tables[at].0, 0), EINVAL);
    }
    // A level-1 table as a level-2 one: its entries would be tables.
    assert_eq!(guest.set(tables[1], 1, Pte::new(tables[3], RW)), EBUSY);
    guest.ext(MMUEXT_PIN_L1_TABLE, tables[3].0, 0).unwrap();
    assert_eq!(guest.type_of(tables[3]), (FrameType::L1, 2));
    guest.ext(MMUEXT_UNPIN_TABLE, tables[0].0, 0).unwrap();
    guest.ext(MMUEXT_UNPIN_TABLE, tables[3].0, 0).unwrap();
    guest.assert_idle(&tables);
}

#[test]
fn another_domains_frame_is_no_table_here() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let other = Guest::new(&world, 0);
    let tables = guest.running();
    let foreign = other.frame();
    assert_eq!(guest.set(tables[2], 1, Pte::new(foreign, RW)), EINVAL);
    assert_eq!(guest.ext(MMUEXT_PIN_L1_TABLE, foreign.0, 0), EINVAL);
    assert_eq!(guest.ext(MMUEXT_NEW_BASEPTR, foreign.0, 0), EINVAL);
    assert_eq!(guest.ext(MMUEXT_NEW_USER_BASEPTR, foreign.0, 0), EINVAL);
    other.assert_idle(&[foreign]);
}

#[test]
fn a_new_base_is_loaded_before_the_old_one_is_let_go() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let old = guest.running();
    guest.ext(MMUEXT_UNPIN_TABLE, old[0].0, 0).unwrap();
    assert_eq!(guest.type_of(old[0]), (FrameType::L4, 1), "the vcpu runs on it");
    assert_eq!(world.platform().roots.lock().unwrap()[0], old[0].maddr());
    let new = guest.tree();
    guest.ext(MMUEXT_NEW_BASEPTR, new[0].0, 0).unwrap();
    assert_eq!(world.platform().roots.lock().unwrap()[0], new[0].maddr());
    assert_eq!(guest.pv.kernel_root, new[0].maddr());
    guest.assert_idle(&old);
    assert_eq!(guest.ext(MMUEXT_NEW_BASEPTR, Mfn(5).0, 0), EINVAL);
    assert_eq!(guest.pv.kernel_root, new[0].maddr());
}

#[test]
fn the_user_root_is_held_beside_the_kernels_and_0_drops_it() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let kernel = guest.running();
    let user = guest.tree();
    guest.ext(MMUEXT_NEW_USER_BASEPTR, user[0].0, 0).unwrap();
    assert_eq!(guest.pv.user_root, user[0].maddr());
    assert_eq!(world.platform().roots.lock().unwrap()[0], kernel[0].maddr());
    assert_eq!(guest.type_of(user[0]), (FrameType::L4, 1));
    guest.ext(MMUEXT_NEW_USER_BASEPTR, kernel[0].0, 0).unwrap();
    guest.assert_idle(&user);
    guest.ext(MMUEXT_NEW_USER_BASEPTR, 0, 0).unwrap();
    assert_eq!(guest.type_of(kernel[0]), (FrameType::L4, 2), "pinned, and the kernel's");
}

#[test]
fn a_linear_table_is_counted_and_never_writable() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    // To itself: no reference.
    guest.set(tables[0], 300, Pte::new(tables[0], RO)).unwrap();
    assert_eq!(guest.type_of(tables[0]), (FrameType::L4, 2));
    assert_ne!(guest.set(tables[0], 301, Pte::new(tables[0], RW)), Ok(0));
    // To another table of the level: counted.
    let other = guest.tree();
    guest.ext(MMUEXT_PIN_L4_TABLE, other[0].0, 0).unwrap();
    guest.set(tables[0], 302, Pte::new(other[0], RO)).unwrap();
    assert_eq!(guest.type_of(other[0]), (FrameType::L4, 2));
    assert_eq!(guest.set(other[0], 302, Pte::new(tables[0], RO)), EINVAL, "two deep at most");
    guest.ext(MMUEXT_UNPIN_TABLE, other[0].0, 0).unwrap();
    assert_eq!(guest.type_of(other[0]), (FrameType::L4, 1));
    guest.set(tables[0], 302, Pte(0)).unwrap();
    guest.assert_idle(&other);
}

#[test]
fn a_table_that_no_other_leads_to_any_more_may_lead_to_others() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let [a, b, c] = [guest.tree()[0], guest.tree()[0], guest.tree()[0]];
    for root in [a, b, c] {
        guest.ext(MMUEXT_PIN_L4_TABLE, root.0, 0).unwrap();
    }
    let link = |guest: &mut Guest<'_>, from, to| guest.set(from, 302, Pte::new(to, RO));
    link(&mut guest, a, b).unwrap();
    assert_eq!(link(&mut guest, b, c), EINVAL);
    guest.set(a, 302, Pte(0)).unwrap();
    link(&mut guest, b, c).unwrap();
    guest.set(b, 302, Pte(0)).unwrap();
    // The whole table goes.
    link(&mut guest, a, b).unwrap();
    guest.ext(MMUEXT_UNPIN_TABLE, a.0, 0).unwrap();
    link(&mut guest, b, c).unwrap();
    guest.ext(MMUEXT_UNPIN_TABLE, b.0, 0).unwrap();
    guest.ext(MMUEXT_UNPIN_TABLE, c.0, 0).unwrap();
    guest.assert_idle(&[a, b, c]);
}

#[test]
fn the_first_root_is_pinned_and_running_or_refused() {
    let world = world();
    let guest = Guest::new(&world, 0);
    let dom = world.dom(0);
    let boot = |root| pin_root_at_boot(&world.hv, crate::cpu::CpuId(0), &dom, root);
    let tables = guest.tree();
    guest.poke(tables[1], 1, Pte::new(guest.frame(), RW));
    world.platform().polls_left.store(0, Ordering::SeqCst);
    assert_eq!(boot(tables[0]), Ok(tables[0].maddr()));
    assert_eq!(guest.type_of(tables[0]), (FrameType::L4, 2));
    assert!(world.hv.frames.is_pinned(tables[0]));
    assert_eq!(guest.type_of(tables[3]), (FrameType::L1, 1));
    let refused = guest.tree();
    guest.poke(refused[0], 0, Pte::new(refused[1], RW | PAT_OR_PSE));
    assert_eq!(boot(refused[0]), Err(PagingError::Invalid));
}

#[test]
fn a_retyped_frame_is_flushed_from_the_cpus_that_may_remember_it_once() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    let data = guest.frame();
    let flushes = || world.platform().flushes.lock().unwrap().len();
    guest.set(tables[3], 0, Pte::new(data, RW)).unwrap();
    guest.set(tables[3], 0, Pte(0)).unwrap();
    let before = flushes();
    guest.ext(MMUEXT_PIN_L1_TABLE, data.0, 0).unwrap();
    assert_eq!(flushes(), before + 1);
    let (_, cpus, what) = world.platform().flushes.lock().unwrap()[before];
    assert!(cpus.has(crate::cpu::CpuId(0)) && !cpus.has(crate::cpu::CpuId(1)) && what == crate::platform::Flush::All);
    // And back: a walk cache may still use it as a table. But after a flush that came anyway, none is needed.
    guest.ext(MMUEXT_UNPIN_TABLE, data.0, 0).unwrap();
    guest.ext(MMUEXT_NEW_BASEPTR, tables[0].0, 0).unwrap();
    let before = flushes();
    guest.set(tables[3], 0, Pte::new(data, RW)).unwrap();
    assert_eq!(flushes(), before);
}

#[test]
fn a_foreign_mapping_that_becomes_writable_makes_the_frame_foreign_anew() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let mut dom0 = Guest::new(&world, 0);
    let (tables, page) = (dom0.running(), guest.frame());
    let slot = at(tables[3], 0);
    dom0.update_for(1, &[(slot, Pte::new(page, RW).0)]).0.unwrap();
    dom0.update_for(1, &[(slot, Pte::new(page, RO).0)]).0.unwrap();
    guest.ext(MMUEXT_PIN_L1_TABLE, page.0, 0).unwrap();
    guest.ext(MMUEXT_UNPIN_TABLE, page.0, 0).unwrap();
    assert!(!world.hv.frames.is_foreign(page), "all CPUs were flushed");
    dom0.update_for(1, &[(slot, Pte::new(page, RW).0)]).0.unwrap();
    assert!(world.hv.frames.is_foreign(page));
    // A whole table at once.
    let (page, table) = (guest.frame(), dom0.frame());
    dom0.poke(table, 0, Pte::new(page, RO));
    dom0.update_for(1, &[(at(tables[2], 1), Pte::new(table, RW).0)]).0.unwrap();
    assert!(world.hv.frames.is_foreign(page));
}

#[test]
fn what_a_change_of_type_flushed_here_is_not_flushed_again() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let tables = guest.running();
    let (fresh, used) = (guest.frame(), guest.frame());
    guest.set(tables[3], 0, Pte::new(used, RW)).unwrap();
    guest.set(tables[3], 0, Pte(0)).unwrap();
    for (table, flush) in [(fresh, true), (used, false)] {
        let flushed = MmuextOp { cmd: MMUEXT_TLB_FLUSH_LOCAL, ..Default::default() };
        let pin = MmuextOp { cmd: MMUEXT_PIN_L1_TABLE, arg1: table.0, ..Default::default() };
        world.platform().poke(GUEST_BASE, [flushed, pin].as_slice());
        guest.call(|ctx| mmuext_op(ctx, Vaddr(GUEST_BASE), 2, Vaddr(0), u64::from(DOMID_SELF))).unwrap();
        assert_eq!(guest.effects.has(crate::ctx::Effect::FLUSH_ALL), flush);
    }
}

#[test]
fn a_frame_that_a_foreign_domain_mapped_is_flushed_everywhere() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let mut dom0 = Guest::new(&world, 0);
    let (tables, page) = (dom0.running(), guest.frame());
    dom0.update_for(1, &[(at(tables[3], 0), Pte::new(page, RW).0)]).0.unwrap();
    assert!(world.hv.frames.is_foreign(page));
    dom0.set(tables[3], 0, Pte(0)).unwrap();
    let before = world.platform().flushes.lock().unwrap().len();
    guest.ext(MMUEXT_PIN_L1_TABLE, page.0, 0).unwrap();
    let (_, cpus, _) = world.platform().flushes.lock().unwrap()[before];
    assert_eq!(cpus, TestPlatform::all_cpus());
    // Once: from then on it is like any other frame.
    guest.ext(MMUEXT_UNPIN_TABLE, page.0, 0).unwrap();
    let before = world.platform().flushes.lock().unwrap().len();
    guest.set(page, 0, Pte(0)).unwrap();
    let (_, cpus, _) = world.platform().flushes.lock().unwrap()[before];
    assert!(cpus.has(crate::cpu::CpuId(0)) && !cpus.has(crate::cpu::CpuId(3)));
}

#[test]
fn dom0_builds_and_pins_another_domains_tables() {
    let world = world();
    let guest = Guest::new(&world, 1);
    let mut dom0 = Guest::new(&world, 0);
    let tables = guest.tree();
    assert_eq!(dom0.ext(MMUEXT_PIN_L4_TABLE, tables[0].0, 0), EINVAL, "not dom0's");
    dom0.ext_for(1, MMUEXT_PIN_L4_TABLE, tables[0].0, 0).unwrap();
    assert_eq!(guest.type_of(tables[3]), (FrameType::L1, 1));
    // An entry of the other's table, for the other's frame.
    let data = guest.frame();
    let foreign = 1 | (1 + 1) << 16;
    dom0.update_for(foreign, &[(at(tables[3], 4), Pte::new(data, RW).0)]).0.unwrap();
    assert_eq!(guest.type_of(data), (FrameType::Writable, 1));
    dom0.ext_for(1, MMUEXT_UNPIN_TABLE, tables[0].0, 0).unwrap();
    guest.assert_idle(&tables);
}

#[test]
fn nobody_else_has_power_over_other_domains() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let dom0 = Guest::new(&world, 0);
    let (tables, page) = (guest.running(), dom0.frame());
    let entry = [(at(tables[3], 0), Pte::new(page, RO).0)];
    assert_eq!(guest.update_for(0, &entry).0, EPERM);
    assert_eq!(guest.update_for(u64::from(DOMID_XEN), &entry).0, EPERM);
    assert_eq!(guest.update_for(u64::from(DOMID_SELF) | 1 << 16, &entry).0, EPERM);
    assert_eq!(guest.update_for(9, &entry).0, ESRCH);
    assert_eq!(guest.update_for(1, &entry).0, ESRCH, "one's own number is not foreign");
    assert_eq!(guest.ext_for(0, MMUEXT_PIN_L1_TABLE, page.0, 0), EPERM);
    let otherdomain = guest.call(|ctx| update_va_mapping_otherdomain(ctx, Vaddr(0), entry[0].1, 0, 0));
    assert_eq!(otherdomain, EPERM);
    dom0.assert_idle(&[page]);
}

/// The teardown's walk over the domain's frames is over, and one is still there, because somebody else maps it.
#[test]
fn nothing_of_a_dying_domain_is_pinned() {
    let world = world();
    let guest = Guest::new(&world, 1);
    let mut dom0 = Guest::new(&world, 0);
    let tables = guest.tree();
    world.dom(1).dying.store(true, Ordering::SeqCst);
    assert_eq!(dom0.ext_for(1, MMUEXT_PIN_L4_TABLE, tables[0].0, 0), EINVAL);
    guest.assert_idle(&tables);
}

#[test]
fn teardown_returns_every_frame_and_foreign_mappings_return_theirs() {
    let world = world();
    let mut guest = Guest::new(&world, 1);
    let mut dom0 = Guest::new(&world, 0);
    let held = world.held_frames();
    let tables = guest.running();
    let (data, gdt, seen) = (guest.frame(), guest.frame(), guest.frame());
    guest.set(tables[3], 0, Pte::new(data, RW)).unwrap();
    guest.set(tables[0], 300, Pte::new(tables[0], RO)).unwrap();
    guest.call(|ctx| set_gdt(ctx, &[gdt], 512)).unwrap();
    // A half-validated tree that the guest never went on with.
    let left = guest.tree();
    world.platform().polls_left.store(0, Ordering::SeqCst);
    let op = MmuextOp { cmd: MMUEXT_PIN_L4_TABLE, arg1: left[0].0, ..Default::default() };
    guest.poke(left[0], 9, Pte::new(left[1], RW));
    world.platform().poke(GUEST_BASE, &op);
    let again = guest.call(|ctx| mmuext_op(ctx, Vaddr(GUEST_BASE), 1, Vaddr(0), u64::from(DOMID_SELF)));
    assert!(matches!(again, Err(Stop::Again(_))));
    world.platform().polls_left.store(u64::MAX, Ordering::SeqCst);
    let foreign = dom0.running();
    dom0.update_for(1, &[(at(foreign[3], 0), Pte::new(seen, RW).0)]).0.unwrap();

    let dom = world.dom(1);
    dom.dying.store(true, Ordering::SeqCst);
    dom.vcpu(0).unwrap().saved.lock().pv = guest.pv.clone();
    world.platform().polls_left.store(0, Ordering::SeqCst);
    let mut progress = 0;
    let mut turns = 0;
    while dom0.call(|ctx| relinquish_memory(ctx, &dom, &mut progress)).is_err() {
        turns += 1;
        assert!(turns < 10_000);
    }
    world.platform().polls_left.store(u64::MAX, Ordering::SeqCst);
    assert_eq!(dom.pages.total.load(Ordering::SeqCst), 1, "what dom0 maps");
    assert_eq!(world.hv.frames.kind(seen), FrameKind::Owned(DomId(1)));
    dom0.set(foreign[3], 0, Pte(0)).unwrap();
    assert_eq!(dom.pages.total.load(Ordering::SeqCst), 0);
    assert_eq!(world.held_frames(), held);
}
