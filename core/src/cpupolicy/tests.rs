use super::feature::*;
use super::*;
use std::collections::BTreeMap;

/// One line of what guests/cpuid-msr printed as dom0 of Debian's Xen 4.17.7: a leaf, a subleaf, what Xen gave by the
/// prefix, and what the processor itself gives.
type Seen = (u32, u32, Leaf, Leaf);

/// QEMU 10.0.2, `-cpu max`: an AMD of TCG's making. Leaves that are the same on both sides are left out.
const SEEN_AMD: &[Seen] = &[
    (0, 0, [0xd, 0x68747541, 0x444d4163, 0x69746e65], [0xd, 0x68747541, 0x444d4163, 0x69746e65]),
    (1, 0, [0x663, 0x800, 0xfed83203, 0x0fc9d3f5], [0x663, 0x800, 0xfef8320b, 0x0fcbfbfd]),
    (5, 0, [0; 4], [0, 0, 3, 0]),
    (6, 0, [0; 4], [4, 0, 0, 0]),
    (7, 0, [1, 0x218c0329, 0x00400200, 0x10], [1, 0x219c43a9, 0x8041020c, 0x10]),
    (7, 1, [0x1c00, 0, 0, 0], [0x1c80, 0, 0, 0]),
    (0xb, 0, [0; 4], [0, 1, 0x100, 0]),
    (0xb, 1, [0; 4], [0, 1, 0x201, 0]),
    (0xd, 0, [7, 0x240, 0x340, 0], [0x21f, 0x240, 0xa88, 0]),
    (0xd, 1, [5, 0, 0, 0], [5, 0x3c8, 0, 0]),
    (0xd, 2, [0x100, 0x240, 0, 0], [0x100, 0x240, 0, 0]),
    (0xd, 3, [0; 4], [0x40, 0x3c0, 0, 0]),
    (0xd, 4, [0; 4], [0x40, 0x400, 0, 0]),
    (0xd, 9, [0; 4], [8, 0xa80, 0, 0]),
    (0xe, 0, [0; 4], [0x21f, 0x240, 0xa88, 0]),
    (
        0x8000_0000,
        0,
        [0x8000000a, 0x68747541, 0x444d4163, 0x69746e65],
        [0x8000000a, 0x68747541, 0x444d4163, 0x69746e65],
    ),
    (0x8000_0001, 0, [0x663, 0, 0x163, 0xe9d1dbf5], [0x663, 0, 0x177, 0xedd3fbfd]),
    (
        0x8000_0005,
        0,
        [0x01ff01ff, 0x01ff01ff, 0x40020140, 0x40020140],
        [0x01ff01ff, 0x01ff01ff, 0x40020140, 0x40020140],
    ),
    (0x8000_0006, 0, [0, 0x42004200, 0x02008140, 0x00808140], [0, 0x42004200, 0x02008140, 0x00808140]),
    (0x8000_0008, 0, [0x3028, 4, 0, 0], [0x3928, 0x204, 0, 0]),
    (0x8000_000a, 0, [0; 4], [1, 0x10, 0, 0x10010001]),
    (0x8000_000b, 0, [0; 4], [0x21f, 0x240, 0xa88, 0]),
];

/// The same with `vendor=GenuineIntel`. Xen takes AVX and what needs it from a processor without the microcode against
/// GDS, and adds ARCH_CAPS; those are its mitigations, and are put back in these lines.
const SEEN_INTEL: &[Seen] = &[
    (0, 0, [0xd, 0x756e6547, 0x6c65746e, 0x49656e69], [0xd, 0x756e6547, 0x6c65746e, 0x49656e69]),
    (1, 0, [0x663, 0x800, 0xfed83203, 0x0fc9dbf5], [0x663, 0x800, 0xfef8320b, 0x0fcbfbfd]),
    (2, 0, [1, 0, 0x4d, 0x2c307d], [1, 0, 0x4d, 0x2c307d]),
    (4, 0, [0x121, 0x01c0003f, 0x3f, 1], [0x121, 0x01c0003f, 0x3f, 1]),
    (4, 1, [0x122, 0x01c0003f, 0x3f, 1], [0x122, 0x01c0003f, 0x3f, 1]),
    (4, 2, [0x143, 0x03c0003f, 0xfff, 1], [0x143, 0x03c0003f, 0xfff, 1]),
    (4, 3, [0x163, 0x03c0003f, 0x3fff, 6], [0x163, 0x03c0003f, 0x3fff, 6]),
    (7, 0, [1, 0x218c0329, 0x00400200, 0x10], [1, 0x219c43a9, 0x8041020c, 0x10]),
    (0xd, 0, [7, 0x240, 0x340, 0], [0x21f, 0x240, 0xa88, 0]),
    (0x8000_0000, 0, [0x80000008, 0, 0, 0], [0x8000000a, 0x756e6547, 0x6c65746e, 0x49656e69]),
    (0x8000_0001, 0, [0, 0, 0x163, 0xe8501800], [0x663, 0, 0x177, 0xec500800]),
    (0x8000_0005, 0, [0; 4], [0x01ff01ff, 0x01ff01ff, 0x40020140, 0x40020140]),
    (0x8000_0006, 0, [0, 0, 0x02008140, 0], [0, 0x42004200, 0x02008140, 0x00808140]),
    (0x8000_0008, 0, [0x3028, 4, 0, 0], [0x3928, 0x204, 0, 0]),
];

#[test]
fn dom0_sees_what_it_sees_on_xen() {
    for seen in [SEEN_AMD, SEEN_INTEL] {
        let machine = |leaf, subleaf| {
            let components = seen.iter().chain(SEEN_AMD);
            components.clone().find(|line| (line.0, line.1) == (leaf, subleaf)).map_or([0; 4], |line| line.3)
        };
        let policy = Policy::pv(Kind::Dom0, 0, machine);
        let vcpu = VcpuView { vcpu: 0, kernel: true, forced: true, osxsave: false, xcr0: 3 };
        for &(leaf, subleaf, xen, _) in seen {
            let ours = policy.cpuid(leaf, subleaf, &vcpu, &XEN);
            assert_eq!(ours, xen, "{leaf:#x}:{subleaf}: {ours:x?}, on Xen {xen:x?}");
        }
    }
}

/// A made-up Intel machine with everything in leaf 1 and 7, AVX, and leaf 0xd of a Skylake.
fn machine(leaf: u32, subleaf: u32) -> Leaf {
    match (leaf, subleaf) {
        (0, _) => [0x16, 0x756e_6547, 0x6c65_746e, 0x4965_6e69],
        (1, _) => [0x506e3, 0x0710_0800, 0xffff_ffff, 0xffff_ffff],
        (2, _) => [0x76036301, 0xf0b5ff, 0, 0xc30000],
        (4, 0) => [0x1c004121, 0x01c0_003f, 0x3f, 0],
        (5, _) => [0x40, 0x40, 3, 0x1120],
        (7, 0) => [2, !(1 << 16), 0xffff_ffff, 0xffff_ffff],
        (7, 1) => [0xffff_ffff; 4],
        (7, 2) => [0, 0, 0, 0xffff_ffff],
        (0xa, _) => [0x0730_0404, 0, 0, 0x603],
        (0xb, _) => [1, 2, 0x100, 7],
        (0xd, 0) => [0x2e7, 0x340, 0xa88, 0],
        (0xd, 1) => [0xf, 0x240, 0x100, 0],
        (0xd, 2) => [0x100, 0x240, 0, 0],
        (0xd, 5) => [0x40, 0x440, 0, 0],
        (0xd, 6) => [0x200, 0x480, 0, 0],
        (0xd, 7) => [0x400, 0x680, 0, 0],
        (0xd, 9) => [8, 0xa80, 0, 0],
        (0x8000_0000, _) => [0x8000_0008, 0, 0, 0],
        (0x8000_0001, _) => [0, 0, 0x121, 0x2c10_0800],
        (0x8000_0007, _) => [0, 0, 0, 0x100],
        (0x8000_0008, _) => [0x3027, 0, 0, 0],
        _ => [0; 4],
    }
}

const XEN: XenInfo = XenInfo {
    version: (4, 17),
    tsc_mode: 0,
    tsc_emulated: false,
    tsc_reliable: true,
    rdtscp: true,
    tsc_khz: 2_600_000,
    host_tsc_khz: 2_600_000,
    incarnation: 1,
    tsc_offset: 0,
    tsc_scale: (0x1234, -1),
    machine_address_bits: 39,
};

const KERNEL: VcpuView = VcpuView { vcpu: 3, kernel: true, forced: true, osxsave: false, xcr0: 1 };
const USER: VcpuView = VcpuView { kernel: false, forced: false, ..KERNEL };

fn policy(kind: Kind) -> Policy {
    Policy::pv(kind, 0, machine)
}

#[test]
fn the_vendor_and_the_last_leaf_are_the_machines_as_far_as_we_know_it() {
    let policy = policy(Kind::DomU);
    assert_eq!(policy.cpuid(0, 0, &KERNEL, &XEN), [0xd, 0x756e_6547, 0x6c65_746e, 0x4965_6e69]);
    assert_eq!(policy.vendor, Vendor::Intel);
    assert_eq!(policy.cpuid(0x8000_0000, 0, &KERNEL, &XEN)[0], 0x8000_0008);
    for leaf in [0xe, 0x16, 0x8000_0009, 0x8000_ffff, 0x4000_0006, 0x4000_0100, 0xc000_0000, u32::MAX] {
        assert_eq!(policy.cpuid(leaf, 0, &KERNEL, &XEN), [0; 4], "{leaf:#x}");
    }
}

#[test]
fn leaf_1_hides_what_pv_cannot_do_and_says_that_there_is_a_hypervisor() {
    let [_, b, c, d] = policy(Kind::DomU).cpuid(1, 0, &KERNEL, &XEN);
    assert_eq!(b >> 24, 6, "the APIC id is twice the vcpu's number");
    for (name, bit) in [("MONITOR", 3), ("VMX", 5), ("EIST", 7), ("PCID", 17), ("x2APIC", 21)] {
        assert_eq!(c >> bit & 1, 0, "{name}");
    }
    for (name, bit) in [("VME", 1), ("PSE", 3), ("MTRR", 12), ("PGE", 13), ("PSE36", 17)] {
        assert_eq!(d >> bit & 1, 0, "{name}");
    }
    assert_eq!(c >> 31, 1);
    assert_eq!((c >> 26 & 1, d >> 11 & 1, d >> 6 & 1), (1, 1, 1), "XSAVE, SEP, PAE");
}

#[test]
fn osxsave_follows_the_guests_cr4_unless_its_kernel_asks_what_it_could_set() {
    let osxsave = |view: &VcpuView| policy(Kind::DomU).cpuid(1, 0, view, &XEN)[2] >> 27 & 1;
    let faulted = VcpuView { forced: false, ..KERNEL };
    assert_eq!(osxsave(&faulted), 0);
    assert_eq!(osxsave(&VcpuView { osxsave: true, ..faulted }), 1);
    assert_eq!(osxsave(&KERNEL), 1);
    assert_eq!(osxsave(&USER), 0);
    assert_eq!(osxsave(&VcpuView { forced: true, ..USER }), 0);
}

#[test]
fn only_dom0s_kernel_sees_mtrr_and_eist_and_where_cpuid_faults_monitor() {
    let seen = |kind, view: &VcpuView| {
        let [_, _, c, d] = policy(kind).cpuid(1, 0, view, &XEN);
        (c >> 3 & 1, c >> 7 & 1, d >> 12 & 1, policy(kind).cpuid(5, 0, view, &XEN) != [0; 4])
    };
    assert_eq!(seen(Kind::Dom0, &KERNEL), (0, 1, 1, false));
    assert_eq!(seen(Kind::Dom0, &VcpuView { forced: false, ..KERNEL }), (1, 1, 1, true));
    assert_eq!(seen(Kind::Dom0, &USER), (0, 0, 0, false));
    assert_eq!(seen(Kind::DomU, &KERNEL), (0, 0, 0, false));
}

#[test]
fn the_invariant_tsc_is_dom0s_unless_a_domain_was_given_it() {
    let itsc = |policy: &Policy| policy.cpuid(0x8000_0007, 0, &KERNEL, &XEN)[3] >> 8 & 1;
    assert_eq!(itsc(&policy(Kind::Dom0)), 1);
    let mut domu = policy(Kind::DomU);
    assert_eq!(itsc(&domu), 0);
    let mut wanted = pv_default();
    wanted.set(ITSC);
    wanted.set(VMX);
    domu.restrict(wanted);
    assert_eq!(itsc(&domu), 1);
    assert!(!domu.features.has(VMX), "no toolstack can give what PV has not");
}

#[test]
fn extended_state_shows_only_what_may_be_enabled_and_its_size_follows_xcr0() {
    let policy = policy(Kind::DomU);
    assert_eq!(policy.xcr0, 7, "no AVX-512 without its feature bit, no MPX, no PKRU");
    let at = |subleaf, xcr0| policy.cpuid(0xd, subleaf, &VcpuView { xcr0, ..KERNEL }, &XEN);
    assert_eq!(at(0, 1), [7, 0x240, 0x340, 0]);
    assert_eq!(at(0, 7), [7, 0x340, 0x340, 0]);
    assert_eq!(at(1, 7), [7, 0x340, 0, 0], "no XSAVES");
    assert_eq!(at(2, 7), [0x100, 0x240, 0, 0]);
    for subleaf in [3, 5, 9, 62, 63, 64, u32::MAX] {
        assert_eq!(at(subleaf, 7), [0; 4], "{subleaf}");
    }
    assert!(policy.xcr0_allowed(1) && policy.xcr0_allowed(3) && policy.xcr0_allowed(7));
    for wrong in [0, 2, 4, 5, 6, 0xe7, 1 << 63 | 1] {
        assert!(!policy.xcr0_allowed(wrong), "{wrong:#x}");
    }
}

#[test]
fn a_machine_with_avx512_has_all_of_it_or_none() {
    let with = |leaf, sub| if (leaf, sub) == (7, 0) { [0, 1 << 16 | 1 << 5, 0, 0] } else { machine(leaf, sub) };
    let policy = Policy::pv(Kind::DomU, 0, with);
    assert_eq!(policy.xcr0, 0xe7);
    assert!(policy.xcr0_allowed(0xe7) && !policy.xcr0_allowed(0x27) && !policy.xcr0_allowed(0xe3));
    assert_eq!(policy.cpuid(0xd, 0, &VcpuView { xcr0: 0xe7, ..KERNEL }, &XEN)[1], 0xa80);
    assert_eq!(policy.cpuid(7, 1, &KERNEL, &XEN), [0; 4], "leaf 7 has one subleaf on this machine");
}

#[test]
fn the_hypervisors_leaves() {
    let policy = policy(Kind::DomU);
    let [a, b, c, d] = policy.cpuid(0x4000_0000, 0, &USER, &XEN);
    assert_eq!(a, 0x4000_0005);
    assert_eq!([b, c, d].map(u32::to_le_bytes).concat(), b"XenVMMXenVMM");
    assert_eq!(policy.cpuid(0x4000_0001, 0, &USER, &XEN), [0x0004_0011, 0, 0, 0]);
    assert_eq!(policy.cpuid(0x4000_0002, 0, &USER, &XEN), [1, 0x4000_0000, 1, 0]);
    assert_eq!(policy.cpuid(0x4000_0003, 0, &USER, &XEN), [6, 0, 2_600_000, 1]);
    assert_eq!(policy.cpuid(0x4000_0003, 1, &USER, &XEN), [0, 0, 0x1234, 0xff]);
    assert_eq!(policy.cpuid(0x4000_0005, 0, &USER, &XEN)[1], 39);
    assert_eq!(policy.cpuid(0x4000_0100, 0, &USER, &XEN), [0; 4]);
}

#[test]
fn every_leaf_of_every_kind_of_machine_is_answered() {
    // Nothing here may index out of a table, whatever the machine claims.
    for claims in [[0; 4], [u32::MAX; 4], [0x8000_ffff, 1, 2, 3]] {
        let policy = Policy::pv(Kind::Dom0, u64::MAX, |_, _| claims);
        for leaf in (0..0x30).chain(0x4000_0000..0x4000_0010).chain(0x8000_0000..0x8000_0030) {
            for subleaf in [0, 1, 2, 3, 31, 62, 63, 64, 1 << 31, u32::MAX] {
                let answer = policy.cpuid(leaf, subleaf, &VcpuView { xcr0: u64::MAX, ..KERNEL }, &XEN);
                assert!(leaf != 0 || answer[0] <= 0xd);
            }
        }
    }
}

#[test]
fn cr4_keeps_what_the_guest_may_choose_and_shows_what_the_machine_has() {
    let policy = policy(Kind::DomU);
    let machine = 1 << 5 | 1 << 6 | 1 << 7 | 1 << 9 | 1 << 10 | 1 << 18 | 1 << 20 | 1 << 21;
    assert_eq!(pv_cr4(&policy, machine, 0), 0x660);
    assert_eq!(pv_cr4(&policy, machine, 1 << 18 | 1 << 2 | 1 << 20 | 1 << 13), 0x660 | 1 << 18 | 1 << 2);
    let mut without = policy.clone();
    let mut wanted = pv_default();
    wanted.clear(XSAVE);
    without.restrict(wanted);
    assert_eq!(pv_cr4(&without, machine, 1 << 18), 0x660);
    let choice = [(TSC, 2), (DE, 3), (FSGSBASE, 16), (XSAVE, 18)];
    let all = choice.iter().fold(0x660, |all, (_, bit)| all | 1u64 << bit);
    for (feature, bit) in choice {
        let mut without = policy.clone();
        without.features.clear(feature);
        assert_eq!(pv_cr4(&policy, machine, 1 << bit), 0x660 | 1 << bit);
        assert_eq!(pv_cr4(&without, machine, u64::MAX), all & !(1 << bit));
    }
    assert_eq!(pv_cr0(0x8005_0033, true), 0x8005_003b);
    assert_eq!(pv_cr0(0x8005_003b, false), 0x8005_0033);
}

#[derive(Default)]
struct Hardware {
    msrs: BTreeMap<u32, u64>,
    own: BTreeMap<u32, u64>,
    page: Option<u64>,
}

impl MsrMachine for Hardware {
    fn read(&mut self, msr: Msr) -> Option<u64> {
        self.msrs.get(&msr.0).copied()
    }
    fn write(&mut self, msr: Msr, value: u64) -> Option<()> {
        *self.msrs.get_mut(&msr.0)? = value;
        Some(())
    }
    fn tsc(&mut self) -> u64 {
        77
    }
    fn own(&mut self, msr: Msr) -> u64 {
        self.own.get(&msr.0).copied().unwrap_or(0)
    }
    fn set_own(&mut self, msr: Msr, value: u64) {
        self.own.insert(msr.0, value);
    }
    fn write_hypercall_page(&mut self, gfn: u64) -> Option<()> {
        (gfn == 5).then(|| self.page = Some(gfn))
    }
}

#[test]
fn an_msr_that_is_not_listed_faults_for_everybody() {
    let mut hardware = Hardware { msrs: (0..0x1000).map(|n| (n, 1)).collect(), ..Hardware::default() };
    for kind in [Kind::Dom0, Kind::DomU] {
        let policy = policy(kind);
        for msr in [0x122, 0x174, 0x1d9, 0x480, 0x6e0, 0x802, 0xda0, 0xc000_0081, 0xc000_0082, 0xc001_0117, u32::MAX] {
            assert_eq!(rdmsr(&policy, 0, Msr(msr), &mut hardware), None, "{msr:#x}");
            assert_eq!(wrmsr(&policy, Msr(msr), 1, &mut hardware), None, "{msr:#x}");
        }
    }
    assert!(hardware.msrs.values().all(|&value| value == 1), "no write reached the machine");
}

#[test]
fn machine_check_banks_are_empty_and_performance_counters_count_nothing() {
    let (policy, mut hardware) = (policy(Kind::Dom0), Hardware::default());
    let mut read = |msr| rdmsr(&policy, 0, Msr(msr), &mut hardware);
    assert_eq!([0x400, 0x401, 0x404, 0x407].map(&mut read), [Some(u64::MAX), Some(0), Some(u64::MAX), Some(0)]);
    assert_eq!([0x408, 0x47f, 0x280, 0x29f, 0xc1, 0x186, 0x38f].map(&mut read), [Some(0); 7]);
    assert_eq!([0x480, 0x2a0].map(&mut read), [None; 2]);
    let mut write = |msr, value| wrmsr(&policy, Msr(msr), value, &mut hardware);
    assert_eq!([write(0x400, 5), write(0x401, 0), write(0x408, 5), write(0x186, 5)], [Some(()); 4]);
    assert_eq!([write(0x401, 5), write(0x480, 0)], [None; 2]);
}

#[test]
fn the_apic_base_names_the_boot_vcpu() {
    let read = |vcpu| rdmsr(&policy(Kind::DomU), vcpu, Msr::APIC_BASE, &mut Hardware::default());
    assert_eq!(read(0), Some(0xfee0_0900));
    assert_eq!(read(1), Some(0xfee0_0800));
}

#[test]
fn a_base_must_be_canonical() {
    let (policy, mut hardware) = (policy(Kind::DomU), Hardware::default());
    assert_eq!(wrmsr(&policy, Msr::GS_BASE, 0x0000_8000_0000_0000, &mut hardware), None);
    assert_eq!(wrmsr(&policy, Msr::GS_BASE, 0xffff_8000_0000_0000, &mut hardware), Some(()));
    assert_eq!(rdmsr(&policy, 0, Msr::GS_BASE, &mut hardware), Some(0xffff_8000_0000_0000));
}

#[test]
fn efer_can_be_read_without_svme_and_never_changed() {
    let mut hardware = Hardware { msrs: [(0xc000_0080, 0x1d01)].into_iter().collect(), ..Hardware::default() };
    let policy = policy(Kind::Dom0);
    assert_eq!(rdmsr(&policy, 0, Msr::EFER, &mut hardware), Some(0xd01));
    assert_eq!(wrmsr(&policy, Msr::EFER, 0xd01, &mut hardware), Some(()));
    assert_eq!(wrmsr(&policy, Msr::EFER, 0x501, &mut hardware), None);
    assert_eq!(hardware.msrs[&0xc000_0080], 0x1d01);
}

#[test]
fn speculation_controls_take_the_bits_that_were_offered() {
    let mut policy = policy(Kind::DomU);
    let mut hardware = Hardware { msrs: [(0x49, 0)].into_iter().collect(), ..Hardware::default() };
    assert_eq!(wrmsr(&policy, Msr::SPEC_CTRL, 7, &mut hardware), Some(()));
    assert_eq!(rdmsr(&policy, 0, Msr::SPEC_CTRL, &mut hardware), Some(7));
    assert_eq!(wrmsr(&policy, Msr::SPEC_CTRL, 8, &mut hardware), None);
    assert_eq!(wrmsr(&policy, Msr::PRED_CMD, 2, &mut hardware), None);
    assert_eq!(wrmsr(&policy, Msr::PRED_CMD, 1, &mut hardware), Some(()));
    let mut wanted = pv_default();
    [IBRSB, IBRS, IBPB, STIBP, SSBD, AMD_SSBD].into_iter().for_each(|feature| wanted.clear(feature));
    policy.restrict(wanted);
    assert_eq!(wrmsr(&policy, Msr::SPEC_CTRL, 0, &mut hardware), None);
    assert_eq!(rdmsr(&policy, 0, Msr::SPEC_CTRL, &mut hardware), None);
    assert_eq!(wrmsr(&policy, Msr::PRED_CMD, 1, &mut hardware), None);
}

#[test]
fn the_hypercall_page_goes_where_the_guest_says_if_it_may() {
    let (policy, mut hardware) = (policy(Kind::DomU), Hardware::default());
    assert_eq!(wrmsr(&policy, Msr::HYPERCALL_PAGE, 0x5000, &mut hardware), Some(()));
    assert_eq!(hardware.page, Some(5));
    assert_eq!(wrmsr(&policy, Msr::HYPERCALL_PAGE, 0x6000, &mut hardware), None);
}

#[test]
fn leaves_beyond_the_last_one_are_not_asked_for() {
    // An Intel processor answers those with its last basic leaf.
    let asked = |basic: u32, extended: u32, subleaves: u32| {
        Policy::pv(Kind::Dom0, 0, move |leaf, subleaf| match (leaf, subleaf) {
            (0, _) => [basic, 0x756e_6547, 0x6c65_746e, 0x4965_6e69],
            (0x8000_0000, _) => [extended, 0, 0, 0],
            (7, 0) if basic >= 7 => [subleaves, 0, 0, 0],
            (1..=6, _) => [0; 4],
            _ => [u32::MAX; 4],
        })
        .host
    };
    assert_eq!(asked(6, 0x8000_0000, 0), FeatureSet::default());
    assert_eq!(asked(7, 0x8000_0000, 0), FeatureSet::default());
    let words = |words: &[usize]| {
        let mut set = FeatureSet::default();
        words.iter().for_each(|&n| set.0[n] = u32::MAX);
        set
    };
    assert_eq!(asked(7, 0x8000_0000, 1), words(&[10, 12, 14, 15]));
    assert_eq!(asked(7, 0x8000_0000, 2), words(&[10, 12, 13, 14, 15]));
    assert_eq!(asked(7, 0x8000_0001, 0), words(&[2, 3]));
    assert_eq!(asked(7, 0x8000_0007, 0), words(&[2, 3, 7]));
    assert_eq!(asked(7, 0x8000_0008, 0), words(&[2, 3, 7, 8]));
    assert_eq!(asked(7, 0x8000_0021, 0), words(&[2, 3, 7, 8, 11, 18]));
}

#[test]
fn caches_are_listed_up_to_the_first_that_is_none() {
    for levels in 0..=9 {
        let cache = |n: u32| if n == levels { [0x20, 1, 1, 1] } else { [0x3f, n, n, n] };
        let with = |leaf, subleaf| if leaf == 4 { cache(subleaf) } else { machine(leaf, subleaf) };
        let policy = Policy::pv(Kind::DomU, 0, with);
        for n in 0..12 {
            let expected = if n <= levels && n < 8 { cache(n) } else { [0; 4] };
            assert_eq!(policy.cpuid(4, n, &KERNEL, &XEN), expected, "{n} of {levels}");
        }
    }
}

#[test]
fn what_the_processor_is_not_open_to_is_in_both_words_of_arch_capabilities() {
    let host = 1 << 62 | 1 << 25 | 1;
    let policy = Policy::pv(Kind::DomU, host, machine);
    assert_eq!((policy.host.word(16), policy.host.word(17)), (1 << 25 | 1, 1 << 30));
    let read = rdmsr(&policy, 0, Msr::ARCH_CAPABILITIES, &mut Hardware::default());
    assert_eq!(read, Some(1 << 62 | 1), "RDCL_NO and ITS_NO, and no GDS_CTRL");
}

#[test]
fn a_physical_address_has_the_machines_bits_or_else_36() {
    for (eax, bits) in [(0x3028, 40), (0x3934, 52), (0x3000, 36), (0, 36), (36, 36)] {
        let with = |leaf, subleaf| if leaf == 0x8000_0008 { [eax, 0, 0, 0] } else { machine(leaf, subleaf) };
        let policy = Policy::pv(Kind::DomU, 0, with);
        assert_eq!(policy.physical_address_bits(), bits, "{eax:#x}");
        assert_eq!(policy.cpuid(0x8000_0008, 0, &KERNEL, &XEN)[0], 0x3000 | eax & 0xff, "48 bits are linear");
    }
}

/// An AMD machine all of whose extended leaves say their number.
fn amd(leaf: u32, subleaf: u32) -> Leaf {
    match leaf {
        0 => [0xd, 0x6874_7541, 0x444d_4163, 0x6974_6e65],
        0x8000_0000 => [0x8000_0021, 0x6874_7541, 0x444d_4163, 0x6974_6e65],
        0x8000_0021 => [0xffff_ffff; 4],
        0x8000_0002..=0x8000_001a => [1, 2, 3, 4].map(|n| leaf << 8 | n),
        _ => machine(leaf, subleaf),
    }
}

#[test]
fn the_brand_is_the_machines_and_amds_other_leaves_too() {
    let policy = Policy::pv(Kind::DomU, 0, amd);
    let at = |policy: &Policy, leaf| policy.cpuid(leaf, 0, &KERNEL, &XEN);
    for leaf in [0x8000_0002, 0x8000_0003, 0x8000_0004, 0x8000_0005, 0x8000_0006, 0x8000_0019, 0x8000_001a] {
        assert_eq!(at(&policy, leaf), amd(leaf, 0), "{leaf:#x}");
    }
    for leaf in (0x8000_0009..=0x8000_0018).chain(0x8000_001b..=0x8000_0020) {
        assert_eq!(at(&policy, leaf), [0; 4], "{leaf:#x}");
    }
    let [a, b, c, d] = at(&policy, 0x8000_0021);
    assert_eq!((b, d), (0, 0));
    assert_eq!((a >> 2 & 1, a >> 8 & 1, c), (1, 0, 0b110), "LFENCE_DISPATCH, no AUTO_IBRS, TSA_SQ_NO and TSA_L1_NO");

    let brand =
        |leaf, subleaf| if leaf & !7 == 0x8000_0000 && leaf & 7 >= 2 { [leaf; 4] } else { machine(leaf, subleaf) };
    let intel = Policy::pv(Kind::DomU, 0, brand);
    (0x8000_0002..=0x8000_0004).for_each(|leaf| assert_eq!(at(&intel, leaf), [leaf; 4]));
    assert_eq!(at(&intel, 0x8000_0005), [0; 4]);
    assert_eq!(at(&intel, 0x8000_0006), [0, 0, 0x8000_0006, 0]);
}

#[test]
fn amds_copy_of_mtrr_is_for_dom0s_kernel_and_only_if_the_machine_has_it() {
    let mtrr = |kind, view: &VcpuView, has: bool| {
        let with = |leaf, sub| if leaf == 1 && !has { [0, 0, 0, !(1 << 12)] } else { amd(leaf, sub) };
        Policy::pv(kind, 0, with).cpuid(0x8000_0001, 0, view, &XEN)[3] >> 12 & 1
    };
    assert_eq!(mtrr(Kind::Dom0, &KERNEL, true), 1);
    assert_eq!(mtrr(Kind::Dom0, &KERNEL, false), 0);
    assert_eq!(mtrr(Kind::Dom0, &USER, true), 0);
    assert_eq!(mtrr(Kind::DomU, &KERNEL, true), 0);
}

#[test]
fn each_subleaf_of_leaf_7_shows_its_own_features() {
    let policy = policy(Kind::DomU);
    let at = |subleaf| policy.cpuid(7, subleaf, &KERNEL, &XEN);
    assert_eq!(at(0)[0], 2);
    let [a, b, c, d] = at(1);
    assert_eq!((a >> 10 & 7, b, c, d), (7, 0, 0, 0), "FZRM, FSRS and FSRCS, no PPIN, no CET_SSS");
    assert_eq!(at(2), [0, 0, 0, 1 | 1 << 5], "PSFD and MCDT_NO");
    assert_eq!([3, u32::MAX].map(at), [[0; 4]; 2]);
}

#[test]
fn a_compacted_area_holds_what_is_enabled_with_the_alignment_that_it_wants() {
    let sized = |flags: u32, first: u32| {
        let with = move |leaf, subleaf| match (leaf, subleaf) {
            (7, 0) => [0, 1 << 16 | 1 << 5, 0, 0],
            (0xd, 2) => [first, 0x240, 0, 0],
            (0xd, 5) => [0x40, 0x440, flags, 0],
            (0xd, 6) => [0x208, 0x480, 0, 0],
            (0xd, 7) => [0x400, 0x680, flags, 0],
            _ => machine(leaf, subleaf),
        };
        let policy = Policy::pv(Kind::DomU, 0, with);
        move |xcr0| policy.cpuid(0xd, 1, &VcpuView { xcr0, ..KERNEL }, &XEN)[1]
    };
    let packed = sized(0, 0x100);
    assert_eq!([1, 3, 7].map(&packed), [0x240, 0x240, 0x340]);
    assert_eq!(packed(0xe7), 0x240 + 0x100 + 0x40 + 0x208 + 0x400);
    assert_eq!(packed(0xe3), 0x240 + 0x40 + 0x208 + 0x400, "without YMM there is no room for it");
    // Bit 1 of ECX: at a multiple of 64; bit 0 says another thing.
    let aligned = sized(2, 0x108);
    assert_eq!(aligned(0xe7), 0x380 + 0x40 + 0x208 + 0x38 + 0x400);
    assert_eq!(sized(3, 0x100)(0xe7), 0x340 + 0x40 + 0x208 + 0x38 + 0x400);
    assert_eq!(sized(1, 0x100)(0xe7), packed(0xe7));
}

#[test]
fn the_leaf_of_time_has_three_subleaves() {
    let xen = XenInfo {
        tsc_mode: 2,
        tsc_khz: 3,
        incarnation: 4,
        tsc_offset: 0x1122_3344_5566_7788,
        tsc_scale: (5, -2),
        host_tsc_khz: 6,
        ..XEN
    };
    let at = |subleaf, xen: &XenInfo| policy(Kind::DomU).cpuid(0x4000_0003, subleaf, &USER, xen);
    for bits in 0..8u32 {
        let [tsc_emulated, tsc_reliable, rdtscp] = [0, 1, 2].map(|n| bits >> n & 1 != 0);
        assert_eq!(at(0, &XenInfo { tsc_emulated, tsc_reliable, rdtscp, ..xen }), [bits, 2, 3, 4]);
    }
    assert_eq!(at(1, &xen), [0x5566_7788, 0x1122_3344, 5, 0xfe]);
    assert_eq!(at(2, &xen), [6, 0, 0, 0]);
    assert_eq!(at(3, &xen), [0; 4]);
}
