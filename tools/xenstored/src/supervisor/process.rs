//! The daemon as a process: a child of this one, or the parent that started it.

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, getppid, pidfd_open, pidfd_send_signal};
use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus};
use std::time::Duration;

const SIGKILL: i32 = 9;

/// It.
pub(super) enum Process {
    Child(Child),
    Parent(u32, OwnedFd),
}

/// How it ended, as far as it can be known.
pub(super) struct Status(Option<ExitStatus>);

impl Process {
    /// The process that started this one.
    pub(super) fn parent() -> anyhow::Result<Process> {
        let parent = getppid().filter(|pid| *pid != Pid::INIT).context("the daemon is gone")?;
        let fd = pidfd_open(parent, PidfdFlags::empty()).context("cannot follow the daemon")?;
        Ok(Process::Parent(parent.as_raw_pid().cast_unsigned(), fd))
    }

    pub(super) fn id(&self) -> u32 {
        match self {
            Process::Child(child) => child.id(),
            Process::Parent(pid, _) => *pid,
        }
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self) {
        // It may be gone.
        let _ = match self {
            Process::Child(child) => child.kill(),
            Process::Parent(_, fd) => pidfd_send_signal(fd, Signal::KILL).map_err(Into::into),
        };
    }

    /// Waits for its end.
    pub(super) fn wait(&mut self) -> Status {
        match self {
            Process::Child(child) => Status(child.wait().ok()),
            Process::Parent(_, fd) => {
                while matches!(poll(&mut [PollFd::new(fd, PollFlags::IN)], None), Err(rustix::io::Errno::INTR)) {}
                Status(None)
            }
        }
    }
}

impl Status {
    /// Somebody killed it.
    pub(super) fn killed(&self) -> bool {
        self.0.is_some_and(|status| status.signal() == Some(SIGKILL))
    }

    /// How long to wait before the next start.
    pub(super) fn pause(&self, lived: Duration, before: Duration) -> Duration {
        self.0.map_or(Duration::ZERO, |status| supervise::next_pause(status, lived, before))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(status) => status.fmt(f),
            None => f.write_str("nobody knows how"),
        }
    }
}
