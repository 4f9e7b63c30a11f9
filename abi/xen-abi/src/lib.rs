//! Xen's public ABI.
#![no_std]
