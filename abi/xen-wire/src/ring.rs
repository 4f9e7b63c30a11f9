//! A ring of bytes with two free-running 32-bit indices, as the xenstore and console rings have two of each.
//!
//! The other side owns one index of each pair and may write anything into either: an index pair is judged
//! once, from one load of each, and nothing of it is read a second time.

use core::fmt;

/// Memory shared with another domain, reached by offset from the start of the ring page.
///
/// Loads of an index are acquire, stores of an index are release. Implementations bound-check: an offset
/// outside the page is a bug of the caller, and must not reach memory outside the page.
pub trait RingMemory {
    /// Loads the little-endian word at `offset` (bytes, a multiple of 4), with acquire ordering.
    fn load_u32(&self, offset: usize) -> u32;
    /// Stores a word at `offset` (bytes, a multiple of 4), with release ordering.
    fn store_u32(&self, offset: usize, value: u32);
    /// Copies bytes out of the page.
    fn read(&self, offset: usize, into: &mut [u8]);
    /// Copies bytes into the page.
    fn write(&self, offset: usize, from: &[u8]);
}

impl<M: RingMemory + ?Sized> RingMemory for &M {
    fn load_u32(&self, offset: usize) -> u32 {
        (**self).load_u32(offset)
    }
    fn store_u32(&self, offset: usize, value: u32) {
        (**self).store_u32(offset, value);
    }
    fn read(&self, offset: usize, into: &mut [u8]) {
        (**self).read(offset, into);
    }
    fn write(&self, offset: usize, from: &[u8]) {
        (**self).write(offset, from);
    }
}

/// Where one direction of a ring lies in its page. Offsets and sizes in bytes; `size` is a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingLayout {
    /// Start of the data.
    pub data: usize,
    /// Bytes of data.
    pub size: u32,
    /// Offset of the consumer index.
    pub cons: usize,
    /// Offset of the producer index.
    pub prod: usize,
}

/// The producer is further ahead of the consumer than the ring is long: the other side is broken or hostile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadIndices {
    /// The consumer index that was loaded.
    pub cons: u32,
    /// The producer index that was loaded.
    pub prod: u32,
}

impl fmt::Display for BadIndices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "inconsistent ring indices: consumer {}, producer {}", self.cons, self.prod)
    }
}

impl core::error::Error for BadIndices {}

/// One consistent look at a pair of indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Indices {
    /// Free-running position of the next byte to consume.
    pub cons: u32,
    /// Free-running position of the next byte to produce.
    pub prod: u32,
}

impl Indices {
    /// Bytes waiting to be consumed, if the pair is possible in a ring of `size` bytes.
    pub fn used(self, size: u32) -> Result<u32, BadIndices> {
        let used = self.prod.wrapping_sub(self.cons);
        if used > size { Err(BadIndices { cons: self.cons, prod: self.prod }) } else { Ok(used) }
    }
}

impl RingLayout {
    /// Loads both indices once.
    pub fn indices<M: RingMemory>(&self, mem: &M) -> Indices {
        Indices { cons: mem.load_u32(self.cons), prod: mem.load_u32(self.prod) }
    }

    /// Bytes that can be consumed now.
    pub fn readable<M: RingMemory>(&self, mem: &M) -> Result<u32, BadIndices> {
        self.indices(mem).used(self.size)
    }

    /// Bytes that can be produced now.
    pub fn writable<M: RingMemory>(&self, mem: &M) -> Result<u32, BadIndices> {
        self.indices(mem).used(self.size).map(|used| self.size - used)
    }

    /// Copies what is waiting, at most `into.len()` bytes, without consuming it. Returns the number of bytes
    /// copied and the consumer index that [`RingLayout::consume_to`] must publish to consume exactly them.
    pub fn peek<M: RingMemory>(&self, mem: &M, into: &mut [u8]) -> Result<(usize, u32), BadIndices> {
        let ix = self.indices(mem);
        let used = ix.used(self.size)?;
        let n = u32::try_from(into.len()).unwrap_or(u32::MAX).min(used);
        for (offset, part) in self.pieces(ix.cons, n) {
            let (from, to) = part;
            if let Some(dst) = into.get_mut(from..to) {
                mem.read(offset, dst);
            }
        }
        Ok((n as usize, ix.cons.wrapping_add(n)))
    }

    /// Publishes the consumer index: the bytes before it may be overwritten by the other side.
    pub fn consume_to<M: RingMemory>(&self, mem: &M, cons: u32) {
        mem.store_u32(self.cons, cons);
    }

    /// Copies as much of `from` as fits behind the producer index, without publishing it. Returns the number
    /// of bytes and the producer index for [`RingLayout::produce_to`].
    pub fn fill<M: RingMemory>(&self, mem: &M, from: &[u8]) -> Result<(usize, u32), BadIndices> {
        let ix = self.indices(mem);
        let room = self.size - ix.used(self.size)?;
        let n = u32::try_from(from.len()).unwrap_or(u32::MAX).min(room);
        for (offset, part) in self.pieces(ix.prod, n) {
            if let Some(src) = from.get(part.0..part.1) {
                mem.write(offset, src);
            }
        }
        Ok((n as usize, ix.prod.wrapping_add(n)))
    }

    /// Publishes the producer index: the other side may consume the bytes before it.
    pub fn produce_to<M: RingMemory>(&self, mem: &M, prod: u32) {
        mem.store_u32(self.prod, prod);
    }

    /// The one or two contiguous pieces that `n` bytes from free-running position `at` occupy:
    /// offset in the page, and the range of the caller's buffer.
    fn pieces(&self, at: u32, n: u32) -> impl Iterator<Item = (usize, (usize, usize))> + use<> {
        let start = at & (self.size - 1);
        let first = n.min(self.size - start);
        let data = self.data;
        [(data + start as usize, (0, first as usize)), (data, (first as usize, n as usize))]
            .into_iter()
            .filter(|(_, (from, to))| from < to)
    }
}
