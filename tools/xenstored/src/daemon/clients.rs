//! Clients' connections: new ones, kept ones, ended ones, and the keeper that holds their descriptors.

use super::{CONTROL, Client, Daemon, LISTENERS};
use crate::engine::Happening;
use crate::journal::StoreError;
use crate::keeper::{self, ToDaemon, ToKeeper};
use crate::listen::{self, Listener};
use crate::pump::{Pipe, Pump};
use crate::rings::DomainTransport;
use crate::state::{ConnId, Peer};
use anyhow::Context as _;
use mio::unix::SourceFd;
use mio::{Interest, Token};
use rustix::net::{RecvFlags, SendFlags};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use tracing::{error, info, warn};

impl<T: DomainTransport> Daemon<T> {
    pub(super) fn known_clients(&self) -> Vec<u64> {
        self.durable.engine().state().connections().filter(|c| c.as_domain().is_none()).map(|c| c.0).collect()
    }

    pub(super) fn listen(&mut self) -> anyhow::Result<()> {
        for (i, l) in self.listeners.iter().enumerate() {
            let fd = l.socket.as_raw_fd();
            self.poll.registry().register(&mut SourceFd(&fd), Token(LISTENERS + i), Interest::READABLE)?;
        }
        Ok(())
    }

    pub(super) fn take_over(&mut self, control: OwnedFd) -> anyhow::Result<()> {
        loop {
            let message = keeper::receive::<ToDaemon>(&control, RecvFlags::empty())
                .context("cannot hear the supervisor")?
                .context("the supervisor is gone")?;
            match message {
                (ToDaemon::Pipes(session), fds) => {
                    let [a, b, c, d]: [OwnedFd; 4] =
                        fds.try_into().map_err(|_| anyhow::anyhow!("four pipe ends were expected"))?;
                    let (input, output) = (Pipe { reader: a, writer: b }, Pipe { reader: c, writer: d });
                    self.pump = Pump::Piped(input, output);
                    self.session = session;
                    // Before anything else goes into the journal.
                    let ours = |id: ConnId| id.0 >> 32 == u64::from(session);
                    self.pump.settle(&mut self.durable, ours).context("cannot settle what was under way")?;
                }
                (ToDaemon::Listener(read_only), fds) => {
                    self.listeners.extend(fds.into_iter().map(|socket| Listener { socket, read_only }));
                }
                (ToDaemon::Client(id, read_only), fds) => {
                    for socket in fds {
                        self.add_client(id, read_only, socket)?;
                    }
                }
                (ToDaemon::Stored(name), fds) => fds.into_iter().for_each(|fd| self.transport.adopt(&name, fd)),
                (ToDaemon::Program(program), _) => self.program = Some(program.into()),
                (ToDaemon::Outcome(outcome), _) => self.outcome = Some(outcome),
                (ToDaemon::LastClient(_), _) => {}
                (ToDaemon::Ready, _) => break,
            }
        }
        for (name, fd) in self.transport.keep() {
            keeper::send(&control, &ToKeeper::Store(name), &[fd], SendFlags::empty())
                .context("cannot give a descriptor to the supervisor")?;
        }
        let fd = control.as_raw_fd();
        self.poll.registry().register(&mut SourceFd(&fd), CONTROL, Interest::READABLE)?;
        self.control = Some(control);
        Ok(())
    }

    /// A client's connection, new or kept by the keeper.
    pub(super) fn add_client(&mut self, id: u64, read_only: bool, socket: OwnedFd) -> anyhow::Result<()> {
        let conn = ConnId(id);
        let state = self.durable.engine().state();
        if !state.connected(conn) {
            if id <= self.last_client {
                // It ended, and the keeper was not told any more.
                self.to_keeper.push_back(ToKeeper::Forget(id));
                return Ok(());
            }
            self.last_client = id;
            self.durable.happened(&Happening::Connected(conn, Peer { domid: 0, read_only }))?;
        }
        let fd = socket.as_raw_fd();
        let token = Token(usize::try_from(id)?);
        self.poll.registry().register(&mut SourceFd(&fd), token, Interest::READABLE | Interest::WRITABLE)?;
        self.clients.insert(id, Client { socket, readable: true, writable: true, gone: false });
        self.turns.push_back(id);
        Ok(())
    }

    /// Connections that the state knows and nobody kept.
    pub(super) fn reconcile_clients(&mut self) -> Result<(), StoreError> {
        for id in self.known_clients() {
            if !self.clients.contains_key(&id) {
                self.durable.happened(&Happening::Closed(ConnId(id)))?;
            }
        }
        Ok(())
    }

    pub(super) fn close(&mut self, conn: ConnId) -> Result<(), StoreError> {
        // Whoever closed only its sending side still gets what it asked for, as far as it takes it at once.
        if let Some(c) = self.clients.get(&conn.0) {
            let _ = self.pump.give(&mut self.durable, conn, c.socket.as_fd());
        }
        self.durable.happened(&Happening::Closed(conn))?;
        if let Some(c) = self.clients.remove(&conn.0) {
            let fd = c.socket.as_raw_fd();
            let _ = self.poll.registry().deregister(&mut SourceFd(&fd));
            self.to_keeper.push_back(ToKeeper::Forget(conn.0));
        }
        self.unsent.remove(&conn);
        Ok(())
    }

    /// Whether a new client can be told to the engine now; if not, it is asked for again.
    pub(super) fn doors_open(&mut self) -> bool {
        self.doors_closed = self.durable.journal().room() < 8192 && self.durable.make_room().is_err();
        !self.doors_closed
    }

    pub(super) fn hear_keeper(&mut self) -> anyhow::Result<()> {
        while self.doors_open()
            && let Some(control) = &self.control
        {
            match keeper::receive::<ToDaemon>(control, RecvFlags::DONTWAIT) {
                Ok(Some((ToDaemon::Client(id, read_only), fds))) => {
                    for socket in fds {
                        self.add_client(id, read_only, socket)?;
                        self.note(&format!("connection {id} opened"));
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => {
                    let fd = control.as_raw_fd();
                    let _ = self.poll.registry().deregister(&mut SourceFd(&fd));
                    self.control = None;
                    if let Err(error) = self.start_supervisor() {
                        warn!("no supervisor ({error:#}): accepting clients alone, they would not survive this daemon");
                        self.listen()?;
                    }
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(e).context("cannot hear the supervisor"),
            }
        }
        Ok(())
    }

    pub(super) fn tell_keeper(&mut self) {
        let Some(control) = &self.control else {
            self.to_keeper.clear();
            return;
        };
        while let Some(message) = self.to_keeper.front() {
            match keeper::send(control, message, &[], SendFlags::DONTWAIT) {
                Ok(()) => {
                    self.to_keeper.pop_front();
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return,
                // That it is gone, `hear_keeper` finds out.
                Err(_) => return,
            }
        }
    }

    pub(super) fn accept(&mut self, listener: usize) -> anyhow::Result<()> {
        while self.doors_open()
            && self.control.is_none()
            && let Some(l) = self.listeners.get(listener)
        {
            let read_only = l.read_only;
            match listen::accept(&l.socket) {
                Ok(Some(socket)) => {
                    let id = self.last_client + 1;
                    self.add_client(id, read_only, socket)?;
                    self.note(&format!("connection {id} opened"));
                }
                Ok(None) => break,
                Err(e) => {
                    error!("cannot accept a client: {e}");
                    break;
                }
            }
        }
        Ok(())
    }

    pub(super) fn note(&self, line: &str) {
        if self.trace {
            info!("{line}");
        }
    }
}
