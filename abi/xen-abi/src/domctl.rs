//! `domctl.h`: the toolstack's operations on one domain, interface version 0x15.

use crate::arch_x86::{VcpuGuestContext, XenArchDomainconfig, XenCpuidLeaf, XenMsrEntry, xen_pfn_t};
use crate::event_channel::evtchn_port_t;
use crate::guest_ptr::GuestPtr;
use crate::memory::XenVmemrange;
use crate::xen::{XenctlBitmap, domid_t, xen_domain_handle_t};

consts! {
    /// What `interface_version` must be.
    u32 {
        XEN_DOMCTL_INTERFACE_VERSION = 0x00000015,
    }
    /// Bit number of a flag.
    u32 {
        _XEN_DOMCTL_CDF_hvm = 0,
        _XEN_DOMCTL_CDF_hap = 1,
        _XEN_DOMCTL_CDF_s3_integrity = 2,
        _XEN_DOMCTL_CDF_oos_off = 3,
        _XEN_DOMCTL_CDF_xs_domain = 4,
        _XEN_DOMCTL_CDF_iommu = 5,
        _XEN_DOMCTL_CDF_nested_virt = 6,
        _XEN_DOMCTL_IOMMU_no_sharept = 0,
        _XEN_DOMINF_dying = 0,
        _XEN_DOMINF_hvm_guest = 1,
        _XEN_DOMINF_shutdown = 2,
        _XEN_DOMINF_paused = 3,
        _XEN_DOMINF_blocked = 4,
        _XEN_DOMINF_running = 5,
        _XEN_DOMINF_debugged = 6,
        _XEN_DOMINF_xs_domain = 7,
        _XEN_DOMINF_hap = 8,
        _XEN_VCPUAFFINITY_HARD = 0,
        _XEN_VCPUAFFINITY_SOFT = 1,
        _XEN_VCPUAFFINITY_FORCE = 2,
        _XEN_DOMCTL_SCHEDRT_extra = 0,
    }
    /// Flag of `xen_domctl_createdomain`.
    u32 {
        XEN_DOMCTL_CDF_hvm = 1 << _XEN_DOMCTL_CDF_hvm,
        XEN_DOMCTL_CDF_hap = 1 << _XEN_DOMCTL_CDF_hap,
        XEN_DOMCTL_CDF_s3_integrity = 1 << _XEN_DOMCTL_CDF_s3_integrity,
        XEN_DOMCTL_CDF_oos_off = 1 << _XEN_DOMCTL_CDF_oos_off,
        XEN_DOMCTL_CDF_xs_domain = 1 << _XEN_DOMCTL_CDF_xs_domain,
        XEN_DOMCTL_CDF_iommu = 1 << _XEN_DOMCTL_CDF_iommu,
        XEN_DOMCTL_CDF_nested_virt = 1 << _XEN_DOMCTL_CDF_nested_virt,
        XEN_DOMCTL_CDF_vpmu = 1 << 7,
        XEN_DOMCTL_CDF_MAX = XEN_DOMCTL_CDF_vpmu,
    }
    /// Flag in `iommu_opts`.
    u32 {
        XEN_DOMCTL_IOMMU_no_sharept = 1 << _XEN_DOMCTL_IOMMU_no_sharept,
        XEN_DOMCTL_IOMMU_MAX = XEN_DOMCTL_IOMMU_no_sharept,
    }
    /// The grant-table version in `grant_opts`.
    u32 {
        XEN_DOMCTL_GRANT_version_mask = 0xf,
    }
    /// Flag of `xen_domctl_getdomaininfo`, or where the shutdown reason is in it.
    u32 {
        XEN_DOMINF_dying = 1 << _XEN_DOMINF_dying,
        XEN_DOMINF_hvm_guest = 1 << _XEN_DOMINF_hvm_guest,
        XEN_DOMINF_shutdown = 1 << _XEN_DOMINF_shutdown,
        XEN_DOMINF_paused = 1 << _XEN_DOMINF_paused,
        XEN_DOMINF_blocked = 1 << _XEN_DOMINF_blocked,
        XEN_DOMINF_running = 1 << _XEN_DOMINF_running,
        XEN_DOMINF_debugged = 1 << _XEN_DOMINF_debugged,
        XEN_DOMINF_xs_domain = 1 << _XEN_DOMINF_xs_domain,
        XEN_DOMINF_hap = 1 << _XEN_DOMINF_hap,
        XEN_DOMINF_shutdownmask = 255,
        XEN_DOMINF_shutdownshift = 16,
    }
    /// The domain has no vcpus.
    u32 {
        /// Domain has no vcpus?
        XEN_INVALID_MAX_VCPU_ID = 0xffffffff,
    }
    /// Type of a frame, in the top four bits.
    u32 {
        XEN_DOMCTL_PFINFO_LTAB_SHIFT = 28,
        XEN_DOMCTL_PFINFO_NOTAB = 0x0 << 28,
        XEN_DOMCTL_PFINFO_L1TAB = 0x1 << 28,
        XEN_DOMCTL_PFINFO_L2TAB = 0x2 << 28,
        XEN_DOMCTL_PFINFO_L3TAB = 0x3 << 28,
        XEN_DOMCTL_PFINFO_L4TAB = 0x4 << 28,
        XEN_DOMCTL_PFINFO_LTABTYPE_MASK = 0x7 << 28,
        XEN_DOMCTL_PFINFO_LPINTAB = 0x1 << 31,
        /// Invalid page
        XEN_DOMCTL_PFINFO_XTAB = 0xf << 28,
        /// Allocate-only page
        XEN_DOMCTL_PFINFO_XALLOC = 0xe << 28,
        /// Broken page
        XEN_DOMCTL_PFINFO_BROKEN = 0xd << 28,
        XEN_DOMCTL_PFINFO_LTAB_MASK = 0xf << 28,
    }
    /// Subcommand of `XEN_DOMCTL_shadow_op`.
    u32 {
        XEN_DOMCTL_SHADOW_OP_OFF = 0,
        XEN_DOMCTL_SHADOW_OP_ENABLE = 32,
        XEN_DOMCTL_SHADOW_OP_CLEAN = 11,
        XEN_DOMCTL_SHADOW_OP_PEEK = 12,
        XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION = 30,
        XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION = 31,
        XEN_DOMCTL_SHADOW_OP_ENABLE_TEST = 1,
        XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY = 2,
    }
    /// Mode bit of `XEN_DOMCTL_shadow_op`.
    u32 {
        XEN_DOMCTL_SHADOW_ENABLE_REFCOUNT = 1 << 1,
        XEN_DOMCTL_SHADOW_ENABLE_LOG_DIRTY = 1 << 2,
        XEN_DOMCTL_SHADOW_ENABLE_TRANSLATE = 1 << 3,
        XEN_DOMCTL_SHADOW_ENABLE_EXTERNAL = 1 << 4,
        XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL = 1 << 0,
    }
    /// Flag of `xen_domctl_vcpuaffinity`.
    u32 {
        XEN_VCPUAFFINITY_HARD = 1 << _XEN_VCPUAFFINITY_HARD,
        XEN_VCPUAFFINITY_SOFT = 1 << _XEN_VCPUAFFINITY_SOFT,
        XEN_VCPUAFFINITY_FORCE = 1 << _XEN_VCPUAFFINITY_FORCE,
    }
    /// Scheduler.
    u32 {
        XEN_SCHEDULER_CREDIT = 5,
        XEN_SCHEDULER_CREDIT2 = 6,
        XEN_SCHEDULER_ARINC653 = 7,
        XEN_SCHEDULER_RTDS = 8,
        XEN_SCHEDULER_NULL = 9,
    }
    /// Flag of `xen_domctl_sched_rtds`.
    u32 {
        XEN_DOMCTL_SCHEDRT_extra = 1 << _XEN_DOMCTL_SCHEDRT_extra,
    }
    /// Subcommand of `XEN_DOMCTL_scheduler_op`.
    u32 {
        XEN_DOMCTL_SCHEDOP_putinfo = 0,
        XEN_DOMCTL_SCHEDOP_getinfo = 1,
        XEN_DOMCTL_SCHEDOP_putvcpuinfo = 2,
        XEN_DOMCTL_SCHEDOP_getvcpuinfo = 3,
    }
    /// Kind of trigger.
    u32 {
        XEN_DOMCTL_SENDTRIGGER_NMI = 0,
        XEN_DOMCTL_SENDTRIGGER_RESET = 1,
        XEN_DOMCTL_SENDTRIGGER_INIT = 2,
        XEN_DOMCTL_SENDTRIGGER_POWER = 3,
        XEN_DOMCTL_SENDTRIGGER_SLEEP = 4,
    }
    /// Kind of device, or a flag of its assignment.
    u32 {
        XEN_DOMCTL_DEV_PCI = 0,
        XEN_DOMCTL_DEV_DT = 1,
        /// Assign only
        XEN_DOMCTL_DEV_RDM_RELAXED = 1,
    }
    /// Kind of passed-through interrupt.
    u32 {
        PT_IRQ_TYPE_PCI = 0,
        PT_IRQ_TYPE_ISA = 1,
        PT_IRQ_TYPE_MSI = 2,
        PT_IRQ_TYPE_MSI_TRANSLATE = 3,
        PT_IRQ_TYPE_SPI = 4,
    }
    /// Field of `gflags` of a passed-through MSI.
    u32 {
        XEN_DOMCTL_VMSI_X86_DEST_ID_MASK = 0x0000ff,
        XEN_DOMCTL_VMSI_X86_RH_MASK = 0x000100,
        XEN_DOMCTL_VMSI_X86_DM_MASK = 0x000200,
        XEN_DOMCTL_VMSI_X86_DELIV_MASK = 0x007000,
        XEN_DOMCTL_VMSI_X86_TRIG_MASK = 0x008000,
        XEN_DOMCTL_VMSI_X86_UNMASKED = 0x010000,
    }
    /// What to do with a mapping.
    u32 {
        DPCI_ADD_MAPPING = 1,
        DPCI_REMOVE_MAPPING = 0,
    }
    /// Cache attribute of a range.
    u32 {
        XEN_DOMCTL_MEM_CACHEATTR_UC = 0,
        XEN_DOMCTL_MEM_CACHEATTR_WC = 1,
        XEN_DOMCTL_MEM_CACHEATTR_WT = 4,
        XEN_DOMCTL_MEM_CACHEATTR_WP = 5,
        XEN_DOMCTL_MEM_CACHEATTR_WB = 6,
        XEN_DOMCTL_MEM_CACHEATTR_UCM = 7,
        XEN_DOMCTL_DELETE_MEM_CACHEATTR = 0xffffffff,
    }
    /// A leaf or sub-leaf that is not meant.
    u32 {
        XEN_CPUID_INPUT_UNUSED = 0xffffffff,
    }
    /// Subcommand of `XEN_DOMCTL_debug_op`.
    u32 {
        XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_OFF = 0,
        XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON = 1,
    }
    /// Subcommand or ring of `XEN_DOMCTL_vm_event_op`.
    u32 {
        XEN_VM_EVENT_ENABLE = 0,
        XEN_VM_EVENT_DISABLE = 1,
        XEN_VM_EVENT_RESUME = 2,
        XEN_VM_EVENT_GET_VERSION = 3,
        XEN_DOMCTL_VM_EVENT_OP_PAGING = 1,
        XEN_DOMCTL_VM_EVENT_OP_MONITOR = 2,
        XEN_DOMCTL_VM_EVENT_OP_SHARING = 3,
    }
    /// Subcommand of `XEN_DOMCTL_mem_sharing_op`.
    u32 {
        XEN_DOMCTL_MEM_SHARING_CONTROL = 0,
    }
    /// Subcommand of the platform shared-resource operations.
    u32 {
        XEN_DOMCTL_PSR_CMT_OP_DETACH = 0,
        XEN_DOMCTL_PSR_CMT_OP_ATTACH = 1,
        XEN_DOMCTL_PSR_CMT_OP_QUERY_RMID = 2,
        XEN_DOMCTL_PSR_SET_L3_CBM = 0,
        XEN_DOMCTL_PSR_GET_L3_CBM = 1,
        XEN_DOMCTL_PSR_SET_L3_CODE = 2,
        XEN_DOMCTL_PSR_SET_L3_DATA = 3,
        XEN_DOMCTL_PSR_GET_L3_CODE = 4,
        XEN_DOMCTL_PSR_GET_L3_DATA = 5,
        XEN_DOMCTL_PSR_SET_L2_CBM = 6,
        XEN_DOMCTL_PSR_GET_L2_CBM = 7,
        XEN_DOMCTL_PSR_SET_MBA_THRTL = 8,
        XEN_DOMCTL_PSR_GET_MBA_THRTL = 9,
    }
    /// Subcommand or event of `XEN_DOMCTL_monitor_op`.
    u32 {
        XEN_DOMCTL_MONITOR_OP_ENABLE = 0,
        XEN_DOMCTL_MONITOR_OP_DISABLE = 1,
        XEN_DOMCTL_MONITOR_OP_GET_CAPABILITIES = 2,
        XEN_DOMCTL_MONITOR_OP_EMULATE_EACH_REP = 3,
        XEN_DOMCTL_MONITOR_OP_CONTROL_REGISTERS = 4,
        XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG = 0,
        XEN_DOMCTL_MONITOR_EVENT_MOV_TO_MSR = 1,
        XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP = 2,
        XEN_DOMCTL_MONITOR_EVENT_SOFTWARE_BREAKPOINT = 3,
        XEN_DOMCTL_MONITOR_EVENT_GUEST_REQUEST = 4,
        XEN_DOMCTL_MONITOR_EVENT_DEBUG_EXCEPTION = 5,
        XEN_DOMCTL_MONITOR_EVENT_CPUID = 6,
        XEN_DOMCTL_MONITOR_EVENT_PRIVILEGED_CALL = 7,
        XEN_DOMCTL_MONITOR_EVENT_INTERRUPT = 8,
        XEN_DOMCTL_MONITOR_EVENT_DESC_ACCESS = 9,
        XEN_DOMCTL_MONITOR_EVENT_EMUL_UNIMPLEMENTED = 10,
        XEN_DOMCTL_MONITOR_EVENT_INGUEST_PAGEFAULT = 11,
        XEN_DOMCTL_MONITOR_EVENT_VMEXIT = 12,
    }
    /// Subcommand or type of `XEN_DOMCTL_vuart_op`.
    u32 {
        XEN_DOMCTL_VUART_OP_INIT = 0,
        XEN_DOMCTL_VUART_TYPE_VPL011 = 0,
    }
    /// Subcommand of `XEN_DOMCTL_vmtrace_op`.
    u32 {
        XEN_DOMCTL_vmtrace_enable = 1,
        XEN_DOMCTL_vmtrace_disable = 2,
        XEN_DOMCTL_vmtrace_reset_and_enable = 3,
        XEN_DOMCTL_vmtrace_output_position = 4,
        XEN_DOMCTL_vmtrace_get_option = 5,
        XEN_DOMCTL_vmtrace_set_option = 6,
    }
    /// Subcommand of `domctl`.
    u32 {
        XEN_DOMCTL_createdomain = 1,
        XEN_DOMCTL_destroydomain = 2,
        XEN_DOMCTL_pausedomain = 3,
        XEN_DOMCTL_unpausedomain = 4,
        XEN_DOMCTL_getdomaininfo = 5,
        XEN_DOMCTL_setvcpuaffinity = 9,
        XEN_DOMCTL_shadow_op = 10,
        XEN_DOMCTL_max_mem = 11,
        XEN_DOMCTL_setvcpucontext = 12,
        XEN_DOMCTL_getvcpucontext = 13,
        XEN_DOMCTL_getvcpuinfo = 14,
        XEN_DOMCTL_max_vcpus = 15,
        XEN_DOMCTL_scheduler_op = 16,
        XEN_DOMCTL_setdomainhandle = 17,
        XEN_DOMCTL_setdebugging = 18,
        XEN_DOMCTL_irq_permission = 19,
        XEN_DOMCTL_iomem_permission = 20,
        XEN_DOMCTL_ioport_permission = 21,
        XEN_DOMCTL_hypercall_init = 22,
        XEN_DOMCTL_settimeoffset = 24,
        XEN_DOMCTL_getvcpuaffinity = 25,
        /// Obsolete PPC only
        XEN_DOMCTL_real_mode_area = 26,
        XEN_DOMCTL_resumedomain = 27,
        XEN_DOMCTL_sendtrigger = 28,
        XEN_DOMCTL_subscribe = 29,
        XEN_DOMCTL_gethvmcontext = 33,
        XEN_DOMCTL_sethvmcontext = 34,
        XEN_DOMCTL_set_address_size = 35,
        XEN_DOMCTL_get_address_size = 36,
        XEN_DOMCTL_assign_device = 37,
        XEN_DOMCTL_bind_pt_irq = 38,
        XEN_DOMCTL_memory_mapping = 39,
        XEN_DOMCTL_ioport_mapping = 40,
        XEN_DOMCTL_set_ext_vcpucontext = 42,
        XEN_DOMCTL_get_ext_vcpucontext = 43,
        /// Obsolete IA64 only
        XEN_DOMCTL_set_opt_feature = 44,
        XEN_DOMCTL_test_assign_device = 45,
        XEN_DOMCTL_set_target = 46,
        XEN_DOMCTL_deassign_device = 47,
        XEN_DOMCTL_unbind_pt_irq = 48,
        XEN_DOMCTL_get_device_group = 50,
        XEN_DOMCTL_debug_op = 54,
        XEN_DOMCTL_gethvmcontext_partial = 55,
        XEN_DOMCTL_vm_event_op = 56,
        XEN_DOMCTL_mem_sharing_op = 57,
        XEN_DOMCTL_gettscinfo = 59,
        XEN_DOMCTL_settscinfo = 60,
        XEN_DOMCTL_getpageframeinfo3 = 61,
        XEN_DOMCTL_setvcpuextstate = 62,
        XEN_DOMCTL_getvcpuextstate = 63,
        XEN_DOMCTL_set_access_required = 64,
        XEN_DOMCTL_audit_p2m = 65,
        XEN_DOMCTL_set_virq_handler = 66,
        XEN_DOMCTL_set_broken_page_p2m = 67,
        XEN_DOMCTL_setnodeaffinity = 68,
        XEN_DOMCTL_getnodeaffinity = 69,
        XEN_DOMCTL_cacheflush = 71,
        XEN_DOMCTL_get_vcpu_msrs = 72,
        XEN_DOMCTL_set_vcpu_msrs = 73,
        XEN_DOMCTL_setvnumainfo = 74,
        XEN_DOMCTL_psr_cmt_op = 75,
        XEN_DOMCTL_monitor_op = 77,
        XEN_DOMCTL_psr_alloc = 78,
        XEN_DOMCTL_soft_reset = 79,
        XEN_DOMCTL_vuart_op = 81,
        XEN_DOMCTL_get_cpu_policy = 82,
        XEN_DOMCTL_set_cpu_policy = 83,
        XEN_DOMCTL_vmtrace_op = 84,
        XEN_DOMCTL_get_paging_mempool_size = 85,
        XEN_DOMCTL_set_paging_mempool_size = 86,
        XEN_DOMCTL_gdbsx_guestmemio = 1000,
        XEN_DOMCTL_gdbsx_pausevcpu = 1001,
        XEN_DOMCTL_gdbsx_unpausevcpu = 1002,
        XEN_DOMCTL_gdbsx_domstatus = 1003,
    }
}

structs! {
    /// Argument of `XEN_DOMCTL_createdomain`, in `u` of [`XenDomctl`].
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
        /// Per-vCPU buffer size in bytes. 0 to disable.
        vmtrace_size: u32,
        /// CPU pool to use, specify 0 or a specific existing pool
        cpupool_id: u32,
        /// In.
        arch: XenArchDomainconfig,
    }
    /// What the toolstack knows about a domain: result of `XEN_DOMCTL_getdomaininfo` and of `XEN_SYSCTL_getdomaininfolist`.
    XenDomctlGetdomaininfo = "struct xen_domctl_getdomaininfo" {
        /// Also echoed in domctl.domain
        domain: domid_t,
        pad1: u16,
        /// XEN_DOMINF_*
        flags: u32,
        /// Out.
        tot_pages: u64,
        /// Out.
        max_pages: u64,
        /// Out.
        outstanding_pages: u64,
        /// Out.
        shr_pages: u64,
        /// Out.
        paged_pages: u64,
        /// GMFN of shared_info struct
        shared_info_frame: u64,
        /// Out.
        cpu_time: u64,
        /// Number of VCPUs currently online.
        nr_online_vcpus: u32,
        /// Maximum VCPUID in use by this domain.
        max_vcpu_id: u32,
        /// Out.
        ssidref: u32,
        /// Out.
        handle: xen_domain_handle_t,
        /// Out.
        cpupool: u32,
        /// Guest physical address space size.
        gpaddr_bits: u8,
        pad2: [u8; 7],
        /// Out.
        arch_config: XenArchDomainconfig,
    }
    /// Argument of `XEN_DOMCTL_getpageframeinfo3`, in `u` of [`XenDomctl`].
    XenDomctlGetpageframeinfo3 = "struct xen_domctl_getpageframeinfo3" {
        /// In.
        num: u64,
        /// In and out.
        array: GuestPtr<xen_pfn_t>,
    }
    /// `struct xen_domctl_shadow_op_stats`.
    XenDomctlShadowOpStats = "struct xen_domctl_shadow_op_stats" {
        fault_count: u32,
        dirty_count: u32,
    }
    /// Argument of `XEN_DOMCTL_shadow_op`, in `u` of [`XenDomctl`].
    XenDomctlShadowOp = "struct xen_domctl_shadow_op" {
        /// In.
        op: u32,
        /// OP_PEAK / OP_CLEAN: XEN_DOMCTL_SHADOW_LOGDIRTY_*
        mode: u32,
        /// Shadow memory allocation in MB
        mb: u32,
        _pad0: [u8; 4],
        /// OP_PEEK / OP_CLEAN
        dirty_bitmap: GuestPtr<u8>,
        /// Size of buffer. Updated with actual size.
        pages: u64,
        /// In.
        stats: XenDomctlShadowOpStats,
    }
    /// Argument of `XEN_DOMCTL_max_mem`, in `u` of [`XenDomctl`].
    XenDomctlMaxMem = "struct xen_domctl_max_mem" {
        /// In.
        max_memkb: u64,
    }
    /// `struct xen_domctl_vcpucontext`.
    XenDomctlVcpucontext = "struct xen_domctl_vcpucontext" {
        /// In.
        vcpu: u32,
        _pad0: [u8; 4],
        /// In and out.
        ctxt: GuestPtr<VcpuGuestContext>,
    }
    /// Argument of `XEN_DOMCTL_getvcpuinfo`, in `u` of [`XenDomctl`].
    XenDomctlGetvcpuinfo = "struct xen_domctl_getvcpuinfo" {
        /// In.
        vcpu: u32,
        /// Currently online (not hotplugged)?
        online: u8,
        /// Blocked waiting for an event?
        blocked: u8,
        /// Currently scheduled on its CPU?
        running: u8,
        _pad0: u8,
        /// Total cpu time consumed (ns)
        cpu_time: u64,
        /// Current mapping
        cpu: u32,
        _pad1: [u8; 4],
    }
    /// `struct xen_domctl_nodeaffinity`.
    XenDomctlNodeaffinity = "struct xen_domctl_nodeaffinity" {
        /// In.
        nodemap: XenctlBitmap,
    }
    /// `struct xen_domctl_vcpuaffinity`.
    XenDomctlVcpuaffinity = "struct xen_domctl_vcpuaffinity" {
        /// In.
        vcpu: u32,
        /// In.
        flags: u32,
        /// In.
        cpumap_hard: XenctlBitmap,
        /// In.
        cpumap_soft: XenctlBitmap,
    }
    /// Argument of `XEN_DOMCTL_max_vcpus`, in `u` of [`XenDomctl`].
    XenDomctlMaxVcpus = "struct xen_domctl_max_vcpus" {
        /// Maximum number of vcpus
        max: u32,
    }
    /// `struct xen_domctl_sched_credit`.
    XenDomctlSchedCredit = "struct xen_domctl_sched_credit" {
        weight: u16,
        cap: u16,
    }
    /// `struct xen_domctl_sched_credit2`.
    XenDomctlSchedCredit2 = "struct xen_domctl_sched_credit2" {
        weight: u16,
        cap: u16,
    }
    /// `struct xen_domctl_sched_rtds`.
    XenDomctlSchedRtds = "struct xen_domctl_sched_rtds" {
        period: u32,
        budget: u32,
        flags: u32,
    }
    /// Scheduling parameters of one vcpu.
    XenDomctlSchedparamVcpu = "struct xen_domctl_schedparam_vcpu" {
        u: [u8; 12],
        vcpuid: u32,
    }
    /// Member `u.v` of `struct xen_domctl_scheduler_op`.
    XenDomctlSchedulerOpV = "__typeof__(((struct xen_domctl_scheduler_op *)0)->u.v)" {
        vcpus: GuestPtr<XenDomctlSchedparamVcpu>,
        /// In: Number of elements in vcpus array. OUT: Number of processed elements of vcpus array.
        nr_vcpus: u32,
        padding: u32,
    }
    /// Argument of `XEN_DOMCTL_scheduler_op`, in `u` of [`XenDomctl`].
    XenDomctlSchedulerOp = "struct xen_domctl_scheduler_op" {
        /// XEN_SCHEDULER_*
        sched_id: u32,
        cmd: u32,
        u: [u8; 16],
        _pad0: [u64; 0],
    }
    /// Argument of `XEN_DOMCTL_setdomainhandle`, in `u` of [`XenDomctl`].
    XenDomctlSetdomainhandle = "struct xen_domctl_setdomainhandle" {
        handle: xen_domain_handle_t,
    }
    /// Argument of `XEN_DOMCTL_setdebugging`, in `u` of [`XenDomctl`].
    XenDomctlSetdebugging = "struct xen_domctl_setdebugging" {
        enable: u8,
    }
    /// Argument of `XEN_DOMCTL_irq_permission`, in `u` of [`XenDomctl`].
    XenDomctlIrqPermission = "struct xen_domctl_irq_permission" {
        pirq: u32,
        /// Flag to specify enable/disable of IRQ access
        allow_access: u8,
        pad: [u8; 3],
    }
    /// Argument of `XEN_DOMCTL_iomem_permission`, in `u` of [`XenDomctl`].
    XenDomctlIomemPermission = "struct xen_domctl_iomem_permission" {
        /// First page (physical page number) in range
        first_mfn: u64,
        /// Number of pages in range (\>0)
        nr_mfns: u64,
        /// Allow (!0) or deny (0) access to range?
        allow_access: u8,
        _pad0: [u8; 7],
    }
    /// Argument of `XEN_DOMCTL_ioport_permission`, in `u` of [`XenDomctl`].
    XenDomctlIoportPermission = "struct xen_domctl_ioport_permission" {
        /// First port int range
        first_port: u32,
        /// Size of port range
        nr_ports: u32,
        /// Allow or deny access to range?
        allow_access: u8,
        _pad0: [u8; 3],
    }
    /// Argument of `XEN_DOMCTL_hypercall_init`, in `u` of [`XenDomctl`].
    XenDomctlHypercallInit = "struct xen_domctl_hypercall_init" {
        /// GMFN to be initialised
        gmfn: u64,
    }
    /// Argument of `XEN_DOMCTL_settimeoffset`, in `u` of [`XenDomctl`].
    XenDomctlSettimeoffset = "struct xen_domctl_settimeoffset" {
        /// Applied to domain wallclock time
        time_offset_seconds: i64,
    }
    /// `struct xen_domctl_hvmcontext`.
    XenDomctlHvmcontext = "struct xen_domctl_hvmcontext" {
        /// In and out: size of buffer / bytes filled
        size: u32,
        _pad0: [u8; 4],
        /// In and out: data, or call gethvmcontext with NULL buffer to get size req'd
        buffer: GuestPtr<u8>,
    }
    /// `struct xen_domctl_address_size`.
    XenDomctlAddressSize = "struct xen_domctl_address_size" {
        size: u32,
    }
    /// Argument of `XEN_DOMCTL_sendtrigger`, in `u` of [`XenDomctl`].
    XenDomctlSendtrigger = "struct xen_domctl_sendtrigger" {
        /// In.
        trigger: u32,
        /// In.
        vcpu: u32,
    }
    /// Member `u.pci` of `struct xen_domctl_assign_device`.
    XenDomctlAssignDevicePci = "__typeof__(((struct xen_domctl_assign_device *)0)->u.pci)" {
        /// Machine PCI ID of assigned device
        machine_sbdf: u32,
    }
    /// Member `u.dt` of `struct xen_domctl_assign_device`.
    XenDomctlAssignDeviceDt = "__typeof__(((struct xen_domctl_assign_device *)0)->u.dt)" {
        /// Length of the path
        size: u32,
        _pad0: [u8; 4],
        /// Path to the device tree node
        path: GuestPtr<u8>,
    }
    /// Argument of `XEN_DOMCTL_assign_device`, in `u` of [`XenDomctl`].
    XenDomctlAssignDevice = "struct xen_domctl_assign_device" {
        /// In.
        dev: u32,
        /// In.
        flags: u32,
        u: [u8; 16],
        _pad0: [u64; 0],
    }
    /// Argument of `XEN_DOMCTL_get_device_group`, in `u` of [`XenDomctl`].
    XenDomctlGetDeviceGroup = "struct xen_domctl_get_device_group" {
        /// In.
        machine_sbdf: u32,
        /// In.
        max_sdevs: u32,
        /// Out.
        num_sdevs: u32,
        _pad0: [u8; 4],
        /// Out.
        sdev_array: GuestPtr<u32>,
    }
    /// Member `u.isa` of `struct xen_domctl_bind_pt_irq`.
    XenDomctlBindPtIrqIsa = "__typeof__(((struct xen_domctl_bind_pt_irq *)0)->u.isa)" {
        isa_irq: u8,
    }
    /// Member `u.pci` of `struct xen_domctl_bind_pt_irq`.
    XenDomctlBindPtIrqPci = "__typeof__(((struct xen_domctl_bind_pt_irq *)0)->u.pci)" {
        bus: u8,
        device: u8,
        intx: u8,
    }
    /// Member `u.msi` of `struct xen_domctl_bind_pt_irq`.
    XenDomctlBindPtIrqMsi = "__typeof__(((struct xen_domctl_bind_pt_irq *)0)->u.msi)" {
        gvec: u8,
        _pad0: [u8; 3],
        gflags: u32,
        gtable: u64,
    }
    /// Member `u.spi` of `struct xen_domctl_bind_pt_irq`.
    XenDomctlBindPtIrqSpi = "__typeof__(((struct xen_domctl_bind_pt_irq *)0)->u.spi)" {
        spi: u16,
    }
    /// Argument of `XEN_DOMCTL_bind_pt_irq`, in `u` of [`XenDomctl`].
    XenDomctlBindPtIrq = "struct xen_domctl_bind_pt_irq" {
        machine_irq: u32,
        /// Enum pt_irq_type
        irq_type: u32,
        u: [u8; 16],
        _pad0: [u64; 0],
    }
    /// Argument of `XEN_DOMCTL_memory_mapping`, in `u` of [`XenDomctl`].
    XenDomctlMemoryMapping = "struct xen_domctl_memory_mapping" {
        /// First page (hvm guest phys page) in range
        first_gfn: u64,
        /// First page (machine page) in range
        first_mfn: u64,
        /// Number of pages in range (\>0)
        nr_mfns: u64,
        /// Add or remove mapping
        add_mapping: u32,
        /// Padding for 64-bit aligned structure
        padding: u32,
    }
    /// Argument of `XEN_DOMCTL_ioport_mapping`, in `u` of [`XenDomctl`].
    XenDomctlIoportMapping = "struct xen_domctl_ioport_mapping" {
        /// First guest IO port
        first_gport: u32,
        /// First machine IO port
        first_mport: u32,
        /// Size of port range
        nr_ports: u32,
        /// Add or remove mapping
        add_mapping: u32,
    }
    /// Virtual machine-check state of a vcpu.
    HvmVmceVcpu = "struct hvm_vmce_vcpu" {
        caps: u64,
        mci_ctl2_bank0: u64,
        mci_ctl2_bank1: u64,
        mcg_ext_ctl: u64,
    }
    /// `struct xen_domctl_ext_vcpucontext`.
    XenDomctlExtVcpucontext = "struct xen_domctl_ext_vcpucontext" {
        /// In: VCPU that this call applies to.
        vcpu: u32,
        /// SET: size of struct (IN) GET: size of struct (OUT, up to 128 bytes)
        size: u32,
        /// NB. SYSCALL from 64-bit mode is contained in vcpu_guest_context_t
        syscall32_callback_eip: u64,
        sysenter_callback_eip: u64,
        syscall32_callback_cs: u16,
        sysenter_callback_cs: u16,
        syscall32_disables_events: u8,
        sysenter_disables_events: u8,
        _pad0: [u8; 2],
        vmce: HvmVmceVcpu,
    }
    /// Argument of `XEN_DOMCTL_set_target`, in `u` of [`XenDomctl`].
    XenDomctlSetTarget = "struct xen_domctl_set_target" {
        target: domid_t,
    }
    /// `struct xen_domctl_cpu_policy`.
    XenDomctlCpuPolicy = "struct xen_domctl_cpu_policy" {
        /// In and out: Number of leaves in/written to 'leaves'
        nr_leaves: u32,
        /// In and out: Number of MSRs in/written to 'msrs'
        nr_msrs: u32,
        /// In and out.
        leaves: GuestPtr<XenCpuidLeaf>,
        /// In and out.
        msrs: GuestPtr<XenMsrEntry>,
        /// Out: set_policy only. Written in some (but not all) error cases to identify the CPUID leaf/subleaf and/or MSR which auditing objects to.
        err_leaf: u32,
        /// Out: set_policy only. Written in some (but not all) error cases to identify the CPUID leaf/subleaf and/or MSR which auditing objects to.
        err_subleaf: u32,
        /// Out: set_policy only. Written in some (but not all) error cases to identify the CPUID leaf/subleaf and/or MSR which auditing objects to.
        err_msr: u32,
        _pad0: [u8; 4],
    }
    /// Argument of `XEN_DOMCTL_subscribe`, in `u` of [`XenDomctl`].
    XenDomctlSubscribe = "struct xen_domctl_subscribe" {
        /// In.
        port: u32,
    }
    /// Argument of `XEN_DOMCTL_debug_op`, in `u` of [`XenDomctl`].
    XenDomctlDebugOp = "struct xen_domctl_debug_op" {
        /// In.
        op: u32,
        /// In.
        vcpu: u32,
    }
    /// `struct xen_domctl_hvmcontext_partial`.
    XenDomctlHvmcontextPartial = "struct xen_domctl_hvmcontext_partial" {
        /// In: Type of record required
        r#type: u32,
        /// In: Instance of that type
        instance: u32,
        /// In: size of buffer
        bufsz: u64,
        /// Out: buffer to write record into
        buffer: GuestPtr<u8>,
    }
    /// `struct xen_domctl_tsc_info`.
    XenDomctlTscInfo = "struct xen_domctl_tsc_info" {
        /// In and out.
        tsc_mode: u32,
        /// In and out.
        gtsc_khz: u32,
        /// In and out.
        incarnation: u32,
        pad: u32,
        /// In and out.
        elapsed_nsec: u64,
    }
    /// `struct xen_domctl_gdbsx_memio`.
    XenDomctlGdbsxMemio = "struct xen_domctl_gdbsx_memio" {
        /// Optional: init_mm.pgd\[3\] value
        pgd3val: u64,
        /// Guest virtual address
        gva: u64,
        /// User buffer virtual address
        uva: u64,
        /// Number of bytes to read/write
        len: u32,
        /// 0 = read from guest. 1 = write to guest
        gwr: u8,
        _pad0: [u8; 3],
        /// Bytes remaining to be copied
        remain: u32,
        _pad1: [u8; 4],
    }
    /// `struct xen_domctl_gdbsx_pauseunp_vcpu`.
    XenDomctlGdbsxPauseunpVcpu = "struct xen_domctl_gdbsx_pauseunp_vcpu" {
        /// Which vcpu
        vcpu: u32,
    }
    /// Argument of `XEN_DOMCTL_gdbsx_domstatus`, in `u` of [`XenDomctl`].
    XenDomctlGdbsxDomstatus = "struct xen_domctl_gdbsx_domstatus" {
        /// Is the domain paused
        paused: u8,
        _pad0: [u8; 3],
        /// Any vcpu in an event?
        vcpu_id: u32,
        /// If yes, what event?
        vcpu_ev: u32,
    }
    /// Member `u.enable` of `struct xen_domctl_vm_event_op`.
    XenDomctlVmEventOpEnable = "__typeof__(((struct xen_domctl_vm_event_op *)0)->u.enable)" {
        /// Out: event channel for ring
        port: u32,
    }
    /// Argument of `XEN_DOMCTL_vm_event_op`, in `u` of [`XenDomctl`].
    XenDomctlVmEventOp = "struct xen_domctl_vm_event_op" {
        /// XEN_VM_EVENT_*
        op: u32,
        mode: u32,
        u: [u8; 4],
    }
    /// Argument of `XEN_DOMCTL_mem_sharing_op`, in `u` of [`XenDomctl`].
    XenDomctlMemSharingOp = "struct xen_domctl_mem_sharing_op" {
        op: u8,
        u: u8,
    }
    /// Argument of `XEN_DOMCTL_audit_p2m`, in `u` of [`XenDomctl`].
    XenDomctlAuditP2m = "struct xen_domctl_audit_p2m" {
        /// Out: error counts
        orphans: u64,
        m2p_bad: u64,
        p2m_bad: u64,
    }
    /// Argument of `XEN_DOMCTL_set_virq_handler`, in `u` of [`XenDomctl`].
    XenDomctlSetVirqHandler = "struct xen_domctl_set_virq_handler" {
        /// In.
        virq: u32,
    }
    /// `struct xen_domctl_vcpuextstate`.
    XenDomctlVcpuextstate = "struct xen_domctl_vcpuextstate" {
        /// In: VCPU that this call applies to.
        vcpu: u32,
        _pad0: [u8; 4],
        xfeature_mask: u64,
        /// SET: size of struct (IN) GET: size of struct (IN/OUT)
        size: u64,
        buffer: GuestPtr<u64>,
    }
    /// Argument of `XEN_DOMCTL_set_access_required`, in `u` of [`XenDomctl`].
    XenDomctlSetAccessRequired = "struct xen_domctl_set_access_required" {
        access_required: u8,
    }
    /// Argument of `XEN_DOMCTL_set_broken_page_p2m`, in `u` of [`XenDomctl`].
    XenDomctlSetBrokenPageP2m = "struct xen_domctl_set_broken_page_p2m" {
        pfn: u64,
    }
    /// Argument of `XEN_DOMCTL_cacheflush`, in `u` of [`XenDomctl`].
    XenDomctlCacheflush = "struct xen_domctl_cacheflush" {
        /// In: page range to flush.
        start_pfn: xen_pfn_t,
        /// In: page range to flush.
        nr_pfns: xen_pfn_t,
    }
    /// `struct xen_domctl_paging_mempool`.
    XenDomctlPagingMempool = "struct xen_domctl_paging_mempool" {
        /// Size in bytes.
        size: u64,
    }
    /// `struct xen_domctl_vcpu_msr`.
    XenDomctlVcpuMsr = "struct xen_domctl_vcpu_msr" {
        index: u32,
        reserved: u32,
        value: u64,
    }
    /// `struct xen_domctl_vcpu_msrs`.
    XenDomctlVcpuMsrs = "struct xen_domctl_vcpu_msrs" {
        /// In.
        vcpu: u32,
        /// In and out.
        msr_count: u32,
        /// In and out.
        msrs: GuestPtr<XenDomctlVcpuMsr>,
    }
    /// `struct xen_domctl_vnuma`.
    XenDomctlVnuma = "struct xen_domctl_vnuma" {
        /// In: number of vNUMA nodes to setup. Shall be greater than 0
        nr_vnodes: u32,
        /// In: number of memory ranges to setup
        nr_vmemranges: u32,
        /// In: number of vCPUs of the domain (used as size of the vcpu_to_vnode array declared below). Shall be equal to the domain's max_vcpus.
        nr_vcpus: u32,
        /// Must be zero
        pad: u32,
        /// In: array for specifying the distances of the vNUMA nodes between each others. Shall have nr_vnodes*nr_vnodes elements.
        vdistance: GuestPtr<u32>,
        /// In: array for specifying to what vNUMA node each vCPU belongs. Shall have nr_vcpus elements.
        vcpu_to_vnode: GuestPtr<u32>,
        /// In: array for specifying on what physical NUMA node each vNUMA node is placed. Shall have nr_vnodes elements.
        vnode_to_pnode: GuestPtr<u32>,
        /// In: array for specifying the memory ranges. Shall have nr_vmemranges elements.
        vmemrange: GuestPtr<XenVmemrange>,
    }
    /// Argument of `XEN_DOMCTL_psr_cmt_op`, in `u` of [`XenDomctl`].
    XenDomctlPsrCmtOp = "struct xen_domctl_psr_cmt_op" {
        cmd: u32,
        data: u32,
    }
    /// Member `u.mov_to_cr` of `struct xen_domctl_monitor_op`.
    XenDomctlMonitorOpMovToCr = "__typeof__(((struct xen_domctl_monitor_op *)0)->u.mov_to_cr)" {
        /// Which control register
        index: u8,
        /// Pause vCPU until response
        sync: u8,
        /// Send event only on a change of value
        onchangeonly: u8,
        /// Alignment padding
        pad1: u8,
        pad2: u32,
        /// Send event only if the changed bit in the control register is not masked.
        bitmask: u64,
    }
    /// Member `u.mov_to_msr` of `struct xen_domctl_monitor_op`.
    XenDomctlMonitorOpMovToMsr = "__typeof__(((struct xen_domctl_monitor_op *)0)->u.mov_to_msr)" {
        msr: u32,
        /// Send event only on a change of value
        onchangeonly: u8,
        _pad0: [u8; 3],
    }
    /// Member `u.guest_request` of `struct xen_domctl_monitor_op`.
    XenDomctlMonitorOpGuestRequest = "__typeof__(((struct xen_domctl_monitor_op *)0)->u.guest_request)" {
        /// Pause vCPU until response
        sync: u8,
        allow_userspace: u8,
    }
    /// Member `u.debug_exception` of `struct xen_domctl_monitor_op`.
    XenDomctlMonitorOpDebugException = "__typeof__(((struct xen_domctl_monitor_op *)0)->u.debug_exception)" {
        /// Pause vCPU until response
        sync: u8,
    }
    /// Member `u.vmexit` of `struct xen_domctl_monitor_op`.
    XenDomctlMonitorOpVmexit = "__typeof__(((struct xen_domctl_monitor_op *)0)->u.vmexit)" {
        /// Send event and don't process vmexit
        sync: u8,
    }
    /// Argument of `XEN_DOMCTL_monitor_op`, in `u` of [`XenDomctl`].
    XenDomctlMonitorOp = "struct xen_domctl_monitor_op" {
        op: u32,
        event: u32,
        u: [u8; 16],
        _pad0: [u64; 0],
    }
    /// Argument of `XEN_DOMCTL_psr_alloc`, in `u` of [`XenDomctl`].
    XenDomctlPsrAlloc = "struct xen_domctl_psr_alloc" {
        /// In: XEN_DOMCTL_PSR_*
        cmd: u32,
        /// In.
        target: u32,
        /// In and out.
        data: u64,
    }
    /// Argument of `XEN_DOMCTL_vuart_op`, in `u` of [`XenDomctl`].
    XenDomctlVuartOp = "struct xen_domctl_vuart_op" {
        cmd: u32,
        /// In: type of vuart. Currently only vpl011 supported.
        r#type: u32,
        /// In: guest gfn to be used as a ring buffer.
        gfn: u64,
        /// In: domid of domain running the backend console.
        console_domid: domid_t,
        pad: [u8; 2],
        /// Out: remote port of the event channel used for sending ring buffer events.
        evtchn: evtchn_port_t,
    }
    /// Argument of `XEN_DOMCTL_vmtrace_op`, in `u` of [`XenDomctl`].
    XenDomctlVmtraceOp = "struct xen_domctl_vmtrace_op" {
        /// In.
        cmd: u32,
        /// In.
        vcpu: u32,
        /// IN - @cmd specific data.
        key: u64,
        /// IN/OUT - @cmd specific data.
        value: u64,
    }
    /// Argument of `domctl`: `u` holds the struct that belongs to `cmd`.
    XenDomctl = "struct xen_domctl" {
        cmd: u32,
        interface_version: u32,
        domain: domid_t,
        _pad: [u16; 3],
        u: [u8; 128],
        _pad0: [u64; 0],
    }
}
