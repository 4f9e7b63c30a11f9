//! What a person sees of xtask: short lines on standard error. Standard output belongs to results.

use std::io::{IsTerminal, stderr};

/// `text` in the given ANSI style if standard error is a terminal.
pub fn styled(style: &str, text: &str) -> String {
    if stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        format!("\x1b[{style}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// A step that begins.
pub fn step(text: impl AsRef<str>) {
    eprintln!("{} {}", styled("1;36", "=>"), text.as_ref());
}

/// Something worth knowing that stops nothing.
pub fn note(text: impl AsRef<str>) {
    eprintln!("{} {}", styled("33", "note:"), text.as_ref());
}

/// The one line that an error becomes, with what to do in it.
pub fn error(err: &anyhow::Error) {
    let chain: Vec<String> = err.chain().map(ToString::to_string).collect();
    eprintln!("{} {}", styled("1;31", "error:"), chain.join(": "));
}
