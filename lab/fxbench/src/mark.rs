//! Where an operation is timed: a clock, and marks that lab/fxcount sees when it is loaded.

use std::arch::asm;
use std::ffi::CStr;

use crate::sys::monotonic_ns;

/// How often an operation is done.
#[derive(Clone, Copy)]
pub struct Run {
    /// Its name, for the marks; empty for a warm-up.
    pub name: &'static CStr,
    /// Operations.
    pub rounds: u32,
}

/// A clock that runs.
pub struct Running {
    start: u64,
}

impl Run {
    /// What follows counts.
    pub fn begin(self) -> Running {
        let start = monotonic_ns();
        let name = self.name.as_ptr();
        // SAFETY: the name's first byte is readable; reading it brings its page in, for the plugin.
        unsafe { name.read_volatile() };
        // SAFETY: a nop with an operand (see lab/fxcount/src/decode.rs): no register or memory changes.
        unsafe {
            asm!(
                ".byte 0x0f, 0x1f, 0x84, 0x00, 0x01, 0x42, 0x58, 0x46",
                in("rdi") name, in("rsi") u64::from(self.rounds),
                options(nostack, preserves_flags)
            );
        }
        Running { start }
    }
}

impl Running {
    /// The nanoseconds since it began.
    pub fn end(self) -> u64 {
        // SAFETY: a nop with an operand: no register or memory changes.
        unsafe { asm!(".byte 0x0f, 0x1f, 0x84, 0x00, 0x01, 0x45, 0x58, 0x46", options(nostack, preserves_flags)) };
        monotonic_ns() - self.start
    }
}
