//! What is queued for one connection and not yet delivered.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};

/// A stream of bytes with positions: byte number `sent` is the first that was not delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutQueue {
    buf: Vec<u8>,
    head: usize,
    sent: u64,
    /// Where each reply that is not wholly delivered ends.
    replies: VecDeque<u64>,
    /// Hash of a queued event, and where it starts.
    events: BTreeMap<u64, u64>,
}

impl OutQueue {
    /// Position of the first byte that was not delivered.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.buf.len() - self.head
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What waits.
    pub fn waiting(&self) -> &[u8] {
        self.buf.get(self.head..).unwrap_or_default()
    }

    /// Replies that are not wholly delivered.
    pub fn outstanding(&self) -> usize {
        self.replies.len()
    }

    fn end(&self) -> u64 {
        self.sent + self.len() as u64
    }

    /// Queues a reply.
    pub fn push_reply(&mut self, message: &[u8]) {
        self.buf.extend_from_slice(message);
        self.replies.push_back(self.end());
    }

    /// Queues a watch event, unless the same one waits already and nothing of it was delivered: whoever reads
    /// that one sees the newest state.
    pub fn push_event(&mut self, message: &[u8]) {
        let mut hasher = DefaultHasher::new();
        hasher.write(message);
        let hash = hasher.finish();
        if let Some(start) = self.events.get(&hash).and_then(|at| at.checked_sub(self.sent)) {
            let start = usize::try_from(start).unwrap_or(usize::MAX);
            if self.waiting().get(start..).is_some_and(|w| w.starts_with(message)) {
                return;
            }
        }
        self.events.insert(hash, self.end());
        self.buf.extend_from_slice(message);
    }

    /// The bytes before position `upto` were delivered.
    pub fn delivered(&mut self, upto: u64) {
        let n = usize::try_from(upto.saturating_sub(self.sent)).unwrap_or(usize::MAX).min(self.len());
        self.head += n;
        self.sent += n as u64;
        while self.replies.front().is_some_and(|end| *end <= self.sent) {
            self.replies.pop_front();
        }
        if self.head == self.buf.len() {
            self.buf.clear();
            self.head = 0;
            self.events.clear();
        } else if self.head > 65536 && self.head > self.buf.len() / 2 {
            self.buf.drain(..self.head);
            self.head = 0;
        }
        if self.buf.is_empty() && self.buf.capacity() > 1 << 20 {
            self.buf.shrink_to(65536);
        }
    }

    /// Forgets what waits; positions go on from where they are.
    pub fn clear(&mut self) {
        let end = self.end();
        self.delivered(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_waits_untouched_is_not_queued_twice() {
        let mut q = OutQueue::default();
        q.push_event(b"event-a");
        q.push_reply(b"reply");
        q.push_event(b"event-a");
        q.push_event(b"event-b");
        assert_eq!(q.waiting(), b"event-areplyevent-b");
        assert_eq!(q.outstanding(), 1);
        q.delivered(1);
        q.push_event(b"event-a");
        assert_eq!(q.waiting(), b"vent-areplyevent-bevent-a");
        q.delivered(12);
        assert_eq!((q.outstanding(), q.sent()), (0, 12));
        q.clear();
        assert!(q.is_empty());
        assert_eq!(q.sent(), 26);
    }
}
