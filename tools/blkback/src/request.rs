//! What a request has to be like to be done.

use crate::protocol::Segment;
use xen_abi::io::blkif::{BLKIF_RSP_EOPNOTSUPP, BLKIF_RSP_ERROR};

/// Bytes of the protocol's sectors, whatever the disk's are.
pub const SECTOR: u64 = 512;
/// Bytes of a page.
pub const PAGE: usize = 4096;
/// Sectors of a page.
const PER_PAGE: u8 = 8;

/// Why a request is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// An operation that is not offered.
    #[error("an operation that is not offered")]
    Unsupported,
    /// A number of segments that is none, or more than is allowed.
    #[error("{0} segments")]
    Segments(u16),
    /// A segment that is not within its page.
    #[error("sectors {0} to {1} of a page")]
    Within(u8, u8),
    /// Not within the disk.
    #[error("not within the disk")]
    Outside,
    /// A change of what may only be read.
    #[error("the disk is read-only")]
    ReadOnly,
    /// The guest does not grant what it says.
    #[error("a grant that is none")]
    Grant,
    /// The image failed.
    #[error("the image failed")]
    Failed,
    /// There is no room for the image to grow: the request waits.
    #[error("no room")]
    Full,
}

impl Refused {
    /// What the guest is told.
    pub const fn status(self) -> i16 {
        match self {
            Refused::Unsupported => BLKIF_RSP_EOPNOTSUPP,
            _ => BLKIF_RSP_ERROR,
        }
    }
}

/// Where a segment is in its page: offset and length in bytes.
///
/// # Errors
/// It is not within the page.
pub fn span(segment: &Segment) -> Result<(usize, usize), Refused> {
    let Segment { first, last, .. } = *segment;
    if first > last || last >= PER_PAGE {
        return Err(Refused::Within(first, last));
    }
    Ok((usize::from(first) * SECTOR as usize, usize::from(last - first + 1) * SECTOR as usize))
}

/// How many bytes the segments hold together.
///
/// # Errors
/// One of them is not within its page.
pub fn total(segments: &[Segment]) -> Result<usize, Refused> {
    segments.iter().try_fold(0usize, |sum, segment| Ok(sum.saturating_add(span(segment)?.1)))
}

/// The place of `count` sectors from `sector` on in a disk of `sectors`, in bytes.
///
/// # Errors
/// They are not within it.
pub fn place(sector: u64, count: u64, sectors: u64) -> Result<u64, Refused> {
    match sector.checked_add(count) {
        Some(end) if end <= sectors => Ok(sector.saturating_mul(SECTOR)),
        _ => Err(Refused::Outside),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_outside_their_page_are_refused() {
        let segment = |first, last| span(&Segment { gref: 0, first, last });
        assert_eq!(segment(0, 7), Ok((0, 4096)));
        assert_eq!(segment(7, 7), Ok((3584, 512)));
        for (first, last) in [(1, 0), (0, 8), (8, 8), (255, 255), (0, 255), (7, 6)] {
            assert_eq!(segment(first, last), Err(Refused::Within(first, last)));
        }
    }

    #[test]
    fn sectors_outside_the_disk_are_refused_whatever_their_sum() {
        assert_eq!(place(0, 8, 8), Ok(0));
        assert_eq!(place(8, 0, 8), Ok(4096));
        for (sector, count) in [(0, 9), (8, 1), (u64::MAX, 1), (1, u64::MAX), (u64::MAX, u64::MAX)] {
            assert_eq!(place(sector, count, 8), Err(Refused::Outside));
        }
        assert_eq!(place(u64::MAX - 1, 1, u64::MAX), Ok(u64::MAX));
    }
}
