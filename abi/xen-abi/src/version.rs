//! `version.h`: subcommands of `xen_version`.

use crate::arch_x86::xen_ulong_t;

/// `XENVER_extraversion`: a string with its terminator.
pub type xen_extraversion_t = [u8; XEN_EXTRAVERSION_LEN];
/// `XENVER_capabilities`: a string with its terminator.
pub type xen_capabilities_info_t = [u8; XEN_CAPABILITIES_INFO_LEN];
/// `XENVER_changeset`: a string with its terminator.
pub type xen_changeset_info_t = [u8; XEN_CHANGESET_INFO_LEN];
/// `XENVER_commandline`: the hypervisor's command line with its terminator.
pub type xen_commandline_t = [u8; 1024];

consts! {
    /// Subcommand of `xen_version`.
    u32 {
        XENVER_version = 0,
        XENVER_extraversion = 1,
        XENVER_compile_info = 2,
        XENVER_capabilities = 3,
        XENVER_changeset = 4,
        XENVER_platform_parameters = 5,
        XENVER_get_features = 6,
        XENVER_pagesize = 7,
        XENVER_guest_handle = 8,
        XENVER_commandline = 9,
        XENVER_build_id = 10,
    }
    /// Size of a string that `xen_version` writes.
    usize {
        XEN_EXTRAVERSION_LEN = 16,
        XEN_CAPABILITIES_INFO_LEN = 1024,
        XEN_CHANGESET_INFO_LEN = 64,
    }
}

structs! {
    /// `struct xen_compile_info`.
    XenCompileInfo = "struct xen_compile_info" {
        compiler: [u8; 64],
        compile_by: [u8; 16],
        compile_domain: [u8; 32],
        compile_date: [u8; 32],
    }
    /// `struct xen_platform_parameters`.
    XenPlatformParameters = "struct xen_platform_parameters" {
        virt_start: xen_ulong_t,
    }
    /// `struct xen_feature_info`.
    XenFeatureInfo = "struct xen_feature_info" {
        /// In: which 32-bit submap to return
        submap_idx: u32,
        /// OUT: 32-bit submap
        submap: u32,
    }
    /// `struct xen_build_id`.
    XenBuildId = "struct xen_build_id" {
        /// In: size of buf\[\].
        len: u32,
    }
}
