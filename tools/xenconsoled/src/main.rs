//! The console daemon.
#![forbid(unsafe_code)]

mod backlog;
mod console;
mod daemon;
mod log;

use anyhow::Context as _;
use clap::Parser;
use std::path::PathBuf;

/// The console daemon: a terminal and a rotating log for each domain, and the hypervisor's log. Exit codes: 1 failed, 2 usage.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// What is logged: none, guest, hv or all.
    #[arg(long, default_value = "all", value_parser = ["none", "guest", "hv", "all"])]
    log: String,
    /// Where logs go.
    #[arg(long, default_value = "/var/log/xen/console")]
    log_dir: PathBuf,
    /// KiB of a log before it is put away.
    #[arg(long, default_value_t = 1024)]
    log_size: u64,
    /// Old logs that stay.
    #[arg(long, default_value_t = 4)]
    log_kept: u32,
    /// Where to write the process id (with --supervise the supervisor's) once guests are served.
    #[arg(long)]
    pid_file: Option<PathBuf>,
    /// Start the daemon below a process that starts it again when it dies.
    #[arg(long)]
    supervise: bool,
    /// There is such a process.
    #[arg(long, hide = true)]
    supervised: bool,
    /// Stay in the foreground (as Xen's daemon; ours always does).
    #[arg(short = 'i', long)]
    interactive: bool,
}

fn main() -> std::process::ExitCode {
    let args = Args::parse();
    // A line that a full disk does not take is lost; to complain of that there would be the end of this process.
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).log_internal_errors(false);
    log.with_ansi(false).with_target(false).init();
    match run(&args) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xenconsoled: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    if args.supervise {
        let mut daemon = supervise::Supervised::this_program("--supervise")?;
        daemon.args.push("--supervised".into());
        return daemon.run();
    }
    if args.supervised {
        supervise::follow("--supervised", "--supervise")?;
    }
    let logs = |what: &str| args.log == what || args.log == "all";
    let mut daemon = daemon::Daemon::new(daemon::Config {
        log_dir: args.log_dir.clone(),
        log_guests: logs("guest"),
        log_hypervisor: logs("hv"),
        log_size: args.log_size.max(1) << 10,
        log_kept: args.log_kept,
    })?;
    if let Some(path) = &args.pid_file {
        // Whoever ends us means our supervisor too.
        let parent = rustix::process::getppid().filter(|_| args.supervised).map(rustix::process::Pid::as_raw_pid);
        let pid = parent.unwrap_or(std::process::id().cast_signed());
        std::fs::write(path, format!("{pid}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    }
    daemon.run()
}
