//! Memory: the frame allocator, and what domains ask of it (`memory_op`).

pub mod heap;

pub use heap::Heap;
