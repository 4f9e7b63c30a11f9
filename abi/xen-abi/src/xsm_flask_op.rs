//! `xsm/flask_op.h`: subcommands of `xsm_op`.

use crate::event_channel::evtchn_port_t;
use crate::guest_ptr::GuestPtr;

consts! {
    /// What `interface_version` must be.
    u32 {
        XEN_FLASK_INTERFACE_VERSION = 1,
    }
    /// Subcommand of `xsm_op`.
    u32 {
        FLASK_LOAD = 1,
        FLASK_GETENFORCE = 2,
        FLASK_SETENFORCE = 3,
        FLASK_CONTEXT_TO_SID = 4,
        FLASK_SID_TO_CONTEXT = 5,
        FLASK_ACCESS = 6,
        FLASK_CREATE = 7,
        FLASK_RELABEL = 8,
        /// No longer implemented
        FLASK_USER = 9,
        FLASK_POLICYVERS = 10,
        FLASK_GETBOOL = 11,
        FLASK_SETBOOL = 12,
        FLASK_COMMITBOOLS = 13,
        FLASK_MLS = 14,
        /// No longer implemented
        FLASK_DISABLE = 15,
        FLASK_GETAVC_THRESHOLD = 16,
        FLASK_SETAVC_THRESHOLD = 17,
        FLASK_AVC_HASHSTATS = 18,
        FLASK_AVC_CACHESTATS = 19,
        FLASK_MEMBER = 20,
        FLASK_ADD_OCONTEXT = 21,
        FLASK_DEL_OCONTEXT = 22,
        FLASK_GET_PEER_SID = 23,
        FLASK_RELABEL_DOMAIN = 24,
        FLASK_DEVICETREE_LABEL = 25,
    }
}

structs! {
    /// Argument of `FLASK_LOAD`, in `u` of [`XenFlaskOp`].
    XenFlaskLoad = "struct xen_flask_load" {
        buffer: GuestPtr<u8>,
        size: u32,
        _pad0: [u8; 4],
    }
    /// Argument of `FLASK_SETENFORCE`, in `u` of [`XenFlaskOp`].
    XenFlaskSetenforce = "struct xen_flask_setenforce" {
        enforcing: u32,
    }
    /// `struct xen_flask_sid_context`.
    XenFlaskSidContext = "struct xen_flask_sid_context" {
        /// In and out: sid to convert to/from string
        sid: u32,
        /// In: size of the context buffer OUT: actual size of the output context string
        size: u32,
        context: GuestPtr<u8>,
    }
    /// Argument of `FLASK_ACCESS`, in `u` of [`XenFlaskOp`].
    XenFlaskAccess = "struct xen_flask_access" {
        /// In: access request
        ssid: u32,
        tsid: u32,
        tclass: u32,
        req: u32,
        /// Out: AVC data
        allowed: u32,
        audit_allow: u32,
        audit_deny: u32,
        seqno: u32,
    }
    /// `struct xen_flask_transition`.
    XenFlaskTransition = "struct xen_flask_transition" {
        /// In: transition SIDs and class
        ssid: u32,
        tsid: u32,
        tclass: u32,
        /// Out: new SID
        newsid: u32,
    }
    /// `struct xen_flask_boolean`.
    XenFlaskBoolean = "struct xen_flask_boolean" {
        /// In and out: numeric identifier for boolean \[GET/SET\] If -1, name will be used and bool_id will be filled in.
        bool_id: u32,
        /// Out: current enforcing value of boolean \[GET/SET\]
        enforcing: u8,
        /// Out: pending value of boolean \[GET/SET\]
        pending: u8,
        /// In: new value of boolean \[SET\]
        new_value: u8,
        /// In: commit new value instead of only setting pending \[SET\]
        commit: u8,
        /// In: size of boolean name buffer \[GET/SET\] OUT: actual size of name \[GET only\]
        size: u32,
        _pad0: [u8; 4],
        /// In: if bool_id is -1, used to find boolean \[GET/SET\] OUT: textual name of boolean \[GET only\]
        name: GuestPtr<u8>,
    }
    /// Argument of `FLASK_SETAVC_THRESHOLD`, in `u` of [`XenFlaskOp`].
    XenFlaskSetavcThreshold = "struct xen_flask_setavc_threshold" {
        /// In.
        threshold: u32,
    }
    /// `struct xen_flask_hash_stats`.
    XenFlaskHashStats = "struct xen_flask_hash_stats" {
        /// Out.
        entries: u32,
        /// Out.
        buckets_used: u32,
        /// Out.
        buckets_total: u32,
        /// Out.
        max_chain_len: u32,
    }
    /// `struct xen_flask_cache_stats`.
    XenFlaskCacheStats = "struct xen_flask_cache_stats" {
        /// In.
        cpu: u32,
        /// Out.
        lookups: u32,
        /// Out.
        hits: u32,
        /// Out.
        misses: u32,
        /// Out.
        allocations: u32,
        /// Out.
        reclaims: u32,
        /// Out.
        frees: u32,
    }
    /// `struct xen_flask_ocontext`.
    XenFlaskOcontext = "struct xen_flask_ocontext" {
        /// In.
        ocon: u32,
        /// In.
        sid: u32,
        /// In.
        low: u64,
        /// In.
        high: u64,
    }
    /// `struct xen_flask_peersid`.
    XenFlaskPeersid = "struct xen_flask_peersid" {
        /// In.
        evtchn: evtchn_port_t,
        /// Out.
        sid: u32,
    }
    /// Argument of `FLASK_RELABEL`, in `u` of [`XenFlaskOp`].
    XenFlaskRelabel = "struct xen_flask_relabel" {
        /// In.
        domid: u32,
        /// In.
        sid: u32,
    }
    /// Argument of `FLASK_DEVICETREE_LABEL`, in `u` of [`XenFlaskOp`].
    XenFlaskDevicetreeLabel = "struct xen_flask_devicetree_label" {
        /// In.
        sid: u32,
        /// In.
        length: u32,
        /// In.
        path: GuestPtr<u8>,
    }
    /// Argument of `xsm_op`: `u` holds the struct that belongs to `cmd`.
    XenFlaskOp = "struct xen_flask_op" {
        cmd: u32,
        /// XEN_FLASK_INTERFACE_VERSION
        interface_version: u32,
        u: [u8; 32],
        _pad0: [u64; 0],
    }
}
