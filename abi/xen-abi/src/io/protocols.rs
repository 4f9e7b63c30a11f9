//! `io/protocols.h`: names of the ring layouts, in a frontend's `protocol` node.

use crate::check::{Const, Layout};

/// Rings in the layout of 32-bit x86.
pub const XEN_IO_PROTO_ABI_X86_32: &str = "x86_32-abi";
/// Rings in the layout of 64-bit x86.
pub const XEN_IO_PROTO_ABI_X86_64: &str = "x86_64-abi";
/// What a missing node means on this machine.
pub const XEN_IO_PROTO_ABI_NATIVE: &str = XEN_IO_PROTO_ABI_X86_64;

/// What the header check compares: 0 where the strings are equal.
pub const CONSTS: &[Const] = &[
    Const { c: r#"__builtin_strcmp(XEN_IO_PROTO_ABI_X86_32, "x86_32-abi")"#, value: 0 },
    Const { c: r#"__builtin_strcmp(XEN_IO_PROTO_ABI_X86_64, "x86_64-abi")"#, value: 0 },
    Const { c: r#"__builtin_strcmp(XEN_IO_PROTO_ABI_NATIVE, "x86_64-abi")"#, value: 0 },
];

/// No structs.
pub const LAYOUTS: &[Layout] = &[];
