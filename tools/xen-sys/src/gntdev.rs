//! `/dev/xen/gntdev`: pages that other domains grant.

use crate::{Mapping, ioctl};
use std::fs::File;
use std::io;
use std::sync::Arc;
use xen_call::RingMemory;

const MAP_GRANT_REF: u64 = ioctl::none(b'G', 0, 24);
const UNMAP_GRANT_REF: u64 = ioctl::none(b'G', 1, 16);

/// `struct ioctl_gntdev_map_grant_ref`; the header's has room for one reference.
#[repr(C)]
struct Map {
    count: u32,
    pad: u32,
    index: u64,
    refs: [GrantRef; GrantDevice::MOST],
}

#[repr(C)]
#[derive(Clone, Copy)]
struct GrantRef {
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

/// Granted pages, one after the other. Given back when this is dropped.
#[derive(Debug)]
pub struct GrantedPage {
    page: Option<Mapping>,
    index: u64,
    count: u32,
    device: Arc<File>,
}

impl GrantDevice {
    /// So many pages can be mapped at once.
    pub const MOST: usize = 256;

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
        self.map_all(domid, &[reference], true)
    }

    /// Maps the pages that `domid` grants us under `references`, one after the other, all or none.
    ///
    /// # Errors
    /// The kernel's: no such grant, not to us, not writable; invalid: none, or more than [`GrantDevice::MOST`].
    pub fn map_all(&self, domid: u16, references: &[u32], writable: bool) -> io::Result<GrantedPage> {
        let none = GrantRef { domid: domid.into(), reference: 0 };
        let mut map = Map { count: 0, pad: 0, index: 0, refs: [none; Self::MOST] };
        if references.is_empty() || references.len() > Self::MOST {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        for (to, reference) in map.refs.iter_mut().zip(references) {
            to.reference = *reference;
            map.count += 1;
        }
        ioctl::with(&*self.0, MAP_GRANT_REF, &mut map)?;
        let mut granted = GrantedPage { page: None, index: map.index, count: map.count, device: self.0.clone() };
        granted.page = Some(Mapping::with_access(&self.0, references.len() * 4096, map.index, writable)?);
        Ok(granted)
    }
}

impl Drop for GrantedPage {
    fn drop(&mut self) {
        self.page = None;
        let mut unmap = Unmap { index: self.index, count: self.count, pad: 0 };
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
