//! The guest's pages: mapped for one request, or (persistent grants) kept mapped, a bounded number of them.

use crate::protocol::Segment;
use crate::request::{PAGE, Refused, span};
use std::collections::HashMap;
use xen_wire::ring::RingMemory;

/// So many pages stay mapped at most, as Linux' backend keeps.
pub const KEPT: usize = 1056;
/// So many pages are mapped at once at most.
const AT_ONCE: usize = 256;

/// Who maps what a guest grants.
pub trait Grants {
    /// Pages, one after the other, unmapped when this is dropped.
    type Map: RingMemory;

    /// Maps them, all or none.
    ///
    /// # Errors
    /// One of them is not granted so.
    fn map(&self, references: &[u32], writable: bool) -> std::io::Result<Self::Map>;
}

struct Kept<M> {
    page: M,
    used: u64,
}

/// The pages of a guest's requests.
pub struct Pages<G: Grants> {
    grants: G,
    /// Grants that the guest promised to leave as they are.
    kept: Option<HashMap<u32, Kept<G::Map>>>,
    most: usize,
    clock: u64,
}

impl<G: Grants> Pages<G> {
    /// `persistent`: the guest grants for good, and writable, whatever it uses.
    pub fn new(grants: G, persistent: bool) -> Pages<G> {
        Pages { grants, kept: persistent.then(HashMap::new), most: KEPT, clock: 0 }
    }

    /// How many are mapped between two requests.
    pub fn kept(&self) -> usize {
        self.kept.as_ref().map_or(0, HashMap::len)
    }

    /// Does something with a page that is kept.
    fn with_kept(&mut self, reference: u32, act: impl FnOnce(&G::Map)) -> Result<(), Refused> {
        let Some(kept) = &mut self.kept else { return Err(Refused::Grant) };
        self.clock += 1;
        if let Some(page) = kept.get_mut(&reference) {
            page.used = self.clock;
            act(&page.page);
            return Ok(());
        }
        if kept.len() >= self.most {
            let oldest = kept.iter().min_by_key(|(_, page)| page.used).map(|(reference, _)| *reference);
            oldest.and_then(|reference| kept.remove(&reference));
        }
        let page = self.grants.map(&[reference], true).map_err(|_| Refused::Grant)?;
        act(&page);
        kept.insert(reference, Kept { page, used: self.clock });
        Ok(())
    }

    /// Does something with the part of its page that each segment is, and with the same part of the data.
    fn each(
        &mut self,
        segments: &[Segment],
        writable: bool,
        mut act: impl FnMut(&G::Map, usize, usize, usize),
    ) -> Result<(), Refused> {
        let mut done = 0;
        if self.kept.is_some() {
            for segment in segments {
                let (offset, len) = span(segment)?;
                self.with_kept(segment.gref, |page| act(page, offset, done, len))?;
                done += len;
            }
            return Ok(());
        }
        for some in segments.chunks(AT_ONCE) {
            let references: Vec<u32> = some.iter().map(|segment| segment.gref).collect();
            let map = self.grants.map(&references, writable).map_err(|_| Refused::Grant)?;
            for (page, segment) in some.iter().enumerate() {
                let (offset, len) = span(segment)?;
                act(&map, page * PAGE + offset, done, len);
                done += len;
            }
        }
        Ok(())
    }

    /// Copies what the segments hold, once: what the guest writes afterwards changes nothing.
    ///
    /// # Errors
    /// A grant that is none, a segment that is not within its page.
    pub fn copy_out(&mut self, segments: &[Segment], into: &mut [u8]) -> Result<(), Refused> {
        self.each(segments, false, |map, offset, at, len| {
            map.read(offset, into.get_mut(at..at + len).unwrap_or_default());
        })
    }

    /// Copies into the segments.
    ///
    /// # Errors
    /// As above; some may have been filled already.
    pub fn copy_in(&mut self, segments: &[Segment], from: &[u8]) -> Result<(), Refused> {
        self.each(segments, true, |map, offset, at, len| {
            map.write(offset, from.get(at..at + len).unwrap_or_default());
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Memory;

    #[test]
    fn pages_are_kept_only_if_the_guest_promised_and_never_more_than_allowed() {
        let memory = Memory::new(20);
        let mut pages = Pages::new(memory.clone(), true);
        pages.most = 4;
        for gref in (0..20).chain([16, 17, 0]) {
            let segment = Segment { gref, first: 0, last: 0 };
            pages.copy_in(&[segment], &[gref as u8; 512]).unwrap();
            assert!(pages.kept() <= 4 && memory.mapped() <= 4);
        }
        let maps = memory.maps();
        let mut out = [0; 512];
        // The page that was used last is there, the one that was used first is not.
        pages.copy_out(&[Segment { gref: 0, first: 0, last: 0 }], &mut out).unwrap();
        assert_eq!((out, memory.maps()), ([0; 512], maps));
        pages.copy_out(&[Segment { gref: 18, first: 0, last: 0 }], &mut out).unwrap();
        assert_eq!((out, memory.maps()), ([18; 512], maps + 1));
        drop(pages);
        assert_eq!(memory.mapped(), 0);
        let mut pages = Pages::new(memory.clone(), false);
        pages.copy_out(&[Segment { gref: 3, first: 0, last: 0 }], &mut out).unwrap();
        assert_eq!((out, memory.mapped()), ([3; 512], 0));
    }

    #[test]
    fn what_is_not_granted_is_an_error_and_leaves_nothing_mapped() {
        let memory = Memory::new(2);
        for persistent in [false, true] {
            let mut pages = Pages::new(memory.clone(), persistent);
            let segments = [Segment { gref: 1, first: 0, last: 7 }, Segment { gref: 2, first: 0, last: 7 }];
            assert_eq!(pages.copy_out(&segments, &mut [0; 8192]), Err(Refused::Grant));
            drop(pages);
            assert_eq!(memory.mapped(), 0);
        }
    }
}
