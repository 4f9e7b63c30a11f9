//! What the heap keeps in a frame's table entry while the frame is free.

/// No frame: the end of a list.
pub(super) const NONE: u32 = u32::MAX;

/// The head of a free block. It lives in the table entry of the block's first frame; the entries of the block's other
/// frames are blank, so that making, splitting and merging blocks costs nothing per frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// The next block of its list.
    pub(super) next: u32,
    /// The one before.
    pub(super) prev: u32,
    /// log2 of its frames.
    pub(super) order: u32,
    /// Frames from this one on may hold old contents; 2^order: none does.
    pub(super) first_dirty: u32,
    /// Taken when the last of its frames was freed; a CPU that has not flushed since may still hold a translation.
    /// `None`: no CPU can.
    pub(super) stamp: Option<u32>,
}

const ORDER_SHIFT: u32 = 32;
const ORDER_MASK: u64 = 0x1f;
const DIRTY_SHIFT: u32 = 37;
const DIRTY_MASK: u64 = (1 << 20) - 1;
const STALE: u64 = 1 << 57;

impl Head {
    /// As it is stored: `link` (32 bits), the type word (64 bits), the TLB stamp (32 bits).
    #[must_use]
    pub fn pack(self) -> (u32, u64, u32) {
        let word = u64::from(self.prev)
            | u64::from(self.order) << ORDER_SHIFT
            | u64::from(self.first_dirty) << DIRTY_SHIFT
            | if self.stamp.is_some() { STALE } else { 0 };
        (self.next, word, self.stamp.unwrap_or(0))
    }

    /// From where [`Head::pack`] put it.
    #[must_use]
    pub fn unpack(link: u32, word: u64, stamp: u32) -> Head {
        Head {
            next: link,
            prev: (word & u64::from(u32::MAX)) as u32,
            order: (word >> ORDER_SHIFT & ORDER_MASK) as u32,
            first_dirty: (word >> DIRTY_SHIFT & DIRTY_MASK) as u32,
            stamp: (word & STALE != 0).then_some(stamp),
        }
    }

    /// The block's number of frames.
    pub(super) fn len(&self) -> u32 {
        1 << self.order
    }

    /// Whether any frame may hold old contents.
    pub(super) fn is_dirty(&self) -> bool {
        self.first_dirty < self.len()
    }

    /// The two halves, lower first.
    pub(super) fn split(&self) -> (Head, Head) {
        let half = self.len() / 2;
        let order = self.order.saturating_sub(1);
        let low = Head { order, first_dirty: self.first_dirty.min(half), ..*self };
        let high = Head { order, first_dirty: self.first_dirty.saturating_sub(half), ..*self };
        (low, high)
    }

    /// The block that two buddies make. `now` is the present TLB stamp.
    pub(super) fn join(low: &Head, high: &Head, now: u32) -> Head {
        let first_dirty = if low.is_dirty() { low.first_dirty } else { low.len() + high.first_dirty };
        // Stamps wrap: the younger one is the one nearer to now.
        let stamp = match (low.stamp, high.stamp) {
            (Some(a), Some(b)) => Some(if now.wrapping_sub(a) < now.wrapping_sub(b) { a } else { b }),
            (a, b) => a.or(b),
        };
        Head { next: NONE, prev: NONE, order: low.order + 1, first_dirty, stamp }
    }
}

/// The frame table, as the heap sees it. A frame is *blank* (no RAM, the hypervisor's own, or inside a free block), the
/// *head* of a free block, or *allocated*; all start blank. `head`, `set_head` and `clear_head` are called under the
/// heap's lock; what a frame number beyond the table gets is "not a head".
pub trait FrameEntries {
    /// The frame heads a free block.
    fn head(&self, frame: u32) -> Option<Head>;
    /// Makes a blank frame a head, or changes a head.
    fn set_head(&self, frame: u32, head: Head);
    /// Makes a head blank.
    fn clear_head(&self, frame: u32);
    /// Blank to allocated. `false` if it was not blank: then nothing changed.
    fn take(&self, frame: u32) -> bool;
    /// Allocated, without owner and references, to blank. `false` if it was not so: then nothing changed.
    fn give_back(&self, frame: u32) -> bool;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head() -> impl Strategy<Value = Head> {
        (any::<u32>(), any::<u32>(), 0..=18u32, any::<prop::sample::Index>(), any::<Option<u32>>()).prop_map(
            |(next, prev, order, dirty, stamp)| Head {
                next,
                prev,
                order,
                first_dirty: dirty.index((1 << order) + 1) as u32,
                stamp,
            },
        )
    }

    proptest! {
        #[test]
        fn a_packed_head_unpacks_to_itself(head in head()) {
            let (link, word, stamp) = head.pack();
            prop_assert_eq!(Head::unpack(link, word, stamp), head);
        }

        #[test]
        fn halves_join_to_the_whole(head in head().prop_filter("has halves", |h| h.order > 0), now in any::<u32>()) {
            let (low, high) = head.split();
            prop_assert_eq!(Head::join(&low, &high, now), Head { next: NONE, prev: NONE, ..head });
        }
    }

    #[test]
    fn the_younger_stamp_survives_a_join_across_the_wrap() {
        let block = |stamp| Head { next: NONE, prev: NONE, order: 0, first_dirty: 1, stamp };
        let joined = Head::join(&block(Some(u32::MAX - 5)), &block(Some(2)), 3);
        assert_eq!(joined.stamp, Some(2));
    }
}
