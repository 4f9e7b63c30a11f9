//! Runtime of the test guests: a few thousand bytes between a test and a hypervisor.
//!
//! A guest is one static ELF file that starts as a 64-bit PV domain: as a domU, or as dom0 with no toolstack at all,
//! the hypervisor's only module. It is single-threaded until it starts another vcpu itself ([`smp`]). A test is a
//! function over a [`Report`]; [`guest!`] makes it the program:
//!
//! ```ignore
//! #![cfg_attr(target_os = "none", no_std, no_main)]
//! guest_rt::guest!("hello", run);
//! fn run(report: &mut guest_rt::Report) { report.check("one and one is two", 1 + 1 == 2); }
//! ```
//!
//! On a host it compiles to a program that says where to run it, so that the whole workspace builds everywhere.
#![no_std]

pub mod console;
pub mod events;
pub mod grant;
pub mod hypercall;
pub mod memory;
pub mod probe;
pub mod report;
pub mod smp;
pub mod start;
pub mod time;
pub mod trap;
pub mod user;
pub mod xenstore;

pub use hypercall::errno_name;
pub use report::{Outcome, Report};
pub use xen_abi as abi;

#[cfg(target_os = "none")]
core::arch::global_asm!(include_str!("entry.S"));

/// Makes a function `fn(&mut Report)` the guest's program. The name is that of its folder.
#[macro_export]
macro_rules! guest {
    ($name:literal, $run:path) => {
        #[cfg(target_os = "none")]
        #[unsafe(no_mangle)]
        extern "C" fn guest_run() -> ! {
            let mut report = $crate::Report::new($name);
            $run(&mut report);
            report.finish()
        }

        #[cfg(not(target_os = "none"))]
        fn main() {
            let _: fn(&mut $crate::Report) = $run;
            eprintln!(concat!($name, " is a Xen PV guest: build it for x86_64-unknown-none (guests/README.md)"));
            std::process::exit(2);
        }
    };
}

/// Prints a line on the guest's console.
#[macro_export]
macro_rules! println {
    ($($arg:tt)*) => { $crate::console::line(format_args!($($arg)*)) };
}
