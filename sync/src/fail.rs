//! An allocator that fails on demand, for host tests: code that must survive exhausted memory is shown every place where
//! memory can end.

use core::cell::Cell;
use std::alloc::{GlobalAlloc, Layout, System};

std::thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
    static PAUSED: Cell<u32> = const { Cell::new(0) };
    static FAILED: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, except that allocations of a thread fail after [`fail_after`]. For a test program's
/// `#[global_allocator]`.
pub struct FailingAlloc;

/// The calling thread's next `allocations` succeed, and none after them until this is called again; `u64::MAX`: all do.
/// Gives how many failed since it was called last.
pub fn fail_after(allocations: u64) -> u64 {
    LEFT.set(allocations);
    FAILED.replace(0)
}

/// While it lives, the thread's allocations succeed and are not counted: for the test's own part of the work.
#[must_use]
pub struct Pause(());

/// See [`Pause`].
pub fn pause() -> Pause {
    PAUSED.set(PAUSED.get() + 1);
    Pause(())
}

impl Drop for Pause {
    fn drop(&mut self) {
        PAUSED.set(PAUSED.get() - 1);
    }
}

/// Whether the allocation that is wanted now fails.
fn fails() -> bool {
    let left = LEFT.get();
    if left == u64::MAX || PAUSED.get() != 0 || std::thread::panicking() {
        return false;
    }
    if left == 0 {
        FAILED.set(FAILED.get() + 1);
        return true;
    }
    LEFT.set(left - 1);
    false
}

// SAFETY: everything is the system allocator's, or null, which says that there is no memory.
unsafe impl GlobalAlloc for FailingAlloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fails() {
            return core::ptr::null_mut();
        }
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if fails() {
            return core::ptr::null_mut();
        }
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(at, layout, size) }
    }
}
