//! Xen's public ABI for x86, written once: hypercall numbers, structs, constants and error numbers.
//!
//! * One module for each public header, and [`ferroxen`] for what this hypervisor has beside them. Constants, fields and scalar types keep their C names; a struct is the
//!   CamelCase of its C tag (`struct mmuext_op` is [`xen::MmuextOp`]).
//! * Every struct is `repr(C)` without implicit padding and derives zerocopy's traits, so that
//!   `T::read_from_bytes` is sound on anything that a guest passes, and `as_bytes` leaks nothing. Padding is
//!   spelled out as `_padN`; `..Default::default()` fills it (and everything else) with zeroes.
//! * A union is its bytes: an integer where all members are scalars, `[u8; N]` otherwise. The struct of each
//!   member exists, and [`member`] takes it out and puts it in. Where the discriminant stands beside
//!   the union, a `decode` method makes an enum.
//! * A pointer that a guest passes is a [`GuestPtr`], which is only a claim.
//! * Trailing arrays of variable length are not part of a struct.
//!
//! The specification is the set of headers that Debian's `libxen-dev` 4.17 installs (MIT licence, from which some
//! one-line descriptions are taken); `tests/headers.rs` compares every constant and every field with it. What Xen 4.20 has
//! beside that is in [`v4_20`], compared with Debian 13's headers.
#![no_std]
#![forbid(unsafe_code)]
#![allow(non_upper_case_globals, non_camel_case_types, non_snake_case)]
// zerocopy's derive makes an identifier that looks like the field `l` of `xen_pmu_arch`.
#![allow(confusable_idents)]

#[macro_use]
mod macros;

pub mod arch_x86;
pub mod arch_x86_64;
pub mod arch_x86_cpufeatureset;
pub mod arch_x86_cpuid;
pub mod arch_x86_mca;
pub mod callback;
pub mod check;
pub mod compat32;
pub mod domctl;
pub mod elfnote;
pub mod errno;
pub mod event_channel;
pub mod features;
pub mod ferroxen;
pub mod grant_table;
mod guest_ptr;
pub mod hvm_op;
pub mod hvm_params;
pub mod hvm_start_info;
pub mod hypfs;
pub mod io;
pub mod kexec;
pub mod member;
pub mod memory;
pub mod nmi;
pub mod physdev;
pub mod platform;
pub mod pmu;
pub mod sched;
pub mod sysctl;
pub mod trace;
pub mod v4_20;
pub mod vcpu;
pub mod version;
pub mod xen;
pub mod xsm_flask_op;

pub use errno::Errno;
pub use guest_ptr::GuestPtr;

/// Builds the table of modules; a module that is not in it fails `tests/headers.rs`.
macro_rules! headers {
    ($( $first:ident $(:: $rest:ident)*: $($include:literal)+, )*) => {
        /// Every module with the headers that it mirrors.
        pub const HEADERS: &[check::Header] = &[$(
            check::Header {
                module: concat!(stringify!($first) $(, "::", stringify!($rest))*),
                includes: &[$($include),+],
                consts: $first $(:: $rest)* ::CONSTS,
                layouts: $first $(:: $rest)* ::LAYOUTS,
            },
        )*];
    };
}

headers! {
    arch_x86: "arch-x86/xen.h",
    arch_x86_64: "arch-x86/xen-x86_64.h",
    arch_x86_cpufeatureset: "arch-x86/cpufeatureset.h",
    arch_x86_cpuid: "arch-x86/cpuid.h",
    arch_x86_mca: "arch-x86/xen-mca.h",
    callback: "callback.h",
    compat32: "foreign/x86_32.h",
    domctl: "domctl.h",
    elfnote: "elfnote.h",
    errno: "errno.h",
    event_channel: "event_channel.h",
    features: "features.h",
    grant_table: "grant_table.h",
    hvm_op: "hvm/hvm_op.h",
    hvm_params: "hvm/params.h",
    hvm_start_info: "arch-x86/hvm/start_info.h",
    hypfs: "hypfs.h",
    io::blkif: "io/blkif.h",
    io::console: "io/console.h",
    io::netif: "io/netif.h",
    io::protocols: "io/protocols.h",
    io::ring: "io/ring.h",
    io::xenbus: "io/xenbus.h",
    io::xs_wire: "io/xs_wire.h",
    kexec: "kexec.h",
    memory: "memory.h",
    nmi: "nmi.h",
    physdev: "physdev.h",
    platform: "platform.h",
    pmu: "pmu.h" "arch-x86/pmu.h",
    sched: "sched.h",
    sysctl: "sysctl.h",
    trace: "trace.h",
    vcpu: "vcpu.h",
    version: "version.h",
    xen: "xen.h",
    xsm_flask_op: "xsm/flask_op.h",
}

/// What [`v4_20`] mirrors: headers of Xen 4.20, not of 4.17.
pub const HEADER_4_20: check::Header = check::Header {
    module: "v4_20",
    includes: &["domctl.h", "version.h"],
    consts: v4_20::CONSTS,
    layouts: v4_20::LAYOUTS,
};
