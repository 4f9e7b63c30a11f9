//! Random stories of guests that make any hypercall.
//!
//! [`run`] turns bytes into a story: three domains on four CPUs with hostile TLBs make hypercalls through the real
//! dispatch, alone and in multicalls: page tables, memory, grants, event channels, descriptor tables, and calls of random
//! number with random arguments. They write grant entries, event words and page tables; they are switched and destroyed.
//! Hypercalls are interrupted at any safe point and sometimes never continued; any copy and any allocation fails.
//!
//! After every step everything of [`World::check`] holds, and [`World::check_connections`]: grants in use are those that
//! somebody has mapped, nobody maps more than was granted to it, event channels are connected both ways. Where one call was
//! made alone, its outcome is compared with what a naive reader of the state before would have said.
//!
//! With `FERROXEN_STORY` in the environment each step is printed.

mod audit;
mod compose;
mod story;

pub use story::{run, run_quietly};

#[cfg(doc)]
use crate::paging::World;
