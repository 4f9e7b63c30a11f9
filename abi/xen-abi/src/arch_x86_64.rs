//! `arch-x86/xen-x86_64.h`: selectors, address ranges and registers of 64-bit guests.

/// The entry point of a guest callback.
pub type xen_callback_t = u64;

consts! {
    /// Selector that every 64-bit PV guest has.
    u16 {
        /// GDT index 260
        FLAT_RING3_CS32 = 0xe023,
        /// GDT index 262
        FLAT_RING3_CS64 = 0xe033,
        /// GDT index 261
        FLAT_RING3_DS32 = 0xe02b,
        /// NULL selector
        FLAT_RING3_DS64 = 0x0000,
        /// GDT index 261
        FLAT_RING3_SS32 = 0xe02b,
        /// GDT index 261
        FLAT_RING3_SS64 = 0xe02b,
        FLAT_KERNEL_DS64 = FLAT_RING3_DS64,
        FLAT_KERNEL_DS32 = FLAT_RING3_DS32,
        FLAT_KERNEL_DS = FLAT_KERNEL_DS64,
        FLAT_KERNEL_CS64 = FLAT_RING3_CS64,
        FLAT_KERNEL_CS32 = FLAT_RING3_CS32,
        FLAT_KERNEL_CS = FLAT_KERNEL_CS64,
        FLAT_KERNEL_SS64 = FLAT_RING3_SS64,
        FLAT_KERNEL_SS32 = FLAT_RING3_SS32,
        FLAT_KERNEL_SS = FLAT_KERNEL_SS64,
        FLAT_USER_DS64 = FLAT_RING3_DS64,
        FLAT_USER_DS32 = FLAT_RING3_DS32,
        FLAT_USER_DS = FLAT_USER_DS64,
        FLAT_USER_CS64 = FLAT_RING3_CS64,
        FLAT_USER_CS32 = FLAT_RING3_CS32,
        FLAT_USER_CS = FLAT_USER_CS64,
        FLAT_USER_SS64 = FLAT_RING3_SS64,
        FLAT_USER_SS32 = FLAT_RING3_SS32,
        FLAT_USER_SS = FLAT_USER_SS64,
    }
    /// The range that belongs to the hypervisor.
    u64 {
        __HYPERVISOR_VIRT_START = 0xffff800000000000,
        __HYPERVISOR_VIRT_END = 0xffff880000000000,
        HYPERVISOR_VIRT_START = 0xffff800000000000,
        HYPERVISOR_VIRT_END = 0xffff880000000000,
    }
    /// The machine-to-physical table, read-only for guests.
    u64 {
        __MACH2PHYS_VIRT_START = 0xffff800000000000,
        __MACH2PHYS_VIRT_END = 0xffff804000000000,
        MACH2PHYS_VIRT_START = 0xffff800000000000,
        MACH2PHYS_VIRT_END = 0xffff804000000000,
        MACH2PHYS_NR_ENTRIES = 0x800000000,
    }
    /// Subcommand of `set_segment_base`.
    u32 {
        SEGBASE_FS = 0,
        SEGBASE_GS_USER = 1,
        SEGBASE_GS_KERNEL = 2,
        /// Set user %gs specified in base\[15:0\]
        SEGBASE_GS_USER_SEL = 3,
    }
    /// Bit number of `VGCF_in_syscall`.
    u32 {
        _VGCF_in_syscall = 8,
    }
    /// The frame was made by SYSCALL: `iret` may return with SYSRET.
    u64 {
        VGCF_in_syscall = 1 << _VGCF_in_syscall,
        VGCF_IN_SYSCALL = VGCF_in_syscall,
    }
}

structs! {
    /// What lies at the guest's stack pointer when it calls `iret`.
    IretContext = "struct iret_context" {
        rax: u64,
        r11: u64,
        rcx: u64,
        flags: u64,
        rip: u64,
        cs: u64,
        rflags: u64,
        rsp: u64,
        ss: u64,
    }
    /// Registers of a vcpu, in the order in which the public ABI lays them out.
    CpuUserRegs = "struct cpu_user_regs" {
        r15: u64,
        r14: u64,
        r13: u64,
        r12: u64,
        rbp: u64,
        rbx: u64,
        r11: u64,
        r10: u64,
        r9: u64,
        r8: u64,
        rax: u64,
        rcx: u64,
        rdx: u64,
        rsi: u64,
        rdi: u64,
        error_code: u32,
        entry_vector: u32,
        rip: u64,
        cs: u16,
        _pad0: [u16; 1],
        saved_upcall_mask: u8,
        _pad1: [u8; 3],
        rflags: u64,
        rsp: u64,
        ss: u16,
        _pad2: [u16; 3],
        es: u16,
        _pad3: [u16; 3],
        ds: u16,
        _pad4: [u16; 3],
        fs: u16,
        _pad5: [u16; 3],
        gs: u16,
        _pad6: [u16; 3],
    }
    /// The x86 part of [`VcpuInfo`](crate::xen::VcpuInfo).
    ArchVcpuInfo = "struct arch_vcpu_info" {
        cr2: u64,
        pad: u64,
    }
}

/// The frame number in a base pointer (`xen_cr3_to_pfn`); 64-bit guests use CR3's own layout.
#[must_use]
pub const fn xen_cr3_to_pfn(cr3: u64) -> u64 {
    cr3 >> 12
}

/// A base pointer from a frame number (`xen_pfn_to_cr3`); bits that do not fit are lost.
#[must_use]
pub const fn xen_pfn_to_cr3(pfn: u64) -> u64 {
    pfn << 12
}
