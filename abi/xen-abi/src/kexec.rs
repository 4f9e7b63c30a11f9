//! `kexec.h`: subcommands of `kexec_op`.

consts! {
    /// Pages in a version 1 image's list.
    usize {
        KEXEC_XEN_NO_PAGES = 17,
    }
    /// Kind of image.
    u8 {
        KEXEC_TYPE_DEFAULT = 0,
        KEXEC_TYPE_CRASH = 1,
    }
    /// Subcommand of `kexec_op`.
    u32 {
        KEXEC_CMD_kexec = 0,
        /// Obsolete since 0x00040400
        KEXEC_CMD_kexec_load_v1 = 1,
        /// Obsolete since 0x00040400
        KEXEC_CMD_kexec_unload_v1 = 2,
        KEXEC_CMD_kexec_get_range = 3,
        KEXEC_CMD_kexec_load = 4,
        KEXEC_CMD_kexec_unload = 5,
        KEXEC_CMD_kexec_status = 6,
    }
    /// Range of machine memory.
    i32 {
        /// Machine address and size of crash area
        KEXEC_RANGE_MA_CRASH = 0,
        /// Machine address and size of Xen itself
        KEXEC_RANGE_MA_XEN = 1,
        /// Machine address and size of a CPU note
        KEXEC_RANGE_MA_CPU = 2,
        KEXEC_RANGE_MA_XENHEAP = 3,
        /// Obsolete: machine address and size of the ia64_boot_param
        KEXEC_RANGE_MA_BOOT_PARAM = 4,
        /// Machine address and size of of the EFI Memory Map
        KEXEC_RANGE_MA_EFI_MEMMAP = 5,
        /// Machine address and size of vmcoreinfo
        KEXEC_RANGE_MA_VMCOREINFO = 6,
    }
}

structs! {
    /// `struct xen_kexec_image`.
    XenKexecImage = "struct xen_kexec_image" {
        page_list: [u64; 17],
        indirection_page: u64,
        start_address: u64,
    }
    /// `struct xen_kexec_exec`.
    XenKexecExec = "struct xen_kexec_exec" {
        r#type: i32,
    }
    /// `struct xen_kexec_load_v1`.
    XenKexecLoadV1 = "struct xen_kexec_load_v1" {
        r#type: i32,
        _pad0: [u8; 4],
        image: XenKexecImage,
    }
    /// `struct xen_kexec_range`.
    XenKexecRange = "struct xen_kexec_range" {
        range: i32,
        nr: i32,
        size: u64,
        start: u64,
    }
    /// `struct xen_kexec_segment`.
    XenKexecSegment = "struct xen_kexec_segment" {
        buf: u64,
        buf_size: u64,
        dest_maddr: u64,
        dest_size: u64,
    }
    /// `struct xen_kexec_load`.
    XenKexecLoad = "struct xen_kexec_load" {
        /// One of KEXEC_TYPE_*
        r#type: u8,
        _pad: u8,
        /// ELF machine type (EM_*).
        arch: u16,
        nr_segments: u32,
        segments: u64,
        /// Image entry point machine address.
        entry_maddr: u64,
    }
    /// `struct xen_kexec_unload`.
    XenKexecUnload = "struct xen_kexec_unload" {
        r#type: u8,
    }
    /// `struct xen_kexec_status`.
    XenKexecStatus = "struct xen_kexec_status" {
        r#type: u8,
    }
}
