//! `xm`: domains, their devices, the machine.
#![forbid(unsafe_code)]

mod commands;
mod failure;
mod output;
mod table;
mod terminal;
mod top;

use std::process::ExitCode;

fn main() -> ExitCode {
    let name = std::env::args_os().next().map(std::path::PathBuf::from);
    let name = name.as_ref().and_then(|path| path.file_name()).and_then(|name| name.to_str()).unwrap_or("xm");
    // The name that scripts know: errors and help carry it.
    let name = if name == "xl" { "xl" } else { "xm" };
    failure::end(name, table::run(name, std::env::args_os()))
}
