//! `sysctl.h`: the toolstack's operations on the system, interface version 0x15.

use crate::arch_x86::{XenCpuidLeaf, XenMsrEntry};
use crate::domctl::XenDomctlGetdomaininfo;
use crate::guest_ptr::GuestPtr;
use crate::physdev::PhysdevPciDevice;
use crate::xen::{XenctlBitmap, domid_t, xen_domain_handle_t};

consts! {
    /// What `interface_version` must be.
    u32 {
        XEN_SYSCTL_INTERFACE_VERSION = 0x00000015,
    }
    /// Bit number of a flag.
    u32 {
        _XEN_SYSCTL_PHYSCAP_hvm = 0,
        _XEN_SYSCTL_PHYSCAP_pv = 1,
        _XEN_SYSCTL_PHYSCAP_directio = 2,
        _XEN_SYSCTL_PHYSCAP_hap = 3,
        _XEN_SYSCTL_PHYSCAP_shadow = 4,
        _XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share = 5,
    }
    /// Subcommand of `XEN_SYSCTL_tbuf_op`.
    u32 {
        XEN_SYSCTL_TBUFOP_get_info = 0,
        XEN_SYSCTL_TBUFOP_set_cpu_mask = 1,
        XEN_SYSCTL_TBUFOP_set_evt_mask = 2,
        XEN_SYSCTL_TBUFOP_set_size = 3,
        XEN_SYSCTL_TBUFOP_enable = 4,
        XEN_SYSCTL_TBUFOP_disable = 5,
    }
    /// Capability of the host.
    u32 {
        XEN_SYSCTL_PHYSCAP_hvm = 1 << _XEN_SYSCTL_PHYSCAP_hvm,
        XEN_SYSCTL_PHYSCAP_pv = 1 << _XEN_SYSCTL_PHYSCAP_pv,
        XEN_SYSCTL_PHYSCAP_directio = 1 << _XEN_SYSCTL_PHYSCAP_directio,
        XEN_SYSCTL_PHYSCAP_hap = 1 << _XEN_SYSCTL_PHYSCAP_hap,
        XEN_SYSCTL_PHYSCAP_shadow = 1 << _XEN_SYSCTL_PHYSCAP_shadow,
        XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share = 1 << _XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share,
        XEN_SYSCTL_PHYSCAP_vmtrace = 1 << 6,
        XEN_SYSCTL_PHYSCAP_vpmu = 1 << 7,
        XEN_SYSCTL_PHYSCAP_gnttab_v1 = 1 << 8,
        XEN_SYSCTL_PHYSCAP_gnttab_v2 = 1 << 9,
        XEN_SYSCTL_PHYSCAP_MAX = XEN_SYSCTL_PHYSCAP_gnttab_v2,
    }
    /// Subcommand of `XEN_SYSCTL_perfc_op`.
    u32 {
        /// Reset all counters to zero.
        XEN_SYSCTL_PERFCOP_reset = 1,
        /// Get perfctr information.
        XEN_SYSCTL_PERFCOP_query = 2,
    }
    /// Subcommand of `XEN_SYSCTL_get_pmstat`.
    u32 {
        PMSTAT_CATEGORY_MASK = 0xf0,
        PMSTAT_PX = 0x10,
        PMSTAT_CX = 0x20,
        PMSTAT_get_max_px = 0x11,
        PMSTAT_get_pxstat = 0x12,
        PMSTAT_reset_pxstat = 0x13,
        PMSTAT_get_max_cx = 0x21,
        PMSTAT_get_cxstat = 0x22,
        PMSTAT_reset_cxstat = 0x23,
    }
    /// Subcommand of `XEN_SYSCTL_cpu_hotplug`.
    u32 {
        XEN_SYSCTL_CPU_HOTPLUG_ONLINE = 0,
        XEN_SYSCTL_CPU_HOTPLUG_OFFLINE = 1,
        XEN_SYSCTL_CPU_HOTPLUG_SMT_ENABLE = 2,
        XEN_SYSCTL_CPU_HOTPLUG_SMT_DISABLE = 3,
    }
    /// Size of a governor's name.
    usize {
        CPUFREQ_NAME_LEN = 16,
    }
    /// Parameter of a frequency governor.
    u32 {
        SCALING_MAX_FREQ = 1,
        SCALING_MIN_FREQ = 2,
        SCALING_SETSPEED = 3,
        SAMPLING_RATE = 4,
        UP_THRESHOLD = 5,
    }
    /// Subcommand of `XEN_SYSCTL_pm_op`.
    u32 {
        PM_PARA_CATEGORY_MASK = 0xf0,
        CPUFREQ_PARA = 0x10,
        GET_CPUFREQ_PARA = 0x11,
        SET_CPUFREQ_GOV = 0x12,
        SET_CPUFREQ_PARA = 0x13,
        GET_CPUFREQ_AVGFREQ = 0x14,
        XEN_SYSCTL_pm_op_set_sched_opt_smt = 0x21,
        XEN_SYSCTL_pm_op_get_max_cstate = 0x22,
        XEN_SYSCTL_pm_op_set_max_cstate = 0x23,
        XEN_SYSCTL_pm_op_set_vcpu_migration_delay = 0x24,
        XEN_SYSCTL_pm_op_get_vcpu_migration_delay = 0x25,
        XEN_SYSCTL_pm_op_enable_turbo = 0x26,
        XEN_SYSCTL_pm_op_disable_turbo = 0x27,
    }
    /// No limit on idle states.
    u32 {
        XEN_SYSCTL_CX_UNLIMITED = 0xffffffff,
    }
    /// Subcommand of `XEN_SYSCTL_page_offline_op`.
    u32 {
        sysctl_page_offline = 1,
        sysctl_page_online = 2,
        sysctl_query_page_offline = 3,
    }
    /// Status of a page, on its way off or on.
    u32 {
        PG_OFFLINE_STATUS_MASK = 0xff,
        PG_OFFLINE_INVALID = 0x1,
        PG_OFFLINE_OFFLINED = 0x1 << 1,
        PG_OFFLINE_PENDING = 0x1 << 2,
        PG_OFFLINE_FAILED = 0x1 << 3,
        PG_OFFLINE_AGAIN = 0x1 << 4,
        PG_ONLINE_FAILED = PG_OFFLINE_FAILED,
        PG_ONLINE_ONLINED = PG_OFFLINE_OFFLINED,
        PG_OFFLINE_STATUS_OFFLINED = 0x1 << 1,
        PG_OFFLINE_STATUS_ONLINE = 0x1 << 2,
        PG_OFFLINE_STATUS_OFFLINE_PENDING = 0x1 << 3,
        PG_OFFLINE_STATUS_BROKEN = 0x1 << 4,
        PG_OFFLINE_MISC_MASK = 0xff << 4,
        PG_OFFLINE_XENPAGE = 0x1 << 8,
        PG_OFFLINE_DOM0PAGE = 0x1 << 9,
        PG_OFFLINE_ANONYMOUS = 0x1 << 10,
        PG_OFFLINE_NOT_CONV_RAM = 0x1 << 11,
        PG_OFFLINE_OWNED = 0x1 << 12,
        PG_OFFLINE_BROKEN = 0x1 << 13,
        PG_ONLINE_BROKEN = PG_OFFLINE_BROKEN,
        PG_OFFLINE_OWNER_SHIFT = 16,
    }
    /// Subcommand of `XEN_SYSCTL_lockprof_op`, or the number of lock kinds.
    u32 {
        /// Reset all profile data to zero.
        XEN_SYSCTL_LOCKPROF_reset = 1,
        /// Get lock profile information.
        XEN_SYSCTL_LOCKPROF_query = 2,
        /// Number of types
        LOCKPROF_TYPE_N = 2,
    }
    /// Kind of lock.
    i32 {
        /// Global lock, idx meaningless
        LOCKPROF_TYPE_GLOBAL = 0,
        /// Per-domain lock, idx is domid
        LOCKPROF_TYPE_PERDOM = 1,
    }
    /// No such thing.
    u32 {
        XEN_INVALID_CORE_ID = 0xffffffff,
        XEN_INVALID_SOCKET_ID = 0xffffffff,
        XEN_INVALID_NODE_ID = 0xffffffff,
        XEN_INVALID_MEM_SZ = 0xffffffff,
        XEN_INVALID_NODE_DIST = 0xffffffff,
        XEN_INVALID_DEV = 4294967294,
    }
    /// Subcommand of `XEN_SYSCTL_cpupool_op`, or any pool.
    u32 {
        XEN_SYSCTL_CPUPOOL_OP_CREATE = 1,
        XEN_SYSCTL_CPUPOOL_OP_DESTROY = 2,
        XEN_SYSCTL_CPUPOOL_OP_INFO = 3,
        XEN_SYSCTL_CPUPOOL_OP_ADDCPU = 4,
        XEN_SYSCTL_CPUPOOL_OP_RMCPU = 5,
        XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN = 6,
        XEN_SYSCTL_CPUPOOL_OP_FREEINFO = 7,
        XEN_SYSCTL_CPUPOOL_PAR_ANY = 0xffffffff,
    }
    /// Entries in an ARINC 653 schedule.
    usize {
        ARINC653_MAX_DOMAINS_PER_SCHEDULE = 64,
    }
    /// Limit of a scheduling parameter: milliseconds for time slices, microseconds otherwise.
    u32 {
        XEN_SYSCTL_SCHED_RATELIMIT_MAX = 500000,
        XEN_SYSCTL_SCHED_RATELIMIT_MIN = 100,
        XEN_SYSCTL_CSCHED_TSLICE_MAX = 1000,
        XEN_SYSCTL_CSCHED_TSLICE_MIN = 1,
        XEN_SYSCTL_CSCHED_MGR_DLY_MAX_US = 100000,
    }
    /// Subcommand of `XEN_SYSCTL_scheduler_op`.
    u32 {
        XEN_SYSCTL_SCHEDOP_putinfo = 0,
        XEN_SYSCTL_SCHEDOP_getinfo = 1,
    }
    /// Begins a coverage dump.
    u32 {
        /// XCOV
        XEN_GCOV_FORMAT_MAGIC = 0x58434f56,
    }
    /// Subcommand of `XEN_SYSCTL_coverage_op`.
    u32 {
        /// Get total size of output data
        XEN_SYSCTL_COVERAGE_get_size = 0,
        /// Read output data
        XEN_SYSCTL_COVERAGE_read = 1,
        /// Reset all counters
        XEN_SYSCTL_COVERAGE_reset = 2,
    }
    /// Subcommand or flag of the platform shared-resource operations.
    u32 {
        XEN_SYSCTL_PSR_CMT_get_total_rmid = 0,
        XEN_SYSCTL_PSR_CMT_get_l3_upscaling_factor = 1,
        XEN_SYSCTL_PSR_CMT_get_l3_cache_size = 2,
        XEN_SYSCTL_PSR_CMT_enabled = 3,
        XEN_SYSCTL_PSR_CMT_get_l3_event_mask = 4,
        XEN_SYSCTL_PSR_get_l3_info = 0,
        XEN_SYSCTL_PSR_get_l2_info = 1,
        XEN_SYSCTL_PSR_get_mba_info = 2,
        XEN_SYSCTL_PSR_CAT_L3_CDP = 1 << 0,
        XEN_SYSCTL_PSR_MBA_LINEAR = 1 << 0,
    }
    /// What the host can mask in CPUID.
    u32 {
        /// CPUID faulting
        XEN_SYSCTL_CPU_LEVELCAP_faulting = 1 << 0,
        /// 0x00000001.ecx
        XEN_SYSCTL_CPU_LEVELCAP_ecx = 1 << 1,
        /// 0x00000001.edx
        XEN_SYSCTL_CPU_LEVELCAP_edx = 1 << 2,
        /// 0x80000001.ecx
        XEN_SYSCTL_CPU_LEVELCAP_extd_ecx = 1 << 3,
        /// 0x80000001.edx
        XEN_SYSCTL_CPU_LEVELCAP_extd_edx = 1 << 4,
        /// 0x0000000D:1.eax
        XEN_SYSCTL_CPU_LEVELCAP_xsave_eax = 1 << 5,
        /// 0x00000006.ecx
        XEN_SYSCTL_CPU_LEVELCAP_thermal_ecx = 1 << 6,
        /// 0x00000007:0.eax
        XEN_SYSCTL_CPU_LEVELCAP_l7s0_eax = 1 << 7,
        /// 0x00000007:0.ebx
        XEN_SYSCTL_CPU_LEVELCAP_l7s0_ebx = 1 << 8,
    }
    /// Which policy or feature set.
    u32 {
        XEN_SYSCTL_cpu_featureset_raw = 0,
        XEN_SYSCTL_cpu_featureset_host = 1,
        XEN_SYSCTL_cpu_featureset_pv = 2,
        XEN_SYSCTL_cpu_featureset_hvm = 3,
        XEN_SYSCTL_cpu_featureset_pv_max = 4,
        XEN_SYSCTL_cpu_featureset_hvm_max = 5,
        XEN_SYSCTL_cpu_policy_raw = 0,
        XEN_SYSCTL_cpu_policy_host = 1,
        XEN_SYSCTL_cpu_policy_pv_max = 2,
        XEN_SYSCTL_cpu_policy_hvm_max = 3,
        XEN_SYSCTL_cpu_policy_pv_default = 4,
        XEN_SYSCTL_cpu_policy_hvm_default = 5,
    }
    /// Version of a live patch.
    u32 {
        LIVEPATCH_PAYLOAD_VERSION = 2,
    }
    /// Size of a live patch's name.
    usize {
        XEN_LIVEPATCH_NAME_SIZE = 128,
    }
    /// State or action of a live patch.
    u32 {
        LIVEPATCH_STATE_CHECKED = 1,
        LIVEPATCH_STATE_APPLIED = 2,
        LIVEPATCH_ACTION_UNLOAD = 1,
        LIVEPATCH_ACTION_REVERT = 2,
        LIVEPATCH_ACTION_APPLY = 3,
        LIVEPATCH_ACTION_REPLACE = 4,
        LIVEPATCH_ACTION_APPLY_NODEPS = 1 << 0,
    }
    /// Subcommand of `XEN_SYSCTL_livepatch_op`.
    u32 {
        XEN_SYSCTL_LIVEPATCH_UPLOAD = 0,
        XEN_SYSCTL_LIVEPATCH_GET = 1,
        XEN_SYSCTL_LIVEPATCH_LIST = 2,
        XEN_SYSCTL_LIVEPATCH_ACTION = 3,
    }
    /// Subcommand of `sysctl`.
    u32 {
        XEN_SYSCTL_readconsole = 1,
        XEN_SYSCTL_tbuf_op = 2,
        XEN_SYSCTL_physinfo = 3,
        XEN_SYSCTL_sched_id = 4,
        XEN_SYSCTL_perfc_op = 5,
        XEN_SYSCTL_getdomaininfolist = 6,
        XEN_SYSCTL_debug_keys = 7,
        XEN_SYSCTL_getcpuinfo = 8,
        XEN_SYSCTL_availheap = 9,
        XEN_SYSCTL_get_pmstat = 10,
        XEN_SYSCTL_cpu_hotplug = 11,
        XEN_SYSCTL_pm_op = 12,
        XEN_SYSCTL_page_offline_op = 14,
        XEN_SYSCTL_lockprof_op = 15,
        XEN_SYSCTL_cputopoinfo = 16,
        XEN_SYSCTL_numainfo = 17,
        XEN_SYSCTL_cpupool_op = 18,
        XEN_SYSCTL_scheduler_op = 19,
        XEN_SYSCTL_coverage_op = 20,
        XEN_SYSCTL_psr_cmt_op = 21,
        XEN_SYSCTL_pcitopoinfo = 22,
        XEN_SYSCTL_psr_alloc = 23,
        XEN_SYSCTL_get_cpu_levelling_caps = 25,
        XEN_SYSCTL_get_cpu_featureset = 26,
        XEN_SYSCTL_livepatch_op = 27,
        XEN_SYSCTL_get_cpu_policy = 29,
    }
}

structs! {
    /// Argument of `XEN_SYSCTL_readconsole`, in `u` of [`XenSysctl`].
    XenSysctlReadconsole = "struct xen_sysctl_readconsole" {
        /// In: Non-zero -\> clear after reading.
        clear: u8,
        /// In: Non-zero -\> start index specified by @index field.
        incremental: u8,
        pad0: u8,
        pad1: u8,
        /// In: Start index for consuming from ring buffer (if @incremental) Out: End index after consuming from ring buffer.
        index: u32,
        /// In: Virtual address to write console data.
        buffer: GuestPtr<u8>,
        /// In: Size of buffer Out: Bytes written to buffer.
        count: u32,
        _pad0: [u8; 4],
    }
    /// Argument of `XEN_SYSCTL_tbuf_op`, in `u` of [`XenSysctl`].
    XenSysctlTbufOp = "struct xen_sysctl_tbuf_op" {
        /// In.
        cmd: u32,
        _pad0: [u8; 4],
        /// In and out.
        cpu_mask: XenctlBitmap,
        /// In and out.
        evt_mask: u32,
        _pad1: [u8; 4],
        /// Out.
        buffer_mfn: u64,
        /// Also an IN variable!
        size: u32,
        _pad2: [u8; 4],
    }
    /// Argument of `XEN_SYSCTL_physinfo`, in `u` of [`XenSysctl`].
    XenSysctlPhysinfo = "struct xen_sysctl_physinfo" {
        threads_per_core: u32,
        cores_per_socket: u32,
        nr_cpus: u32,
        /// Largest possible CPU ID on this host
        max_cpu_id: u32,
        nr_nodes: u32,
        /// Largest possible node ID on this host
        max_node_id: u32,
        cpu_khz: u32,
        capabilities: u32,
        arch_capabilities: u32,
        pad: u32,
        total_pages: u64,
        free_pages: u64,
        scrub_pages: u64,
        outstanding_pages: u64,
        /// Largest possible MFN on this host
        max_mfn: u64,
        hw_cap: [u32; 8],
    }
    /// Argument of `XEN_SYSCTL_sched_id`, in `u` of [`XenSysctl`].
    XenSysctlSchedId = "struct xen_sysctl_sched_id" {
        /// Out.
        sched_id: u32,
    }
    /// `struct xen_sysctl_perfc_desc`.
    XenSysctlPerfcDesc = "struct xen_sysctl_perfc_desc" {
        /// Name of perf counter
        name: [u8; 80],
        /// Number of values for this counter
        nr_vals: u32,
    }
    /// Argument of `XEN_SYSCTL_perfc_op`, in `u` of [`XenSysctl`].
    XenSysctlPerfcOp = "struct xen_sysctl_perfc_op" {
        /// In.
        cmd: u32,
        /// Number of counters description
        nr_counters: u32,
        /// Number of values
        nr_vals: u32,
        _pad0: [u8; 4],
        /// Counter information (or NULL)
        desc: GuestPtr<XenSysctlPerfcDesc>,
        /// Counter values (or NULL)
        val: GuestPtr<u32>,
    }
    /// Argument of `XEN_SYSCTL_getdomaininfolist`, in `u` of [`XenSysctl`].
    XenSysctlGetdomaininfolist = "struct xen_sysctl_getdomaininfolist" {
        /// In.
        first_domain: domid_t,
        _pad0: [u8; 2],
        /// In.
        max_domains: u32,
        /// In.
        buffer: GuestPtr<XenDomctlGetdomaininfo>,
        /// Out.
        num_domains: u32,
        _pad1: [u8; 4],
    }
    /// Argument of `XEN_SYSCTL_debug_keys`, in `u` of [`XenSysctl`].
    XenSysctlDebugKeys = "struct xen_sysctl_debug_keys" {
        /// In.
        keys: GuestPtr<u8>,
        /// In.
        nr_keys: u32,
        _pad0: [u8; 4],
    }
    /// How long a CPU was idle, in nanoseconds.
    XenSysctlCpuinfo = "struct xen_sysctl_cpuinfo" {
        idletime: u64,
    }
    /// Argument of `XEN_SYSCTL_getcpuinfo`, in `u` of [`XenSysctl`].
    XenSysctlGetcpuinfo = "struct xen_sysctl_getcpuinfo" {
        /// In.
        max_cpus: u32,
        _pad0: [u8; 4],
        /// In.
        info: GuestPtr<XenSysctlCpuinfo>,
        /// Out.
        nr_cpus: u32,
        _pad1: [u8; 4],
    }
    /// Argument of `XEN_SYSCTL_availheap`, in `u` of [`XenSysctl`].
    XenSysctlAvailheap = "struct xen_sysctl_availheap" {
        /// Smallest address width (zero if don't care).
        min_bitwidth: u32,
        /// Largest address width (zero if don't care).
        max_bitwidth: u32,
        /// NUMA node of interest (-1 for all nodes).
        node: i32,
        _pad0: [u8; 4],
        /// Bytes available in the specified region.
        avail_bytes: u64,
    }
    /// `struct pm_px_val`.
    PmPxVal = "struct pm_px_val" {
        /// Px core frequency
        freq: u64,
        /// Px residency time
        residency: u64,
        /// Px transition count
        count: u64,
    }
    /// `struct pm_px_stat`.
    PmPxStat = "struct pm_px_stat" {
        /// Total Px states
        total: u8,
        /// Usable Px states
        usable: u8,
        /// Last Px state
        last: u8,
        /// Current Px state
        cur: u8,
        _pad0: [u8; 4],
        /// Px transition table
        trans_pt: GuestPtr<u64>,
        pt: GuestPtr<PmPxVal>,
    }
    /// `struct pm_cx_stat`.
    PmCxStat = "struct pm_cx_stat" {
        /// Entry nr in triggers & residencies, including C0
        nr: u32,
        /// Last Cx state
        last: u32,
        /// Idle time from boot
        idle_time: u64,
        /// Cx trigger counts
        triggers: GuestPtr<u64>,
        /// Cx residencies
        residencies: GuestPtr<u64>,
        /// Entry nr in pc\[\]
        nr_pc: u32,
        /// Entry nr in cc\[\]
        nr_cc: u32,
        pc: GuestPtr<u64>,
        cc: GuestPtr<u64>,
    }
    /// Argument of `XEN_SYSCTL_get_pmstat`, in `u` of [`XenSysctl`].
    XenSysctlGetPmstat = "struct xen_sysctl_get_pmstat" {
        r#type: u32,
        cpuid: u32,
        u: [u8; 56],
        _pad0: [u64; 0],
    }
    /// Argument of `XEN_SYSCTL_cpu_hotplug`, in `u` of [`XenSysctl`].
    XenSysctlCpuHotplug = "struct xen_sysctl_cpu_hotplug" {
        /// Physical cpu.
        cpu: u32,
        /// Hotplug opcode
        op: u32,
    }
    /// `struct xen_userspace`.
    XenUserspace = "struct xen_userspace" {
        scaling_setspeed: u32,
    }
    /// `struct xen_ondemand`.
    XenOndemand = "struct xen_ondemand" {
        sampling_rate_max: u32,
        sampling_rate_min: u32,
        sampling_rate: u32,
        up_threshold: u32,
    }
    /// `struct xen_get_cpufreq_para`.
    XenGetCpufreqPara = "struct xen_get_cpufreq_para" {
        /// In and out.
        cpu_num: u32,
        /// In and out.
        freq_num: u32,
        /// In and out.
        gov_num: u32,
        _pad0: [u8; 4],
        /// Out.
        affected_cpus: GuestPtr<u32>,
        /// Out.
        scaling_available_frequencies: GuestPtr<u32>,
        /// Out.
        scaling_available_governors: GuestPtr<u8>,
        /// Out.
        scaling_driver: [u8; 16],
        /// Out.
        cpuinfo_cur_freq: u32,
        /// Out.
        cpuinfo_max_freq: u32,
        /// Out.
        cpuinfo_min_freq: u32,
        /// Out.
        scaling_cur_freq: u32,
        /// Out.
        scaling_governor: [u8; 16],
        /// Out.
        scaling_max_freq: u32,
        /// Out.
        scaling_min_freq: u32,
        u: [u8; 16],
        /// Out.
        turbo_enabled: i32,
        _pad1: [u8; 4],
    }
    /// `struct xen_set_cpufreq_gov`.
    XenSetCpufreqGov = "struct xen_set_cpufreq_gov" {
        scaling_governor: [u8; 16],
    }
    /// `struct xen_set_cpufreq_para`.
    XenSetCpufreqPara = "struct xen_set_cpufreq_para" {
        ctrl_type: u32,
        ctrl_value: u32,
    }
    /// Argument of `XEN_SYSCTL_pm_op`, in `u` of [`XenSysctl`].
    XenSysctlPmOp = "struct xen_sysctl_pm_op" {
        cmd: u32,
        cpuid: u32,
        u: [u8; 120],
        _pad0: [u64; 0],
    }
    /// Argument of `XEN_SYSCTL_page_offline_op`, in `u` of [`XenSysctl`].
    XenSysctlPageOfflineOp = "struct xen_sysctl_page_offline_op" {
        cmd: u32,
        start: u32,
        end: u32,
        _pad0: [u8; 4],
        /// Bit 0~15: result flags bit 16~31: owner
        status: GuestPtr<u32>,
    }
    /// `struct xen_sysctl_lockprof_data`.
    XenSysctlLockprofData = "struct xen_sysctl_lockprof_data" {
        /// Lock name (may include up to 2 %d specifiers)
        name: [u8; 40],
        /// LOCKPROF_TYPE_*
        r#type: i32,
        /// Index (e.g. domain id)
        idx: i32,
        lock_cnt: u64,
        block_cnt: u64,
        /// Nsecs lock held
        lock_time: u64,
        /// Nsecs waited for lock
        block_time: u64,
    }
    /// Argument of `XEN_SYSCTL_lockprof_op`, in `u` of [`XenSysctl`].
    XenSysctlLockprofOp = "struct xen_sysctl_lockprof_op" {
        /// In.
        cmd: u32,
        /// Size of output buffer
        max_elem: u32,
        /// Number of elements available
        nr_elem: u32,
        _pad0: [u8; 4],
        /// Nsecs of profile measurement
        time: u64,
        /// Profile information (or NULL)
        data: GuestPtr<XenSysctlLockprofData>,
    }
    /// Where a CPU is.
    XenSysctlCputopo = "struct xen_sysctl_cputopo" {
        core: u32,
        socket: u32,
        node: u32,
    }
    /// Argument of `XEN_SYSCTL_cputopoinfo`, in `u` of [`XenSysctl`].
    XenSysctlCputopoinfo = "struct xen_sysctl_cputopoinfo" {
        num_cpus: u32,
        _pad0: [u8; 4],
        cputopo: GuestPtr<XenSysctlCputopo>,
    }
    /// A NUMA node's memory, in bytes.
    XenSysctlMeminfo = "struct xen_sysctl_meminfo" {
        memsize: u64,
        memfree: u64,
    }
    /// Argument of `XEN_SYSCTL_numainfo`, in `u` of [`XenSysctl`].
    XenSysctlNumainfo = "struct xen_sysctl_numainfo" {
        num_nodes: u32,
        _pad0: [u8; 4],
        meminfo: GuestPtr<XenSysctlMeminfo>,
        distance: GuestPtr<u32>,
    }
    /// Argument of `XEN_SYSCTL_cpupool_op`, in `u` of [`XenSysctl`].
    XenSysctlCpupoolOp = "struct xen_sysctl_cpupool_op" {
        /// In.
        op: u32,
        /// In for create, destroy, info, add CPU, remove CPU and move domain; out for create and info.
        cpupool_id: u32,
        /// In for create; out for info.
        sched_id: u32,
        /// In for move domain.
        domid: u32,
        /// In for add and remove CPU.
        cpu: u32,
        /// Out for info.
        n_dom: u32,
        /// Out for info and free info.
        cpumap: XenctlBitmap,
    }
    /// Member `sched_entries[0]` of `struct xen_sysctl_arinc653_schedule`.
    XenSysctlArinc653ScheduleSchedEntries = "__typeof__(((struct xen_sysctl_arinc653_schedule *)0)->sched_entries[0])" {
        /// dom_handle must match a domain's UUID
        dom_handle: xen_domain_handle_t,
        vcpu_id: u32,
        _pad0: [u8; 4],
        /// Runtime specifies the amount of time that should be allocated to this VCPU per major frame. It is specified in nanoseconds
        runtime: u64,
    }
    /// `struct xen_sysctl_arinc653_schedule`.
    XenSysctlArinc653Schedule = "struct xen_sysctl_arinc653_schedule" {
        /// major_frame holds the time for the new schedule's major frame in nanoseconds.
        major_frame: u64,
        /// num_sched_entries holds how many of the entries in the sched_entries\[\] array are valid.
        num_sched_entries: u8,
        _pad0: [u8; 7],
        sched_entries: [XenSysctlArinc653ScheduleSchedEntries; 64],
    }
    /// `struct xen_sysctl_credit_schedule`.
    XenSysctlCreditSchedule = "struct xen_sysctl_credit_schedule" {
        tslice_ms: u32,
        ratelimit_us: u32,
        vcpu_migr_delay_us: u32,
    }
    /// `struct xen_sysctl_credit2_schedule`.
    XenSysctlCredit2Schedule = "struct xen_sysctl_credit2_schedule" {
        ratelimit_us: u32,
    }
    /// `struct xen_sysctl_sched_arinc653`.
    XenSysctlSchedArinc653 = "struct xen_sysctl_sched_arinc653" {
        schedule: GuestPtr<XenSysctlArinc653Schedule>,
    }
    /// Argument of `XEN_SYSCTL_scheduler_op`, in `u` of [`XenSysctl`].
    XenSysctlSchedulerOp = "struct xen_sysctl_scheduler_op" {
        /// Cpupool whose scheduler is to be targetted.
        cpupool_id: u32,
        /// XEN_SCHEDULER_* (domctl.h)
        sched_id: u32,
        cmd: u32,
        _pad0: [u8; 4],
        u: [u8; 16],
        _pad1: [u64; 0],
    }
    /// Argument of `XEN_SYSCTL_coverage_op`, in `u` of [`XenSysctl`].
    XenSysctlCoverageOp = "struct xen_sysctl_coverage_op" {
        cmd: u32,
        /// In and out: size of the buffer
        size: u32,
        /// Out.
        buffer: GuestPtr<u8>,
    }
    /// Member `u.l3_cache` of `struct xen_sysctl_psr_cmt_op`.
    XenSysctlPsrCmtOpL3Cache = "__typeof__(((struct xen_sysctl_psr_cmt_op *)0)->u.l3_cache)" {
        /// In.
        cpu: u32,
        rsvd: u32,
    }
    /// Argument of `XEN_SYSCTL_psr_cmt_op`, in `u` of [`XenSysctl`].
    XenSysctlPsrCmtOp = "struct xen_sysctl_psr_cmt_op" {
        /// In: XEN_SYSCTL_PSR_CMT_*
        cmd: u32,
        /// Padding variable, may be extended for future use
        flags: u32,
        u: [u8; 8],
        _pad0: [u64; 0],
    }
    /// Argument of `XEN_SYSCTL_pcitopoinfo`, in `u` of [`XenSysctl`].
    XenSysctlPcitopoinfo = "struct xen_sysctl_pcitopoinfo" {
        /// In: Number of elements in 'devs' and 'nodes' arrays. OUT: Number of processed elements of those arrays.
        num_devs: u32,
        _pad0: [u8; 4],
        /// In: list of devices for which node IDs are requested.
        devs: GuestPtr<PhysdevPciDevice>,
        nodes: GuestPtr<u32>,
    }
    /// Member `u.cat_info` of `struct xen_sysctl_psr_alloc`.
    XenSysctlPsrAllocCatInfo = "__typeof__(((struct xen_sysctl_psr_alloc *)0)->u.cat_info)" {
        /// Out: CBM length
        cbm_len: u32,
        /// Out: Maximum COS
        cos_max: u32,
        /// Out: CAT flags
        flags: u32,
    }
    /// Member `u.mba_info` of `struct xen_sysctl_psr_alloc`.
    XenSysctlPsrAllocMbaInfo = "__typeof__(((struct xen_sysctl_psr_alloc *)0)->u.mba_info)" {
        /// Out: Maximum throttle
        thrtl_max: u32,
        /// Out: Maximum COS
        cos_max: u32,
        /// Out: MBA flags
        flags: u32,
    }
    /// Argument of `XEN_SYSCTL_psr_alloc`, in `u` of [`XenSysctl`].
    XenSysctlPsrAlloc = "struct xen_sysctl_psr_alloc" {
        /// In: XEN_SYSCTL_PSR_*
        cmd: u32,
        /// In.
        target: u32,
        u: [u8; 12],
    }
    /// `struct xen_sysctl_cpu_levelling_caps`.
    XenSysctlCpuLevellingCaps = "struct xen_sysctl_cpu_levelling_caps" {
        caps: u32,
    }
    /// `struct xen_sysctl_cpu_featureset`.
    XenSysctlCpuFeatureset = "struct xen_sysctl_cpu_featureset" {
        /// In: Which featureset to query?
        index: u32,
        nr_features: u32,
        /// Out.
        features: GuestPtr<u32>,
    }
    /// `struct xen_livepatch_name`.
    XenLivepatchName = "struct xen_livepatch_name" {
        /// In: pointer to name.
        name: GuestPtr<u8>,
        /// In: size of name. May be upto XEN_LIVEPATCH_NAME_SIZE.
        size: u16,
        /// In: MUST be zero.
        pad: [u16; 3],
    }
    /// Argument of `XEN_SYSCTL_LIVEPATCH_UPLOAD`, in `u` of [`XenSysctl`].
    XenSysctlLivepatchUpload = "struct xen_sysctl_livepatch_upload" {
        /// In: name of the patch.
        name: XenLivepatchName,
        /// In: size of the ELF file.
        size: u64,
        /// In: the ELF file.
        payload: GuestPtr<u8>,
    }
    /// `struct xen_livepatch_status`.
    XenLivepatchStatus = "struct xen_livepatch_status" {
        /// Out: LIVEPATCH_STATE_*.
        state: u32,
        /// Out: 0 if no error, otherwise -XEN_EXX.
        rc: i32,
    }
    /// Argument of `XEN_SYSCTL_LIVEPATCH_GET`, in `u` of [`XenSysctl`].
    XenSysctlLivepatchGet = "struct xen_sysctl_livepatch_get" {
        /// In: name of the payload.
        name: XenLivepatchName,
        /// In and out: state of it.
        status: XenLivepatchStatus,
    }
    /// Argument of `XEN_SYSCTL_LIVEPATCH_LIST`, in `u` of [`XenSysctl`].
    XenSysctlLivepatchList = "struct xen_sysctl_livepatch_list" {
        /// Out: Hypervisor stamps value. If varies between calls, we are getting stale data.
        version: u32,
        /// In: Index into hypervisor list.
        idx: u32,
        /// In: How many status, name, and len should fill out. Can be zero to get amount of payloads and version. OUT: How many payloads left.
        nr: u32,
        /// In: Must be zero.
        pad: u32,
        /// Out: Total size of all transfer names
        name_total_size: u32,
        /// Out: Total size of all transfer metadata
        metadata_total_size: u32,
        /// Out: must have enough space allocate for nr of them.
        status: GuestPtr<XenLivepatchStatus>,
        /// Out: Array of names. Each member may have an arbitrary length up to XEN_LIVEPATCH_NAME_SIZE bytes. Must have nr of them.
        name: GuestPtr<u8>,
        /// Out: Array of lengths of name's. Must have nr of them.
        len: GuestPtr<u32>,
        /// Out: Array of metadata strings. Each member may have an arbitrary length. Must have nr of them.
        metadata: GuestPtr<u8>,
        /// Out: Array of lengths of metadata's. Must have nr of them.
        metadata_len: GuestPtr<u32>,
    }
    /// Argument of `XEN_SYSCTL_LIVEPATCH_ACTION`, in `u` of [`XenSysctl`].
    XenSysctlLivepatchAction = "struct xen_sysctl_livepatch_action" {
        /// In: name of the patch.
        name: XenLivepatchName,
        /// In: LIVEPATCH_ACTION_*.
        cmd: u32,
        /// In: in nanoseconds; 0 for the default.
        timeout: u32,
        /// In: action flags.
        flags: u32,
        /// In: Always zero.
        pad: u32,
    }
    /// Argument of `XEN_SYSCTL_livepatch_op`, in `u` of [`XenSysctl`].
    XenSysctlLivepatchOp = "struct xen_sysctl_livepatch_op" {
        /// In: XEN_SYSCTL_LIVEPATCH_*.
        cmd: u32,
        /// In: Always zero.
        pad: u32,
        u: [u8; 64],
        _pad0: [u64; 0],
    }
    /// `struct xen_sysctl_cpu_policy`.
    XenSysctlCpuPolicy = "struct xen_sysctl_cpu_policy" {
        /// In: Which policy to query?
        index: u32,
        /// In and out: Number of leaves in/written to 'leaves', or the max number if 'leaves' is NULL.
        nr_leaves: u32,
        /// In and out: Number of MSRs in/written to 'msrs', or the max number of if 'msrs' is NULL.
        nr_msrs: u32,
        /// Must be zero.
        _rsvd: u32,
        /// Out.
        leaves: GuestPtr<XenCpuidLeaf>,
        /// Out.
        msrs: GuestPtr<XenMsrEntry>,
    }
    /// Argument of `sysctl`: `u` holds the struct that belongs to `cmd`.
    XenSysctl = "struct xen_sysctl" {
        cmd: u32,
        interface_version: u32,
        u: [u8; 128],
        _pad0: [u64; 0],
    }
}
