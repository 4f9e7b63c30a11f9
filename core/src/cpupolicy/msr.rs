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
    FEATURE_CONTROL = 0x3a;
    SPEC_CTRL = 0x48;
    PRED_CMD = 0x49;
    UCODE_WRITE = 0x79;
    UCODE_REV = 0x8b;
    PLATFORM_INFO = 0xce;
    MPERF = 0xe7;
    APERF = 0xe8;
    ARCH_CAPABILITIES = 0x10a;
    FLUSH_CMD = 0x10b;
    MISC_FEATURES_ENABLES = 0x140;
    MCG_CAP = 0x179;
    MCG_STATUS = 0x17a;
    MCG_CTL = 0x17b;
    PERF_STATUS = 0x198;
    PERF_CTL = 0x199;
    CLOCK_MODULATION = 0x19a;
    THERM_STATUS = 0x19c;
    MISC_ENABLE = 0x1a0;
    ENERGY_BIAS = 0x1b0;
    PAT = 0x277;
    MC0_CTL2 = 0x280;
    PERF_CAPABILITIES = 0x345;
    MC0_CTL = 0x400;
    HYPERCALL_PAGE = 0x4000_0000;
    EFER = 0xc000_0080;
    FS_BASE = 0xc000_0100;
    GS_BASE = 0xc000_0101;
    KERNEL_GS_BASE = 0xc000_0102;
    TSC_AUX = 0xc000_0103;
    HWCR = 0xc001_0015;
    PATCH_LOADER = 0xc001_0020;
    NB_CFG = 0xc001_001f;
    FID_VID_CTL = 0xc001_0041;
    FID_VID_STATUS = 0xc001_0042;
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
    /// SPEC_CTRL, MISC_FEATURES_ENABLES, MCG_STATUS, DRn_MASK.
    fn own(&mut self, msr: Msr) -> u64;
    /// Changes it; the value was checked.
    fn set_own(&mut self, msr: Msr, value: u64);
    /// Writes the hypercall page to the guest frame with this number. `None`: not the guest's, or not writable.
    fn write_hypercall_page(&mut self, gfn: u64) -> Option<()>;
}

/// Banks of machine-check registers that a guest has.
const MC_BANKS: u64 = 2;
/// Banks for which there are registers at all.
const MC_BANKS_MAX: u32 = 32;
/// Bits of the machine's MCG_CAP that a guest sees: CMCI, threshold-based error status, recovery.
const MCG_CAP_SHOWN: u64 = 1 << 10 | 1 << 11 | 1 << 24;
const FEATURE_CONTROL_LOCK: u64 = 1;
const APIC_BASE_BSP: u64 = 1 << 8;
const APIC_BASE_ENABLE: u64 = 1 << 11;
const APIC_DEFAULT_BASE: u64 = 0xfee0_0000;
const EFER_SVME: u64 = 1 << 12;
/// SCE, LME, LMA, NX, SVME, LMSLE, FFXSR, AIBRSE.
const EFER_KNOWN: u64 = 0x0020_7d01;
const DE_CFG_LFENCE_SERIALISES: u64 = 1 << 1;
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
///
/// What is there without a word was seen on Xen 4.17: kernels of that interface expect it.
pub fn rdmsr<M: MsrMachine>(policy: &Policy, vcpu: u32, msr: Msr, machine: &mut M) -> Option<u64> {
    let features = &policy.features;
    let (intel, amd) = (policy.vendor == Vendor::Intel, policy.vendor == Vendor::Amd);
    let dom0 = policy.kind == Kind::Dom0;
    Some(match msr {
        // P5_MC_ADDR, P5_MC_TYPE.
        Msr(0 | 1) => 0,
        Msr::TSC => machine.tsc(),
        Msr::PLATFORM_ID if intel => machine.read(msr)?,
        Msr::APIC_BASE => APIC_DEFAULT_BASE | APIC_BASE_ENABLE | if vcpu == 0 { APIC_BASE_BSP } else { 0 },
        Msr::FEATURE_CONTROL if intel => FEATURE_CONTROL_LOCK,
        Msr::SPEC_CTRL if spec_ctrl_mask(policy) != 0 => machine.own(msr),
        Msr::UCODE_REV if intel || amd => machine.read(msr)?,
        Msr::PLATFORM_INFO => cpuid_faulting(policy, machine),
        Msr::ARCH_CAPABILITIES if features.has(ARCH_CAPS) => {
            u64::from(features.word(17)) << 32 | u64::from(features.word(16))
        }
        Msr::MISC_FEATURES_ENABLES => machine.own(msr),
        Msr::MCG_CAP if intel => MC_BANKS | machine.read(msr).unwrap_or(0) & MCG_CAP_SHOWN,
        Msr::MCG_CAP => MC_BANKS,
        Msr::MCG_STATUS => machine.own(msr),
        Msr::MCG_CTL => 0,
        Msr(n) if mc_control(n) => u64::MAX,
        Msr(n) if mc_bank(n) => 0,
        Msr(n) if intel && intel_perf(n) => 0,
        Msr::PERF_STATUS | Msr::PERF_CTL | Msr::THERM_STATUS if intel => 0,
        Msr::MISC_ENABLE => {
            machine.read(msr)? & !(MISC_ENABLE_PERF_AVAILABLE | MISC_ENABLE_MONITOR)
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
        Msr(n) if amd && amd_perf(n) => 0,
        Msr::HWCR | Msr::FID_VID_CTL | Msr::FID_VID_STATUS if amd => 0,
        Msr(n) if amd && (Msr::PSTATE_LIMIT.0..=0xc001_006b).contains(&n) => 0,
        Msr::DE_CFG if amd => machine.read(msr)? & DE_CFG_LFENCE_SERIALISES,
        // Where the machine's memory is: dom0 looks.
        Msr(n) if amd && dom0 && memory_map(n) => machine.read(msr)?,
        Msr::NB_CFG | Msr::MMCONF_BASE if amd && dom0 => machine.read(msr)?,
        Msr(n) if debug_mask(n) && features.has(DBEXT) => machine.own(msr),
        _ => return None,
    })
}

/// WRMSR. `None`: #GP.
pub fn wrmsr<M: MsrMachine>(policy: &Policy, msr: Msr, value: u64, machine: &mut M) -> Option<()> {
    let features = &policy.features;
    let (intel, amd) = (policy.vendor == Vendor::Intel, policy.vendor == Vendor::Amd);
    let dom0 = policy.kind == Kind::Dom0;
    let only = |allowed: bool| allowed.then_some(());
    match msr {
        Msr::FS_BASE | Msr::GS_BASE | Msr::KERNEL_GS_BASE if canonical(value) => machine.set_own(msr, value),
        Msr::SPEC_CTRL => {
            let mask = spec_ctrl_mask(policy);
            only(mask != 0 && value & !mask == 0)?;
            machine.set_own(msr, value);
        }
        Msr::PRED_CMD if features.has(IBRSB) || features.has(IBPB) => {
            only(value & !1 == 0)?;
            machine.write(msr, value)?;
        }
        Msr::FLUSH_CMD if features.has(L1D_FLUSH) => {
            only(value & !1 == 0)?;
            machine.write(msr, value)?;
        }
        Msr::MISC_FEATURES_ENABLES => {
            let offered = cpuid_faulting(policy, machine) != 0;
            only(value & !u64::from(offered) == 0)?;
            machine.set_own(msr, value);
        }
        Msr::TSC_AUX if features.has(RDTSCP) || features.has(RDPID) => {
            only(value >> 32 == 0)?;
            machine.set_own(msr, value);
        }
        Msr(n) if debug_mask(n) && features.has(DBEXT) => {
            only(value >> 32 == 0)?;
            machine.set_own(msr, value);
        }
        Msr::HYPERCALL_PAGE => machine.write_hypercall_page(value >> 12)?,
        // A kernel may say what is so already.
        Msr::EFER => only(rdmsr(policy, 0, msr, machine)? == value)?,
        Msr::MCG_STATUS => machine.set_own(msr, value),
        // The registers of its own banks take 0 (and its control registers anything), others are not there.
        Msr(n) if own_bank(n) => only(value == 0 || mc_control(n))?,
        // Dropped. The hypervisor has loaded microcode, sets frequencies and counts events; a guest may believe that
        // it did.
        Msr::MCG_CAP | Msr::MCG_CTL | Msr::MISC_ENABLE => {}
        Msr(n) if mc_bank(n) || intel && intel_perf(n) || amd && amd_perf(n) => {}
        Msr::UCODE_WRITE if intel && dom0 => {}
        Msr::PERF_CTL | Msr::CLOCK_MODULATION | Msr::ENERGY_BIAS if intel && dom0 => {}
        Msr::MPERF | Msr::APERF if dom0 => {}
        Msr::PATCH_LOADER | Msr::NB_CFG if amd && dom0 => {}
        Msr::HWCR | Msr::FID_VID_CTL | Msr::FID_VID_STATUS | Msr::DE_CFG if amd => {}
        Msr(n) if amd && (Msr::PSTATE_LIMIT.0..=0xc001_006b).contains(&n) => {}
        _ => return None,
    }
    Some(())
}

/// The bit of PLATFORM_INFO that says that CPUID can be made to fault, where the machine has it.
fn cpuid_faulting<M: MsrMachine>(policy: &Policy, machine: &mut M) -> u64 {
    match policy.vendor {
        Vendor::Intel => machine.read(Msr::PLATFORM_INFO).unwrap_or(0) & CPUID_FAULTING,
        _ => 0,
    }
}

/// Bits of SPEC_CTRL that the domain may set.
fn spec_ctrl_mask(policy: &Policy) -> u64 {
    let features = &policy.features;
    let bit = |has: bool, bit: u32| u64::from(has) << bit;
    let any = features.has(IBRSB) || features.has(IBRS);
    bit(any, 0) | bit(any || features.has(STIBP), 1) | bit(features.has(SSBD) || features.has(AMD_SSBD), 2)
}

/// A register of any bank: CTL, STATUS, ADDR, MISC, or CTL2.
fn mc_bank(n: u32) -> bool {
    (Msr::MC0_CTL.0..Msr::MC0_CTL.0 + 4 * MC_BANKS_MAX).contains(&n)
        || (Msr::MC0_CTL2.0..Msr::MC0_CTL2.0 + MC_BANKS_MAX).contains(&n)
}

/// A register of a bank that the guest has.
fn own_bank(n: u32) -> bool {
    (Msr::MC0_CTL.0..Msr::MC0_CTL.0 + 4 * MC_BANKS as u32).contains(&n)
}

/// CTL of such a bank.
fn mc_control(n: u32) -> bool {
    own_bank(n) && n.is_multiple_of(4)
}

/// Event counters and their controls.
fn intel_perf(n: u32) -> bool {
    matches!(n, 0xc1..=0xc8 | 0x186..=0x189 | 0x309..=0x30b | 0x38d..=0x390)
}

fn amd_perf(n: u32) -> bool {
    matches!(n, 0xc001_0000..=0xc001_0007 | 0xc001_0200..=0xc001_020b)
}

/// SYSCFG, IORR, TOP_MEM, TOP_MEM2, TSEG.
fn memory_map(n: u32) -> bool {
    matches!(n, 0xc001_0010 | 0xc001_0016..=0xc001_001a | 0xc001_001d | 0xc001_0112 | 0xc001_0113)
}

fn debug_mask(n: u32) -> bool {
    n == Msr::DR0_MASK.0 || (Msr::DR1_MASK.0..=Msr::DR1_MASK.0 + 2).contains(&n)
}

#[cfg(test)]
mod tests;
