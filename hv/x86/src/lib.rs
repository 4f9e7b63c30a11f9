//! What the machine does.
#![no_std]
