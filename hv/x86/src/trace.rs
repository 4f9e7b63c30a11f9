//! The ring of a CPU's trace records, which `trace.S` writes.

use alloc::vec::Vec;
use ferroxen_core::trace::Record;

/// Head of a ring; its records follow.
#[repr(C)]
#[derive(Debug)]
pub struct Ring {
    /// Records ever written.
    next: u64,
    /// Number of records, a power of two, less 1.
    mask: u64,
    unused: [u64; 6],
}

const _: () = assert!(size_of::<Ring>() == size_of::<Record>());

impl Ring {
    /// A ring of so many records at least, for ever. `None`: no memory.
    pub fn leak(records: usize) -> Option<*mut Ring> {
        let records = records.checked_next_power_of_two()?;
        let mut room: Vec<Record> = Vec::new();
        room.try_reserve_exact(records.checked_add(1)?).ok()?;
        room.resize(records + 1, Record::default());
        let ring: *mut Ring = room.leak().as_mut_ptr().cast();
        // SAFETY: the first record's room is the head's, and large and aligned enough for it.
        unsafe { ring.write(Ring { next: 0, mask: records as u64 - 1, unused: [0; 6] }) };
        Some(ring)
    }

    /// Its last records, at most `count`, oldest first. Those that the CPU writes meanwhile may be torn.
    ///
    /// # Safety
    /// `ring` is of [`Ring::leak`].
    pub unsafe fn last(ring: *const Ring, count: u64) -> impl Iterator<Item = Record> {
        // SAFETY: the caller's ring; another CPU may write, so nothing is borrowed.
        let (next, mask) = unsafe { ((&raw const (*ring).next).read_volatile(), (*ring).mask) };
        let first = next.saturating_sub(count.min(mask + 1));
        // SAFETY: the index is masked to the ring's records.
        (first..next).map(move |at| unsafe { ring.cast::<Record>().add(1 + (at & mask) as usize).read_volatile() })
    }
}
