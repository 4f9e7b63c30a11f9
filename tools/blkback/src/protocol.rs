//! Requests and responses of `io/blkif.h`, as bytes of a slot and as values, in the layouts of 64-bit and 32-bit guests.
//!
//! The layouts differ because i386 aligns 64-bit numbers to four bytes. Nothing here trusts a byte; nothing judges one,
//! either: that is [`crate::request`]'s.

use xen_abi::io::blkif::{
    BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST, BLKIF_MAX_SEGMENTS_PER_REQUEST, BLKIF_OP_DISCARD, BLKIF_OP_FLUSH_DISKCACHE,
    BLKIF_OP_INDIRECT, BLKIF_OP_READ, BLKIF_OP_WRITE, BLKIF_OP_WRITE_BARRIER,
};

/// The larger of the two slots.
pub const SLOT_MAX: usize = 112;
/// A segment, in a request or in an indirect page: reference, first and last sector, two bytes of nothing.
pub const SEGMENT: usize = 8;

/// How a guest lays requests out (`protocol` in its half of the device).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// `x86_64-abi`, and what is meant where nothing is said.
    #[default]
    X86_64,
    /// `x86_32-abi`.
    X86_32,
}

impl Layout {
    /// By its name in xenstore.
    pub fn named(name: &str) -> Option<Layout> {
        match name {
            "" | "x86_64-abi" => Some(Layout::X86_64),
            "x86_32-abi" => Some(Layout::X86_32),
            _ => None,
        }
    }

    /// Bytes of a slot.
    pub const fn slot(self) -> usize {
        match self {
            Layout::X86_64 => SLOT_MAX,
            Layout::X86_32 => 108,
        }
    }

    /// Where the request's `id` is; `sector_number` follows it.
    const fn id(self) -> usize {
        match self {
            Layout::X86_64 => 8,
            Layout::X86_32 => 4,
        }
    }

    /// Where its segments are; `nr_sectors` of a discard is at the same place, as `handle` of an indirect one.
    const fn segments(self) -> usize {
        self.id() + 16
    }
}

/// Sectors of one granted page, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The guest's grant.
    pub gref: u32,
    /// The first of the page's eight sectors.
    pub first: u8,
    /// The last.
    pub last: u8,
}

impl Segment {
    /// From its eight bytes.
    pub fn decode(bytes: &[u8]) -> Segment {
        Segment { gref: word(bytes, 0), first: byte(bytes, 4), last: byte(bytes, 5) }
    }
}

/// What moves data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// From the disk to the guest.
    Read,
    /// From the guest to the disk.
    Write,
    /// As a write; what was answered before it is on the disk before it, and it itself before what comes after it.
    Barrier,
    /// What was answered before it is on the disk when it is answered; it may write, too.
    Flush,
}

/// Where the segments of a transfer are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segments {
    /// In the request: so many as it says, but no more than it can hold.
    Direct {
        /// What the request says.
        said: u8,
        /// What is there.
        segments: Vec<Segment>,
    },
    /// In pages that it grants.
    Indirect {
        /// How many there are.
        said: u16,
        /// The pages' grants.
        pages: [u32; BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST],
    },
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Data.
    Transfer(Transfer, u64, Segments),
    /// These sectors' content does not matter any more.
    Discard {
        /// The first.
        sector: u64,
        /// How many.
        count: u64,
        /// It has to be gone for good.
        secure: bool,
    },
    /// Something else.
    Unknown,
}

/// A request, copied out of the ring once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The guest's word for it.
    pub id: u64,
    /// What the response echoes: of an indirect request, what is meant by it.
    pub operation: u8,
    /// What is wanted.
    pub body: Body,
}

fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<N>());
    found.copied().unwrap_or([0; N])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

impl Request {
    /// From the bytes of a slot; what is missing of them is 0.
    pub fn decode(layout: Layout, slot: &[u8]) -> Request {
        let id = long(slot, layout.id());
        let sector = long(slot, layout.id() + 8);
        let at = layout.segments();
        let transfer = |operation| match operation {
            BLKIF_OP_READ => Some(Transfer::Read),
            BLKIF_OP_WRITE => Some(Transfer::Write),
            BLKIF_OP_WRITE_BARRIER => Some(Transfer::Barrier),
            BLKIF_OP_FLUSH_DISKCACHE => Some(Transfer::Flush),
            _ => None,
        };
        let operation = byte(slot, 0);
        match operation {
            BLKIF_OP_DISCARD => {
                let secure = byte(slot, 1) & xen_abi::io::blkif::BLKIF_DISCARD_SECURE != 0;
                Request { id, operation, body: Body::Discard { sector, count: long(slot, at), secure } }
            }
            BLKIF_OP_INDIRECT => {
                let operation = byte(slot, 1);
                let said = u16::from_le_bytes(array(slot, 2));
                // The handle comes first.
                let pages = std::array::from_fn(|n| word(slot, at + 4 + 4 * n));
                let body = match operation {
                    BLKIF_OP_READ => Body::Transfer(Transfer::Read, sector, Segments::Indirect { said, pages }),
                    BLKIF_OP_WRITE => Body::Transfer(Transfer::Write, sector, Segments::Indirect { said, pages }),
                    _ => Body::Unknown,
                };
                Request { id, operation, body }
            }
            _ => {
                let said = byte(slot, 1);
                let body = transfer(operation).map_or(Body::Unknown, |transfer| {
                    let count = usize::from(said).min(BLKIF_MAX_SEGMENTS_PER_REQUEST);
                    let segment = |n| Segment::decode(slot.get(at + n * SEGMENT..).unwrap_or_default());
                    let segments = (0..count).map(segment).collect();
                    Body::Transfer(transfer, sector, Segments::Direct { said, segments })
                });
                Request { id, operation, body }
            }
        }
    }
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    /// The request's.
    pub id: u64,
    /// The request's.
    pub operation: u8,
    /// `BLKIF_RSP_*`.
    pub status: i16,
}

impl Response {
    /// Its bytes in a slot; the padding is 0.
    pub fn encode(&self, layout: Layout) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16);
        bytes.extend(self.id.to_le_bytes());
        bytes.extend([self.operation, 0]);
        bytes.extend(self.status.to_le_bytes());
        if layout == Layout::X86_64 {
            bytes.extend([0; 4]);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xen_abi::io::blkif::{
        BlkifRequest, BlkifRequestDiscard, BlkifRequestIndirect, BlkifRequestSegment, BlkifResponse,
    };
    use zerocopy::IntoBytes as _;

    /// The bytes of the 32-bit layout of what is given in the 64-bit one: without the four bytes before `id`.
    fn narrow(wide: &[u8]) -> Vec<u8> {
        [&wide[..4], &wide[8..]].concat()
    }

    fn both(wide: &[u8], expected: &Request) {
        assert_eq!(&Request::decode(Layout::X86_64, wide), expected);
        assert_eq!(&Request::decode(Layout::X86_32, &narrow(wide)), expected);
    }

    #[test]
    fn requests_are_read_as_the_abi_lays_them_out() {
        assert_eq!(size_of::<BlkifRequest>(), Layout::X86_64.slot());
        assert_eq!(narrow(&[0; SLOT_MAX]).len(), Layout::X86_32.slot());
        let mut wide = BlkifRequest {
            operation: BLKIF_OP_WRITE,
            nr_segments: 2,
            handle: 51712,
            id: 0x1122_3344_5566_7788,
            sector_number: 77,
            ..BlkifRequest::default()
        };
        for (n, segment) in (0..).zip(&mut wide.seg) {
            *segment = BlkifRequestSegment { gref: 100 + n, first_sect: 1, last_sect: 6, _pad0: [0; 2] };
        }
        let segment = |gref| Segment { gref, first: 1, last: 6 };
        let segments = Segments::Direct { said: 2, segments: vec![segment(100), segment(101)] };
        let body = Body::Transfer(Transfer::Write, 77, segments);
        both(wide.as_bytes(), &Request { id: wide.id, operation: BLKIF_OP_WRITE, body });
    }

    #[test]
    fn a_request_that_says_more_segments_than_it_holds_gives_those_it_holds() {
        let slot = [&[BLKIF_OP_READ, 255][..], &[0; SLOT_MAX - 2]].concat();
        let Body::Transfer(_, _, Segments::Direct { said, segments }) = Request::decode(Layout::X86_64, &slot).body
        else {
            panic!()
        };
        assert_eq!((said, segments.len()), (255, 11));
    }

    #[test]
    fn discards_and_indirect_requests_are_read_as_the_abi_lays_them_out() {
        let discard = BlkifRequestDiscard {
            operation: BLKIF_OP_DISCARD,
            flag: 1,
            id: 5,
            sector_number: 8,
            nr_sectors: 1 << 40,
            ..BlkifRequestDiscard::default()
        };
        let body = Body::Discard { sector: 8, count: 1 << 40, secure: true };
        both(discard.as_bytes(), &Request { id: 5, operation: BLKIF_OP_DISCARD, body });
        let pages = [1, 2, 3, 4, 5, 6, 7, 8];
        let indirect = BlkifRequestIndirect {
            operation: BLKIF_OP_INDIRECT,
            indirect_op: BLKIF_OP_READ,
            nr_segments: 300,
            id: 6,
            sector_number: 9,
            handle: 0xffff,
            indirect_grefs: pages,
            ..BlkifRequestIndirect::default()
        };
        let body = Body::Transfer(Transfer::Read, 9, Segments::Indirect { said: 300, pages });
        both(indirect.as_bytes(), &Request { id: 6, operation: BLKIF_OP_READ, body });
    }

    #[test]
    fn responses_have_the_abis_layout() {
        let response = Response { id: 7, operation: 3, status: -2 };
        let wide = BlkifResponse { id: 7, operation: 3, status: -2, ..BlkifResponse::default() };
        assert_eq!(response.encode(Layout::X86_64), wide.as_bytes());
        assert_eq!(response.encode(Layout::X86_32), wide.as_bytes()[..12]);
    }

    #[test]
    fn a_short_slot_reads_as_zeros() {
        assert_eq!(Request::decode(Layout::X86_64, &[]).id, 0);
        assert_eq!(Request::decode(Layout::X86_32, &[BLKIF_OP_INDIRECT, 7]).body, Body::Unknown);
    }
}
