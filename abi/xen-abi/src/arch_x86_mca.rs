//! `arch-x86/xen-mca.h`: the `mca` hypercall, machine checks for the control domain.

use crate::guest_ptr::GuestPtr;
use crate::xen::{XenctlBitmap, domid_t};

consts! {
    /// Number of the hypercall and of its virtual interrupt.
    u32 {
        __HYPERVISOR_mca = 48,
        /// G. (DOM0) Machine Check Architecture
        VIRQ_MCA = 16,
    }
    /// What `interface_version` must be.
    u32 {
        XEN_MCA_INTERFACE_VERSION = 0x01ecc003,
    }
    /// No vcpu.
    u16 {
        XEN_MC_VCPUID_INVALID = 0xffff,
    }
    /// Flag of `xen_mc_fetch`, in or out.
    u32 {
        XEN_MC_NONURGENT = 0x0001,
        XEN_MC_URGENT = 0x0002,
        XEN_MC_ACK = 0x0004,
        XEN_MC_OK = 0x0,
        XEN_MC_FETCHFAILED = 0x1,
        XEN_MC_NODATA = 0x2,
        XEN_MC_NOMATCH = 0x4,
        XEN_MC_CANNOTHANDLE = 0x8,
        XEN_MC_NOTDELIVERED = 0x10,
    }
    /// Kind of record.
    u16 {
        MC_TYPE_GLOBAL = 0,
        MC_TYPE_BANK = 1,
        MC_TYPE_EXTENDED = 2,
        MC_TYPE_RECOVERY = 3,
    }
    /// Flag of a global record.
    u32 {
        MC_FLAG_CORRECTABLE = 1 << 0,
        MC_FLAG_UNCORRECTABLE = 1 << 1,
        MC_FLAG_RECOVERABLE = 1 << 2,
        MC_FLAG_POLLED = 1 << 3,
        MC_FLAG_RESET = 1 << 4,
        MC_FLAG_CMCI = 1 << 5,
        MC_FLAG_MCE = 1 << 6,
    }
    /// Recovery action and its outcome.
    u8 {
        REC_ACTION_RECOVERED = 0x1,
        REC_ACTION_NONE = 0x1 << 1,
        REC_ACTION_NEED_RESET = 0x1 << 2,
        MC_ACTION_PAGE_OFFLINE = 0x1,
        MC_ACTION_CPU_OFFLINE = 0x1 << 1,
        MC_ACTION_CACHE_SHRINK = 0x1 << 2,
    }
    /// Size of an array.
    usize {
        MAX_UNION_SIZE = 16,
        MCINFO_HYPERCALLSIZE = 1024,
        MCINFO_MAXSIZE = 768,
        __MC_MSR_ARRAYSIZE = 8,
        /// 7 CPU feature flag words
        MC_NCAPS = 7,
        MC_MSRINJ_MAXMSRS = 8,
    }
    /// More is to come.
    u32 {
        MCINFO_FLAGS_UNCOMPLETE = 0x1,
    }
    /// Index into `mc_cpu_caps`.
    usize {
        /// Cpuid level 0x00000001 (%edx)
        MC_CAPS_STD_EDX = 0,
        /// Cpuid level 0x80000001 (%edx)
        MC_CAPS_AMD_EDX = 1,
        /// Cpuid level 0x80860001 (TransMeta)
        MC_CAPS_TM = 2,
        /// Linux-defined
        MC_CAPS_LINUX = 3,
        /// Cpuid level 0x00000001 (%ecx)
        MC_CAPS_STD_ECX = 4,
        /// Cpuid level 0xc0000001
        MC_CAPS_VIA = 5,
        /// Cpuid level 0x80000001 (%ecx)
        MC_CAPS_AMD_ECX = 6,
    }
    /// Flag of an injection.
    u32 {
        MC_MSRINJ_F_INTERPOSE = 0x1,
        MC_MSRINJ_F_GPADDR = 0x2,
    }
    /// Flag of `xen_mc_inject_v2`.
    u32 {
        XEN_MC_INJECT_TYPE_MASK = 0x7,
        XEN_MC_INJECT_TYPE_MCE = 0x0,
        XEN_MC_INJECT_TYPE_CMCI = 0x1,
        XEN_MC_INJECT_TYPE_LMCE = 0x2,
        XEN_MC_INJECT_CPU_BROADCAST = 0x8,
    }
    /// Subcommand of `mca`.
    u32 {
        XEN_MC_fetch = 1,
        XEN_MC_notifydomain = 2,
        XEN_MC_physcpuinfo = 3,
        XEN_MC_msrinject = 4,
        XEN_MC_mceinject = 5,
        XEN_MC_inject_v2 = 6,
    }
}

structs! {
    /// `struct mcinfo_common`.
    McinfoCommon = "struct mcinfo_common" {
        /// Structure type
        r#type: u16,
        /// Size of this struct in bytes
        size: u16,
    }
    /// `struct mcinfo_global`.
    McinfoGlobal = "struct mcinfo_global" {
        common: McinfoCommon,
        /// Running domain at the time in error (most likely the impacted one)
        mc_domid: u16,
        /// Virtual cpu scheduled for mc_domid
        mc_vcpuid: u16,
        /// Physical socket of the physical core
        mc_socketid: u32,
        /// Physical impacted core
        mc_coreid: u16,
        /// Core thread of physical core
        mc_core_threadid: u16,
        mc_apicid: u32,
        mc_flags: u32,
        /// Global status
        mc_gstatus: u64,
    }
    /// `struct mcinfo_bank`.
    McinfoBank = "struct mcinfo_bank" {
        common: McinfoCommon,
        /// Bank nr
        mc_bank: u16,
        /// Usecase 5: domain referenced by mc_addr on dom0 and if mc_addr is valid. Never valid on DomU.
        mc_domid: u16,
        /// Bank status
        mc_status: u64,
        /// Bank address, only valid if addr bit is set in mc_status
        mc_addr: u64,
        mc_misc: u64,
        mc_ctrl2: u64,
        mc_tsc: u64,
    }
    /// `struct mcinfo_msr`.
    McinfoMsr = "struct mcinfo_msr" {
        /// MSR
        reg: u64,
        /// MSR value
        value: u64,
    }
    /// `struct mcinfo_extended`.
    McinfoExtended = "struct mcinfo_extended" {
        common: McinfoCommon,
        /// Number of msr with valid values.
        mc_msrs: u32,
        mc_msr: [McinfoMsr; 32],
    }
    /// `struct page_offline_action`.
    PageOfflineAction = "struct page_offline_action" {
        /// Params for passing the offlined page number to DOM0
        mfn: u64,
        status: u64,
    }
    /// `struct cpu_offline_action`.
    CpuOfflineAction = "struct cpu_offline_action" {
        /// Params for passing the identity of the offlined CPU to DOM0
        mc_socketid: u32,
        mc_coreid: u16,
        mc_core_threadid: u16,
    }
    /// `struct mcinfo_recovery`.
    McinfoRecovery = "struct mcinfo_recovery" {
        common: McinfoCommon,
        /// Bank nr
        mc_bank: u16,
        action_flags: u8,
        action_types: u8,
        action_info: [u8; 16],
        _pad0: [u64; 0],
    }
    /// `struct mc_info`.
    McInfo = "struct mc_info" {
        /// Number of mcinfo_* entries in mi_data
        mi_nentries: u32,
        flags: u32,
        mi_data: [u64; 95],
    }
    /// `struct mcinfo_logical_cpu`.
    McinfoLogicalCpu = "struct mcinfo_logical_cpu" {
        mc_cpunr: u32,
        mc_chipid: u32,
        mc_coreid: u16,
        mc_threadid: u16,
        mc_apicid: u32,
        mc_clusterid: u32,
        mc_ncores: u32,
        mc_ncores_active: u32,
        mc_nthreads: u32,
        mc_cpuid_level: i32,
        mc_family: u32,
        mc_vendor: u32,
        mc_model: u32,
        mc_step: u32,
        mc_vendorid: [u8; 16],
        mc_brandid: [u8; 64],
        mc_cpu_caps: [u32; 7],
        mc_cache_size: u32,
        mc_cache_alignment: u32,
        mc_nmsrvals: i32,
        _pad0: [u8; 4],
        mc_msrvalues: [McinfoMsr; 8],
    }
    /// `struct xen_mc_fetch`.
    XenMcFetch = "struct xen_mc_fetch" {
        /// In: XEN_MC_NONURGENT, XEN_MC_URGENT, XEN_MC_ACK if ack'ing an earlier fetch
        flags: u32,
        _pad0: u32,
        /// Out: id for ack, IN: id we are ack'ing
        fetch_id: u64,
        /// Out.
        data: GuestPtr<McInfo>,
    }
    /// `struct xen_mc_notifydomain`.
    XenMcNotifydomain = "struct xen_mc_notifydomain" {
        /// The unprivileged domain to notify.
        mc_domid: u16,
        /// The vcpu in mc_domid to notify. Usually echo'd value from the fetch hypercall.
        mc_vcpuid: u16,
        /// In and out.
        flags: u32,
    }
    /// `struct xen_mc_physcpuinfo`.
    XenMcPhyscpuinfo = "struct xen_mc_physcpuinfo" {
        /// In and out.
        ncpus: u32,
        _pad0: u32,
        /// Out.
        info: GuestPtr<McinfoLogicalCpu>,
    }
    /// `struct xen_mc_msrinject`.
    XenMcMsrinject = "struct xen_mc_msrinject" {
        /// Target processor id
        mcinj_cpunr: u32,
        /// See MC_MSRINJ_F_* below
        mcinj_flags: u32,
        /// 0 .. count-1 in array are valid
        mcinj_count: u32,
        /// Valid only if MC_MSRINJ_F_GPADDR is present in mcinj_flags
        mcinj_domid: domid_t,
        _pad0: u16,
        /// In.
        mcinj_msr: [McinfoMsr; 8],
    }
    /// `struct xen_mc_mceinject`.
    XenMcMceinject = "struct xen_mc_mceinject" {
        /// Target processor id
        mceinj_cpunr: u32,
    }
    /// `struct xen_mc_inject_v2`.
    XenMcInjectV2 = "struct xen_mc_inject_v2" {
        flags: u32,
        _pad0: [u8; 4],
        cpumap: XenctlBitmap,
    }
    /// Argument of `mca`: `u` holds the struct that belongs to `cmd`.
    XenMc = "struct xen_mc" {
        cmd: u32,
        /// XEN_MCA_INTERFACE_VERSION
        interface_version: u32,
        u: [u8; 144],
        _pad0: [u64; 0],
    }
}
