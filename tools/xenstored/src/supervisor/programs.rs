//! Which program the daemon is started from: what stands in its file, or, if that cannot take over, what served before.

use super::process::Process;
use crate::program;
use anyhow::{Context as _, anyhow};
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
    /// The one that was started, until it serves. Opened before that: a daemon that serves may be dead when this is heard.
    started: Option<File>,
    /// It is started, because the file cannot take over.
    fallen_back: bool,
}

impl Programs {
    pub(super) fn new(file: PathBuf) -> Programs {
        Programs { served: file.clone(), file, outcome: None, last: None, started: None, fallen_back: false }
    }

    /// Whether there is another one, should this one not come to serve.
    pub(super) fn has_other(&self) -> bool {
        self.last.is_some() && !self.fallen_back
    }

    /// Starts the daemon with its end of the control socket.
    pub(super) fn start(&mut self, args: &[OsString], control: OwnedFd) -> anyhow::Result<Process> {
        let mut command = self.command()?;
        let child = command.args(args).stdin(Stdio::from(control)).spawn().context("it cannot be started")?;
        Ok(Process::Child(child))
    }

    /// What is to be started now.
    fn command(&mut self) -> anyhow::Result<Command> {
        match &self.last {
            Some(last) if self.fallen_back => {
                let mut command = Command::new(format!("/proc/self/fd/{}", last.as_raw_fd()));
                command.arg0(&self.served);
                return Ok(command);
            }
            // At the first start it is this program itself.
            None => {}
            Some(_) => program::check(&self.file).map_err(|why| anyhow!(why))?,
        }
        self.started = File::open(&self.file).ok();
        Ok(Command::new(&self.file))
    }

    /// The daemon that was started last serves.
    pub(super) fn serves(&mut self) {
        self.outcome = None;
        if self.fallen_back {
            return;
        }
        self.served.clone_from(&self.file);
        match self.started.take() {
            Some(program) => self.last = Some(program),
            None => warn!("{}: the program of the daemon cannot be kept", self.file.display()),
        }
    }

    /// This daemon serves, which another supervisor started.
    pub(super) fn adopt(&mut self, daemon: &Process) {
        // It may have died; this program was made from its file.
        let program = File::open(format!("/proc/{}/exe", daemon.id())).or_else(|_| File::open("/proc/self/exe"));
        self.started = program.ok();
        self.serves();
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

#[cfg(test)]
mod tests {
    use super::*;

    /// (Nothing is started: a child would hold the locks of other tests for a moment.)
    #[test]
    fn the_program_of_a_daemon_that_is_dead_when_it_is_heard_of_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("program");
        std::fs::copy("/bin/true", &file).unwrap();
        let mut programs = Programs::new(file.clone());
        assert_eq!(programs.command().unwrap().get_program(), file);
        programs.serves();
        std::fs::remove_file(&file).unwrap();
        assert!(programs.has_other(), "what served is there without its file and its process");
        assert!(programs.command().is_err());
        assert!(programs.refused("it is gone"));
        let kept = programs.command().unwrap().get_program().to_owned();
        assert_eq!(std::fs::read(kept).unwrap(), std::fs::read("/bin/true").unwrap());
    }
}
