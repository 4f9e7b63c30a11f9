//! A place that is filled once and then read without a lock.

use crate::atomic::{AtomicPtr, Ordering};
use alloc::alloc::{Layout, alloc, dealloc};
use core::marker::PhantomData;
use core::ptr;

/// Empty at first, filled at most once, and never changed again: what it holds lives as long as the place.
pub struct OnceBox<T> {
    value: AtomicPtr<T>,
    owns: PhantomData<T>,
}

// SAFETY: it gives out `&T` to any CPU, and the value moves between CPUs: what `T: Send + Sync` allows.
unsafe impl<T: Send + Sync> Sync for OnceBox<T> {}
// SAFETY: it owns its value.
unsafe impl<T: Send> Send for OnceBox<T> {}

impl<T> OnceBox<T> {
    /// An empty place.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        const { assert!(size_of::<T>() != 0, "a zero-sized value has no allocation") };
        OnceBox { value: AtomicPtr::new(ptr::null_mut()), owns: PhantomData }
    }

    /// An empty place.
    #[cfg(loom)]
    pub fn new() -> Self {
        OnceBox { value: AtomicPtr::new(ptr::null_mut()), owns: PhantomData }
    }

    /// The value, if it was filled.
    pub fn get(&self) -> Option<&T> {
        let value = self.value.load(Ordering::Acquire);
        // SAFETY: null, or a value that `set` published and nobody changes until the place is dropped.
        unsafe { value.as_ref() }
    }

    /// Fills it; gives the value back when it was full already or memory is exhausted.
    pub fn set(&self, value: T) -> Result<&T, T> {
        // SAFETY: the layout is not zero-sized (checked in `new`).
        let raw = unsafe { alloc(Layout::new::<T>()) }.cast::<T>();
        if raw.is_null() {
            return Err(value);
        }
        // SAFETY: freshly allocated with this layout.
        unsafe { raw.write(value) };
        match self.value.compare_exchange(ptr::null_mut(), raw, Ordering::Release, Ordering::Relaxed) {
            // SAFETY: published now, and never changed until the place is dropped.
            Ok(_) => Ok(unsafe { &*raw }),
            Err(_) => {
                // SAFETY: nobody else has seen the allocation; the value moves out of it.
                let value = unsafe { raw.read() };
                // SAFETY: allocated above with this layout, and empty now.
                unsafe { dealloc(raw.cast(), Layout::new::<T>()) };
                Err(value)
            }
        }
    }
}

impl<T> Default for OnceBox<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for OnceBox<T> {
    fn drop(&mut self) {
        let raw = self.value.load(Ordering::Acquire);
        if raw.is_null() {
            return;
        }
        // SAFETY: the place is being dropped, so nobody borrows the value.
        unsafe { raw.drop_in_place() };
        // SAFETY: allocated in `set` with this layout.
        unsafe { dealloc(raw.cast(), Layout::new::<T>()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn it_is_filled_once_and_dropped_once() {
        let witness = Arc::new(());
        let place = OnceBox::new();
        assert!(place.get().is_none());
        assert!(place.set(witness.clone()).is_ok());
        assert!(place.set(witness.clone()).is_err());
        assert!(place.get().is_some());
        assert_eq!(Arc::strong_count(&witness), 2);
        drop(place);
        assert_eq!(Arc::strong_count(&witness), 1);
    }

    #[test]
    fn of_many_that_fill_it_one_wins() {
        let place = Arc::new(OnceBox::new());
        let threads: Vec<_> = (0..4u64)
            .map(|n| {
                let place = place.clone();
                std::thread::spawn(move || place.set(n).is_ok())
            })
            .collect();
        let won = threads.into_iter().map(|t| t.join().unwrap()).filter(|&won| won).count();
        assert_eq!(won, 1);
    }
}
