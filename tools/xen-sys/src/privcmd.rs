//! `/dev/xen/privcmd` and `/dev/xen/hypercall`: hypercalls, and other domains' memory.

pub use crate::mapping::HypercallBuffer;

use crate::{Mapping, errno_of, ioctl};
use std::fs::File;
use std::io;
use xen_abi::Errno;
use xen_call::Hypercalls;

const PAGE: usize = 4096;
const HYPERCALL: u64 = ioctl::none(b'P', 0, size_of::<Hypercall>());
const MMAP_BATCH: u64 = ioctl::none(b'P', 4, size_of::<MmapBatch>());
const MMAP_RESOURCE: u64 = ioctl::none(b'P', 7, size_of::<MmapResource>());

#[repr(C)]
struct Hypercall {
    op: u64,
    arg: [u64; 5],
}

#[repr(C)]
struct MmapBatch {
    num: u32,
    dom: u16,
    addr: u64,
    arr: *const u64,
    err: *mut i32,
}

#[repr(C)]
struct MmapResource {
    dom: u16,
    kind: u32,
    id: u32,
    idx: u32,
    num: u64,
    addr: u64,
}

/// The hypervisor below this kernel.
#[derive(Debug)]
pub struct Privcmd {
    calls: File,
    buffers: File,
}

impl Privcmd {
    /// Opens the devices.
    ///
    /// # Errors
    /// Not found: no Xen below this kernel, or its module is missing; permission denied.
    pub fn open() -> io::Result<Self> {
        let open = |path: &str| File::options().read(true).write(true).open(path);
        Ok(Privcmd { calls: open("/dev/xen/privcmd")?, buffers: open("/dev/xen/hypercall")? })
    }
}

impl Hypercalls for Privcmd {
    type Buffer = HypercallBuffer;
    type Map = Mapping;

    fn buffer(&self, len: usize) -> Result<HypercallBuffer, Errno> {
        let len = len.max(1).next_multiple_of(PAGE);
        Mapping::new(&self.buffers, len, 0).map(HypercallBuffer).map_err(|error| errno_of(&error))
    }

    fn call(&self, number: u32, args: [u64; 5]) -> Result<u64, Errno> {
        let mut call = Hypercall { op: number.into(), arg: args };
        let result = ioctl::with(&self.calls, HYPERCALL, &mut call).map_err(|error| errno_of(&error))?;
        Ok(u64::from(result.unsigned_abs()))
    }

    fn map_foreign(&self, domid: u16, frames: &[u64], writable: bool) -> Result<Mapping, Errno> {
        let len = frames.len().max(1) * PAGE;
        let map = Mapping::with_access(&self.calls, len, 0, writable).map_err(|error| errno_of(&error))?;
        let mut errors = vec![0i32; frames.len()];
        let num = u32::try_from(frames.len()).map_err(|_| Errno::E2BIG)?;
        let mut batch =
            MmapBatch { num, dom: domid, addr: map.address(), arr: frames.as_ptr(), err: errors.as_mut_ptr() };
        ioctl::with(&self.calls, MMAP_BATCH, &mut batch).map_err(|error| errno_of(&error))?;
        match errors.iter().find(|error| **error != 0) {
            Some(error) => Err(Errno::from_number(error.abs()).unwrap_or(Errno::EINVAL)),
            None => Ok(map),
        }
    }

    fn map_resource(&self, domid: u16, kind: u16, id: u32, frame: u64, count: usize) -> Result<Mapping, Errno> {
        let map = Mapping::new(&self.calls, count.max(1) * PAGE, 0).map_err(|error| errno_of(&error))?;
        let mut resource = MmapResource {
            dom: domid,
            kind: kind.into(),
            id,
            idx: u32::try_from(frame).map_err(|_| Errno::EINVAL)?,
            num: count as u64,
            addr: map.address(),
        };
        ioctl::with(&self.calls, MMAP_RESOURCE, &mut resource).map_err(|error| errno_of(&error))?;
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requests_have_the_numbers_of_the_kernels_headers() {
        assert_eq!((HYPERCALL, MMAP_BATCH, MMAP_RESOURCE), (0x30_5000, 0x20_5004, 0x20_5007));
    }
}
