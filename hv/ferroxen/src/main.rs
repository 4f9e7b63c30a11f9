//! The hypervisor.
fn main() {}
