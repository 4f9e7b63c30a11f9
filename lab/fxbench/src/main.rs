//! Prints what basic operations cost, one line each: `name nanoseconds-per-operation rounds`.
//!
//! Under QEMU's `-icount shift=0` a nanosecond is an instruction, and each figure is the best of
//! several batches: the same run gives the same figure, and timer interrupts fall out.
//!
//! `fxbench` runs all that this machine has what they need for, `fxbench NAME...` some; `--batches N` changes the number
//! of batches. `--disk`, `--host`, `--peer` and `--store` name what else is measured; `fxbench serve` and `fxbench peer`
//! are the other side of these, `fxbench take` and `fxbench carry` a stream with checksums, `fxbench fill` and `fxbench verify` a disk, `fxbench time` and `fxbench until` measure whole commands.

use std::ffi::{CStr, CString};
use std::process::ExitCode;
use std::{env, ptr};

mod blocks;
mod carry;
mod command;
mod disk;
mod mark;
mod more;
mod net;
mod peer;
mod store;
mod sys;
mod target;
mod xen;

use disk::Way;
use mark::Run;
use sys::check;
use target::{Needs, Peer, Targets};

const PAGE: usize = 4096;

/// What a forking process has mapped and touched: 8 MiB, as a small server has.
const WORKING_SET: usize = 2048 * PAGE;

/// One measured operation.
struct Bench {
    name: &'static CStr,
    /// Operations in a batch.
    rounds: u32,
    /// What it is left out without.
    needs: Needs,
    /// Does as many as it is told, returns the nanoseconds that they took.
    run: fn(Run) -> u64,
}

impl Bench {
    fn title(&self) -> &str {
        self.name.to_str().unwrap_or("")
    }
}

const fn bench(name: &'static CStr, rounds: u32, run: fn(Run) -> u64) -> Bench {
    Bench { name, rounds, needs: Needs::Nothing, run }
}

const fn with(needs: Needs, bench: Bench) -> Bench {
    Bench { needs, ..bench }
}

const MIB: usize = 1 << 20;

const BENCHES: &[Bench] = &[
    bench(c"getppid", 2000, getppid),
    bench(c"page-fault", 2048, page_fault),
    bench(c"mprotect", 200, mprotect),
    bench(c"mmap-touch-munmap", 40, mmap_touch_munmap),
    bench(c"fork-exit", 20, fork_exit),
    bench(c"fork-dirty", 20, fork_dirty),
    bench(c"fork-exec", 20, fork_exec),
    bench(c"pipe-ping-pong", 200, pipe_ping_pong),
    bench(c"futex-ping-pong", 200, more::futex_ping_pong),
    bench(c"signal", 500, more::signal),
    bench(c"shell-pipeline", 5, more::shell_pipeline),
    bench(c"switch-64k", 100, |run| more::switch(run, 16)),
    bench(c"switch-1m", 20, |run| more::switch(run, 256)),
    bench(c"timer-lateness", 20, more::timer_lateness),
    with(Needs::Domain, bench(c"null-hypercall", 500, xen::null_hypercall)),
    with(Needs::Sysfs, bench(c"hypercall-read", 500, xen::hypercall_read)),
    with(Needs::Domain, bench(c"event-channel", 200, xen::event_channel)),
    with(Needs::Domain, bench(c"grant-map-unmap", 50, xen::grant_map_unmap)),
    with(Needs::Peer, bench(c"peer-event", 200, peer::event)),
    with(Needs::Peer, bench(c"peer-grant-map-unmap", 50, peer::map_unmap)),
    with(Needs::Peer, bench(c"peer-grant-copy", 50, peer::copy)),
    with(Needs::Store, bench(c"xs-read", 200, store::read)),
    with(Needs::Store, bench(c"xs-write", 200, store::write)),
    with(Needs::Store, bench(c"xs-transaction", 50, store::transaction)),
    with(Needs::Store, bench(c"xs-watch", 100, store::watch)),
    with(Needs::Disk, bench(c"disk-read-4k", 2, |run| disk::transfer(run, Way::Read, PAGE))),
    with(Needs::Disk, bench(c"disk-write-4k", 2, |run| disk::transfer(run, Way::Write, PAGE))),
    with(Needs::Disk, bench(c"disk-read-1m", 16, |run| disk::transfer(run, Way::Read, MIB))),
    with(Needs::Disk, bench(c"disk-write-1m", 16, |run| disk::transfer(run, Way::Write, MIB))),
    with(Needs::Host, bench(c"net-send", 16, net::send)),
    with(Needs::Host, bench(c"net-receive", 16, net::receive)),
    with(Needs::Host, bench(c"net-request", 200, net::request_response)),
];

/// How long it took to come here.
const BOOT: &str = "boot-to-userspace";

const USAGE: &str = "usage: fxbench [--batches N] [--prefix TEXT] [--disk DEVICE] [--host ADDRESS:PORT] \
    [--peer DOMID:GREF:PORT] [--store DEVICE] [NAME...]
       fxbench serve PORT | peer DOMID
       fxbench take PORT | carry ADDRESS:PORT MIB
       fxbench fill|verify DEVICE MIB [direct]
       fxbench time|until NAME [OPTIONS] -- COMMAND...";

/// What the command line says.
struct Told {
    batches: u32,
    /// Before each name.
    prefix: String,
    targets: Targets,
    names: Vec<String>,
}

impl Told {
    fn parse(args: impl Iterator<Item = String>) -> Option<Self> {
        let mut told = Self { batches: 5, prefix: String::new(), targets: Targets::default(), names: Vec::new() };
        let mut args = args;
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--batches" => told.batches = args.next()?.parse().ok().filter(|batches| *batches > 0)?,
                "--prefix" => told.prefix = args.next()?,
                "--disk" => told.targets.disk = Some(CString::new(args.next()?).ok()?),
                "--host" => told.targets.host = Some(args.next()?.parse().ok()?),
                "--peer" => told.targets.peer = Some(Peer::parse(&args.next()?)?),
                "--store" => told.targets.store = Some(args.next()?),
                option if option.starts_with('-') => return None,
                _ => told.names.push(arg),
            }
        }
        Some(told)
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let number = args.get(1).and_then(|number| number.parse::<u16>().ok());
    match args.first().map(String::as_str) {
        Some("--help") => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Some("time") => return command::time(args.get(1..).unwrap_or_default()),
        Some("until") => return command::until(args.get(1..).unwrap_or_default()),
        _ => {}
    }
    match (args.first().map(String::as_str), number) {
        (Some("serve"), Some(port)) => net::serve(port),
        (Some("peer"), Some(domain)) => peer::serve(domain),
        (Some("take"), Some(port)) => return carry::wait(port),
        _ => {}
    }
    if let [verb, host, mib] = args.as_slice()
        && verb == "carry"
        && let Ok(mib) = mib.parse()
    {
        return carry::carry(host, mib);
    }
    if let [verb @ ("fill" | "verify"), device, mib, how @ ..] =
        args.iter().map(String::as_str).collect::<Vec<_>>().as_slice()
        && let (Ok(mib), [] | ["direct"]) = (mib.parse(), how)
    {
        return blocks::main(verb, device, mib, !how.is_empty());
    }
    match Told::parse(args.into_iter()) {
        Some(told) => measure(told),
        None => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Measures what was named and what can be.
fn measure(told: Told) -> ExitCode {
    let Told { batches, prefix, targets, names } = told;
    let known = |name: &str| name == BOOT || BENCHES.iter().any(|bench| bench.title() == name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        eprintln!("fxbench: no benchmark {unknown}");
        return ExitCode::from(2);
    }
    target::set(targets);
    if names.is_empty() || names.iter().any(|name| name == BOOT) {
        // Under `-icount` the counter holds the instructions since the machine's reset.
        println!("{prefix}{BOOT} {} 1", sys::time_stamp());
    }
    for bench in BENCHES {
        if !names.is_empty() && !names.iter().any(|name| name == bench.title()) {
            continue;
        }
        if !bench.needs.met() {
            continue;
        }
        // The first batch warms up what is made once (page tables, caches of the kernel).
        (bench.run)(Run { name: c"", rounds: bench.rounds.div_ceil(10) });
        let run = || (bench.run)(Run { name: bench.name, rounds: bench.rounds });
        let best = (0..batches).map(|_| run()).min().unwrap_or(0);
        println!("{prefix}{} {} {}", bench.title(), best / u64::from(bench.rounds), bench.rounds);
    }
    ExitCode::SUCCESS
}

/// The cheapest system call that the C library does not answer itself.
fn getppid(run: Run) -> u64 {
    let start = run.begin();
    for _ in 0..run.rounds {
        sys::getppid();
    }
    start.end()
}

/// A first touch of a page of anonymous memory.
fn page_fault(run: Run) -> u64 {
    let size = run.rounds as usize * PAGE;
    let area = sys::map(size);
    let start = run.begin();
    for page in 0..run.rounds as usize {
        sys::touch(area, page * PAGE);
    }
    let time = start.end();
    sys::unmap(area, size);
    time
}

/// The protection of a mapping's first page changed, so that the mapping is split and merged.
fn mprotect(run: Run) -> u64 {
    const SIZE: usize = 16 * PAGE;
    let area = sys::map(SIZE);
    for page in 0..SIZE / PAGE {
        sys::touch(area, page * PAGE);
    }
    let start = run.begin();
    for round in 0..run.rounds {
        let protection = if round % 2 == 0 { libc::PROT_READ } else { libc::PROT_READ | libc::PROT_WRITE };
        sys::protect(area, PAGE, protection);
    }
    let time = start.end();
    sys::unmap(area, SIZE);
    time
}

/// 64 KiB mapped, each page touched, unmapped.
fn mmap_touch_munmap(run: Run) -> u64 {
    const SIZE: usize = 64 * 1024;
    let start = run.begin();
    for _ in 0..run.rounds {
        let area = sys::map(SIZE);
        for page in 0..SIZE / PAGE {
            sys::touch(area, page * PAGE);
        }
        sys::unmap(area, SIZE);
    }
    start.end()
}

/// A child that ends at once, waited for.
fn fork_exit(run: Run) -> u64 {
    forks(run, || sys::exit_now(0))
}

/// The same from a process that writes to its memory between its forks, as real ones do: its pages have to be
/// write-protected anew each time. The time includes its writes.
fn fork_dirty(run: Run) -> u64 {
    const SIZE: usize = 480 * PAGE;
    let area = sys::map(SIZE);
    let fork = || {
        for page in 0..SIZE / PAGE {
            sys::touch(area, page * PAGE);
        }
        sys::fork_and_wait(|| sys::exit_now(0));
    };
    fork();
    let start = run.begin();
    for _ in 0..run.rounds {
        fork();
    }
    let time = start.end();
    sys::unmap(area, SIZE);
    time
}

/// A child that executes a program that ends at once, waited for.
fn fork_exec(run: Run) -> u64 {
    let args = [c"/bin/fxnothing".as_ptr(), ptr::null()];
    forks(run, || sys::exec(&args))
}

/// Children of a process that has its working set in memory, one after the other.
fn forks(run: Run, child: impl Fn() -> std::convert::Infallible) -> u64 {
    let area = sys::map(WORKING_SET);
    for page in 0..WORKING_SET / PAGE {
        sys::touch(area, page * PAGE);
    }
    // The first child leaves the parent's pages write-protected, as they then stay.
    sys::fork_and_wait(&child);
    let start = run.begin();
    for _ in 0..run.rounds {
        sys::fork_and_wait(&child);
    }
    let time = start.end();
    sys::unmap(area, WORKING_SET);
    time
}

/// A byte to another process and one back, through two pipes.
fn pipe_ping_pong(run: Run) -> u64 {
    let (there, back) = (sys::pipe(), sys::pipe());
    let child = sys::fork(|| {
        for _ in 0..run.rounds {
            sys::read_byte(there.0);
            sys::write_byte(back.1);
        }
        sys::exit_now(0)
    });
    let start = run.begin();
    for _ in 0..run.rounds {
        sys::write_byte(there.1);
        sys::read_byte(back.0);
    }
    let time = start.end();
    check("waitpid", sys::wait(child));
    for end in [there.0, there.1, back.0, back.1] {
        sys::close(end);
    }
    time
}
