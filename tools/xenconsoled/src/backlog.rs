//! What a guest printed and nobody has read yet: bounded, the oldest goes first.

use std::collections::VecDeque;

/// Bytes that wait for a reader.
#[derive(Debug)]
pub struct Backlog {
    bytes: VecDeque<u8>,
    most: usize,
}

impl Backlog {
    /// At most so many bytes.
    pub fn new(most: usize) -> Backlog {
        Backlog { bytes: VecDeque::new(), most }
    }

    /// Adds bytes; what is too much goes, a whole line at a time where there are lines.
    pub fn push(&mut self, more: &[u8]) {
        self.bytes.extend(more);
        if self.bytes.len() <= self.most {
            return;
        }
        let surplus = self.bytes.len() - self.most;
        let line = self.bytes.iter().skip(surplus).take(1000).position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.bytes.drain(..surplus + line);
    }

    /// The first bytes, without taking them.
    pub fn front(&self) -> &[u8] {
        self.bytes.as_slices().0
    }

    /// Takes the first `count` bytes.
    pub fn consume(&mut self, count: usize) {
        self.bytes.drain(..count.min(self.bytes.len()));
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_lines_go_first() {
        let mut backlog = Backlog::new(12);
        backlog.push(b"first\nsecond\n");
        backlog.push(b"third\n");
        let mut all = Vec::new();
        while !backlog.is_empty() {
            let front = backlog.front().to_vec();
            backlog.consume(front.len());
            all.extend(front);
        }
        assert_eq!(all, b"third\n");
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let mut backlog = Backlog::new(4);
        backlog.push(b"abcdefgh");
        assert_eq!(backlog.front(), b"efgh");
    }
}
