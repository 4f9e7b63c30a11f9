//! The user-space block backend of one disk; called as `blkimg`, what makes images for it.
#![forbid(unsafe_code)]

mod img;

use anyhow::Context as _;
use blkback::device::Device;
use clap::Parser;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Serves one disk of a domain from a raw or qcow2 image. The toolstack starts it; it ends when the disk is taken away.
/// Exit codes: 0 the disk is gone (or the backend's half says what is wrong with it), 1 failed, 2 usage.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// The domain.
    domid: u16,
    /// The disk's number (51712 is xvda).
    number: u32,
    /// Start it in the background, below a process that starts it again when it dies.
    #[arg(long)]
    detach: bool,
    /// Be that process.
    #[arg(long, hide = true)]
    supervise: bool,
    /// Where it notes what a next one has to know.
    #[arg(long, default_value = "/run/ferroxen/blkback")]
    run_dir: PathBuf,
}

fn main() -> std::process::ExitCode {
    let name = std::env::args_os().next().map(PathBuf::from);
    if name.is_some_and(|name| name.file_name().is_some_and(|name| name == "blkimg")) {
        return match img::main() {
            Ok(()) => std::process::ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("blkimg: {error:#}");
                std::process::ExitCode::FAILURE
            }
        };
    }
    let args = Args::parse();
    // A line that a full disk does not take is lost; to complain of that there would be the end of this process.
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).log_internal_errors(false);
    log.with_ansi(false).with_target(false).init();
    match run(&args) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("blkback {} {}: {error:#}", args.domid, args.number);
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    if args.detach {
        let program = std::env::current_exe().context("cannot find this program")?;
        let rest = std::env::args_os().skip(1).filter(|arg| arg != "--detach");
        let started = Command::new(program).args(rest).arg("--supervise").stdin(Stdio::null()).spawn();
        return started.map(drop).context("cannot start it");
    }
    if args.supervise {
        // It outlives the terminal of whoever made the domain.
        let _ = rustix::process::setsid();
        return supervise::Supervised::this_program("--supervise")?.run();
    }
    supervise::follow("", "--supervise")?;
    let (stop, writer) = UnixStream::pair().context("cannot make a socket pair")?;
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::low_level::pipe::register(signal, writer.try_clone()?).context("cannot catch signals")?;
    }
    match Device::open(args.domid, args.number, &args.run_dir)? {
        Some(mut device) => device.run(&stop),
        None => Ok(()),
    }
}
