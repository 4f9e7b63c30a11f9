//! The atomics of everything that several CPUs change together. With `--cfg loom` they are loom's, whose model checker
//! tries every order in which threads can meet (`sync/tests/loom.rs`, `core/tests/loom.rs`).

pub use core::sync::atomic::Ordering;
#[cfg(not(loom))]
pub use core::sync::atomic::{AtomicPtr, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, fence};
#[cfg(loom)]
pub use loom::sync::atomic::{AtomicPtr, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, fence};

/// A turn of a loop that waits for another CPU; `turns` counts them.
#[inline(always)]
pub fn relax(turns: &mut u32) {
    *turns = turns.wrapping_add(1);
    #[cfg(loom)]
    loom::thread::yield_now();
    #[cfg(not(loom))]
    core::hint::spin_loop();
    #[cfg(all(not(loom), any(test, feature = "std")))]
    if turns.is_multiple_of(64) {
        std::thread::yield_now();
    }
}
