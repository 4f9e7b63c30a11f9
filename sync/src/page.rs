//! Memory that a guest can change under us: accessors, never references to its bytes.

use crate::PAGE_SIZE;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

/// One frame of machine memory. Every access is a single atomic one of the named width, so that a value is read once
/// and then judged; offsets are in bytes, wrap within the frame and are aligned down to the width, so that no offset,
/// however hostile, reaches outside.
#[repr(C, align(4096))]
pub struct SharedPage(UnsafeCell<[u8; PAGE_SIZE]>);

// SAFETY: all accesses through `&SharedPage` are atomic.
unsafe impl Sync for SharedPage {}
// SAFETY: it owns plain bytes.
unsafe impl Send for SharedPage {}

macro_rules! accessors {
    ($atomic:ident, $int:ty, $cell:ident, $load:ident, $store:ident, $cas:ident, $or:ident, $and:ident) => {
        #[inline(always)]
        fn $cell(&self, offset: usize) -> &$atomic {
            const WIDTH: usize = size_of::<$int>();
            let at = offset & (PAGE_SIZE - 1) & !(WIDTH - 1);
            // SAFETY: `at` is inside the frame and aligned, and all accesses to these bytes are atomic.
            unsafe { $atomic::from_ptr(self.0.get().cast::<u8>().add(at).cast::<$int>()) }
        }
        /// Reads once (acquire).
        #[inline(always)]
        pub fn $load(&self, offset: usize) -> $int {
            self.$cell(offset).load(Ordering::Acquire)
        }
        /// Writes (release).
        #[inline(always)]
        pub fn $store(&self, offset: usize, value: $int) {
            self.$cell(offset).store(value, Ordering::Release);
        }
        /// Compare and exchange: `Ok(old)` when it was `old`, else `Err(what it was)`.
        #[inline(always)]
        pub fn $cas(&self, offset: usize, old: $int, new: $int) -> Result<$int, $int> {
            self.$cell(offset).compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst)
        }
        /// Sets bits; gives the value from before.
        #[inline(always)]
        pub fn $or(&self, offset: usize, bits: $int) -> $int {
            self.$cell(offset).fetch_or(bits, Ordering::SeqCst)
        }
        /// Keeps only these bits; gives the value from before.
        #[inline(always)]
        pub fn $and(&self, offset: usize, bits: $int) -> $int {
            self.$cell(offset).fetch_and(bits, Ordering::SeqCst)
        }
    };
}

impl SharedPage {
    /// A frame of zeroes (host tests and simulation).
    pub const fn zeroed() -> Self {
        SharedPage(UnsafeCell::new([0; PAGE_SIZE]))
    }

    accessors!(AtomicU8, u8, cell8, load_u8, store_u8, cas_u8, or_u8, and_u8);
    accessors!(AtomicU16, u16, cell16, load_u16, store_u16, cas_u16, or_u16, and_u16);
    accessors!(AtomicU32, u32, cell32, load_u32, store_u32, cas_u32, or_u32, and_u32);
    accessors!(AtomicU64, u64, cell64, load_u64, store_u64, cas_u64, or_u64, and_u64);

    /// The frame as 512 page-table entries or words.
    #[inline(always)]
    pub fn words(&self) -> &[AtomicU64; PAGE_SIZE / 8] {
        // SAFETY: same size and alignment; all accesses to these bytes are atomic.
        unsafe { &*self.0.get().cast::<[AtomicU64; PAGE_SIZE / 8]>() }
    }

    /// Words of what [`SharedPage::is_blank`] looks at.
    pub const GROUP: usize = 16;

    /// Whether group `group` (words `16 * group` to `16 * group + 15`; wraps within the frame) is all zeroes. Each word
    /// is read once.
    #[inline(always)]
    pub fn is_blank(&self, group: usize) -> bool {
        let at = group * Self::GROUP % (PAGE_SIZE / 8);
        #[cfg(target_arch = "x86_64")]
        {
            let any: u64;
            // SAFETY: 128 bytes inside the frame, read by aligned (so atomic) loads; the compiler would not join an
            // atomic load with the OR.
            unsafe {
                core::arch::asm!(
                    "mov {any}, [{p}]", "or {any}, [{p} + 8]", "or {any}, [{p} + 16]", "or {any}, [{p} + 24]",
                    "or {any}, [{p} + 32]", "or {any}, [{p} + 40]", "or {any}, [{p} + 48]", "or {any}, [{p} + 56]",
                    "or {any}, [{p} + 64]", "or {any}, [{p} + 72]", "or {any}, [{p} + 80]", "or {any}, [{p} + 88]",
                    "or {any}, [{p} + 96]", "or {any}, [{p} + 104]", "or {any}, [{p} + 112]", "or {any}, [{p} + 120]",
                    p = in(reg) self.0.get().cast::<u64>().wrapping_add(at), any = out(reg) any,
                    options(readonly, nostack)
                );
            }
            any == 0
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            self.words()[at..at + Self::GROUP].iter().all(|word| word.load(Ordering::Relaxed) == 0)
        }
    }

    /// Writes zeroes over the whole frame.
    pub fn zero(&self) {
        for word in self.words() {
            word.store(0, Ordering::Relaxed);
        }
    }

    /// Copies another frame's contents here, word by word.
    pub fn copy_from(&self, other: &SharedPage) {
        for (to, from) in self.words().iter().zip(other.words()) {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Copies `len` bytes of another frame, from its offset `source` on, to offset `dest` of this one, as far as both
    /// frames go; gives how many. Where the two overlap, what is read may be what was written.
    pub fn copy_bytes(&self, dest: usize, from: &SharedPage, source: usize, len: usize) -> usize {
        let len = len.min(PAGE_SIZE.saturating_sub(dest)).min(PAGE_SIZE.saturating_sub(source));
        if len == 0 {
            return 0;
        }
        #[cfg(target_arch = "x86_64")]
        {
            let to = self.0.get().cast::<u8>().wrapping_add(dest);
            let from = from.0.get().cast::<u8>().wrapping_add(source);
            // SAFETY: `len` bytes inside both frames (above); the instructions read and write them whatever others do to
            // them at the same time, and the direction flag is clear in Rust code.
            unsafe {
                core::arch::asm!(
                    "rep movsq", "mov ecx, {rest:e}", "rep movsb",
                    rest = in(reg) len % 8, inout("rcx") len / 8 => _, inout("rdi") to => _, inout("rsi") from => _,
                    options(nostack, preserves_flags)
                );
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        for at in 0..len {
            self.store_u8(dest + at, from.load_u8(source + at));
        }
        len
    }

    /// Copies out `buf.len()` bytes from `offset`, as far as the frame goes; gives how many.
    pub fn read(&self, offset: usize, buf: &mut [u8]) -> usize {
        let len = buf.len().min(PAGE_SIZE.saturating_sub(offset));
        let mut at = 0;
        while at < len {
            let pos = offset + at;
            if pos.is_multiple_of(8) && len - at >= 8 {
                buf[at..at + 8].copy_from_slice(&self.load_u64(pos).to_le_bytes());
                at += 8;
            } else {
                buf[at] = self.load_u8(pos);
                at += 1;
            }
        }
        len
    }

    /// Copies `buf` to `offset`, as far as the frame goes; gives how many bytes.
    pub fn write(&self, offset: usize, buf: &[u8]) -> usize {
        let len = buf.len().min(PAGE_SIZE.saturating_sub(offset));
        let mut at = 0;
        while at < len {
            let pos = offset + at;
            if pos.is_multiple_of(8) && len - at >= 8 {
                let mut word = [0; 8];
                word.copy_from_slice(&buf[at..at + 8]);
                self.store_u64(pos, u64::from_le_bytes(word));
                at += 8;
            } else {
                self.store_u8(pos, buf[at]);
                at += 1;
            }
        }
        len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_copied_as_far_as_both_frames_go() {
        let from = SharedPage::zeroed();
        (0..PAGE_SIZE).for_each(|at| from.store_u8(at, (at % 251) as u8 + 1));
        for (dest, source, len, copied) in
            [(0, 0, 4096, 4096), (3, 8, 29, 29), (4090, 0, 100, 6), (0, 4095, 100, 1), (4096, 0, 8, 0), (5, 5, 0, 0)]
        {
            let to = SharedPage::zeroed();
            assert_eq!(to.copy_bytes(dest, &from, source, len), copied);
            for at in 0..PAGE_SIZE {
                let inside = (dest..dest + copied).contains(&at);
                let wanted = if inside { from.load_u8(source + at - dest) } else { 0 };
                assert_eq!(to.load_u8(at), wanted, "{dest} {source} {len}: {at}");
            }
        }
    }

    #[test]
    fn a_group_is_blank_until_one_of_its_own_words_is_not() {
        for word in 0..PAGE_SIZE / 8 {
            let page = SharedPage::zeroed();
            page.store_u64(word * 8, 1 << (word % 64));
            for group in 0..PAGE_SIZE / 8 / SharedPage::GROUP {
                assert_eq!(page.is_blank(group), group != word / SharedPage::GROUP, "{word} {group}");
            }
            assert!(!page.is_blank(word / SharedPage::GROUP + 32));
        }
    }

    #[test]
    fn no_offset_reaches_outside_the_frame() {
        let page = SharedPage::zeroed();
        page.store_u64(usize::MAX, 1);
        assert_eq!(page.load_u64(4088), 1);
        page.store_u32(4097, 7);
        assert_eq!(page.load_u32(0), 7);
    }

    #[test]
    fn read_and_write_stop_at_the_end() {
        let page = SharedPage::zeroed();
        assert_eq!(page.write(4090, &[1; 10]), 6);
        let mut buf = [0; 10];
        assert_eq!(page.read(4089, &mut buf), 7);
        assert_eq!(buf, [0, 1, 1, 1, 1, 1, 1, 0, 0, 0]);
        assert_eq!(page.read(5000, &mut buf), 0);
    }
}
