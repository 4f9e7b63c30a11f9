//! The XenStore daemon.
//!
//! [`state`] decides: a pure state machine over an immutable [`tree`]. Everything around it moves bytes and
//! keeps a journal of the inputs, so that a daemon that dies at any instruction loses nothing.

pub mod daemon;
pub mod durable;
pub mod engine;
pub mod journal;
pub mod keeper;
pub mod listen;
pub mod outqueue;
pub mod program;
pub mod pump;
pub mod rings;
pub mod snapshot;
pub mod state;
pub mod supervisor;
pub mod throttle;
pub mod tree;
pub mod xen;
