//! What holds of pirqs, lines and messages.
#![allow(clippy::unwrap_used)]

mod functions;
mod lines;
mod machine;
mod messages;

use super::*;
use crate::domain::DomId;
use crate::evtchn::{self, PirqEffect};
use crate::hypercall::Stop;
use crate::pv::{IN_KERNEL, PvState};
use crate::testing::{GUEST_BASE, TestWorld};
use machine::*;
use zerocopy::{FromBytes, Immutable, IntoBytes};

const PIRQS: u32 = 64;
const ARG: u64 = GUEST_BASE + 0x100;

fn world() -> TestWorld {
    let world = TestWorld::new(64, &[(8, 40)]);
    world.hv.lines.init(LINES).unwrap();
    for id in 0..2 {
        world.dom(id).events.set_pirqs(PIRQS).unwrap();
        world.dom(id).devices.init(PIRQS, id == 0).unwrap();
    }
    world
}

fn op<T: IntoBytes + Immutable + FromBytes>(
    world: &TestWorld,
    machine: &mut TestIrqs,
    id: u16,
    cmd: u32,
    arg: T,
) -> Result<T, Errno> {
    world.platform().poke(ARG, &arg);
    match world.call(id, |ctx| physdev_op(ctx, machine, cmd, Vaddr(ARG))).0 {
        Ok(value) => {
            assert_eq!(value, 0);
            Ok(world.platform().peek(ARG))
        }
        Err(Stop::Err(error)) => Err(error),
        Err(Stop::Again(_)) => panic!("these calls are short"),
    }
}

fn gsi(domid: u16, index: i32, pirq: i32) -> PhysdevMapPirq {
    PhysdevMapPirq { domid, r#type: MAP_PIRQ_TYPE_GSI, index, pirq, ..Default::default() }
}

fn msi(r#type: i32, entry_nr: i32, table_base: u64) -> PhysdevMapPirq {
    let (bus, devfn) = (CARD.bus.into(), CARD.devfn.into());
    PhysdevMapPirq {
        domid: DomId::SELF.0,
        r#type,
        index: -1,
        pirq: -1,
        bus,
        devfn,
        entry_nr,
        table_base,
        ..Default::default()
    }
}

fn bind(world: &TestWorld, machine: &mut TestIrqs, id: u16, number: u32) -> Result<u32, Errno> {
    let dom = world.dom(id);
    let (port, effect) = evtchn::bind_pirq(&world.hv, &dom, number, true)?;
    match pirq(&world.hv, &dom, machine, effect) {
        Ok(()) => Ok(port),
        Err(error) => {
            let _ = evtchn::close(&world.hv, &dom, port);
            Err(error)
        }
    }
}

#[test]
fn linux_brings_up_a_level_triggered_line() {
    let (world, mut machine) = (world(), TestIrqs::default());
    let setup = PhysdevSetupGsi { gsi: 11, triggering: 1, polarity: 1, ..Default::default() };
    assert_eq!(op(&world, &mut machine, 0, PHYSDEVOP_map_pirq, gsi(DomId::SELF.0, 11, 11)).unwrap().pirq, 11);
    let vector = op(&world, &mut machine, 0, PHYSDEVOP_alloc_irq_vector, PhysdevIrq { irq: 11, vector: 0 });
    assert_eq!(vector.unwrap().vector, 11);
    op(&world, &mut machine, 0, PHYSDEVOP_setup_gsi, setup).unwrap();
    assert_eq!(op(&world, &mut machine, 0, PHYSDEVOP_setup_gsi, setup), Err(Errno::EEXIST));
    assert!(machine.routes.is_empty(), "nobody listens yet");
    bind(&world, &mut machine, 0, 11).unwrap();
    let route = machine.routes[&11];
    assert_eq!(route, Route { level: true, low: true, masked: false, ..route });
    assert_eq!(machine.vectors[&route.vector], (11, true));
    // The handler masked it; the guest's word unmasks it.
    machine.mask(11, true);
    op(&world, &mut machine, 0, PHYSDEVOP_eoi, PhysdevEoi { irq: 11 }).unwrap();
    assert!(!machine.routes[&11].masked);
}

#[test]
fn isa_lines_are_there_from_the_start_and_edge_triggered() {
    let (world, mut machine) = (world(), TestIrqs::default());
    bind(&world, &mut machine, 0, 4).unwrap();
    assert!(!machine.routes[&4].level && !machine.routes[&4].low && !machine.routes[&4].masked);
    assert_eq!(bind(&world, &mut machine, 0, 4), Err(Errno::EEXIST));
    assert_eq!(bind(&world, &mut machine, 0, 20), Err(Errno::EINVAL), "was not mapped");
    assert_eq!(bind(&world, &mut machine, 1, 4), Err(Errno::EINVAL), "is not another domain's");
}

#[test]
fn closing_the_channel_masks_the_line_and_eoi_does_not_unmask_it() {
    let (world, mut machine) = (world(), TestIrqs::default());
    op(&world, &mut machine, 0, PHYSDEVOP_map_pirq, gsi(DomId::SELF.0, 20, -1)).unwrap();
    let port = bind(&world, &mut machine, 0, 20).unwrap();
    let effect = evtchn::close(&world.hv, &world.dom(0), port).unwrap();
    assert_eq!(effect, Some(PirqEffect::Unbind { pirq: 20 }));
    pirq(&world.hv, &world.dom(0), &mut machine, effect.unwrap()).unwrap();
    assert!(machine.routes[&20].masked);
    op(&world, &mut machine, 0, PHYSDEVOP_eoi, PhysdevEoi { irq: 20 }).unwrap();
    assert!(machine.routes[&20].masked);
    bind(&world, &mut machine, 0, 20).unwrap();
    assert_eq!(machine.vectors.len(), 1, "it keeps its vector");
}

#[test]
fn a_line_has_one_user_and_its_owner_needs_the_right() {
    let (world, mut machine) = (world(), TestIrqs::default());
    assert_eq!(op(&world, &mut machine, 1, PHYSDEVOP_map_pirq, gsi(1, 17, 17)), Err(Errno::EPERM));
    assert_eq!(op(&world, &mut machine, 1, PHYSDEVOP_map_pirq, gsi(0, 17, 17)), Err(Errno::EPERM));
    world.dom(1).devices.rights.lines.lock().add(17, 17).unwrap();
    op(&world, &mut machine, 1, PHYSDEVOP_map_pirq, gsi(1, 17, 17)).unwrap();
    op(&world, &mut machine, 0, PHYSDEVOP_map_pirq, gsi(0, 17, 17)).unwrap();
    bind(&world, &mut machine, 1, 17).unwrap();
    assert_eq!(bind(&world, &mut machine, 0, 17), Err(Errno::EBUSY));
    machine.mask(17, true);
    op(&world, &mut machine, 0, PHYSDEVOP_eoi, PhysdevEoi { irq: 17 }).unwrap();
    assert!(machine.routes[&17].masked, "dom0 is not its user");
    unmap_all(&world.hv, &world.dom(1), &mut machine);
    bind(&world, &mut machine, 0, 17).unwrap();
}

#[test]
fn what_cannot_be_mapped_is_refused() {
    let (world, mut machine) = (world(), TestIrqs::default());
    for (arg, error) in [
        (gsi(DomId::SELF.0, -1, 1), Errno::EINVAL),
        (gsi(DomId::SELF.0, 24, 24), Errno::EINVAL),
        (gsi(DomId::SELF.0, 5, 6), Errno::EINVAL),
        (gsi(77, 5, 5), Errno::ESRCH),
        (msi(MAP_PIRQ_TYPE_UNKNOWN, 0, 0), Errno::EINVAL),
        (msi(MAP_PIRQ_TYPE_MULTI_MSI, 0, 0), Errno::EDOM),
        (msi(MAP_PIRQ_TYPE_MULTI_MSI, 33, 0), Errno::EDOM),
        (msi(MAP_PIRQ_TYPE_MULTI_MSI, 16, 0), Errno::EINVAL),
        (msi(MAP_PIRQ_TYPE_MSI_SEG, 4, BAR), Errno::EINVAL),
        (PhysdevMapPirq { bus: 9, ..msi(MAP_PIRQ_TYPE_MSI_SEG, 0, 0) }, Errno::ENODEV),
        (PhysdevMapPirq { bus: 0x103, ..msi(MAP_PIRQ_TYPE_MSI_SEG, 0, 0) }, Errno::EINVAL),
        (PhysdevMapPirq { bus: 0x1_0003, ..msi(MAP_PIRQ_TYPE_MSI_SEG, 0, 0) }, Errno::ENODEV),
        (PhysdevMapPirq { devfn: 0x100, ..msi(MAP_PIRQ_TYPE_MSI_SEG, 0, 0) }, Errno::EINVAL),
        (PhysdevMapPirq { bus: 0, devfn: LOOP.devfn.into(), ..msi(MAP_PIRQ_TYPE_MSI, 0, 0) }, Errno::ENODEV),
        (PhysdevMapPirq { pirq: 3, ..msi(MAP_PIRQ_TYPE_MSI, 0, 0) }, Errno::EINVAL),
        (PhysdevMapPirq { pirq: 64, ..msi(MAP_PIRQ_TYPE_MSI, 0, 0) }, Errno::EINVAL),
        (PhysdevMapPirq { pirq: i32::MAX, ..msi(MAP_PIRQ_TYPE_MSI, 0, 0) }, Errno::EINVAL),
        (PhysdevMapPirq { index: 5, ..msi(MAP_PIRQ_TYPE_MSI, 0, 0) }, Errno::EINVAL),
    ] {
        assert_eq!(op(&world, &mut machine, 0, PHYSDEVOP_map_pirq, arg), Err(error), "{arg:?}");
    }
    assert_eq!(op(&world, &mut machine, 1, PHYSDEVOP_map_pirq, msi(MAP_PIRQ_TYPE_MSI, 0, 0)), Err(Errno::EPERM));
    assert!(machine.vectors.is_empty());
}

#[test]
fn a_message_is_programmed_masked_and_unmasked_when_bound() {
    let (world, mut machine) = (world(), TestIrqs::default());
    let mapped = op(&world, &mut machine, 0, PHYSDEVOP_map_pirq, msi(MAP_PIRQ_TYPE_MSI_SEG, 0, 0)).unwrap();
    assert_eq!(mapped.pirq, 63);
    let vector = machine.vectors.iter().find(|(_, v)| v.0 == 63).map(|(v, _)| *v).unwrap();
    assert_eq!([0x54, 0x58].map(|at| machine.config_read(CARD, at)), [ADDRESS as u32, (ADDRESS >> 32) as u32]);
    assert_eq!(machine.config_read(CARD, 0x5c), vector.into());
    assert_eq!(machine.config_read(CARD, 0x60), u32::MAX);
    assert_eq!(machine.config_read(CARD, 0x50) >> 16 & 0x71, 0, "one message, not enabled");
    let again = op(&world, &mut machine, 0, PHYSDEVOP_map_pirq, msi(MAP_PIRQ_TYPE_MSI_SEG, 0, 0));
    assert_eq!(again, Err(Errno::EEXIST));
    let other = op(&world, &mut machine, 0, PHYSDEVOP_map_pirq, msi(MAP_PIRQ_TYPE_MSI_SEG, 0, BAR));
    assert_eq!(other, Err(Errno::EBUSY));
    bind(&world, &mut machine, 0, 63).unwrap();
    assert_eq!(machine.config_read(CARD, 0x60), !1);
    let unmap = PhysdevUnmapPirq { domid: DomId::SELF.0, pirq: 63, ..Default::default() };
    op(&world, &mut machine, 0, PHYSDEVOP_unmap_pirq, unmap).unwrap();
    assert_eq!(op(&world, &mut machine, 0, PHYSDEVOP_unmap_pirq, unmap), Err(Errno::EINVAL));
    assert!(machine.vectors.is_empty());
    assert_eq!(machine.config_read(CARD, 0x60), u32::MAX);
}

#[test]
fn several_messages_have_pirqs_and_vectors_in_a_row() {
    let (world, mut machine) = (world(), TestIrqs::default());
    let mapped = op(&world, &mut machine, 0, PHYSDEVOP_map_pirq, msi(MAP_PIRQ_TYPE_MULTI_MSI, 3, 0)).unwrap();
    assert_eq!((mapped.entry_nr, mapped.pirq), (4, 60));
    assert_eq!(machine.config_read(CARD, 0x50) >> 20 & 7, 2);
    let vectors: Vec<u32> = machine.vectors.values().map(|v| v.0).collect();
    assert_eq!(vectors, [60, 61, 62, 63]);
    bind(&world, &mut machine, 0, 62).unwrap();
    assert_eq!(machine.config_read(CARD, 0x60), !4);
    let unmap = |pirq| PhysdevUnmapPirq { domid: DomId::SELF.0, pirq, ..Default::default() };
    assert_eq!(op(&world, &mut machine, 0, PHYSDEVOP_unmap_pirq, unmap(61)), Err(Errno::EINVAL));
    op(&world, &mut machine, 0, PHYSDEVOP_unmap_pirq, unmap(60)).unwrap();
    assert!(machine.vectors.is_empty());
    assert_eq!(world.dom(0).devices.pirq(62), Some(Pirq::default()));
}

#[test]
fn msix_entries_are_written_to_the_table_in_the_bar() {
    let (world, mut machine) = (world(), TestIrqs::default());
    let at = |n: u64| BAR + 0x2000 + n * 16;
    let first = op(&world, &mut machine, 0, PHYSDEVOP_map_pirq, msi(MAP_PIRQ_TYPE_MSI_SEG, 0, BAR)).unwrap();
    let third = op(&world, &mut machine, 0, PHYSDEVOP_map_pirq, msi(MAP_PIRQ_TYPE_MSI_SEG, 2, 0xdead_0000)).unwrap();
    assert_eq!((first.pirq, third.pirq), (63, 62));
    assert_eq!(machine.entries.keys().copied().collect::<Vec<_>>(), [at(0), at(2)]);
    assert!(machine.entries.values().all(|entry| entry.1 && entry.0.address == ADDRESS));
    bind(&world, &mut machine, 0, 62).unwrap();
    assert!(!machine.entries[&at(2)].1 && machine.entries[&at(0)].1);
    // A reset of the function, then dom0 restores it.
    machine.entries.clear();
    let device = PhysdevPciDevice { seg: 0, bus: CARD.bus, devfn: CARD.devfn };
    assert_eq!(op(&world, &mut machine, 0, PHYSDEVOP_restore_msi_ext, device), Err(Errno::ENODEV));
    let add = PhysdevPciDeviceAdd { bus: CARD.bus, devfn: CARD.devfn, ..Default::default() };
    op(&world, &mut machine, 0, PHYSDEVOP_pci_device_add, add).unwrap();
    op(&world, &mut machine, 0, PHYSDEVOP_pci_device_add, add).unwrap();
    op(&world, &mut machine, 0, PHYSDEVOP_restore_msi_ext, device).unwrap();
    assert!(!machine.entries[&at(2)].1 && machine.entries[&at(0)].1);
    op(&world, &mut machine, 0, PHYSDEVOP_prepare_msix, device).unwrap();
    op(&world, &mut machine, 0, PHYSDEVOP_pci_device_remove, device).unwrap();
    assert!(machine.vectors.is_empty() && machine.entries.values().all(|entry| entry.1));
    assert_eq!(op(&world, &mut machine, 0, PHYSDEVOP_pci_device_remove, device), Err(Errno::ENODEV));
}

#[test]
fn a_function_that_does_not_decode_memory_has_no_table() {
    let (world, mut machine) = (world(), TestIrqs::default());
    machine.config.insert((CARD, 4), 0x0010_0000);
    let refused = op(&world, &mut machine, 0, PHYSDEVOP_map_pirq, msi(MAP_PIRQ_TYPE_MSI_SEG, 0, BAR));
    assert_eq!(refused, Err(Errno::ENXIO));
}

#[test]
fn free_pirqs_are_given_out_once_each_and_can_be_mapped() {
    let (world, mut machine) = (world(), TestIrqs::default());
    let ask = |world: &TestWorld, machine: &mut TestIrqs| {
        let arg = PhysdevGetFreePirq { r#type: MAP_PIRQ_TYPE_MSI, pirq: 0 };
        op(world, machine, 1, PHYSDEVOP_get_free_pirq, arg).map(|op| op.pirq)
    };
    let all: Vec<u32> = std::iter::from_fn(|| ask(&world, &mut machine).ok()).collect();
    assert_eq!(all, (LINES..PIRQS).rev().collect::<Vec<_>>());
    assert_eq!(ask(&world, &mut machine), Err(Errno::ENOSPC));
    let arg = PhysdevMapPirq { domid: 1, pirq: 30, ..msi(MAP_PIRQ_TYPE_MSI, 0, 0) };
    assert_eq!(op(&world, &mut machine, 0, PHYSDEVOP_map_pirq, arg).unwrap().pirq, 30);
}

#[test]
fn the_page_says_which_interrupts_need_their_end_told() {
    let (world, mut machine) = (world(), TestIrqs::default());
    let mfn = world.hv.alloc_for(crate::cpu::CpuId(0), &world.dom(0), 0, 64, false).unwrap();
    op(&world, &mut machine, 0, PHYSDEVOP_map_pirq, gsi(0, 18, 18)).unwrap();
    op(&world, &mut machine, 0, PHYSDEVOP_map_pirq, gsi(0, 19, 19)).unwrap();
    bind(&world, &mut machine, 0, 18).unwrap();
    let page = PhysdevPirqEoiGmfn { gmfn: mfn.0 };
    op(&world, &mut machine, 0, PHYSDEVOP_pirq_eoi_gmfn_v2, page).unwrap();
    let unmasks = || world.dom(0).devices.eoi_unmasks.load(std::sync::atomic::Ordering::SeqCst);
    assert!(!unmasks(), "by the second version of the call, the guest unmasks its port itself");
    assert_eq!(op(&world, &mut machine, 0, PHYSDEVOP_pirq_eoi_gmfn_v2, page), Err(Errno::EBUSY));
    let word = || crate::Platform::page(world.platform(), mfn).load_u64(0);
    assert_eq!(word(), 1 << 18);
    let port = bind(&world, &mut machine, 0, 19).unwrap();
    bind(&world, &mut machine, 0, 3).unwrap();
    assert_eq!(word(), 1 << 18 | 1 << 19, "edges need none");
    let effect = evtchn::close(&world.hv, &world.dom(0), port).unwrap().unwrap();
    pirq(&world.hv, &world.dom(0), &mut machine, effect).unwrap();
    assert_eq!(word(), 1 << 18);
    let _ = world.call(0, |ctx| release_eoi_page(ctx, ctx.dom));
    op(&world, &mut machine, 0, PHYSDEVOP_pirq_eoi_gmfn_v1, page).unwrap();
    assert!(unmasks());
}

#[test]
fn apic_registers_can_be_read_and_trigger_modes_written() {
    let (world, mut machine) = (world(), TestIrqs::default());
    let apic = |reg, value| PhysdevApic { apic_physbase: IOAPIC, reg, value };
    assert_eq!(op(&world, &mut machine, 0, PHYSDEVOP_apic_read, apic(1, 0)).unwrap().value, 0x5a01);
    let nowhere = PhysdevApic { apic_physbase: 0x1000, reg: 1, value: 0 };
    assert_eq!(op(&world, &mut machine, 0, PHYSDEVOP_apic_read, nowhere), Err(Errno::EINVAL));
    assert_eq!(op(&world, &mut machine, 1, PHYSDEVOP_apic_read, apic(1, 0)), Err(Errno::EPERM));
    op(&world, &mut machine, 0, PHYSDEVOP_apic_write, apic(0x10 + 2 * 10, 0xa0fe)).unwrap();
    let line = world.hv.lines.line(10).unwrap();
    assert!(line.level && line.low && line.set_up && line.vector.is_none());
    assert_eq!(op(&world, &mut machine, 0, PHYSDEVOP_apic_write, apic(0x10 + 2 * 24, 0)), Err(Errno::EINVAL));
    // While it is in use, it gets another vector and stays unmasked.
    bind(&world, &mut machine, 0, 10).unwrap();
    op(&world, &mut machine, 0, PHYSDEVOP_apic_write, apic(0x10 + 2 * 10, 0)).unwrap();
    let route = machine.routes[&10];
    assert_eq!((route.level, route.masked, machine.vectors[&route.vector]), (false, false, (10, false)));
    assert_eq!(machine.vectors.len(), 1);
}

#[test]
fn port_access_of_a_guest_is_its_own_affair() {
    let (world, mut machine) = (world(), TestIrqs::default());
    let mut pv = PvState { flags: IN_KERNEL, ..PvState::default() };
    let mut call = |cmd| world.call_with(1, &mut pv, |ctx| physdev_op(ctx, &mut machine, cmd, Vaddr(ARG))).0;
    world.platform().poke(ARG, &PhysdevSetIopl { iopl: 4 });
    assert_eq!(call(PHYSDEVOP_set_iopl), Err(Stop::Err(Errno::EINVAL)));
    for iopl in [3, 0, 1] {
        world.platform().poke(ARG, &PhysdevSetIopl { iopl });
        assert_eq!(call(PHYSDEVOP_set_iopl), Ok(0));
    }
    let bitmap = xen_abi::GuestPtr::new(0x1234_5000);
    world.platform().poke(ARG, &PhysdevSetIobitmap { bitmap, nr_ports: 0x1_0001, ..Default::default() });
    assert_eq!(call(PHYSDEVOP_set_iobitmap), Err(Stop::Err(Errno::EINVAL)));
    world.platform().poke(ARG, &PhysdevSetIobitmap { bitmap, nr_ports: 0x1_0000, ..Default::default() });
    assert_eq!(call(PHYSDEVOP_set_iobitmap), Ok(0));
    assert_eq!((pv.iopl, pv.iobmp, pv.iobmp_limit), (1, Vaddr(0x1234_5000), 0x1_0000));
}

#[test]
fn what_only_the_control_domain_may_do_is_refused_to_others() {
    let (world, mut machine) = (world(), TestIrqs::default());
    for cmd in [
        PHYSDEVOP_apic_write,
        PHYSDEVOP_alloc_irq_vector,
        PHYSDEVOP_setup_gsi,
        PHYSDEVOP_manage_pci_add,
        PHYSDEVOP_manage_pci_add_ext,
        PHYSDEVOP_manage_pci_remove,
        PHYSDEVOP_pci_device_add,
        PHYSDEVOP_pci_device_remove,
        PHYSDEVOP_restore_msi,
        PHYSDEVOP_restore_msi_ext,
        PHYSDEVOP_prepare_msix,
        PHYSDEVOP_release_msix,
        PHYSDEVOP_pci_mmcfg_reserved,
        PHYSDEVOP_dbgp_op,
    ] {
        assert_eq!(op(&world, &mut machine, 1, cmd, [0u64; 8]), Err(Errno::EPERM), "{cmd}");
    }
    assert_eq!(op(&world, &mut machine, 0, 99, [0u64; 8]), Err(Errno::ENOSYS));
}

#[test]
fn an_argument_that_cannot_be_written_back_leaves_nothing_mapped() {
    let (world, mut machine) = (world(), TestIrqs::default());
    world.platform().poke(ARG, &msi(MAP_PIRQ_TYPE_MSI, 0, 0));
    world.platform().copies_left.store(1, std::sync::atomic::Ordering::SeqCst);
    let result = world.call(0, |ctx| physdev_op(ctx, &mut machine, PHYSDEVOP_map_pirq, Vaddr(ARG))).0;
    assert_eq!(result, Err(Stop::Err(Errno::EFAULT)));
    assert!(machine.vectors.is_empty());
    assert_eq!(world.dom(0).devices.pirq(63), Some(Pirq::default()));
}

#[test]
fn every_pirq_of_a_domain_wants_its_end_told_and_others_are_none() {
    let (world, mut machine) = (world(), TestIrqs::default());
    let mut status = |irq| {
        op(&world, &mut machine, 0, PHYSDEVOP_irq_status_query, PhysdevIrqStatusQuery { irq, flags: 0 })
            .map(|op| op.flags)
    };
    assert_eq!([status(0), status(PIRQS - 1)], [Ok(XENIRQSTAT_needs_eoi); 2]);
    assert_eq!([status(PIRQS), status(u32::MAX)], [Err(Errno::EINVAL); 2]);
}

#[test]
fn no_debug_port_is_in_the_way_of_dom0s_usb() {
    let (world, mut machine) = (world(), TestIrqs::default());
    let mut reset = |op: u32| {
        let arg = PhysdevDbgpOp { op: op as u8, ..Default::default() };
        super::tests::op(&world, &mut machine, 0, PHYSDEVOP_dbgp_op, arg).map(|_| ())
    };
    assert_eq!([PHYSDEVOP_DBGP_RESET_PREPARE, PHYSDEVOP_DBGP_RESET_DONE].map(&mut reset), [Ok(()); 2]);
    assert_eq!([0, 3, 255].map(&mut reset), [Err(Errno::EINVAL); 3]);
}
