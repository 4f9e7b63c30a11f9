//! The supervisor: accepts clients, keeps every descriptor, starts the daemon and starts it again.
//!
//! It never reads or writes a client's bytes, so the daemon's speed is not its concern, and it holds nothing
//! that it could get wrong about the store.

mod process;
mod programs;

use self::process::Process;
use self::programs::Programs;
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
use std::time::{Duration, Instant};
use tracing::{error, info, warn};

/// How long a daemon that takes over may need until it serves.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two tries if no program can be started.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

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
    programs: Programs,
    listeners: Vec<Listener>,
    input: Pipe,
    output: Pipe,
    clients: BTreeMap<u64, (OwnedFd, bool)>,
    stored: BTreeMap<String, OwnedFd>,
    session: u32,
    last_client: u64,
}

struct Running {
    daemon: Process,
    control: OwnedFd,
    since: Instant,
    /// It said that it serves.
    serves: bool,
    /// It said that it is about to end, with all its state in its snapshot.
    hands_over: bool,
}

/// What made [`Supervisor::serve`] return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// A signal: all is over.
    Signal,
    /// The daemon is gone.
    Gone,
    /// It has not come to serve in time.
    Late,
}

/// Runs until a signal ends it; the daemon ends with it.
///
/// # Errors
/// The sockets, the state directory or the program's first start.
pub fn run(config: Config) -> anyhow::Result<()> {
    let mut signals = signal_pipe()?;
    let listeners = listen::bind(&config.run_dir)?;
    let session = next_session(&config.state_dir)?;
    let mut supervisor = Supervisor {
        programs: Programs::new(config.program.clone()),
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
    let running = supervisor.start()?;
    supervisor.keep_running(Some(running), &mut signals)
}

/// The same in the place of a supervisor that died: the daemon at the other end of `control`, this process' parent, tells
/// everything that it kept.
///
/// # Errors
/// The daemon does not tell enough.
pub fn adopt(config: Config, control: OwnedFd) -> anyhow::Result<()> {
    let daemon = Process::parent()?;
    let mut signals = signal_pipe()?;
    let mut programs = Programs::new(config.program.clone());
    programs.adopt(&daemon);
    let (mut pipes, mut listeners, mut last_client, mut session) = (None, Vec::new(), 0, 0);
    let (mut clients, mut stored) = (BTreeMap::new(), BTreeMap::new());
    // If the daemon dies meanwhile, the next one gets what was told.
    while let Some((message, fds)) = keeper::receive::<ToDaemon>(&control, RecvFlags::empty())? {
        match message {
            ToDaemon::Pipes(number) => (pipes, session) = (Some(fds), number),
            ToDaemon::Listener(read_only) => {
                listeners.extend(fds.into_iter().map(|socket| Listener { socket, read_only }));
            }
            ToDaemon::Client(id, read_only) => clients.extend(fds.into_iter().map(|fd| (id, (fd, read_only)))),
            ToDaemon::LastClient(id) => last_client = id,
            ToDaemon::Stored(name) => stored.extend(fds.into_iter().next().map(|fd| (name, fd))),
            ToDaemon::Program(program) => programs.file = program.into(),
            ToDaemon::Outcome(_) => {}
            ToDaemon::Ready => break,
        }
    }
    let pipes: Result<[OwnedFd; 4], _> = pipes.context("the daemon tells of no pipes")?.try_into();
    let [a, b, c, d] = pipes.map_err(|_| anyhow::anyhow!("four pipe ends were expected"))?;
    let mut supervisor = Supervisor {
        programs,
        config,
        listeners,
        input: Pipe { reader: a, writer: b },
        output: Pipe { reader: c, writer: d },
        clients,
        stored,
        session,
        last_client: last_client.max(u64::from(session) << 32),
    };
    listen::ready(supervisor.config.pid_file.as_deref())?;
    let running = Running { daemon, control, since: Instant::now(), serves: true, hands_over: false };
    supervisor.keep_running(Some(running), &mut signals)
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

/// Waits; whether a signal came.
fn paused(signals: &mut UnixStream, delay: Duration) -> bool {
    let Ok(delay) = Timespec::try_from(delay) else { return false };
    let mut fds = [PollFd::new(&*signals, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&delay)), Ok(1..))
}

impl Supervisor {
    /// Serves, and starts the daemon again whenever it ends, until a signal comes.
    fn keep_running(&mut self, first: Option<Running>, signals: &mut UnixStream) -> anyhow::Result<()> {
        let (mut next, mut delay) = (first, Duration::ZERO);
        loop {
            let mut running = match next.take() {
                Some(running) => running,
                None => match self.start() {
                    Ok(running) => running,
                    Err(error) => {
                        delay =
                            if self.programs.refused(&format!("{error:#}")) { Duration::ZERO } else { LONGEST_PAUSE };
                        if paused(signals, delay) {
                            return Ok(());
                        }
                        continue;
                    }
                },
            };
            let end = self.serve(&mut running, signals)?;
            if end != End::Gone {
                // Its state is in its journal at every moment: there is nothing to wait for.
                running.daemon.kill();
            }
            let status = running.daemon.wait();
            let lived = running.since.elapsed();
            if end == End::Signal {
                return Ok(());
            }
            delay = if running.hands_over {
                info!("the daemon handed over to {}", self.programs.file.display());
                Duration::ZERO
            } else if running.serves || end == End::Gone && status.killed() {
                warn!("the daemon ended ({status}) after {:.1} s; starting it again", lived.as_secs_f64());
                status.pause(lived, delay)
            } else {
                let why = if end == End::Late {
                    "it does not come to serve".to_owned()
                } else {
                    format!("it ended ({status})")
                };
                if self.programs.refused(&why) { Duration::ZERO } else { status.pause(lived, delay) }
            };
            if paused(signals, delay) {
                return Ok(());
            }
        }
    }

    fn start(&mut self) -> anyhow::Result<Running> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .context("cannot make a socket pair")?;
        let daemon = self.programs.start(&self.config.args, theirs)?;
        let running = Running { daemon, control: ours, since: Instant::now(), serves: false, hands_over: false };
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
        let program = self.programs.file.display().to_string();
        keeper::send(control, &ToDaemon::Program(program), &[], SendFlags::empty())?;
        if let Some(outcome) = &self.programs.outcome {
            keeper::send(control, &ToDaemon::Outcome(outcome.clone()), &[], SendFlags::empty())?;
        }
        keeper::send(control, &ToDaemon::Ready, &[], SendFlags::empty())
    }

    /// Serves until the daemon ends, is late, or a signal comes.
    fn serve(&mut self, running: &mut Running, signals: &mut UnixStream) -> anyhow::Result<End> {
        loop {
            // Who takes over has to serve before long, if there is another that would.
            let patience = (!running.serves && self.programs.has_other())
                .then(|| PATIENCE.saturating_sub(running.since.elapsed()));
            if patience.is_some_and(|left| left.is_zero()) {
                return Ok(End::Late);
            }
            let patience = patience.and_then(|left| Timespec::try_from(left).ok());
            let mut fds: Vec<PollFd<'_>> = [signals.as_fd(), running.control.as_fd()]
                .into_iter()
                .chain(self.listeners.iter().map(|l| l.socket.as_fd()))
                .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
                .collect();
            match poll(&mut fds, patience.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e).context("poll failed"),
            }
            let ready: Vec<bool> = fds.iter().map(|f| !f.revents().is_empty()).collect();
            drop(fds);
            if ready.first() == Some(&true) {
                let mut byte = [0];
                let _ = signals.read(&mut byte);
                info!("ending on a signal");
                return Ok(End::Signal);
            }
            for (i, _) in ready.iter().enumerate().skip(2).filter(|(_, r)| **r) {
                self.accept(i - 2, running.control.as_fd());
            }
            if ready.get(1) == Some(&true) && !self.hear(running) {
                return Ok(End::Gone);
            }
        }
    }

    fn accept(&mut self, listener: usize, control: BorrowedFd<'_>) {
        let Some(l) = self.listeners.get(listener) else { return };
        match listen::accept(&l.socket) {
            Ok(Some(socket)) => {
                self.last_client += 1;
                let id = self.last_client;
                // Killed exactly here, it takes the client along: nobody else has its descriptor yet.
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
    fn hear(&mut self, running: &mut Running) -> bool {
        loop {
            match keeper::receive::<ToKeeper>(&running.control, RecvFlags::DONTWAIT) {
                Ok(Some((ToKeeper::Forget(id), _))) => {
                    self.clients.remove(&id);
                }
                Ok(Some((ToKeeper::Store(name), fds))) => {
                    self.stored.extend(fds.into_iter().next().map(|fd| (name, fd)))
                }
                Ok(Some((ToKeeper::Unstore(name), _))) => {
                    self.stored.remove(&name);
                }
                Ok(Some((ToKeeper::Serving, _))) => {
                    running.serves = true;
                    self.programs.serves();
                }
                Ok(Some((ToKeeper::HandOver(program), _))) => {
                    running.hands_over = true;
                    self.programs.go_over_to(program.into());
                }
                Ok(None) => return false,
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return true,
                // A newer daemon may say what this supervisor does not know.
                Err(e) => warn!("a message of the daemon is not understood: {e}"),
            }
        }
    }
}
