//! What this hypervisor answers beside Xen's interface; no header has it, and Xen answers with `ENOSYS`.

use crate::vcpu::VcpuRunstateInfo;

/// Subcommand of `domctl`: what a vcpu did. Far from Xen's own, which count up from 1.
pub const XEN_DOMCTL_ferroxen_vcpu_account: u32 = 0x4658_0001;

/// Argument of [`XEN_DOMCTL_ferroxen_vcpu_account`], in `u` of [`XenDomctl`](crate::domctl::XenDomctl).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::KnownLayout,
    zerocopy::Immutable,
)]
#[repr(C)]
pub struct FerroxenVcpuAccount {
    /// In.
    pub vcpu: u32,
    /// 0.
    pub pad: u32,
    /// Out: as `VCPUOP_get_runstate_info` tells the domain itself.
    pub runstate: VcpuRunstateInfo,
    /// Out: hypercalls that it made, as of its last interrupt. A multicall is one; those that the entry path answers by itself
    /// (`HYPERVISOR_iret`) are none.
    pub hypercalls: u64,
}

const _: () = assert!(size_of::<FerroxenVcpuAccount>() == 64);
