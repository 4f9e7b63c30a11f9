//! The command `xenstore`: looks into the store and changes it. Also installed under the names that Xen's own
//! clients have (`xenstore-ls`, `xenstore-read`, …).
#![forbid(unsafe_code)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
