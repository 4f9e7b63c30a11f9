//! A domain's CPUID policy.

use super::Leaf;
use super::features::{self, FeatureSet, HYPERVISOR};
use super::xstate::{self, COMPONENTS};

/// Which domain a policy is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The domain that drives the hardware: never migrated, and its kernel is shown some of the machine's own bits.
    Dom0,
    /// Any other.
    DomU,
}

/// Who made the processor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Vendor {
    /// GenuineIntel.
    Intel,
    /// AuthenticAMD and HygonGenuine.
    Amd,
    /// Another one.
    Other,
}

pub(super) const BASIC: usize = 0xe;
pub(super) const EXTENDED: usize = 0x22;
pub(super) const CACHES: usize = 8;

/// What a domain's vcpus see, and the machine's leaves that some of it is computed from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Which domain it is for.
    pub kind: Kind,
    /// Who made the processor.
    pub vendor: Vendor,
    /// The domain's features.
    pub features: FeatureSet,
    /// The machine's.
    pub host: FeatureSet,
    /// XCR0 bits that the domain may set.
    pub xcr0: u64,
    /// The last Xen leaf that it sees (0: all).
    pub xen_limit: u8,
    pub(super) basic: [Leaf; BASIC],
    pub(super) cache: [Leaf; CACHES],
    pub(super) leaf7_max: u32,
    pub(super) components: [Leaf; COMPONENTS],
    pub(super) extended: [Leaf; EXTENDED],
}

impl Policy {
    /// The default policy of a PV domain on a machine whose CPUID is `cpuid(leaf, subleaf)`; `arch_caps` is its
    /// IA32_ARCH_CAPABILITIES (0 where it has none).
    pub fn pv(kind: Kind, arch_caps: u64, mut cpuid: impl FnMut(u32, u32) -> Leaf) -> Policy {
        let mut basic = [[0; 4]; BASIC];
        let max_basic = cpuid(0, 0)[0];
        for (n, leaf) in (0u32..=max_basic).zip(&mut basic) {
            *leaf = cpuid(n, 0);
        }
        let mut extended = [[0; 4]; EXTENDED];
        let max_extended = cpuid(0x8000_0000, 0)[0];
        if max_extended >> 16 == 0x8000 {
            for (n, leaf) in (0u32..=max_extended & 0xffff).zip(&mut extended) {
                *leaf = cpuid(0x8000_0000 | n, 0);
            }
        }
        let mut cache = [[0; 4]; CACHES];
        if max_basic >= 4 {
            for (n, leaf) in (0u32..).zip(&mut cache) {
                *leaf = cpuid(4, n);
                if leaf[0] & 0x1f == 0 {
                    break;
                }
            }
        }
        let mut components = [[0; 4]; COMPONENTS];
        if max_basic >= 0xd {
            for (n, leaf) in (0u32..).zip(&mut components) {
                *leaf = cpuid(0xd, n);
            }
        }
        let leaf7 = |n: u32, cpuid: &mut dyn FnMut(u32, u32) -> Leaf| {
            if max_basic >= 7 && n <= basic_max_subleaf(&basic) { cpuid(7, n) } else { [0; 4] }
        };
        let (s0, s1, s2) = (leaf7(0, &mut cpuid), leaf7(1, &mut cpuid), leaf7(2, &mut cpuid));
        let e = |n: usize| extended.get(n).copied().unwrap_or_default();
        let b = |n: usize| basic.get(n).copied().unwrap_or_default();
        let host = FeatureSet([
            b(1)[3],
            b(1)[2],
            e(1)[3],
            e(1)[2],
            components.get(1).map_or(0, |leaf| leaf[0]),
            s0[1],
            s0[2],
            e(7)[3],
            e(8)[1],
            s0[3],
            s1[0],
            e(0x21)[0],
            s1[1],
            s2[3],
            s1[2],
            s1[3],
            arch_caps as u32,
            (arch_caps >> 32) as u32,
            e(0x21)[2],
            0,
        ]);
        let mut policy = Policy {
            kind,
            vendor: vendor(&b(0)),
            features: FeatureSet::default(),
            host,
            xcr0: 0,
            xen_limit: 0,
            basic,
            cache,
            leaf7_max: basic_max_subleaf(&basic).min(2),
            components,
            extended,
        };
        let mut wanted = features::pv_default();
        if kind == Kind::Dom0 {
            // It is never migrated to a machine where this would not hold.
            wanted.set(features::ITSC);
        }
        policy.restrict(wanted);
        policy
    }

    /// Gives the domain these features, as far as the machine and the PV ABI have them (a toolstack's choice).
    pub fn restrict(&mut self, wanted: FeatureSet) {
        let mut features = wanted.and(&features::pv_max()).and(&self.host).without_orphans();
        features.set(HYPERVISOR);
        self.features = features;
        let host = self.components.first().map_or(0, |leaf| u64::from(leaf[3]) << 32 | u64::from(leaf[0]));
        self.xcr0 = xstate::allowed(&features, host);
    }

    /// Whether a guest may load this into XCR0.
    pub fn xcr0_allowed(&self, value: u64) -> bool {
        xstate::valid(value, self.xcr0)
    }

    /// Bits of a physical address that the processor has.
    pub fn physical_address_bits(&self) -> u32 {
        match self.extended.get(8).map_or(0, |leaf| leaf[0] & 0xff) {
            0 => 36,
            bits => bits,
        }
    }
}

fn basic_max_subleaf(basic: &[Leaf; BASIC]) -> u32 {
    basic.get(7).map_or(0, |leaf| leaf[0])
}

fn vendor(leaf: &Leaf) -> Vendor {
    let [_, b, c, d] = *leaf;
    let mut name = [0; 12];
    for (to, from) in name.chunks_exact_mut(4).zip([b, d, c]) {
        to.copy_from_slice(&from.to_le_bytes());
    }
    match &name {
        b"GenuineIntel" => Vendor::Intel,
        b"AuthenticAMD" | b"HygonGenuine" => Vendor::Amd,
        _ => Vendor::Other,
    }
}
