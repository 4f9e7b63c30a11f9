//! `arch-x86/xen.h`: what all x86 guests share.

use crate::arch_x86_64::CpuUserRegs;

/// A frame number (machine, guest-physical or pseudo-physical, by context).
pub type xen_pfn_t = u64;
/// `unsigned long` of the hypervisor's native ABI.
pub type xen_ulong_t = u64;

consts! {
    /// This architecture has PV entry and upcall masks.
    u32 {
        XEN_HAVE_PV_GUEST_ENTRY = 1,
        XEN_HAVE_PV_UPCALL_MASK = 1,
    }
    /// The guest's GDT ends here; the hypervisor's descriptors follow.
    u32 {
        FIRST_RESERVED_GDT_PAGE = 14,
        FIRST_RESERVED_GDT_BYTE = 57344,
        FIRST_RESERVED_GDT_ENTRY = 7168,
    }
    /// Vcpus that have a `vcpu_info` inside `shared_info`.
    usize {
        XEN_LEGACY_MAX_VCPUS = 32,
    }
    /// Bit number of a `VGCF_*` flag.
    u32 {
        _VGCF_i387_valid = 0,
        _VGCF_in_kernel = 2,
        _VGCF_failsafe_disables_events = 3,
        _VGCF_syscall_disables_events = 4,
        _VGCF_online = 5,
    }
    /// Flag of `vcpu_guest_context`.
    u64 {
        VGCF_I387_VALID = 1 << 0,
        VGCF_IN_KERNEL = 1 << 2,
        VGCF_i387_valid = 1 << _VGCF_i387_valid,
        VGCF_in_kernel = 1 << _VGCF_in_kernel,
        VGCF_failsafe_disables_events = 1 << _VGCF_failsafe_disables_events,
        VGCF_syscall_disables_events = 1 << _VGCF_syscall_disables_events,
        VGCF_online = 1 << _VGCF_online,
    }
    /// Bit number of an emulated device.
    u32 {
        _XEN_X86_EMU_LAPIC = 0,
        _XEN_X86_EMU_HPET = 1,
        _XEN_X86_EMU_PM = 2,
        _XEN_X86_EMU_RTC = 3,
        _XEN_X86_EMU_IOAPIC = 4,
        _XEN_X86_EMU_PIC = 5,
        _XEN_X86_EMU_VGA = 6,
        _XEN_X86_EMU_IOMMU = 7,
        _XEN_X86_EMU_PIT = 8,
        _XEN_X86_EMU_USE_PIRQ = 9,
        _XEN_X86_EMU_VPCI = 10,
    }
    /// Emulated device, in `emulation_flags`.
    u32 {
        XEN_X86_EMU_LAPIC = 1 << _XEN_X86_EMU_LAPIC,
        XEN_X86_EMU_HPET = 1 << _XEN_X86_EMU_HPET,
        XEN_X86_EMU_PM = 1 << _XEN_X86_EMU_PM,
        XEN_X86_EMU_RTC = 1 << _XEN_X86_EMU_RTC,
        XEN_X86_EMU_IOAPIC = 1 << _XEN_X86_EMU_IOAPIC,
        XEN_X86_EMU_PIC = 1 << _XEN_X86_EMU_PIC,
        XEN_X86_EMU_VGA = 1 << _XEN_X86_EMU_VGA,
        XEN_X86_EMU_IOMMU = 1 << _XEN_X86_EMU_IOMMU,
        XEN_X86_EMU_PIT = 1 << _XEN_X86_EMU_PIT,
        XEN_X86_EMU_USE_PIRQ = 1 << _XEN_X86_EMU_USE_PIRQ,
        XEN_X86_EMU_VPCI = 1 << _XEN_X86_EMU_VPCI,
        XEN_X86_EMU_ALL = 0x7ff,
    }
    /// Bit of `misc_flags`.
    u32 {
        XEN_X86_MSR_RELAXED = 1 << 0,
        XEN_X86_MISC_FLAGS_MAX = XEN_X86_MSR_RELAXED,
    }
    /// The leaf has no sub-leaves.
    u32 {
        XEN_CPUID_NO_SUBLEAF = 0xffffffff,
    }
    /// Port whose writes go to the hypervisor's console.
    u16 {
        XEN_HVM_DEBUGCONS_IOPORT = 0xe9,
    }
}

structs! {
    /// One entry of `set_trap_table`. The low two bits of `flags` are the DPL, bit 2 says that events are masked on entry.
    TrapInfo = "struct trap_info" {
        /// Exception vector
        vector: u8,
        /// 0-3: privilege level, 4: clear event enable?
        flags: u8,
        /// Code selector
        cs: u16,
        _pad0: [u8; 4],
        /// Code offset
        address: u64,
    }
    /// Member `fpu_ctxt` of `struct vcpu_guest_context`.
    VcpuGuestContextFpuCtxt = "__typeof__(((struct vcpu_guest_context *)0)->fpu_ctxt)" {
        x: [u8; 512],
    }
    /// The whole state of a PV vcpu, for `VCPUOP_initialise` and `setvcpucontext`.
    VcpuGuestContext = "struct vcpu_guest_context" {
        /// User-level FPU registers
        fpu_ctxt: VcpuGuestContextFpuCtxt,
        /// VGCF_* flags
        flags: u64,
        /// User-level CPU registers
        user_regs: CpuUserRegs,
        /// Virtual IDT
        trap_ctxt: [TrapInfo; 256],
        /// LDT (linear address, # ents)
        ldt_base: u64,
        /// LDT (linear address, # ents)
        ldt_ents: u64,
        /// GDT (machine frames, # ents)
        gdt_frames: [u64; 16],
        /// GDT (machine frames, # ents)
        gdt_ents: u64,
        /// Virtual TSS (only SS1/SP1)
        kernel_ss: u64,
        /// Virtual TSS (only SS1/SP1)
        kernel_sp: u64,
        /// CR0-CR7 (control registers)
        ctrlreg: [u64; 8],
        /// DB0-DB7 (debug registers)
        debugreg: [u64; 8],
        event_callback_eip: u64,
        failsafe_callback_eip: u64,
        syscall_callback_eip: u64,
        /// VMASST_TYPE_* bitmap
        vm_assist: u64,
        /// Segment base addresses.
        fs_base: u64,
        gs_base_kernel: u64,
        gs_base_user: u64,
    }
    /// The x86 part of [`SharedInfo`](crate::xen::SharedInfo): where the guest keeps its p2m.
    ArchSharedInfo = "struct arch_shared_info" {
        /// Number of valid entries in the p2m table(s) anchored at pfn_to_mfn_frame_list_list and/or p2m_vaddr.
        max_pfn: u64,
        pfn_to_mfn_frame_list_list: xen_pfn_t,
        nmi_reason: u64,
        /// cr3 value of the p2m address space
        p2m_cr3: u64,
        /// Virtual address of the p2m list
        p2m_vaddr: u64,
        /// Generation count of p2m mapping
        p2m_generation: u64,
    }
    /// The x86 part of a domain's configuration.
    XenArchDomainconfig = "struct xen_arch_domainconfig" {
        emulation_flags: u32,
        misc_flags: u32,
    }
    /// One CPUID leaf of a policy.
    XenCpuidLeaf = "struct xen_cpuid_leaf" {
        leaf: u32,
        subleaf: u32,
        a: u32,
        b: u32,
        c: u32,
        d: u32,
    }
    /// One MSR of a policy.
    XenMsrEntry = "struct xen_msr_entry" {
        idx: u32,
        /// Reserved MBZ.
        flags: u32,
        val: u64,
    }
}

impl TrapInfo {
    /// Lowest privilege (highest ring) that may raise this vector with `int` (`TI_GET_DPL`).
    #[must_use]
    pub const fn dpl(&self) -> u8 {
        self.flags & 3
    }

    /// Whether events are masked on entry (`TI_GET_IF`).
    #[must_use]
    pub const fn masks_events(&self) -> bool {
        self.flags & 4 != 0
    }
}

/// `ud2a; .ascii "xen"`: an instruction behind these bytes is emulated by the hypervisor (`XEN_EMULATE_PREFIX`).
pub const EMULATE_PREFIX: [u8; 5] = [0x0f, 0x0b, 0x78, 0x65, 0x6e];
