//! Pointers that a guest passes: claims, not pointers.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A guest's claim that a `T`, or an array of them, is at this address of its own address space.
///
/// Nothing is known about the address until it was range-checked and copied. C: `XEN_GUEST_HANDLE(T)`.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(transparent)]
pub struct GuestPtr<T>(u64, PhantomData<T>);

impl<T> GuestPtr<T> {
    /// The null pointer, which many calls take for "nothing here".
    pub const NULL: Self = Self::new(0);

    /// A claim on `addr`.
    #[must_use]
    pub const fn new(addr: u64) -> Self {
        Self(addr, PhantomData)
    }

    /// The address as the guest gave it.
    #[must_use]
    pub const fn addr(self) -> u64 {
        self.0
    }

    /// Whether the address is 0.
    #[must_use]
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// The address of element `index`; `None` if it wraps around.
    #[must_use]
    pub const fn element(self, index: u64) -> Option<Self> {
        // `usize` is 64 bits wide at most.
        match index.checked_mul(size_of::<T>() as u64) {
            Some(bytes) => match self.0.checked_add(bytes) {
                Some(addr) => Some(Self::new(addr)),
                None => None,
            },
            None => None,
        }
    }

    /// The same address, claimed to hold something else.
    #[must_use]
    pub const fn cast<U>(self) -> GuestPtr<U> {
        GuestPtr::new(self.0)
    }
}

impl<T> Clone for GuestPtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for GuestPtr<T> {}

impl<T> PartialEq for GuestPtr<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T> Eq for GuestPtr<T> {}

impl<T> Hash for GuestPtr<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<T> Default for GuestPtr<T> {
    fn default() -> Self {
        Self::NULL
    }
}

impl<T> fmt::Debug for GuestPtr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GuestPtr({:#x})", self.0)
    }
}
