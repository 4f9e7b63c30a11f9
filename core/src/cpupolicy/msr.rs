//! The MSRs of a PV guest. What is not listed is #GP, for reads and for writes.

use super::features::{AMD_SSBD, ARCH_CAPS, DBEXT, IBPB, IBRS, IBRSB, L1D_FLUSH, RDPID, RDTSCP, SSBD, STIBP};
use super::policy::{Kind, Policy, Vendor};

/// An MSR's number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Msr(pub u32);

macro_rules! msrs {
    ($($name:ident = $number:literal;)*) => {
        #[allow(missing_docs)]
        impl Msr {
            $(pub const $name: Msr = Msr($number);)*
        }
    };
}

msrs! {
    TSC = 0x10;
    PLATFORM_ID = 0x17;
    APIC_BASE = 0x1b;
    SPEC_CTRL = 0x48;
    PRED_CMD = 0x49;
    UCODE_WRITE = 0x79;
    UCODE_REV = 0x8b;
    PLATFORM_INFO = 0xce;
    MTRR_CAP = 0xfe;
    ARCH_CAPABILITIES = 0x10a;
    FLUSH_CMD = 0x10b;
    MISC_FEATURES_ENABLES = 0x140;
    MCG_CAP = 0x179;
    MCG_STATUS = 0x17a;
    MCG_CTL = 0x17b;
    PERF_STATUS = 0x198;
    PERF_CTL = 0x199;
    MISC_ENABLE = 0x1a0;
    PAT = 0x277;
    PERF_CAPABILITIES = 0x345;
    MC0_CTL = 0x400;
    HYPERCALL_PAGE = 0x4000_0000;
    EFER = 0xc000_0080;
    FS_BASE = 0xc000_0100;
    GS_BASE = 0xc000_0101;
    KERNEL_GS_BASE = 0xc000_0102;
    TSC_AUX = 0xc000_0103;
    SYSCFG = 0xc001_0010;
    HWCR = 0xc001_0015;
    TOP_MEM = 0xc001_001a;
    TOP_MEM2 = 0xc001_001d;
    PATCH_LOADER = 0xc001_0020;
    NB_CFG = 0xc001_001f;
    MMCONF_BASE = 0xc001_0058;
    PSTATE_LIMIT = 0xc001_0061;
    DR0_MASK = 0xc001_1027;
    DR1_MASK = 0xc001_1019;
    DE_CFG = 0xc001_1029;
}

/// How a vcpu's own MSRs and the machine's are reached.
pub trait MsrMachine {
    /// Reads the machine's MSR; `None` when that faults.
    fn read(&mut self, msr: Msr) -> Option<u64>;
    /// Writes the machine's MSR on this CPU; `None` when that faults.
    fn write(&mut self, msr: Msr, value: u64) -> Option<()>;
    /// The guest's TSC.
    fn tsc(&mut self) -> u64;
    /// An MSR that the vcpu has for itself: FS_BASE, GS_BASE, KERNEL_GS_BASE (the guest's own view of them), TSC_AUX,
    /// SPEC_CTRL, MISC_FEATURES_ENABLES, DRn_MASK.
    fn own(&mut self, msr: Msr) -> u64;
    /// Changes it; the value was checked.
    fn set_own(&mut self, msr: Msr, value: u64);
    /// Writes the hypercall page to the guest frame with this number. `None`: not the guest's, or not writable.
    fn write_hypercall_page(&mut self, gfn: u64) -> Option<()>;
}

/// Banks of machine-check registers that a guest has.
const MC_BANKS: u64 = 2;
const APIC_BASE_BSP: u64 = 1 << 8;
const APIC_BASE_ENABLE: u64 = 1 << 11;
const APIC_DEFAULT_BASE: u64 = 0xfee0_0000;
const EFER_SVME: u64 = 1 << 12;
/// SCE, LME, LMA, NX, SVME, LMSLE, FFXSR, AIBRSE.
const EFER_KNOWN: u64 = 0x0020_7d01;
const CPUID_FAULTING: u64 = 1 << 31;
const MISC_ENABLE_PERF_AVAILABLE: u64 = 1 << 7;
const MISC_ENABLE_BTS_UNAVAILABLE: u64 = 1 << 11;
const MISC_ENABLE_PEBS_UNAVAILABLE: u64 = 1 << 12;
const MISC_ENABLE_MONITOR: u64 = 1 << 18;
const MISC_ENABLE_XTPR_DISABLE: u64 = 1 << 23;
/// The page-attribute table of every PV guest: WB, WT, UC-, UC, WC, WP, UC, UC.
pub const XEN_PAT: u64 = 0x0000_0501_0007_0406;

const fn canonical(value: u64) -> bool {
    (value << 16) as i64 >> 16 == value as i64
}

/// RDMSR for a vcpu of a domain with this policy. `None`: #GP.
pub fn rdmsr<M: MsrMachine>(policy: &Policy, vcpu: u32, msr: Msr, machine: &mut M) -> Option<u64> {
    let features = &policy.features;
    let (intel, amd) = (policy.vendor == Vendor::Intel, policy.vendor == Vendor::Amd);
    let dom0 = policy.kind == Kind::Dom0;
    Some(match msr {
        Msr::TSC => machine.tsc(),
        Msr::PLATFORM_ID if intel => machine.read(msr)?,
        Msr::APIC_BASE => APIC_DEFAULT_BASE | APIC_BASE_ENABLE | if vcpu == 0 { APIC_BASE_BSP } else { 0 },
        Msr::SPEC_CTRL if spec_ctrl_mask(policy) != 0 => machine.own(msr),
        Msr::UCODE_REV if intel || amd => machine.read(msr)?,
        Msr::PLATFORM_INFO => {
            // Faulting CPUID can always be offered where the machine has it.
            machine.read(msr).unwrap_or(0) & CPUID_FAULTING
        }
        Msr::ARCH_CAPABILITIES if features.has(ARCH_CAPS) => {
            u64::from(features.word(17)) << 32 | u64::from(features.word(16))
        }
        Msr::MISC_FEATURES_ENABLES => machine.own(msr),
        Msr::MCG_CAP => MC_BANKS,
        Msr::MCG_STATUS => 0,
        Msr(n) if mc_bank(n) => 0,
        Msr::PERF_STATUS | Msr::PERF_CTL if intel => 0,
        Msr::MISC_ENABLE => {
            let value = machine.read(msr)?;
            value & !(MISC_ENABLE_PERF_AVAILABLE | MISC_ENABLE_MONITOR)
                | MISC_ENABLE_BTS_UNAVAILABLE
                | MISC_ENABLE_PEBS_UNAVAILABLE
                | MISC_ENABLE_XTPR_DISABLE
        }
        Msr::PAT => XEN_PAT,
        Msr::PERF_CAPABILITIES => 0,
        Msr::HYPERCALL_PAGE => 0,
        Msr::EFER => machine.read(msr)? & EFER_KNOWN & !EFER_SVME,
        Msr::FS_BASE | Msr::GS_BASE | Msr::KERNEL_GS_BASE => machine.own(msr),
        Msr::TSC_AUX if features.has(RDTSCP) || features.has(RDPID) => machine.own(msr),
        Msr::SYSCFG | Msr::TOP_MEM | Msr::TOP_MEM2 | Msr::NB_CFG | Msr::MMCONF_BASE if amd && dom0 => {
            machine.read(msr)?
        }
        Msr::HWCR if amd => 0,
        Msr(n) if amd && (Msr::PSTATE_LIMIT.0..=0xc001_006b).contains(&n) => 0,
        Msr::DE_CFG if amd => machine.read(msr)? & 1 << 1,
        Msr(n) if debug_mask(n) && features.has(DBEXT) => machine.own(msr),
        _ => return None,
    })
}

/// WRMSR. `None`: #GP.
pub fn wrmsr<M: MsrMachine>(policy: &Policy, msr: Msr, value: u64, machine: &mut M) -> Option<()> {
    let features = &policy.features;
    let (intel, amd) = (policy.vendor == Vendor::Intel, policy.vendor == Vendor::Amd);
    let dom0 = policy.kind == Kind::Dom0;
    match msr {
        Msr::FS_BASE | Msr::GS_BASE | Msr::KERNEL_GS_BASE if canonical(value) => machine.set_own(msr, value),
        Msr::SPEC_CTRL => {
            let mask = spec_ctrl_mask(policy);
            if mask == 0 || value & !mask != 0 {
                return None;
            }
            machine.set_own(msr, value);
        }
        Msr::PRED_CMD if features.has(IBRSB) || features.has(IBPB) => {
            if value & !1 != 0 {
                return None;
            }
            machine.write(msr, value)?;
        }
        Msr::FLUSH_CMD if features.has(L1D_FLUSH) => {
            if value & !1 != 0 {
                return None;
            }
            machine.write(msr, value)?;
        }
        Msr::MISC_FEATURES_ENABLES => {
            let offered = machine.read(Msr::PLATFORM_INFO).unwrap_or(0) & CPUID_FAULTING != 0;
            if value & !u64::from(offered) != 0 {
                return None;
            }
            machine.set_own(msr, value);
        }
        Msr::TSC_AUX if features.has(RDTSCP) || features.has(RDPID) => {
            if value >> 32 != 0 {
                return None;
            }
            machine.set_own(msr, value);
        }
        Msr(n) if debug_mask(n) && features.has(DBEXT) => {
            if value >> 32 != 0 {
                return None;
            }
            machine.set_own(msr, value);
        }
        Msr::HYPERCALL_PAGE => machine.write_hypercall_page(value >> 12)?,
        // Dropped: a kernel may say what is so already, and may not change it.
        Msr::EFER | Msr::PAT | Msr::MISC_ENABLE => {
            if rdmsr(policy, 0, msr, machine)? != value {
                return None;
            }
        }
        // The hypervisor loads microcode and sets the machine's frequency; it asks nobody.
        Msr::UCODE_REV if intel || amd => {}
        Msr::UCODE_WRITE | Msr::PERF_CTL if intel && dom0 => {}
        Msr::PATCH_LOADER if amd && dom0 => {}
        Msr::MCG_STATUS => {}
        Msr(n) if mc_bank(n) => {}
        _ => return None,
    }
    Some(())
}

/// Bits of SPEC_CTRL that the domain may set.
fn spec_ctrl_mask(policy: &Policy) -> u64 {
    let features = &policy.features;
    let bit = |has: bool, bit: u32| u64::from(has) << bit;
    let any = features.has(IBRSB) || features.has(IBRS);
    bit(any, 0) | bit(any || features.has(STIBP), 1) | bit(features.has(SSBD) || features.has(AMD_SSBD), 2)
}

fn mc_bank(n: u32) -> bool {
    (Msr::MC0_CTL.0..Msr::MC0_CTL.0 + 4 * MC_BANKS as u32).contains(&n)
}

fn debug_mask(n: u32) -> bool {
    n == Msr::DR0_MASK.0 || (Msr::DR1_MASK.0..=Msr::DR1_MASK.0 + 2).contains(&n)
}
