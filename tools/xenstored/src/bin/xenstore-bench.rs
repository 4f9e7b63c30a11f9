//! Measures a XenStore daemon, ours or Xen's: operations per CPU-second of the daemon with several clients that
//! keep several requests in flight, and the round trip of a single client.
//!
//!     xenstore-bench --socket /run/xenstored/socket --pid 1234 --pid 1235
#![forbid(unsafe_code)]

use anyhow::{Context as _, ensure};
use clap::Parser;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use xen_wire::xenstore::{MsgType, Request, split_message};

/// Measures a XenStore daemon. Exit codes: 0 done, 1 failed, 2 usage.
#[derive(Parser)]
struct Args {
    /// The daemon's socket.
    #[arg(long, default_value = "/run/xenstored/socket")]
    socket: PathBuf,
    /// Processes whose CPU time counts as the daemon's.
    #[arg(long = "pid", required = true)]
    pids: Vec<u32>,
    /// Clients at once.
    #[arg(long, default_value_t = 8)]
    clients: u32,
    /// Requests in flight per client.
    #[arg(long, default_value_t = 16)]
    in_flight: u32,
    /// Seconds for each workload.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Nodes that are there besides those in use.
    #[arg(long, default_value_t = 2000)]
    nodes: u32,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Load {
    Read,
    Write,
    Mixed,
}

/// Nanoseconds of CPU time, from the scheduler's own sums: ticks would be too coarse.
fn cpu_ns(pids: &[u32]) -> anyhow::Result<u64> {
    pids.iter().try_fold(0, |sum, pid| {
        let path = format!("/proc/{pid}/schedstat");
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let ns: u64 = text.split_whitespace().next().context("schedstat is empty")?.parse()?;
        Ok(sum + ns)
    })
}

struct Client {
    stream: UnixStream,
    received: Vec<u8>,
}

impl Client {
    fn connect(path: &Path) -> anyhow::Result<Client> {
        let stream = UnixStream::connect(path).with_context(|| format!("cannot connect to {}", path.display()))?;
        Ok(Client { stream, received: Vec::new() })
    }

    /// Takes at least one reply; returns how many came.
    fn replies(&mut self) -> anyhow::Result<u32> {
        let mut buf = [0; 65536];
        loop {
            let n = self.stream.read(&mut buf)?;
            ensure!(n > 0, "the daemon closed the connection");
            self.received.extend_from_slice(&buf[..n]);
            let (mut count, mut rest) = (0, self.received.as_slice());
            while let Some((header, payload, after)) = split_message(rest)? {
                ensure!(
                    header.kind != MsgType::Error.as_u32(),
                    "the daemon answered {}",
                    String::from_utf8_lossy(payload)
                );
                count += 1;
                rest = after;
            }
            let used = self.received.len() - rest.len();
            self.received.drain(..used);
            if count > 0 {
                return Ok(count);
            }
        }
    }

    fn call(&mut self, request: &Request<'_>) -> anyhow::Result<()> {
        let mut message = Vec::new();
        request.encode(1, 0, &mut message)?;
        self.stream.write_all(&message)?;
        self.replies()?;
        Ok(())
    }
}

fn encode(load: Load, client: u32, n: u32, out: &mut Vec<u8>) {
    let path = format!("/bench/{client}/device/vif/{}/state", n % 10);
    let dir = format!("/bench/{client}/device/vif");
    let value = format!("value-{n}");
    let request = match (load, n % 10) {
        (Load::Read, _) | (Load::Mixed, 0..=4) => Request::Read(path.as_bytes()),
        (Load::Write, _) | (Load::Mixed, 5..=7) => Request::Write(path.as_bytes(), value.as_bytes()),
        (Load::Mixed, 8) => Request::Directory(dir.as_bytes()),
        (Load::Mixed, _) => Request::GetPerms(path.as_bytes()),
    };
    request.encode(n, 0, out).expect("a short request fits");
}

fn prepare(args: &Args) -> anyhow::Result<()> {
    let mut c = Client::connect(&args.socket)?;
    for client in 0..args.clients {
        for n in 0..10 {
            let path = format!("/bench/{client}/device/vif/{n}/state");
            c.call(&Request::Write(path.as_bytes(), b"4"))?;
        }
    }
    for n in 0..args.nodes {
        let path = format!("/bench-rest/{}/{}/{n}", n / 400, n / 20);
        c.call(&Request::Write(path.as_bytes(), b"/local/domain/0/backend/vbd/3/51712"))?;
    }
    Ok(())
}

fn run(args: &Args, load: Load) -> anyhow::Result<(u64, u64, f64)> {
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let cpu = cpu_ns(&args.pids)?;
    let start = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..args.clients)
            .map(|client| {
                let (stop, done) = (&stop, &done);
                scope.spawn(move || -> anyhow::Result<()> {
                    let mut c = Client::connect(&args.socket)?;
                    let (mut n, mut window) = (0, args.in_flight);
                    let mut out = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        out.clear();
                        for _ in 0..window {
                            encode(load, client, n, &mut out);
                            n += 1;
                        }
                        c.stream.write_all(&out)?;
                        window = c.replies()?;
                        done.fetch_add(u64::from(window), Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .collect();
        std::thread::sleep(Duration::from_secs_f64(args.seconds));
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().try_for_each(|t| t.join().expect("a client thread ended"))
    })?;
    let seconds = start.elapsed().as_secs_f64();
    Ok((done.load(Ordering::Relaxed), cpu_ns(&args.pids)?.saturating_sub(cpu), seconds))
}

fn round_trip(args: &Args) -> anyhow::Result<(Duration, Duration)> {
    let mut c = Client::connect(&args.socket)?;
    let mut times = Vec::new();
    for n in 0..5000u32 {
        let value = n.to_string();
        let start = Instant::now();
        c.call(&Request::Write(b"/bench/0/device/vif/0/state", value.as_bytes()))?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok((times[times.len() / 2], times[times.len() * 99 / 100]))
}

fn memory_kib(pids: &[u32]) -> anyhow::Result<u64> {
    pids.iter().try_fold(0, |sum, pid| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = text.lines().find_map(|l| l.strip_prefix("RssAnon:")).context("no RssAnon")?;
        Ok(sum + line.split_whitespace().next().context("RssAnon is empty")?.parse::<u64>()?)
    })
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let before = memory_kib(&args.pids)?;
    prepare(&args)?;
    println!(
        "{} nodes more: {} KiB more (anonymous memory of the daemon)",
        args.nodes + args.clients * 20,
        memory_kib(&args.pids)?.saturating_sub(before)
    );
    println!("{} clients, {} requests in flight each", args.clients, args.in_flight);
    println!("{:8} {:>12} {:>16} {:>12}", "load", "ops/s", "ops/CPU-s", "CPU use");
    for load in [Load::Read, Load::Write, Load::Mixed] {
        let (done, cpu, seconds) = run(&args, load)?;
        let cpu = cpu as f64 / 1e9;
        println!(
            "{:8} {:12.0} {:16.0} {:11.0}%",
            format!("{load:?}").to_lowercase(),
            done as f64 / seconds,
            done as f64 / cpu,
            100.0 * cpu / seconds
        );
    }
    let (median, p99) = round_trip(&args)?;
    println!("single client, one write at a time: median {median:?}, 99 % within {p99:?}");
    Ok(())
}
