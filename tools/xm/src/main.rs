//! `xm`: domains, their devices, the machine.
#![forbid(unsafe_code)]

#[macro_use]
mod output;
mod commands;
mod failure;
mod table;
mod terminal;
mod top;

use std::process::ExitCode;

fn main() -> ExitCode {
    let name = std::env::args_os().next().map(std::path::PathBuf::from);
    let name = name.as_ref().and_then(|path| path.file_name()).and_then(|name| name.to_str()).unwrap_or("xm");
    // The names that scripts know: errors and help carry them.
    match name {
        "xentop" => {
            let mut args: Vec<std::ffi::OsString> = std::env::args_os().collect();
            args.insert(1, "top".into());
            failure::end(name, table::run("xm", args))
        }
        "xl" => failure::end(name, table::run("xl", std::env::args_os())),
        _ => failure::end("xm", table::run("xm", std::env::args_os())),
    }
}
