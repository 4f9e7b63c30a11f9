//! `xen.h`: hypercall numbers, the MMU calls, domain ids, the shared page and the start of a PV guest.

use crate::arch_x86::{ArchSharedInfo, xen_pfn_t, xen_ulong_t};
use crate::arch_x86_64::ArchVcpuInfo;
use crate::guest_ptr::GuestPtr;

/// A domain's number; ids from `DOMID_FIRST_RESERVED` on are special.
pub type domid_t = u16;
/// A domain's UUID, big-endian.
pub type xen_domain_handle_t = [u8; 16];

consts! {
    /// Hypercall number, in `rax`.
    u32 {
        __HYPERVISOR_set_trap_table = 0,
        __HYPERVISOR_mmu_update = 1,
        __HYPERVISOR_set_gdt = 2,
        __HYPERVISOR_stack_switch = 3,
        __HYPERVISOR_set_callbacks = 4,
        __HYPERVISOR_fpu_taskswitch = 5,
        /// Compat since 0x00030101
        __HYPERVISOR_sched_op_compat = 6,
        __HYPERVISOR_platform_op = 7,
        __HYPERVISOR_set_debugreg = 8,
        __HYPERVISOR_get_debugreg = 9,
        __HYPERVISOR_update_descriptor = 10,
        __HYPERVISOR_memory_op = 12,
        __HYPERVISOR_multicall = 13,
        __HYPERVISOR_update_va_mapping = 14,
        __HYPERVISOR_set_timer_op = 15,
        /// Compat since 0x00030202
        __HYPERVISOR_event_channel_op_compat = 16,
        __HYPERVISOR_xen_version = 17,
        __HYPERVISOR_console_io = 18,
        /// Compat since 0x00030202
        __HYPERVISOR_physdev_op_compat = 19,
        __HYPERVISOR_grant_table_op = 20,
        __HYPERVISOR_vm_assist = 21,
        __HYPERVISOR_update_va_mapping_otherdomain = 22,
        /// X86 only
        __HYPERVISOR_iret = 23,
        __HYPERVISOR_vcpu_op = 24,
        /// X86/64 only
        __HYPERVISOR_set_segment_base = 25,
        __HYPERVISOR_mmuext_op = 26,
        __HYPERVISOR_xsm_op = 27,
        __HYPERVISOR_nmi_op = 28,
        __HYPERVISOR_sched_op = 29,
        __HYPERVISOR_callback_op = 30,
        __HYPERVISOR_xenoprof_op = 31,
        __HYPERVISOR_event_channel_op = 32,
        __HYPERVISOR_physdev_op = 33,
        __HYPERVISOR_hvm_op = 34,
        __HYPERVISOR_sysctl = 35,
        __HYPERVISOR_domctl = 36,
        __HYPERVISOR_kexec_op = 37,
        __HYPERVISOR_tmem_op = 38,
        __HYPERVISOR_argo_op = 39,
        __HYPERVISOR_xenpmu_op = 40,
        __HYPERVISOR_dm_op = 41,
        __HYPERVISOR_hypfs_op = 42,
        __HYPERVISOR_arch_0 = 48,
        __HYPERVISOR_arch_1 = 49,
        __HYPERVISOR_arch_2 = 50,
        __HYPERVISOR_arch_3 = 51,
        __HYPERVISOR_arch_4 = 52,
        __HYPERVISOR_arch_5 = 53,
        __HYPERVISOR_arch_6 = 54,
        __HYPERVISOR_arch_7 = 55,
    }
    /// Virtual interrupt.
    u32 {
        /// V. Timebase update, and/or requested timeout.
        VIRQ_TIMER = 0,
        /// V. Request guest to dump debug info.
        VIRQ_DEBUG = 1,
        /// G. (DOM0) Bytes received on emergency console.
        VIRQ_CONSOLE = 2,
        /// G. (DOM0) Exceptional event for some domain.
        VIRQ_DOM_EXC = 3,
        /// G. (DOM0) Trace buffer has records available.
        VIRQ_TBUF = 4,
        /// G. (DOM0) A domain has paused for debugging.
        VIRQ_DEBUGGER = 6,
        /// V. XenOprofile interrupt: new sample available
        VIRQ_XENOPROF = 7,
        /// G. (DOM0) Bytes received on console
        VIRQ_CON_RING = 8,
        /// G. (DOM0) PCPU state changed
        VIRQ_PCPU_STATE = 9,
        /// G. (DOM0) A memory event has occurred
        VIRQ_MEM_EVENT = 10,
        /// G. Argo interdomain message notification
        VIRQ_ARGO = 11,
        /// G. (DOM0) Low on heap memory
        VIRQ_ENOMEM = 12,
        /// V. PMC interrupt
        VIRQ_XENPMU = 13,
        VIRQ_ARCH_0 = 16,
        VIRQ_ARCH_1 = 17,
        VIRQ_ARCH_2 = 18,
        VIRQ_ARCH_3 = 19,
        VIRQ_ARCH_4 = 20,
        VIRQ_ARCH_5 = 21,
        VIRQ_ARCH_6 = 22,
        VIRQ_ARCH_7 = 23,
        NR_VIRQS = 24,
    }
    /// Command in the low two bits of an `mmu_update` request's `ptr`.
    u64 {
        /// Checked '*ptr = val'. ptr is MA.
        MMU_NORMAL_PT_UPDATE = 0,
        /// Ptr = MA of frame to modify entry for
        MMU_MACHPHYS_UPDATE = 1,
        /// Atomically: *ptr = val | (*ptr&(A|D))
        MMU_PT_UPDATE_PRESERVE_AD = 2,
        /// Checked '*ptr = val'. ptr is MA.
        MMU_PT_UPDATE_NO_TRANSLATE = 3,
    }
    /// Command of an `mmuext_op`.
    u32 {
        MMUEXT_PIN_L1_TABLE = 0,
        MMUEXT_PIN_L2_TABLE = 1,
        MMUEXT_PIN_L3_TABLE = 2,
        MMUEXT_PIN_L4_TABLE = 3,
        MMUEXT_UNPIN_TABLE = 4,
        MMUEXT_NEW_BASEPTR = 5,
        MMUEXT_TLB_FLUSH_LOCAL = 6,
        MMUEXT_INVLPG_LOCAL = 7,
        MMUEXT_TLB_FLUSH_MULTI = 8,
        MMUEXT_INVLPG_MULTI = 9,
        MMUEXT_TLB_FLUSH_ALL = 10,
        MMUEXT_INVLPG_ALL = 11,
        MMUEXT_FLUSH_CACHE = 12,
        MMUEXT_SET_LDT = 13,
        MMUEXT_NEW_USER_BASEPTR = 15,
        MMUEXT_CLEAR_PAGE = 16,
        MMUEXT_COPY_PAGE = 17,
        MMUEXT_FLUSH_CACHE_GLOBAL = 18,
        MMUEXT_MARK_SUPER = 19,
        MMUEXT_UNMARK_SUPER = 20,
    }
    /// Flag of `update_va_mapping`.
    u64 {
        /// No flushing at all.
        UVMF_NONE = 0,
        /// Flush entire TLB(s).
        UVMF_TLB_FLUSH = 1 << 0,
        /// Flush only one entry.
        UVMF_INVLPG = 2,
        UVMF_FLUSHTYPE_MASK = 3,
        /// Flush subset of TLBs.
        UVMF_MULTI = 0,
        /// Flush local TLB.
        UVMF_LOCAL = 0,
        /// Flush all TLBs.
        UVMF_ALL = 1 << 2,
    }
    /// Subcommand of `console_io`.
    u32 {
        CONSOLEIO_write = 0,
        CONSOLEIO_read = 1,
    }
    /// Subcommand or feature of `vm_assist`.
    u32 {
        VMASST_CMD_enable = 0,
        VMASST_CMD_disable = 1,
        VMASST_TYPE_4gb_segments = 0,
        VMASST_TYPE_4gb_segments_notify = 1,
        VMASST_TYPE_writable_pagetables = 2,
        VMASST_TYPE_pae_extended_cr3 = 3,
        VMASST_TYPE_architectural_iopl = 4,
        VMASST_TYPE_runstate_update_flag = 5,
        VMASST_TYPE_m2p_strict = 32,
    }
    /// Domain id with a special meaning.
    domid_t {
        DOMID_FIRST_RESERVED = 0x7ff0,
        DOMID_SELF = 0x7ff0,
        DOMID_IO = 0x7ff1,
        DOMID_XEN = 0x7ff2,
        DOMID_COW = 0x7ff3,
        DOMID_INVALID = 0x7ff4,
        DOMID_IDLE = 0x7fff,
        DOMID_MASK = 0x7fff,
    }
    /// Flag of `vcpu_time_info`.
    u8 {
        XEN_PVCLOCK_TSC_STABLE_BIT = 1 << 0,
        XEN_PVCLOCK_GUEST_STOPPED = 1 << 1,
    }
    /// Size of `start_info`'s command line, with its terminator.
    usize {
        MAX_GUEST_CMDLINE = 1024,
    }
    /// Flag of `start_info`.
    u32 {
        /// Is the domain privileged?
        SIF_PRIVILEGED = 1 << 0,
        /// Is this the initial control domain?
        SIF_INITDOMAIN = 1 << 1,
        /// Is mod_start a multiboot module?
        SIF_MULTIBOOT_MOD = 1 << 2,
        /// Is mod_start a PFN?
        SIF_MOD_START_PFN = 1 << 3,
        /// Do Xen tools understand a virt. mapped
        SIF_VIRT_P2M_4TOOLS = 1 << 4,
        /// Reserve 1 byte for xen-pm options
        SIF_PM_MASK = 0xff << 8,
    }
    /// Kind of console in `dom0_vga_console_info`.
    u8 {
        XEN_VGATYPE_TEXT_MODE_3 = 0x03,
        XEN_VGATYPE_VESA_LFB = 0x23,
        XEN_VGATYPE_EFI_LFB = 0x70,
    }
}

structs! {
    /// One request of `mmuext_op`. `cmd` is an `MMUEXT_*`; what `arg1` and `arg2` mean depends on it:
    /// `arg1` is an mfn or a linear address, `arg2` a count, a `vcpumask` pointer or a source mfn.
    MmuextOp = "struct mmuext_op" {
        /// =\> enum mmuext_cmd
        cmd: u32,
        _pad0: [u8; 4],
        arg1: u64,
        arg2: u64,
    }
    /// One request of `mmu_update`. The low two bits of `ptr` are an `MMU_*` command, the rest is a machine address.
    MmuUpdate = "struct mmu_update" {
        /// Machine address of PTE.
        ptr: u64,
        /// New contents of PTE.
        val: u64,
    }
    /// One call of `multicall`; `result` is written back.
    MulticallEntry = "struct multicall_entry" {
        op: xen_ulong_t,
        result: xen_ulong_t,
        args: [xen_ulong_t; 6],
    }
    /// The time record of one vcpu. A reader retries while `version` is odd or has changed.
    VcpuTimeInfo = "struct vcpu_time_info" {
        version: u32,
        pad0: u32,
        /// TSC at last update of time vals.
        tsc_timestamp: u64,
        /// Time, in nanosecs, since boot.
        system_time: u64,
        tsc_to_system_mul: u32,
        tsc_shift: i8,
        flags: u8,
        pad1: [u8; 2],
    }
    /// The part of [`SharedInfo`] that belongs to one vcpu.
    VcpuInfo = "struct vcpu_info" {
        evtchn_upcall_pending: u8,
        evtchn_upcall_mask: u8,
        _pad0: [u8; 6],
        evtchn_pending_sel: xen_ulong_t,
        arch: ArchVcpuInfo,
        time: VcpuTimeInfo,
    }
    /// The page that the hypervisor and a domain share.
    SharedInfo = "struct shared_info" {
        vcpu_info: [VcpuInfo; 32],
        evtchn_pending: [xen_ulong_t; 64],
        evtchn_mask: [xen_ulong_t; 64],
        /// Version counter: see vcpu_time_info_t.
        wc_version: u32,
        wc_sec: u32,
        wc_nsec: u32,
        wc_sec_hi: u32,
        arch: ArchSharedInfo,
    }
    /// `console` of a domU: its console ring and event channel.
    StartInfoConsoleDomU = "__typeof__(((struct start_info *)0)->console.domU)" {
        /// MACHINE page number of console page.
        mfn: xen_pfn_t,
        /// Event channel for console page.
        evtchn: u32,
        _pad0: [u8; 4],
    }
    /// `console` of dom0: where in [`StartInfo`]'s page the `Dom0VgaConsoleInfo` is, and how long.
    StartInfoConsoleDom0 = "__typeof__(((struct start_info *)0)->console.dom0)" {
        /// Offset of console_info struct.
        info_off: u32,
        /// Size of console_info struct from start.
        info_size: u32,
    }
    /// What a PV guest finds at `rsi` when it starts. `console` is 16 bytes: [`StartInfoConsoleDomU`] or [`StartInfoConsoleDom0`].
    StartInfo = "struct start_info" {
        /// "xen-\<version\>-\<platform\>".
        magic: [u8; 32],
        /// Total pages allocated to this domain.
        nr_pages: u64,
        /// MACHINE address of shared info struct.
        shared_info: u64,
        /// SIF_xxx flags.
        flags: u32,
        _pad0: [u8; 4],
        /// MACHINE page number of shared page.
        store_mfn: xen_pfn_t,
        /// Event channel for store communication.
        store_evtchn: u32,
        _pad1: [u8; 4],
        console: [u8; 16],
        /// VIRTUAL address of page directory.
        pt_base: u64,
        /// Number of bootstrap p.t. frames.
        nr_pt_frames: u64,
        /// VIRTUAL address of page-frame list.
        mfn_list: u64,
        /// VIRTUAL address of pre-loaded module
        mod_start: u64,
        /// Size (bytes) of pre-loaded module.
        mod_len: u64,
        cmd_line: [u8; 1024],
        /// 1st pfn forming initial P-\>M table.
        first_p2m_pfn: u64,
        nr_p2m_frames: u64,
    }
    /// A boot module as a PVH or Multiboot guest sees it.
    XenMultibootModList = "struct xen_multiboot_mod_list" {
        /// Address of first byte of the module
        mod_start: u32,
        /// Address of last byte of the module (inclusive)
        mod_end: u32,
        /// Address of zero-terminated command line
        cmdline: u32,
        /// Unused, must be zero
        pad: u32,
    }
    /// Member `u.text_mode_3` of `struct dom0_vga_console_info`.
    Dom0VgaConsoleInfoTextMode3 = "__typeof__(((struct dom0_vga_console_info *)0)->u.text_mode_3)" {
        /// Font height, in pixels.
        font_height: u16,
        /// Cursor location (column, row).
        cursor_x: u16,
        /// Cursor location (column, row).
        cursor_y: u16,
        /// Number of rows and columns (dimensions in characters).
        rows: u16,
        /// Number of rows and columns (dimensions in characters).
        columns: u16,
    }
    /// Member `u.vesa_lfb` of `struct dom0_vga_console_info`.
    Dom0VgaConsoleInfoVesaLfb = "__typeof__(((struct dom0_vga_console_info *)0)->u.vesa_lfb)" {
        /// Width and height, in pixels.
        width: u16,
        /// Width and height, in pixels.
        height: u16,
        /// Bytes per scan line.
        bytes_per_line: u16,
        /// Bits per pixel.
        bits_per_pixel: u16,
        /// LFB physical address, and size (in units of 64kB).
        lfb_base: u32,
        lfb_size: u32,
        /// RGB mask offsets and sizes, as defined by VBE 1.2+
        red_pos: u8,
        /// RGB mask offsets and sizes, as defined by VBE 1.2+
        red_size: u8,
        green_pos: u8,
        green_size: u8,
        blue_pos: u8,
        blue_size: u8,
        rsvd_pos: u8,
        rsvd_size: u8,
        /// VESA capabilities (offset 0xa, VESA command 0x4f00).
        gbl_caps: u32,
        /// Mode attributes (offset 0x0, VESA command 0x4f01).
        mode_attrs: u16,
        pad: u16,
        /// High 32 bits of lfb_base
        ext_lfb_base: u32,
    }
    /// The video mode that dom0 inherits. `video_type` (`XEN_VGATYPE_*`) says what `u` holds.
    Dom0VgaConsoleInfo = "struct dom0_vga_console_info" {
        /// DOM0_VGA_CONSOLE_*
        video_type: u8,
        _pad0: [u8; 3],
        u: [u8; 36],
        _pad1: [u32; 0],
    }
    /// A UUID, big-endian.
    XenUuid = "xen_uuid_t" {
        a: [u8; 16],
    }
    /// A bitmap in the caller's memory, least significant bit of the first byte first.
    XenctlBitmap = "struct xenctl_bitmap" {
        bitmap: GuestPtr<u8>,
        nr_bits: u32,
        _pad0: [u8; 4],
    }
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
        let [dom0, _rest]: [StartInfoConsoleDom0; 2] = zerocopy::transmute!(self.console);
        dom0
    }

    /// Sets `console` for dom0.
    pub fn set_console_dom0(&mut self, console: StartInfoConsoleDom0) {
        self.console = zerocopy::transmute!([console, StartInfoConsoleDom0::default()]);
    }
}

/// The members of `arg1` and `arg2`; `cmd` says which are meant.
impl MmuextOp {
    /// `arg1.mfn`.
    #[must_use]
    pub const fn mfn(&self) -> xen_pfn_t {
        self.arg1
    }

    /// `arg1.linear_addr`.
    #[must_use]
    pub const fn linear_addr(&self) -> u64 {
        self.arg1
    }

    /// `arg2.nr_ents`: the low half of the union.
    #[must_use]
    pub fn nr_ents(&self) -> u32 {
        let [low, _high]: [u32; 2] = zerocopy::transmute!(self.arg2);
        low
    }

    /// `arg2.vcpumask`: a bitmap of vcpus in the guest's memory.
    #[must_use]
    pub const fn vcpumask(&self) -> GuestPtr<u8> {
        GuestPtr::new(self.arg2)
    }

    /// `arg2.src_mfn`.
    #[must_use]
    pub const fn src_mfn(&self) -> xen_pfn_t {
        self.arg2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_entries_is_the_low_half_of_its_union() {
        let op = MmuextOp { arg2: 0xffff_ffff_0000_0200, ..Default::default() };
        assert_eq!(op.nr_ents(), 0x200);
    }

    #[test]
    fn both_consoles_of_start_info_lie_over_the_same_bytes() {
        let mut info = StartInfo { console: [0xff; 16], ..Default::default() };
        info.set_console_dom0(StartInfoConsoleDom0 { info_off: 0x800, info_size: 40 });
        assert_eq!(info.console_dom0(), StartInfoConsoleDom0 { info_off: 0x800, info_size: 40 });
        assert_eq!(info.console_dom_u().mfn, 40 << 32 | 0x800);
        assert_eq!(info.console.get(8..), Some(&[0; 8][..]));
        let console = StartInfoConsoleDomU { mfn: 0x1234, evtchn: 2, ..Default::default() };
        info.set_console_dom_u(console);
        assert_eq!(info.console_dom_u(), console);
    }
}
