//! A mapping of pages that others may write at any time: accessors, never references.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use xen_call::{Buffer, ForeignMap, RingMemory};

/// Pages of this process, from a device. Unmapped when it is dropped.
#[derive(Debug)]
pub struct Mapping {
    at: NonNull<u8>,
    len: usize,
    writable: bool,
}

// SAFETY: it is memory, owned by whoever owns this; every access is volatile or atomic.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// `mmap(len, PROT_READ | PROT_WRITE, MAP_SHARED, file, offset)`.
    pub(crate) fn new(file: &File, len: usize, offset: u64) -> io::Result<Self> {
        Self::with_access(file, len, offset, true)
    }

    /// The same, but writes through it do nothing if it is not `writable`.
    pub(crate) fn with_access(file: &File, len: usize, offset: u64, writable: bool) -> io::Result<Self> {
        let offset = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        let prot = if writable { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
        // SAFETY: the kernel chooses the address: nothing that exists is replaced.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, libc::MAP_SHARED, file.as_raw_fd(), offset) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let at = NonNull::new(at.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { at, len, writable })
    }

    /// Its address.
    pub(crate) fn address(&self) -> u64 {
        self.at.as_ptr().addr() as u64
    }

    /// Bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.len
    }

    /// How much of `len` bytes at `offset` is inside.
    fn inside(&self, offset: usize, len: usize) -> usize {
        self.len.saturating_sub(offset).min(len)
    }

    fn copy_out(&self, offset: usize, into: &mut [u8]) {
        let len = self.inside(offset, into.len());
        if len == 0 {
            return;
        }
        // SAFETY: `inside` keeps it within the mapping.
        let from = unsafe { self.at.as_ptr().add(offset) };
        // SAFETY: source and destination have `len` bytes and cannot overlap, as `into` is exclusive; that another
        // domain may write meanwhile changes only which bytes are copied.
        unsafe { std::ptr::copy_nonoverlapping(from.cast_const(), into.as_mut_ptr(), len) };
    }

    fn copy_in(&self, offset: usize, from: &[u8]) {
        let len = self.inside(offset, from.len());
        if len == 0 || !self.writable {
            return;
        }
        // SAFETY: `inside` keeps it within the mapping.
        let to = unsafe { self.at.as_ptr().add(offset) };
        // SAFETY: as in `copy_out`.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to, len) };
    }

    fn word(&self, offset: usize) -> Option<&AtomicU32> {
        if !offset.is_multiple_of(4) || self.inside(offset, 4) < 4 {
            return None;
        }
        // SAFETY: the offset is inside.
        let at = unsafe { self.at.as_ptr().add(offset) };
        // SAFETY: aligned (the mapping is), mapped as long as `self` lives, and only accessed atomically as a word.
        Some(unsafe { AtomicU32::from_ptr(at.cast()) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what was mapped; no reference to it outlives `self`.
        unsafe { libc::munmap(self.at.as_ptr().cast(), self.len) };
    }
}

impl RingMemory for Mapping {
    fn load_u32(&self, offset: usize) -> u32 {
        self.word(offset).map_or(0, |word| word.load(Ordering::Acquire))
    }
    fn store_u32(&self, offset: usize, value: u32) {
        if self.writable
            && let Some(word) = self.word(offset)
        {
            word.store(value, Ordering::Release);
        }
    }
    fn read(&self, offset: usize, into: &mut [u8]) {
        self.copy_out(offset, into);
    }
    fn write(&self, offset: usize, from: &[u8]) {
        self.copy_in(offset, from);
    }
}

impl ForeignMap for Mapping {
    fn len(&self) -> usize {
        self.len
    }
}

/// Memory of the kernel's that hypercalls can use: never swapped or moved.
#[derive(Debug)]
pub struct HypercallBuffer(pub(crate) Mapping);

impl Buffer for HypercallBuffer {
    fn addr(&self) -> u64 {
        self.0.address()
    }
    fn len(&self) -> usize {
        self.0.bytes()
    }
    fn read(&self, offset: usize, into: &mut [u8]) {
        self.0.copy_out(offset, into);
    }
    fn write(&self, offset: usize, from: &[u8]) {
        self.0.copy_in(offset, from);
    }
}
