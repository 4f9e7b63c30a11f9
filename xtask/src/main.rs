//! What `./x` does.
fn main() {}
