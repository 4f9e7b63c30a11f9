//! Domains' rings. The page is shared with a guest that may write anything into it at any time: where the ring
//! stands is known from the journal, and what the page says is compared with that, never trusted.

use crate::durable::Durable;
use crate::engine::Happening;
use crate::journal::StoreError;
use crate::state::ConnId;
use std::os::fd::{BorrowedFd, OwnedFd};
use xen_wire::ring::RingMemory;
use xen_wire::xenstore::XsError;
use xen_wire::xenstore::ring::{self, ConnError, REQ, RSP, XENSTORE_RING_SIZE};

/// Something about domains that the transport noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DomainEvent {
    /// A domain's event channel fired.
    Ring(u16),
    /// A domain shut down or crashed, and still exists.
    Shutdown(u16),
    /// A domain is gone or dying.
    Gone(u16),
}

/// How domains are reached: ring pages, event channels, and the news of their end.
pub trait DomainTransport {
    /// A mapped ring page.
    type Page: RingMemory;

    /// Maps a domain's ring page and binds its event channel; again, if it was connected before (a changed
    /// port, or a restart of the daemon). `ENOENT` if there is no such domain, `EINVAL` if the page or the
    /// port cannot be had.
    fn connect(&mut self, domid: u16, gfn: u64, port: u32) -> Result<(), XsError>;
    /// Unmaps and unbinds.
    fn disconnect(&mut self, domid: u16);
    /// The page of a connected domain.
    fn page(&self, domid: u16) -> Option<&Self::Page>;
    /// Fires a domain's event channel.
    fn notify(&mut self, domid: u16);
    /// Takes what happened since the last call.
    fn poll(&mut self, into: &mut Vec<DomainEvent>);
    /// Readable when [`DomainTransport::poll`] has something.
    fn fd(&self) -> Option<BorrowedFd<'_>>;
    /// Frame and event channel of the control domain's own ring, if there is one.
    fn control_domain(&self) -> Option<(u64, u32)>;

    /// Takes back a descriptor that an earlier daemon gave to the supervisor, before anything is connected.
    fn adopt(&mut self, _name: &str, _fd: OwnedFd) {}
    /// Descriptors that shall survive this daemon (the event channel handle, with its bindings).
    fn keep(&self) -> Vec<(String, BorrowedFd<'_>)> {
        Vec::new()
    }
}

/// No domains at all: a daemon that runs without Xen under it.
#[derive(Debug, Default)]
pub struct NoDomains;

/// The page of a domain that cannot exist.
#[derive(Debug)]
pub enum NoPage {}

impl RingMemory for NoPage {
    fn load_u32(&self, _: usize) -> u32 {
        match *self {}
    }
    fn store_u32(&self, _: usize, _: u32) {
        match *self {}
    }
    fn read(&self, _: usize, _: &mut [u8]) {
        match *self {}
    }
    fn write(&self, _: usize, _: &[u8]) {
        match *self {}
    }
}

impl DomainTransport for NoDomains {
    type Page = NoPage;

    fn connect(&mut self, _: u16, _: u64, _: u32) -> Result<(), XsError> {
        Err(XsError::ENOENT)
    }
    fn disconnect(&mut self, _: u16) {}
    fn page(&self, _: u16) -> Option<&NoPage> {
        None
    }
    fn notify(&mut self, _: u16) {}
    fn poll(&mut self, _: &mut Vec<DomainEvent>) {}
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    fn control_domain(&self) -> Option<(u64, u32)> {
        None
    }
}

/// Where a page's ring stands when it is connected: what the journal counts from.
pub fn base<M: RingMemory>(page: &M) -> (u32, u32) {
    ring::announce(page);
    (page.load_u32(REQ.cons), page.load_u32(RSP.prod))
}

/// Takes a domain's requests and runs them. Returns whether the domain is to be notified.
pub fn take<M: RingMemory>(d: &mut Durable, domid: u16, page: &M) -> Result<bool, StoreError> {
    let id = ConnId::domain(domid);
    if ring::wants_reconnect(page) {
        d.happened(&Happening::RingReset(domid))?;
        ring::reset(page);
        return Ok(true);
    }
    if !d.engine().wants_input(id) {
        return Ok(false);
    }
    let Some((cons, _)) = d.engine().ring_indices(domid) else { return Ok(false) };
    if page.load_u32(REQ.cons) != cons {
        return broken(d, domid);
    }
    let space = d.input_space(XENSTORE_RING_SIZE as usize);
    match REQ.peek(page, space) {
        Ok((0, _)) => Ok(false),
        // The guest may have moved the consumer index in between; what is published follows from ours.
        Ok((n, _)) => {
            d.input(id, n);
            if let Some((cons, _)) = d.engine().ring_indices(domid) {
                REQ.consume_to(page, cons);
            }
            Ok(true)
        }
        Err(_) => broken(d, domid),
    }
}

/// Delivers what waits for a domain. Returns whether the domain is to be notified.
pub fn give<M: RingMemory>(d: &mut Durable, domid: u16, page: &M) -> Result<bool, StoreError> {
    let id = ConnId::domain(domid);
    let Some((_, prod)) = d.engine().ring_indices(domid) else { return Ok(false) };
    let Some(out) = d.engine().out(id).filter(|o| !o.is_empty()) else { return Ok(false) };
    if page.load_u32(RSP.prod) != prod {
        return broken(d, domid);
    }
    let pos = out.sent();
    match RSP.fill(page, out.waiting()) {
        Ok((0, _)) => Ok(false),
        Ok((n, _)) => {
            let n32 = u32::try_from(n).unwrap_or(0);
            RSP.produce_to(page, prod.wrapping_add(n32));
            d.delivered(id, pos + n as u64);
            Ok(true)
        }
        Err(_) => broken(d, domid),
    }
}

fn broken(d: &mut Durable, domid: u16) -> Result<bool, StoreError> {
    d.happened(&Happening::RingBroken(domid))?;
    Ok(true)
}

/// After a restart: publishes what the last daemon had taken but perhaps not published, and notes what it had
/// published but perhaps not noted.
pub fn settle<M: RingMemory>(d: &mut Durable, domid: u16, page: &M) -> Result<(), StoreError> {
    let id = ConnId::domain(domid);
    ring::announce_features(page);
    if ring::wants_reconnect(page) {
        return Ok(());
    }
    let Some((cons, prod)) = d.engine().ring_indices(domid) else { return Ok(()) };
    REQ.consume_to(page, cons);
    let ahead = page.load_u32(RSP.prod).wrapping_sub(prod);
    let (sent, waiting) = d.engine().out(id).map_or((0, 0), |o| (o.sent(), o.len()));
    if ahead == 0 {
        return Ok(());
    }
    if ahead > XENSTORE_RING_SIZE || ahead as usize > waiting {
        broken(d, domid)?;
        return Ok(());
    }
    d.delivered(id, sent + u64::from(ahead));
    Ok(())
}

/// Tells a domain that it is cut off.
pub fn cut_off<M: RingMemory>(page: &M, why: ConnError) {
    ring::set_error(page, why);
}
