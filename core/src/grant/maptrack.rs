//! What a domain has mapped of other domains' grants, by handle.

use super::active::Use;
use super::status::Status;
use crate::addr::Mfn;
use crate::domain::DomId;
use alloc::vec::Vec;

/// Handles that are allocated together: as many as Xen has in a frame.
const CHUNK: u32 = 256;
const END: u32 = u32::MAX;

/// A mapping: of which grant, which frame, and in what ways.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mapping {
    /// Who granted it.
    pub granter: DomId,
    pub reference: u32,
    pub frame: Mfn,
    /// There is a page-table entry.
    pub host: bool,
    /// A device may use it.
    pub device: bool,
    pub writable: bool,
    /// Mapped by the entry's address (GNTMAP_contains_pte).
    pub by_entry: bool,
}

impl Mapping {
    /// The CPU's use.
    pub fn host_use(&self) -> Use {
        Use { device: false, writable: self.writable }
    }
    /// The device's use.
    pub fn device_use(&self) -> Use {
        Use { device: true, writable: self.writable }
    }
}

#[derive(Clone, Copy)]
enum Handle {
    /// The next free one, or `END`.
    Free(u32),
    /// Being made or undone by some CPU.
    Busy,
    Used(Mapping),
}

/// All handles of a domain.
pub(super) struct Maptrack {
    chunks: Vec<Vec<Handle>>,
    free: u32,
    used: u32,
    limit: u32,
}

impl Maptrack {
    pub fn new(frames: u32) -> Self {
        Maptrack { chunks: Vec::new(), free: END, used: 0, limit: frames }
    }

    pub fn set_limit(&mut self, frames: u32) {
        self.limit = frames;
    }

    /// Handles that are not free.
    pub fn used(&self) -> u32 {
        self.used
    }

    /// Handles that were ever made are below this.
    pub fn end(&self) -> u32 {
        u32::try_from(self.chunks.len()).unwrap_or(0).saturating_mul(CHUNK)
    }

    fn slot(&mut self, handle: u32) -> Option<&mut Handle> {
        let chunk = usize::try_from(handle / CHUNK).ok()?;
        self.chunks.get_mut(chunk)?.get_mut((handle % CHUNK) as usize)
    }

    fn grow(&mut self) -> Result<(), Status> {
        let first = self.end();
        if self.chunks.len() as u64 >= u64::from(self.limit) {
            return Err(Status::NoSpace);
        }
        let mut chunk = Vec::new();
        chunk.try_reserve_exact(CHUNK as usize).map_err(|_| Status::NoSpace)?;
        self.chunks.try_reserve(1).map_err(|_| Status::NoSpace)?;
        for next in first + 1..first + CHUNK {
            chunk.push(Handle::Free(next));
        }
        chunk.push(Handle::Free(self.free));
        self.chunks.push(chunk);
        self.free = first;
        Ok(())
    }

    /// A handle for a mapping that is being made: nobody else can use it until it is set. `NoSpace`: there is none.
    pub fn reserve(&mut self) -> Result<u32, Status> {
        if self.free == END {
            self.grow()?;
        }
        let handle = self.free;
        let slot = self.slot(handle).ok_or(Status::NoSpace)?;
        let Handle::Free(next) = *slot else { return Err(Status::NoSpace) };
        *slot = Handle::Busy;
        self.free = next;
        self.used += 1;
        Ok(handle)
    }

    /// Makes a busy handle stand for a mapping.
    pub fn set(&mut self, handle: u32, mapping: Mapping) {
        if let Some(slot) = self.slot(handle) {
            *slot = Handle::Used(mapping);
        }
    }

    /// The mapping of a handle, which is busy from now on. `BadHandle`: there is none, or another CPU works on it.
    pub fn take(&mut self, handle: u32) -> Result<Mapping, Status> {
        let slot = self.slot(handle).ok_or(Status::BadHandle)?;
        let Handle::Used(mapping) = *slot else { return Err(Status::BadHandle) };
        *slot = Handle::Busy;
        Ok(mapping)
    }

    /// Whether some mapping is of this frame.
    pub fn maps(&self, frame: Mfn) -> bool {
        self.chunks.iter().flatten().any(|handle| matches!(handle, Handle::Used(mapping) if mapping.frame == frame))
    }

    /// All mappings.
    #[cfg(feature = "std")]
    pub fn mappings(&self) -> impl Iterator<Item = Mapping> {
        self.chunks.iter().flatten().filter_map(|handle| match handle {
            Handle::Used(mapping) => Some(*mapping),
            _ => None,
        })
    }

    /// Gives a busy handle back.
    pub fn free(&mut self, handle: u32) {
        let next = self.free;
        if let Some(slot) = self.slot(handle) {
            *slot = Handle::Free(next);
            self.free = handle;
            self.used -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_given_out_once_and_again_after_they_were_freed() {
        let mut track = Maptrack::new(2);
        let handles: Vec<_> = (0..512).map(|_| track.reserve().unwrap()).collect();
        assert_eq!(handles, (0..512).collect::<Vec<_>>());
        assert_eq!(track.reserve(), Err(Status::NoSpace));
        assert_eq!(track.take(7), Err(Status::BadHandle), "being made");
        track.free(7);
        assert_eq!((track.used(), track.reserve()), (511, Ok(7)));
        assert_eq!(track.take(512), Err(Status::BadHandle));
        assert_eq!(track.take(u32::MAX), Err(Status::BadHandle));
    }
}
