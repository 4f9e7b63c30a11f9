//! References as values.

use super::FrameType;
use crate::addr::Mfn;

/// A reference to a frame: while it lives, the frame stays its owner's. Give it back with
/// [`super::FrameTable::put`].
#[must_use = "a reference must be given back with FrameTable::put"]
#[derive(Debug)]
pub struct FrameRef {
    mfn: Mfn,
}

/// A use of a frame as a type. Give it back with `paging::put_type` (or [`super::FrameTable::put_type`]), before
/// the [`FrameRef`] that goes with it.
#[must_use = "a type reference must be given back"]
#[derive(Debug)]
pub struct TypeRef {
    mfn: Mfn,
    ty: FrameType,
}

impl FrameRef {
    /// The frame.
    pub fn mfn(&self) -> Mfn {
        self.mfn
    }
    /// Takes over a reference that was stored as a plain number: in a page-table entry, in a vcpu's state. The
    /// caller is the one who stored it there with [`FrameRef::store`] and forgets the number now.
    pub fn restore(mfn: Mfn) -> FrameRef {
        FrameRef { mfn }
    }
    /// Stores the reference as a plain number; whoever clears that number must [`FrameRef::restore`] it.
    pub fn store(self) -> Mfn {
        let mfn = self.mfn;
        core::mem::forget(self);
        mfn
    }
}

impl TypeRef {
    /// The frame.
    pub fn mfn(&self) -> Mfn {
        self.mfn
    }
    /// What it is used as.
    pub fn ty(&self) -> FrameType {
        self.ty
    }
    /// As [`FrameRef::restore`].
    pub fn restore(mfn: Mfn, ty: FrameType) -> TypeRef {
        TypeRef { mfn, ty }
    }
    /// As [`FrameRef::store`].
    pub fn store(self) -> Mfn {
        let mfn = self.mfn;
        core::mem::forget(self);
        mfn
    }
}

#[track_caller]
fn leaked(what: &str, mfn: Mfn) {
    #[cfg(all(debug_assertions, any(test, feature = "std")))]
    if !std::thread::panicking() {
        panic!("{what} of {mfn:?} was dropped, not given back");
    }
    #[cfg(not(all(debug_assertions, any(test, feature = "std"))))]
    let _ = (what, mfn);
}

impl Drop for FrameRef {
    fn drop(&mut self) {
        leaked("a reference", self.mfn);
    }
}

impl Drop for TypeRef {
    fn drop(&mut self) {
        leaked("a type reference", self.mfn);
    }
}
