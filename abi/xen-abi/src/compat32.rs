//! `foreign/x86_32.h`: what 32-bit PV guests have in another layout than 64-bit ones.
//!
//! Structs have the names of their 64-bit counterparts, constants keep the suffix of the header.

/// A 64-bit number that is aligned to four bytes, as i386 aligns it.
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
#[repr(transparent)]
pub struct u64_a4([u32; 2]);

impl From<u64> for u64_a4 {
    fn from(value: u64) -> Self {
        Self(zerocopy::transmute!(value))
    }
}

impl From<u64_a4> for u64 {
    fn from(value: u64_a4) -> Self {
        zerocopy::transmute!(value.0)
    }
}

consts! {
    /// Selector that every 32-bit PV guest has.
    u16 {
        /// GDT index 259
        FLAT_RING1_CS_X86_32 = 0xe019,
        /// GDT index 260
        FLAT_RING1_DS_X86_32 = 0xe021,
        /// GDT index 260
        FLAT_RING1_SS_X86_32 = 0xe021,
        FLAT_KERNEL_CS_X86_32 = FLAT_RING1_CS_X86_32,
        FLAT_KERNEL_DS_X86_32 = FLAT_RING1_DS_X86_32,
        FLAT_KERNEL_SS_X86_32 = FLAT_RING1_SS_X86_32,
    }
    /// This architecture has PV entry.
    u32 {
        XEN_HAVE_PV_GUEST_ENTRY_X86_32 = 1,
    }
    /// Vcpus that have a `vcpu_info` inside `shared_info`.
    usize {
        XEN_LEGACY_MAX_VCPUS_X86_32 = 32,
    }
    /// Bit number of a `VGCF_*` flag.
    u32 {
        _VGCF_i387_valid_X86_32 = 0,
        _VGCF_in_kernel_X86_32 = 2,
        _VGCF_failsafe_disables_events_X86_32 = 3,
        _VGCF_syscall_disables_events_X86_32 = 4,
        _VGCF_online_X86_32 = 5,
    }
    /// Flag of `vcpu_guest_context`.
    u32 {
        VGCF_i387_valid_X86_32 = 1 << _VGCF_i387_valid_X86_32,
        VGCF_in_kernel_X86_32 = 1 << _VGCF_in_kernel_X86_32,
        VGCF_failsafe_disables_events_X86_32 = 1 << _VGCF_failsafe_disables_events_X86_32,
        VGCF_syscall_disables_events_X86_32 = 1 << _VGCF_syscall_disables_events_X86_32,
        VGCF_online_X86_32 = 1 << _VGCF_online_X86_32,
    }
    /// Size of `start_info`'s command line, with its terminator.
    usize {
        MAX_GUEST_CMDLINE_X86_32 = 1024,
    }
}

structs! {
    /// Member `console.domU` of `struct start_info_x86_32`.
    StartInfoConsoleDomU = "__typeof__(((struct start_info_x86_32 *)0)->console.domU)" {
        mfn: u32,
        evtchn: u32,
    }
    /// Member `console.dom0` of `struct start_info_x86_32`.
    StartInfoConsoleDom0 = "__typeof__(((struct start_info_x86_32 *)0)->console.dom0)" {
        info_off: u32,
        info_size: u32,
    }
    /// What a PV guest finds at `esi` when it starts. `console` is 8 bytes: [`StartInfoConsoleDomU`] or [`StartInfoConsoleDom0`].
    StartInfo = "struct start_info_x86_32" {
        magic: [u8; 32],
        nr_pages: u32,
        shared_info: u32,
        flags: u32,
        store_mfn: u32,
        store_evtchn: u32,
        console: [u8; 8],
        pt_base: u32,
        nr_pt_frames: u32,
        mfn_list: u32,
        mod_start: u32,
        mod_len: u32,
        cmd_line: [u8; 1024],
        first_p2m_pfn: u32,
        nr_p2m_frames: u32,
    }
    /// One entry of `set_trap_table`. The low two bits of `flags` are the DPL, bit 2 says that events are masked on entry.
    TrapInfo = "struct trap_info_x86_32" {
        vector: u8,
        flags: u8,
        cs: u16,
        address: u32,
    }
    /// Registers of a vcpu, in the order in which the public ABI lays them out.
    CpuUserRegs = "struct cpu_user_regs_x86_32" {
        ebx: u32,
        ecx: u32,
        edx: u32,
        esi: u32,
        edi: u32,
        ebp: u32,
        eax: u32,
        error_code: u16,
        entry_vector: u16,
        eip: u32,
        cs: u16,
        saved_upcall_mask: u8,
        _pad0: u8,
        eflags: u32,
        esp: u32,
        ss: u16,
        _pad1: u16,
        es: u16,
        _pad2: u16,
        ds: u16,
        _pad3: u16,
        fs: u16,
        _pad4: u16,
        gs: u16,
        _pad5: u16,
    }
    /// Member `fpu_ctxt` of `struct vcpu_guest_context_x86_32`.
    VcpuGuestContextFpuCtxt = "__typeof__(((struct vcpu_guest_context_x86_32 *)0)->fpu_ctxt)" {
        x: [u8; 512],
    }
    /// The whole state of a PV vcpu, for `VCPUOP_initialise` and `setvcpucontext`.
    VcpuGuestContext = "struct vcpu_guest_context_x86_32" {
        fpu_ctxt: VcpuGuestContextFpuCtxt,
        flags: u32,
        user_regs: CpuUserRegs,
        trap_ctxt: [TrapInfo; 256],
        ldt_base: u32,
        ldt_ents: u32,
        gdt_frames: [u32; 16],
        gdt_ents: u32,
        kernel_ss: u32,
        kernel_sp: u32,
        ctrlreg: [u32; 8],
        debugreg: [u32; 8],
        event_callback_cs: u32,
        event_callback_eip: u32,
        failsafe_callback_cs: u32,
        failsafe_callback_eip: u32,
        vm_assist: u32,
    }
    /// The x86 part of [`VcpuInfo`].
    ArchVcpuInfo = "struct arch_vcpu_info_x86_32" {
        cr2: u32,
        pad: [u32; 5],
    }
    /// The time record of one vcpu. A reader retries while `version` is odd or has changed.
    VcpuTimeInfo = "struct vcpu_time_info_x86_32" {
        version: u32,
        pad0: u32,
        tsc_timestamp: u64_a4,
        system_time: u64_a4,
        tsc_to_system_mul: u32,
        tsc_shift: i8,
        flags: u8,
        pad1: [u8; 2],
    }
    /// The part of [`SharedInfo`] that belongs to one vcpu.
    VcpuInfo = "struct vcpu_info_x86_32" {
        evtchn_upcall_pending: u8,
        evtchn_upcall_mask: u8,
        _pad0: [u8; 2],
        evtchn_pending_sel: u32,
        arch: ArchVcpuInfo,
        time: VcpuTimeInfo,
    }
    /// The x86 part of [`SharedInfo`]: where the guest keeps its p2m.
    ArchSharedInfo = "struct arch_shared_info_x86_32" {
        max_pfn: u32,
        pfn_to_mfn_frame_list_list: u32,
        nmi_reason: u32,
        p2m_cr3: u32,
        p2m_vaddr: u32,
        p2m_generation: u32,
        wc_sec_hi: u32,
    }
    /// The page that the hypervisor and a domain share.
    SharedInfo = "struct shared_info_x86_32" {
        vcpu_info: [VcpuInfo; 32],
        evtchn_pending: [u32; 32],
        evtchn_mask: [u32; 32],
        wc_version: u32,
        wc_sec: u32,
        wc_nsec: u32,
        arch: ArchSharedInfo,
    }
}

/// The frame number in a 32-bit guest's CR3, whose low 12 bits are the frame number's high ones.
#[must_use]
pub const fn xen_cr3_to_pfn(cr3: u32) -> u32 {
    cr3.rotate_right(12)
}

/// A 32-bit guest's CR3 from a frame number.
#[must_use]
pub const fn xen_pfn_to_cr3(pfn: u32) -> u32 {
    pfn.rotate_left(12)
}

impl StartInfo {
    /// `console` as a domU reads it.
    #[must_use]
    pub fn console_dom_u(&self) -> StartInfoConsoleDomU {
        zerocopy::transmute!(self.console)
    }

    /// Sets `console` for a domU.
    pub fn set_console_dom_u(&mut self, console: StartInfoConsoleDomU) {
        self.console = zerocopy::transmute!(console);
    }

    /// `console` as dom0 reads it.
    #[must_use]
    pub fn console_dom0(&self) -> StartInfoConsoleDom0 {
        zerocopy::transmute!(self.console)
    }

    /// Sets `console` for dom0.
    pub fn set_console_dom0(&mut self, console: StartInfoConsoleDom0) {
        self.console = zerocopy::transmute!(console);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_32_bit_base_pointer_holds_frames_above_4_gib() {
        for pfn in [0, 0x1234, 0xf_ffff, 0x10_0000, 0xff_ffff] {
            assert_eq!(xen_cr3_to_pfn(xen_pfn_to_cr3(pfn)), pfn);
        }
        assert_eq!(xen_pfn_to_cr3(0x10_0001), 0x1001);
    }

    #[test]
    fn a_64_bit_number_survives_its_looser_alignment() {
        let n = 0x0123_4567_89ab_cdef;
        assert_eq!(u64::from(u64_a4::from(n)), n);
        assert_eq!(align_of::<u64_a4>(), 4);
    }
}
