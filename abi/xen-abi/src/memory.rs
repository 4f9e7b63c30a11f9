//! `memory.h`: subcommands of `memory_op` and their arguments.

use crate::arch_x86::{xen_pfn_t, xen_ulong_t};
use crate::guest_ptr::GuestPtr;
use crate::xen::domid_t;

consts! {
    /// Subcommand of `memory_op`, or of one of its multiplexers.
    u32 {
        XENMEM_increase_reservation = 0,
        XENMEM_decrease_reservation = 1,
        XENMEM_populate_physmap = 6,
        XENMEM_exchange = 11,
        XENMEM_maximum_ram_page = 2,
        XENMEM_current_reservation = 3,
        XENMEM_maximum_reservation = 4,
        XENMEM_maximum_gpfn = 14,
        XENMEM_machphys_mfn_list = 5,
        XENMEM_machphys_compat_mfn_list = 25,
        XENMEM_machphys_mapping = 12,
        XENMEM_add_to_physmap = 7,
        XENMEM_add_to_physmap_batch = 23,
        XENMEM_remove_from_physmap = 15,
        XENMEM_memory_map = 9,
        XENMEM_machine_memory_map = 10,
        XENMEM_set_memory_map = 13,
        XENMEM_set_pod_target = 16,
        XENMEM_get_pod_target = 17,
        XENMEM_get_sharing_freed_pages = 18,
        XENMEM_get_sharing_shared_pages = 19,
        XENMEM_paging_op = 20,
        XENMEM_paging_op_nominate = 0,
        XENMEM_paging_op_evict = 1,
        XENMEM_paging_op_prep = 2,
        XENMEM_access_op = 21,
        XENMEM_access_op_set_access = 0,
        XENMEM_access_op_get_access = 1,
        XENMEM_access_op_set_access_multi = 4,
        XENMEM_sharing_op = 22,
        XENMEM_sharing_op_nominate_gfn = 0,
        XENMEM_sharing_op_nominate_gref = 1,
        XENMEM_sharing_op_share = 2,
        XENMEM_sharing_op_debug_gfn = 3,
        XENMEM_sharing_op_debug_mfn = 4,
        XENMEM_sharing_op_debug_gref = 5,
        XENMEM_sharing_op_add_physmap = 6,
        XENMEM_sharing_op_audit = 7,
        XENMEM_sharing_op_range_share = 8,
        XENMEM_sharing_op_fork = 9,
        XENMEM_sharing_op_fork_reset = 10,
        XENMEM_claim_pages = 24,
        XENMEM_reserved_device_memory_map = 27,
        XENMEM_acquire_resource = 28,
        XENMEM_get_vnumainfo = 26,
    }
    /// Flag in `mem_flags` of a reservation.
    u32 {
        XENMEMF_populate_on_demand = 1 << 16,
        XENMEMF_exact_node_request = 1 << 17,
        XENMEMF_vnode = 1 << 18,
    }
    /// Where `add_to_physmap` takes its page from.
    u32 {
        /// Shared info page
        XENMAPSPACE_shared_info = 0,
        /// Grant table page
        XENMAPSPACE_grant_table = 1,
        /// GMFN
        XENMAPSPACE_gmfn = 2,
        /// GMFN range, XENMEM_add_to_physmap only.
        XENMAPSPACE_gmfn_range = 3,
        /// GMFN from another dom, XENMEM_add_to_physmap_batch only.
        XENMAPSPACE_gmfn_foreign = 4,
        /// Device mmio region ARM only; the region is mapped in Stage-2 using the Normal Memory Inner/Outer Write-Back Cacheable memory attribute.
        XENMAPSPACE_dev_mmio = 5,
    }
    /// Bit in `idx` of `XENMAPSPACE_grant_table`.
    u64 {
        XENMAPIDX_grant_table_status = 0x80000000,
    }
    /// Access right of a page.
    u8 {
        XENMEM_access_n = 0,
        XENMEM_access_r = 1,
        XENMEM_access_w = 2,
        XENMEM_access_rw = 3,
        XENMEM_access_x = 4,
        XENMEM_access_rx = 5,
        XENMEM_access_wx = 6,
        XENMEM_access_rwx = 7,
        XENMEM_access_rx2rw = 8,
        XENMEM_access_n2rwx = 9,
        XENMEM_access_default = 10,
    }
    /// Result of a sharing operation.
    i32 {
        XENMEM_SHARING_OP_S_HANDLE_INVALID = -10,
        XENMEM_SHARING_OP_C_HANDLE_INVALID = -9,
    }
    /// The field is a grant reference.
    u64 {
        XENMEM_SHARING_OP_FIELD_IS_GREF_FLAG = 1 << 62,
    }
    /// Flag of a fork.
    u16 {
        XENMEM_FORK_WITH_IOMMU_ALLOWED = 1 << 0,
        XENMEM_FORK_BLOCK_INTERRUPTS = 1 << 1,
        XENMEM_FORK_RESET_STATE = 1 << 2,
        XENMEM_FORK_RESET_MEMORY = 1 << 3,
    }
    /// All devices, not only the one that is named.
    u32 {
        /// Request all regions (ignore dev union).
        XENMEM_RDM_ALL = 1,
    }
    /// Kind of resource.
    u16 {
        XENMEM_resource_ioreq_server = 0,
        XENMEM_resource_grant_table = 1,
        XENMEM_resource_vmtrace_buf = 2,
    }
    /// Which part of a grant table.
    u32 {
        XENMEM_resource_grant_table_id_shared = 0,
        XENMEM_resource_grant_table_id_status = 1,
    }
    /// Which frame of an ioreq server.
    u64 {
        XENMEM_resource_ioreq_server_frame_bufioreq = 0,
    }
}

structs! {
    /// Argument of increase/decrease reservation and populate physmap.
    XenMemoryReservation = "struct xen_memory_reservation" {
        extent_start: GuestPtr<xen_pfn_t>,
        /// Number of extents, and size/alignment of each (2^extent_order pages).
        nr_extents: xen_ulong_t,
        extent_order: u32,
        /// XENMEMF flags.
        mem_flags: u32,
        /// Domain whose reservation is being changed. Unprivileged domains can specify only DOMID_SELF.
        domid: domid_t,
        _pad0: [u8; 6],
    }
    /// Argument of `XENMEM_exchange`.
    XenMemoryExchange = "struct xen_memory_exchange" {
        /// In: Details of memory extents to be exchanged (GMFN bases). Note that @in.address_bits is ignored and unused.
        r#in: XenMemoryReservation,
        out: XenMemoryReservation,
        nr_exchanged: xen_ulong_t,
    }
    /// Argument of the calls that only name a domain.
    XenMemoryDomain = "struct xen_memory_domain" {
        /// In: Domain information is being queried for.
        domid: domid_t,
    }
    /// Argument of `XENMEM_machphys_mfn_list`: mfns of the 2 MiB extents of the machine-to-physical table.
    XenMachphysMfnList = "struct xen_machphys_mfn_list" {
        /// Size of the 'extent_start' array. Fewer entries will be filled if the machphys table is smaller than max_extents * 2MB.
        max_extents: u32,
        _pad0: [u8; 4],
        extent_start: GuestPtr<xen_pfn_t>,
        /// Number of extents written to the above array. This will be smaller than 'max_extents' if the machphys table is smaller than max_e * 2MB.
        nr_extents: u32,
        _pad1: [u8; 4],
    }
    /// Result of `XENMEM_machphys_mapping`.
    XenMachphysMapping = "struct xen_machphys_mapping" {
        /// Start and end virtual addresses.
        v_start: xen_ulong_t,
        /// Start and end virtual addresses.
        v_end: xen_ulong_t,
        /// Maximum MFN that can be looked up.
        max_mfn: xen_ulong_t,
    }
    /// Argument of `XENMEM_add_to_physmap`.
    XenAddToPhysmap = "struct xen_add_to_physmap" {
        /// Which domain to change the mapping for.
        domid: domid_t,
        /// Number of pages to go through for gmfn_range
        size: u16,
        /// One of XENMAPSPACE_*.
        space: u32,
        /// Index into space being mapped.
        idx: xen_ulong_t,
        /// GPFN in domid where the source mapping page should appear.
        gpfn: xen_pfn_t,
    }
    /// Argument of `XENMEM_add_to_physmap_batch`. `u` is a foreign domid for `XENMAPSPACE_gmfn_foreign`, otherwise zero.
    XenAddToPhysmapBatch = "struct xen_add_to_physmap_batch" {
        /// Which domain to change the mapping for.
        domid: domid_t,
        /// One of XENMAPSPACE_*.
        space: u16,
        /// Number of pages to go through
        size: u16,
        u: u16,
        /// Indexes into space being mapped.
        idxs: GuestPtr<xen_ulong_t>,
        /// GPFN in domid where the source mapping page should appear.
        gpfns: GuestPtr<xen_pfn_t>,
        /// Per index error code.
        errs: GuestPtr<i32>,
    }
    /// Argument of `XENMEM_remove_from_physmap`.
    XenRemoveFromPhysmap = "struct xen_remove_from_physmap" {
        /// Which domain to change the mapping for.
        domid: domid_t,
        _pad0: [u8; 6],
        /// GPFN of the current mapping of the page.
        gpfn: xen_pfn_t,
    }
    /// Argument of the memory-map calls; `buffer` receives E820 entries.
    XenMemoryMap = "struct xen_memory_map" {
        /// On call the number of entries which can be stored in buffer. On return the number of entries which have been stored in buffer.
        nr_entries: u32,
        _pad0: [u8; 4],
        /// Entries in the buffer are in the same format as returned by the BIOS INT 0x15 EAX=0xE820 call.
        buffer: GuestPtr<u8>,
    }
    /// Argument of `XENMEM_set_memory_map`.
    XenForeignMemoryMap = "struct xen_foreign_memory_map" {
        domid: domid_t,
        _pad0: [u8; 6],
        map: XenMemoryMap,
    }
    /// Argument of the populate-on-demand target calls, in pages.
    XenPodTarget = "struct xen_pod_target" {
        /// In.
        target_pages: u64,
        /// Out.
        tot_pages: u64,
        /// Out.
        pod_cache_pages: u64,
        /// Out.
        pod_entries: u64,
        /// In.
        domid: domid_t,
        _pad0: [u8; 6],
    }
    /// `struct xen_mem_paging_op`.
    XenMemPagingOp = "struct xen_mem_paging_op" {
        /// XENMEM_paging_op_*
        op: u8,
        _pad0: u8,
        domain: domid_t,
        _pad1: [u8; 4],
        /// In: (XENMEM_paging_op_prep) buffer to immediately fill page from
        buffer: GuestPtr<u8>,
        /// In: gfn of page being operated on
        gfn: u64,
    }
    /// `struct xen_mem_access_op`.
    XenMemAccessOp = "struct xen_mem_access_op" {
        /// XENMEM_access_op_*
        op: u8,
        /// xenmem_access_t
        access: u8,
        domid: domid_t,
        /// Number of pages for set op (or size of pfn_list for XENMEM_access_op_set_access_multi) Ignored on setting default access and other ops
        nr: u32,
        /// First pfn for set op pfn for get op ~0ull is used to set and get the default access for pages
        pfn: u64,
        /// List of pfns to set access for Used only with XENMEM_access_op_set_access_multi
        pfn_list: GuestPtr<u64>,
        /// Corresponding list of access settings for pfn_list Used only with XENMEM_access_op_set_access_multi
        access_list: GuestPtr<u8>,
    }
    /// `struct mem_sharing_op_nominate`.
    MemSharingOpNominate = "struct mem_sharing_op_nominate" {
        u: u64,
        /// Out: the handle
        handle: u64,
    }
    /// `struct mem_sharing_op_share`.
    MemSharingOpShare = "struct mem_sharing_op_share" {
        /// In: the gfn of the source page
        source_gfn: u64,
        /// In: handle to the source page
        source_handle: u64,
        /// In: the client gfn
        client_gfn: u64,
        /// In: handle to the client page
        client_handle: u64,
        /// In: the client domain id
        client_domain: domid_t,
        _pad0: [u8; 6],
    }
    /// `struct mem_sharing_op_range`.
    MemSharingOpRange = "struct mem_sharing_op_range" {
        /// In: the first gfn
        first_gfn: u64,
        /// In: the last gfn
        last_gfn: u64,
        /// Must be set to 0
        opaque: u64,
        /// In: the client domain id
        client_domain: domid_t,
        /// Must be set to 0
        _pad: [u16; 3],
    }
    /// `struct mem_sharing_op_debug`.
    MemSharingOpDebug = "struct mem_sharing_op_debug" {
        u: u64,
    }
    /// `struct mem_sharing_op_fork`.
    MemSharingOpFork = "struct mem_sharing_op_fork" {
        /// In: parent's domain id
        parent_domain: domid_t,
        /// In: optional settings
        flags: u16,
        /// Must be set to 0
        pad: u32,
    }
    /// `struct xen_mem_sharing_op`.
    XenMemSharingOp = "struct xen_mem_sharing_op" {
        /// XENMEM_sharing_op_*
        op: u8,
        _pad0: u8,
        domain: domid_t,
        _pad1: [u8; 4],
        u: [u8; 40],
        _pad2: [u64; 0],
    }
    /// `struct xen_reserved_device_memory`.
    XenReservedDeviceMemory = "struct xen_reserved_device_memory" {
        start_pfn: xen_pfn_t,
        nr_pages: xen_ulong_t,
    }
    /// `struct xen_reserved_device_memory_map`.
    XenReservedDeviceMemoryMap = "struct xen_reserved_device_memory_map" {
        /// In.
        flags: u32,
        /// IN/OUT * Gets set to the required number of entries when too low, signaled by error code -ERANGE.
        nr_entries: u32,
        /// Out.
        buffer: GuestPtr<XenReservedDeviceMemory>,
        dev: [u8; 4],
        _pad0: [u8; 4],
    }
    /// Argument of `XENMEM_acquire_resource`.
    XenMemAcquireResource = "struct xen_mem_acquire_resource" {
        /// In: The domain whose resource is to be mapped
        domid: domid_t,
        /// In: the type of resource
        r#type: u16,
        id: u32,
        nr_frames: u32,
        pad: u32,
        frame: u64,
        frame_list: GuestPtr<xen_pfn_t>,
    }
    /// A range of guest-physical addresses on one virtual node.
    XenVmemrange = "struct xen_vmemrange" {
        start: u64,
        end: u64,
        flags: u32,
        nid: u32,
    }
    /// Argument of `XENMEM_get_vnumainfo`.
    XenVnumaTopologyInfo = "struct xen_vnuma_topology_info" {
        /// In.
        domid: domid_t,
        pad: u16,
        /// In and out.
        nr_vnodes: u32,
        /// In and out.
        nr_vcpus: u32,
        /// In and out.
        nr_vmemranges: u32,
        vdistance: u64,
        vcpu_to_vnode: u64,
        vmemrange: u64,
    }
}

/// The `XENMEMF_address_bits` part of `mem_flags`: width of acceptable machine addresses, 0 for any.
#[must_use]
pub const fn XENMEMF_get_address_bits(flags: u32) -> u32 {
    flags & 0xff
}

/// The NUMA node in `mem_flags`: 255 for none.
#[must_use]
pub const fn XENMEMF_get_node(flags: u32) -> u32 {
    ((flags >> 8) & 0xff).wrapping_sub(1) & 0xff
}

/// `mem_flags` that ask for a NUMA node; only the low eight bits of `node` are meant.
#[must_use]
pub const fn XENMEMF_node(node: u32) -> u32 {
    (node.wrapping_add(1) & 0xff) << 8
}

/// The ioreq page of an ioreq server's buffer number `n` as a resource frame.
#[must_use]
pub const fn XENMEM_resource_ioreq_server_frame_ioreq(n: u64) -> u64 {
    n.wrapping_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_node_is_255_and_a_node_survives_the_flags() {
        assert_eq!(XENMEMF_get_node(0), 0xff);
        for node in [0, 1, 7, 254] {
            assert_eq!(XENMEMF_get_node(XENMEMF_node(node)), node);
        }
        assert_eq!(XENMEMF_get_address_bits(XENMEMF_node(3) | 32), 32);
    }
}
