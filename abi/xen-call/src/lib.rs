//! How a toolstack reaches a hypervisor, as traits: the real one below the kernel (`xen-sys`), or the one in a process
//! (`sim`). Everything typed is made of this by `xenctl`.
//!
//! Foreign memory is reached through accessors only: its domain may change it at any time, so there is never a `&mut [u8]`
//! on it.
#![no_std]
#![forbid(unsafe_code)]

pub use xen_abi::Errno;
pub use xen_wire::ring::RingMemory;

/// Memory of the caller's own domain that hypercalls can read and write: it is always present, and has an address.
pub trait Buffer {
    /// Its linear address, page-aligned.
    fn addr(&self) -> u64;
    /// Bytes.
    fn len(&self) -> usize;
    /// Whether it has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Copies bytes out. What would be outside is left as it is in `into`.
    fn read(&self, offset: usize, into: &mut [u8]);
    /// Copies bytes in. What would be outside is not written.
    fn write(&self, offset: usize, from: &[u8]);
}

/// Frames of another domain, mapped one after the other. Unmapped when it is dropped.
pub trait ForeignMap: RingMemory {
    /// Bytes: a multiple of 4096.
    fn len(&self) -> usize;
    /// Whether nothing is mapped.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A hypervisor, as the control domain sees it.
pub trait Hypercalls {
    /// Memory for arguments.
    type Buffer: Buffer;
    /// Mapped memory of another domain.
    type Map: ForeignMap;

    /// Memory for arguments, zeroed; `len` is rounded up to whole pages.
    ///
    /// # Errors
    /// `ENOMEM`.
    fn buffer(&self, len: usize) -> Result<Self::Buffer, Errno>;

    /// Makes hypercall `number` (`__HYPERVISOR_*`). Pointers among the arguments are addresses in a [`Buffer`].
    ///
    /// # Errors
    /// What the hypervisor answers.
    fn call(&self, number: u32, args: [u64; 5]) -> Result<u64, Errno>;

    /// Maps frames of a domain, in the order of the list. Writes through a mapping that is not `writable` do nothing.
    ///
    /// # Errors
    /// `ESRCH`: no such domain; `EINVAL`: a frame that is not its; `EBUSY`: a page table, which is never `writable`; nothing
    /// is mapped then.
    fn map_foreign(&self, domid: u16, frames: &[u64], writable: bool) -> Result<Self::Map, Errno>;

    /// Maps `count` frames, from number `frame` on, of a resource of a domain (`XENMEM_resource_*`).
    ///
    /// # Errors
    /// `ESRCH`, `EINVAL` (the domain has not so much of it), `EOPNOTSUPP` (the kernel cannot).
    fn map_resource(&self, domid: u16, kind: u16, id: u32, frame: u64, count: usize) -> Result<Self::Map, Errno>;
}

impl<H: Hypercalls> Hypercalls for &H {
    type Buffer = H::Buffer;
    type Map = H::Map;

    fn buffer(&self, len: usize) -> Result<H::Buffer, Errno> {
        (**self).buffer(len)
    }
    fn call(&self, number: u32, args: [u64; 5]) -> Result<u64, Errno> {
        (**self).call(number, args)
    }
    fn map_foreign(&self, domid: u16, frames: &[u64], writable: bool) -> Result<H::Map, Errno> {
        (**self).map_foreign(domid, frames, writable)
    }
    fn map_resource(&self, domid: u16, kind: u16, id: u32, frame: u64, count: usize) -> Result<H::Map, Errno> {
        (**self).map_resource(domid, kind, id, frame, count)
    }
}
