//! Hypercalls with good, bad and hostile arguments: each answers with the errno that the interface promises, and none
//! reads or writes where it must not.
#![cfg_attr(target_os = "none", no_std, no_main)]

use guest_rt::abi::GuestPtr;
use guest_rt::abi::memory::*;
use guest_rt::abi::sched::*;
use guest_rt::abi::version::*;
use guest_rt::abi::xen::*;
use guest_rt::memory::Page;
use guest_rt::{Report, hypercall, memory, probe, start};

guest_rt::guest!("hypercalls-basic", run);

const EFAULT: i64 = -14;
const EINVAL: i64 = -22;
const ENOSYS: i64 = -38;

/// Addresses at which no argument can be: not mapped, the hypervisor's, not canonical, wrapping.
const NOWHERE: [u64; 5] = [0x1000, 0xffff_8300_0000_0000, 0xffff_82d0_4020_0000, 1 << 47, u64::MAX - 3];

fn run(report: &mut Report) {
    numbers(report);
    version(report);
    console(report);
    memory_op(report);
    multicall(report);
    sched(report);
    vm_assist(report);
    pointers(report);
    descriptors(report);
    segment_bases(report);
    trap_tables(report);
}

fn numbers(report: &mut Report) {
    for number in [11u32, 43, 47, 56, 57, 63] {
        report.result("a hypercall that is not there", hypercall::raw(number, [0; 5]), ENOSYS);
    }
    report.result("an HVM one", hypercall::raw(__HYPERVISOR_hvm_op, [0xff, 0, 0, 0, 0]), ENOSYS);
}

fn version(report: &mut Report) {
    let raw = |command: u32, at: u64| hypercall::raw(__HYPERVISOR_xen_version, [command.into(), at, 0, 0, 0]);
    report.check("XENVER_version is at least 4.0", raw(XENVER_version, 0) >= 4 << 16);
    report.result("XENVER_pagesize", raw(XENVER_pagesize, 0), 4096);
    report.result("a subcommand that is not there", raw(99, 0), ENOSYS);
    for command in
        [XENVER_extraversion, XENVER_capabilities, XENVER_changeset, XENVER_compile_info, XENVER_platform_parameters]
    {
        for at in NOWHERE {
            report.result("an answer to nowhere", raw(command, at), EFAULT);
        }
    }
    let mut parameters = XenPlatformParameters::default();
    report.result(
        "XENVER_platform_parameters",
        hypercall::op(__HYPERVISOR_xen_version, XENVER_platform_parameters, &mut parameters),
        0,
    );
    report.expect("the hypervisor's space begins", parameters.virt_start, 0xffff_8000_0000_0000);
    let mut features = XenFeatureInfo::default();
    report.result(
        "XENVER_get_features",
        hypercall::op(__HYPERVISOR_xen_version, XENVER_get_features, &mut features),
        0,
    );
    let has = |bit: u32| features.submap >> bit & 1 == 1;
    report.check("no translated paging", !has(2) && !has(0));
    report.check("mmu_pt_update_preserve_ad", has(5));
    report.expect("dom0 by feature and by flag", has(11), start::is_dom0());
    let mut beyond = XenFeatureInfo { submap_idx: 9, submap: 0 };
    report.result("features beyond", hypercall::op(__HYPERVISOR_xen_version, XENVER_get_features, &mut beyond), EINVAL);
    // What is copied out holds nothing but the answer.
    let page = Page::new();
    (0..512).for_each(|n| page.write(n, 0x5a5a_5a5a_5a5a_5a5a));
    report.result("extraversion into a marked page", raw(XENVER_extraversion, page.va()), 0);
    report.expect("writes 16 bytes", (2..512).all(|n| page.read(n) == 0x5a5a_5a5a_5a5a_5a5a), true);
}

fn console(report: &mut Report) {
    for at in NOWHERE {
        report.result("console_io from nowhere", guest_rt::console::console_io(CONSOLEIO_write, at, 16), EFAULT);
    }
    report.result("console_io of nothing", guest_rt::console::console_io(CONSOLEIO_write, 0x1000, 0), 0);
    report.result("a subcommand that is not there", guest_rt::console::console_io(9, 0, 0), ENOSYS);
    let mut buffer = [0; 8];
    report.check("reading the console", guest_rt::console::read(&mut buffer) >= 0);
}

fn memory_op(report: &mut Report) {
    let raw = |command: u32, at: u64| hypercall::raw(__HYPERVISOR_memory_op, [command.into(), at, 0, 0, 0]);
    report.check("a subcommand that is not there", raw(63, 0) == ENOSYS);
    report.check("XENMEM_maximum_ram_page", raw(XENMEM_maximum_ram_page, 0) > 0x1000);
    let mut domain = XenMemoryDomain { domid: DOMID_SELF };
    let current = hypercall::op(__HYPERVISOR_memory_op, XENMEM_current_reservation, &mut domain);
    report.check("the reservation is what start_info says", current as u64 >= start::info().nr_pages - 64);
    let mut other = XenMemoryDomain { domid: 0x1234 };
    report.result(
        "of a domain that is not there",
        hypercall::op(__HYPERVISOR_memory_op, XENMEM_current_reservation, &mut other),
        -3,
    );
    let mut mapping = XenMachphysMapping::default();
    report.result("machphys_mapping", hypercall::op(__HYPERVISOR_memory_op, XENMEM_machphys_mapping, &mut mapping), 0);
    report.expect("where the table is", mapping.v_start, 0xffff_8000_0000_0000);
    // These three give the number of extents done, whatever went wrong.
    for command in [XENMEM_decrease_reservation, XENMEM_increase_reservation, XENMEM_populate_physmap] {
        for at in NOWHERE {
            report.result("a reservation nowhere", raw(command, at), 0);
        }
    }
    for command in [XENMEM_exchange, XENMEM_machphys_mapping] {
        for at in NOWHERE {
            report.result("an argument nowhere", raw(command, at), EFAULT);
        }
    }
    reservation(report);
}

/// Gives a page away and gets another.
fn reservation(report: &mut Report) {
    let page = Page::new();
    let (mfn, pfn) = (page.mfn(), page.pfn());
    let mut frames = [mfn];
    let mut argument = XenMemoryReservation {
        extent_start: GuestPtr::new(frames.as_mut_ptr().addr() as u64),
        nr_extents: 1,
        domid: DOMID_SELF,
        ..Default::default()
    };
    let change =
        |command: u32, argument: &mut XenMemoryReservation| hypercall::op(__HYPERVISOR_memory_op, command, argument);
    report.result("unmapping the page", hypercall::update_va_mapping(page.va(), 0, UVMF_INVLPG), 0);
    report.result("decrease_reservation", change(XENMEM_decrease_reservation, &mut argument), 1);
    report.result("of a frame that is gone", change(XENMEM_decrease_reservation, &mut argument), 0);
    let mapped = hypercall::update_va_mapping(page.va(), mfn << 12 | memory::KERNEL_RW, UVMF_INVLPG);
    report.check("mapping a frame that is gone", mapped < 0);
    frames[0] = pfn;
    report.result("populate_physmap", change(XENMEM_populate_physmap, &mut argument), 1);
    let new = frames[0];
    report.result(
        "mapping the new frame",
        hypercall::update_va_mapping(page.va(), new << 12 | memory::KERNEL_RW, UVMF_INVLPG),
        0,
    );
    report.expect("its entry in the machine-to-physical table", memory::m2p(new), pfn);
    report.expect("it is scrubbed", (0..512).all(|n| page.read(n) == 0), true);
    argument.extent_order = 40;
    report.check("an order that cannot be", change(XENMEM_populate_physmap, &mut argument) <= 0);
    argument.extent_order = 0;
    argument.nr_extents = u64::MAX;
    report.check("more extents than can be counted", change(XENMEM_populate_physmap, &mut argument) < 1);
    argument.nr_extents = 1;
    argument.domid = 0x1234;
    report.result("for a domain that is not there", change(XENMEM_populate_physmap, &mut argument), 0);
}

fn multicall(report: &mut Report) {
    let call = |op: u32, a: u64| MulticallEntry { op: op.into(), args: [a, 0, 0, 0, 0, 0], ..Default::default() };
    let mut calls = [
        call(__HYPERVISOR_xen_version, XENVER_version.into()),
        call(63, 0),
        call(__HYPERVISOR_xen_version, XENVER_pagesize.into()),
    ];
    let at = calls.as_mut_ptr().addr() as u64;
    let raw = |at: u64, count: u64| hypercall::raw(__HYPERVISOR_multicall, [at, count, 0, 0, 0]);
    report.result("multicall", raw(at, 3), 0);
    report.check("its first result", calls[0].result >= 4 << 16);
    report.expect("one that is not there", calls[1].result as i64, ENOSYS);
    report.expect("and it went on", calls[2].result, 4096);
    report.result("no calls", raw(0, 0), 0);
    for at in NOWHERE {
        report.result("calls nowhere", raw(at, 1), EFAULT);
    }
    report.result("calls at nowhere, very many", raw(0x1000, u64::MAX), EFAULT);
    let mut inner = [call(__HYPERVISOR_xen_version, XENVER_version.into())];
    let mut outer = [call(__HYPERVISOR_multicall, inner.as_mut_ptr().addr() as u64)];
    outer[0].args[1] = 1;
    report.result("a multicall of a multicall", raw(outer.as_mut_ptr().addr() as u64, 1), 0);
    report.check("goes no deeper than it must", (outer[0].result as i64) <= 0);
}

fn sched(report: &mut Report) {
    let raw = |command: u32, at: u64| hypercall::raw(__HYPERVISOR_sched_op, [command.into(), at, 0, 0, 0]);
    report.result("yield", raw(SCHEDOP_yield, 0), 0);
    report.result("a subcommand that is not there", raw(99, 0), ENOSYS);
    for at in NOWHERE {
        report.result("shutdown with its reason nowhere", raw(SCHEDOP_shutdown, at), EFAULT);
        report.result("poll with its ports nowhere", raw(SCHEDOP_poll, at), EFAULT);
        report.result("watchdog with its argument nowhere", raw(SCHEDOP_watchdog, at), EFAULT);
    }
    let mut watchdog = SchedWatchdog { id: 77, timeout: 1 };
    report.result(
        "a watchdog that is not there",
        hypercall::op(__HYPERVISOR_sched_op, SCHEDOP_watchdog, &mut watchdog),
        EINVAL,
    );
}

fn vm_assist(report: &mut Report) {
    let raw = |command: u32, kind: u32| hypercall::raw(__HYPERVISOR_vm_assist, [command.into(), kind.into(), 0, 0, 0]);
    report.result("enable architectural_iopl", raw(VMASST_CMD_enable, VMASST_TYPE_architectural_iopl), 0);
    report.result("disable it", raw(VMASST_CMD_disable, VMASST_TYPE_architectural_iopl), 0);
    report.result("a type that is not there", raw(VMASST_CMD_enable, 63), EINVAL);
    report.result("a type beyond a word", raw(VMASST_CMD_enable, 64), EINVAL);
    report.result("a command that is not there", raw(9, VMASST_TYPE_architectural_iopl), ENOSYS);
}

/// Calls that take a pointer first.
fn pointers(report: &mut Report) {
    for at in NOWHERE {
        report.result("a trap table nowhere", hypercall::raw(__HYPERVISOR_set_trap_table, [at, 0, 0, 0, 0]), EFAULT);
        report.result(
            "mmuext_op nowhere",
            hypercall::raw(__HYPERVISOR_mmuext_op, [at, 1, 0, DOMID_SELF.into(), 0]),
            EFAULT,
        );
        report.result(
            "mmu_update nowhere",
            hypercall::raw(__HYPERVISOR_mmu_update, [at, 1, 0, DOMID_SELF.into(), 0]),
            EFAULT,
        );
        report.result("set_gdt nowhere", hypercall::raw(__HYPERVISOR_set_gdt, [at, 512, 0, 0, 0]), EFAULT);
        report.result("physdev_op nowhere", hypercall::raw(__HYPERVISOR_physdev_op, [6, at, 0, 0, 0]), EFAULT);
    }
}

fn descriptors(report: &mut Report) {
    let frames = [0u64; 1];
    let set = |entries: u64| hypercall::raw(__HYPERVISOR_set_gdt, [frames.as_ptr().addr() as u64, entries, 0, 0, 0]);
    report.result("an empty GDT", set(0), 0);
    report.result("a GDT of the hypervisor's length", set(7169), EINVAL);
    report.result("a GDT of 2^32 entries is one of none: 32 bits count", set(1 << 32), 0);
    report.check("LDT at an odd address", hypercall::mmuext(MMUEXT_SET_LDT, 1, 1) < 0);
    report.check("LDT in the hypervisor's space", hypercall::mmuext(MMUEXT_SET_LDT, 0xffff_8300_0000_0000, 1) < 0);
    report.check("LDT with too many entries", hypercall::mmuext(MMUEXT_SET_LDT, 0, 8193) < 0);
    report.result("no LDT", hypercall::mmuext(MMUEXT_SET_LDT, 0, 0), 0);
}

fn segment_bases(report: &mut Report) {
    let set = |which: u64, base: u64| hypercall::raw(__HYPERVISOR_set_segment_base, [which, base, 0, 0, 0]);
    report.result("FS base", set(0, 0x1_2345_6000), 0);
    report.expect("is what RDMSR gives", probe::rdmsr(0xc000_0100), Ok(0x1_2345_6000));
    report.result("GS base of user mode", set(1, 0x7fff_ffff_f000), 0);
    report.check("FS base that is not canonical", set(0, 1 << 47) < 0);
    report.check("GS base that is not canonical", set(2, 1 << 63) < 0);
    report.check("a base that is not there", set(4, 0) < 0);
    report.result("FS base back", set(0, 0), 0);
}

fn trap_tables(report: &mut Report) {
    use guest_rt::abi::arch_x86::TrapInfo;
    let mut table = guest_rt::trap::table();
    table[14].address = 1 << 47;
    let set =
        |table: &[TrapInfo]| hypercall::raw(__HYPERVISOR_set_trap_table, [table.as_ptr().addr() as u64, 0, 0, 0, 0]);
    report.check("a handler that is not canonical", set(&table) < 0);
    report.result("the good table", guest_rt::trap::install_table(), 0);
    report.expect("still works", probe::ud2(), Err(guest_rt::trap::Trap::UD));
}
