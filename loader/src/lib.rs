//! Kernel images.
#![no_std]
#![forbid(unsafe_code)]
