//! The hypervisor's console: serial port, screen and, when core is up, the console ring.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};
use ferroxen_core::Platform;
use ferroxen_core::options::LogLevel;
use ferroxen_core::settings::{Threshold, Verdict};
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
/// Before there is a hypervisor, whose settings have it.
static EARLY: Threshold = Threshold::new(LogLevel::Debug, LogLevel::Debug);
static PANICKING: AtomicBool = AtomicBool::new(false);

/// Sets the port and the threshold at boot.
pub fn configure(serial: Option<Serial>, levels: (LogLevel, LogLevel)) {
    OUT.lock().serial = serial;
    EARLY.set(levels);
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

fn print(text: fmt::Arguments<'_>) {
    ferroxen_core::console::lines(text, |line| {
        let _ = Line.write_str(line);
    });
}

/// Prints a text of one or more lines if its level passes the threshold.
pub fn log(level: LogLevel, text: fmt::Arguments<'_>) {
    if PANICKING.load(Ordering::Relaxed) {
        return print(text);
    }
    let verdict = match crate::machine::started() {
        Some(hv) => hv.settings.loglvl.judge(level, hv.platform.now()),
        None => EARLY.judge(level, 0),
    };
    match verdict {
        Verdict::Print => print(text),
        Verdict::PrintAfter(left_out) => {
            print(format_args!("({left_out} messages were left out)"));
            print(text);
        }
        Verdict::Drop => {}
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
