//! `io/netif.h`: requests and responses of the network protocol.

use crate::grant_table::grant_ref_t;

consts! {
    /// Slots that a backend must accept for one packet.
    usize {
        XEN_NETIF_NR_SLOTS_MIN = 18,
    }
    /// Bytes of a packet at most.
    u32 {
        XEN_NETIF_MAX_TX_SIZE = 0xffff,
    }
    /// Bit number of a flag.
    u32 {
        _XEN_NETIF_CTRL_HASH_TYPE_IPV4 = 0,
        _XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP = 1,
        _XEN_NETIF_CTRL_HASH_TYPE_IPV6 = 2,
        _XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP = 3,
        _XEN_NETIF_CTRLF_GREF_readonly = 0,
        _NETTXF_csum_blank = 0,
        _NETTXF_data_validated = 1,
        _NETTXF_more_data = 2,
        _NETTXF_extra_info = 3,
        _XEN_NETIF_EXTRA_FLAG_MORE = 0,
        _NETRXF_data_validated = 0,
        _NETRXF_csum_blank = 1,
        _NETRXF_more_data = 2,
        _NETRXF_extra_info = 3,
        _NETRXF_gso_prefix = 4,
    }
    /// Type of a control message.
    u16 {
        XEN_NETIF_CTRL_TYPE_INVALID = 0,
        XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS = 1,
        XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS = 2,
        XEN_NETIF_CTRL_TYPE_SET_HASH_KEY = 3,
        XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE = 4,
        XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE = 5,
        XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING = 6,
        XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM = 7,
        XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE = 8,
        XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING = 9,
        XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING = 10,
    }
    /// Flag of a mapped grant.
    u16 {
        XEN_NETIF_CTRLF_GREF_readonly = 1 << _XEN_NETIF_CTRLF_GREF_readonly,
    }
    /// Hash type, algorithm or status of a control message.
    u32 {
        XEN_NETIF_CTRL_HASH_TYPE_IPV4 = 1 << _XEN_NETIF_CTRL_HASH_TYPE_IPV4,
        XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP = 1 << _XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP,
        XEN_NETIF_CTRL_HASH_TYPE_IPV6 = 1 << _XEN_NETIF_CTRL_HASH_TYPE_IPV6,
        XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP = 1 << _XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP,
        XEN_NETIF_CTRL_HASH_ALGORITHM_NONE = 0,
        XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ = 1,
        XEN_NETIF_CTRL_STATUS_SUCCESS = 0,
        XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED = 1,
        XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER = 2,
        XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW = 3,
    }
    /// Flag of a request or response.
    u16 {
        NETTXF_csum_blank = 1 << _NETTXF_csum_blank,
        NETTXF_data_validated = 1 << _NETTXF_data_validated,
        NETTXF_more_data = 1 << _NETTXF_more_data,
        NETTXF_extra_info = 1 << _NETTXF_extra_info,
        NETRXF_data_validated = 1 << _NETRXF_data_validated,
        NETRXF_csum_blank = 1 << _NETRXF_csum_blank,
        NETRXF_more_data = 1 << _NETRXF_more_data,
        NETRXF_extra_info = 1 << _NETRXF_extra_info,
        NETRXF_gso_prefix = 1 << _NETRXF_gso_prefix,
    }
    /// Kind or flag of an extra slot.
    u8 {
        /// Never used - invalid
        XEN_NETIF_EXTRA_TYPE_NONE = 0,
        XEN_NETIF_EXTRA_TYPE_GSO = 1,
        XEN_NETIF_EXTRA_TYPE_MCAST_ADD = 2,
        XEN_NETIF_EXTRA_TYPE_MCAST_DEL = 3,
        XEN_NETIF_EXTRA_TYPE_HASH = 4,
        XEN_NETIF_EXTRA_TYPE_MAX = 5,
        XEN_NETIF_EXTRA_FLAG_MORE = 1 << _XEN_NETIF_EXTRA_FLAG_MORE,
        XEN_NETIF_GSO_TYPE_NONE = 0,
        XEN_NETIF_GSO_TYPE_TCPV4 = 1,
        XEN_NETIF_GSO_TYPE_TCPV6 = 2,
    }
    /// Status of a response.
    i16 {
        NETIF_RSP_DROPPED = -2,
        NETIF_RSP_ERROR = -1,
        NETIF_RSP_OKAY = 0,
        NETIF_RSP_NULL = 1,
    }
}

structs! {
    /// `struct xen_netif_ctrl_request`.
    XenNetifCtrlRequest = "struct xen_netif_ctrl_request" {
        id: u16,
        r#type: u16,
        data: [u32; 3],
    }
    /// `struct xen_netif_ctrl_response`.
    XenNetifCtrlResponse = "struct xen_netif_ctrl_response" {
        id: u16,
        r#type: u16,
        status: u32,
        data: u32,
    }
    /// `struct xen_netif_gref`.
    XenNetifGref = "struct xen_netif_gref" {
        r#ref: grant_ref_t,
        flags: u16,
        status: u16,
    }
    /// A slot of the transmit ring.
    NetifTxRequest = "struct netif_tx_request" {
        gref: grant_ref_t,
        offset: u16,
        flags: u16,
        id: u16,
        size: u16,
    }
    /// Member `u.gso` of `struct netif_extra_info`.
    NetifExtraInfoGso = "__typeof__(((struct netif_extra_info *)0)->u.gso)" {
        size: u16,
        r#type: u8,
        pad: u8,
        features: u16,
    }
    /// Member `u.mcast` of `struct netif_extra_info`.
    NetifExtraInfoMcast = "__typeof__(((struct netif_extra_info *)0)->u.mcast)" {
        addr: [u8; 6],
    }
    /// Member `u.hash` of `struct netif_extra_info`.
    NetifExtraInfoHash = "__typeof__(((struct netif_extra_info *)0)->u.hash)" {
        r#type: u8,
        algorithm: u8,
        value: [u8; 4],
    }
    /// A slot that tells more about the packet before it.
    NetifExtraInfo = "struct netif_extra_info" {
        r#type: u8,
        flags: u8,
        u: [u8; 6],
        _pad0: [u16; 0],
    }
    /// The answer to a transmit slot.
    NetifTxResponse = "struct netif_tx_response" {
        id: u16,
        status: i16,
    }
    /// An empty page for the receive ring.
    NetifRxRequest = "struct netif_rx_request" {
        /// Echoed in response message.
        id: u16,
        pad: u16,
        gref: grant_ref_t,
    }
    /// A filled page.
    NetifRxResponse = "struct netif_rx_response" {
        id: u16,
        offset: u16,
        flags: u16,
        status: i16,
    }
}
