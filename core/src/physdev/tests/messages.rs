//! What holds of capabilities and tables of messages, by the PCI specification.

use super::*;

fn map(world: &TestWorld, machine: &mut TestIrqs, arg: PhysdevMapPirq) -> Result<i32, Errno> {
    op(world, machine, 0, PHYSDEVOP_map_pirq, arg).map(|op| op.pirq)
}

#[test]
fn a_capability_of_each_form_is_written_where_its_registers_are() {
    const ONES: u32 = 0x7777_7777;
    for (control, data, mask) in
        [(0x0006, 0x58, None), (0x0106, 0x58, Some(0x5c)), (0x0086, 0x5c, None), (0x0186, 0x5c, Some(0x60))]
    {
        let (world, mut machine) = (world(), TestIrqs::default());
        machine.config.insert((CARD, 0x50), control << 16 | 0x7005);
        (0x54..0x64).step_by(4).for_each(|at| _ = machine.config.insert((CARD, at), ONES));
        map(&world, &mut machine, msi(MAP_PIRQ_TYPE_MSI, 0, 0)).unwrap();
        let vector = u32::from(*machine.vectors.keys().next().unwrap());
        let expected = |at: u16| match at {
            0x54 => ADDRESS as u32,
            0x58 if data != 0x58 => (ADDRESS >> 32) as u32,
            at if at == data => ONES & 0xffff_0000 | vector,
            at if Some(at) == mask => u32::MAX,
            _ => ONES,
        };
        for at in (0x54..0x64).step_by(4) {
            assert_eq!(machine.config_read(CARD, at), expected(at), "{control:#x} at {at:#x}");
        }
        bind(&world, &mut machine, 0, 63).unwrap();
        for at in (0x54..0x64).step_by(4) {
            let bits = if Some(at) == mask { !1 } else { expected(at) };
            assert_eq!(machine.config_read(CARD, at), bits, "bound, {control:#x} at {at:#x}");
        }
    }
}

#[test]
fn a_capability_is_found_by_the_list_and_only_if_there_is_one() {
    let find = |values: &[(u16, u32)], id| {
        let mut machine = TestIrqs::default();
        values.iter().for_each(|&(at, value)| _ = machine.config.insert((CARD, at), value));
        msi::find(&mut machine, CARD, id)
    };
    assert_eq!([find(&[], msi::MSI), find(&[], msi::MSIX), find(&[], 9)], [Some(0x50), Some(0x70), None]);
    assert_eq!(find(&[(4, 6)], msi::MSI), None, "the status says that there is no list");
    assert_eq!(find(&[(0, u32::MAX)], msi::MSI), None, "no function");
    assert_eq!(find(&[(0x34, 0x53)], msi::MSI), Some(0x50), "the low two bits are reserved");
    assert_eq!(find(&[(0x50, 0x7309)], msi::MSIX), Some(0x70));
    assert_eq!(find(&[(0x34, 0x40), (0x40, 5)], msi::MSI), Some(0x40));
    assert_eq!(find(&[(0x34, 0x3c), (0x3c, 5)], msi::MSI), None, "a header's register");
    assert_eq!(find(&[(0x34, 0xfc), (0xfc, 5)], msi::MSI), Some(0xfc));
    let chain: Vec<_> = (0x40..0x100).step_by(4).map(|at: u16| (at, u32::from(at + 4) << 8 & 0xff00 | 9)).collect();
    assert_eq!(find(&[&chain[..], &[(0x34, 0x40), (0xfc, 5)]].concat(), msi::MSI), Some(0xfc), "as long as can be");
}

#[test]
fn as_many_messages_as_the_function_can_send() {
    for (log, most) in [(0, 1), (1, 2), (2, 4), (3, 8)] {
        for (wanted, given) in [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (8, 8), (9, 16)] {
            let (world, mut machine) = (world(), TestIrqs::default());
            machine.config.insert((CARD, 0x50), (0x0181 | log << 1) << 16 | 0x7005);
            let mapped = op(&world, &mut machine, 0, PHYSDEVOP_map_pirq, msi(MAP_PIRQ_TYPE_MULTI_MSI, wanted, 0));
            if given > most {
                assert_eq!(mapped, Err(Errno::EINVAL), "{wanted} of {most}");
                continue;
            }
            let mapped = mapped.unwrap();
            assert_eq!((mapped.entry_nr, mapped.pirq), (given, 64 - given));
            let control = machine.config_read(CARD, 0x50) >> 16;
            let enabled = given.ilog2();
            assert_eq!(control, 0x0180 | log << 1 | enabled << 4, "{wanted} of {most}, and not enabled yet");
        }
    }
}

#[test]
fn what_the_firmware_left_in_a_capability_does_not_count() {
    let (world, mut machine) = (world(), TestIrqs::default());
    machine.config.insert((CARD, 0x50), 0x01f7_7005);
    map(&world, &mut machine, msi(MAP_PIRQ_TYPE_MULTI_MSI, 2, 0)).unwrap();
    assert_eq!(machine.config_read(CARD, 0x50), 0x0196_7005, "two messages, not enabled");
}

#[test]
fn without_a_vector_nothing_is_mapped() {
    let (world, mut machine) = (world(), TestIrqs::default());
    machine.free = 0xef;
    let before = machine.config.clone();
    assert_eq!(map(&world, &mut machine, msi(MAP_PIRQ_TYPE_MSI, 0, 0)), Err(Errno::ENOSPC));
    assert_eq!(map(&world, &mut machine, msi(MAP_PIRQ_TYPE_MULTI_MSI, 2, 0)), Err(Errno::EOPNOTSUPP));
    assert_eq!(map(&world, &mut machine, msi(MAP_PIRQ_TYPE_MSI, 0, BAR)), Err(Errno::ENOSPC));
    assert_eq!(bind(&world, &mut machine, 0, 4), Err(Errno::ENOSPC));
    assert!(machine.config == before && machine.entries.is_empty() && machine.routes.is_empty());
}

#[test]
fn the_table_is_in_the_bar_that_the_capability_names() {
    let entry = |values: &[(u16, u32)], given: u64| {
        let (world, mut machine) = (world(), TestIrqs::default());
        values.iter().for_each(|&(at, value)| _ = machine.config.insert((CARD, at), value));
        map(&world, &mut machine, msi(MAP_PIRQ_TYPE_MSI, 3, given))?;
        assert_eq!(machine.entries.len(), 1);
        Ok::<u64, Errno>(*machine.entries.keys().next().unwrap())
    };
    let table = |bar: u32| (0x74, 0x1000 | bar);
    assert_eq!(entry(&[table(0), (0x10, 0xe000_0008), (0x14, 7)], 16), Ok(0xe000_1030), "prefetchable, 32 bits");
    assert_eq!(entry(&[table(0), (0x10, 0xe000_000c), (0x14, 7)], 16), Ok(0x7_e000_1030), "64 bits");
    assert_eq!(entry(&[table(1), (0x10, 0xe000_0008), (0x14, 0xd000_0000)], 16), Ok(0xd000_1030));
    assert_eq!(entry(&[table(5), (0x24, 0xe000_0004), (0x28, 7)], 16), Ok(0xe000_1030), "there is no sixth");
    assert_eq!(entry(&[table(6), (0x28, 0xe000_0000)], 16), Err(Errno::EINVAL));
    assert_eq!(entry(&[table(0), (0x10, 0xe001)], 16), Err(Errno::EINVAL), "ports");
    assert_eq!(entry(&[table(0)], 0xabc0_0000), Ok(0xabc0_1030), "a virtual function's");
    assert_eq!(entry(&[table(0)], 0xabc0_0008), Err(Errno::EINVAL), "not aligned");
    assert_eq!(entry(&[table(0), (0x10, 4), (0x14, u32::MAX)], 16), Ok(0xffff_ffff_0000_1030));
    assert_eq!(entry(&[table(0)], 0xffff_ffff_ffff_fff0), Err(Errno::EINVAL), "beyond the last address");
    for (size, result) in [(3, true), (2, false), (0x7ff, true)] {
        assert_eq!(entry(&[(0x70, size << 16 | 0x11)], BAR).is_ok(), result, "the register holds one less: {size}");
    }
}

#[test]
fn messages_that_a_function_forgot_are_written_again() {
    let (world, mut machine) = (world(), TestIrqs::default());
    map(&world, &mut machine, msi(MAP_PIRQ_TYPE_MULTI_MSI, 4, 0)).unwrap();
    bind(&world, &mut machine, 0, 62).unwrap();
    let vector = u32::from(*machine.vectors.keys().next().unwrap());
    machine.config = TestIrqs::default().config;
    // Somebody else used it meanwhile.
    machine.config.insert((CARD, 0x50), 0x01f7_7005);
    let restore = PhysdevRestoreMsi { bus: CARD.bus, devfn: CARD.devfn };
    assert_eq!(op(&world, &mut machine, 0, PHYSDEVOP_restore_msi, restore), Err(Errno::ENODEV));
    let card = PhysdevManagePci { bus: CARD.bus, devfn: CARD.devfn };
    op(&world, &mut machine, 0, PHYSDEVOP_manage_pci_add, card).unwrap();
    op(&world, &mut machine, 0, PHYSDEVOP_restore_msi, restore).unwrap();
    let read = [0x50, 0x54, 0x58, 0x5c, 0x60].map(|at| machine.config_read(CARD, at));
    let (low, high) = (ADDRESS as u32, (ADDRESS >> 32) as u32);
    assert_eq!(read, [0x01a7_7005, low, high, vector, 0b1011], "enabled, four messages, the bound one is not masked");

    let none = PhysdevRestoreMsi { bus: CARD.bus, devfn: CARD.devfn + 1 };
    let bridge = PhysdevManagePci { bus: CARD.bus, devfn: CARD.devfn + 1 };
    op(&world, &mut machine, 0, PHYSDEVOP_manage_pci_add, bridge).unwrap();
    machine.config = TestIrqs::default().config;
    op(&world, &mut machine, 0, PHYSDEVOP_restore_msi, none).unwrap();
    assert_eq!(machine.config, TestIrqs::default().config, "another function's messages are left alone");
}

#[test]
fn a_released_capability_is_off_and_keeps_the_rest_of_its_register() {
    let (world, mut machine) = (world(), TestIrqs::default());
    map(&world, &mut machine, msi(MAP_PIRQ_TYPE_MULTI_MSI, 4, 0)).unwrap();
    machine.config.insert((CARD, 0x50), 0x01a7_7005);
    [60, 61, 62, 63].into_iter().for_each(|pirq| _ = bind(&world, &mut machine, 0, pirq).unwrap());
    assert_eq!(machine.config_read(CARD, 0x60), !0b1111);
    let unmap = PhysdevUnmapPirq { domid: DomId::SELF.0, pirq: 60, ..Default::default() };
    op(&world, &mut machine, 0, PHYSDEVOP_unmap_pirq, unmap).unwrap();
    assert_eq!([0x50, 0x60].map(|at| machine.config_read(CARD, at)), [0x01a6_7005, u32::MAX]);
    assert!((60..64).all(|pirq| world.dom(0).devices.pirq(pirq) == Some(Pirq::default())));
}

#[test]
fn a_function_uses_one_kind_of_message_and_each_entry_once() {
    let (world, mut machine) = (world(), TestIrqs::default());
    let (message, entry) = (msi(MAP_PIRQ_TYPE_MSI, 0, 0), |n| msi(MAP_PIRQ_TYPE_MSI, n, BAR));
    assert_eq!([map(&world, &mut machine, entry(0)), map(&world, &mut machine, entry(1))], [Ok(63), Ok(62)]);
    assert_eq!(map(&world, &mut machine, entry(1)), Err(Errno::EEXIST));
    assert_eq!(map(&world, &mut machine, message), Err(Errno::EBUSY));
}

#[test]
fn messages_take_the_pirqs_that_are_wanted_if_all_are_free_and_above_the_lines() {
    let take = |pirq: i32, wanted: i32| {
        let (world, mut machine) = (world(), TestIrqs::default());
        let reserve = PhysdevGetFreePirq { r#type: MAP_PIRQ_TYPE_MSI, pirq: 0 };
        assert_eq!(op(&world, &mut machine, 0, PHYSDEVOP_get_free_pirq, reserve).unwrap().pirq, 63);
        world.dom(0).devices.table()[42].source = Source::Line;
        let arg = PhysdevMapPirq { pirq, ..msi(MAP_PIRQ_TYPE_MULTI_MSI, wanted, 0) };
        let result = map(&world, &mut machine, arg);
        assert_eq!(machine.vectors.len(), if result.is_ok() { wanted as usize } else { 0 });
        result
    };
    assert_eq!([take(43, 4), take(38, 4), take(60, 4), take(24, 4)], [Ok(43), Ok(38), Ok(60), Ok(24)]);
    assert_eq!([take(42, 4), take(39, 4), take(61, 4), take(23, 4)], [Err(Errno::EINVAL); 4]);
    assert_eq!([take(-1, 1), take(-1, 4), take(-1, 8)], [Ok(62), Ok(56), Ok(48)], "aligned, 63 was given out");
}

#[test]
fn a_dying_domain_gets_no_messages() {
    let (world, mut machine) = (world(), TestIrqs::default());
    world.dom(1).dying.store(true, std::sync::atomic::Ordering::SeqCst);
    let arg = PhysdevMapPirq { domid: 1, ..msi(MAP_PIRQ_TYPE_MSI, 0, 0) };
    assert_eq!(map(&world, &mut machine, arg), Err(Errno::EINVAL));
    assert!(machine.vectors.is_empty());
}
