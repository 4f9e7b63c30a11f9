//! `io/blkif.h`: requests and responses of the block protocol.

use crate::grant_table::grant_ref_t;

consts! {
    /// Operation.
    u8 {
        BLKIF_OP_READ = 0,
        BLKIF_OP_WRITE = 1,
        BLKIF_OP_WRITE_BARRIER = 2,
        BLKIF_OP_FLUSH_DISKCACHE = 3,
        BLKIF_OP_RESERVED_1 = 4,
        BLKIF_OP_DISCARD = 5,
        BLKIF_OP_INDIRECT = 6,
    }
    /// Limit of a request.
    usize {
        BLKIF_MAX_SEGMENTS_PER_REQUEST = 11,
        BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST = 8,
    }
    /// Flag of a discard.
    u8 {
        /// Ignored if discard-secure=0
        BLKIF_DISCARD_SECURE = 1 << 0,
    }
    /// Status of a response.
    i16 {
        BLKIF_RSP_EOPNOTSUPP = -2,
        BLKIF_RSP_ERROR = -1,
        BLKIF_RSP_OKAY = 0,
    }
    /// Flag of a disk, in its `info` node.
    u32 {
        VDISK_CDROM = 0x1,
        VDISK_REMOVABLE = 0x2,
        VDISK_READONLY = 0x4,
    }
}

structs! {
    /// A run of 512-byte sectors in a granted page, both ends included.
    BlkifRequestSegment = "struct blkif_request_segment" {
        /// Reference to I/O buffer frame
        gref: grant_ref_t,
        first_sect: u8,
        last_sect: u8,
        _pad0: [u8; 2],
    }
    /// A read, write, barrier or flush.
    BlkifRequest = "struct blkif_request" {
        /// BLKIF_OP_*
        operation: u8,
        /// Number of segments
        nr_segments: u8,
        /// Only for read/write requests
        handle: u16,
        _pad0: [u8; 4],
        /// Private guest value, echoed in resp
        id: u64,
        /// Start sector idx on disk (r/w only)
        sector_number: u64,
        seg: [BlkifRequestSegment; 11],
    }
    /// A discard; it lies over a `blkif_request`.
    BlkifRequestDiscard = "struct blkif_request_discard" {
        /// BLKIF_OP_DISCARD
        operation: u8,
        /// BLKIF_DISCARD_SECURE or zero
        flag: u8,
        /// Same as for read/write requests
        handle: u16,
        _pad0: [u8; 4],
        /// Private guest value, echoed in resp
        id: u64,
        /// Start sector idx on disk
        sector_number: u64,
        /// Number of contiguous sectors to discard
        nr_sectors: u64,
    }
    /// A request whose segments lie in granted pages.
    BlkifRequestIndirect = "struct blkif_request_indirect" {
        /// BLKIF_OP_INDIRECT
        operation: u8,
        /// BLKIF_OP_(READ/WRITE)
        indirect_op: u8,
        /// Number of segments
        nr_segments: u16,
        _pad0: [u8; 4],
        /// Private guest value, echoed in resp
        id: u64,
        /// Start sector idx on disk (r/w only)
        sector_number: u64,
        /// Same as for read/write requests
        handle: u16,
        _pad1: [u8; 2],
        indirect_grefs: [grant_ref_t; 8],
        _pad2: [u8; 4],
    }
    /// The answer to any request.
    BlkifResponse = "struct blkif_response" {
        /// Copied from request
        id: u64,
        /// Copied from request
        operation: u8,
        _pad0: u8,
        /// BLKIF_RSP_*
        status: i16,
        _pad1: [u8; 4],
    }
}
