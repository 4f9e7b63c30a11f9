//! The XenStore daemon: command line and start.

use anyhow::Context as _;
use clap::Parser;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use xenstored::daemon::{self, Daemon};
use xenstored::rings::{DomainTransport, NoDomains};
use xenstored::state::{QuotaKind, Quotas};
use xenstored::supervisor;
use xenstored::throttle::Limits;
use xenstored::xen::XenDomains;

/// The XenStore daemon. Exit codes: 0 ended by a signal, 1 failed, 2 usage.
#[derive(Parser, Debug)]
#[command(version)]
struct Args {
    /// Directory of the sockets `socket` and `socket_ro`.
    #[arg(long, env = "XENSTORED_RUNDIR", default_value = "/run/xenstored")]
    run_dir: PathBuf,
    /// Directory of snapshot and journal [default: RUN_DIR/state]. It must not survive a reboot.
    #[arg(long)]
    state_dir: Option<PathBuf>,
    /// Keep clients' connections in a parent process, so that they survive `kill -9` of the daemon.
    #[arg(long)]
    supervise: bool,
    /// Where to write the process id once clients can connect.
    #[arg(short = 'F', long)]
    pid_file: Option<PathBuf>,
    /// Quotas of a new store, NAME=VALUE; `xenstore control quota` lists and changes them.
    #[arg(short = 'Q', long = "quota", value_parser = quota)]
    quotas: Vec<(QuotaKind, u64)>,
    /// Requests per second that one domain may send.
    #[arg(long, default_value_t = Limits::default().rate)]
    rate: f64,
    /// Do not connect the control domain's ring (as Xen's daemon; ours finds out by itself).
    #[arg(short = 'D', long)]
    no_domain_init: bool,
    /// Serve only the socket, even where there is a hypervisor.
    #[arg(long)]
    no_domains: bool,
    /// Stay in the foreground (as Xen's daemon; ours always does).
    #[arg(short = 'N', long)]
    no_fork: bool,
    /// The keeper is on standard input.
    #[arg(long, hide = true)]
    kept: bool,
    /// Be the supervisor of the daemon that is on standard input, and lost its own.
    #[arg(long, hide = true)]
    adopt: bool,
}

fn quota(text: &str) -> Result<(QuotaKind, u64), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is expected")?;
    let kind = QuotaKind::from_name(name.as_bytes()).ok_or_else(|| {
        let names: Vec<_> = QuotaKind::ALL.iter().map(|q| q.name()).collect();
        format!("no such quota; there are {}", names.join(", "))
    })?;
    Ok((kind, value.parse().map_err(|e| format!("{value}: {e}"))?))
}

fn main() -> std::process::ExitCode {
    let args = Args::parse();
    // A line that a full disk does not take is lost; to complain of that there would be the end of this process.
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).log_internal_errors(false);
    log.with_ansi(false).with_target(false).init();
    match run(args) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("xenstored: {e:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    let state_dir = args.state_dir.clone().unwrap_or_else(|| args.run_dir.join("state"));
    if args.supervise || args.adopt {
        let program = xenstored::program::current().context("cannot find this program")?;
        let rest = arguments("--kept");
        let config =
            supervisor::Config { run_dir: args.run_dir, state_dir, program, args: rest, pid_file: args.pid_file };
        if args.adopt {
            let control = std::io::stdin().as_fd().try_clone_to_owned().context("cannot reach the daemon")?;
            // The next daemon has another one.
            rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?).context("cannot let go of standard input")?;
            return supervisor::adopt(config, control);
        }
        return supervisor::run(config);
    }
    let mut quotas = Quotas::default();
    for (kind, value) in args.quotas {
        quotas.set(kind, value);
    }
    let limits = Limits { rate: args.rate, burst: args.rate * 2.0, ..Limits::default() };
    let control = if args.kept {
        Some(std::io::stdin().as_fd().try_clone_to_owned().context("cannot reach the supervisor")?)
    } else {
        None
    };
    let config = daemon::Config { run_dir: args.run_dir, state_dir, quotas, limits, pid_file: args.pid_file };
    let domains = if args.no_domains { None } else { XenDomains::open()? };
    match domains {
        Some(domains) => serve(&config, control, domains),
        None => serve(&config, control, NoDomains),
    }
}

/// The arguments of this process, for another part in the same play.
fn arguments(part: &str) -> Vec<std::ffi::OsString> {
    let parts = ["--supervise", "--adopt", "--kept"];
    let common = std::env::args_os().skip(1).filter(|arg| !parts.iter().any(|part| arg == part));
    common.chain([part.into()]).collect()
}

fn serve<T: DomainTransport>(
    config: &daemon::Config,
    control: Option<std::os::fd::OwnedFd>,
    domains: T,
) -> anyhow::Result<()> {
    let kept = control.is_some();
    let mut daemon = Daemon::new(config, control, domains)?;
    if kept {
        // The supervisor starts the program again, which may be a new version by then.
        signal_hook::flag::register(signal_hook::consts::SIGTERM, daemon.hand_over_flag())
            .context("cannot catch signals")?;
        daemon.set_supervisor_arguments(arguments("--adopt"));
    }
    daemon.run()
}
