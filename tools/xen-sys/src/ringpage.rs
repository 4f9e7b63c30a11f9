//! A page that a domain shares with a daemon of ours.

use crate::{GrantDevice, GrantedPage, Mapping, Privcmd};
use xen_abi::Errno;
use xen_call::{Hypercalls as _, RingMemory};

/// A ring page, however it was reached.
#[derive(Debug)]
pub enum RingPage {
    /// The domain grants it.
    Granted(GrantedPage),
    /// By its frame's number, or the control domain's own.
    Mapped(Mapping),
}

impl RingPage {
    /// The page that `domid` grants under `reference`; of a domain that does not, frame `gfn`.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn open(
        grants: Option<&GrantDevice>,
        hypervisor: &Privcmd,
        domid: u16,
        reference: u32,
        gfn: u64,
    ) -> Result<RingPage, Errno> {
        match grants.and_then(|device| device.map(domid, reference).ok()) {
            Some(page) => Ok(RingPage::Granted(page)),
            None => hypervisor.map_foreign(domid, &[gfn], true).map(RingPage::Mapped),
        }
    }
}

impl RingMemory for RingPage {
    fn load_u32(&self, offset: usize) -> u32 {
        match self {
            RingPage::Granted(page) => page.load_u32(offset),
            RingPage::Mapped(page) => page.load_u32(offset),
        }
    }
    fn store_u32(&self, offset: usize, value: u32) {
        match self {
            RingPage::Granted(page) => page.store_u32(offset, value),
            RingPage::Mapped(page) => page.store_u32(offset, value),
        }
    }
    fn read(&self, offset: usize, into: &mut [u8]) {
        match self {
            RingPage::Granted(page) => page.read(offset, into),
            RingPage::Mapped(page) => page.read(offset, into),
        }
    }
    fn write(&self, offset: usize, from: &[u8]) {
        match self {
            RingPage::Granted(page) => page.write(offset, from),
            RingPage::Mapped(page) => page.write(offset, from),
        }
    }
}
