//! A domain's ports, by number: grown bucket by bucket, found without a lock.

use super::port::{Binding, Port, PortState};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use ferroxen_sync::{Lock, OnceBox};
use xen_abi::Errno;
use xen_abi::event_channel::EVTCHN_FIFO_NR_CHANNELS;

/// Ports that are allocated together.
const BUCKET: usize = 64;
/// Buckets of a group.
const GROUP: usize = 64;
/// Groups of a table: together as many ports as the FIFO layout can name.
const GROUPS: usize = EVTCHN_FIFO_NR_CHANNELS as usize / (GROUP * BUCKET);

struct Group([OnceBox<Box<[Port]>>; GROUP]);

pub(super) struct PortTable {
    groups: [OnceBox<Group>; GROUPS],
    /// All ports below this number exist.
    valid: AtomicU32,
}

impl Default for PortTable {
    fn default() -> Self {
        PortTable { groups: core::array::from_fn(|_| OnceBox::new()), valid: AtomicU32::new(0) }
    }
}

impl PortTable {
    /// How many ports exist (they are numbered from 0).
    pub fn valid(&self) -> u32 {
        self.valid.load(Ordering::Acquire)
    }

    /// The port with this number, if it was ever made.
    pub fn get(&self, port: u32) -> Option<&Port> {
        let at = usize::try_from(port).ok()?;
        let group = self.groups.get(at / (GROUP * BUCKET))?.get()?;
        group.0.get(at / BUCKET % GROUP)?.get()?.get(at % BUCKET)
    }

    /// The port with this number, made if need be. Ports are made in ascending order and under the control lock.
    pub fn make(&self, port: u32) -> Result<&Port, Errno> {
        if let Some(port) = self.get(port) {
            return Ok(port);
        }
        let at = usize::try_from(port).map_err(|_| Errno::ENOSPC)?;
        let group = self.groups.get(at / (GROUP * BUCKET)).ok_or(Errno::ENOSPC)?;
        let group = match group.get() {
            Some(group) => group,
            None => group.set(Group(core::array::from_fn(|_| OnceBox::new()))).map_err(|_| Errno::ENOMEM)?,
        };
        let mut bucket = Vec::new();
        bucket.try_reserve_exact(BUCKET).map_err(|_| Errno::ENOMEM)?;
        bucket.resize_with(BUCKET, || Lock::new(PortState::free()));
        if let (0, Some(first)) = (at / BUCKET, bucket.first_mut()) {
            first.get_mut().binding = Binding::Reserved;
        }
        let slot = group.0.get(at / BUCKET % GROUP).ok_or(Errno::ENOSPC)?;
        slot.set(bucket.into_boxed_slice()).map_err(|_| Errno::ENOMEM)?;
        let end = (at / BUCKET + 1) * BUCKET;
        self.valid.fetch_max(u32::try_from(end).unwrap_or(u32::MAX), Ordering::Release);
        self.get(port).ok_or(Errno::ENOMEM)
    }
}
