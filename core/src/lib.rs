//! What the hypervisor decides.
#![no_std]
#![forbid(unsafe_code)]
