//! The hypervisor's console: serial port and, when core is up, the console ring.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use ferroxen_core::options::LogLevel;
use ferroxen_sync::{Lock, rank};
use ferroxen_x86::serial::Serial;

/// Where output goes.
pub struct Out {
    /// COM1, once it is set up.
    pub serial: Option<Serial>,
}

static OUT: Lock<rank::Console, Out> = Lock::new(Out { serial: None });
static THRESHOLD: AtomicU8 = AtomicU8::new(LogLevel::Debug as u8);
static PANICKING: AtomicBool = AtomicBool::new(false);

/// Sets the port and the threshold.
pub fn configure(serial: Option<Serial>, level: LogLevel) {
    OUT.lock().serial = serial;
    THRESHOLD.store(level as u8, Ordering::Relaxed);
}

/// Sends guest output as it is.
pub fn write_bytes(bytes: &[u8]) {
    let out = OUT.lock();
    if let Some(serial) = out.serial {
        serial.send_all(bytes);
    }
}

/// A received byte.
pub fn receive() -> Option<u8> {
    OUT.try_lock()?.serial?.receive()
}

struct Line;
impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if PANICKING.load(Ordering::Relaxed) {
            // SAFETY: the other CPUs are being stopped; a torn line is better than none.
            if let Some(serial) = unsafe { (*OUT.steal()).serial } {
                serial.send_all(text.as_bytes());
            }
        } else {
            write_bytes(text.as_bytes());
        }
        crate::machine::to_ring(text.as_bytes());
        Ok(())
    }
}

/// From now on nobody waits for the console's lock.
pub fn panicking() -> bool {
    PANICKING.swap(true, Ordering::SeqCst)
}

/// Prints a line if its level passes the threshold.
pub fn log(level: LogLevel, text: fmt::Arguments<'_>) {
    if level as u8 <= THRESHOLD.load(Ordering::Relaxed) || PANICKING.load(Ordering::Relaxed) {
        let mut buffer = Buffer { bytes: [0; 512], len: 0 };
        let _ = writeln!(buffer, "(XEN) {text}");
        let _ = Line.write_str(core::str::from_utf8(&buffer.bytes[..buffer.len]).unwrap_or("(XEN) ?\n"));
    }
}

/// Collects a line, so that lines of several CPUs do not mix.
struct Buffer {
    bytes: [u8; 512],
    len: usize,
}
impl Write for Buffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut end = text.len().min(self.bytes.len() - self.len);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.bytes[self.len..self.len + end].copy_from_slice(&text.as_bytes()[..end]);
        self.len += end;
        if self.len == self.bytes.len() {
            self.bytes[self.len - 1] = b'\n';
        }
        Ok(())
    }
}

/// Logs an error.
#[macro_export]
macro_rules! error { ($($t:tt)*) => { $crate::console::log(ferroxen_core::options::LogLevel::Error, format_args!($($t)*)) } }
/// Logs a warning.
#[macro_export]
macro_rules! warning { ($($t:tt)*) => { $crate::console::log(ferroxen_core::options::LogLevel::Warning, format_args!($($t)*)) } }
/// Logs information.
#[macro_export]
macro_rules! info { ($($t:tt)*) => { $crate::console::log(ferroxen_core::options::LogLevel::Info, format_args!($($t)*)) } }
/// Logs for developers.
#[macro_export]
macro_rules! debug { ($($t:tt)*) => { $crate::console::log(ferroxen_core::options::LogLevel::Debug, format_args!($($t)*)) } }
