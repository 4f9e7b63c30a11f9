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
    for cmd in [
        XENPF_change_freq,
        XENPF_getidletime,
        XENPF_microcode_update,
        XENPF_cpu_hotadd,
        XENPF_mem_hotadd,
        XENPF_efi_runtime_call,
        1,
        1000,
    ] {
        assert_eq!(call(&mut machine, 0, cmd, [0u8; 128]), Err(Errno::ENOSYS), "{cmd}");
    }
    for (kind, result) in [(XEN_PM_CX, Ok(())), (XEN_PM_PX, Ok(())), (XEN_PM_PDC, Ok(())), (9, Err(Errno::EINVAL))] {
        let arg = XenpfSetProcessorPminfo { r#type: kind, ..Default::default() };
        assert_eq!(call(&mut machine, 0, XENPF_set_processor_pminfo, arg).map(|_| ()), result);
    }
}

/// A firmware with one variable.
#[derive(Default)]
struct Firmware {
    rest: Machine,
    name: Vec<u16>,
    data: Vec<u8>,
    attributes: u32,
    /// The year that the clock was set to, and what became of the alarm.
    year: u16,
    alarm: Option<(bool, Option<u16>)>,
    rings: (bool, bool),
    runtime: Option<u32>,
}

const NOT_FOUND: u64 = 1 << 63 | 14;
const TOO_SMALL: u64 = 1 << 63 | 5;

impl PlatformMachine for Firmware {
    fn set_wall_clock(&mut self, wall: WallClock) {
        self.rest.set_wall_clock(wall);
    }
    fn memory_type(&self, register: u32) -> Option<MemoryType> {
        self.rest.memory_type(register)
    }
    fn keyboard_flags(&self) -> u8 {
        0
    }
    fn power_off(&mut self, pm1a: u16, pm1b: u16) {
        self.rest.power_off(pm1a, pm1b);
    }
    fn cpus(&self) -> u16 {
        1
    }
    fn cpu(&self, cpu: CpuId) -> Option<CpuFacts> {
        self.rest.cpu(cpu)
    }
    fn symbol(&self, _n: u32) -> Option<Symbol<'_>> {
        None
    }
    fn efi(&self) -> Option<EfiFacts<'_>> {
        const VENDOR: &[u16] = &[b'E' as u16, b'D' as u16, b'K' as u16];
        Some(EfiFacts {
            revision: 0x2_0046,
            config_table: 0x7e00_0000,
            config_count: 9,
            vendor: VENDOR,
            vendor_revision: 0x1_0000,
            runtime_revision: self.runtime.unwrap_or(0x2_0046),
        })
    }
    fn efi_region(&self, address: u64) -> Option<EfiRegion> {
        let region = EfiRegion { start: 0x1000, end: 0x5000, attributes: 1 << 63 | 8, kind: 6 };
        (region.start..region.end).contains(&address).then_some(region)
    }
    fn efi_call(&mut self, call: EfiCall<'_>) -> u64 {
        match call {
            EfiCall::SetVariable { name, data, attributes, .. } => {
                (self.name, self.data, self.attributes) = (name.to_vec(), data.to_vec(), attributes);
                0
            }
            EfiCall::GetVariable { name, attributes, size, data, .. } => {
                if name != self.name {
                    return NOT_FOUND;
                }
                *size = self.data.len() as u64;
                let Some(to) = data.get_mut(..self.data.len()) else { return TOO_SMALL };
                to.copy_from_slice(&self.data);
                *attributes = self.attributes;
                0
            }
            EfiCall::GetNextVariableName { size, name, .. } => {
                if name.first() != Some(&0) {
                    return NOT_FOUND;
                }
                *size = self.name.len() as u64 * 2;
                let Some(to) = name.get_mut(..self.name.len()) else { return TOO_SMALL };
                to.copy_from_slice(&self.name);
                0
            }
            EfiCall::GetTime { time, clears, .. } => {
                (time.year, *clears) = (2026, self.year == 0);
                0
            }
            EfiCall::SetTime(time) => {
                self.year = time.year;
                7
            }
            EfiCall::GetWakeupTime { enabled, pending, time } => {
                (*enabled, *pending) = self.rings;
                time.year = 2027;
                0
            }
            EfiCall::SetWakeupTime { enable, time } => {
                self.alarm = Some((enable, time.map(|time| time.year)));
                0
            }
            EfiCall::GetNextHighMonotonicCount(count) => {
                *count = 42;
                0
            }
            EfiCall::QueryVariableInfo { attributes, storage, remaining, largest } => {
                let base = u64::from(attributes) * 100;
                (*storage, *remaining, *largest) = (base + 1, base + 2, base + 3);
                0
            }
        }
    }
}

const NAME: u64 = GUEST_BASE + 0x2000;

fn firmware_op(world: &TestWorld, machine: &mut Firmware, cmd: u32, u: [u8; 128]) -> Result<[u8; 128], Errno> {
    let op = XenPlatformOp { cmd, interface_version: XENPF_INTERFACE_VERSION, u, ..Default::default() };
    world.platform().poke(ARG, &op);
    match world.call(0, |ctx| platform_op(ctx, machine, Vaddr(ARG))).0 {
        Ok(_) => Ok(world.platform().peek::<XenPlatformOp>(ARG).u),
        Err(Stop::Err(error)) => Err(error),
        Err(Stop::Again(_)) => panic!("short calls"),
    }
}

fn runtime<T: IntoBytes + Immutable + FromBytes>(
    world: &TestWorld,
    machine: &mut Firmware,
    function: u32,
    misc: u32,
    arg: &T,
) -> Result<(u64, u32, T), Errno> {
    let mut call = XenpfEfiRuntimeCall { function, misc, ..Default::default() };
    member::put(&mut call.u, arg);
    let mut u = [0; 128];
    member::put(&mut u, &call);
    let call: XenpfEfiRuntimeCall = member::get(&firmware_op(world, machine, XENPF_efi_runtime_call, u)?);
    Ok((call.status, call.misc, member::get(&call.u)))
}

#[test]
fn uefi_variables_are_written_read_and_listed() {
    use xen_abi::GuestPtr;
    let (world, mut machine) = (TestWorld::new(8, &[]), Firmware::default());
    world.platform().poke(NAME, &[b'V' as u16, b'1' as u16, 0]);
    world.platform().poke(BUFFER, b"hello");
    let (name, data) = (GuestPtr::new(NAME), GuestPtr::new(BUFFER));
    let set = XenpfEfiRuntimeCallSetVariable { name, data, size: 5, ..Default::default() };
    assert_eq!(runtime(&world, &mut machine, XEN_EFI_set_variable, 7, &set).unwrap().0, 0);
    assert_eq!((machine.data.as_slice(), machine.attributes, machine.name.len()), (b"hello".as_slice(), 7, 3));

    world.platform().poke(BUFFER, b"xxxxxxxx");
    let get = XenpfEfiRuntimeCallGetVariable { name, data, size: 8, ..Default::default() };
    let (status, attributes, got) = runtime(&world, &mut machine, XEN_EFI_get_variable, 0, &get).unwrap();
    assert_eq!((status, attributes, got.size), (0, 7, 5));
    assert_eq!(&world.platform().peek::<[u8; 8]>(BUFFER), b"helloxxx", "no more than the variable has");
    let short = XenpfEfiRuntimeCallGetVariable { size: 2, ..get };
    let (status, _, got) = runtime(&world, &mut machine, XEN_EFI_get_variable, 0, &short).unwrap();
    assert_eq!((status, got.size), (TOO_SMALL, 5), "the firmware's answer is dom0's to judge");

    world.platform().poke(BUFFER, b"xxxxxxxx");
    world.platform().poke(NAME, &[b'W' as u16, 0]);
    let (status, _, _) = runtime(&world, &mut machine, XEN_EFI_get_variable, 0, &get).unwrap();
    assert_eq!((status, &world.platform().peek(BUFFER)), (NOT_FOUND, b"xxxxxxxx"), "a failed call writes no data");

    world.platform().poke(BUFFER, &[0u16; 4]);
    let next = XenpfEfiRuntimeCallGetNextVariableName { size: 8, name: data, ..Default::default() };
    let (status, _, got) = runtime(&world, &mut machine, XEN_EFI_get_next_variable_name, 0, &next).unwrap();
    assert_eq!((status, got.size), (0, 6));
    assert_eq!(world.platform().peek::<[u16; 3]>(BUFFER), [b'V' as u16, b'1' as u16, 0]);

    let time = XenpfEfiRuntimeCallGetTime::default();
    let (status, misc, time) = runtime(&world, &mut machine, XEN_EFI_get_time, 0, &time).unwrap();
    assert_eq!((status, misc, time.time.year), (0, XEN_EFI_GET_TIME_SET_CLEARS_NS, 2026));
}

#[test]
fn bad_arguments_of_runtime_calls_never_reach_the_firmware() {
    use xen_abi::GuestPtr;
    let (world, mut machine) = (TestWorld::new(8, &[]), Firmware::default());
    world.platform().poke(NAME, &[b'V' as u16, 0]);
    let good = XenpfEfiRuntimeCallSetVariable {
        name: GuestPtr::new(NAME),
        data: GuestPtr::new(BUFFER),
        size: 5,
        ..Default::default()
    };
    let nowhere = GuestPtr::new(0xffff_8300_0000_0000);
    for (bad, error) in [
        (XenpfEfiRuntimeCallSetVariable { name: nowhere, ..good }, Errno::EFAULT),
        (XenpfEfiRuntimeCallSetVariable { data: nowhere, ..good }, Errno::EFAULT),
        (XenpfEfiRuntimeCallSetVariable { size: u64::MAX, ..good }, Errno::ENOMEM),
    ] {
        assert_eq!(runtime(&world, &mut machine, XEN_EFI_set_variable, 7, &bad).unwrap_err(), error);
    }
    assert!(machine.name.is_empty());
    assert_eq!(runtime(&world, &mut machine, XEN_EFI_get_variable, 1, &good).unwrap_err(), Errno::EINVAL);
    assert_eq!(runtime(&world, &mut machine, XEN_EFI_set_wakeup_time, 4, &0u64).unwrap_err(), Errno::EINVAL);
    assert_eq!(runtime(&world, &mut machine, XEN_EFI_update_capsule, 0, &0u64).unwrap_err(), Errno::EOPNOTSUPP);
    assert_eq!(runtime(&world, &mut machine, 99, 0, &0u64).unwrap_err(), Errno::ENOSYS);
    assert_eq!(
        call(&mut Machine::default(), 0, XENPF_efi_runtime_call, XenpfEfiRuntimeCall::default()),
        Err(Errno::ENOSYS),
        "a BIOS has no services"
    );
}

#[test]
fn uefi_tells_its_tables_vendor_and_memory() {
    use xen_abi::GuestPtr;
    let (world, mut machine) = (TestWorld::new(8, &[]), Firmware::default());
    let mut ask = |index, set: &dyn Fn(&mut [u8; 32])| {
        let mut info = XenpfFirmwareInfo { r#type: XEN_FW_EFI_INFO, index, ..Default::default() };
        set(&mut info.u);
        let mut u = [0; 128];
        member::put(&mut u, &info);
        let u = firmware_op(&world, &mut machine, XENPF_firmware_info, u)?;
        Ok::<_, Errno>(member::get::<XenpfFirmwareInfo, 128>(&u).u)
    };
    let nothing = |_: &mut [u8; 32]| {};
    assert_eq!(member::get::<u32, 32>(&ask(XEN_FW_EFI_VERSION, &nothing).unwrap()), 0x2_0046);
    let table: XenpfFirmwareInfoEfiInfoCfg = member::get(&ask(XEN_FW_EFI_CONFIG_TABLE, &nothing).unwrap());
    assert_eq!((table.addr, table.nent), (0x7e00_0000, 9));
    let memory = |addr, size| {
        move |u: &mut [u8; 32]| {
            member::put(u, &XenpfFirmwareInfoEfiInfoMem { addr, size, ..Default::default() });
        }
    };
    let region: XenpfFirmwareInfoEfiInfoMem =
        member::get(&ask(XEN_FW_EFI_MEM_INFO, &memory(0x3000, u64::MAX)).unwrap());
    assert_eq!((region.size, region.r#type), (0x2000, 6));
    assert_eq!(ask(XEN_FW_EFI_MEM_INFO, &memory(0x5000, 1)), Err(Errno::ESRCH));
    for (bufsz, expected) in [(8, [b'E' as u16, b'D' as u16, b'K' as u16, 0]), (4, [b'E' as u16, 0, 7, 7])] {
        world.platform().poke(BUFFER, &[7u16; 4]);
        let name = GuestPtr::new(BUFFER);
        let vendor = move |u: &mut [u8; 32]| {
            member::put(u, &XenpfFirmwareInfoEfiInfoVendor { bufsz, name, ..Default::default() });
        };
        let vendor: XenpfFirmwareInfoEfiInfoVendor = member::get(&ask(XEN_FW_EFI_VENDOR, &vendor).unwrap());
        assert_eq!(vendor.revision, 0x1_0000);
        assert_eq!(world.platform().peek::<[u16; 4]>(BUFFER), expected);
    }
    assert_eq!(ask(77, &nothing), Err(Errno::EINVAL));
}

#[test]
fn a_quirk_of_the_machine_is_taken_note_of_and_an_unknown_one_is_refused() {
    for (quirk_id, result) in [
        (QUIRK_NOIRQBALANCING, Ok(())),
        (QUIRK_IOAPIC_BAD_REGSEL, Ok(())),
        (QUIRK_IOAPIC_GOOD_REGSEL, Ok(())),
        (0, Err(Errno::EINVAL)),
        (4, Err(Errno::EINVAL)),
    ] {
        let done = call(&mut Machine::default(), 0, XENPF_platform_quirk, XenpfPlatformQuirk { quirk_id });
        assert_eq!(done.map(|_| ()), result, "{quirk_id}");
    }
}

#[test]
fn no_core_is_parked_and_none_can_be() {
    let park = |r#type, idle_nums| {
        call(&mut Machine::default(), 0, XENPF_core_parking, XenpfCoreParking { r#type, idle_nums })
            .map(|arg| arg.idle_nums)
    };
    assert_eq!(park(XEN_CORE_PARKING_GET, 7), Ok(0));
    assert_eq!(park(XEN_CORE_PARKING_SET, 0), Ok(0));
    assert_eq!(park(XEN_CORE_PARKING_SET, 1), Err(Errno::EOPNOTSUPP));
    assert_eq!(park(3, 0), Err(Errno::EINVAL));
}

#[test]
fn uefis_clock_alarm_and_counter_are_dom0s() {
    let (world, mut machine) = (TestWorld::new(8, &[]), Firmware::default());
    let now = XenpfEfiTime { year: 2025, ..Default::default() };
    assert_eq!(runtime(&world, &mut machine, XEN_EFI_set_time, 0, &now).unwrap().0, 7);
    assert_eq!(machine.year, 2025);
    let time = XenpfEfiRuntimeCallGetTime::default();
    assert_eq!(runtime(&world, &mut machine, XEN_EFI_get_time, 0, &time).unwrap().1, 0, "nothing is cleared");

    for (rings, misc) in [
        ((false, false), 0),
        ((true, false), XEN_EFI_GET_WAKEUP_TIME_ENABLED),
        ((false, true), XEN_EFI_GET_WAKEUP_TIME_PENDING),
        ((true, true), XEN_EFI_GET_WAKEUP_TIME_ENABLED | XEN_EFI_GET_WAKEUP_TIME_PENDING),
    ] {
        machine.rings = rings;
        let (status, flags, time) = runtime(&world, &mut machine, XEN_EFI_get_wakeup_time, 0, &now).unwrap();
        assert_eq!((status, flags, time.year), (0, misc, 2027));
    }
    for (misc, alarm) in [
        (0, (false, Some(2025))),
        (XEN_EFI_SET_WAKEUP_TIME_ENABLE, (true, Some(2025))),
        (XEN_EFI_SET_WAKEUP_TIME_ENABLE_ONLY, (false, None)),
        (XEN_EFI_SET_WAKEUP_TIME_ENABLE | XEN_EFI_SET_WAKEUP_TIME_ENABLE_ONLY, (true, None)),
    ] {
        runtime(&world, &mut machine, XEN_EFI_set_wakeup_time, misc, &now).unwrap();
        assert_eq!(machine.alarm, Some(alarm), "{misc}");
    }
    let count = runtime(&world, &mut machine, XEN_EFI_get_next_high_monotonic_count, 0, &0u64).unwrap();
    assert_eq!((count.0, count.1), (0, 42));
    for function in [
        XEN_EFI_get_time,
        XEN_EFI_set_time,
        XEN_EFI_get_wakeup_time,
        XEN_EFI_get_next_high_monotonic_count,
        XEN_EFI_get_variable,
        XEN_EFI_get_next_variable_name,
    ] {
        let flagged = runtime(&world, &mut machine, function, 1, &[0u8; 40]);
        assert_eq!(flagged.unwrap_err(), Errno::EINVAL, "{function} takes no flags");
    }
}

#[test]
fn room_for_variables_is_told_since_uefi_2() {
    let (world, mut machine) = (TestWorld::new(8, &[]), Firmware::default());
    let ask = XenpfEfiRuntimeCallQueryVariableInfo { attr: 7, ..Default::default() };
    let (status, _, room) = runtime(&world, &mut machine, XEN_EFI_query_variable_info, 0, &ask).unwrap();
    assert_eq!((status, room.max_store_size, room.remain_store_size, room.max_size), (0, 701, 702, 703));
    let boot = runtime(&world, &mut machine, XEN_EFI_query_variable_info, XEN_EFI_VARINFO_BOOT_SNAPSHOT, &ask);
    assert_eq!(boot.unwrap_err(), Errno::EOPNOTSUPP);
    for (revision, error) in [(0x2_0000, None), (0x1_ffff, Some(Errno::EOPNOTSUPP))] {
        machine.runtime = Some(revision);
        assert_eq!(runtime(&world, &mut machine, XEN_EFI_query_variable_info, 0, &ask).err(), error);
    }
}

#[test]
fn a_name_ends_and_a_variable_has_a_size_of_sense() {
    use xen_abi::GuestPtr;
    let (world, mut machine) = (TestWorld::new(8, &[]), Firmware::default());
    let (name, data) = (GuestPtr::new(NAME), GuestPtr::new(BUFFER));
    let mut units = [b'V' as u16; 2049];
    world.platform().poke(NAME, &units);
    let set = XenpfEfiRuntimeCallSetVariable { name, data, size: 0, ..Default::default() };
    assert_eq!(runtime(&world, &mut machine, XEN_EFI_set_variable, 7, &set).unwrap_err(), Errno::EINVAL);
    units[2047] = 0;
    world.platform().poke(NAME, &units);
    runtime(&world, &mut machine, XEN_EFI_set_variable, 7, &set).unwrap();
    assert_eq!((machine.name.len(), machine.data.len()), (2048, 0));
    world.platform().poke(NAME, &[b'V' as u16, 0]);
    for (size, error) in [((1 << 20) + 1, Errno::ENOMEM), (1 << 20, Errno::EFAULT)] {
        let big = XenpfEfiRuntimeCallSetVariable { size, ..set };
        assert_eq!(runtime(&world, &mut machine, XEN_EFI_set_variable, 7, &big).unwrap_err(), error);
    }
    for (size, error) in [(4098, Some(Errno::ENOMEM)), (4096, None), (4097, None)] {
        let next = XenpfEfiRuntimeCallGetNextVariableName { size, name: data, ..Default::default() };
        assert_eq!(runtime(&world, &mut machine, XEN_EFI_get_next_variable_name, 0, &next).err(), error, "{size}");
    }
}

#[test]
fn other_facts_of_uefi() {
    let (world, mut machine) = (TestWorld::new(8, &[]), Firmware { runtime: Some(0x2_0050), ..Firmware::default() });
    let mut ask = |index| {
        let info = XenpfFirmwareInfo { r#type: XEN_FW_EFI_INFO, index, ..Default::default() };
        let mut u = [0; 128];
        member::put(&mut u, &info);
        let u = firmware_op(&world, &mut machine, XENPF_firmware_info, u)?;
        Ok::<u32, Errno>(member::get(&member::get::<XenpfFirmwareInfo, 128>(&u).u))
    };
    assert_eq!([ask(XEN_FW_EFI_VERSION), ask(XEN_FW_EFI_RT_VERSION)], [Ok(0x2_0046), Ok(0x2_0050)]);
    assert_eq!([XEN_FW_EFI_PCI_ROM, XEN_FW_EFI_APPLE_PROPERTIES].map(ask), [Err(Errno::ENODATA); 2]);
}

#[test]
fn a_memory_type_is_one_of_five_and_a_given_out_register_has_frames() {
    let mut machine = Machine::default();
    for kind in 0..=8 {
        let arg = XenpfAddMemtype { mfn: 0, nr_mfns: 0x8_0000, r#type: kind, ..Default::default() };
        let expected = match kind {
            6 => Ok(()),
            0 | 1 | 4 | 5 => Err(Errno::ENOSPC),
            _ => Err(Errno::EINVAL),
        };
        assert_eq!(call(&mut machine, 0, XENPF_add_memtype, arg).map(|_| ()), expected, "{kind}");
    }
    for (handle, reg, result) in [(0, 1, Ok(())), (1, 1, Err(Errno::EINVAL)), (0, 2, Err(Errno::EINVAL))] {
        let done = call(&mut machine, 0, XENPF_del_memtype, XenpfDelMemtype { handle, reg });
        assert_eq!(done.map(|_| ()), result, "{handle} {reg}");
    }
}

#[test]
fn families_and_models_are_put_together_as_the_manuals_say() {
    struct One(u32, bool);
    impl PlatformMachine for One {
        fn set_wall_clock(&mut self, _: WallClock) {}
        fn memory_type(&self, _: u32) -> Option<MemoryType> {
            None
        }
        fn keyboard_flags(&self) -> u8 {
            0
        }
        fn power_off(&mut self, _: u16, _: u16) {}
        fn cpus(&self) -> u16 {
            1
        }
        fn cpu(&self, cpu: CpuId) -> Option<CpuFacts> {
            let facts =
                CpuFacts { apic_id: 0, acpi_id: 0, vendor: *b"GenuineIntel", signature: self.0, online: self.1 };
            (cpu.0 == 0).then_some(facts)
        }
        fn symbol(&self, _: u32) -> Option<Symbol<'_>> {
            None
        }
    }
    let version = |mut machine: One| {
        let world = TestWorld::new(8, &[]);
        let op = XenPlatformOp {
            cmd: XENPF_get_cpu_version,
            interface_version: XENPF_INTERFACE_VERSION,
            ..Default::default()
        };
        world.platform().poke(ARG, &op);
        assert_eq!(world.call(0, |ctx| platform_op(ctx, &mut machine, Vaddr(ARG))).0, Ok(0));
        let found: XenpfPcpuVersion = member::get(&world.platform().peek::<XenPlatformOp>(ARG).u);
        assert_eq!(found.max_present, 0);
        (found.vendor_id, found.family, found.model, found.stepping)
    };
    for (signature, family, model, stepping) in [
        (0x000c_06f2, 0x6, 0xcf, 2),  // Sapphire Rapids
        (0x00a2_0f12, 0x19, 0x21, 2), // Zen 3
        (0x0000_0f4a, 0xf, 0x4, 10),  // Pentium 4
        (0x0ff5_0543, 0x5, 0x4, 3),   // neither extended family nor model count in family 5
        (0x0ff0_0f00, 0x10e, 0, 0),
    ] {
        assert_eq!(version(One(signature, true)), (*b"GenuineIntel", family, model, stepping), "{signature:#x}");
    }
    assert_eq!(version(One(0x000c_06f2, false)), ([0; 12], 0, 0, 0), "who is off tells nothing");
}

#[test]
fn each_way_of_asking_for_a_register_is_answered_in_its_entry() {
    let (world, mut machine) = (TestWorld::new(8, &[]), Machine::default());
    let entries = xen_abi::GuestPtr::new(BUFFER);
    for (u, rsvd, why) in [
        (XEN_RESOURCE_OP_MSR_READ, 0, Errno::EACCES),
        (XEN_RESOURCE_OP_MSR_WRITE, 0, Errno::EACCES),
        (9, 0, Errno::EOPNOTSUPP),
        (XEN_RESOURCE_OP_MSR_READ, 1, Errno::EINVAL),
    ] {
        world.platform().poke(BUFFER, &XenpfResourceEntry { u, rsvd, idx: 0x1b, val: 5 });
        call_in(&world, &mut machine, 0, XENPF_resource_op, XenpfResourceOp { nr_entries: 4, cpu: 1, entries })
            .unwrap();
        let entry: XenpfResourceEntry = world.platform().peek(BUFFER);
        assert_eq!((i64::from(entry.u.cast_signed()), entry.rsvd, entry.idx, entry.val), (why.as_neg(), rsvd, 0x1b, 5));
    }
    let far = XenpfResourceOp { nr_entries: 1, cpu: 3, entries };
    assert_eq!(call_in(&world, &mut machine, 0, XENPF_resource_op, far), Err(Errno::ENODEV));
}

#[test]
fn a_symbol_that_fits_is_whole_and_without_room_only_its_length_is_told() {
    let (world, mut machine) = (TestWorld::new(8, &[]), Machine::default());
    let name = xen_abi::GuestPtr::new(BUFFER);
    for (namelen, shown) in [(0, ""), (1, "\0"), (11, "platform_o\0"), (12, "platform_op\0"), (16, "platform_op\0")] {
        world.platform().poke(BUFFER, &[0xffu8; 16]);
        let ask = XenpfSymdata { namelen, symnum: 0, name, ..Default::default() };
        let got = call_in(&world, &mut machine, 0, XENPF_get_symbol, ask).unwrap();
        assert_eq!((got.namelen, got.address, got.r#type), (11, 0xffff_82d0_4020_0000, b't'));
        let mut expected = [0xff; 16];
        expected[..shown.len()].copy_from_slice(shown.as_bytes());
        assert_eq!(world.platform().peek::<[u8; 16]>(BUFFER), expected, "{namelen}");
    }
    let end = XenpfSymdata { namelen: 5, symnum: 1, name, address: 1, r#type: 2, ..Default::default() };
    let end = call_in(&world, &mut machine, 0, XENPF_get_symbol, end).unwrap();
    assert_eq!((end.namelen, end.symnum, end.address, end.r#type), (0, 1, 0, 0));
}
