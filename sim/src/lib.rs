//! core/ on simulated hardware.
//!
//! * [`platform`]: the machine: frames, and for every CPU a [`tlb`] that is as hostile as the architecture allows.
//! * [`control`]: the hypervisor as tools see it, for tests of their domains' lives.
//! * [`hypercalls`]: random stories of guests that make any hypercall, through the real dispatch.
//! * [`paging`]: random stories of guests that change their page tables, with every invariant checked after every step.
#![forbid(unsafe_code)]

pub mod control;
pub mod hypercalls;
pub mod paging;
pub mod platform;
mod script;
pub mod tlb;
