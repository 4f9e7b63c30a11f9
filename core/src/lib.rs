//! What the hypervisor decides. No I/O, no statics, no unsafe code: the machine is a [`Platform`], which `hv/` and
//! `sim/` implement. One module for each concept of the field (DESIGN.md, section 1).
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
// Constants of the ABI keep their C names.
#![allow(non_upper_case_globals)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod access;
pub mod addr;
pub mod console;
pub mod cpu;
pub mod cpupolicy;
pub mod ctx;
pub mod domain;
pub mod domctl;
pub mod emulate;
pub mod evtchn;
pub mod frame;
pub mod grant;
pub mod hypercall;
pub mod hypfs;
pub mod memory;
pub mod options;
pub mod paging;
pub mod physdev;
pub mod platform;
pub mod platform_op;
pub mod pv;
pub mod sched;
pub mod settings;
pub mod sysctl;
#[cfg(test)]
pub mod testing;
pub mod time;
pub mod trace;

pub use ctx::Ctx;
pub use domain::{DomId, Domain, Vcpu};
pub use platform::Platform;
