//! The supervisor: accepts clients, keeps every descriptor, starts the daemon and starts it again.
//!
//! It never reads or writes a client's bytes, so the daemon's speed is not its concern, and it holds nothing
//! that it could get wrong about the store.

use crate::keeper::{self, ToDaemon, ToKeeper};
use crate::listen::{self, Listener};
use crate::pump::Pipe;
use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socketpair};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tracing::{error, info, warn};

/// What the supervisor needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The directory of the sockets.
    pub run_dir: PathBuf,
    /// The daemon's state, which outlives this supervisor; so does the number of its session, which is kept there.
    pub state_dir: PathBuf,
    /// The daemon's program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<std::ffi::OsString>,
    /// Written once clients can connect.
    pub pid_file: Option<PathBuf>,
}

struct Supervisor {
    config: Config,
    listeners: Vec<Listener>,
    input: Pipe,
    output: Pipe,
    clients: BTreeMap<u64, (OwnedFd, bool)>,
    stored: BTreeMap<String, OwnedFd>,
    session: u32,
    last_client: u64,
}

struct Running {
    child: Child,
    control: OwnedFd,
    since: Instant,
}

/// Runs until a signal ends it; the daemon ends with it.
pub fn run(config: Config) -> anyhow::Result<()> {
    let mut signals = signal_pipe()?;
    let listeners = listen::bind(&config.run_dir)?;
    let session = next_session(&config.state_dir)?;
    let mut supervisor = Supervisor {
        config,
        listeners,
        input: Pipe::new().context("cannot make a pipe")?,
        output: Pipe::new().context("cannot make a pipe")?,
        clients: BTreeMap::new(),
        stored: BTreeMap::new(),
        session,
        last_client: u64::from(session) << 32,
    };
    listen::ready(supervisor.config.pid_file.as_deref())?;
    let mut delay = Duration::ZERO;
    loop {
        std::thread::sleep(delay);
        let mut running = supervisor.start()?;
        let stop = supervisor.serve(&mut running, &mut signals)?;
        if stop {
            // The daemon's state is in its journal at every moment: there is nothing to wait for.
            let _ = running.child.kill();
            let _ = running.child.wait();
            return Ok(());
        }
        let status = running.child.wait().context("cannot wait for the daemon")?;
        if status.success() {
            info!("the daemon handed over; starting {} again", supervisor.config.program.display());
            delay = Duration::ZERO;
            continue;
        }
        warn!("the daemon ended ({status}) after {:.1} s; starting it again", running.since.elapsed().as_secs_f64());
        delay = supervise::next_pause(status, running.since.elapsed(), delay);
    }
}

/// The number of this session. The state still knows the clients of the one before, by their numbers: no client of this one
/// may have any of them.
fn next_session(state_dir: &Path) -> anyhow::Result<u32> {
    let path = state_dir.join("session");
    let last = match std::fs::read_to_string(&path) {
        Ok(text) => text.trim().parse::<u32>().with_context(|| format!("{}: not a number", path.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    // The highest bit is that of domains' rings.
    let next = last.checked_add(1).filter(|next| *next < 1 << 31).context("no number is left for a session")?;
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(state_dir)?;
        let fresh = path.with_extension("new");
        std::fs::write(&fresh, format!("{next}\n"))?;
        std::fs::rename(&fresh, &path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))?;
    Ok(next)
}

fn signal_pipe() -> anyhow::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair().context("cannot make a socket pair")?;
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::low_level::pipe::register(signal, writer.try_clone()?).context("cannot catch signals")?;
    }
    Ok(reader)
}

impl Supervisor {
    fn start(&mut self) -> anyhow::Result<Running> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .context("cannot make a socket pair")?;
        let child = Command::new(&self.config.program)
            .args(&self.config.args)
            .stdin(Stdio::from(theirs))
            .spawn()
            .with_context(|| format!("cannot start {}", self.config.program.display()))?;
        let running = Running { child, control: ours, since: Instant::now() };
        // If the daemon dies meanwhile, `serve` finds out.
        if let Err(e) = self.tell_everything(&running.control) {
            warn!("the daemon does not listen: {e}");
        }
        Ok(running)
    }

    fn tell_everything(&self, control: &OwnedFd) -> std::io::Result<()> {
        let pipes = [
            self.input.reader.as_fd(),
            self.input.writer.as_fd(),
            self.output.reader.as_fd(),
            self.output.writer.as_fd(),
        ];
        keeper::send(control, &ToDaemon::Pipes(self.session), &pipes, SendFlags::empty())?;
        for l in &self.listeners {
            keeper::send(control, &ToDaemon::Listener(l.read_only), &[l.socket.as_fd()], SendFlags::empty())?;
        }
        for (name, fd) in &self.stored {
            keeper::send(control, &ToDaemon::Stored(name.clone()), &[fd.as_fd()], SendFlags::empty())?;
        }
        for (id, (fd, read_only)) in &self.clients {
            keeper::send(control, &ToDaemon::Client(*id, *read_only), &[fd.as_fd()], SendFlags::empty())?;
        }
        keeper::send(control, &ToDaemon::Ready, &[], SendFlags::empty())
    }

    /// Serves until the daemon ends (`false`) or a signal comes (`true`).
    fn serve(&mut self, running: &mut Running, signals: &mut UnixStream) -> anyhow::Result<bool> {
        let forever: Option<&Timespec> = None;
        loop {
            let mut fds: Vec<PollFd<'_>> = [signals.as_fd(), running.control.as_fd()]
                .into_iter()
                .chain(self.listeners.iter().map(|l| l.socket.as_fd()))
                .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
                .collect();
            match poll(&mut fds, forever) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e).context("poll failed"),
            }
            let ready: Vec<bool> = fds.iter().map(|f| !f.revents().is_empty()).collect();
            drop(fds);
            if ready.first() == Some(&true) {
                let mut byte = [0];
                let _ = signals.read(&mut byte);
                info!("ending on a signal");
                return Ok(true);
            }
            for (i, _) in ready.iter().enumerate().skip(2).filter(|(_, r)| **r) {
                self.accept(i - 2, running.control.as_fd());
            }
            if ready.get(1) == Some(&true) && !self.hear(&running.control) {
                return Ok(false);
            }
        }
    }

    fn accept(&mut self, listener: usize, control: BorrowedFd<'_>) {
        let Some(l) = self.listeners.get(listener) else { return };
        match listen::accept(&l.socket) {
            Ok(Some(socket)) => {
                self.last_client += 1;
                let id = self.last_client;
                let message = ToDaemon::Client(id, l.read_only);
                if let Err(e) = keeper::send(control, &message, &[socket.as_fd()], SendFlags::empty()) {
                    // The next daemon gets it with all the others.
                    info!("a client waits for the next daemon: {e}");
                }
                self.clients.insert(id, (socket, l.read_only));
            }
            Ok(None) => {}
            Err(e) => {
                error!("cannot accept a client: {e}");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    /// Takes the daemon's messages; `false` if it is gone.
    fn hear(&mut self, control: &OwnedFd) -> bool {
        loop {
            match keeper::receive::<ToKeeper>(control, RecvFlags::DONTWAIT) {
                Ok(Some((ToKeeper::Forget(id), _))) => {
                    self.clients.remove(&id);
                }
                Ok(Some((ToKeeper::Store(name), fds))) => {
                    self.stored.extend(fds.into_iter().next().map(|fd| (name, fd)))
                }
                Ok(Some((ToKeeper::Unstore(name), _))) => {
                    self.stored.remove(&name);
                }
                Ok(None) => return false,
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return true,
                Err(e) => {
                    warn!("a message of the daemon is lost: {e}");
                    return false;
                }
            }
        }
    }
}
