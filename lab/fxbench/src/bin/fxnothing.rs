//! The cheapest program there is: it ends. `fxbench fork-exec` executes it.
//!
//! Built for release (where a panic aborts) it is three instructions without a library; in other
//! profiles an empty `main`, so that the workspace builds as usual.
#![cfg_attr(panic = "abort", no_std, no_main)]

#[cfg(panic = "abort")]
core::arch::global_asm!(
    ".global _start",
    "_start:",
    "mov eax, 60", // exit
    "xor edi, edi",
    "syscall",
);

#[cfg(panic = "abort")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(not(panic = "abort"))]
fn main() {}
