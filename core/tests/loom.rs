//! Type counts, references and event words, in every order in which CPUs can meet:
//! `RUSTFLAGS="--cfg loom" cargo test -p ferroxen-core --features std --test loom` (`./x test` does it).
#![cfg(loom)]

#[path = "loom/evtchn.rs"]
mod evtchn;
#[path = "loom/frame.rs"]
mod frame;
#[path = "loom/machine.rs"]
mod machine;

/// Tries all orders with at most so many places where a CPU is interrupted that could have gone on.
fn model(interruptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(interruptions);
    builder.max_branches = 20_000;
    let body = std::sync::Arc::new(body);
    builder.check(move || {
        let body = body.clone();
        spawn(move || body()).join().unwrap();
    });
}

/// A thread with room for a hypervisor on its stack.
fn spawn<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> loom::thread::JoinHandle<T> {
    const WORDS: usize = 1 << 17;
    loom::thread::Builder::new().stack_size(WORDS).spawn(body).unwrap()
}
