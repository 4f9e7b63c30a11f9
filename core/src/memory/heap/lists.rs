//! Buddy lists: which blocks are free. Everything here runs under the heap's lock and costs at most one step per order.

use super::entry::{FrameEntries, Head, NONE};
use super::{MAX_ORDER, ZONES};

const ORDERS: usize = MAX_ORDER as usize + 1;

/// The free blocks of the frames whose number has one bit length.
#[derive(Clone, Copy)]
struct Zone {
    /// First blocks of the lists: wholly scrubbed ones, and those with frames to scrub.
    first: [[u32; ORDERS]; 2],
    /// Bit per order: the list is not empty.
    filled: [u32; 2],
    free: u64,
}

const CLEAN: usize = 0;
const DIRTY: usize = 1;

/// All free blocks.
pub(super) struct Lists {
    zones: [Zone; ZONES],
    pub(super) free: u64,
    pub(super) total: u64,
    pub(super) claimed: u64,
}

/// The zone of a frame: its number's bit length, so that zone `z` holds the addresses of up to `z + 12` bits.
pub(super) fn zone_of(frame: u32) -> usize {
    (u32::BITS - frame.leading_zeros()) as usize
}

impl Lists {
    pub(super) const fn new() -> Self {
        let zone = Zone { first: [[NONE; ORDERS]; 2], filled: [0; 2], free: 0 };
        Lists { zones: [zone; ZONES], free: 0, total: 0, claimed: 0 }
    }

    pub(super) fn free_in(&self, zone: usize) -> u64 {
        self.zones.get(zone).map_or(0, |zone| zone.free)
    }

    /// Takes a block of `order` from the highest zone up to `max_zone` that has one.
    pub(super) fn take<E: FrameEntries>(&mut self, entries: &E, order: u32, max_zone: usize) -> Option<(u32, Head)> {
        let wanted = u32::MAX.checked_shl(order)?;
        let (at, list) =
            self.zones.iter().enumerate().take(max_zone.saturating_add(1)).rev().find_map(|(at, zone)| {
                let fits = zone.filled.map(|filled| (filled & wanted).trailing_zeros());
                let list = if fits[CLEAN] <= fits[DIRTY] { CLEAN } else { DIRTY };
                (fits[list] < u32::BITS).then_some((at, (list, fits[list])))
            })?;
        let frame = *self.zones.get(at)?.first.get(list.0)?.get(list.1 as usize)?;
        let mut head = self.unlink(entries, frame)?;
        while head.order > order {
            // The lower half is the one that was scrubbed first.
            let (low, high) = head.split();
            self.link(entries, frame + low.len(), high);
            head = low;
        }
        self.account(frame, head.order, false);
        Some((frame, head))
    }

    /// Takes a block of at most `max_order` whose first dirty frame is inside it. It still counts as free; give it back
    /// with [`Lists::put`].
    pub(super) fn take_dirty<E: FrameEntries>(&mut self, entries: &E, max_order: u32) -> Option<(u32, Head)> {
        let mut frame = self.zones.iter().rev().find_map(|zone| {
            let order = zone.filled[DIRTY].checked_ilog2()?;
            zone.first[DIRTY].get(order as usize).copied()
        })?;
        let mut head = self.unlink(entries, frame)?;
        while head.order > max_order {
            let (low, high) = head.split();
            if low.is_dirty() {
                self.link(entries, frame + low.len(), high);
                head = low;
            } else {
                self.link(entries, frame, low);
                frame += low.len();
                head = high;
            }
        }
        Some((frame, head))
    }

    /// Puts a block (blank entries) back, joined with its free buddies.
    pub(super) fn put<E: FrameEntries>(&mut self, entries: &E, mut frame: u32, mut head: Head, now: u32) {
        while head.order < MAX_ORDER {
            let buddy = frame ^ head.len();
            if zone_of(buddy) != zone_of(frame) {
                break;
            }
            match entries.head(buddy) {
                Some(other) if other.order == head.order => {}
                _ => break,
            }
            let Some(other) = self.unlink(entries, buddy) else { break };
            head = if buddy < frame { Head::join(&other, &head, now) } else { Head::join(&head, &other, now) };
            frame = frame.min(buddy);
        }
        self.link(entries, frame, head);
    }

    /// Counts a block of frames in or out.
    pub(super) fn account(&mut self, frame: u32, order: u32, add: bool) {
        let frames = 1u64 << order;
        if let Some(zone) = self.zones.get_mut(zone_of(frame)) {
            zone.free = if add { zone.free + frames } else { zone.free.saturating_sub(frames) };
            self.free = if add { self.free + frames } else { self.free.saturating_sub(frames) };
        }
    }

    /// The free block that holds the frame.
    pub(super) fn covering<E: FrameEntries>(entries: &E, frame: u32) -> Option<u32> {
        (0..=MAX_ORDER).map(|order| frame & !((1 << order) - 1)).find(|&start| {
            entries.head(start).is_some_and(|head| u64::from(frame) < u64::from(start) + u64::from(head.len()))
        })
    }

    fn link<E: FrameEntries>(&mut self, entries: &E, frame: u32, head: Head) {
        let list = if head.is_dirty() { DIRTY } else { CLEAN };
        let Some(zone) = self.zones.get_mut(zone_of(frame)) else { return };
        let Some(first) = zone.first[list].get_mut(head.order as usize) else { return };
        let next = core::mem::replace(first, frame);
        zone.filled[list] |= 1 << head.order;
        entries.set_head(frame, Head { next, prev: NONE, ..head });
        if let Some(after) = entries.head(next) {
            entries.set_head(next, Head { prev: frame, ..after });
        }
    }

    fn unlink<E: FrameEntries>(&mut self, entries: &E, frame: u32) -> Option<Head> {
        let head = entries.head(frame)?;
        let list = if head.is_dirty() { DIRTY } else { CLEAN };
        if let Some(after) = entries.head(head.next) {
            entries.set_head(head.next, Head { prev: head.prev, ..after });
        }
        match entries.head(head.prev) {
            Some(before) => entries.set_head(head.prev, Head { next: head.next, ..before }),
            None => {
                let zone = self.zones.get_mut(zone_of(frame))?;
                *zone.first[list].get_mut(head.order as usize)? = head.next;
                if head.next == NONE {
                    zone.filled[list] &= !(1 << head.order);
                }
            }
        }
        entries.clear_head(frame);
        Some(head)
    }

    /// Calls `visit` for every free block, and checks the lists (tests, and debug builds at boot).
    pub(super) fn walk<E: FrameEntries>(&self, entries: &E, mut visit: impl FnMut(u32, Head)) {
        for (at, zone) in self.zones.iter().enumerate() {
            for list in [CLEAN, DIRTY] {
                for (order, &first) in zone.first[list].iter().enumerate() {
                    assert_eq!(zone.filled[list] >> order & 1 == 1, first != NONE, "zone {at}, order {order}");
                    let (mut frame, mut prev) = (first, NONE);
                    while frame != NONE {
                        let head = entries.head(frame).expect("a listed block has a head");
                        assert_eq!((head.order as usize, head.prev), (order, prev), "block {frame:#x}");
                        assert_eq!((zone_of(frame), head.is_dirty()), (at, list == DIRTY), "block {frame:#x}");
                        visit(frame, head);
                        (prev, frame) = (frame, head.next);
                    }
                }
            }
        }
    }
}
