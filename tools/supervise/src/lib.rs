//! Starts a program and starts it again when it dies, until it ends with success or the supervisor is told to stop.
//!
//! For daemons that keep nothing which a new one could not find out (xenstored has a supervisor of its own, which
//! keeps its descriptors, and takes [`next_pause`] from here). A supervisor that dies is replaced by whom it supervised ([`follow`]).

mod follow;

pub use follow::follow;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// The longest time between two starts.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Whoever lived so long is started again without delay.
const LIVED: Duration = Duration::from_secs(1);
/// How long the program has to end after it was asked.
const PATIENCE: Duration = Duration::from_secs(10);
const SIGKILL: i32 = 9;

/// What is started.
#[derive(Clone, Debug)]
pub struct Supervised {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

impl Supervised {
    /// This program itself, with this process' arguments but `without`.
    ///
    /// # Errors
    /// The kernel does not say which program this is.
    pub fn this_program(without: &str) -> anyhow::Result<Supervised> {
        let program = this_file().context("cannot find this program")?;
        Ok(Supervised { program, args: std::env::args_os().skip(1).filter(|arg| arg != without).collect() })
    }

    /// Runs it until it ends with success (gives `Ok`), or until this process is told to end, and it with it.
    ///
    /// # Errors
    /// It cannot be started at all.
    pub fn run(&self) -> anyhow::Result<()> {
        let mut signals = Signals::new([SIGCHLD, SIGINT, SIGTERM]).context("cannot catch signals")?;
        let mut pause = Duration::ZERO;
        loop {
            let since = Instant::now();
            let mut child = Command::new(&self.program)
                .args(&self.args)
                .env(follow::SUPERVISOR, std::process::id().to_string())
                .stdin(Stdio::null())
                .spawn()
                .with_context(|| format!("cannot start {}", self.program.display()))?;
            let Some(status) = wait(&mut child, &mut signals)? else {
                stop(child);
                return Ok(());
            };
            if status.success() {
                return Ok(());
            }
            pause = next_pause(status, since.elapsed(), pause);
            let name = self.program.file_name().unwrap_or(self.program.as_os_str()).to_string_lossy();
            warn!("{name} ended ({status}) after {:.1} s; starting it again", since.elapsed().as_secs_f64());
            if paused(&mut signals, pause) {
                return Ok(());
            }
        }
    }
}

/// The file of this program: what stands in its place by now, or, if nothing does, the program itself.
///
/// # Errors
/// The kernel does not say which program this is.
pub fn this_file() -> io::Result<PathBuf> {
    let file = std::env::current_exe()?;
    let text = file.as_os_str().as_encoded_bytes();
    let replaced = text.strip_suffix(b" (deleted)").map(|path| PathBuf::from(OsStr::from_bytes(path)));
    let file = replaced.unwrap_or(file);
    Ok(if file.exists() { file } else { PathBuf::from("/proc/self/exe") })
}

/// How long to wait before the next start: who was killed is back at once, who dies by itself at once will do so again.
pub fn next_pause(status: ExitStatus, lived: Duration, before: Duration) -> Duration {
    if status.signal() == Some(SIGKILL) || lived > LIVED {
        return Duration::ZERO;
    }
    (before * 2).clamp(Duration::from_millis(10), LONGEST_PAUSE)
}

/// Waits until the child ends; `None`: this process is to end.
fn wait(child: &mut Child, signals: &mut Signals) -> anyhow::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for the program")? {
            return Ok(Some(status));
        }
        if signals.wait().any(|signal| signal != SIGCHLD) {
            info!("ending on a signal");
            return Ok(None);
        }
    }
}

/// Sleeps; whether this process is to end instead.
fn paused(signals: &mut Signals, pause: Duration) -> bool {
    let until = Instant::now() + pause;
    loop {
        if signals.pending().any(|signal| signal != SIGCHLD) {
            return true;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        std::thread::sleep(left.min(Duration::from_millis(20)));
    }
}

/// Asks the child to end, and makes it.
fn stop(mut child: Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may be gone.
        let _ = kill_process(pid, Signal::TERM);
    }
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    warn!("it does not end when asked: killing it");
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Supervised {
        Supervised { program: "/bin/sh".into(), args: vec!["-c".into(), script.into()] }
    }

    #[test]
    fn a_killed_program_is_back_at_once_and_its_success_is_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("starts");
        let starts = file.display();
        // Killed twice, then well.
        let script = format!("echo x >>{starts}; [ $(wc -l <{starts}) = 3 ] || kill -9 $$");
        let since = Instant::now();
        shell(&script).run().unwrap();
        assert_eq!(std::fs::read_to_string(file).unwrap(), "x\nx\nx\n");
        assert!(since.elapsed() < LONGEST_PAUSE);
    }

    #[test]
    fn who_dies_by_itself_at_once_is_started_ever_more_slowly() {
        let failed = ExitStatus::from_raw(1 << 8);
        let mut pause = Duration::ZERO;
        for _ in 0..20 {
            let next = next_pause(failed, Duration::from_millis(5), pause);
            assert!(next >= pause && !next.is_zero());
            pause = next;
        }
        assert_eq!(pause, LONGEST_PAUSE);
        assert_eq!(next_pause(failed, LIVED * 2, pause), Duration::ZERO);
        assert_eq!(next_pause(ExitStatus::from_raw(SIGKILL), Duration::ZERO, pause), Duration::ZERO);
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let none = Supervised { program: "/none".into(), args: Vec::new() };
        assert!(none.run().unwrap_err().to_string().contains("/none"));
    }
}
