//! A domain's grant table.

use super::active::Active;
use super::entry::Entry;
use super::maptrack::Maptrack;
use super::status::Status;
use crate::addr::Mfn;
use crate::platform::Platform;
use alloc::vec::Vec;
use ferroxen_sync::{Lock, PAGE_SIZE, rank};
use xen_abi::grant_table::GNTTAB_NR_RESERVED_ENTRIES;

/// Bytes of a version 1 entry.
const V1: usize = 8;
/// Bytes of a version 2 entry.
const V2: usize = 16;
/// Status words of a frame.
pub(super) const STATUS_WORDS: usize = PAGE_SIZE / 2;
/// The most entries that a shared frame holds (version 1).
pub(super) const MAX_ENTRIES: usize = PAGE_SIZE / V1;
/// Entries that survive a change of version.
pub(super) const RESERVED: u32 = GNTTAB_NR_RESERVED_ENTRIES;

/// How large a domain's tables may get.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Shared frames (`gnttab_max_frames`).
    pub frames: u32,
    /// Frames' worth of handles, 256 each (`gnttab_max_maptrack_frames`).
    pub maptrack: u32,
    /// Highest version, 1 or 2 (`gnttab=max-ver`).
    pub version: u32,
}

impl Default for Limits {
    /// Xen's.
    fn default() -> Self {
        Limits { frames: 64, maptrack: 1024, version: 2 }
    }
}

/// What the table's lock covers.
pub(super) struct Inner {
    pub limits: Limits,
    pub version: u32,
    /// Shared frames.
    pub shared: Vec<Mfn>,
    /// Status frames; kept when the guest goes back to version 1.
    pub status: Vec<Mfn>,
    /// Uses of the entries of each shared frame.
    pub active: Vec<Vec<Active>>,
    /// The domain is gone: the table never grows again.
    pub closed: bool,
    /// The next mapping to release in a teardown that was interrupted.
    pub teardown_at: u32,
}

/// A domain's grant table and what it has mapped of others.
pub struct GrantTable {
    pub(super) inner: Lock<rank::GrantTable, Inner>,
    pub(super) maptrack: Lock<rank::GrantEntry, Maptrack>,
}

impl Default for GrantTable {
    fn default() -> Self {
        let limits = Limits::default();
        GrantTable {
            inner: Lock::new(Inner {
                limits,
                version: 1,
                shared: Vec::new(),
                status: Vec::new(),
                active: Vec::new(),
                closed: false,
                teardown_at: 0,
            }),
            maptrack: Lock::new(Maptrack::new(limits.maptrack)),
        }
    }
}

impl GrantTable {
    /// Changes the limits; before the domain runs.
    pub fn set_limits(&self, limits: Limits) {
        self.inner.lock().limits = limits;
        self.maptrack.lock().set_limit(limits.maptrack);
    }

    /// The limits.
    pub fn limits(&self) -> Limits {
        self.inner.lock().limits
    }

    /// Version in use and number of shared frames.
    pub fn size(&self) -> (u32, u32) {
        let inner = self.inner.lock();
        (inner.version, inner.frames())
    }

    /// Mappings that the domain has of grants.
    pub fn mappings(&self) -> u32 {
        self.maptrack.lock().used()
    }
}

impl Inner {
    /// Number of shared frames.
    pub fn frames(&self) -> u32 {
        u32::try_from(self.shared.len()).unwrap_or(u32::MAX)
    }

    fn entry_size(&self) -> usize {
        if self.version == 2 { V2 } else { V1 }
    }

    /// Number of entries.
    pub fn entries(&self) -> u32 {
        u32::try_from(self.shared.len() * (PAGE_SIZE / self.entry_size())).unwrap_or(u32::MAX)
    }

    /// The entry of a reference. `BadRef`: the table has none.
    pub fn entry<'a, P: Platform>(&self, platform: &'a P, reference: u32) -> Result<Entry<'a>, Status> {
        let at = usize::try_from(reference).map_err(|_| Status::BadRef)?;
        let size = self.entry_size();
        let per_frame = PAGE_SIZE / size;
        let shared = *self.shared.get(at / per_frame).ok_or(Status::BadRef)?;
        let status = match self.version {
            2 => {
                let frame = *self.status.get(at / STATUS_WORDS).ok_or(Status::BadRef)?;
                Some((platform.page(frame), at % STATUS_WORDS * 2))
            }
            _ => None,
        };
        Ok(Entry { page: platform.page(shared), at: at % per_frame * size, status })
    }

    /// Its uses. They stay where they are when the version changes: the first entries keep theirs.
    pub fn active(&mut self, reference: u32) -> Option<&mut Active> {
        let at = usize::try_from(reference).ok()?;
        self.active.get_mut(at / MAX_ENTRIES)?.get_mut(at % MAX_ENTRIES)
    }
}

/// Status frames that so many shared frames need.
pub(super) fn status_frames(shared: usize) -> usize {
    (shared * (PAGE_SIZE / V2)).div_ceil(STATUS_WORDS)
}

/// Status frames that a table of so many shared frames has in version 2.
pub fn status_frames_for(shared: u32) -> u32 {
    usize::try_from(shared).ok().and_then(|shared| u32::try_from(status_frames(shared)).ok()).unwrap_or(0)
}
