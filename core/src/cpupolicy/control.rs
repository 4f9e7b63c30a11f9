//! Control registers as a PV guest sees them.

use super::features::{DE, FSGSBASE, TSC, XSAVE};
use super::policy::Policy;

/// CR0.TS, the only bit that a PV guest can change.
pub const CR0_TS: u64 = 1 << 3;

const CR4_TSD: u64 = 1 << 2;
const CR4_DE: u64 = 1 << 3;
const CR4_PAE: u64 = 1 << 5;
const CR4_MCE: u64 = 1 << 6;
const CR4_OSFXSR: u64 = 1 << 9;
const CR4_OSXMMEXCPT: u64 = 1 << 10;
const CR4_FSGSBASE: u64 = 1 << 16;
const CR4_OSXSAVE: u64 = 1 << 18;

/// Bits that a guest chooses itself.
const CR4_GUEST: u64 = CR4_TSD | CR4_DE | CR4_FSGSBASE | CR4_OSXSAVE;
/// The machine's bits that it may see.
const CR4_VISIBLE: u64 = CR4_PAE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT;

/// CR0 as the guest reads it: the machine's, with the guest's TS.
pub const fn pv_cr0(machine: u64, task_switched: bool) -> u64 {
    machine & !CR0_TS | if task_switched { CR0_TS } else { 0 }
}

/// CR4 that the guest has after it wrote `wanted`: what its policy lets it choose, and what the machine has.
/// No write faults: a bit that it cannot have is dropped, as it can read back.
pub fn pv_cr4(policy: &Policy, machine: u64, wanted: u64) -> u64 {
    let mut choice = CR4_GUEST;
    for (feature, bit) in [(TSC, CR4_TSD), (DE, CR4_DE), (FSGSBASE, CR4_FSGSBASE), (XSAVE, CR4_OSXSAVE)] {
        if !policy.features.has(feature) {
            choice &= !bit;
        }
    }
    wanted & choice | machine & CR4_VISIBLE
}
