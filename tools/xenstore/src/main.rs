//! The command xenstore.
fn main() {}
