//! What Xen 4.20's public headers (Debian 13's `libxen-dev`, MIT) say otherwise than 4.17's, or beside them, as far as it is
//! answered: the structs and constants of the other modules are the same in both.
//!
//! `sysctl.h` still has interface version 0x15; only what no PV machine of ours answers (frequency scaling, live patches) has
//! another layout there.

use crate::arch_x86::XenArchDomainconfig;
use crate::guest_ptr::GuestPtr;
use crate::xen::xen_domain_handle_t;

consts! {
    /// What `interface_version` of `domctl` must be, since Xen 4.19.
    u32 {
        XEN_DOMCTL_INTERFACE_VERSION = 0x00000017,
    }
    /// Subcommand of `domctl`.
    u32 {
        XEN_DOMCTL_gsi_permission = 88,
        XEN_DOMCTL_set_llc_colors = 89,
    }
    /// What `flags` of `xen_domctl_gsi_permission` asks for.
    u32 {
        XEN_DOMCTL_GSI_REVOKE = 0,
        XEN_DOMCTL_GSI_GRANT = 1,
        XEN_DOMCTL_GSI_ACTION_MASK = 1,
    }
    /// Subcommand of `xen_version`, with a `struct xen_varbuf` as its argument.
    u32 {
        XENVER_extraversion2 = 11,
        XENVER_capabilities2 = 12,
        XENVER_changeset2 = 13,
        XENVER_commandline2 = 14,
    }
}

structs! {
    /// `XEN_DOMCTL_createdomain`.
    XenDomctlCreatedomain = "struct xen_domctl_createdomain" {
        /// In.
        ssidref: u32,
        /// In.
        handle: xen_domain_handle_t,
        /// In.
        flags: u32,
        /// In.
        iommu_opts: u32,
        /// In.
        max_vcpus: u32,
        /// In.
        max_evtchn_port: u32,
        /// In.
        max_grant_frames: i32,
        /// In.
        max_maptrack_frames: i32,
        /// In.
        grant_opts: u32,
        /// In: not of 4.17.
        altp2m_opts: u32,
        /// Per-vCPU buffer size in bytes. 0 to disable.
        vmtrace_size: u32,
        /// CPU pool to use, specify 0 or a specific existing pool
        cpupool_id: u32,
        arch: XenArchDomainconfig,
    }
    /// `XEN_DOMCTL_gsi_permission`.
    XenDomctlGsiPermission = "struct xen_domctl_gsi_permission" {
        gsi: u32,
        /// `XEN_DOMCTL_GSI_*`.
        flags: u32,
    }
    /// `XEN_DOMCTL_set_llc_colors`.
    XenDomctlSetLlcColors = "struct xen_domctl_set_llc_colors" {
        num_llc_colors: u32,
        pad: u32,
        llc_colors: GuestPtr<u32>,
    }
    /// A buffer of any length follows.
    XenVarbuf = "struct xen_varbuf" {
        /// In: size of buf\[\].
        len: u32,
    }
}
