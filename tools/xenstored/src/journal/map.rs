//! The journal's file, mapped.
//!
//! A store into a shared mapping of a file is in the page cache at once: it survives the death of the process
//! by any signal, at no cost. (It does not survive a loss of power; neither does the store of a running Xen.)
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

/// A file of fixed size, mapped shared. Only this process writes it.
pub(super) struct Map {
    map: memmap2::MmapMut,
}

impl Map {
    /// Maps `file`, which must be at least `len` bytes long, with blocks allocated.
    pub(super) fn new(file: &File, len: usize) -> io::Result<Map> {
        // SAFETY: the daemon holds the lock of its state directory, so that no other process writes or
        // truncates the file; its blocks are allocated, so that no access can fault for want of space.
        let map = unsafe { memmap2::MmapOptions::new().len(len).map_mut(file)? };
        Ok(Map { map })
    }

    /// The mapped bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// The mapped bytes, to write.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.map
    }

    fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.map.len(), "a header field outside of the header");
        let at = self.map.as_ptr().wrapping_add(offset).cast_mut().cast::<u64>();
        // SAFETY: inside the mapping and aligned (asserted above; a mapping starts on a page); all accesses to
        // header words go through here, while `&self` keeps the mapping alive.
        unsafe { AtomicU64::from_ptr(at) }
    }

    /// Loads a header word.
    pub(super) fn get(&self, offset: usize) -> u64 {
        self.word(offset).load(Ordering::Acquire)
    }

    /// Stores a header word; everything stored before is in the file before it.
    pub(super) fn set(&self, offset: usize, value: u64) {
        // A killed process keeps every store that was executed, in order: only the compiler could reorder them.
        compiler_fence(Ordering::SeqCst);
        self.word(offset).store(value, Ordering::Release);
        compiler_fence(Ordering::SeqCst);
    }
}

/// Makes a file of `len` bytes with its blocks allocated, so that a full disk shows here and not as SIGBUS.
pub(super) fn allocate(path: &Path, len: u64) -> io::Result<File> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, len)?;
    Ok(file)
}
