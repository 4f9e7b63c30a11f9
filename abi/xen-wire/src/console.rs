//! The console ring of `xen/io/console.h` (`struct xencons_interface`).

use crate::ring::RingLayout;

/// Bytes of the ring towards the guest (`in`).
pub const IN_SIZE: u32 = 1024;
/// Bytes of the ring from the guest (`out`).
pub const OUT_SIZE: u32 = 2048;

/// Input: the console daemon produces, the guest consumes.
pub const IN: RingLayout = RingLayout { data: 0, size: IN_SIZE, cons: 3072, prod: 3076 };
/// Output: the guest produces, the console daemon consumes.
pub const OUT: RingLayout = RingLayout { data: 1024, size: OUT_SIZE, cons: 3080, prod: 3084 };
/// Bytes of `struct xencons_interface`.
pub const INTERFACE_SIZE: usize = 3088;
