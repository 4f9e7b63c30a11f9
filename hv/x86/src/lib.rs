//! What the machine does: processors, traps, interrupt controllers, clocks, serial lines, boot information.
//!
//! With `sync/` and the wiring in `hv/ferroxen`, the only unsafe part of the hypervisor. It knows nothing of policy.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod acpi;
pub mod bootinfo;
pub mod efi;
pub mod instructions;
pub mod layout;
pub mod screen;
pub mod symbols;
pub mod trace;

#[cfg(target_os = "none")]
pub mod apic;
#[cfg(target_os = "none")]
pub mod clock;
#[cfg(target_os = "none")]
pub mod descriptors;
#[cfg(target_os = "none")]
pub mod entry;
#[cfg(target_os = "none")]
pub mod fpu;
#[cfg(target_os = "none")]
pub mod guest_copy;
#[cfg(target_os = "none")]
pub mod ioapic;
#[cfg(target_os = "none")]
pub mod paging;
#[cfg(target_os = "none")]
pub mod pci;
#[cfg(target_os = "none")]
pub mod serial;
#[cfg(target_os = "none")]
pub mod smp;

pub use entry_layout::{StackTop, VECTOR_SYSCALL};
mod entry_layout;
