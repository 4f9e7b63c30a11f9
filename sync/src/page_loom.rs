//! [`SharedPage`] for loom: each word that is touched through an accessor is one of loom's atomics.
//!
//! A word comes into being when it is first touched, which must happen before threads meet at it. [`SharedPage::words`]
//! shows other memory: what works on whole frames is not modelled.

use crate::PAGE_SIZE;
use crate::atomic::{AtomicU64, Ordering};
use std::boxed::Box;
use std::sync::OnceLock;

const WORDS: usize = PAGE_SIZE / 8;

/// One frame of machine memory.
pub struct SharedPage {
    cells: Box<[OnceLock<AtomicU64>; WORDS]>,
    plain: Box<[core::sync::atomic::AtomicU64; WORDS]>,
}

/// The change of a part of a word.
fn part(word: u64, shift: u32, mask: u64, value: u64) -> u64 {
    word & !(mask << shift) | (value & mask) << shift
}

macro_rules! accessors {
    ($int:ty, $load:ident, $store:ident, $cas:ident, $or:ident, $and:ident) => {
        /// Reads once (acquire).
        pub fn $load(&self, offset: usize) -> $int {
            let (cell, shift) = self.cell(offset, size_of::<$int>());
            (cell.load(Ordering::Acquire) >> shift) as $int
        }
        /// Writes (release).
        pub fn $store(&self, offset: usize, value: $int) {
            let (cell, shift) = self.cell(offset, size_of::<$int>());
            let mask = u64::from(<$int>::MAX);
            let _ = cell.fetch_update(Ordering::Release, Ordering::Relaxed, |word| {
                Some(part(word, shift, mask, u64::from(value)))
            });
        }
        /// Compare and exchange: `Ok(old)` when it was `old`, else `Err(what it was)`.
        pub fn $cas(&self, offset: usize, old: $int, new: $int) -> Result<$int, $int> {
            let (cell, shift) = self.cell(offset, size_of::<$int>());
            let mask = u64::from(<$int>::MAX);
            cell.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |word| {
                ((word >> shift) as $int == old).then(|| part(word, shift, mask, u64::from(new)))
            })
            .map(|word| (word >> shift) as $int)
            .map_err(|word| (word >> shift) as $int)
        }
        /// Sets bits; gives the value from before.
        pub fn $or(&self, offset: usize, bits: $int) -> $int {
            let (cell, shift) = self.cell(offset, size_of::<$int>());
            (cell.fetch_or(u64::from(bits) << shift, Ordering::SeqCst) >> shift) as $int
        }
        /// Keeps only these bits; gives the value from before.
        pub fn $and(&self, offset: usize, bits: $int) -> $int {
            let (cell, shift) = self.cell(offset, size_of::<$int>());
            let gone = u64::from(!bits) << shift;
            (cell.fetch_and(!gone, Ordering::SeqCst) >> shift) as $int
        }
    };
}

impl SharedPage {
    /// A frame of zeroes.
    pub fn zeroed() -> Self {
        SharedPage {
            cells: Box::new(core::array::from_fn(|_| OnceLock::new())),
            plain: Box::new(core::array::from_fn(|_| core::sync::atomic::AtomicU64::new(0))),
        }
    }

    fn cell(&self, offset: usize, width: usize) -> (&AtomicU64, u32) {
        let at = offset & (PAGE_SIZE - 1) & !(width - 1);
        (self.cells[at / 8].get_or_init(|| AtomicU64::new(0)), (at % 8 * 8) as u32)
    }

    accessors!(u8, load_u8, store_u8, cas_u8, or_u8, and_u8);
    accessors!(u16, load_u16, store_u16, cas_u16, or_u16, and_u16);
    accessors!(u32, load_u32, store_u32, cas_u32, or_u32, and_u32);
    accessors!(u64, load_u64, store_u64, cas_u64, or_u64, and_u64);

    /// The frame as words that are not modelled.
    pub fn words(&self) -> &[core::sync::atomic::AtomicU64; WORDS] {
        &self.plain
    }

    /// Words of what [`SharedPage::is_blank`] looks at.
    pub const GROUP: usize = 16;

    /// Whether a group of words that are not modelled is all zeroes.
    pub fn is_blank(&self, group: usize) -> bool {
        let at = group * Self::GROUP % WORDS;
        self.plain[at..at + Self::GROUP].iter().all(|word| word.load(Ordering::Relaxed) == 0)
    }

    /// Copies bytes, each as a part of its word.
    pub fn copy_bytes(&self, dest: usize, from: &SharedPage, source: usize, len: usize) -> usize {
        let len = len.min(PAGE_SIZE.saturating_sub(dest)).min(PAGE_SIZE.saturating_sub(source));
        (0..len).for_each(|at| self.store_u8(dest + at, from.load_u8(source + at)));
        len
    }

    /// Writes zeroes over what is not modelled.
    pub fn zero(&self) {
        self.plain.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }

    /// Copies what is not modelled.
    pub fn copy_from(&self, other: &SharedPage) {
        for (to, from) in self.plain.iter().zip(&*other.plain) {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Copies out `buf.len()` bytes from `offset`, as far as the frame goes; gives how many.
    pub fn read(&self, offset: usize, buf: &mut [u8]) -> usize {
        let len = buf.len().min(PAGE_SIZE.saturating_sub(offset));
        buf.iter_mut().take(len).enumerate().for_each(|(at, byte)| *byte = self.load_u8(offset + at));
        len
    }

    /// Copies `buf` to `offset`, as far as the frame goes; gives how many bytes.
    pub fn write(&self, offset: usize, buf: &[u8]) -> usize {
        let len = buf.len().min(PAGE_SIZE.saturating_sub(offset));
        buf.iter().take(len).enumerate().for_each(|(at, &byte)| self.store_u8(offset + at, byte));
        len
    }
}
