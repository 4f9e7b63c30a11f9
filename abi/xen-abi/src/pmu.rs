//! `pmu.h` and `arch-x86/pmu.h`: subcommands of `xenpmu_op`.

use crate::xen::domid_t;

consts! {
    /// Version of the interface.
    u32 {
        XENPMU_VER_MAJ = 0,
        XENPMU_VER_MIN = 1,
    }
    /// Mode or feature, in `val`.
    u64 {
        XENPMU_MODE_OFF = 0,
        XENPMU_MODE_SELF = 1 << 0,
        XENPMU_MODE_HV = 1 << 1,
        XENPMU_MODE_ALL = 1 << 2,
        XENPMU_FEATURE_INTEL_BTS = 1 << 0,
        XENPMU_FEATURE_IPC_ONLY = 1 << 1,
        XENPMU_FEATURE_ARCH_ONLY = 1 << 2,
    }
    /// Size of a union with its padding.
    usize {
        XENPMU_REGS_PAD_SZ = 64,
        XENPMU_CTXT_PAD_SZ = 128,
    }
    /// Subcommand of `xenpmu_op`.
    u32 {
        /// Also used for getting PMU version
        XENPMU_mode_get = 0,
        XENPMU_mode_set = 1,
        XENPMU_feature_get = 2,
        XENPMU_feature_set = 3,
        XENPMU_init = 4,
        XENPMU_finish = 5,
        XENPMU_lvtpc_set = 6,
        /// Write cached MSR values to HW
        XENPMU_flush = 7,
    }
    /// Flag in `pmu_flags`.
    u64 {
        /// PMU MSRs are cached in the context
        PMU_CACHED = 1 << 0,
        /// Sample is from user or kernel mode
        PMU_SAMPLE_USER = 1 << 1,
        /// Sample is from realmode
        PMU_SAMPLE_REAL = 1 << 2,
        /// Sample from a PV guest
        PMU_SAMPLE_PV = 1 << 3,
    }
}

structs! {
    /// Member `version` of `struct xen_pmu_params`.
    XenPmuParamsVersion = "__typeof__(((struct xen_pmu_params *)0)->version)" {
        maj: u32,
        min: u32,
    }
    /// `struct xen_pmu_params`.
    XenPmuParams = "struct xen_pmu_params" {
        version: XenPmuParamsVersion,
        /// In and out.
        val: u64,
        /// In.
        vcpu: u32,
        pad: u32,
    }
    /// `struct xen_pmu_data`.
    XenPmuData = "struct xen_pmu_data" {
        /// Interrupted VCPU
        vcpu_id: u32,
        /// Physical processor on which the interrupt occurred. On non-privileged guests set to vcpu_id,
        pcpu_id: u32,
        domain_id: domid_t,
        pad: [u8; 6],
        /// Architecture-specific information
        pmu: XenPmuArch,
    }
    /// `struct xen_pmu_amd_ctxt`.
    XenPmuAmdCtxt = "struct xen_pmu_amd_ctxt" {
        /// Offsets to counter and control MSRs (relative to xen_pmu_arch.c.amd). For PV(H) guests these fields are RO.
        counters: u32,
        ctrls: u32,
        _pad0: [u64; 0],
    }
    /// `struct xen_pmu_cntr_pair`.
    XenPmuCntrPair = "struct xen_pmu_cntr_pair" {
        counter: u64,
        control: u64,
    }
    /// `struct xen_pmu_intel_ctxt`.
    XenPmuIntelCtxt = "struct xen_pmu_intel_ctxt" {
        /// Offsets to fixed and architectural counter MSRs (relative to xen_pmu_arch.c.intel). For PV(H) guests these fields are RO.
        fixed_counters: u32,
        arch_counters: u32,
        /// PMU registers
        global_ctrl: u64,
        global_ovf_ctrl: u64,
        global_status: u64,
        fixed_ctrl: u64,
        ds_area: u64,
        pebs_enable: u64,
        debugctl: u64,
    }
    /// `struct xen_pmu_regs`.
    XenPmuRegs = "struct xen_pmu_regs" {
        ip: u64,
        sp: u64,
        flags: u64,
        cs: u16,
        ss: u16,
        cpl: u8,
        pad: [u8; 3],
    }
    /// `struct xen_pmu_arch`.
    XenPmuArch = "struct xen_pmu_arch" {
        r: [u8; 64],
        /// WO for hypervisor, RO for guest
        pmu_flags: u64,
        l: u64,
        c: [u8; 128],
    }
}
