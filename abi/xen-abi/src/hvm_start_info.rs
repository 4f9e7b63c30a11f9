//! `arch-x86/hvm/start_info.h`: what a PVH guest finds at `ebx` when it starts.

consts! {
    /// `magic`: "xEn3" with the top bit of the "E" set.
    u32 {
        XEN_HVM_START_MAGIC_VALUE = 0x336ec578,
    }
    /// Type of a memory-map entry, as in E820.
    u32 {
        XEN_HVM_MEMMAP_TYPE_RAM = 1,
        XEN_HVM_MEMMAP_TYPE_RESERVED = 2,
        XEN_HVM_MEMMAP_TYPE_ACPI = 3,
        XEN_HVM_MEMMAP_TYPE_NVS = 4,
        XEN_HVM_MEMMAP_TYPE_UNUSABLE = 5,
        XEN_HVM_MEMMAP_TYPE_DISABLED = 6,
        XEN_HVM_MEMMAP_TYPE_PMEM = 7,
    }
}

structs! {
    /// What `ebx` points to.
    HvmStartInfo = "struct hvm_start_info" {
        /// Contains the magic value 0x336ec578
        magic: u32,
        /// Version of this structure.
        version: u32,
        /// SIF_xxx flags.
        flags: u32,
        /// Number of modules passed to the kernel.
        nr_modules: u32,
        /// Physical address of an array of [`HvmModlistEntry`].
        modlist_paddr: u64,
        /// Physical address of the command line.
        cmdline_paddr: u64,
        /// Physical address of the RSDP ACPI data
        rsdp_paddr: u64,
        /// Physical address of an array of [`HvmMemmapTableEntry`].
        memmap_paddr: u64,
        /// Number of entries in the memmap table.
        memmap_entries: u32,
        /// Must be zero.
        reserved: u32,
    }
    /// A boot module.
    HvmModlistEntry = "struct hvm_modlist_entry" {
        /// Physical address of the module.
        paddr: u64,
        /// Size of the module in bytes.
        size: u64,
        /// Physical address of the command line.
        cmdline_paddr: u64,
        reserved: u64,
    }
    /// A range of the memory map.
    HvmMemmapTableEntry = "struct hvm_memmap_table_entry" {
        /// Base address of the memory region
        addr: u64,
        /// Size of the memory region in bytes
        size: u64,
        /// Mapping type
        r#type: u32,
        /// Must be zero for Version 1.
        reserved: u32,
    }
}
