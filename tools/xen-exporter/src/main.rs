//! `xen-exporter`: the command line.
#![forbid(unsafe_code)]

use clap::{CommandFactory as _, Parser};
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;
use toolstack::{Host, Kind};
use xen_exporter::encode::{Format, encode};
use xen_exporter::server::{Limits, Scraper, serve};
use xenstat::collect::collect;
use xenstat::machine::Machine;

/// Metrics of domains and of the machine, for Prometheus: serves /metrics over HTTP. Exit codes: 0 done, 1 failed, 2 usage,
/// 4 permission, 5 the hypervisor does not answer.
///
/// It runs as root in domain 0, whose kernel lets root alone make hypercalls, and listens to this machine only unless --listen
/// says otherwise: there is no encryption and no password. What a hypervisor or a xenstored does not say is left out;
/// xen_exporter_scrape_error says what could not be asked. docs/metrics.md lists all metrics.
#[derive(Debug, Parser)]
#[command(name = "xen-exporter", version)]
struct Args {
    /// Where to listen. The range of ports that Prometheus' list gives to exporters, 9100 to 9999, is full.
    #[arg(long, default_value = "127.0.0.1:10603", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Print the metrics once, in Prometheus' text format (as node_exporter's textfile collector reads it), and end.
    #[arg(long, conflicts_with = "listen")]
    once: bool,
    /// Start it below a process that starts it again when it dies.
    #[arg(long)]
    supervise: bool,
    /// There is such a process.
    #[arg(long, hide = true)]
    supervised: bool,
    /// Print the manual page.
    #[arg(long, hide = true)]
    man: bool,
}

/// What failed, for whoever started it.
struct Failure(Kind, String);

fn failed(what: impl ToString) -> Failure {
    Failure(Kind::Failed, what.to_string())
}

fn main() -> ExitCode {
    let args = Args::parse();
    // A line that a full disk does not take is lost; to complain of that there would be the end of this process.
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).log_internal_errors(false);
    log.with_ansi(false).with_target(false).init();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(kind, line)) => {
            eprintln!("xen-exporter: {}", line.replace('\n', " "));
            ExitCode::from(kind.exit_code())
        }
    }
}

fn print(text: &[u8]) -> Result<(), Failure> {
    match std::io::stdout().lock().write_all(text) {
        // That is how `| head` ends.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| failed(format!("cannot write to standard output: {error}"))),
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    if args.man {
        let mut page = Vec::new();
        clap_mangen::Man::new(Args::command()).render(&mut page).map_err(failed)?;
        return print(&page);
    }
    if args.supervise {
        let daemon = supervise::Supervised::this_program("--supervise").map(|mut daemon| {
            daemon.args.push("--supervised".into());
            daemon
        });
        return daemon.and_then(|daemon| daemon.run()).map_err(|error| failed(format!("{error:#}")));
    }
    if args.supervised {
        supervise::follow("--supervised", "--supervise").map_err(|error| failed(format!("{error:#}")))?;
    }
    let xen = Host::open_hypervisor().map_err(|error| Failure(error.kind(), error.to_string()))?;
    // What may not be asked is told at once, and not in each scrape.
    xen.domain_info(0).map_err(toolstack::Error::from).map_err(|error| Failure(error.kind(), error.to_string()))?;
    let mut machine = Machine::new(xen);
    if args.once {
        let text = encode(&Arc::new(collect(&mut machine)), Format::Prometheus).map_err(failed)?;
        return print(text.as_bytes());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| failed(format!("cannot start: {error}")))?.block_on(async {
        let listener = TcpListener::bind(args.listen).await.map_err(|error| {
            failed(format!("cannot listen on {}: {error}; choose another place with --listen", args.listen))
        })?;
        let scraper = Scraper::start(machine, Limits::default())
            .map_err(|error| failed(format!("cannot start a thread: {error}")))?;
        tracing::info!("listening on {}", args.listen);
        serve(listener, scraper, Limits::default()).await;
        Ok(())
    })
}
