//! The ring that a guest shares: requests are copied out once, answered in their order.
//!
//! As all requests that were taken are answered, in order, before others are taken, one index is enough: what the guest
//! sees as the last response is also the last request that was taken. So a backend that dies and comes back finds in the
//! guest's page where it was (see [`crate::redo`] for the moment in between).

use crate::protocol::{Layout, Request, Response, SLOT_MAX};
use std::sync::atomic::{Ordering, fence};
use xen_abi::io::ring::{Sring, ring_size};
use xen_wire::ring::RingMemory;

const REQ_PROD: usize = std::mem::offset_of!(Sring, req_prod);
const REQ_EVENT: usize = std::mem::offset_of!(Sring, req_event);
const RSP_PROD: usize = std::mem::offset_of!(Sring, rsp_prod);
const RSP_EVENT: usize = std::mem::offset_of!(Sring, rsp_event);
const SLOTS: usize = size_of::<Sring>();

/// The guest's indices say more requests than the ring holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("inconsistent ring indices: {ahead} requests in a ring of {slots}")]
pub struct Broken {
    ahead: u32,
    slots: u32,
}

/// The backend's end of a ring.
#[derive(Debug)]
pub struct Ring<M> {
    memory: M,
    layout: Layout,
    slots: u32,
    /// Requests that were taken and answered.
    done: u32,
}

impl<M: RingMemory> Ring<M> {
    /// Over `pages` pages, where the last backend left it (a new ring begins at 0).
    pub fn attach(memory: M, pages: usize, layout: Layout) -> Ring<M> {
        let slots = ring_size(pages.saturating_mul(4096), layout.slot());
        let done = memory.load_u32(RSP_PROD);
        Ring { memory, layout, slots: u32::try_from(slots).unwrap_or(0), done }
    }

    /// How many requests were answered, as a number that wraps.
    pub fn done(&self) -> u32 {
        self.done
    }

    fn slot(&self, index: u32) -> usize {
        // The number of slots is a power of two.
        SLOTS + (index & self.slots.wrapping_sub(1)) as usize * self.layout.slot()
    }

    /// How many requests wait.
    ///
    /// # Errors
    /// More than the ring holds.
    fn waiting(&self) -> Result<u32, Broken> {
        let ahead = self.memory.load_u32(REQ_PROD).wrapping_sub(self.done);
        if ahead > self.slots { Err(Broken { ahead, slots: self.slots }) } else { Ok(ahead) }
    }

    /// Copies out what waits, at most `most` requests. They are to be answered before this is called again.
    ///
    /// # Errors
    /// The guest's indices are wrong.
    pub fn take(&self, most: u32) -> Result<Vec<Request>, Broken> {
        let mut bytes = [0; SLOT_MAX];
        let count = self.waiting()?.min(most);
        let requests = (0..count).map(|n| {
            self.memory.read(self.slot(self.done.wrapping_add(n)), &mut bytes);
            let slot = bytes.get(..self.layout.slot()).unwrap_or_default();
            Request::decode(self.layout, slot)
        });
        Ok(requests.collect())
    }

    /// Answers the requests that were taken last, all of them, in their order. Gives whether the guest wants to be told.
    pub fn answer(&mut self, responses: &[Response]) -> bool {
        for (n, response) in (0..).zip(responses) {
            self.memory.write(self.slot(self.done.wrapping_add(n)), &response.encode(self.layout));
        }
        let before = self.done;
        self.done = before.wrapping_add(u32::try_from(responses.len()).unwrap_or(0));
        self.memory.store_u32(RSP_PROD, self.done);
        // The guest sets its event before it looks at the responses for the last time.
        fence(Ordering::SeqCst);
        let event = self.memory.load_u32(RSP_EVENT);
        self.done.wrapping_sub(event) < self.done.wrapping_sub(before)
    }

    /// Asks to be told of the next request. Gives whether there is one already, which the guest may not have told of.
    ///
    /// # Errors
    /// The guest's indices are wrong.
    pub fn ask(&self) -> Result<bool, Broken> {
        self.memory.store_u32(REQ_EVENT, self.done.wrapping_add(1));
        fence(Ordering::SeqCst);
        Ok(self.waiting()? > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Page;

    use xen_abi::io::blkif::BLKIF_OP_FLUSH_DISKCACHE;

    fn ring() -> (Page, Ring<Page>) {
        let page = Page::new(4096);
        page.store_u32(REQ_EVENT, 1);
        page.store_u32(RSP_EVENT, 1);
        let ring = Ring::attach(page.clone(), 1, Layout::X86_64);
        (page, ring)
    }

    fn put(page: &Page, index: u32, id: u8) {
        let mut slot = [0; 112];
        (slot[0], slot[8]) = (BLKIF_OP_FLUSH_DISKCACHE, id);
        page.write(SLOTS + (index % 32) as usize * 112, &slot);
        page.store_u32(REQ_PROD, index.wrapping_add(1));
    }

    #[test]
    fn requests_are_answered_in_order_and_the_guest_is_told_when_it_asked() {
        let (page, mut ring) = ring();
        assert_eq!(ring.ask(), Ok(false));
        for round in 0..100u32 {
            put(&page, 2 * round, 10);
            put(&page, 2 * round + 1, 11);
            let taken = ring.take(32).unwrap();
            assert_eq!(taken.iter().map(|request| request.id).collect::<Vec<_>>(), [10, 11]);
            let answers = taken.iter().map(|r| Response { id: r.id, operation: r.operation, status: 0 });
            // It asked for the first of them, then for a later one.
            page.store_u32(RSP_EVENT, if round % 2 == 0 { 2 * round + 1 } else { 2 * round + 5 });
            assert_eq!(ring.answer(&answers.collect::<Vec<_>>()), round % 2 == 0);
            assert_eq!(page.load_u32(RSP_PROD), 2 * round + 2);
            assert_eq!(ring.ask(), Ok(false));
            assert_eq!(page.load_u32(REQ_EVENT), 2 * round + 3);
        }
    }

    #[test]
    fn a_producer_that_is_too_far_ahead_breaks_the_ring_and_nothing_else() {
        let (page, ring) = ring();
        for prod in [33, 1 << 31, u32::MAX] {
            page.store_u32(REQ_PROD, prod);
            assert!(ring.take(32).is_err() && ring.ask().is_err());
        }
        page.store_u32(REQ_PROD, 32);
        assert_eq!(ring.take(100).unwrap().len(), 32);
        assert_eq!(ring.take(5).unwrap().len(), 5);
    }

    #[test]
    fn a_ring_without_room_for_a_slot_takes_nothing() {
        let page = Page::new(4096);
        let ring = Ring::attach(page.clone(), 0, Layout::X86_64);
        assert_eq!(ring.ask(), Ok(false));
        page.store_u32(REQ_PROD, 1);
        assert!(ring.take(1).is_err());
    }

    #[test]
    fn what_waits_is_found_by_the_last_look() {
        let (page, ring) = ring();
        put(&page, 0, 1);
        assert_eq!(ring.ask(), Ok(true));
    }
}
