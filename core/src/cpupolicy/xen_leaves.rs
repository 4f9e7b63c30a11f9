//! The hypervisor's own CPUID leaves (arch-x86/cpuid.h).

use super::Leaf;

/// The first of them.
pub(super) const BASE: u32 = 0x4000_0000;
/// How many follow it (XEN_CPUID_MAX_NUM_LEAVES).
const MAX: u32 = 5;

const SIGNATURE_EBX: u32 = u32::from_le_bytes(*b"XenV");
const SIGNATURE_ECX: u32 = u32::from_le_bytes(*b"MMXe");
const SIGNATURE_EDX: u32 = u32::from_le_bytes(*b"nVMM");

/// MSR by which a guest has its hypercall page written.
pub const HYPERCALL_PAGE_MSR: u32 = 0x4000_0000;
/// XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD.
const PRESERVE_AD: u32 = 1;

/// What the hypervisor says about itself and about a domain's time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct XenInfo {
    /// Version that guests see: major, minor.
    pub version: (u16, u16),
    /// The domain's TSC mode (XEN_CPUID leaf 0x40000003).
    pub tsc_mode: u32,
    /// RDTSC is emulated.
    pub tsc_emulated: bool,
    /// The machine's TSCs agree and never stop.
    pub tsc_reliable: bool,
    /// The processor has RDTSCP.
    pub rdtscp: bool,
    /// Frequency of the guest's TSC in kHz.
    pub tsc_khz: u32,
    /// Frequency of the machine's TSC in kHz.
    pub host_tsc_khz: u32,
    /// How often the domain has been migrated.
    pub incarnation: u32,
    /// Guest TSC minus host TSC, in ticks.
    pub tsc_offset: u64,
    /// TSC to nanoseconds: multiplier (32.32 fraction) and shift.
    pub tsc_scale: (u32, i8),
    /// Bits of the largest machine address, memory hot-plug included.
    pub machine_address_bits: u32,
}

/// A leaf at or above [`BASE`]; `limit` is the last one that the toolstack lets the domain see (0: all).
pub(super) fn leaf(info: &XenInfo, leaf: u32, subleaf: u32, limit: u8) -> Leaf {
    let max = match limit {
        0 | 1 => MAX,
        n => MAX.min(u32::from(n)),
    };
    let n = leaf.wrapping_sub(BASE);
    if n > max {
        return [0; 4];
    }
    match (n, subleaf) {
        (0, _) => [BASE | max, SIGNATURE_EBX, SIGNATURE_ECX, SIGNATURE_EDX],
        (1, _) => [u32::from(info.version.0) << 16 | u32::from(info.version.1), 0, 0, 0],
        (2, _) => [1, HYPERCALL_PAGE_MSR, PRESERVE_AD, 0],
        (3, 0) => {
            let bits = u32::from(info.tsc_emulated) | u32::from(info.tsc_reliable) << 1 | u32::from(info.rdtscp) << 2;
            [bits, info.tsc_mode, info.tsc_khz, info.incarnation]
        }
        (3, 1) => {
            [info.tsc_offset as u32, (info.tsc_offset >> 32) as u32, info.tsc_scale.0, info.tsc_scale.1 as u8 as u32]
        }
        (3, 2) => [info.host_tsc_khz, 0, 0, 0],
        (5, 0) => [0, info.machine_address_bits & 0xff, 0, 0],
        _ => [0; 4],
    }
}
