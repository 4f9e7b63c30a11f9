//! What holds of `sysctl`; and a machine for its tests and those of `domctl`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod cpuid;

use super::*;
use crate::console::Console;
use crate::cpu::CpuId;
use crate::cpupolicy::{Kind, Policy, XenInfo};
use crate::domain::DomId;
use crate::hypercall::Stop;
use crate::memory::E820Entry;
use crate::physdev::{Function, InterruptMachine, Message};
use crate::platform_op::{CpuFacts, MemoryType, PlatformMachine, Symbol};
use crate::testing::{GUEST_BASE, TestWorld};
use crate::time::WallClock;
use std::sync::atomic::Ordering;
use xen_abi::GuestPtr;
use xen_abi::arch_x86::XenCpuidLeaf;
use xen_abi::domctl::XenDomctlGetdomaininfo;
use xen_abi::physdev::PhysdevPciDevice;
use xen_abi::xen::XenctlBitmap;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A machine with four CPUs, two of a core, and no devices.
pub(crate) struct TestMachine {
    pub keys: Vec<u8>,
    pub told: Vec<crate::evtchn::Notify>,
    /// Core and socket of each CPU.
    places: [(u32, u32); 4],
    policy: Policy,
}

impl Default for TestMachine {
    fn default() -> Self {
        let leaf = |leaf: u32, _| match leaf {
            0 => [0xd, 0x6874_7541, 0x444d_4163, 0x6974_6e65],
            1 => [0x00a2_0f12, 0, 0x7ed8_320b, 0x178b_fbff],
            7 => [0, 0x0018_05a9, 0, 0],
            0xd => [7, 0x340, 0x340, 0],
            0x8000_0000 => [0x8000_0008, 0, 0, 0],
            0x8000_0001 => [0, 0, 0x0000_0121, 0x2c10_0800],
            0x8000_0008 => [0x3030, 0, 0, 0],
            _ => [0; 4],
        };
        TestMachine {
            keys: Vec::new(),
            told: Vec::new(),
            places: [(0, 0), (0, 0), (1, 0), (1, 0)],
            policy: Policy::pv(Kind::DomU, 0, leaf),
        }
    }
}

impl InterruptMachine for TestMachine {
    fn gsi_count(&self) -> u32 {
        24
    }
    fn ioapic_read(&mut self, _: crate::addr::Maddr, _: u32) -> Option<u32> {
        None
    }
    fn ioapic_lines(&self, _: crate::addr::Maddr) -> Option<(u32, u32)> {
        None
    }
    fn allocate_vectors(&mut self, _: u32, _: u32, _: bool) -> Option<u8> {
        Some(0x40)
    }
    fn free_vectors(&mut self, _: u8, _: u32) {}
    fn route(&mut self, _: u32, _: u8, _: bool, _: bool) -> bool {
        true
    }
    fn mask(&mut self, _: u32, _: bool) {}
    fn message(&self, vector: u8) -> Message {
        Message { address: 0xfee0_0000, data: vector.into() }
    }
    fn config_read(&mut self, _: Function, _: u16) -> u32 {
        u32::MAX
    }
    fn config_write(&mut self, _: Function, _: u16, _: u32) {}
    fn config_write16(&mut self, _: Function, _: u16, _: u16) {}
    fn msix_write(&mut self, _: crate::addr::Maddr, _: Message) -> bool {
        false
    }
    fn msix_mask(&mut self, _: crate::addr::Maddr, _: bool) {}
    fn notify(&mut self, notify: crate::evtchn::Notify) {
        self.told.push(notify);
    }
}

impl PlatformMachine for TestMachine {
    fn set_wall_clock(&mut self, _: WallClock) {}
    fn memory_type(&self, _: u32) -> Option<MemoryType> {
        None
    }
    fn keyboard_flags(&self) -> u8 {
        0
    }
    fn power_off(&mut self, _: u16, _: u16) {}
    fn cpus(&self) -> u16 {
        4
    }
    fn cpu(&self, cpu: CpuId) -> Option<CpuFacts> {
        (cpu.0 < 4).then_some(CpuFacts { online: cpu.0 < 3, apic_id: cpu.0.into(), ..Default::default() })
    }
    fn symbol(&self, _: u32) -> Option<Symbol<'_>> {
        None
    }
}

impl SystemMachine for TestMachine {
    fn debug_key(&mut self, key: u8) {
        self.keys.push(key);
    }
    fn cpu_khz(&self) -> u32 {
        2_400_000
    }
    fn idle_time(&self, cpu: CpuId) -> u64 {
        1000 + u64::from(cpu.0)
    }
    fn topology(&self, cpu: CpuId) -> (u32, u32) {
        self.places[usize::from(cpu.0)]
    }
    fn policy(&self, _: Kind) -> &Policy {
        &self.policy
    }
    fn xen_info(&self) -> XenInfo {
        XenInfo::default()
    }
    fn wall_clock(&self) -> WallClock {
        WallClock { sec: 1_700_000_000, nsec: 5 }
    }
    fn hypercall_page(&self) -> [u8; 4096] {
        [0xc3; 4096]
    }
}

const ARG: u64 = GUEST_BASE;
const BUFFER: u64 = GUEST_BASE + 0x1000;

fn call<T: IntoBytes + Immutable + FromBytes>(world: &TestWorld, cmd: u32, arg: T) -> Result<T, Errno> {
    call_on(world, &mut TestMachine::default(), cmd, arg)
}

fn call_on<T: IntoBytes + Immutable + FromBytes>(
    world: &TestWorld,
    machine: &mut TestMachine,
    cmd: u32,
    arg: T,
) -> Result<T, Errno> {
    let mut op = XenSysctl { cmd, interface_version: XEN_SYSCTL_INTERFACE_VERSION, ..Default::default() };
    member::put(&mut op.u, &arg);
    world.platform().poke(ARG, &op);
    match world.call(0, |ctx| sysctl(ctx, machine, Vaddr(ARG))).0 {
        Ok(value) => {
            assert_eq!(value, 0);
            Ok(member::get(&world.platform().peek::<XenSysctl>(ARG).u))
        }
        Err(Stop::Err(error)) => Err(error),
        Err(Stop::Again(_)) => panic!("short calls"),
    }
}

fn world() -> TestWorld {
    TestWorld::new(64, &[(8, 40)])
}

#[test]
fn version_and_privilege_are_checked_first() {
    let (world, mut machine) = (world(), TestMachine::default());
    let mut op = XenSysctl { cmd: XEN_SYSCTL_physinfo, ..Default::default() };
    world.platform().poke(ARG, &op);
    assert_eq!(world.call(0, |ctx| sysctl(ctx, &mut machine, Vaddr(ARG))).0, Err(Stop::Err(Errno::EACCES)));
    op.interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    world.platform().poke(ARG, &op);
    assert_eq!(world.call(1, |ctx| sysctl(ctx, &mut machine, Vaddr(ARG))).0, Err(Stop::Err(Errno::EPERM)));
}

#[test]
fn the_console_ring_is_read_in_pieces_and_cleared() {
    let mut world = world();
    world.hv.console = Console::try_new(4096).unwrap();
    let text: Vec<u8> = (0..1000u32).map(|n| (n % 26) as u8 + b'a').collect();
    world.hv.console.put(&text);
    let ask = XenSysctlReadconsole { buffer: GuestPtr::new(BUFFER), count: 700, incremental: 1, ..Default::default() };
    let first = call(&world, XEN_SYSCTL_readconsole, ask).unwrap();
    assert_eq!(first.count, 700);
    assert_eq!(world.platform().peek::<[u8; 700]>(BUFFER)[..], text[..700]);
    let rest =
        call(&world, XEN_SYSCTL_readconsole, XenSysctlReadconsole { index: first.index, clear: 1, ..ask }).unwrap();
    assert_eq!(rest.count, 300);
    assert_eq!(world.platform().peek::<[u8; 300]>(BUFFER)[..], text[700..]);
    let none = XenSysctlReadconsole { incremental: 0, ..ask };
    assert_eq!(call(&world, XEN_SYSCTL_readconsole, none).unwrap().count, 0);
}

#[test]
fn the_machine_is_shown_as_it_is() {
    let mut world = world();
    let info = call(&world, XEN_SYSCTL_physinfo, XenSysctlPhysinfo::default()).unwrap();
    assert_eq!((info.threads_per_core, info.cores_per_socket, info.nr_cpus, info.max_cpu_id), (2, 2, 3, 3));
    assert_eq!((info.total_pages, info.free_pages, info.max_mfn), (40, 40, 63));
    // Frames 0 to 63 are RAM, the one behind them is reserved.
    static MAP: [E820Entry; 2] = [E820Entry::new(0, 64 << 12, 1), E820Entry::new(64 << 12, 4096, 2)];
    world.hv.machine.e820 = &MAP;
    assert_eq!(call(&world, XEN_SYSCTL_physinfo, XenSysctlPhysinfo::default()).unwrap().total_pages, 64);
    assert_eq!(info.hw_cap[0], 0x178b_fbff);
    assert_eq!(info.cpu_khz, 2_400_000);
    let free = XenSysctlAvailheap { node: -1, ..Default::default() };
    assert_eq!(call(&world, XEN_SYSCTL_availheap, free).unwrap().avail_bytes, 40 << 12);
    let node = XenSysctlAvailheap { node: 1, ..free };
    assert_eq!(call(&world, XEN_SYSCTL_availheap, node), Err(Errno::EINVAL));
    let times = XenSysctlGetcpuinfo { max_cpus: 9, info: GuestPtr::new(BUFFER), ..Default::default() };
    assert_eq!(call(&world, XEN_SYSCTL_getcpuinfo, times).unwrap().nr_cpus, 4);
    assert_eq!(world.platform().peek::<[u64; 5]>(BUFFER), [1000, 1001, 1002, 1003, 0]);
}

#[test]
fn topology_has_two_threads_a_core_and_one_node() {
    let world = world();
    let count = call(&world, XEN_SYSCTL_cputopoinfo, XenSysctlCputopoinfo::default()).unwrap();
    assert_eq!(count.num_cpus, 4);
    let ask = XenSysctlCputopoinfo { num_cpus: 8, cputopo: GuestPtr::new(BUFFER), ..Default::default() };
    call(&world, XEN_SYSCTL_cputopoinfo, ask).unwrap();
    let found: [[u32; 3]; 4] = world.platform().peek(BUFFER);
    assert_eq!(found, [[0, 0, 0], [0, 0, 0], [1, 0, 0], [u32::MAX; 3]]);
    let ask = XenSysctlNumainfo {
        num_nodes: 1,
        meminfo: GuestPtr::new(BUFFER),
        distance: GuestPtr::new(BUFFER + 64),
        ..Default::default()
    };
    assert_eq!(call(&world, XEN_SYSCTL_numainfo, ask).unwrap().num_nodes, 1);
    assert_eq!(world.platform().peek::<[u64; 2]>(BUFFER), [40 << 12; 2]);
    assert_eq!(world.platform().peek::<u32>(BUFFER + 64), 10);
    world.platform().poke(BUFFER, &PhysdevPciDevice { seg: 0, bus: 3, devfn: 8 });
    let ask = XenSysctlPcitopoinfo {
        num_devs: 1,
        devs: GuestPtr::new(BUFFER),
        nodes: GuestPtr::new(BUFFER + 64),
        ..Default::default()
    };
    assert_eq!(call(&world, XEN_SYSCTL_pcitopoinfo, ask).unwrap().num_devs, 1);
    assert_eq!(world.platform().peek::<u32>(BUFFER + 64), XEN_INVALID_DEV);
}

#[test]
fn there_is_one_pool_with_all_cpus() {
    let world = world();
    world.platform().poke(BUFFER, &[0xffu8; 8]);
    let cpumap = XenctlBitmap { bitmap: GuestPtr::new(BUFFER), nr_bits: 12, ..Default::default() };
    let ask = XenSysctlCpupoolOp { op: XEN_SYSCTL_CPUPOOL_OP_INFO, cpumap, ..Default::default() };
    let info = call(&world, XEN_SYSCTL_cpupool_op, ask).unwrap();
    assert_eq!((info.cpupool_id, info.n_dom, info.sched_id), (0, 2, crate::domctl::SCHEDULER));
    assert_eq!(world.platform().peek::<[u8; 3]>(BUFFER), [0xf, 0, 0xff]);
    let with = |op, cpupool_id, domid| XenSysctlCpupoolOp { op, cpupool_id, domid, ..ask };
    for (arg, result) in [
        (with(XEN_SYSCTL_CPUPOOL_OP_INFO, 1, 0), Err(Errno::ENOENT)),
        (with(XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, 0, 1), Ok(())),
        (with(XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, 0, 9), Err(Errno::ESRCH)),
        (with(XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, 2, 1), Err(Errno::ENOENT)),
        (with(XEN_SYSCTL_CPUPOOL_OP_DESTROY, 0, 0), Err(Errno::EBUSY)),
        (with(XEN_SYSCTL_CPUPOOL_OP_CREATE, 1, 0), Err(Errno::EOPNOTSUPP)),
    ] {
        assert_eq!(call(&world, XEN_SYSCTL_cpupool_op, arg).map(|_| ()), result, "{arg:?}");
    }
    let ask = XenSysctlSchedulerOp { sched_id: crate::domctl::SCHEDULER, cmd: 1, ..Default::default() };
    assert_eq!(call(&world, XEN_SYSCTL_scheduler_op, ask).unwrap().u[..4], 1000u32.to_le_bytes());
    let other = XenSysctlSchedulerOp { sched_id: 5, ..ask };
    assert_eq!(call(&world, XEN_SYSCTL_scheduler_op, other), Err(Errno::EINVAL));
}

#[test]
fn domains_are_listed_from_a_number_on() {
    let world = world();
    let ask = XenSysctlGetdomaininfolist { max_domains: 9, buffer: GuestPtr::new(BUFFER), ..Default::default() };
    assert_eq!(call(&world, XEN_SYSCTL_getdomaininfolist, ask).unwrap().num_domains, 2);
    assert_eq!(world.platform().peek::<[XenDomctlGetdomaininfo; 2]>(BUFFER).map(|info| info.domain), [0, 1]);
    let from = XenSysctlGetdomaininfolist { first_domain: 1, ..ask };
    assert_eq!(call(&world, XEN_SYSCTL_getdomaininfolist, from).unwrap().num_domains, 1);
    assert_eq!(world.platform().peek::<XenDomctlGetdomaininfo>(BUFFER).domain, 1);
    let one = XenSysctlGetdomaininfolist { max_domains: 1, ..ask };
    assert_eq!(call(&world, XEN_SYSCTL_getdomaininfolist, one).unwrap().num_domains, 1);
}

#[test]
fn policies_are_in_the_order_and_range_that_libxc_takes() {
    let world = world();
    let size = XenSysctlCpuPolicy { index: XEN_SYSCTL_cpu_policy_pv_default, ..Default::default() };
    let size = call(&world, XEN_SYSCTL_get_cpu_policy, size).unwrap();
    let ask = XenSysctlCpuPolicy { leaves: GuestPtr::new(BUFFER), msrs: GuestPtr::new(BUFFER + 0x4000), ..size };
    let got = call(&world, XEN_SYSCTL_get_cpu_policy, ask).unwrap();
    assert!(got.nr_leaves > 20 && got.nr_leaves <= size.nr_leaves && got.nr_msrs == 1);
    let leaves: Vec<XenCpuidLeaf> =
        (0..u64::from(got.nr_leaves)).map(|n| world.platform().peek(BUFFER + n * 24)).collect();
    let order: Vec<(u32, u32)> = leaves.iter().map(|leaf| (leaf.leaf, leaf.subleaf)).collect();
    assert!(order.is_sorted(), "{order:?}");
    assert!(leaves.iter().any(|leaf| (leaf.leaf, leaf.subleaf) == (1, u32::MAX)));
    let short = XenSysctlCpuPolicy { nr_leaves: got.nr_leaves - 1, ..ask };
    assert_eq!(call(&world, XEN_SYSCTL_get_cpu_policy, short), Err(Errno::ENOBUFS));
    let hvm = XenSysctlCpuPolicy { index: XEN_SYSCTL_cpu_policy_hvm_max, ..ask };
    assert_eq!(call(&world, XEN_SYSCTL_get_cpu_policy, hvm), Err(Errno::EOPNOTSUPP));
    let set = XenSysctlCpuFeatureset {
        index: XEN_SYSCTL_cpu_featureset_host,
        nr_features: 20,
        features: GuestPtr::new(BUFFER),
    };
    assert_eq!(call(&world, XEN_SYSCTL_get_cpu_featureset, set).unwrap().nr_features, 20);
    assert_eq!(world.platform().peek::<[u32; 2]>(BUFFER), [0x178b_fbff, 0x7ed8_320b]);
}

#[test]
fn there_are_no_live_patches() {
    let world = world();
    let list = XenSysctlLivepatchList { nr: 7, ..Default::default() };
    let ask = |cmd, list: XenSysctlLivepatchList| {
        let mut op = XenSysctlLivepatchOp { cmd, ..Default::default() };
        member::put(&mut op.u, &list);
        call(&world, XEN_SYSCTL_livepatch_op, op)
    };
    let answer: XenSysctlLivepatchList = member::get(&ask(XEN_SYSCTL_LIVEPATCH_LIST, list).unwrap().u);
    assert_eq!((answer.nr, answer.name_total_size), (0, 0));
    assert_eq!(ask(XEN_SYSCTL_LIVEPATCH_LIST, XenSysctlLivepatchList { pad: 1, ..list }).err(), Some(Errno::EINVAL));
    assert_eq!(ask(XEN_SYSCTL_LIVEPATCH_GET, list).err(), Some(Errno::ENOENT));
    assert_eq!(ask(XEN_SYSCTL_LIVEPATCH_UPLOAD, list).err(), Some(Errno::EOPNOTSUPP));
}

#[test]
fn small_operations_answer() {
    let (world, mut machine) = (world(), TestMachine::default());
    world.platform().poke(BUFFER, b"qe");
    let keys = XenSysctlDebugKeys { keys: GuestPtr::new(BUFFER), nr_keys: 2, ..Default::default() };
    call_on(&world, &mut machine, XEN_SYSCTL_debug_keys, keys).unwrap();
    assert_eq!(machine.keys, b"qe");
    assert_eq!(call(&world, XEN_SYSCTL_sched_id, XenSysctlSchedId::default()).unwrap().sched_id, 6);
    let pages = |cmd, start, end| XenSysctlPageOfflineOp {
        cmd,
        start,
        end,
        status: GuestPtr::new(BUFFER),
        ..Default::default()
    };
    call(&world, XEN_SYSCTL_page_offline_op, pages(sysctl_query_page_offline, 8, 9)).unwrap();
    assert_eq!(world.platform().peek::<[u32; 2]>(BUFFER), [0, 0]);
    for (arg, error) in [
        (pages(sysctl_page_offline, 8, 8), Errno::EOPNOTSUPP),
        (pages(sysctl_query_page_offline, 9, 8), Errno::EINVAL),
        (pages(sysctl_query_page_offline, 0, u32::MAX), Errno::EINVAL),
        (pages(9, 0, 0), Errno::EINVAL),
    ] {
        assert_eq!(call(&world, XEN_SYSCTL_page_offline_op, arg), Err(error));
    }
    let hotplug = |cpu, op| XenSysctlCpuHotplug { cpu, op };
    assert!(call(&world, XEN_SYSCTL_cpu_hotplug, hotplug(1, XEN_SYSCTL_CPU_HOTPLUG_ONLINE)).is_ok());
    assert_eq!(
        call(&world, XEN_SYSCTL_cpu_hotplug, hotplug(1, XEN_SYSCTL_CPU_HOTPLUG_OFFLINE)),
        Err(Errno::EOPNOTSUPP)
    );
    for (cmd, error) in [
        (XEN_SYSCTL_perfc_op, Errno::ENOSYS),
        (XEN_SYSCTL_livepatch_op, Errno::EOPNOTSUPP),
        (XEN_SYSCTL_psr_alloc, Errno::ENODEV),
        (XEN_SYSCTL_coverage_op, Errno::EOPNOTSUPP),
        (1000, Errno::ENOSYS),
    ] {
        assert_eq!(call(&world, cmd, [0u64; 8]), Err(error), "{cmd}");
    }
    assert!(world.hv.domains.get(DomId(0)).is_some());
}

#[test]
fn a_list_with_an_entry_that_cannot_be_written_fails() {
    let world = world();
    const SIZE: u64 = size_of::<XenDomctlGetdomaininfo>() as u64;
    let at = |buffer, max_domains| XenSysctlGetdomaininfolist {
        max_domains,
        buffer: GuestPtr::new(buffer),
        ..Default::default()
    };
    // There is memory for the second one.
    let before = at(GUEST_BASE - SIZE, 2);
    assert_eq!(call(&world, XEN_SYSCTL_getdomaininfolist, before), Err(Errno::EFAULT));
    for (most, told) in [(0, 0), (1, 1), (2, 2), (3, 2)] {
        world.platform().poke(BUFFER, &[0x55u8; 3 * SIZE as usize]);
        assert_eq!(call(&world, XEN_SYSCTL_getdomaininfolist, at(BUFFER, most)).unwrap().num_domains, told);
        assert_eq!(world.platform().peek::<u8>(BUFFER + u64::from(told) * SIZE), 0x55);
    }
}

#[test]
fn no_leaf_is_masked_by_the_hardware() {
    let caps = XenSysctlCpuLevellingCaps { caps: 0xffff };
    assert_eq!(call(&world(), XEN_SYSCTL_get_cpu_levelling_caps, caps).unwrap().caps, 0);
}

#[test]
fn there_are_no_trace_buffers() {
    let world = world();
    let ask = |cmd| {
        let ask = XenSysctlTbufOp { cmd, evt_mask: 1, buffer_mfn: 2, size: 3, ..Default::default() };
        call(&world, XEN_SYSCTL_tbuf_op, ask).map(|got| (got.evt_mask, got.buffer_mfn, got.size))
    };
    assert_eq!(ask(XEN_SYSCTL_TBUFOP_get_info), Ok((0, 0, 0)));
    assert!(ask(XEN_SYSCTL_TBUFOP_disable).is_ok());
    for cmd in [XEN_SYSCTL_TBUFOP_set_cpu_mask, XEN_SYSCTL_TBUFOP_set_size, XEN_SYSCTL_TBUFOP_enable, 6] {
        assert_eq!(ask(cmd), Err(Errno::EOPNOTSUPP), "{cmd}");
    }
}

#[test]
fn threads_and_cores_are_counted_where_the_first_cpu_is() {
    for (places, threads, cores) in [
        ([(0, 0), (0, 0), (0, 0), (1, 0)], 3, 1),
        ([(0, 0), (1, 0), (2, 0), (0, 1)], 1, 3),
        ([(0, 0), (0, 0), (0, 1), (0, 1)], 2, 1),
    ] {
        let mut machine = TestMachine { places, ..TestMachine::default() };
        let info = call_on(&world(), &mut machine, XEN_SYSCTL_physinfo, XenSysctlPhysinfo::default()).unwrap();
        assert_eq!((info.threads_per_core, info.cores_per_socket), (threads, cores), "{places:?}");
    }
}

#[test]
fn toolstacks_learn_what_this_hypervisor_can() {
    let world = world();
    world.hv.heap.claim(&Default::default(), 0, 100, 7).unwrap();
    let info = call(&world, XEN_SYSCTL_physinfo, XenSysctlPhysinfo::default()).unwrap();
    let can = XEN_SYSCTL_PHYSCAP_pv | XEN_SYSCTL_PHYSCAP_gnttab_v1 | XEN_SYSCTL_PHYSCAP_gnttab_v2;
    assert_eq!((info.capabilities, info.nr_nodes, info.max_node_id, info.outstanding_pages), (can, 1, 0, 7));
}

#[test]
fn every_frame_of_a_range_is_told_of() {
    let world = world();
    let ask = |cmd, start, end| {
        let ask = XenSysctlPageOfflineOp { cmd, start, end, status: GuestPtr::new(BUFFER), ..Default::default() };
        world.platform().poke(BUFFER, &[0x55u8; 16]);
        call(&world, XEN_SYSCTL_page_offline_op, ask).map(|_| world.platform().peek::<[u32; 4]>(BUFFER))
    };
    const NOT_WRITTEN: u32 = 0x5555_5555;
    assert_eq!(ask(sysctl_query_page_offline, 62, 64), Ok([0, 0, PG_OFFLINE_INVALID, NOT_WRITTEN]));
    let online = PG_ONLINE_ONLINED;
    assert_eq!(ask(sysctl_page_online, 63, 65), Ok([online, PG_OFFLINE_INVALID, PG_OFFLINE_INVALID, NOT_WRITTEN]));
    assert_eq!(ask(sysctl_query_page_offline, 9, 9), Ok([0, NOT_WRITTEN, NOT_WRITTEN, NOT_WRITTEN]));
    assert!(ask(sysctl_query_page_offline, 0, 4095).is_ok());
    assert_eq!(ask(sysctl_query_page_offline, 0, 4096), Err(Errno::EINVAL));
}

#[test]
fn a_cpu_is_asked_to_be_what_it_is() {
    let world = world();
    let (on, off) = (XEN_SYSCTL_CPU_HOTPLUG_ONLINE, XEN_SYSCTL_CPU_HOTPLUG_OFFLINE);
    // Of four CPUs, 3 is offline.
    for (cpu, op, result) in [
        (2, on, Ok(())),
        (3, on, Err(Errno::EOPNOTSUPP)),
        (3, off, Ok(())),
        (2, off, Err(Errno::EOPNOTSUPP)),
        (4, on, Err(Errno::EINVAL)),
        (1 << 16, off, Err(Errno::EINVAL)),
        (0, 2, Err(Errno::EOPNOTSUPP)),
    ] {
        let done = call(&world, XEN_SYSCTL_cpu_hotplug, XenSysctlCpuHotplug { cpu, op }).map(|_| ());
        assert_eq!(done, result, "{cpu} {op}");
    }
}

#[test]
fn what_the_one_pool_and_its_scheduler_cannot_do_is_refused() {
    let world = world();
    world.platform().poke(BUFFER, &[0xffu8; 2]);
    let cpumap = XenctlBitmap { bitmap: GuestPtr::new(BUFFER), nr_bits: 8, ..Default::default() };
    let pool = |op, cpupool_id, domid| {
        let ask = XenSysctlCpupoolOp { op, cpupool_id, domid, cpumap, ..Default::default() };
        call(&world, XEN_SYSCTL_cpupool_op, ask).map(|_| ())
    };
    assert_eq!(pool(XEN_SYSCTL_CPUPOOL_OP_FREEINFO, 0, 0), Ok(()));
    assert_eq!(world.platform().peek::<[u8; 2]>(BUFFER), [0, 0xff], "every CPU is in it");
    for (op, id, error) in [
        (XEN_SYSCTL_CPUPOOL_OP_DESTROY, 0, Errno::EBUSY),
        (XEN_SYSCTL_CPUPOOL_OP_DESTROY, 1, Errno::ENOENT),
        (XEN_SYSCTL_CPUPOOL_OP_ADDCPU, 0, Errno::EBUSY),
        (XEN_SYSCTL_CPUPOOL_OP_RMCPU, 0, Errno::EBUSY),
        (99, 0, Errno::ENOSYS),
    ] {
        assert_eq!(pool(op, id, 0), Err(error), "{op} {id}");
    }
    assert_eq!(pool(XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, 0, 1 << 16), Err(Errno::ESRCH));
    let scheduler = |cmd, cpupool_id, ratelimit_us| {
        let mut ask =
            XenSysctlSchedulerOp { cpupool_id, sched_id: crate::domctl::SCHEDULER, cmd, ..Default::default() };
        member::put(&mut ask.u, &XenSysctlCredit2Schedule { ratelimit_us });
        call(&world, XEN_SYSCTL_scheduler_op, ask).map(|_| ())
    };
    assert_eq!(scheduler(XEN_SYSCTL_SCHEDOP_putinfo, 0, 1000), Ok(()));
    assert_eq!(scheduler(XEN_SYSCTL_SCHEDOP_putinfo, 0, 999), Err(Errno::EOPNOTSUPP));
    assert_eq!((scheduler(9, 0, 1000), scheduler(0, 1, 1000)), (Err(Errno::EINVAL), Err(Errno::ESRCH)));
}

#[test]
fn a_long_list_of_functions_is_answered_in_parts_when_something_waits() {
    let world = world();
    let mut left = 300u32;
    let mut rounds = 0;
    while left != 0 {
        world.platform().polls_left.store(0, Ordering::SeqCst);
        let ask = XenSysctlPcitopoinfo {
            num_devs: left,
            devs: GuestPtr::new(BUFFER),
            nodes: GuestPtr::new(BUFFER + 0x4000),
            ..Default::default()
        };
        let done = call(&world, XEN_SYSCTL_pcitopoinfo, ask).unwrap().num_devs;
        assert!(done == left || done >= 32, "no shorter parts than are worth a hypercall");
        (left, rounds) = (left - done, rounds + 1);
    }
    assert!(rounds > 1);
}
