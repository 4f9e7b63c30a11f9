//! `hypfs.h`: subcommands of `hypfs_op`, and the entries of the hypervisor's tree of settings.

consts! {
    /// The highest interface version.
    u32 {
        XEN_HYPFS_VERSION = 1,
    }
    /// Bytes of a path, with its terminator.
    usize {
        XEN_HYPFS_MAX_PATHLEN = 1024,
    }
    /// Type of an entry.
    u8 {
        XEN_HYPFS_TYPE_DIR = 0,
        XEN_HYPFS_TYPE_BLOB = 1,
        XEN_HYPFS_TYPE_STRING = 2,
        XEN_HYPFS_TYPE_UINT = 3,
        XEN_HYPFS_TYPE_INT = 4,
        XEN_HYPFS_TYPE_BOOL = 5,
    }
    /// How an entry's content is packed.
    u8 {
        XEN_HYPFS_ENC_PLAIN = 0,
        XEN_HYPFS_ENC_GZIP = 1,
    }
    /// Subcommand of `hypfs_op`.
    u32 {
        XEN_HYPFS_OP_get_version = 0,
        XEN_HYPFS_OP_read = 1,
        XEN_HYPFS_OP_write_contents = 2,
    }
}

structs! {
    /// What an entry is; its content follows it in a read.
    XenHypfsDirentry = "struct xen_hypfs_direntry" {
        r#type: u8,
        encoding: u8,
        /// Returned as 0.
        pad: u16,
        /// Current length of data.
        content_len: u32,
        /// Max. length for writes (0 if read-only).
        max_write_len: u32,
    }
    /// One entry of a directory; its name with a terminator follows.
    XenHypfsDirlistentry = "struct xen_hypfs_dirlistentry" {
        e: XenHypfsDirentry,
        /// Offset in bytes to next entry (0 == this is the last entry).
        off_next: u16,
        _pad0: u16,
    }
}
