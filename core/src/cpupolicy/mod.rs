//! What a PV guest sees of the processor: CPUID leaves, control-register bits and MSRs.
//!
//! A [`Policy`] is computed once for a domain, from the machine's leaves; a query adds what depends on the vcpu and on
//! the moment ([`VcpuView`]). Fixed-size, no heap.

mod control;
mod features;
mod leaves;
mod msr;
mod policy;
mod xen_leaves;
mod xstate;

pub use control::{CR0_TS, pv_cr0, pv_cr4};
pub use features::{Feature, FeatureSet, pv_default, pv_max};
/// The features by the names of the public header.
pub mod feature {
    pub use super::features::*;
}
pub use msr::{Msr, MsrMachine, XEN_PAT, rdmsr, wrmsr};
pub use policy::{Kind, Policy, Vendor};
pub use xen_leaves::XenInfo;

/// A CPUID answer: EAX, EBX, ECX, EDX.
pub type Leaf = [u32; 4];

/// What of a vcpu shows in its CPUID.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VcpuView {
    /// Its number.
    pub vcpu: u32,
    /// It runs its kernel.
    pub kernel: bool,
    /// It asked by the forced-emulation prefix (not by a CPUID that faulted).
    pub forced: bool,
    /// The guest's CR4.OSXSAVE.
    pub osxsave: bool,
    /// The guest's XCR0.
    pub xcr0: u64,
}

#[cfg(test)]
mod tests;
