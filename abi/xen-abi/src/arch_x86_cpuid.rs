//! `arch-x86/cpuid.h`: the CPUID leaves by which a guest finds the hypervisor.

consts! {
    /// Where the leaves begin, and the last one's offset.
    u32 {
        XEN_CPUID_FIRST_LEAF = 0x40000000,
        XEN_CPUID_MAX_NUM_LEAVES = 5,
    }
    /// "XenVMMXenVMM", in leaf 0.
    u32 {
        /// "XenV"
        XEN_CPUID_SIGNATURE_EBX = 0x566e6558,
        /// "MMXe"
        XEN_CPUID_SIGNATURE_ECX = 0x65584d4d,
        /// "nVMM"
        XEN_CPUID_SIGNATURE_EDX = 0x4d4d566e,
    }
    /// Bit number of a feature in leaf 2.
    u32 {
        _XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD = 0,
    }
    /// Feature in leaf 2, ECX.
    u32 {
        XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD = 1 << 0,
    }
    /// Feature in leaf 4, EAX.
    u32 {
        /// Virtualized APIC registers
        XEN_HVM_CPUID_APIC_ACCESS_VIRT = 1 << 0,
        /// Virtualized x2APIC accesses
        XEN_HVM_CPUID_X2APIC_VIRT = 1 << 1,
        XEN_HVM_CPUID_IOMMU_MAPPINGS = 1 << 2,
        /// Vcpu id is present in EBX
        XEN_HVM_CPUID_VCPU_ID_PRESENT = 1 << 3,
        /// Domid is present in ECX
        XEN_HVM_CPUID_DOMID_PRESENT = 1 << 4,
        XEN_HVM_CPUID_EXT_DEST_ID = 1 << 5,
        XEN_HVM_CPUID_UPCALL_VECTOR = 1 << 6,
    }
    /// Machine address width in leaf 5, EBX.
    u32 {
        XEN_CPUID_MACHINE_ADDRESS_WIDTH_MASK = 0xff,
    }
}

structs! {}
