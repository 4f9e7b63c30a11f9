//! `hvm/hvm_op.h`: subcommands of `hvm_op`.

use crate::guest_ptr::GuestPtr;
use crate::xen::domid_t;

consts! {
    /// Subcommand of `hvm_op`, or a flag of one.
    u32 {
        HVMOP_set_param = 0,
        HVMOP_get_param = 1,
        HVMOP_flush_tlbs = 5,
        HVMOP_pagetable_dying = 9,
        HVMOP_get_time = 10,
        HVMOP_xentrace = 11,
        HVMOP_set_mem_access = 12,
        HVMOP_get_mem_access = 13,
        HVMOP_get_mem_type = 15,
        HVMOP_set_evtchn_upcall_vector = 23,
        HVMOP_guest_request_vm_event = 24,
        HVMOP_altp2m = 25,
        HVMOP_ALTP2M_INTERFACE_VERSION = 0x00000001,
        HVMOP_altp2m_get_domain_state = 1,
        HVMOP_altp2m_set_domain_state = 2,
        HVMOP_altp2m_vcpu_enable_notify = 3,
        HVMOP_altp2m_create_p2m = 4,
        HVMOP_altp2m_destroy_p2m = 5,
        HVMOP_altp2m_switch_p2m = 6,
        HVMOP_altp2m_set_mem_access = 7,
        HVMOP_altp2m_change_gfn = 8,
        HVMOP_altp2m_set_mem_access_multi = 9,
        HVMOP_altp2m_set_suppress_ve = 10,
        HVMOP_altp2m_get_suppress_ve = 11,
        HVMOP_altp2m_get_mem_access = 12,
        HVMOP_altp2m_vcpu_disable_notify = 13,
        HVMOP_altp2m_get_p2m_idx = 14,
        HVMOP_altp2m_set_suppress_ve_multi = 15,
        HVMOP_altp2m_set_visibility = 16,
    }
    /// Type of a guest page.
    u16 {
        HVMMEM_ram_rw = 0,
        HVMMEM_ram_ro = 1,
        HVMMEM_mmio_dm = 2,
        HVMMEM_unused = 3,
        HVMMEM_ioreq_server = 4,
    }
    /// Flag or size.
    u32 {
        HVM_IOREQSRV_BUFIOREQ_OFF = 0,
        HVM_IOREQSRV_BUFIOREQ_LEGACY = 1,
        HVM_IOREQSRV_BUFIOREQ_ATOMIC = 2,
    }
}

structs! {
    /// `struct xen_hvm_param`.
    XenHvmParam = "struct xen_hvm_param" {
        /// In.
        domid: domid_t,
        pad: u16,
        /// In.
        index: u32,
        /// In and out.
        value: u64,
    }
    /// `struct xen_hvm_altp2m_suppress_ve`.
    XenHvmAltp2mSuppressVe = "struct xen_hvm_altp2m_suppress_ve" {
        view: u16,
        /// Boolean type.
        suppress_ve: u8,
        pad1: u8,
        pad2: u32,
        gfn: u64,
    }
    /// `struct xen_hvm_altp2m_suppress_ve_multi`.
    XenHvmAltp2mSuppressVeMulti = "struct xen_hvm_altp2m_suppress_ve_multi" {
        view: u16,
        /// Boolean type.
        suppress_ve: u8,
        pad1: u8,
        /// Should be set to 0.
        first_error: i32,
        /// Value may be updated.
        first_gfn: u64,
        last_gfn: u64,
        /// Gfn of the first error.
        first_error_gfn: u64,
    }
    /// `struct xen_hvm_pagetable_dying`.
    XenHvmPagetableDying = "struct xen_hvm_pagetable_dying" {
        /// Domain with a pagetable about to be destroyed.
        domid: domid_t,
        /// Align next field on 8-byte boundary
        pad: [u16; 3],
        /// Guest physical address of the toplevel pagetable dying
        gpa: u64,
    }
    /// `struct xen_hvm_get_time`.
    XenHvmGetTime = "struct xen_hvm_get_time" {
        /// Out.
        now: u64,
    }
    /// `struct xen_hvm_xentrace`.
    XenHvmXentrace = "struct xen_hvm_xentrace" {
        event: u16,
        extra_bytes: u16,
        extra: [u8; 28],
    }
    /// `struct xen_hvm_get_mem_type`.
    XenHvmGetMemType = "struct xen_hvm_get_mem_type" {
        /// Domain to be queried.
        domid: domid_t,
        /// Out.
        mem_type: u16,
        /// Align next field on 8-byte boundary
        pad: [u16; 2],
        /// In.
        pfn: u64,
    }
    /// `struct xen_hvm_evtchn_upcall_vector`.
    XenHvmEvtchnUpcallVector = "struct xen_hvm_evtchn_upcall_vector" {
        vcpu: u32,
        vector: u8,
        _pad0: [u8; 3],
    }
    /// `struct xen_hvm_altp2m_domain_state`.
    XenHvmAltp2mDomainState = "struct xen_hvm_altp2m_domain_state" {
        /// In: or OUT variable on/off
        state: u8,
    }
    /// `struct xen_hvm_altp2m_vcpu_enable_notify`.
    XenHvmAltp2mVcpuEnableNotify = "struct xen_hvm_altp2m_vcpu_enable_notify" {
        vcpu_id: u32,
        pad: u32,
        gfn: u64,
    }
    /// `struct xen_hvm_altp2m_vcpu_disable_notify`.
    XenHvmAltp2mVcpuDisableNotify = "struct xen_hvm_altp2m_vcpu_disable_notify" {
        vcpu_id: u32,
    }
    /// `struct xen_hvm_altp2m_view`.
    XenHvmAltp2mView = "struct xen_hvm_altp2m_view" {
        /// In and out.
        view: u16,
        /// xenmem_access_t
        hvmmem_default_access: u16,
    }
    /// `struct xen_hvm_altp2m_mem_access`.
    XenHvmAltp2mMemAccess = "struct xen_hvm_altp2m_mem_access" {
        /// View
        view: u16,
        /// xenmem_access_t
        access: u16,
        pad: u32,
        /// Gfn
        gfn: u64,
    }
    /// `struct xen_hvm_altp2m_set_mem_access_multi`.
    XenHvmAltp2mSetMemAccessMulti = "struct xen_hvm_altp2m_set_mem_access_multi" {
        /// View
        view: u16,
        pad: u16,
        /// Number of pages
        nr: u32,
        /// Used for continuation purposes. Must be set to zero upon initial invocation.
        opaque: u64,
        /// List of pfns to set access for
        pfn_list: GuestPtr<u64>,
        /// Corresponding list of access settings for pfn_list
        access_list: GuestPtr<u8>,
    }
    /// `struct xen_hvm_altp2m_change_gfn`.
    XenHvmAltp2mChangeGfn = "struct xen_hvm_altp2m_change_gfn" {
        /// View
        view: u16,
        pad1: u16,
        pad2: u32,
        /// Old gfn
        old_gfn: u64,
        /// New gfn, INVALID_GFN (~0UL) means revert
        new_gfn: u64,
    }
    /// `struct xen_hvm_altp2m_get_vcpu_p2m_idx`.
    XenHvmAltp2mGetVcpuP2mIdx = "struct xen_hvm_altp2m_get_vcpu_p2m_idx" {
        vcpu_id: u32,
        altp2m_idx: u16,
        _pad0: [u8; 2],
    }
    /// `struct xen_hvm_altp2m_set_visibility`.
    XenHvmAltp2mSetVisibility = "struct xen_hvm_altp2m_set_visibility" {
        altp2m_idx: u16,
        visible: u8,
        pad: u8,
    }
    /// `struct xen_hvm_altp2m_op`.
    XenHvmAltp2mOp = "struct xen_hvm_altp2m_op" {
        /// HVMOP_ALTP2M_INTERFACE_VERSION
        version: u32,
        cmd: u32,
        domain: domid_t,
        pad1: u16,
        pad2: u32,
        u: [u8; 64],
        _pad0: [u64; 0],
    }
}
