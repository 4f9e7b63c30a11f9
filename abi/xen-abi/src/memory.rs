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
        nr_extents: xen_ulong_t,
        extent_order: u32,
        mem_flags: u32,
        domid: domid_t,
        _pad0: [u8; 6],
    }
    /// Argument of `XENMEM_exchange`.
    XenMemoryExchange = "struct xen_memory_exchange" {
        r#in: XenMemoryReservation,
        out: XenMemoryReservation,
        nr_exchanged: xen_ulong_t,
    }
    /// Argument of the calls that only name a domain.
    XenMemoryDomain = "struct xen_memory_domain" {
        domid: domid_t,
    }
    /// Argument of `XENMEM_machphys_mfn_list`: mfns of the 2 MiB extents of the machine-to-physical table.
    XenMachphysMfnList = "struct xen_machphys_mfn_list" {
        max_extents: u32,
        _pad0: [u8; 4],
        extent_start: GuestPtr<xen_pfn_t>,
        nr_extents: u32,
        _pad1: [u8; 4],
    }
    /// Result of `XENMEM_machphys_mapping`.
    XenMachphysMapping = "struct xen_machphys_mapping" {
        v_start: xen_ulong_t,
        v_end: xen_ulong_t,
        max_mfn: xen_ulong_t,
    }
    /// Argument of `XENMEM_add_to_physmap`.
    XenAddToPhysmap = "struct xen_add_to_physmap" {
        domid: domid_t,
        size: u16,
        space: u32,
        idx: xen_ulong_t,
        gpfn: xen_pfn_t,
    }
    /// Argument of `XENMEM_add_to_physmap_batch`. `u` is a foreign domid for `XENMAPSPACE_gmfn_foreign`, otherwise zero.
    XenAddToPhysmapBatch = "struct xen_add_to_physmap_batch" {
        domid: domid_t,
        space: u16,
        size: u16,
        u: u16,
        idxs: GuestPtr<xen_ulong_t>,
        gpfns: GuestPtr<xen_pfn_t>,
        errs: GuestPtr<i32>,
    }
    /// Argument of `XENMEM_remove_from_physmap`.
    XenRemoveFromPhysmap = "struct xen_remove_from_physmap" {
        domid: domid_t,
        _pad0: [u8; 6],
        gpfn: xen_pfn_t,
    }
    /// Argument of the memory-map calls; `buffer` receives E820 entries.
    XenMemoryMap = "struct xen_memory_map" {
        nr_entries: u32,
        _pad0: [u8; 4],
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
        target_pages: u64,
        tot_pages: u64,
        pod_cache_pages: u64,
        pod_entries: u64,
        domid: domid_t,
        _pad0: [u8; 6],
    }
    /// `struct xen_mem_paging_op`.
    XenMemPagingOp = "struct xen_mem_paging_op" {
        op: u8,
        _pad0: u8,
        domain: domid_t,
        _pad1: [u8; 4],
        buffer: GuestPtr<u8>,
        gfn: u64,
    }
    /// `struct xen_mem_access_op`.
    XenMemAccessOp = "struct xen_mem_access_op" {
        op: u8,
        access: u8,
        domid: domid_t,
        nr: u32,
        pfn: u64,
        pfn_list: GuestPtr<u64>,
        access_list: GuestPtr<u8>,
    }
    /// `struct mem_sharing_op_nominate`.
    MemSharingOpNominate = "struct mem_sharing_op_nominate" {
        u: u64,
        handle: u64,
    }
    /// `struct mem_sharing_op_share`.
    MemSharingOpShare = "struct mem_sharing_op_share" {
        source_gfn: u64,
        source_handle: u64,
        client_gfn: u64,
        client_handle: u64,
        client_domain: domid_t,
        _pad0: [u8; 6],
    }
    /// `struct mem_sharing_op_range`.
    MemSharingOpRange = "struct mem_sharing_op_range" {
        first_gfn: u64,
        last_gfn: u64,
        opaque: u64,
        client_domain: domid_t,
        _pad: [u16; 3],
    }
    /// `struct mem_sharing_op_debug`.
    MemSharingOpDebug = "struct mem_sharing_op_debug" {
        u: u64,
    }
    /// `struct mem_sharing_op_fork`.
    MemSharingOpFork = "struct mem_sharing_op_fork" {
        parent_domain: domid_t,
        flags: u16,
        pad: u32,
    }
    /// `struct xen_mem_sharing_op`.
    XenMemSharingOp = "struct xen_mem_sharing_op" {
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
        flags: u32,
        nr_entries: u32,
        buffer: GuestPtr<XenReservedDeviceMemory>,
        dev: [u8; 4],
        _pad0: [u8; 4],
    }
    /// Argument of `XENMEM_acquire_resource`.
    XenMemAcquireResource = "struct xen_mem_acquire_resource" {
        domid: domid_t,
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
        domid: domid_t,
        pad: u16,
        nr_vnodes: u32,
        nr_vcpus: u32,
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
