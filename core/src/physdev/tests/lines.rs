//! What holds of lines, of their pirqs and of who may use them.

use super::*;
use crate::cpu::CpuId;
use std::sync::atomic::Ordering;

const LEVEL: u32 = 1 << 15;
const LOW: u32 = 1 << 13;
const MASKED: u32 = 1 << 16;

fn apic(gsi: u32, value: u32) -> PhysdevApic {
    PhysdevApic { apic_physbase: IOAPIC, reg: 0x10 + 2 * gsi, value }
}

#[test]
fn isa_lines_are_edges_pci_lines_levels_unless_the_firmware_knows_better() {
    let world = world();
    for gsi in 0..LINES {
        let pci = gsi >= 16;
        assert_eq!(world.hv.lines.line(gsi), Some(Line { level: pci, low: pci, ..Line::default() }), "{gsi}");
    }
    assert_eq!((world.hv.lines.count(), world.hv.lines.line(LINES)), (LINES, None));
    for (level, low) in [(true, false), (false, true)] {
        world.hv.lines.set_default(9, level, low);
        assert_eq!(world.hv.lines.line(9), Some(Line { level, low, ..Line::default() }));
    }
    world.hv.lines.set_default(LINES, true, true);
}

#[test]
fn an_entry_of_the_io_apic_tells_mode_and_polarity_and_nothing_else() {
    let (world, mut machine) = (world(), TestIrqs::default());
    let mut write = |arg| op(&world, &mut machine, 0, PHYSDEVOP_apic_write, arg).map(|_| ());
    for (bits, level, low) in [(LEVEL, true, false), (LOW, false, true), (0, false, false), (LEVEL | LOW, true, true)] {
        write(apic(10, bits | MASKED | 0x1fff)).unwrap();
        assert_eq!(world.hv.lines.line(10), Some(Line { level: false, ..Line::default() }), "masked: no word counts");
        write(apic(9, bits | 0x1fff)).unwrap();
        assert_eq!(world.hv.lines.line(9), Some(Line { level, low, set_up: true, ..Line::default() }), "{bits:#x}");
    }
    let before = (0..LINES).map(|gsi| world.hv.lines.line(gsi)).collect::<Vec<_>>();
    for (reg, value) in [(0, LEVEL), (0xf, LEVEL), (0x11, LEVEL), (0x10, LEVEL | MASKED)] {
        write(PhysdevApic { apic_physbase: IOAPIC, reg, value }).unwrap();
    }
    assert_eq!(write(apic(LINES, LEVEL)), Err(Errno::EINVAL));
    assert_eq!(write(PhysdevApic { apic_physbase: IOAPIC + 8, reg: 0x10, value: 0 }), Err(Errno::EINVAL));
    assert_eq!((0..LINES).map(|gsi| world.hv.lines.line(gsi)).collect::<Vec<_>>(), before);
    write(apic(LINES - 1, 0)).unwrap();
    assert!(!world.hv.lines.line(LINES - 1).unwrap().level);
}

#[test]
fn setting_up_a_line_changes_its_route_if_it_has_one() {
    let (world, mut machine) = (world(), TestIrqs::default());
    let setup = |gsi, triggering, polarity| PhysdevSetupGsi { gsi, triggering, polarity, ..Default::default() };
    for gsi in [-1, LINES as i32] {
        assert_eq!(op(&world, &mut machine, 0, PHYSDEVOP_setup_gsi, setup(gsi, 1, 1)), Err(Errno::EINVAL));
    }
    for (gsi, triggering, polarity) in [(3, 1, 0), (5, 0, 1), (6, 0, 0), (7, 1, 1)] {
        bind(&world, &mut machine, 0, gsi).unwrap();
        let old = machine.routes[&gsi];
        op(&world, &mut machine, 0, PHYSDEVOP_setup_gsi, setup(gsi as i32, triggering, polarity)).unwrap();
        let (level, low) = (triggering != 0, polarity != 0);
        let route = machine.routes[&gsi];
        assert_eq!(route, Route { level, low, masked: false, vector: route.vector });
        assert_eq!(route.vector != old.vector, level || low, "another mode, another vector");
        assert_eq!(machine.vectors[&route.vector], (gsi, level));
        let line = world.hv.lines.line(gsi).unwrap();
        assert_eq!((line.level, line.low, line.vector), (level, low, Some(route.vector)));
    }
    assert_eq!(machine.vectors.len(), 4);
    // Nobody listens to it any more: it stays masked.
    unmap_all(&world.hv, &world.dom(0), &mut machine);
    op(&world, &mut machine, 0, PHYSDEVOP_apic_write, apic(3, 0)).unwrap();
    assert!(machine.routes[&3].masked && !machine.routes[&3].level);
    machine.free = 0xef;
    assert_eq!(op(&world, &mut machine, 0, PHYSDEVOP_apic_write, apic(3, LEVEL)), Err(Errno::ENOSPC));
    assert!(!world.hv.lines.line(3).unwrap().level && machine.vectors.len() == 4);
}

#[test]
fn a_line_that_no_controller_has_takes_no_vector() {
    let (world, mut machine) = (TestWorld::new(64, &[(8, 40)]), TestIrqs::default());
    world.hv.lines.init(LINES + 8).unwrap();
    world.dom(0).events.set_pirqs(PIRQS).unwrap();
    world.dom(0).devices.init(PIRQS, true).unwrap();
    op(&world, &mut machine, 0, PHYSDEVOP_map_pirq, gsi(0, 30, 30)).unwrap();
    assert_eq!(bind(&world, &mut machine, 0, 30), Err(Errno::EINVAL));
    assert_eq!((machine.vectors.len(), world.hv.lines.line(30).unwrap().vector), (0, None));
    assert!(!world.dom(0).devices.pirq(30).unwrap().bound);
    // An entry beyond the controller's last is not the next controller's first.
    assert_eq!(op(&world, &mut machine, 0, PHYSDEVOP_apic_write, apic(LINES, 0)), Err(Errno::EINVAL));
    assert!(world.hv.lines.line(LINES).unwrap().level);
}

#[test]
fn the_end_of_an_interrupt_unmasks_levels_that_the_domain_has() {
    let (world, mut machine) = (world(), TestIrqs::default());
    op(&world, &mut machine, 0, PHYSDEVOP_map_pirq, gsi(0, 20, 20)).unwrap();
    [4, 20].into_iter().for_each(|gsi| _ = bind(&world, &mut machine, 0, gsi).unwrap());
    [4, 20].into_iter().for_each(|gsi| machine.mask(gsi, true));
    let eoi = |world: &TestWorld, machine: &mut TestIrqs, irq| {
        op(world, machine, 0, PHYSDEVOP_eoi, PhysdevEoi { irq }).map(|_| ())
    };
    assert_eq!([4, 20].map(|irq| eoi(&world, &mut machine, irq)), [Ok(()); 2]);
    assert_eq!((machine.routes[&4].masked, machine.routes[&20].masked), (true, false), "an edge needs none");
    assert_eq!([30, PIRQS, u32::MAX].map(|irq| eoi(&world, &mut machine, irq)), [Err(Errno::EINVAL); 3]);
    assert!(machine.told.is_empty());
}

#[test]
fn the_page_has_a_bit_for_each_pirq_that_fits_in_it() {
    let (world, mut machine) = (world(), TestIrqs::default());
    let mfn = world.hv.alloc_for(CpuId(0), &world.dom(0), 0, 64, false).unwrap();
    let page = crate::Platform::page(world.platform(), mfn);
    (0..512).for_each(|word| page.store_u64(word * 8, u64::MAX));
    bind(&world, &mut machine, 0, 3).unwrap();
    op(&world, &mut machine, 0, PHYSDEVOP_pirq_eoi_gmfn_v2, PhysdevPirqEoiGmfn { gmfn: mfn.0 }).unwrap();
    let words = || (0..512).map(|word| page.load_u64(word * 8)).collect::<Vec<_>>();
    assert_eq!(words(), [0; 512], "an edge needs no end");
    let set = |pirq, needs| super::super::bind::set_needs_eoi(&world.hv, &world.dom(0), pirq, needs);
    for pirq in [0, 1, 63, 64, 130, 32_767] {
        set(pirq, true);
        let mut expected = vec![0u64; 512];
        expected[pirq as usize / 64] = 1 << (pirq % 64);
        assert_eq!(words(), expected, "{pirq}");
        set(pirq, true);
        set(pirq, false);
    }
    [32_768, u32::MAX].into_iter().for_each(|pirq| set(pirq, true));
    assert_eq!(words(), [0; 512]);
}

#[test]
fn unmapping_wants_the_right_and_clears_all_that_was_there() {
    let (world, mut machine) = (world(), TestIrqs::default());
    let mfn = world.hv.alloc_for(CpuId(0), &world.dom(1), 0, 64, false).unwrap();
    world.dom(1).devices.rights.lines.lock().add(17, 17).unwrap();
    op(&world, &mut machine, 1, PHYSDEVOP_map_pirq, gsi(DomId::SELF.0, 17, 17)).unwrap();
    bind(&world, &mut machine, 1, 17).unwrap();
    op(&world, &mut machine, 1, PHYSDEVOP_pirq_eoi_gmfn_v2, PhysdevPirqEoiGmfn { gmfn: mfn.0 }).unwrap();
    let word = || crate::Platform::page(world.platform(), mfn).load_u64(0);
    assert_eq!(word(), 1 << 17);
    let unmap = |pirq| PhysdevUnmapPirq { domid: DomId::SELF.0, pirq, ..Default::default() };
    assert_eq!(op(&world, &mut machine, 1, PHYSDEVOP_unmap_pirq, unmap(18)), Err(Errno::EPERM));
    assert_eq!(op(&world, &mut machine, 0, PHYSDEVOP_unmap_pirq, unmap(18)), Err(Errno::EINVAL), "free");
    assert_eq!(op(&world, &mut machine, 0, PHYSDEVOP_unmap_pirq, unmap(-1)), Err(Errno::EINVAL));
    op(&world, &mut machine, 1, PHYSDEVOP_unmap_pirq, unmap(17)).unwrap();
    assert_eq!((word(), world.dom(1).devices.pirq(17)), (0, Some(Pirq::default())));
    assert!(machine.routes[&17].masked && world.hv.lines.line(17).unwrap().user.is_none());
    op(&world, &mut machine, 0, PHYSDEVOP_unmap_pirq, unmap(4)).unwrap();
}

#[test]
fn a_line_that_was_mapped_stays_so_when_the_answer_cannot_be_written() {
    let (world, mut machine) = (world(), TestIrqs::default());
    world.platform().poke(ARG, &gsi(DomId::SELF.0, 20, 20));
    world.platform().copies_left.store(1, Ordering::SeqCst);
    let result = world.call(0, |ctx| physdev_op(ctx, &mut machine, PHYSDEVOP_map_pirq, Vaddr(ARG))).0;
    assert_eq!(result, Err(Stop::Err(Errno::EFAULT)));
    assert_eq!(world.dom(0).devices.pirq(20).unwrap().source, Source::Line);
}

#[test]
fn free_pirqs_of_lines_come_from_16_on_and_then_from_above() {
    let (world, mut machine) = (world(), TestIrqs::default());
    op(&world, &mut machine, 0, PHYSDEVOP_map_pirq, gsi(0, 17, 17)).unwrap();
    let mut ask = |r#type| {
        op(&world, &mut machine, 0, PHYSDEVOP_get_free_pirq, PhysdevGetFreePirq { r#type, pirq: 0 }).map(|op| op.pirq)
    };
    let expected = [16, 18, 19, 20, 21, 22, 23, 63, 62];
    assert_eq!(expected.map(|_| ask(MAP_PIRQ_TYPE_GSI)), expected.map(Ok));
    assert_eq!([MAP_PIRQ_TYPE_MSI_SEG, MAP_PIRQ_TYPE_MULTI_MSI].map(&mut ask), [Ok(61), Ok(60)]);
    assert_eq!([MAP_PIRQ_TYPE_UNKNOWN, -1].map(ask), [Err(Errno::EINVAL); 2]);
    op(&world, &mut machine, 0, PHYSDEVOP_map_pirq, gsi(0, 16, 16)).unwrap();
    assert_eq!(world.dom(0).devices.pirq(16).unwrap().source, Source::Line, "a line takes what was reserved");
}

#[test]
fn a_pirq_of_a_message_is_no_lines() {
    let (world, mut machine) = (world(), TestIrqs::default());
    let source = Source::Msi { function: CARD, capability: 0x50, index: 0, count: 1, vector: 0x30 };
    world.dom(0).devices.table()[20].source = source;
    assert_eq!(op(&world, &mut machine, 0, PHYSDEVOP_map_pirq, gsi(0, 20, 20)), Err(Errno::EEXIST));
    assert_eq!(world.dom(0).devices.init(PIRQS, true), Err(Errno::EEXIST));
    let fresh = DomainDevices::default();
    fresh.init(20, true).unwrap();
    let lines = (0..20).filter(|&pirq| fresh.pirq(pirq).unwrap().source == Source::Line).count();
    assert_eq!((fresh.count(), lines, fresh.pirq(20)), (20, 16, None));
}

#[test]
fn only_a_line_of_the_machine_has_a_name() {
    let (world, mut machine) = (world(), TestIrqs::default());
    let mut name = |irq| {
        op(&world, &mut machine, 0, PHYSDEVOP_alloc_irq_vector, PhysdevIrq { irq, vector: 7 }).map(|op| op.vector)
    };
    assert_eq!([name(0), name(LINES - 1), name(LINES)], [Ok(0), Ok(LINES - 1), Err(Errno::EINVAL)]);
}
