//! What holds of functions and of windows onto their configuration space.

use super::*;

fn add(world: &TestWorld, machine: &mut TestIrqs, function: Function) {
    let Function { segment: seg, bus, devfn } = function;
    op(world, machine, 0, PHYSDEVOP_pci_device_add, PhysdevPciDeviceAdd { seg, bus, devfn, ..Default::default() })
        .unwrap();
}

#[test]
fn functions_are_known_by_each_call_and_listed_in_order() {
    let (world, mut machine) = (world(), TestIrqs::default());
    let (first, second, third) =
        (Function::on_bus(1, 9), Function::on_bus(2, 0), Function { segment: 1, bus: 0, devfn: 1 });
    let next = |from| world.hv.lines.next_function(from);
    assert_eq!(next(Function::default()), None);
    add(&world, &mut machine, third);
    op(&world, &mut machine, 0, PHYSDEVOP_manage_pci_add, PhysdevManagePci { bus: 2, devfn: 0 }).unwrap();
    let extended = PhysdevManagePciExt { bus: 1, devfn: 9, ..Default::default() };
    for bad in [PhysdevManagePciExt { is_extfn: 2, ..extended }, PhysdevManagePciExt { is_virtfn: 2, ..extended }] {
        assert_eq!(op(&world, &mut machine, 0, PHYSDEVOP_manage_pci_add_ext, bad), Err(Errno::EINVAL));
    }
    for (is_extfn, is_virtfn) in [(1, 0), (0, 1), (0, 0)] {
        let arg = PhysdevManagePciExt { is_extfn, is_virtfn, ..extended };
        op(&world, &mut machine, 0, PHYSDEVOP_manage_pci_add_ext, arg).unwrap();
    }
    let after = |function: Function| Function { devfn: function.devfn + 1, ..function };
    assert_eq!([Function::default(), after(first), after(second)].map(next), [Some(first), Some(second), Some(third)]);
    assert_eq!([next(first), next(third), next(after(third))], [Some(first), Some(third), None]);
    op(&world, &mut machine, 0, PHYSDEVOP_manage_pci_remove, PhysdevManagePci { bus: 2, devfn: 0 }).unwrap();
    let again = op(&world, &mut machine, 0, PHYSDEVOP_manage_pci_remove, PhysdevManagePci { bus: 2, devfn: 0 });
    assert_eq!((again, next(after(first))), (Err(Errno::ENODEV), Some(third)));
    let remove = PhysdevPciDevice { seg: 1, bus: 0, devfn: 1 };
    op(&world, &mut machine, 0, PHYSDEVOP_pci_device_remove, remove).unwrap();
    assert_eq!(next(after(first)), None);
}

#[test]
fn a_removed_function_takes_its_own_interrupts_away_and_no_others() {
    let (world, mut machine) = (world(), TestIrqs::default());
    [CARD, LOOP].into_iter().for_each(|function| add(&world, &mut machine, function));
    let mapped = op(&world, &mut machine, 0, PHYSDEVOP_map_pirq, msi(MAP_PIRQ_TYPE_MSI, 0, 0)).unwrap().pirq as u32;
    let device = |function: Function| PhysdevPciDevice { seg: 0, bus: function.bus, devfn: function.devfn };
    let source = |pirq| world.dom(0).devices.pirq(pirq).unwrap().source;
    op(&world, &mut machine, 0, PHYSDEVOP_pci_device_remove, device(LOOP)).unwrap();
    assert_eq!((source(mapped).function(), source(4)), (Some(CARD), Source::Line));
    op(&world, &mut machine, 0, PHYSDEVOP_pci_device_remove, device(CARD)).unwrap();
    assert_eq!((source(mapped), source(4)), (Source::Free, Source::Line));
}

#[test]
fn a_table_is_prepared_and_released_where_there_is_one() {
    let (world, mut machine) = (world(), TestIrqs::default());
    let device = |function: Function| PhysdevPciDevice { seg: 0, bus: function.bus, devfn: function.devfn };
    for cmd in [PHYSDEVOP_prepare_msix, PHYSDEVOP_release_msix] {
        assert_eq!(op(&world, &mut machine, 0, cmd, device(CARD)), Err(Errno::ENODEV), "not known yet");
    }
    [CARD, LOOP].into_iter().for_each(|function| add(&world, &mut machine, function));
    for cmd in [PHYSDEVOP_prepare_msix, PHYSDEVOP_release_msix] {
        assert!(op(&world, &mut machine, 0, cmd, device(CARD)).is_ok());
        assert_eq!(op(&world, &mut machine, 0, cmd, device(LOOP)), Err(Errno::ENODEV), "it has none");
    }
}

#[test]
fn windows_onto_configuration_space_are_reported_changed_and_taken_back() {
    let (world, mut machine) = (world(), TestIrqs::default());
    let window = PhysdevPciMmcfgReserved {
        address: 0xe000_0000,
        segment: 0,
        start_bus: 0,
        end_bus: 0x7f,
        flags: XEN_PCI_MMCFG_RESERVED,
    };
    let mut tell = |window| op(&world, &mut machine, 0, PHYSDEVOP_pci_mmcfg_reserved, window).map(|_| ());
    let seen = |n| world.hv.lines.mmcfg(n).map(|found| (found.address, found.segment, found.buses));
    for bad in [
        PhysdevPciMmcfgReserved { start_bus: 0x80, ..window },
        PhysdevPciMmcfgReserved { address: 0xe008_0000, ..window },
        PhysdevPciMmcfgReserved { flags: XEN_PCI_MMCFG_RESERVED | 2, ..window },
        PhysdevPciMmcfgReserved { flags: 2, ..window },
    ] {
        assert_eq!(tell(bad), Err(Errno::EINVAL));
    }
    assert_eq!(seen(0), None);
    tell(window).unwrap();
    tell(PhysdevPciMmcfgReserved { segment: 1, ..window }).unwrap();
    tell(PhysdevPciMmcfgReserved { start_bus: 0x7f, ..window }).unwrap();
    let all = || [0, 1, 2, 3].map(seen);
    let [first, second, third] = [(0, 0), (1, 0), (0, 0x7f)].map(|(s, from)| Some((0xe000_0000, s, (from, 0x7f))));
    assert_eq!(all(), [first, second, third, None]);
    tell(PhysdevPciMmcfgReserved { address: 0xd010_0000, ..window }).unwrap();
    assert_eq!(all(), [second, third, Some((0xd010_0000, 0, (0, 0x7f))), None]);
    tell(PhysdevPciMmcfgReserved { flags: 0, ..window }).unwrap();
    assert_eq!(all(), [second, third, None, None]);
}
