//! Every MSR in the ranges where any is, read and written on each vendor's processor, as dom0 and as another domain, beside a
//! list: what is not in it faults.

use super::{Msr, MsrMachine, rdmsr, wrmsr};
use crate::cpupolicy::features::{
    AMD_SSBD, ARCH_CAPS, DBEXT, FeatureSet, IBPB, IBRS, IBRSB, L1D_FLUSH, RDPID, RDTSCP, SSBD, STIBP,
};
use crate::cpupolicy::{Kind, Policy, Vendor};
use std::collections::BTreeMap;

type Feature = super::super::features::Feature;

/// Where MSRs are.
const RANGES: [core::ops::Range<u32>; 4] =
    [0..0x1000, 0x4000_0000..0x4000_0100, 0xc000_0000..0xc000_0200, 0xc001_0000..0xc001_1100];
const ALL: [Feature; 12] =
    [AMD_SSBD, ARCH_CAPS, DBEXT, IBPB, IBRS, IBRSB, L1D_FLUSH, RDPID, RDTSCP, SSBD, STIBP, super::super::features::NX];

/// A processor all of whose MSRs hold one value, or that has none.
struct Hardware {
    all: Option<u64>,
    done: Option<Done>,
}

/// What a write came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Dropped,
    Own(u64),
    Machine(u64),
    Page(u64),
}

/// What a vcpu's own MSR holds.
fn own(msr: u32) -> u64 {
    0x5_0000_0000 + u64::from(msr)
}

impl MsrMachine for Hardware {
    fn read(&mut self, _: Msr) -> Option<u64> {
        self.all
    }
    fn write(&mut self, _: Msr, value: u64) -> Option<()> {
        self.all?;
        self.done = Some(Done::Machine(value));
        Some(())
    }
    fn tsc(&mut self) -> u64 {
        77
    }
    fn own(&mut self, msr: Msr) -> u64 {
        own(msr.0)
    }
    fn set_own(&mut self, _: Msr, value: u64) {
        self.done = Some(Done::Own(value));
    }
    fn write_hypercall_page(&mut self, gfn: u64) -> Option<()> {
        (gfn == 5).then(|| self.done = Some(Done::Page(gfn)))
    }
}

fn policy(vendor: Vendor, kind: Kind, features: &[Feature]) -> Policy {
    let mut policy = Policy::pv(kind, 0, |_, _| [0; 4]);
    policy.vendor = vendor;
    policy.features = FeatureSet::default();
    features.iter().for_each(|feature| policy.features.set(*feature));
    policy
}

fn all_msrs() -> impl Iterator<Item = u32> {
    RANGES.into_iter().flatten()
}

/// What reads give where every MSR of the machine is all ones and every feature is there.
fn reads(intel: bool, amd: bool, dom0: bool) -> BTreeMap<u32, u64> {
    let mut all: BTreeMap<u32, u64> = BTreeMap::new();
    let mut add = |msrs: &[u32], value: u64| all.extend(msrs.iter().map(|msr| (*msr, value)));
    add(&[0, 1, 0x17b, 0x345, 0x4000_0000, 0xce], 0);
    add(&[0x10], 77);
    add(&[0x1b], 0xfee0_0900);
    add(&[0x179], 2);
    add(&[0x1a0], 0xffff_ffff_fffb_ff7f);
    add(&[0x277], 0x0000_0501_0007_0406);
    add(&(0x280..0x2a0).collect::<Vec<_>>(), 0);
    add(&(0x400..0x480).collect::<Vec<_>>(), 0);
    add(&[0x400, 0x404], u64::MAX);
    add(&[0xc000_0080], 0x0020_6d01);
    if intel {
        add(&[0x17, 0x8b], u64::MAX);
        add(&[0x3a], 1);
        add(&[0xce], 0x8000_0000);
        add(&[0x179], 0x0100_0c02);
        add(&[0x198, 0x199, 0x19c], 0);
        add(&(0xc1..0xc9).chain(0x186..0x18a).chain(0x309..0x30c).chain(0x38d..0x391).collect::<Vec<_>>(), 0);
    }
    if amd {
        add(&[0x8b], u64::MAX);
        add(&(0xc001_0000..0xc001_0008).chain(0xc001_0200..0xc001_020c).collect::<Vec<_>>(), 0);
        add(&[0xc001_0015, 0xc001_0041, 0xc001_0042], 0);
        add(&(0xc001_0061..0xc001_006c).collect::<Vec<_>>(), 0);
        add(&[0xc001_1029], 2);
    }
    if amd && dom0 {
        add(&[0xc001_0010, 0xc001_0016, 0xc001_0017, 0xc001_0018, 0xc001_0019, 0xc001_001a, 0xc001_001d], u64::MAX);
        add(&[0xc001_0112, 0xc001_0113, 0xc001_001f, 0xc001_0058], u64::MAX);
    }
    for msr in [0x48, 0x140, 0x17a, 0xc000_0100, 0xc000_0101, 0xc000_0102, 0xc000_0103] {
        all.insert(msr, own(msr));
    }
    (0xc001_1019..0xc001_101c).chain([0xc001_1027]).for_each(|msr| _ = all.insert(msr, own(msr)));
    all
}

const MACHINES: [(Vendor, bool, bool); 3] =
    [(Vendor::Intel, true, false), (Vendor::Amd, false, true), (Vendor::Other, false, false)];

#[test]
fn every_msr_reads_as_the_list_says() {
    for ((vendor, intel, amd), kind) in MACHINES.into_iter().flat_map(|m| [(m, Kind::Dom0), (m, Kind::DomU)]) {
        let policy = policy(vendor, kind, &ALL);
        let mut expected = reads(intel, amd, kind == Kind::Dom0);
        let capabilities = u64::from(policy.features.word(17)) << 32 | u64::from(policy.features.word(16));
        expected.insert(0x10a, capabilities);
        for msr in all_msrs() {
            let mut hardware = Hardware { all: Some(u64::MAX), done: None };
            let read = rdmsr(&policy, 0, Msr(msr), &mut hardware);
            assert_eq!(read, expected.get(&msr).copied(), "{vendor:?} {kind:?} {msr:#x}");
            assert_eq!(hardware.done, None, "reading {msr:#x} changes nothing");
        }
    }
}

#[test]
fn what_the_machine_shows_of_its_own_is_masked_bit_by_bit() {
    let policy = policy(Vendor::Intel, Kind::DomU, &ALL);
    let read = |msr, all| rdmsr(&policy, 1, Msr(msr), &mut Hardware { all, done: None });
    // PEBS and BTS are not there, xTPR messages are off, whatever the machine says.
    assert_eq!(read(0x1a0, Some(0)), Some(1 << 11 | 1 << 12 | 1 << 23));
    assert_eq!([read(0x179, Some(0)), read(0x179, None)], [Some(2); 2]);
    assert_eq!([read(0xce, Some(1)), read(0xce, None)], [Some(0); 2]);
    assert_eq!(read(0x1b, None), Some(0xfee0_0800), "only the first vcpu is the boot processor");
    assert_eq!(read(0xc000_0080, Some(0x1000)), Some(0));
    assert_eq!([0x17, 0x8b, 0x1a0, 0xc000_0080].map(|msr| read(msr, None)), [None; 4]);
}

#[test]
fn msrs_of_a_feature_are_there_with_it() {
    let has = |msr, features: &[Feature]| {
        let policy = policy(Vendor::Amd, Kind::DomU, features);
        rdmsr(&policy, 0, Msr(msr), &mut Hardware { all: Some(0), done: None }).is_some()
    };
    for msr in [0x48, 0x10a, 0xc000_0103, 0xc001_1027, 0xc001_1019] {
        assert!(!has(msr, &[]), "{msr:#x}");
    }
    assert!(has(0xc000_0103, &[RDTSCP]) && has(0xc000_0103, &[RDPID]));
    assert!(has(0xc001_101b, &[DBEXT]) && has(0x10a, &[ARCH_CAPS]));
    for (feature, mask) in [(IBRSB, 3), (IBRS, 3), (STIBP, 2), (SSBD, 4), (AMD_SSBD, 4), (IBPB, 0)] {
        assert_eq!(has(0x48, &[feature]), mask != 0);
        let policy = policy(Vendor::Amd, Kind::DomU, &[feature]);
        for value in 0..16 {
            let done = wrmsr(&policy, Msr(0x48), value, &mut Hardware { all: Some(0), done: None });
            assert_eq!(done.is_some(), mask != 0 && value & !mask == 0, "{value} with {mask}");
        }
    }
}

/// What writing does where every feature is there; `None`: it faults.
fn write(intel: bool, amd: bool, dom0: bool, msr: u32, value: u64) -> Option<Done> {
    let when = |allowed: bool, done: Done| allowed.then_some(done);
    match msr {
        0xc000_0100..=0xc000_0102 => when(value != 1 << 47, Done::Own(value)),
        0x48 => when(value <= 7, Done::Own(value)),
        0x49 | 0x10b => when(value <= 1, Done::Machine(value)),
        0x140 => when(value == 0 || value == 1 && intel, Done::Own(value)),
        0xc000_0103 | 0xc001_1019..=0xc001_101b | 0xc001_1027 => when(value <= 0xffff_ffff, Done::Own(value)),
        0x4000_0000 => when(value == 0x5000, Done::Page(5)),
        0xc000_0080 => when(value == 0x0020_6d01, Done::Dropped),
        0x17a => Some(Done::Own(value)),
        0x401..=0x403 | 0x405..=0x407 => when(value == 0, Done::Dropped),
        0x400..=0x47f | 0x280..=0x29f | 0x179 | 0x17b | 0x1a0 => Some(Done::Dropped),
        0xc1..=0xc8 | 0x186..=0x189 | 0x309..=0x30b | 0x38d..=0x390 => when(intel, Done::Dropped),
        0x79 | 0x199 | 0x19a | 0x1b0 => when(intel && dom0, Done::Dropped),
        0xe7 | 0xe8 => when(dom0, Done::Dropped),
        0xc001_0020 | 0xc001_001f => when(amd && dom0, Done::Dropped),
        0xc001_0000..=0xc001_0007 | 0xc001_0200..=0xc001_020b => when(amd, Done::Dropped),
        0xc001_0015 | 0xc001_0041 | 0xc001_0042 | 0xc001_0061..=0xc001_006b | 0xc001_1029 => when(amd, Done::Dropped),
        _ => None,
    }
}

#[test]
fn every_msr_takes_what_the_list_says() {
    const VALUES: [u64; 10] = [0, 1, 2, 8, 0x5000, 0x0020_6d01, 0x8000_0000, 1 << 32, 1 << 47, u64::MAX];
    for ((vendor, intel, amd), kind) in MACHINES.into_iter().flat_map(|m| [(m, Kind::Dom0), (m, Kind::DomU)]) {
        let policy = policy(vendor, kind, &ALL);
        for (msr, value) in all_msrs().flat_map(|msr| VALUES.map(|value| (msr, value))) {
            let mut hardware = Hardware { all: Some(u64::MAX), done: None };
            let done = wrmsr(&policy, Msr(msr), value, &mut hardware);
            let done = done.map(|()| hardware.done.unwrap_or(Done::Dropped));
            let expected = write(intel, amd, kind == Kind::Dom0, msr, value);
            assert_eq!(done, expected, "{vendor:?} {kind:?} {msr:#x} = {value:#x}");
            assert!(expected.is_some() || hardware.done.is_none(), "what faults changes nothing");
        }
    }
}

#[test]
fn writes_want_their_feature_and_the_machines_leave() {
    let write = |msr, features: &[Feature], all| {
        let policy = policy(Vendor::Intel, Kind::Dom0, features);
        wrmsr(&policy, Msr(msr), 1, &mut Hardware { all, done: None }).is_some()
    };
    for (msr, alone) in
        [(0x49, &[IBRSB, IBPB][..]), (0x10b, &[L1D_FLUSH]), (0xc000_0103, &[RDTSCP, RDPID]), (0xc001_1019, &[DBEXT])]
    {
        assert!(!write(msr, &[], Some(0)), "{msr:#x}");
        alone.iter().for_each(|feature| assert!(write(msr, &[*feature], Some(0)), "{msr:#x}"));
    }
    assert!(!write(0x49, &ALL, None) && !write(0x10b, &ALL, None), "the machine's own fault is the guest's");
    // Without it CPUID cannot be made to fault.
    assert!(!write(0x140, &ALL, Some(0)) && !write(0x140, &ALL, None) && write(0x140, &ALL, Some(1 << 31)));
}
