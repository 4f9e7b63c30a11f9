//! Prints what basic operations cost, one line each: `name nanoseconds-per-operation rounds`.
//!
//! Under QEMU's `-icount shift=0` a nanosecond is an instruction, and each figure is the best of
//! several batches: the same run gives the same figure, and timer interrupts fall out.
//!
//! The ones about hypercalls run in a domain only. `fxbench` runs all, `fxbench NAME...` some; `--batches N` changes the number of batches.

use std::ffi::CStr;
use std::process::exit;
use std::{env, ptr};

mod mark;
mod more;
mod sys;
mod xen;

use mark::Run;
use sys::check;

const PAGE: usize = 4096;

/// What a forking process has mapped and touched: 8 MiB, as a small server has.
const WORKING_SET: usize = 2048 * PAGE;

/// One measured operation.
struct Bench {
    name: &'static CStr,
    /// Operations in a batch.
    rounds: u32,
    /// Does as many as it is told, returns the nanoseconds that they took.
    run: fn(Run) -> u64,
}

impl Bench {
    fn title(&self) -> &str {
        self.name.to_str().unwrap_or("")
    }
}

const BENCHES: &[Bench] = &[
    Bench { name: c"getppid", rounds: 2000, run: getppid },
    Bench { name: c"page-fault", rounds: 2048, run: page_fault },
    Bench { name: c"mprotect", rounds: 200, run: mprotect },
    Bench { name: c"mmap-touch-munmap", rounds: 40, run: mmap_touch_munmap },
    Bench { name: c"fork-exit", rounds: 20, run: fork_exit },
    Bench { name: c"fork-dirty", rounds: 20, run: fork_dirty },
    Bench { name: c"fork-exec", rounds: 20, run: fork_exec },
    Bench { name: c"pipe-ping-pong", rounds: 200, run: pipe_ping_pong },
    Bench { name: c"futex-ping-pong", rounds: 200, run: more::futex_ping_pong },
    Bench { name: c"signal", rounds: 500, run: more::signal },
    Bench { name: c"shell-pipeline", rounds: 5, run: more::shell_pipeline },
    Bench { name: c"switch-64k", rounds: 100, run: |run| more::switch(run, 16) },
    Bench { name: c"switch-1m", rounds: 20, run: |run| more::switch(run, 256) },
    Bench { name: c"timer-lateness", rounds: 20, run: more::timer_lateness },
    Bench { name: c"null-hypercall", rounds: 500, run: xen::null_hypercall },
    Bench { name: c"event-channel", rounds: 200, run: xen::event_channel },
    Bench { name: c"grant-map-unmap", rounds: 50, run: xen::grant_map_unmap },
];

fn main() {
    let mut batches = 5;
    let mut names = Vec::new();
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--batches" => batches = args.next().and_then(|n| n.parse().ok()).unwrap_or(0),
            "--help" => {
                println!("usage: fxbench [--batches N] [NAME...]");
                return;
            }
            _ => names.push(arg),
        }
    }
    if batches == 0 {
        eprintln!("fxbench: --batches wants a number above 0");
        exit(2);
    }
    if let Some(unknown) = names.iter().find(|name| BENCHES.iter().all(|bench| bench.title() != name.as_str())) {
        eprintln!("fxbench: no benchmark {unknown}");
        exit(2);
    }
    if names.is_empty() {
        // Under `-icount` the counter holds the instructions since the machine's reset.
        println!("boot-to-userspace {} 1", sys::time_stamp());
    }
    for bench in BENCHES {
        if !names.is_empty() && !names.iter().any(|name| name == bench.title()) {
            continue;
        }
        if xen::needed_by(bench.title()) && !xen::is_there() {
            continue;
        }
        // The first batch warms up what is made once (page tables, caches of the kernel).
        (bench.run)(Run { name: c"", rounds: bench.rounds.div_ceil(10) });
        let run = || (bench.run)(Run { name: bench.name, rounds: bench.rounds });
        let best = (0..batches).map(|_| run()).min().unwrap_or(0);
        println!("{} {} {}", bench.title(), best / u64::from(bench.rounds), bench.rounds);
    }
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
