//! Operations between processes: futex, signals, a shell, context switches with something to lose.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::PAGE;
use crate::mark::Run;
use crate::sys::{self, check};

/// Wakes another process by a futex and waits until it did the same.
pub fn futex_ping_pong(run: Run) -> u64 {
    let area = sys::map_shared(PAGE);
    // SAFETY: the area is a page that stays mapped; it is used as two atomics only.
    let (there, back) = unsafe { (&*area.cast::<AtomicU32>(), &*area.add(64).cast::<AtomicU32>()) };
    let child = sys::fork(|| {
        for number in 1..run.rounds + 2 {
            await_number(there, number);
            back.store(number, Ordering::SeqCst);
            sys::futex_wake(back);
        }
        sys::exit_now(0)
    });
    let exchange = |number| {
        there.store(number, Ordering::SeqCst);
        sys::futex_wake(there);
        await_number(back, number);
    };
    // The first exchange waits for the child to begin.
    exchange(1);
    let start = run.begin();
    for number in 2..run.rounds + 2 {
        exchange(number);
    }
    let time = start.end();
    check("waitpid", sys::wait(child));
    sys::unmap(area, PAGE);
    time
}

fn await_number(word: &AtomicU32, number: u32) {
    loop {
        let now = word.load(Ordering::SeqCst);
        if now == number {
            return;
        }
        sys::futex_wait(word, now);
    }
}

/// A signal to oneself, until its handler returned.
pub fn signal(run: Run) -> u64 {
    sys::catch_signals();
    let start = run.begin();
    for _ in 0..run.rounds {
        sys::signal_oneself();
    }
    start.end()
}

/// What a shell does for `echo x | cat >/dev/null`: a process for each side, a pipe, a wait.
pub fn shell_pipeline(run: Run) -> u64 {
    let start = run.begin();
    for _ in 0..run.rounds {
        sys::fork_and_wait(shell);
    }
    start.end()
}

fn shell() -> Infallible {
    let args = [c"/bin/busybox", c"sh", c"-c", c"echo x | cat >/dev/null"].map(std::ffi::CStr::as_ptr);
    sys::exec_args(&[args[0], args[1], args[2], args[3], std::ptr::null()])
}

/// A byte to another process and back, where each of them writes to `pages` pages of its own in between.
pub fn switch(run: Run, pages: usize) -> u64 {
    let (there, back) = (sys::pipe(), sys::pipe());
    let size = pages * PAGE;
    let area = sys::map(size);
    let work = || (0..pages).for_each(|page| sys::touch(area, page * PAGE));
    work();
    let child = sys::fork(|| {
        for _ in 0..run.rounds + 1 {
            sys::read_byte(there.0);
            work();
            sys::write_byte(back.1);
        }
        sys::exit_now(0)
    });
    let exchange = || {
        sys::write_byte(there.1);
        sys::read_byte(back.0);
        work();
    };
    // The first exchange gives each process its own copy of the pages.
    exchange();
    let start = run.begin();
    for _ in 0..run.rounds {
        exchange();
    }
    let time = start.end();
    check("waitpid", sys::wait(child));
    for end in [there.0, there.1, back.0, back.1] {
        sys::close(end);
    }
    sys::unmap(area, size);
    time
}

/// How late a sleep of a millisecond ends; not what it takes.
pub fn timer_lateness(run: Run) -> u64 {
    const SLEEP: u64 = 1_000_000;
    let mut late = 0;
    let running = run.begin();
    for _ in 0..run.rounds {
        let deadline = sys::monotonic_ns() + SLEEP;
        sys::sleep_until(deadline);
        late += sys::monotonic_ns() - deadline;
    }
    running.end();
    late
}
