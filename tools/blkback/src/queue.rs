//! A guest's requests, from its ring to the disk and back.

use crate::disk::Disk;
use crate::pages::{Grants, Pages};
use crate::protocol::{Body, Request, Response, SEGMENT, Segment, Segments, Transfer};
use crate::redo::Redo;
use crate::request::{PAGE, Refused, SECTOR, place, total};
use crate::ring::{Broken, Ring};
use crate::statistics::Counts;
use xen_abi::io::blkif::{BLKIF_MAX_SEGMENTS_PER_REQUEST, BLKIF_OP_READ, BLKIF_RSP_OKAY};
use xen_wire::ring::RingMemory;

/// Segments that an indirect request may have.
pub const INDIRECT_MOST: u16 = 256;
/// Requests that are answered together.
const BATCH: u32 = 32;

/// What a disk is for its guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// It may only be read.
    pub read_only: bool,
    /// It may be discarded.
    pub discard: bool,
}

/// A connected ring.
pub struct Queue<M: RingMemory, G: Grants> {
    ring: Ring<M>,
    pages: Pages<G>,
    rules: Rules,
    redo: Redo,
    buffer: Vec<u8>,
    /// What was done, for those who watch.
    pub counts: Counts,
}

/// What came of a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// The guest wants to be told.
    pub notify: bool,
    /// More requests wait.
    pub more: bool,
    /// They wait for room where the image is.
    pub full: bool,
}

impl<M: RingMemory, G: Grants> Queue<M, G> {
    /// `resumed`: another backend served the ring before, and may have died at any point.
    pub fn new(ring: Ring<M>, pages: Pages<G>, rules: Rules, redo: Redo, resumed: bool) -> std::io::Result<Self> {
        let mut queue = Queue { ring, pages, rules, redo, buffer: Vec::new(), counts: Counts::default() };
        match queue.redo.noted(queue.ring.done()) {
            // Whoever resumes tells the guest in any case.
            Some(answers) if resumed => drop(queue.ring.answer(&answers)),
            _ => queue.redo.clear()?,
        }
        Ok(queue)
    }

    /// Does what waits, at most a batch, and answers it.
    ///
    /// # Errors
    /// The guest's indices are wrong: it is not served any more.
    pub fn turn(&mut self, disk: &mut impl Disk) -> Result<Turn, Broken> {
        let requests = self.ring.take(BATCH)?;
        if requests.is_empty() {
            return Ok(Turn { notify: false, more: self.ring.ask()?, full: false });
        }
        let counted = self.counts;
        // In order: what comes behind a request that has to wait waits, too.
        let mut responses: Vec<Response> = requests.iter().map_while(|request| self.answer(disk, request)).collect();
        let full = Turn { full: true, ..Turn::default() };
        if responses.is_empty() {
            return Ok(full);
        }
        // Whoever is told that something is written can rely on it, whatever becomes of this process.
        let changed = responses.iter().any(|response| response.operation != BLKIF_OP_READ);
        let settled = if changed && !self.rules.read_only { disk.settle() } else { Ok(()) };
        if let Err(error) = settled {
            if is_full(&error) {
                // Nothing was answered: all of it is done again.
                self.counts = counted;
                return Ok(full);
            }
            for response in responses.iter_mut().filter(|response| response.operation != BLKIF_OP_READ) {
                response.status = response.status.min(Refused::Failed.status());
            }
        }
        if let Err(error) = self.redo.note(self.ring.done(), &responses) {
            // Only a kill within the next few instructions could find that it is missing.
            tracing::warn!("the answers cannot be noted: {error}");
        }
        let notify = self.ring.answer(&responses);
        let full = responses.len() < requests.len();
        Ok(Turn { notify, more: self.ring.ask()? && !full, full })
    }

    /// `None`: it has to wait.
    fn answer(&mut self, disk: &mut impl Disk, request: &Request) -> Option<Response> {
        let done = self.perform(disk, request);
        if done == Err(Refused::Full) {
            return None;
        }
        self.count(request, done.is_ok());
        if let Err(refused) = done {
            tracing::debug!("request {:#x}, operation {}: {refused}", request.id, request.operation);
        }
        let status = done.map_or_else(Refused::status, |()| BLKIF_RSP_OKAY);
        Some(Response { id: request.id, operation: request.operation, status })
    }

    /// Bytes are those that reached the guest or the disk: what was read into the buffer, or written from it.
    fn count(&mut self, request: &Request, done: bool) {
        let counts = &mut self.counts;
        let bytes = if done { self.buffer.len() as u64 } else { 0 };
        counts.failed_requests += u64::from(!done);
        match &request.body {
            Body::Transfer(Transfer::Read, ..) => {
                counts.read_requests += 1;
                counts.read_bytes = counts.read_bytes.wrapping_add(bytes);
            }
            Body::Transfer(transfer, ..) => {
                let flushes = done && bytes == 0 || *transfer == Transfer::Flush;
                *(if flushes { &mut counts.flush_requests } else { &mut counts.write_requests }) += 1;
                counts.written_bytes = counts.written_bytes.wrapping_add(bytes);
            }
            Body::Discard { .. } => counts.discard_requests += 1,
            Body::Unknown => {}
        }
    }

    fn perform(&mut self, disk: &mut impl Disk, request: &Request) -> Result<(), Refused> {
        match &request.body {
            Body::Transfer(transfer, sector, segments) => {
                let segments = self.segments(*transfer, segments)?;
                self.transfer(disk, *transfer, *sector, &segments)
            }
            Body::Discard { sector, count, secure } => {
                if self.rules.read_only {
                    return Err(Refused::ReadOnly);
                }
                // A secure one is not offered.
                if !self.rules.discard || *secure {
                    return Err(Refused::Unsupported);
                }
                let at = place(*sector, *count, disk.sectors())?;
                match disk.discard(at, count.saturating_mul(SECTOR)) {
                    Err(error) if error.kind() == std::io::ErrorKind::Unsupported => Err(Refused::Unsupported),
                    other => other.map_err(|error| failed("discard", &error)),
                }
            }
            Body::Unknown => Err(Refused::Unsupported),
        }
    }

    /// The segments, wherever they are; from here on the guest cannot change them.
    fn segments(&mut self, transfer: Transfer, segments: &Segments) -> Result<Vec<Segment>, Refused> {
        match segments {
            Segments::Direct { said, segments } => {
                let none = segments.is_empty() && transfer != Transfer::Flush;
                if none || usize::from(*said) > BLKIF_MAX_SEGMENTS_PER_REQUEST {
                    return Err(Refused::Segments((*said).into()));
                }
                Ok(segments.clone())
            }
            Segments::Indirect { said, pages } => {
                if !(1..=INDIRECT_MOST).contains(said) {
                    return Err(Refused::Segments(*said));
                }
                let needed = (usize::from(*said) * SEGMENT).div_ceil(PAGE);
                let whole = |gref: &u32| Segment { gref: *gref, first: 0, last: 7 };
                let lists: Vec<Segment> = pages.iter().take(needed).map(whole).collect();
                let mut bytes = vec![0; lists.len() * PAGE];
                self.pages.copy_out(&lists, &mut bytes)?;
                let (each, _) = bytes.as_chunks::<SEGMENT>();
                Ok(each.iter().take((*said).into()).map(|bytes| Segment::decode(bytes)).collect())
            }
        }
    }

    fn transfer(
        &mut self,
        disk: &mut impl Disk,
        transfer: Transfer,
        sector: u64,
        segments: &[Segment],
    ) -> Result<(), Refused> {
        if self.rules.read_only && transfer != Transfer::Read && !segments.is_empty() {
            return Err(Refused::ReadOnly);
        }
        let len = total(segments)?;
        // A flush without data may say any sector.
        let at = if len == 0 { 0 } else { place(sector, len as u64 / SECTOR, disk.sectors())? };
        self.buffer.resize(len, 0);
        if transfer == Transfer::Read {
            disk.read(at, &mut self.buffer).map_err(|error| failed("read", &error))?;
            return self.pages.copy_in(segments, &self.buffer);
        }
        self.pages.copy_out(segments, &mut self.buffer)?;
        let sync = |disk: &mut _, when| if when { sync(disk) } else { Ok(()) };
        let writable = !self.rules.read_only;
        sync(disk, writable && matches!(transfer, Transfer::Barrier | Transfer::Flush))?;
        if len > 0 {
            disk.write(at, &self.buffer).map_err(|error| failed("write", &error))?;
        }
        sync(disk, writable && transfer == Transfer::Barrier)
    }

    /// Forgets what is noted for a next backend: there is none.
    pub fn end(self) {
        self.redo.remove();
    }
}

fn sync(disk: &mut impl Disk) -> Result<(), Refused> {
    disk.sync().map_err(|error| failed("flush", &error))
}

/// Whether the image cannot grow for want of room, which may come back.
fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

fn failed(what: &str, error: &std::io::Error) -> Refused {
    if is_full(error) {
        return Refused::Full;
    }
    tracing::warn!("the image: {what}: {error}");
    Refused::Failed
}

#[cfg(test)]
mod tests;
