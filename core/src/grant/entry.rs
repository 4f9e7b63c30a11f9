//! One entry of a shared frame, in either version: judged, marked and cleared while the guest may be writing it.

use super::status::Status;
use crate::addr::{Gfn, Mfn};
use crate::domain::DomId;
use ferroxen_sync::SharedPage;
use xen_abi::grant_table::*;

/// Attempts to mark an entry that the guest keeps changing.
const TRIES: u32 = 5;

/// For what an entry is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// To map the whole frame.
    Map,
    /// To copy from or to it; parts of a frame and grants of a third domain will do.
    Copy,
}

/// What an entry grants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Grant {
    /// `length` bytes from `start` of a frame (0 and 4096: all of it).
    Frame { frame: Mfn, start: u16, length: u16 },
    /// What another domain granted to this one.
    Transitive { domid: DomId, reference: u32 },
}

/// Bytes of a whole frame.
pub(super) const WHOLE: u16 = 4096;

/// An entry. Version 1: 8 bytes with all in it. Version 2: 16 bytes, and the marks in a status word elsewhere.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub page: &'a SharedPage,
    pub at: usize,
    /// Version 2.
    pub status: Option<(&'a SharedPage, usize)>,
}

fn split(header: u32) -> (u16, u16) {
    ((header & 0xffff) as u16, (header >> 16) as u16)
}

/// The marks of a use.
fn marks(writable: bool) -> u16 {
    if writable { GTF_reading | GTF_writing } else { GTF_reading }
}

impl<'a> Entry<'a> {
    /// Flags in the low half, domain in the high one: read together.
    fn header(self) -> u32 {
        self.page.load_u32(self.at)
    }

    /// Whether a header allows the use.
    fn judge(self, header: u32, by: DomId, writable: bool, purpose: Purpose) -> Result<(), Status> {
        let (flags, domid) = split(header);
        let kind = match flags & GTF_type_mask {
            GTF_permit_access => true,
            GTF_transitive => self.status.is_some() && purpose == Purpose::Copy,
            _ => false,
        };
        let part = self.status.is_some()
            && flags & GTF_type_mask == GTF_permit_access
            && flags & GTF_sub_page != 0
            && purpose == Purpose::Map;
        if !kind || part || domid != by.0 || (writable && flags & GTF_readonly != 0) {
            return Err(Status::General);
        }
        Ok(())
    }

    /// Marks the entry as in use by `by` and gives what it grants. `General`: it does not grant that.
    pub fn mark(self, by: DomId, writable: bool, purpose: Purpose) -> Result<Grant, Status> {
        match self.status {
            None => self.mark_v1(by, writable, purpose),
            Some(status) => self.mark_v2(status, by, writable, purpose),
        }
    }

    fn mark_v1(self, by: DomId, writable: bool, purpose: Purpose) -> Result<Grant, Status> {
        let mut header = self.header();
        for _ in 0..TRIES {
            self.judge(header, by, writable, purpose)?;
            match self.page.cas_u32(self.at, header, header | u32::from(marks(writable))) {
                Ok(_) => {
                    let frame = Mfn(u64::from(self.page.load_u32(self.at + 4)));
                    return Ok(Grant::Frame { frame, start: 0, length: WHOLE });
                }
                Err(now) => header = now,
            }
        }
        Err(Status::General)
    }

    fn mark_v2(
        self,
        (page, at): (&SharedPage, usize),
        by: DomId,
        writable: bool,
        purpose: Purpose,
    ) -> Result<Grant, Status> {
        let header = self.header();
        self.judge(header, by, writable, purpose)?;
        let marks = marks(writable);
        let before = page.or_u16(at, marks);
        // The guest clears the flags, then looks at the status: either it sees the mark, or this sees the new flags.
        if self.header() != header {
            page.and_u16(at, !(marks & !before));
            return Err(Status::General);
        }
        let (flags, _) = split(header);
        if flags & GTF_type_mask == GTF_transitive {
            let domid = DomId(self.page.load_u16(self.at + 4));
            return Ok(Grant::Transitive { domid, reference: self.page.load_u32(self.at + 8) });
        }
        let (start, length) = if flags & GTF_sub_page != 0 {
            (self.page.load_u16(self.at + 4), self.page.load_u16(self.at + 6))
        } else {
            (0, WHOLE)
        };
        Ok(Grant::Frame { frame: Mfn(self.page.load_u64(self.at + 8)), start, length })
    }

    /// Takes the marks away that no use stands for any more.
    pub fn unmark(self, writing: bool, reading: bool) {
        let gone = if writing { GTF_writing } else { 0 } | if reading { GTF_reading } else { 0 };
        match self.status {
            None => drop(self.page.and_u16(self.at, !gone)),
            Some((page, at)) => drop(page.and_u16(at, !gone)),
        }
    }

    /// Commits an entry that accepts a frame from `from`; gives the guest's slot for it. `BadRef`: it does not.
    pub fn commit_transfer(self, from: DomId) -> Result<Gfn, Status> {
        let mut header = self.header();
        for _ in 0..TRIES {
            if split(header) != (GTF_accept_transfer, from.0) {
                return Err(Status::BadRef);
            }
            match self.page.cas_u32(self.at, header, header | u32::from(GTF_transfer_committed)) {
                Ok(_) => return Ok(Gfn(self.frame())),
                Err(now) => header = now,
            }
        }
        Err(Status::BadRef)
    }

    /// Takes a commitment back.
    pub fn abort_transfer(self) {
        self.page.and_u16(self.at, !GTF_transfer_committed);
    }

    /// Tells the guest which frame it got.
    pub fn complete_transfer(self, frame: Mfn) {
        match self.status {
            // The caller has checked that the number fits.
            None => self.page.store_u32(self.at + 4, frame.0 as u32),
            Some(_) => self.page.store_u64(self.at + 8, frame.0),
        }
        self.page.or_u16(self.at, GTF_transfer_completed);
    }

    fn frame(self) -> u64 {
        match self.status {
            None => u64::from(self.page.load_u32(self.at + 4)),
            Some(_) => self.page.load_u64(self.at + 8),
        }
    }

    /// All of it, as 8-byte words (version 1: the first only).
    pub fn words(self) -> [u64; 2] {
        let second = if self.status.is_some() { self.page.load_u64(self.at + 8) } else { 0 };
        [self.page.load_u64(self.at), second]
    }

    /// Writes all of it.
    pub fn set_words(self, [first, second]: [u64; 2]) {
        if self.status.is_some() {
            self.page.store_u64(self.at + 8, second);
        }
        self.page.store_u64(self.at, first);
    }

    /// Flags, domain, frame and marks as they are now (for the dump and for a change of version).
    pub fn peek(self) -> (u16, DomId, u64, u16) {
        let (flags, domid) = split(self.header());
        let status = self.status.map_or(flags & (GTF_reading | GTF_writing), |(page, at)| page.load_u16(at));
        (flags, DomId(domid), self.frame(), status)
    }
}
