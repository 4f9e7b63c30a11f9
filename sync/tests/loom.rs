//! Locks, shared ownership and places that are filled once, in every order in which threads can meet:
//! `RUSTFLAGS="--cfg loom" cargo test -p ferroxen-sync --test loom` (`./x test` does it).
#![cfg(loom)]

use ferroxen_sync::{Lock, OnceBox, Shared, rank};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

#[test]
fn the_lock_is_held_by_one_and_passes_on_what_was_written() {
    loom::model(|| {
        // The lock tells loom of every access to its value: two at once, or one that does not see the other, end the model.
        let lock = Arc::new(Lock::<rank::Heap, u32>::new(0));
        let other = lock.clone();
        let thread = thread::spawn(move || *other.lock() += 1);
        *lock.lock() += 1;
        thread.join().unwrap();
        assert_eq!(*lock.lock(), 2);
    });
}

#[test]
fn a_lock_that_is_tried_is_held_by_one() {
    loom::model(|| {
        let lock = Arc::new(Lock::<rank::Heap, u32>::new(0));
        let other = lock.clone();
        let thread = thread::spawn(move || other.try_lock().map(|mut value| *value += 1).is_some());
        let mine = lock.try_lock().map(|mut value| *value += 1).is_some();
        let theirs = thread.join().unwrap();
        assert!(mine || theirs, "one of two gets it");
        assert_eq!(*lock.lock(), u32::from(mine) + u32::from(theirs));
    });
}

/// Counts its drops, and is read by whoever drops it.
struct Value {
    drops: Arc<AtomicUsize>,
    written: loom::cell::UnsafeCell<u32>,
}

// SAFETY: what is unsafe is what the model checks: loom watches every access.
unsafe impl Sync for Value {}
// SAFETY: as above.
unsafe impl Send for Value {}

impl Drop for Value {
    fn drop(&mut self) {
        // An access that other threads' last uses do not happen before would end the model.
        self.written.with_mut(|_| ());
        self.drops.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn the_value_is_dropped_once_after_all_uses() {
    loom::model(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let value = Value { drops: drops.clone(), written: loom::cell::UnsafeCell::new(0) };
        let first = Shared::try_new(value).ok().unwrap();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let mine = first.clone();
                thread::spawn(move || {
                    mine.written.with(|_| ());
                    drop(mine);
                })
            })
            .collect();
        drop(first);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(drops.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn of_two_that_fill_a_place_one_wins_and_both_see_it() {
    loom::model(|| {
        let place = Arc::new(OnceBox::new());
        let other = place.clone();
        let thread = thread::spawn(move || {
            let won = other.set(1u32).is_ok();
            (won, other.get().copied())
        });
        let mine = (place.set(2u32).is_ok(), place.get().copied());
        let theirs = thread.join().unwrap();
        assert_ne!(mine.0, theirs.0);
        assert_eq!((mine.1, theirs.1), (Some(if mine.0 { 2 } else { 1 }), mine.1));
    });
}
