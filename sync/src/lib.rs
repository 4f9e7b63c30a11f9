//! Locks with a rank in the type, pages shared with a guest, and shared ownership whose creation can fail.
//!
//! With `hv/`, this is the only room of the hypervisor that may hold unsafe code.
#![cfg_attr(not(any(test, feature = "std", loom)), no_std)]

extern crate alloc;

pub mod atomic;
#[cfg(feature = "std")]
pub mod fail;
mod lock;
mod once;
#[cfg(not(loom))]
mod page;
#[cfg(loom)]
#[path = "page_loom.rs"]
mod page;
mod shared;

pub use lock::{Guard, Lock, Rank, rank};
pub use once::OnceBox;
pub use page::SharedPage;
pub use shared::Shared;

/// Bytes of a frame.
pub const PAGE_SIZE: usize = 4096;
