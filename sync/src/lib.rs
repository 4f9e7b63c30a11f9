//! Locks, pages shared with a guest, sequence counters.
#![no_std]
