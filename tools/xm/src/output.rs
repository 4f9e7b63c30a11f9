//! Printing: a reader that goes away is no failure.

use std::io::{ErrorKind, Write as _};

/// Says a line to the user, or in a log. One that cannot be written is lost, and nothing else: a full disk ends nobody.
macro_rules! say {
    ($($what:tt)*) => { $crate::output::aside(format_args!($($what)*)) };
}

/// See [`say`].
pub fn aside(what: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{what}");
}

/// Prints text as it is.
pub fn text(text: &str) {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        _ => {}
    }
}

/// Prints a line.
pub fn line(line: &str) {
    text(&format!("{line}\n"));
}

/// Prints a value as JSON.
pub fn json(value: &serde_json::Value) {
    line(&serde_json::to_string_pretty(value).unwrap_or_default());
}
