//! A TCG plugin for QEMU: counts what a machine executes between two marks of a guest program.
//!
//! A mark is a `nop` that no compiler writes (see [`decode::MARK_BEGIN`]), so the same program runs on the bare
//! kernel, on Xen and on Ferroxen, with and without the plugin. Everything is told apart by address only: user
//! half, the hypervisor's sixteen slots, the kernel above them. So the three systems are counted in the same way.
//!
//! `-plugin file=libfxcount.so,out=FILE[,addresses=on]` writes one line of JSON for each pair of marks.

mod decode;
mod report;

#[cfg(not(test))]
mod api;
#[cfg(not(test))]
mod plugin;
