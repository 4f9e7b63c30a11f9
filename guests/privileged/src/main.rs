//! Privileged instructions that a PV kernel executes in ring 3: what is emulated, and what is #GP.
#![cfg_attr(target_os = "none", no_std, no_main)]

use guest_rt::abi::GuestPtr;
use guest_rt::abi::physdev::{PHYSDEVOP_set_iobitmap, PHYSDEVOP_set_iopl, PhysdevSetIobitmap, PhysdevSetIopl};
use guest_rt::abi::xen::__HYPERVISOR_physdev_op;
use guest_rt::memory::Page;
use guest_rt::trap::Trap;
use guest_rt::{Report, hypercall, probe, start};

guest_rt::guest!("privileged", run);

const GP: Trap = Trap::GP;
const CR0_TS: u64 = 1 << 3;
const CR4_OSXSAVE: u64 = 1 << 18;

fn run(report: &mut Report) {
    control_registers(report);
    privilege_level(report);
    ports(report);
    cpuid(report);
    msrs(report);
    others(report);
}

fn control_registers(report: &mut Report) {
    let cr0 = probe::read_cr0().unwrap_or(0);
    report.check("CR0 has PE, PG and WP", cr0 & 0x8001_0001 == 0x8001_0001);
    report.expect("setting TS", probe::write_cr0(cr0 | CR0_TS), Ok(()));
    report.expect("TS reads back", probe::read_cr0(), Ok(cr0 | CR0_TS));
    report.expect("CLTS", probe::clts(), Ok(()));
    report.expect("TS is clear", probe::read_cr0(), Ok(cr0 & !CR0_TS));
    report.expect("no other bit of CR0 changes", probe::write_cr0(cr0 & !(1 << 16)), Err(GP));
    report.expect("CR2 can be written", probe::write_cr2(0x1234_5678), Ok(()));
    report.expect("and read", probe::read_cr2(), Ok(0x1234_5678));
    let cr3 = probe::read_cr3().unwrap_or(0);
    let root = guest_rt::memory::p2m((start::info().pt_base - guest_rt::memory::VIRT_BASE) >> 12);
    report.expect("CR3 is the root table", cr3, root << 12);
    report.expect("CR3 can be loaded again", probe::write_cr3(cr3), Ok(()));
    report.expect("CR3 refuses a frame that is no root", probe::write_cr3(Page::new().mfn() << 12), Err(GP));
    let cr4 = probe::read_cr4().unwrap_or(0);
    report.check("CR4 has PAE", cr4 & 1 << 5 != 0);
    report.expect("bits of CR4 that are not the guest's are dropped", probe::write_cr4(u64::MAX), Ok(()));
    let all = probe::read_cr4().unwrap_or(0);
    report.check(
        "SMEP, SMAP, UMIP, VMXE, PCIDE stay hidden",
        all & (1 << 20 | 1 << 21 | 1 << 11 | 1 << 13 | 1 << 17) == 0,
    );
    report.expect("CR4 goes back", probe::write_cr4(cr4), Ok(()));
    report.expect("CR4 went back", probe::read_cr4(), Ok(cr4));
    report.expect("no CR8", probe::read_cr8(), Err(GP));
    report.expect("DR7 at reset", probe::read_dr7(), Ok(0x400));
    report.expect("DR0 takes an address", probe::write_dr0(0x1000), Ok(()));
    report.expect("DR0 gives it back", probe::read_dr0(), Ok(0x1000));
    report.expect("DR0 refuses the hypervisor's space", probe::write_dr0(0xffff_8300_0000_0000), Err(GP));
}

fn set_iopl(level: u32) -> i64 {
    hypercall::op(__HYPERVISOR_physdev_op, PHYSDEVOP_set_iopl, &mut PhysdevSetIopl { iopl: level })
}

fn privilege_level(report: &mut Report) {
    report.result("set_iopl(4)", set_iopl(4), -22);
    report.result("set_iopl(0)", set_iopl(0), 0);
    report.expect("CLI at level 0", probe::cli(), Err(GP));
    report.expect("STI at level 0", probe::sti(), Err(GP));
    report.expect("IN at level 0", probe::inb(0x80), Err(GP));
    report.result("set_iopl(1)", set_iopl(1), 0);
    report.expect("CLI at level 1", probe::cli(), Ok(()));
    report.expect("STI at level 1", probe::sti(), Ok(()));
}

fn ports(report: &mut Report) {
    let set_bitmap = |at: u64, nr_ports: u32| {
        let mut argument = PhysdevSetIobitmap { bitmap: GuestPtr::new(at), nr_ports, ..Default::default() };
        hypercall::op(__HYPERVISOR_physdev_op, PHYSDEVOP_set_iobitmap, &mut argument)
    };
    report.expect("IN of a port at level 1", probe::inb(0x80).map(|_| ()), Ok(()));
    report.expect("OUT to the POST port", probe::outb(0x80, 0), Ok(()));
    report.result("set_iopl(0)", set_iopl(0), 0);
    report.result("an I/O bitmap of too many ports", set_bitmap(0x1000, 65537), -22);
    let bitmap = Page::new();
    (0..512).for_each(|n| bitmap.write(n, u64::MAX));
    bitmap.write(2, !1);
    report.result("an I/O bitmap", set_bitmap(bitmap.va(), 0x400), 0);
    report.expect("the one port that it allows", probe::inb(0x80).map(|_| ()), Ok(()));
    report.expect("its neighbour", probe::inb(0x81), Err(GP));
    report.expect("two ports of which one is allowed", probe::inw(0x80), Err(GP));
    report.expect("a port beyond it", probe::inb(0x400), Err(GP));
    report.result("no I/O bitmap", set_bitmap(0, 0), 0);
    report.expect("the port again", probe::inb(0x80), Err(GP));
    report.result("set_iopl(1) again", set_iopl(1), 0);
}

fn cpuid(report: &mut Report) {
    let leaf = |leaf| probe::cpuid_forced(leaf, 0).unwrap_or_default();
    let [max, b, c, d] = leaf(0x4000_0000);
    report.expect("the hypervisor's signature", [b, c, d].map(u32::to_le_bytes), [*b"XenV", *b"MMXe", *b"nVMM"]);
    report.expect("its last leaf", max, 0x4000_0005);
    report.expect("the hypercall-page leaf", leaf(0x4000_0002), [1, 0x4000_0000, 1, 0]);
    let [_, b, c, d] = leaf(1);
    report.expect("the APIC id of vcpu 0", b >> 24, 0);
    report.check("the hypervisor bit", c >> 31 == 1);
    report.check("no MONITOR, VMX, PCID, X2APIC", c & (1 << 3 | 1 << 5 | 1 << 17 | 1 << 21) == 0);
    report.check("no VME, PSE, PGE, PSE36", d & (1 << 1 | 1 << 3 | 1 << 13 | 1 << 17) == 0);
    report.check("XSAVE comes with OSXSAVE for a kernel that asks by the prefix", c >> 26 & 1 == c >> 27 & 1);
    let [_, b, c, _] = leaf(7);
    report.check("no SMEP, SMAP, INVPCID", b & (1 << 7 | 1 << 20 | 1 << 10) == 0);
    report.check("no UMIP, PKU, LA57", c & (1 << 2 | 1 << 3 | 1 << 16) == 0);
    report.expect("no topology leaf", leaf(0xb), [0; 4]);
    report.expect("nothing beyond the last leaf", leaf(0x4000_0006), [0; 4]);
    let [_, _, _, d] = leaf(0x8000_0001);
    report.check("SYSCALL, NX and LM", d & (1 << 11 | 1 << 20 | 1 << 29) == 1 << 11 | 1 << 20 | 1 << 29);
    report.expect("48 bits of linear address", leaf(0x8000_0008)[0] >> 8 & 0xff, 48);
    if c >> 26 & 1 != 0 {
        extended_state(report);
    }
}

fn extended_state(report: &mut Report) {
    report.expect("CR4.OSXSAVE", probe::write_cr4(CR4_OSXSAVE), Ok(()));
    let mask = u64::from(probe::cpuid_forced(0xd, 0).unwrap_or_default()[0]);
    for wrong in [0, 2, 4, 5, !0, 1 << 63 | 1] {
        report.expect("XSETBV of a wrong value", probe::xsetbv(0, wrong), Err(GP));
    }
    report.expect("XSETBV of a register that is not there", probe::xsetbv(1, 1), Err(GP));
    report.expect("XSETBV of all that CPUID offers", probe::xsetbv(0, mask), Ok(()));
    report.expect("XGETBV gives it back", probe::xgetbv(0), Ok(mask));
    let [_, now, all, _] = probe::cpuid_forced(0xd, 0).unwrap_or_default();
    report.expect("the save area is as large as it gets", now, all);
}

fn msrs(report: &mut Report) {
    report.expect("APIC_BASE of vcpu 0", probe::rdmsr(0x1b), Ok(0xfee0_0900));
    report.expect("APIC_BASE cannot be written", probe::wrmsr(0x1b, 0xfee0_0900), Err(GP));
    report.expect("the PAT of every PV guest", probe::rdmsr(0x277), Ok(0x0000_0501_0007_0406));
    report.expect("it cannot be written", probe::wrmsr(0x277, 0x0000_0501_0007_0406), Err(GP));
    let efer = probe::rdmsr(0xc000_0080);
    report.check("EFER has SCE, LME, LMA and no SVME", efer.is_ok_and(|efer| efer & 0x1501 == 0x501));
    report.expect("EFER as it is", probe::wrmsr(0xc000_0080, efer.unwrap_or(0)), Ok(()));
    report.expect("EFER otherwise", probe::wrmsr(0xc000_0080, efer.unwrap_or(0) ^ 0x800), Err(GP));
    report.check("TSC can be read", probe::rdmsr(0x10).is_ok());
    report.expect("and not written", probe::wrmsr(0x10, 0), Err(GP));
    report.expect("MCG_STATUS", probe::rdmsr(0x17a), Ok(0));
    report.expect("a machine-check bank", probe::rdmsr(0x401), Ok(0));
    report.expect("PERF_CAPABILITIES", probe::rdmsr(0x345), Ok(0));
    report.expect("PLATFORM_INFO", probe::rdmsr(0xce).map(|value| value & 0x7fff_ffff), Ok(0));
    for msr in
        [0xc000_0081u32, 0xc000_0082, 0xc000_0084, 0x174, 0x175, 0x176, 0x1d9, 0x2ff, 0x480, 0x800, 0xda0, u32::MAX]
    {
        report.expect("an MSR that is not the guest's", probe::rdmsr(msr), Err(GP));
        report.expect("a write to one", probe::wrmsr(msr, 0), Err(GP));
    }
    for msr in [0xc000_0100, 0xc000_0102] {
        report.expect("a base", probe::wrmsr(msr, 0xffff_8000_0000_0000), Ok(()));
        report.expect("reads back", probe::rdmsr(msr), Ok(0xffff_8000_0000_0000));
        report.expect("a base that is not canonical", probe::wrmsr(msr, 1 << 47), Err(GP));
        report.expect("is zero again", probe::wrmsr(msr, 0), Ok(()));
    }
    report.expect("the hypercall page cannot go to frame 0", probe::wrmsr(0x4000_0000, 0), Err(GP));
}

fn others(report: &mut Report) {
    report.expect("WBINVD", probe::wbinvd(), Ok(()));
    report.expect("INVD", probe::invd(), Ok(()));
    report.expect("RDTSC", probe::rdtsc(), Ok(()));
    report.expect("SWAPGS", probe::swapgs(), Err(GP));
    report.expect("SYSRET", probe::sysret(), Err(GP));
}
