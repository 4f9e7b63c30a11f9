//! The hypervisor: boot and wiring. Decisions are `ferroxen_core`'s, hardware is `ferroxen_x86`'s.
#![cfg_attr(target_os = "none", no_std, no_main)]
// Constants of the ABI keep their C names (xen-abi), also in patterns.
#![allow(non_upper_case_globals)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod boot;
#[cfg(target_os = "none")]
mod bounce;
#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
mod devices;
#[cfg(target_os = "none")]
mod dom0;
#[cfg(target_os = "none")]
mod efi;
#[cfg(target_os = "none")]
mod flush;
#[cfg(target_os = "none")]
mod heap;
#[cfg(target_os = "none")]
mod hypercall;
#[cfg(target_os = "none")]
mod irq;
#[cfg(target_os = "none")]
mod keys;
#[cfg(target_os = "none")]
mod machine;
#[cfg(target_os = "none")]
mod panic;
#[cfg(target_os = "none")]
mod percpu;
#[cfg(target_os = "none")]
mod platform;
#[cfg(target_os = "none")]
mod privileged;
#[cfg(target_os = "none")]
mod protection;
#[cfg(target_os = "none")]
mod switch;
#[cfg(target_os = "none")]
mod system;
#[cfg(target_os = "none")]
mod timer;
#[cfg(target_os = "none")]
mod traps;
#[cfg(target_os = "none")]
mod work;

/// Host builds of the workspace compile this crate too; the hypervisor itself runs on the bare machine only.
#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("ferroxen is a bare-metal program: build it with `./x build`, start it with `./x run`");
    std::process::exit(2);
}
