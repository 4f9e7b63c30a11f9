//! Shared ownership like `Arc`, with a constructor that can fail instead of aborting.

use crate::atomic::{AtomicUsize, Ordering, fence};
use alloc::alloc::{Layout, alloc, dealloc};
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;

struct Inner<T> {
    count: AtomicUsize,
    value: T,
}

/// A counted reference; the value is dropped with the last one.
pub struct Shared<T> {
    inner: NonNull<Inner<T>>,
    owns: PhantomData<Inner<T>>,
}

// SAFETY: like `Arc`: references are shared between CPUs, and the last one drops the value.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Moves `value` to the heap, or gives it back when memory is exhausted.
    pub fn try_new(value: T) -> Result<Self, T> {
        // SAFETY: the layout is not zero-sized: it holds a counter.
        let raw = unsafe { alloc(Layout::new::<Inner<T>>()) }.cast::<Inner<T>>();
        let Some(inner) = NonNull::new(raw) else { return Err(value) };
        // SAFETY: freshly allocated with this layout.
        unsafe { inner.write(Inner { count: AtomicUsize::new(1), value }) };
        Ok(Shared { inner, owns: PhantomData })
    }

    /// Whether both refer to the same value.
    pub fn same(a: &Self, b: &Self) -> bool {
        a.inner == b.inner
    }

    /// How many references there are now (for checks; stale as soon as it is read).
    pub fn references(this: &Self) -> usize {
        this.inner().count.load(Ordering::Relaxed)
    }

    fn inner(&self) -> &Inner<T> {
        // SAFETY: the value lives as long as any reference.
        unsafe { self.inner.as_ref() }
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        let before = self.inner().count.fetch_add(1, Ordering::Relaxed);
        assert!(before < usize::MAX / 2, "reference count overflow");
        Shared { inner: self.inner, owns: PhantomData }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.inner().value
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        if self.inner().count.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            // SAFETY: that was the last reference; nobody else can reach the value any more.
            unsafe { self.inner.drop_in_place() };
            // SAFETY: allocated in `try_new` with this layout.
            unsafe { dealloc(self.inner.as_ptr().cast(), Layout::new::<Inner<T>>()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_dropped_with_the_last_reference() {
        struct Flag<'a>(&'a AtomicUsize);
        impl Drop for Flag<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let drops = AtomicUsize::new(0);
        let a = Shared::try_new(Flag(&drops)).ok().unwrap();
        let b = a.clone();
        assert!(Shared::same(&a, &b));
        drop(a);
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        drop(b);
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    }
}
