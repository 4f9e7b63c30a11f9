//! Which program the daemon is started from: what stands in its file, or, if that cannot take over, what served before.

use super::process::Process;
use crate::program;
use anyhow::{Context as _, bail};
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tracing::warn;

/// The programs that there are.
pub(super) struct Programs {
    /// The file that is started.
    pub(super) file: PathBuf,
    /// How the last update went, until a daemon serves that was told of it.
    pub(super) outcome: Option<Result<(), String>>,
    /// The file of the last one that served.
    served: PathBuf,
    /// It itself: there, whatever became of its file.
    last: Option<File>,
    /// It is started, because the file cannot take over.
    fallen_back: bool,
}

impl Programs {
    pub(super) fn new(file: PathBuf) -> Programs {
        Programs { served: file.clone(), file, outcome: None, last: None, fallen_back: false }
    }

    /// Whether there is another one, should this one not come to serve.
    pub(super) fn has_other(&self) -> bool {
        self.last.is_some() && !self.fallen_back
    }

    /// Starts the daemon with its end of the control socket.
    pub(super) fn start(&self, args: &[OsString], control: OwnedFd) -> anyhow::Result<Process> {
        let mut command = match &self.last {
            Some(last) if self.fallen_back => {
                let mut command = Command::new(format!("/proc/self/fd/{}", last.as_raw_fd()));
                command.arg0(&self.served);
                command
            }
            other => {
                // At the first start it is this program itself.
                if other.is_some()
                    && let Err(why) = program::check(&self.file)
                {
                    bail!(why);
                }
                Command::new(&self.file)
            }
        };
        let child = command.args(args).stdin(Stdio::from(control)).spawn().context("it cannot be started")?;
        Ok(Process::Child(child))
    }

    /// The daemon that was started last serves.
    pub(super) fn serves(&mut self, daemon: &Process) {
        self.outcome = None;
        if self.fallen_back {
            return;
        }
        self.served.clone_from(&self.file);
        self.last = match File::open(format!("/proc/{}/exe", daemon.id())) {
            Ok(file) => Some(file),
            Err(error) => {
                warn!("the program of the daemon cannot be kept: {error}");
                None
            }
        };
    }

    /// The daemon hands over to this program.
    pub(super) fn go_over_to(&mut self, program: PathBuf) {
        self.file = program;
        self.fallen_back = false;
        self.outcome = Some(Ok(()));
    }

    /// The daemon that was to be started does not come to serve; whether there is another to start at once.
    pub(super) fn refused(&mut self, why: &str) -> bool {
        let other = self.has_other();
        let goes_on = if other { "; the version before goes on" } else { "" };
        let line = format!("no update: {}: {why}{goes_on}", self.file.display());
        warn!("{line}");
        if self.outcome.is_some() {
            self.outcome = Some(Err(line));
        }
        // In turn, if neither can be started.
        self.fallen_back = other;
        self.file.clone_from(&self.served);
        other
    }
}
