//! Supervisors and who is supervised are killed in turn: there are always two of them again.
#![allow(clippy::unwrap_used)]

use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Cargo builds examples before tests, beside the folder of the tests' programs.
fn sleeper() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().unwrap().parent().unwrap().join("examples/sleeper")
}

/// Both processes' ids, once they are others than these.
fn ids(folder: &Path, old: [i32; 2], changed: usize) -> [i32; 2] {
    let start = Instant::now();
    loop {
        let text = std::fs::read_to_string(folder.join("ids")).unwrap_or_default();
        let mut words = text.split(' ').filter_map(|word| word.parse().ok());
        if let (Some(worker), Some(supervisor)) = (words.next(), words.next())
            && [worker, supervisor].iter().zip(old).filter(|(now, then)| **now != *then).count() >= changed
        {
            return [worker, supervisor];
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{text:?} after {old:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

#[test]
fn who_is_supervised_takes_the_place_of_its_supervisor() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Command::new(sleeper()).arg(folder.path()).arg("--supervise").spawn().unwrap();
    let mut now = ids(folder.path(), [0, 0], 2);
    assert_eq!(now[1], first.id().cast_signed());
    for round in 0..10 {
        let [worker, supervisor] = now;
        if round % 3 == 0 {
            kill(worker, Signal::KILL);
            now = ids(folder.path(), now, 1);
            assert_eq!(now[1], supervisor);
        } else {
            kill(supervisor, Signal::KILL);
            let _ = first.try_wait();
            now = ids(folder.path(), now, 2);
            assert_eq!(now[1], worker, "the worker became the supervisor");
        }
    }
    // The last supervisor ends as it should, and what it supervises with it.
    kill(now[1], Signal::TERM);
    let start = Instant::now();
    while Path::new(&format!("/proc/{}/exe", now[0])).exists() {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = first.wait();
}
