//! Fair spin locks whose rank is part of the type.
//!
//! The order in which locks may be taken is the order of [`rank`]: a CPU that holds a lock may only take locks of a
//! higher level (two of one level only through an explicit order, see [`Lock::lock_second`]). Host builds check it at
//! run time. No lock of the hypervisor is taken in an interrupt handler: handlers only set bits (see ARCHITECTURE.md).

use crate::atomic::{AtomicU32, Ordering, relax};
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

/// A lock's place in the order.
pub trait Rank {
    /// Locks are taken in ascending level.
    const LEVEL: u8;
    /// Shown when the order is violated.
    const NAME: &'static str;
}

/// The ranks, lowest (outermost) first: DESIGN.md section 7, "Locks".
pub mod rank {
    macro_rules! ranks {
        ($($(#[$doc:meta])* $name:ident = $level:literal;)*) => {$(
            $(#[$doc])*
            #[derive(Debug)]
            pub struct $name;
            impl super::Rank for $name {
                const LEVEL: u8 = $level;
                const NAME: &'static str = stringify!($name);
            }
        )*};
    }
    ranks! {
        /// Toolstack operations.
        Domctl = 1;
        /// A domain's life: creation, vcpus, teardown.
        DomainLife = 2;
        /// The table of domains.
        DomainTable = 3;
        /// A vcpu's saved state, held while it is set up or switched.
        VcpuState = 4;
        /// Guest-to-machine translation of a domain.
        P2m = 5;
        /// A domain's reservation and page lists.
        Pages = 6;
        /// A domain's grant table.
        GrantTable = 7;
        /// One entry (or the maptrack) of a grant table.
        GrantEntry = 8;
        /// A domain's event-channel table.
        EventTable = 9;
        /// One event channel or one FIFO queue.
        EventPort = 10;
        /// Interrupt routing.
        Irq = 11;
        /// A CPU's run queue.
        RunQueue = 12;
        /// A CPU's timers.
        Timers = 13;
        /// The frame allocator.
        Heap = 14;
        /// The console.
        Console = 15;
    }
}

/// A ticket lock: fair, one cache line to wait on.
pub struct Lock<R: Rank, T: ?Sized> {
    next: AtomicU32,
    serving: AtomicU32,
    rank: PhantomData<R>,
    /// Tells loom who uses the value.
    #[cfg(loom)]
    access: loom::cell::UnsafeCell<()>,
    value: UnsafeCell<T>,
}

// SAFETY: the lock hands out one `&mut T` at a time, which is all that `T: Send` has to allow.
unsafe impl<R: Rank, T: ?Sized + Send> Sync for Lock<R, T> {}
// SAFETY: moving the lock moves the value.
unsafe impl<R: Rank, T: ?Sized + Send> Send for Lock<R, T> {}

impl<R: Rank, T> Lock<R, T> {
    /// A free lock around `value`.
    #[cfg(loom)]
    pub fn new(value: T) -> Self {
        Lock {
            next: AtomicU32::new(0),
            serving: AtomicU32::new(0),
            rank: PhantomData,
            access: loom::cell::UnsafeCell::new(()),
            value: UnsafeCell::new(value),
        }
    }

    /// A free lock around `value`.
    #[cfg(not(loom))]
    pub const fn new(value: T) -> Self {
        Lock { next: AtomicU32::new(0), serving: AtomicU32::new(0), rank: PhantomData, value: UnsafeCell::new(value) }
    }
}

impl<R: Rank, T: Default> Default for Lock<R, T> {
    fn default() -> Self {
        Lock::new(T::default())
    }
}

impl<R: Rank, T: ?Sized> Lock<R, T> {
    /// Waits for its turn. The caller has interrupts on, so that it answers flush requests while it waits.
    pub fn lock(&self) -> Guard<'_, R, T> {
        order::take(R::LEVEL, R::NAME, false);
        self.acquire()
    }

    /// The same while another lock of the same rank is held; the caller vouches for an order between the two
    /// (lower domid first, then lower index).
    pub fn lock_second(&self) -> Guard<'_, R, T> {
        order::take(R::LEVEL, R::NAME, true);
        self.acquire()
    }

    fn acquire(&self) -> Guard<'_, R, T> {
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        let mut spins = 0u32;
        while self.serving.load(Ordering::Acquire) != ticket {
            relax(&mut spins);
        }
        self.guard()
    }

    fn guard(&self) -> Guard<'_, R, T> {
        Guard {
            lock: self,
            #[cfg(loom)]
            access: Some(self.access.get_mut()),
        }
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> Option<Guard<'_, R, T>> {
        // It is the turn that passes on what the last holder wrote.
        let serving = self.serving.load(Ordering::Acquire);
        self.next.compare_exchange(serving, serving.wrapping_add(1), Ordering::Acquire, Ordering::Relaxed).ok()?;
        order::take(R::LEVEL, R::NAME, true);
        Some(self.guard())
    }

    /// The value, without locking: the borrow proves that nobody else has it.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// The value behind the lock, for the panic path only.
    ///
    /// # Safety
    /// All other CPUs are stopped.
    pub unsafe fn steal(&self) -> *mut T {
        self.value.get()
    }
}

/// The right to use the value; gives the lock back when dropped.
#[must_use]
pub struct Guard<'a, R: Rank, T: ?Sized> {
    lock: &'a Lock<R, T>,
    #[cfg(loom)]
    access: Option<loom::cell::MutPtr<()>>,
}

impl<R: Rank, T: ?Sized> Deref for Guard<'_, R, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard is the only holder of the lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<R: Rank, T: ?Sized> DerefMut for Guard<'_, R, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard is the only holder of the lock, and it is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<R: Rank, T: ?Sized> Drop for Guard<'_, R, T> {
    fn drop(&mut self) {
        #[cfg(loom)]
        drop(self.access.take());
        let served = self.lock.serving.load(Ordering::Relaxed);
        self.lock.serving.store(served.wrapping_add(1), Ordering::Release);
        order::give(R::LEVEL);
    }
}

// loom's threads are not threads, and share what is a thread's own.
#[cfg(all(any(test, feature = "std"), not(loom)))]
mod order {
    use std::cell::RefCell;
    std::thread_local!(static HELD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });

    pub fn take(level: u8, name: &str, same: bool) {
        HELD.with_borrow_mut(|held| {
            if let Some(&top) = held.iter().max() {
                assert!(
                    top < level || (same && top == level),
                    "lock order: {name} ({level}) taken while {top} is held"
                );
            }
            #[cfg(feature = "std")]
            let _ours = crate::fail::pause();
            held.push(level);
        });
    }

    pub fn give(level: u8) {
        HELD.with_borrow_mut(|held| {
            if let Some(at) = held.iter().rposition(|&l| l == level) {
                held.remove(at);
            }
        });
    }
}

#[cfg(any(loom, not(any(test, feature = "std"))))]
mod order {
    #[inline(always)]
    pub fn take(_level: u8, _name: &str, _same: bool) {}
    #[inline(always)]
    pub fn give(_level: u8) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn two_threads_never_hold_it_together() {
        let lock = Arc::new(Lock::<rank::Heap, u64>::new(0));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let lock = lock.clone();
                std::thread::spawn(move || (0..1000).for_each(|_| *lock.lock() += 1))
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(*lock.lock(), 4000);
    }

    #[test]
    #[should_panic(expected = "lock order")]
    fn taking_a_lower_rank_inside_a_higher_one_is_caught() {
        let heap = Lock::<rank::Heap, ()>::new(());
        let life = Lock::<rank::DomainLife, ()>::new(());
        let _inner = heap.lock();
        let _outer = life.lock();
    }
}
