//! Another supervisor for a daemon that lost its own: it gets everything that the old one kept.

use super::{CONTROL, Daemon};
use crate::keeper::{self, ToDaemon};
use crate::program;
use crate::pump::Pump;
use crate::rings::DomainTransport;
use anyhow::{Context as _, bail};
use mio::Interest;
use mio::unix::SourceFd;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, socketpair};
use std::ffi::OsString;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::process::{Command, Stdio};
use tracing::warn;

impl<T: DomainTransport> Daemon<T> {
    /// With these arguments the program is a supervisor that takes over from one that died; the daemon's end of their socket is
    /// its standard input.
    pub fn set_supervisor_arguments(&mut self, args: Vec<OsString>) {
        self.supervisor_args = Some(args);
    }

    /// Starts a supervisor in the place of the one that is gone.
    pub(super) fn start_supervisor(&mut self) -> anyhow::Result<()> {
        if let Some(mut old) = self.supervisor.take() {
            let _ = old.try_wait();
        }
        let Some(args) = &self.supervisor_args else { bail!("nobody said how to start one") };
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .context("cannot make a socket pair")?;
        let file = program::current().context("cannot find this program")?;
        let child = Command::new(&file).args(args).stdin(Stdio::from(theirs)).spawn();
        self.supervisor = Some(child.with_context(|| format!("cannot start {}", file.display()))?);
        self.tell_everything(&ours).context("it does not listen")?;
        let fd = ours.as_raw_fd();
        self.poll.registry().register(&mut SourceFd(&fd), CONTROL, Interest::READABLE)?;
        self.control = Some(ours);
        warn!("the supervisor was gone; there is another one");
        Ok(())
    }

    fn tell_everything(&self, control: &OwnedFd) -> anyhow::Result<()> {
        let Pump::Piped(input, output) = &self.pump else { bail!("this daemon never had one") };
        let pipes = [input.reader.as_fd(), input.writer.as_fd(), output.reader.as_fd(), output.writer.as_fd()];
        let none = SendFlags::empty();
        keeper::send(control, &ToDaemon::Pipes(self.session), &pipes, none)?;
        for l in &self.listeners {
            keeper::send(control, &ToDaemon::Listener(l.read_only), &[l.socket.as_fd()], none)?;
        }
        for (name, fd) in self.transport.keep() {
            keeper::send(control, &ToDaemon::Stored(name), &[fd], none)?;
        }
        let state = self.durable.engine().state();
        for (id, client) in &self.clients {
            let read_only = state.peer(crate::state::ConnId(*id)).is_some_and(|peer| peer.read_only);
            keeper::send(control, &ToDaemon::Client(*id, read_only), &[client.socket.as_fd()], none)?;
        }
        keeper::send(control, &ToDaemon::LastClient(self.last_client), &[], none)?;
        if let Some(program) = &self.program {
            keeper::send(control, &ToDaemon::Program(program.display().to_string()), &[], none)?;
        }
        keeper::send(control, &ToDaemon::Ready, &[], none)?;
        Ok(())
    }
}
