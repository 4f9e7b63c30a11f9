//! Xen's public ABI for x86, written once: hypercall numbers, structs, constants and error numbers.
#![no_std]
#![forbid(unsafe_code)]
#![allow(non_upper_case_globals, non_camel_case_types, non_snake_case)]

#[macro_use]
mod macros;

pub mod arch_x86;
pub mod arch_x86_64;
pub mod arch_x86_cpuid;
pub mod callback;
pub mod check;
pub mod elfnote;
pub mod errno;
pub mod event_channel;
pub mod features;
pub mod grant_table;
mod guest_ptr;
pub mod memory;
pub mod nmi;
pub mod physdev;
pub mod platform;
pub mod sched;
pub mod vcpu;
pub mod version;
pub mod xen;

pub use errno::Errno;
pub use guest_ptr::GuestPtr;
