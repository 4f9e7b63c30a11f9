//! What travels between the parties of a Xen system: xenstore messages, the xenstore ring, the console ring.
//!
//! Nothing here does I/O. Decoders borrow from the bytes they are given, never allocate in proportion to a
//! number that the other side sent, and never panic. Ring pages are reached through [`ring::RingMemory`],
//! accessors and never references, because the other side writes to them at any time.
//!
//! Sources: `xen/io/xs_wire.h`, `xen/io/console.h`, and the public documents `xenstore.txt`,
//! `xenstore-ring.txt`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod console;
pub mod ring;
pub mod xenstore;
