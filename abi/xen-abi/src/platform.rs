//! `platform.h`: subcommands of `platform_op`, the control domain's way to the machine.

use crate::arch_x86::{xen_pfn_t, xen_ulong_t};
use crate::guest_ptr::GuestPtr;

consts! {
    /// What `interface_version` must be.
    u32 {
        XENPF_INTERFACE_VERSION = 0x03000001,
    }
    /// Flag of `xenpf_enter_acpi_sleep`.
    u32 {
        XENPF_ACPI_SLEEP_EXTENDED = 0x00000001,
    }
    /// Subcommand of `platform_op`.
    u32 {
        XENPF_settime32 = 17,
        XENPF_settime64 = 62,
        XENPF_settime = 62,
        XENPF_add_memtype = 31,
        XENPF_del_memtype = 32,
        XENPF_read_memtype = 33,
        XENPF_microcode_update = 35,
        XENPF_platform_quirk = 39,
        XENPF_efi_runtime_call = 49,
        XENPF_firmware_info = 50,
        XENPF_enter_acpi_sleep = 51,
        XENPF_change_freq = 52,
        XENPF_getidletime = 53,
        XENPF_set_processor_pminfo = 54,
        XENPF_get_cpuinfo = 55,
        XENPF_get_cpu_version = 48,
        XENPF_cpu_online = 56,
        XENPF_cpu_offline = 57,
        XENPF_cpu_hotadd = 58,
        XENPF_mem_hotadd = 59,
        XENPF_core_parking = 60,
        XENPF_resource_op = 61,
        XENPF_get_symbol = 63,
    }
    /// Platform quirk.
    u32 {
        /// Do not restrict IO-APIC RTE targets
        QUIRK_NOIRQBALANCING = 1,
        /// IO-APIC REGSEL forgets its value
        QUIRK_IOAPIC_BAD_REGSEL = 2,
        /// IO-APIC REGSEL behaves properly
        QUIRK_IOAPIC_GOOD_REGSEL = 3,
    }
    /// EFI runtime function, or a flag of one.
    u32 {
        XEN_EFI_get_time = 1,
        XEN_EFI_set_time = 2,
        XEN_EFI_get_wakeup_time = 3,
        XEN_EFI_set_wakeup_time = 4,
        XEN_EFI_get_next_high_monotonic_count = 5,
        XEN_EFI_get_variable = 6,
        XEN_EFI_set_variable = 7,
        XEN_EFI_get_next_variable_name = 8,
        XEN_EFI_query_variable_info = 9,
        XEN_EFI_query_capsule_capabilities = 10,
        XEN_EFI_update_capsule = 11,
        XEN_EFI_GET_TIME_SET_CLEARS_NS = 0x00000001,
        XEN_EFI_GET_WAKEUP_TIME_ENABLED = 0x00000001,
        XEN_EFI_GET_WAKEUP_TIME_PENDING = 0x00000002,
        XEN_EFI_SET_WAKEUP_TIME_ENABLE = 0x00000001,
        XEN_EFI_SET_WAKEUP_TIME_ENABLE_ONLY = 0x00000002,
        XEN_EFI_VARIABLE_NON_VOLATILE = 0x00000001,
        XEN_EFI_VARIABLE_BOOTSERVICE_ACCESS = 0x00000002,
        XEN_EFI_VARIABLE_RUNTIME_ACCESS = 0x00000004,
        XEN_EFI_VARINFO_BOOT_SNAPSHOT = 0x00000001,
    }
    /// Kind of firmware information, or its index.
    u32 {
        /// From int 13 AH=08/41/48
        XEN_FW_DISK_INFO = 1,
        /// From MBR offset 0x1b8
        XEN_FW_DISK_MBR_SIGNATURE = 2,
        /// From int 10 AX=4f15
        XEN_FW_VBEDDC_INFO = 3,
        /// From EFI
        XEN_FW_EFI_INFO = 4,
        XEN_FW_EFI_VERSION = 0,
        XEN_FW_EFI_CONFIG_TABLE = 1,
        XEN_FW_EFI_VENDOR = 2,
        XEN_FW_EFI_MEM_INFO = 3,
        XEN_FW_EFI_RT_VERSION = 4,
        XEN_FW_EFI_PCI_ROM = 5,
        XEN_FW_EFI_APPLE_PROPERTIES = 6,
        XEN_FW_KBD_SHIFT_FLAGS = 5,
    }
    /// Kind of processor power information.
    u32 {
        XEN_PROCESSOR_PM_CX = 1,
        XEN_PROCESSOR_PM_PX = 2,
        XEN_PROCESSOR_PM_TX = 4,
        XEN_PM_CX = 0,
        XEN_PM_PX = 1,
        XEN_PM_TX = 2,
        XEN_PM_PDC = 3,
        XEN_PX_PCT = 1,
        XEN_PX_PSS = 2,
        XEN_PX_PPC = 4,
        XEN_PX_PSD = 8,
    }
    /// How CPUs share a performance state.
    u32 {
        /// HW does needed coordination
        XEN_CPUPERF_SHARED_TYPE_HW = 1,
        /// All dependent CPUs should set freq
        XEN_CPUPERF_SHARED_TYPE_ALL = 2,
        /// Freq can be set from any dependent CPU
        XEN_CPUPERF_SHARED_TYPE_ANY = 3,
    }
    /// Flag of `xenpf_pcpuinfo`.
    u32 {
        XEN_PCPU_FLAGS_ONLINE = 1,
        XEN_PCPU_FLAGS_INVALID = 2,
    }
    /// Operation of core parking.
    u32 {
        XEN_CORE_PARKING_SET = 1,
        XEN_CORE_PARKING_GET = 2,
    }
    /// Operation of `xenpf_resource_entry`.
    u32 {
        XEN_RESOURCE_OP_MSR_READ = 0,
        XEN_RESOURCE_OP_MSR_WRITE = 1,
    }
}

structs! {
    /// Argument of `XENPF_settime32`, in `u` of [`XenPlatformOp`].
    XenpfSettime32 = "struct xenpf_settime32" {
        /// In.
        secs: u32,
        /// In.
        nsecs: u32,
        /// In.
        system_time: u64,
    }
    /// Argument of `XENPF_settime64`, in `u` of [`XenPlatformOp`].
    XenpfSettime64 = "struct xenpf_settime64" {
        /// In.
        secs: u64,
        /// In.
        nsecs: u32,
        /// In.
        mbz: u32,
        /// In.
        system_time: u64,
    }
    /// Argument of `XENPF_add_memtype`, in `u` of [`XenPlatformOp`].
    XenpfAddMemtype = "struct xenpf_add_memtype" {
        /// In.
        mfn: xen_pfn_t,
        /// In.
        nr_mfns: u64,
        /// In.
        r#type: u32,
        /// Out.
        handle: u32,
        /// Out.
        reg: u32,
        _pad0: [u8; 4],
    }
    /// Argument of `XENPF_del_memtype`, in `u` of [`XenPlatformOp`].
    XenpfDelMemtype = "struct xenpf_del_memtype" {
        /// In.
        handle: u32,
        /// In.
        reg: u32,
    }
    /// Argument of `XENPF_read_memtype`, in `u` of [`XenPlatformOp`].
    XenpfReadMemtype = "struct xenpf_read_memtype" {
        /// In.
        reg: u32,
        _pad0: [u8; 4],
        /// Out.
        mfn: xen_pfn_t,
        /// Out.
        nr_mfns: u64,
        /// Out.
        r#type: u32,
        _pad1: [u8; 4],
    }
    /// Argument of `XENPF_microcode_update`, in `u` of [`XenPlatformOp`].
    XenpfMicrocodeUpdate = "struct xenpf_microcode_update" {
        /// Pointer to microcode data
        data: GuestPtr<u8>,
        /// Length of microcode data.
        length: u32,
        _pad0: [u8; 4],
    }
    /// Argument of `XENPF_platform_quirk`, in `u` of [`XenPlatformOp`].
    XenpfPlatformQuirk = "struct xenpf_platform_quirk" {
        /// In.
        quirk_id: u32,
    }
    /// `struct xenpf_efi_time`.
    XenpfEfiTime = "struct xenpf_efi_time" {
        year: u16,
        month: u8,
        day: u8,
        hour: u8,
        min: u8,
        sec: u8,
        _pad0: u8,
        ns: u32,
        tz: i16,
        daylight: u8,
        _pad1: u8,
    }
    /// `struct xenpf_efi_guid`.
    XenpfEfiGuid = "struct xenpf_efi_guid" {
        data1: u32,
        data2: u16,
        data3: u16,
        data4: [u8; 8],
    }
    /// Member `u.get_time` of `struct xenpf_efi_runtime_call`.
    XenpfEfiRuntimeCallGetTime = "__typeof__(((struct xenpf_efi_runtime_call *)0)->u.get_time)" {
        time: XenpfEfiTime,
        resolution: u32,
        accuracy: u32,
    }
    /// Member `u.get_variable` of `struct xenpf_efi_runtime_call`.
    XenpfEfiRuntimeCallGetVariable = "__typeof__(((struct xenpf_efi_runtime_call *)0)->u.get_variable)" {
        /// UCS-2/UTF-16 string
        name: GuestPtr<u8>,
        size: xen_ulong_t,
        data: GuestPtr<u8>,
        vendor_guid: XenpfEfiGuid,
    }
    /// Member `u.set_variable` of `struct xenpf_efi_runtime_call`.
    XenpfEfiRuntimeCallSetVariable = "__typeof__(((struct xenpf_efi_runtime_call *)0)->u.set_variable)" {
        /// UCS-2/UTF-16 string
        name: GuestPtr<u8>,
        size: xen_ulong_t,
        data: GuestPtr<u8>,
        vendor_guid: XenpfEfiGuid,
    }
    /// Member `u.get_next_variable_name` of `struct xenpf_efi_runtime_call`.
    XenpfEfiRuntimeCallGetNextVariableName = "__typeof__(((struct xenpf_efi_runtime_call *)0)->u.get_next_variable_name)" {
        size: xen_ulong_t,
        /// UCS-2/UTF-16 string
        name: GuestPtr<u8>,
        vendor_guid: XenpfEfiGuid,
    }
    /// Member `u.query_variable_info` of `struct xenpf_efi_runtime_call`.
    XenpfEfiRuntimeCallQueryVariableInfo = "__typeof__(((struct xenpf_efi_runtime_call *)0)->u.query_variable_info)" {
        attr: u32,
        _pad0: [u8; 4],
        max_store_size: u64,
        remain_store_size: u64,
        max_size: u64,
    }
    /// Member `u.query_capsule_capabilities` of `struct xenpf_efi_runtime_call`.
    XenpfEfiRuntimeCallQueryCapsuleCapabilities = "__typeof__(((struct xenpf_efi_runtime_call *)0)->u.query_capsule_capabilities)" {
        capsule_header_array: GuestPtr<u8>,
        capsule_count: xen_ulong_t,
        max_capsule_size: u64,
        reset_type: u32,
        _pad0: [u8; 4],
    }
    /// Member `u.update_capsule` of `struct xenpf_efi_runtime_call`.
    XenpfEfiRuntimeCallUpdateCapsule = "__typeof__(((struct xenpf_efi_runtime_call *)0)->u.update_capsule)" {
        capsule_header_array: GuestPtr<u8>,
        capsule_count: xen_ulong_t,
        /// Machine address
        sg_list: u64,
    }
    /// Argument of `XENPF_efi_runtime_call`, in `u` of [`XenPlatformOp`].
    XenpfEfiRuntimeCall = "struct xenpf_efi_runtime_call" {
        function: u32,
        misc: u32,
        status: xen_ulong_t,
        u: [u8; 40],
    }
    /// Member `u.disk_info` of `struct xenpf_firmware_info`.
    XenpfFirmwareInfoDiskInfo = "__typeof__(((struct xenpf_firmware_info *)0)->u.disk_info)" {
        /// %dl: bios device number
        device: u8,
        /// %ah: major version
        version: u8,
        /// %cx: support bitmap
        interface_support: u16,
        /// %cl\[7:6\]:%ch: max cyl #
        legacy_max_cylinder: u16,
        /// %dh: max head #
        legacy_max_head: u8,
        /// %cl\[5:0\]: max sector #
        legacy_sectors_per_track: u8,
        /// NB. First uint16_t of buffer must be set to buffer size.
        edd_params: GuestPtr<u8>,
    }
    /// Member `u.disk_mbr_signature` of `struct xenpf_firmware_info`.
    XenpfFirmwareInfoDiskMbrSignature = "__typeof__(((struct xenpf_firmware_info *)0)->u.disk_mbr_signature)" {
        /// Bios device number
        device: u8,
        _pad0: [u8; 3],
        /// Offset 0x1b8 in mbr
        mbr_signature: u32,
    }
    /// Member `u.vbeddc_info` of `struct xenpf_firmware_info`.
    XenpfFirmwareInfoVbeddcInfo = "__typeof__(((struct xenpf_firmware_info *)0)->u.vbeddc_info)" {
        /// Int10, AX=4F15: Get EDID info.
        capabilities: u8,
        edid_transfer_time: u8,
        _pad0: [u8; 6],
        /// Must refer to 128-byte buffer
        edid: GuestPtr<u8>,
    }
    /// Member `u.efi_info.cfg` of `struct xenpf_firmware_info`.
    XenpfFirmwareInfoEfiInfoCfg = "__typeof__(((struct xenpf_firmware_info *)0)->u.efi_info.cfg)" {
        /// EFI_CONFIGURATION_TABLE
        addr: u64,
        nent: u32,
        _pad0: [u8; 4],
    }
    /// Member `u.efi_info.vendor` of `struct xenpf_firmware_info`.
    XenpfFirmwareInfoEfiInfoVendor = "__typeof__(((struct xenpf_firmware_info *)0)->u.efi_info.vendor)" {
        revision: u32,
        /// Input, in bytes
        bufsz: u32,
        /// UCS-2/UTF-16 string
        name: GuestPtr<u8>,
    }
    /// Member `u.efi_info.mem` of `struct xenpf_firmware_info`.
    XenpfFirmwareInfoEfiInfoMem = "__typeof__(((struct xenpf_firmware_info *)0)->u.efi_info.mem)" {
        addr: u64,
        size: u64,
        attr: u64,
        r#type: u32,
        _pad0: [u8; 4],
    }
    /// Member `u.efi_info.pci_rom` of `struct xenpf_firmware_info`.
    XenpfFirmwareInfoEfiInfoPciRom = "__typeof__(((struct xenpf_firmware_info *)0)->u.efi_info.pci_rom)" {
        /// In.
        segment: u16,
        /// In.
        bus: u8,
        /// In.
        devfn: u8,
        /// In.
        vendor: u16,
        /// In.
        devid: u16,
        /// Out.
        address: u64,
        /// Out.
        size: xen_ulong_t,
    }
    /// Member `u.efi_info.apple_properties` of `struct xenpf_firmware_info`.
    XenpfFirmwareInfoEfiInfoAppleProperties = "__typeof__(((struct xenpf_firmware_info *)0)->u.efi_info.apple_properties)" {
        /// Out.
        address: u64,
        /// Out.
        size: xen_ulong_t,
    }
    /// Argument of `XENPF_firmware_info`, in `u` of [`XenPlatformOp`].
    XenpfFirmwareInfo = "struct xenpf_firmware_info" {
        /// In.
        r#type: u32,
        /// In.
        index: u32,
        u: [u8; 32],
        _pad0: [u64; 0],
    }
    /// Argument of `XENPF_enter_acpi_sleep`, in `u` of [`XenPlatformOp`].
    XenpfEnterAcpiSleep = "struct xenpf_enter_acpi_sleep" {
        /// PM1a control / sleep type A.
        val_a: u16,
        /// PM1b control / sleep type B.
        val_b: u16,
        /// Which state to enter (Sn).
        sleep_state: u32,
        /// XENPF_ACPI_SLEEP_*.
        flags: u32,
    }
    /// Argument of `XENPF_change_freq`, in `u` of [`XenPlatformOp`].
    XenpfChangeFreq = "struct xenpf_change_freq" {
        /// Must be zero.
        flags: u32,
        /// Physical cpu.
        cpu: u32,
        /// New frequency (Hz).
        freq: u64,
    }
    /// Argument of `XENPF_getidletime`, in `u` of [`XenPlatformOp`].
    XenpfGetidletime = "struct xenpf_getidletime" {
        /// In: CPUs to interrogate Out: subset of IN which are present
        cpumap_bitmap: GuestPtr<u8>,
        /// Size of cpumap bitmap.
        cpumap_nr_cpus: u32,
        _pad0: [u8; 4],
        /// Must be indexable for every cpu in cpumap_bitmap.
        idletime: GuestPtr<u64>,
        /// System time when the idletime snapshots were taken.
        now: u64,
    }
    /// `struct xen_power_register`.
    XenPowerRegister = "struct xen_power_register" {
        space_id: u32,
        bit_width: u32,
        bit_offset: u32,
        access_size: u32,
        address: u64,
    }
    /// `struct xen_processor_csd`.
    XenProcessorCsd = "struct xen_processor_csd" {
        /// Domain number of one dependent group
        domain: u32,
        /// Coordination type
        coord_type: u32,
        /// Number of processors in same domain
        num: u32,
    }
    /// `struct xen_processor_cx`.
    XenProcessorCx = "struct xen_processor_cx" {
        /// GAS for Cx trigger register
        reg: XenPowerRegister,
        /// Cstate value, c0: 0, c1: 1, ...
        r#type: u8,
        _pad0: [u8; 3],
        /// Worst latency (ms) to enter/exit this cstate
        latency: u32,
        /// Average power consumption(mW)
        power: u32,
        /// Number of dependency entries
        dpcnt: u32,
        /// NULL if no dependency
        dp: GuestPtr<XenProcessorCsd>,
    }
    /// `struct xen_processor_power`.
    XenProcessorPower = "struct xen_processor_power" {
        /// Number of C state entries in array below
        count: u32,
        /// Global flags of this processor
        flags: XenProcessorFlags,
        /// Supported c states
        states: GuestPtr<XenProcessorCx>,
    }
    /// `struct xen_pct_register`.
    XenPctRegister = "struct xen_pct_register" {
        descriptor: u8,
        _pad0: u8,
        length: u16,
        space_id: u8,
        bit_width: u8,
        bit_offset: u8,
        reserved: u8,
        address: u64,
    }
    /// `struct xen_processor_px`.
    XenProcessorPx = "struct xen_processor_px" {
        /// Megahertz
        core_frequency: u64,
        /// MilliWatts
        power: u64,
        /// Microseconds
        transition_latency: u64,
        /// Microseconds
        bus_master_latency: u64,
        /// Control value
        control: u64,
        /// Success indicator
        status: u64,
    }
    /// `struct xen_psd_package`.
    XenPsdPackage = "struct xen_psd_package" {
        num_entries: u64,
        revision: u64,
        domain: u64,
        coord_type: u64,
        num_processors: u64,
    }
    /// `struct xen_processor_performance`.
    XenProcessorPerformance = "struct xen_processor_performance" {
        /// Flag for Px sub info type
        flags: u32,
        /// Platform limitation on freq usage
        platform_limit: u32,
        control_register: XenPctRegister,
        status_register: XenPctRegister,
        /// Total available performance states
        state_count: u32,
        _pad0: [u8; 4],
        states: GuestPtr<XenProcessorPx>,
        domain_info: XenPsdPackage,
        shared_type: u32,
        _pad1: [u8; 4],
    }
    /// Argument of `XENPF_set_processor_pminfo`, in `u` of [`XenPlatformOp`].
    XenpfSetProcessorPminfo = "struct xenpf_set_processor_pminfo" {
        /// ACPI CPU ID
        id: u32,
        /// (XEN_PM_CX, XEN_PM_PX)
        r#type: u32,
        u: [u8; 104],
        _pad0: [u64; 0],
    }
    /// `struct xenpf_pcpuinfo`.
    XenpfPcpuinfo = "struct xenpf_pcpuinfo" {
        /// In.
        xen_cpuid: u32,
        /// The maxium cpu_id that is present
        max_present: u32,
        /// Out.
        flags: u32,
        /// Out.
        apic_id: u32,
        /// Out.
        acpi_id: u32,
    }
    /// `struct xenpf_pcpu_version`.
    XenpfPcpuVersion = "struct xenpf_pcpu_version" {
        /// In.
        xen_cpuid: u32,
        /// The maxium cpu_id that is present
        max_present: u32,
        /// Out.
        vendor_id: [u8; 12],
        /// Out.
        family: u32,
        /// Out.
        model: u32,
        /// Out.
        stepping: u32,
    }
    /// `struct xenpf_cpu_ol`.
    XenpfCpuOl = "struct xenpf_cpu_ol" {
        cpuid: u32,
    }
    /// Argument of `XENPF_cpu_hotadd`, in `u` of [`XenPlatformOp`].
    XenpfCpuHotadd = "struct xenpf_cpu_hotadd" {
        apic_id: u32,
        acpi_id: u32,
        pxm: u32,
    }
    /// Argument of `XENPF_mem_hotadd`, in `u` of [`XenPlatformOp`].
    XenpfMemHotadd = "struct xenpf_mem_hotadd" {
        spfn: u64,
        epfn: u64,
        pxm: u32,
        flags: u32,
    }
    /// Argument of `XENPF_core_parking`, in `u` of [`XenPlatformOp`].
    XenpfCoreParking = "struct xenpf_core_parking" {
        /// In.
        r#type: u32,
        /// Out: variables: get cpu nums actually be idled
        idle_nums: u32,
    }
    /// `struct xenpf_resource_entry`.
    XenpfResourceEntry = "struct xenpf_resource_entry" {
        u: u32,
        /// In: padding and must be zero
        rsvd: u32,
        /// In: resource address to access
        idx: u64,
        /// In and out: resource value to set/get
        val: u64,
    }
    /// Argument of `XENPF_resource_op`, in `u` of [`XenPlatformOp`].
    XenpfResourceOp = "struct xenpf_resource_op" {
        /// Number of resource entry
        nr_entries: u32,
        /// Which cpu to run
        cpu: u32,
        entries: GuestPtr<XenpfResourceEntry>,
    }
    /// `struct xenpf_symdata`.
    XenpfSymdata = "struct xenpf_symdata" {
        /// In: size of name buffer
        namelen: u32,
        /// In: Symbol to read
        symnum: u32,
        /// Out.
        name: GuestPtr<u8>,
        /// Out.
        address: u64,
        /// Out.
        r#type: u8,
        _pad0: [u8; 7],
    }
    /// Argument of `platform_op`: `u` holds the struct that belongs to `cmd`.
    XenPlatformOp = "struct xen_platform_op" {
        cmd: u32,
        /// XENPF_INTERFACE_VERSION
        interface_version: u32,
        u: [u8; 128],
        _pad0: [u64; 0],
    }
    /// Flags of a processor's power information: bit 0 `bm_control`, 1 `bm_check`, 2 `has_cst`,
    /// 3 `power_setup_done`, 4 `bm_rld_set`.
    XenProcessorFlags = "struct xen_processor_flags" {
        _bits: u32,
    }
}
