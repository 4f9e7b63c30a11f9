//! Locks with a rank in the type, pages shared with a guest, and shared ownership whose creation can fail.
//!
//! With `hv/`, this is the only room of the hypervisor that may hold unsafe code.
#![cfg_attr(not(any(test, feature = "std")), no_std)]

extern crate alloc;

#[cfg(feature = "std")]
pub mod fail;
mod lock;
mod once;
mod page;
mod shared;

pub use lock::{Guard, Lock, Rank, rank};
pub use once::OnceBox;
pub use page::{PAGE_SIZE, SharedPage};
pub use shared::Shared;
