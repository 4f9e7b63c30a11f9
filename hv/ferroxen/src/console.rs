//! The hypervisor's console: serial port, screen and, when core is up, the console ring.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use ferroxen_core::options::LogLevel;
use ferroxen_sync::{Lock, rank};
use ferroxen_x86::bootinfo::Screen;
use ferroxen_x86::screen;
use ferroxen_x86::serial::Serial;

/// Where output goes.
pub struct Out {
    /// COM1, once it is set up.
    pub serial: Option<Serial>,
    /// The screen, as long as it is ours.
    pub screen: screen::Console,
}

impl Out {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(serial) = self.serial {
            serial.send_all(bytes);
        }
        self.screen.write(bytes);
    }
}

static OUT: Lock<rank::Console, Out> = Lock::new(Out { serial: None, screen: screen::Console::off() });
static THRESHOLD: AtomicU8 = AtomicU8::new(LogLevel::Debug as u8);
static PANICKING: AtomicBool = AtomicBool::new(false);

/// Sets the port and the threshold.
pub fn configure(serial: Option<Serial>, level: LogLevel) {
    OUT.lock().serial = serial;
    THRESHOLD.store(level as u8, Ordering::Relaxed);
}

/// From now on lines appear on this screen, too. False: it cannot be drawn on.
///
/// # Safety
/// Its memory is mapped at `at`.
pub unsafe fn start_screen(screen: Screen, at: u64) -> bool {
    // SAFETY: the caller's.
    unsafe { OUT.lock().screen.start(screen, at) }
}

/// The screen's memory is mapped here from now on.
///
/// # Safety
/// It is.
pub unsafe fn move_screen(at: u64) {
    // SAFETY: the caller's.
    unsafe { OUT.lock().screen.move_to(at) };
}

/// The screen is somebody else's from now on.
pub fn leave_screen() {
    OUT.lock().screen.stop();
}

/// Where the next character would appear on the screen: column and row.
pub fn cursor() -> (u16, u16) {
    OUT.lock().screen.cursor()
}

/// Sends guest output as it is.
pub fn write_bytes(bytes: &[u8]) {
    OUT.lock().write(bytes);
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
            unsafe { (*OUT.steal()).write(text.as_bytes()) };
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

/// Prints a text of one or more lines if its level passes the threshold.
pub fn log(level: LogLevel, text: fmt::Arguments<'_>) {
    if level as u8 <= THRESHOLD.load(Ordering::Relaxed) || PANICKING.load(Ordering::Relaxed) {
        ferroxen_core::console::lines(text, |line| {
            let _ = Line.write_str(line);
        });
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
