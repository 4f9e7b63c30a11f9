//! `io/xs_wire.h`: messages and ring of xenstore.

consts! {
    /// Index of a string in a watch event.
    usize {
        XS_WATCH_PATH = 0,
        XS_WATCH_TOKEN = 1,
    }
    /// Type of a message.
    u32 {
        XS_DEBUG = XS_CONTROL,
        XS_CONTROL = 0,
        XS_DIRECTORY = 1,
        XS_READ = 2,
        XS_GET_PERMS = 3,
        XS_WATCH = 4,
        XS_UNWATCH = 5,
        XS_TRANSACTION_START = 6,
        XS_TRANSACTION_END = 7,
        XS_INTRODUCE = 8,
        XS_RELEASE = 9,
        XS_GET_DOMAIN_PATH = 10,
        XS_WRITE = 11,
        XS_MKDIR = 12,
        XS_RM = 13,
        XS_SET_PERMS = 14,
        XS_WATCH_EVENT = 15,
        XS_ERROR = 16,
        XS_IS_DOMAIN_INTRODUCED = 17,
        XS_RESUME = 18,
        XS_SET_TARGET = 19,
        XS_RESET_WATCHES = 21,
        XS_DIRECTORY_PART = 22,
        XS_TYPE_COUNT = 23,
        XS_INVALID = 65535,
    }
    /// Size in bytes.
    usize {
        XENSTORE_RING_SIZE = 1024,
        XENSTORE_PAYLOAD_MAX = 4096,
        XENSTORE_ABS_PATH_MAX = 3072,
        XENSTORE_REL_PATH_MAX = 2048,
    }
    /// Feature, connection state or error in the ring's page.
    u32 {
        XENSTORE_SERVER_FEATURE_RECONNECTION = 1,
        XENSTORE_SERVER_FEATURE_ERROR = 2,
        /// The steady-state
        XENSTORE_CONNECTED = 0,
        /// Reconnect in progress
        XENSTORE_RECONNECT = 1,
        /// No error
        XENSTORE_ERROR_NONE = 0,
        /// Communication problem
        XENSTORE_ERROR_COMM = 1,
        /// Invalid ring index
        XENSTORE_ERROR_RINGIDX = 2,
        /// Protocol violation (payload too long)
        XENSTORE_ERROR_PROTO = 3,
    }
}

structs! {
    /// What every xenstore message begins with; `len` bytes follow.
    XsdSockmsg = "struct xsd_sockmsg" {
        /// XS_*
        r#type: u32,
        /// Request identifier, echoed in daemon's response.
        req_id: u32,
        /// Transaction id (0 if not related to a transaction).
        tx_id: u32,
        /// Length of data following this.
        len: u32,
    }
    /// The xenstore ring's page. Indices run freely; the array index is their remainder.
    XenstoreDomainInterface = "struct xenstore_domain_interface" {
        /// Requests to xenstore daemon.
        req: [u8; 1024],
        /// Replies and async watch events.
        rsp: [u8; 1024],
        req_cons: u32,
        req_prod: u32,
        rsp_cons: u32,
        rsp_prod: u32,
        /// Bitmap of features supported by the server
        server_features: u32,
        connection: u32,
        error: u32,
    }
}
