//! `/dev/xen/gntdev`: pages that other domains grant.

use crate::{Mapping, ioctl};
use std::fs::File;
use std::io;
use std::sync::Arc;
use xen_call::RingMemory;

const MAP_GRANT_REF: u64 = ioctl::none(b'G', 0, 24);
const UNMAP_GRANT_REF: u64 = ioctl::none(b'G', 1, 16);

#[repr(C)]
struct Map {
    count: u32,
    pad: u32,
    index: u64,
    domid: u32,
    reference: u32,
}

#[repr(C)]
struct Unmap {
    index: u64,
    count: u32,
    pad: u32,
}

/// The device.
#[derive(Clone, Debug)]
pub struct GrantDevice(Arc<File>);

/// A granted page. Given back when it is dropped.
#[derive(Debug)]
pub struct GrantedPage {
    page: Option<Mapping>,
    index: u64,
    device: Arc<File>,
}

impl GrantDevice {
    /// Opens the device.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open() -> io::Result<Self> {
        Ok(GrantDevice(Arc::new(File::options().read(true).write(true).open("/dev/xen/gntdev")?)))
    }

    /// Maps the page that `domid` grants us under `reference`, writable.
    ///
    /// # Errors
    /// The kernel's: no such grant, or not to us.
    pub fn map(&self, domid: u16, reference: u32) -> io::Result<GrantedPage> {
        let mut map = Map { count: 1, pad: 0, index: 0, domid: domid.into(), reference };
        ioctl::with(&*self.0, MAP_GRANT_REF, &mut map)?;
        let mut granted = GrantedPage { page: None, index: map.index, device: self.0.clone() };
        granted.page = Some(Mapping::new(&self.0, 4096, map.index)?);
        Ok(granted)
    }
}

impl Drop for GrantedPage {
    fn drop(&mut self) {
        self.page = None;
        let mut unmap = Unmap { index: self.index, count: 1, pad: 0 };
        // There is nobody to tell.
        let _ = ioctl::with(&*self.device, UNMAP_GRANT_REF, &mut unmap);
    }
}

impl RingMemory for GrantedPage {
    fn load_u32(&self, offset: usize) -> u32 {
        self.page.as_ref().map_or(0, |page| page.load_u32(offset))
    }
    fn store_u32(&self, offset: usize, value: u32) {
        if let Some(page) = &self.page {
            page.store_u32(offset, value);
        }
    }
    fn read(&self, offset: usize, into: &mut [u8]) {
        if let Some(page) = &self.page {
            page.read(offset, into);
        }
    }
    fn write(&self, offset: usize, from: &[u8]) {
        if let Some(page) = &self.page {
            page.write(offset, from);
        }
    }
}
