//! What holds of `platform_op`.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::cpu::CpuId;
use crate::testing::{GUEST_BASE, TestWorld};
use zerocopy::{FromBytes, Immutable, IntoBytes};

#[derive(Default)]
struct Machine {
    wall: Option<WallClock>,
    off: Option<(u16, u16)>,
}

const WRITE_BACK: MemoryType = MemoryType { mfn: 0, frames: 0x8_0000, kind: 6 };

impl PlatformMachine for Machine {
    fn set_wall_clock(&mut self, wall: WallClock) {
        self.wall = Some(wall);
    }
    fn memory_type(&self, register: u32) -> Option<MemoryType> {
        [MemoryType::default(), WRITE_BACK].get(register as usize).copied()
    }
    fn keyboard_flags(&self) -> u8 {
        0x20
    }
    fn power_off(&mut self, pm1a: u16, pm1b: u16) {
        self.off = Some((pm1a, pm1b));
    }
    fn cpus(&self) -> u16 {
        3
    }
    fn cpu(&self, cpu: CpuId) -> Option<CpuFacts> {
        let facts = CpuFacts { apic_id: 8, acpi_id: 1, vendor: *b"AuthenticAMD", signature: 0x00a2_0f12, online: true };
        (cpu.0 < 3).then_some(CpuFacts { online: cpu.0 < 2, ..facts })
    }
    fn symbol(&self, n: u32) -> Option<Symbol<'_>> {
        (n == 0).then_some(Symbol { name: "platform_op", address: 0xffff_82d0_4020_0000, kind: b't' })
    }
}

const ARG: u64 = GUEST_BASE;
const BUFFER: u64 = GUEST_BASE + 0x1000;

fn call<T: IntoBytes + Immutable + FromBytes>(machine: &mut Machine, id: u16, cmd: u32, arg: T) -> Result<T, Errno> {
    call_in(&TestWorld::new(8, &[]), machine, id, cmd, arg)
}

fn call_in<T: IntoBytes + Immutable + FromBytes>(
    world: &TestWorld,
    machine: &mut Machine,
    id: u16,
    cmd: u32,
    arg: T,
) -> Result<T, Errno> {
    let mut op = XenPlatformOp { cmd, interface_version: XENPF_INTERFACE_VERSION, ..Default::default() };
    member::put(&mut op.u, &arg);
    world.platform().poke(ARG, &op);
    match world.call(id, |ctx| platform_op(ctx, machine, Vaddr(ARG))).0 {
        Ok(_) => Ok(member::get(&world.platform().peek::<XenPlatformOp>(ARG).u)),
        Err(Stop::Err(error)) => Err(error),
        Err(Stop::Again(_)) => panic!("short calls"),
    }
}

#[test]
fn the_wall_clock_is_the_time_when_the_system_clock_was_0() {
    let mut machine = Machine::default();
    let now = XenpfSettime64 { secs: 1_700_000_010, nsecs: 7, mbz: 0, system_time: 10_000_000_000 };
    call(&mut machine, 0, XENPF_settime64, now).unwrap();
    assert_eq!(machine.wall, Some(WallClock { sec: 1_700_000_000, nsec: 7 }));
    call(&mut machine, 0, XENPF_settime32, XenpfSettime32 { secs: 5, nsecs: 0, system_time: 1 }).unwrap();
    assert_eq!(machine.wall, Some(WallClock { sec: 4, nsec: 999_999_999 }));
    for bad in [
        XenpfSettime64 { mbz: 1, ..now },
        XenpfSettime64 { nsecs: 1_000_000_000, ..now },
        XenpfSettime64 { secs: u64::MAX, ..now },
    ] {
        assert_eq!(call(&mut machine, 0, XENPF_settime64, bad), Err(Errno::EINVAL));
    }
}

#[test]
fn version_and_privilege_are_checked_first() {
    let (world, mut machine) = (TestWorld::new(8, &[]), Machine::default());
    assert_eq!(call(&mut machine, 1, XENPF_settime32, XenpfSettime32::default()), Err(Errno::EPERM));
    world.platform().poke(ARG, &XenPlatformOp { cmd: XENPF_settime32, ..Default::default() });
    let old = world.call(0, |ctx| platform_op(ctx, &mut machine, Vaddr(ARG))).0;
    assert_eq!(old, Err(Stop::Err(Errno::EACCES)));
    assert!(machine.wall.is_none());
}

#[test]
fn s5_switches_off_and_other_states_are_refused() {
    let mut machine = Machine::default();
    let sleep = |sleep_state, flags| XenpfEnterAcpiSleep { val_a: 0x2000, val_b: 0x2001, sleep_state, flags };
    for (state, flags, error) in [
        (3, 0, Errno::EOPNOTSUPP),
        (5, 1, Errno::EOPNOTSUPP),
        (6, 0, Errno::EINVAL),
        (0, 0, Errno::EINVAL),
        (5, 2, Errno::EINVAL),
    ] {
        assert_eq!(call(&mut machine, 0, XENPF_enter_acpi_sleep, sleep(state, flags)), Err(error));
    }
    assert!(machine.off.is_none());
    let _ = call(&mut machine, 0, XENPF_enter_acpi_sleep, sleep(5, 0));
    assert_eq!(machine.off, Some((0x2000, 0x2001)));
}

#[test]
fn memory_types_can_be_read_and_no_others_be_had() {
    let mut machine = Machine::default();
    let read = |machine: &mut Machine, reg| {
        call(machine, 0, XENPF_read_memtype, XenpfReadMemtype { reg, ..Default::default() })
    };
    let found = read(&mut machine, 1).unwrap();
    assert_eq!((found.mfn, found.nr_mfns, found.r#type), (0, 0x8_0000, 6));
    assert_eq!(read(&mut machine, 0).unwrap().nr_mfns, 0);
    assert_eq!(read(&mut machine, 2), Err(Errno::EINVAL));
    let add = |mfn| XenpfAddMemtype { mfn, nr_mfns: 0x8_0000, r#type: 6, ..Default::default() };
    assert_eq!(call(&mut machine, 0, XENPF_add_memtype, add(0)).unwrap().reg, 1);
    assert_eq!(call(&mut machine, 0, XENPF_add_memtype, add(1)), Err(Errno::ENOSPC));
    let none = XenpfAddMemtype { nr_mfns: 0, ..add(0) };
    assert_eq!(call(&mut machine, 0, XENPF_add_memtype, none), Err(Errno::EINVAL));
    call(&mut machine, 0, XENPF_del_memtype, XenpfDelMemtype { handle: 0, reg: 1 }).unwrap();
    let unused = XenpfDelMemtype { handle: 0, reg: 0 };
    assert_eq!(call(&mut machine, 0, XENPF_del_memtype, unused), Err(Errno::EINVAL));
}

#[test]
fn the_firmware_told_nothing_but_the_keyboards_state() {
    let mut machine = Machine::default();
    let ask = |machine: &mut Machine, r#type, index| {
        call(machine, 0, XENPF_firmware_info, XenpfFirmwareInfo { r#type, index, ..Default::default() })
    };
    assert_eq!(ask(&mut machine, XEN_FW_KBD_SHIFT_FLAGS, 0).unwrap().u[0], 0x20);
    for (kind, index, error) in [
        (XEN_FW_KBD_SHIFT_FLAGS, 1, Errno::ESRCH),
        (XEN_FW_DISK_INFO, 0, Errno::ESRCH),
        (XEN_FW_DISK_MBR_SIGNATURE, 0, Errno::ESRCH),
        (XEN_FW_VBEDDC_INFO, 0, Errno::ESRCH),
        (XEN_FW_EFI_INFO, 0, Errno::ENOSYS),
        (77, 0, Errno::EINVAL),
    ] {
        assert_eq!(ask(&mut machine, kind, index), Err(error));
    }
}

#[test]
fn cpus_are_shown_as_they_are() {
    let mut machine = Machine::default();
    let info = |machine: &mut Machine, xen_cpuid| {
        call(machine, 0, XENPF_get_cpuinfo, XenpfPcpuinfo { xen_cpuid, ..Default::default() }).unwrap()
    };
    let first = info(&mut machine, 0);
    assert_eq!((first.max_present, first.flags, first.apic_id, first.acpi_id), (2, XEN_PCPU_FLAGS_ONLINE, 8, 1));
    assert_eq!(info(&mut machine, 2).flags, 0);
    for none in [3, 0x1_0000, u32::MAX] {
        assert_eq!(info(&mut machine, none).flags, XEN_PCPU_FLAGS_INVALID);
    }
    let version = XenpfPcpuVersion { xen_cpuid: 1, ..Default::default() };
    let version = call(&mut machine, 0, XENPF_get_cpu_version, version).unwrap();
    assert_eq!((version.family, version.model, version.stepping), (0x19, 0x21, 2));
    assert_eq!(&version.vendor_id, b"AuthenticAMD");
    for (cmd, cpuid, result) in [
        (XENPF_cpu_online, 0, Ok(())),
        (XENPF_cpu_online, 2, Err(Errno::EOPNOTSUPP)),
        (XENPF_cpu_online, 9, Err(Errno::EINVAL)),
        (XENPF_cpu_offline, 1, Err(Errno::EOPNOTSUPP)),
        (XENPF_cpu_offline, 2, Ok(())),
    ] {
        assert_eq!(call(&mut machine, 0, cmd, XenpfCpuOl { cpuid }).map(|_| ()), result, "{cmd} {cpuid}");
    }
}

#[test]
fn symbols_are_cut_to_the_buffer_and_end() {
    let (world, mut machine) = (TestWorld::new(8, &[]), Machine::default());
    world.platform().poke(BUFFER, &[0xffu8; 32]);
    let name = xen_abi::GuestPtr::new(BUFFER);
    let ask = XenpfSymdata { namelen: 5, symnum: 0, name, ..Default::default() };
    let got = call_in(&world, &mut machine, 0, XENPF_get_symbol, ask).unwrap();
    assert_eq!((got.namelen, got.symnum, got.r#type), (11, 1, b't'));
    assert_eq!(&world.platform().peek::<[u8; 6]>(BUFFER), b"plat\0\xff");
    let end = call_in(&world, &mut machine, 0, XENPF_get_symbol, XenpfSymdata { symnum: 1, ..ask }).unwrap();
    assert_eq!((end.namelen, end.symnum), (0, 1));
}

#[test]
fn registers_are_not_open() {
    let (world, mut machine) = (TestWorld::new(8, &[]), Machine::default());
    world.platform().poke(BUFFER, &XenpfResourceEntry { u: 0, rsvd: 0, idx: 0x1b, val: 0 });
    let ask = XenpfResourceOp { nr_entries: 1, cpu: 0, entries: xen_abi::GuestPtr::new(BUFFER) };
    call_in(&world, &mut machine, 0, XENPF_resource_op, ask).unwrap();
    let entry: XenpfResourceEntry = world.platform().peek(BUFFER);
    assert_eq!(i64::from(entry.u.cast_signed()), Errno::EACCES.as_neg());
    for (bad, error) in [
        (XenpfResourceOp { nr_entries: 0, ..ask }, Errno::EINVAL),
        (XenpfResourceOp { nr_entries: 5, ..ask }, Errno::EINVAL),
        (XenpfResourceOp { cpu: 2, ..ask }, Errno::ENODEV),
    ] {
        assert_eq!(call_in(&world, &mut machine, 0, XENPF_resource_op, bad), Err(error));
    }
}

#[test]
fn what_xen_is_not_in_charge_of_is_no_command() {
    let mut machine = Machine::default();
    for cmd in [XENPF_change_freq, XENPF_getidletime, XENPF_efi_runtime_call, XENPF_mem_hotadd, 1, 1000] {
        assert_eq!(call(&mut machine, 0, cmd, [0u8; 128]), Err(Errno::ENOSYS), "{cmd}");
    }
    for (kind, result) in [(XEN_PM_CX, Ok(())), (XEN_PM_PX, Ok(())), (XEN_PM_PDC, Ok(())), (9, Err(Errno::EINVAL))] {
        let arg = XenpfSetProcessorPminfo { r#type: kind, ..Default::default() };
        assert_eq!(call(&mut machine, 0, XENPF_set_processor_pminfo, arg).map(|_| ()), result);
    }
}
