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
        magic: u32,
        version: u32,
        flags: u32,
        nr_modules: u32,
        modlist_paddr: u64,
        cmdline_paddr: u64,
        rsdp_paddr: u64,
        memmap_paddr: u64,
        memmap_entries: u32,
        reserved: u32,
    }
    /// A boot module.
    HvmModlistEntry = "struct hvm_modlist_entry" {
        paddr: u64,
        size: u64,
        cmdline_paddr: u64,
        reserved: u64,
    }
    /// A range of the memory map.
    HvmMemmapTableEntry = "struct hvm_memmap_table_entry" {
        addr: u64,
        size: u64,
        r#type: u32,
        reserved: u32,
    }
}
