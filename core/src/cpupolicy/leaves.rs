//! The answer to one CPUID.

use super::features::{FeatureSet, MONITOR, MTRR, OSXSAVE, SEP, XSAVE};
use super::policy::{Kind, Policy, Vendor};
use super::xen_leaves::{self, XenInfo};
use super::{Leaf, VcpuView, xstate};

/// EIST, leaf 1 ECX.
const EIST: u32 = 1 << 7;

impl Policy {
    /// What a vcpu gets from CPUID.
    pub fn cpuid(&self, leaf: u32, subleaf: u32, vcpu: &VcpuView, xen: &XenInfo) -> Leaf {
        match leaf >> 16 {
            0 => self.basic_leaf(leaf, subleaf, vcpu),
            0x4000 => xen_leaves::leaf(xen, leaf, subleaf, self.xen_limit),
            0x8000 => self.extended_leaf(leaf, vcpu),
            _ => [0; 4],
        }
    }

    /// Dom0's kernel, which is shown some of the machine's own bits.
    fn hardware_kernel(&self, vcpu: &VcpuView) -> bool {
        self.kind == Kind::Dom0 && vcpu.kernel
    }

    fn max_basic(&self) -> u32 {
        self.basic.first().map_or(0, |leaf| leaf[0]).min(0xd)
    }

    fn basic_leaf(&self, leaf: u32, subleaf: u32, vcpu: &VcpuView) -> Leaf {
        if leaf > self.max_basic() {
            return [0; 4];
        }
        let host = self.basic.get(leaf as usize).copied().unwrap_or_default();
        match leaf {
            0 => [self.max_basic(), host[1], host[2], host[3]],
            1 => self.leaf1(host, vcpu),
            // Cache descriptors.
            2 => host,
            4 => self.cache.get(subleaf as usize).copied().unwrap_or_default(),
            // With MONITOR below.
            5 if self.hardware_kernel(vcpu) && !vcpu.forced => host,
            7 => self.leaf7(subleaf),
            0xd => xstate::leaf(&self.components, &self.features, self.xcr0, subleaf, vcpu.xcr0),
            _ => [0; 4],
        }
    }

    fn leaf1(&self, host: Leaf, vcpu: &VcpuView) -> Leaf {
        let mut shown = FeatureSet(self.features.0);
        // A kernel that asks by the prefix wants to know whether it may set CR4.OSXSAVE: it takes XSAVE without OSXSAVE
        // for a hypervisor that cannot.
        if vcpu.osxsave || vcpu.forced && vcpu.kernel && self.features.has(XSAVE) {
            shown.set(OSXSAVE);
        }
        // AMD's processors have no SYSENTER in long mode.
        if self.vendor == Vendor::Amd {
            shown.clear(SEP);
        }
        if self.hardware_kernel(vcpu) {
            if self.host.has(MTRR) {
                shown.set(MTRR);
            }
            // A PV guest cannot execute MONITOR and is not told of it. But dom0's kernel also asks the processor itself,
            // to learn about the idle states that it then uploads; where that CPUID faults, it gets the answer.
            if !vcpu.forced && self.host.has(MONITOR) {
                shown.set(MONITOR);
            }
        }
        let mut ecx = shown.word(1);
        if self.hardware_kernel(vcpu) {
            ecx |= host[2] & EIST;
        }
        let apic_id = vcpu.vcpu.wrapping_mul(2) & 0xff;
        [host[0], host[1] & 0x00ff_ffff | apic_id << 24, ecx, shown.word(0)]
    }

    fn leaf7(&self, subleaf: u32) -> Leaf {
        let f = &self.features;
        match subleaf {
            0 => [self.leaf7_max, f.word(5), f.word(6), f.word(9)],
            1 if self.leaf7_max >= 1 => [f.word(10), f.word(12), f.word(14), f.word(15)],
            2 if self.leaf7_max >= 2 => [0, 0, 0, f.word(13)],
            _ => [0; 4],
        }
    }

    fn max_extended(&self) -> u32 {
        let host = self.extended.first().map_or(0, |leaf| leaf[0]);
        let most = if self.vendor == Vendor::Amd { 0x8000_0021 } else { 0x8000_0008 };
        if host >> 16 == 0x8000 { host.min(most) } else { 0 }
    }

    fn extended_leaf(&self, leaf: u32, vcpu: &VcpuView) -> Leaf {
        if leaf > self.max_extended() {
            return [0; 4];
        }
        let host = self.extended.get((leaf & 0xffff) as usize).copied().unwrap_or_default();
        let f = &self.features;
        let amd = self.vendor == Vendor::Amd;
        match leaf & 0xffff {
            0 if amd => [self.max_extended(), host[1], host[2], host[3]],
            0 => [self.max_extended(), 0, 0, 0],
            1 => {
                // AMD repeats most of leaf 1 here.
                let common = if amd { f.word(0) & COMMON_1D } else { 0 };
                let mut edx = f.word(2) | common;
                if self.hardware_kernel(vcpu) && self.host.has(MTRR) {
                    edx |= 1 << 12;
                }
                [if amd { host[0] } else { 0 }, if amd { host[1] } else { 0 }, f.word(3), edx]
            }
            2..=4 => host,
            5 if amd => host,
            6 => [if amd { host[0] } else { 0 }, if amd { host[1] } else { 0 }, host[2], if amd { host[3] } else { 0 }],
            7 => [0, 0, 0, f.word(7)],
            // Linear addresses have 48 bits, whatever the machine could do.
            8 => [host[0] & 0xff | 48 << 8, f.word(8), if amd { host[2] & 0xf0ff } else { 0 }, 0],
            0x19 | 0x1a => host,
            0x21 => [f.word(11), 0, f.word(18), 0],
            _ => [0; 4],
        }
    }
}

/// Bits that leaf 0x80000001 EDX has in common with leaf 1 EDX on AMD's processors (and Hygon's).
const COMMON_1D: u32 = 0x0183_f3ff;
