//! physdev_op and platform_op as the control domain has them, and the edges of sysctl and domctl: interrupts, PCI
//! functions, ports, the machine's information, each with arguments that nothing has.
#![cfg_attr(target_os = "none", no_std, no_main)]

use guest_rt::abi::GuestPtr;
use guest_rt::abi::physdev::*;
use guest_rt::abi::platform::*;
use guest_rt::abi::xen::*;
use guest_rt::hypercall::error::*;
use guest_rt::hypercall::{NOBODY, NOWHERE, nowhere, op, raw};
use guest_rt::memory::{self, Page};
use guest_rt::{Report, events};

guest_rt::guest!("machine-calls", run);

fn run(report: &mut Report) {
    commands(report);
    levels(report);
    interrupts(report);
    messages(report);
    pci(report);
    platform(report);
    control(report);
}

fn physdev<T>(command: u32, argument: &mut T) -> i64 {
    op(__HYPERVISOR_physdev_op, command, argument)
}

fn commands(report: &mut Report) {
    for command in [0, 1, 2, 3, 18, 22, 32, 33, 99, u32::MAX] {
        let result = physdev(command, &mut [0u64; 8]);
        report.expect("a subcommand that is not there", (command, result), (command, ENOSYS));
    }
    for command in [5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17, 19, 20, 21, 23, 24, 25, 26, 27, 28, 29, 30, 31] {
        let result = nowhere(__HYPERVISOR_physdev_op, command);
        report.expect("an argument nowhere", (command, result), (command, Some(EFAULT)));
    }
    report.result("free_irq_vector", physdev(PHYSDEVOP_free_irq_vector, &mut PhysdevIrq::default()), ENOSYS);
    report.differs(
        "IRQ_UNMASK_NOTIFY",
        physdev(PHYSDEVOP_IRQ_UNMASK_NOTIFY, &mut 0u64),
        0,
        ENOSYS,
        "for kernels of 2005; PHYSDEVOP_eoi is what came after it",
    );
}

fn levels(report: &mut Report) {
    for (iopl, want) in [(0, 0), (3, 0), (1, 0), (4, EINVAL), (u32::MAX, EINVAL)] {
        report.result("set_iopl", physdev(PHYSDEVOP_set_iopl, &mut PhysdevSetIopl { iopl }), want);
    }
    let page = Page::new();
    for (at, nr_ports, want) in [
        (page.va(), 65536, 0),
        (page.va(), 65537, EINVAL),
        (page.va(), u32::MAX, EINVAL),
        (0xffff_8300_0000_0000, 1, EINVAL),
        (1 << 47, 1, EINVAL),
        (0x1000, 65536, 0),
        (0, 0, 0),
    ] {
        let mut argument = PhysdevSetIobitmap { bitmap: GuestPtr::new(at), nr_ports, ..Default::default() };
        report.result("set_iobitmap", physdev(PHYSDEVOP_set_iobitmap, &mut argument), want);
    }
}

fn interrupts(report: &mut Report) {
    for irq in [100_000, u32::MAX] {
        report.result(
            "an EOI of an interrupt that is not there",
            physdev(PHYSDEVOP_eoi, &mut PhysdevEoi { irq }),
            EINVAL,
        );
        let mut query = PhysdevIrqStatusQuery { irq, flags: 0 };
        report.result("its status", physdev(PHYSDEVOP_irq_status_query, &mut query), EINVAL);
        let mut vector = PhysdevIrq { irq, vector: 0 };
        report.differs(
            "its vector",
            physdev(PHYSDEVOP_alloc_irq_vector, &mut vector),
            0,
            EINVAL,
            "Xen gives any line a vector, also one that is not there",
        );
    }
    let mut query = PhysdevIrqStatusQuery { irq: 9, flags: 0 };
    report.result("the status of one that is there", physdev(PHYSDEVOP_irq_status_query, &mut query), 0);
    report.check("it needs an EOI or none", query.flags <= 3);
    for gsi in [-1, 1000, i32::MAX, i32::MIN] {
        report.refused(
            "a line that is not there",
            physdev(PHYSDEVOP_setup_gsi, &mut PhysdevSetupGsi { gsi, ..Default::default() }),
        );
    }
    let page = Page::new();
    let table = memory::entry(page.va(), 1).map_or(0, |entry| entry.machine >> 12);
    for gmfn in [0xf_ffff_ffff, 0x200, table] {
        report.refused(
            "an EOI map that is not ours",
            physdev(PHYSDEVOP_pirq_eoi_gmfn_v2, &mut PhysdevPirqEoiGmfn { gmfn }),
        );
    }
    report.result("an EOI map", physdev(PHYSDEVOP_pirq_eoi_gmfn_v2, &mut PhysdevPirqEoiGmfn { gmfn: page.mfn() }), 0);
    report.result(
        "a second one",
        physdev(PHYSDEVOP_pirq_eoi_gmfn_v2, &mut PhysdevPirqEoiGmfn { gmfn: Page::new().mfn() }),
        EBUSY,
    );
    report.result("it is in use", page.make_read_only(), 0);
    report.refused("it is in use", page.pin(1));
    report.result("writable", page.make_writable(), 0);
    for reg in [0u32, 1, 0x10, 0xff, u32::MAX] {
        for base in [0u64, 0xfec0_0000, u64::MAX] {
            let mut apic = PhysdevApic { apic_physbase: base, reg, value: 0 };
            let result = physdev(PHYSDEVOP_apic_read, &mut apic);
            // Any register of the IO-APIC's window may be read; nothing is at the other two addresses.
            report.check("apic_read", base == 0xfec0_0000 || result < 0);
        }
    }
}

/// XSA-13, XSA-16, XSA-237, XSA-360, XSA-458: interrupt numbers out of bounds, and messages of functions that are not there.
fn messages(report: &mut Report) {
    let map = |kind: i32, index: i32, pirq: i32, domid: u16| {
        let mut argument = PhysdevMapPirq {
            domid,
            r#type: kind,
            index,
            pirq,
            bus: 0,
            devfn: 0x7f << 3,
            entry_nr: 1,
            ..Default::default()
        };
        physdev(PHYSDEVOP_map_pirq, &mut argument)
    };
    for kind in [2, 5, -1, i32::MAX, i32::MIN] {
        report.refused("a kind of interrupt that is not there", map(kind, 0, -1, DOMID_SELF));
    }
    for index in [-1, 1000, i32::MAX, i32::MIN] {
        report.refused("a line that is not there", map(MAP_PIRQ_TYPE_GSI, index, -1, DOMID_SELF));
    }
    for pirq in [100_000, i32::MAX] {
        report.refused("a number that cannot be", map(MAP_PIRQ_TYPE_GSI, 9, pirq, DOMID_SELF));
    }
    for kind in [MAP_PIRQ_TYPE_MSI, MAP_PIRQ_TYPE_MSI_SEG, MAP_PIRQ_TYPE_MULTI_MSI] {
        for index in [-1, 0, 1000, i32::MIN] {
            report.refused("a message of no function", map(kind, index, -1, DOMID_SELF));
        }
    }
    report.refused("for nobody", map(MAP_PIRQ_TYPE_GSI, 9, -1, NOBODY));
    let unmap = |pirq: i32, domid: u16| {
        physdev(PHYSDEVOP_unmap_pirq, &mut PhysdevUnmapPirq { domid, pirq, ..Default::default() })
    };
    for pirq in [-1, 1000, i32::MAX, i32::MIN] {
        report.refused("unmapping what is not there", unmap(pirq, DOMID_SELF));
    }
    report.refused("of nobody", unmap(9, NOBODY));
    // All numbers, to the end: XSA-13 wrote the error behind its table.
    let mut last = 0;
    let mut count = 0;
    while last == 0 && count < 10_000 {
        last = physdev(PHYSDEVOP_get_free_pirq, &mut PhysdevGetFreePirq { r#type: MAP_PIRQ_TYPE_MSI, pirq: 0 });
        count += i64::from(last == 0);
    }
    report.check("there are some numbers for messages", count > 10);
    report.result("they end", last, ENOSPC);
}

fn pci(report: &mut Report) {
    let mut add = PhysdevPciDeviceAdd { seg: 0x1234, bus: 5, devfn: 0, flags: 0, ..Default::default() };
    let result = physdev(PHYSDEVOP_pci_device_add, &mut add);
    guest_rt::println!("a function of a segment that is not there: {result}");
    let device = |seg: u16, bus: u8, devfn: u8| PhysdevPciDevice { seg, bus, devfn };
    report.refused(
        "removing a function that is not there",
        physdev(PHYSDEVOP_pci_device_remove, &mut device(0x4321, 9, 9)),
    );
    for command in [PHYSDEVOP_prepare_msix, PHYSDEVOP_release_msix, PHYSDEVOP_restore_msi_ext] {
        report.refused("MSI-X of a function that is not there", physdev(command, &mut device(0x4321, 9, 9)));
    }
    let mut mmcfg = PhysdevPciMmcfgReserved { address: 0x1234_5000, segment: 7, start_bus: 0, end_bus: 255, flags: 1 };
    report.refused("a configuration space that is not there", physdev(PHYSDEVOP_pci_mmcfg_reserved, &mut mmcfg));
    report.check("no reset of a debug port breaks anything", {
        let mut port = PhysdevDbgpOp { op: 1, ..Default::default() };
        let result = physdev(PHYSDEVOP_dbgp_op, &mut port);
        result <= 0
    });
}

fn platform(report: &mut Report) {
    let call = |cmd: u32, version: u32, words: [u64; 4]| {
        let mut argument = [0u64; 20];
        argument[0] = u64::from(cmd) | u64::from(version) << 32;
        argument[1..5].copy_from_slice(&words);
        (raw(__HYPERVISOR_platform_op, [argument.as_mut_ptr().addr() as u64, 0, 0, 0, 0]), argument)
    };
    for version in [0, XENPF_INTERFACE_VERSION - 1, XENPF_INTERFACE_VERSION + 1, u32::MAX] {
        report.expect("another version of the interface", call(XENPF_get_cpuinfo, version, [0; 4]).0, EACCES);
    }
    let call = |cmd: u32, words: [u64; 4]| call(cmd, XENPF_INTERFACE_VERSION, words);
    for cmd in [0, 1, 16, 30, 40, 47, 64, 99, u32::MAX] {
        report.expect("a subcommand that is not there", (cmd, call(cmd, [0; 4]).0), (cmd, ENOSYS));
    }
    for at in NOWHERE {
        report.result("an argument nowhere", raw(__HYPERVISOR_platform_op, [at, 0, 0, 0, 0]), EFAULT);
    }
    let (result, info) = call(XENPF_get_cpuinfo, [0; 4]);
    report.result("CPU 0", result, 0);
    report.expect("is the only one, and online", (info[1] >> 32, info[2] & 1), (0, 1));
    let (_, info) = call(XENPF_get_cpuinfo, [9999, 0, 0, 0]);
    report.expect("a CPU that is not there", info[2] & 1, 0);
    for cmd in [XENPF_cpu_online, XENPF_cpu_offline] {
        report.refused("a CPU that is not there", call(cmd, [9999, 0, 0, 0]).0);
        if cmd == XENPF_cpu_offline {
            report.refused("the first CPU", call(cmd, [0, 0, 0, 0]).0);
        }
    }
    report.refused("a new CPU", call(XENPF_cpu_hotadd, [0xffff_ffff, 0, 0, 0]).0);
    report.refused("memory that is not there", call(XENPF_mem_hotadd, [0, 0, 0, 0]).0);
    report.refused("a sleep that is not there", call(XENPF_enter_acpi_sleep, [0, 99 << 32, 0, 0]).0);
    for what in [0, 9, u64::from(u32::MAX)] {
        report.refused("firmware information that is not there", call(XENPF_firmware_info, [what, 0, 0, 0]).0);
    }
    report.refused("no EFI here", call(XENPF_efi_runtime_call, [1, 0, 0, 0]).0);
    report.expect("the time of the past", call(XENPF_settime64, [1, 1 << 32 | 5, 0, 0]).0, EINVAL);
    // Resources of a CPU: MSRs that may not be read by it stay unread.
    let mut entries = [XenpfResourceEntry::default(); 1];
    entries[0].u = XEN_RESOURCE_OP_MSR_READ;
    entries[0].idx = 0xc000_0082;
    let (result, _) = call(XENPF_resource_op, [1, entries.as_mut_ptr().addr() as u64, 0, 0]);
    report.check("an MSR of the hypervisor's entry is not given", result <= 0 || entries[0].val == 0);
}

fn control(report: &mut Report) {
    for number in [__HYPERVISOR_sysctl, __HYPERVISOR_domctl] {
        for at in NOWHERE {
            report.result("an argument nowhere", raw(number, [at, 0, 0, 0, 0]), EFAULT);
        }
        // XEN_SYSCTL_INTERFACE_VERSION and XEN_DOMCTL_INTERFACE_VERSION of 4.17 are the same.
        let version = 0x15u64;
        for wrong in [0, version - 1, version + 1, 0xffff_ffff] {
            let mut argument = [0u64; 32];
            argument[0] = 1 | wrong << 32;
            report.result(
                "another version of the interface",
                raw(number, [argument.as_mut_ptr().addr() as u64, 0, 0, 0, 0]),
                EACCES,
            );
        }
        for command in [0u64, 500, 0xffff_ffff] {
            let mut argument = [0u64; 32];
            argument[0] = command | version << 32;
            let result = raw(number, [argument.as_mut_ptr().addr() as u64, 0, 0, 0, 0]);
            report.check("a subcommand that is not there", matches!(result, ENOSYS | ESRCH | EOPNOTSUPP));
        }
    }
    report.check("the guest still gets events", events::bind_ipi(0).is_ok_and(|port| events::close(port) == 0));
}
