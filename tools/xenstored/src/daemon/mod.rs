//! The daemon's loop: whoever is ready gets a turn, then what waits is delivered.

mod clients;
mod successor;
mod update;

use crate::durable::Durable;
use crate::engine::{Happening, SOCKET_QUEUE_PAUSE, Todo};
use crate::journal::{CHUNK_MAX, StoreError};
use crate::keeper::ToKeeper;
use crate::listen::{self, Listener};
use crate::pump::{Gave, Pump, Took};
use crate::rings::{self, DomainEvent, DomainTransport};
use crate::state::{ConnId, QuotaKind, Quotas};
use crate::throttle::{Limits, LogLimiter, Throttle, Why};
use anyhow::Context as _;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tracing::{error, info, warn};
use xen_wire::xenstore::ring::ConnError;

const CONTROL: Token = Token(usize::MAX - 1);
const DOMAINS: Token = Token(usize::MAX - 2);
const LISTENERS: usize = usize::MAX - 8;

/// The same complaint about the same domain is written once in this time.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// How long new clients wait between two looks for room.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What the daemon needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The directory of the sockets, for a daemon without a supervisor.
    pub run_dir: PathBuf,
    /// The directory of snapshot and journal.
    pub state_dir: PathBuf,
    /// Quotas of a new store.
    pub quotas: Quotas,
    /// Limits on every domain's rate.
    pub limits: Limits,
    /// Written once clients can connect, by a daemon without a supervisor.
    pub pid_file: Option<PathBuf>,
}

struct Client {
    socket: OwnedFd,
    readable: bool,
    writable: bool,
    gone: bool,
}

/// The running daemon.
pub struct Daemon<T: DomainTransport> {
    durable: Durable,
    pump: Pump,
    poll: Poll,
    transport: T,
    clients: BTreeMap<u64, Client>,
    /// Clients that may have input, in the order of their turns.
    turns: VecDeque<u64>,
    /// What is still to be done for the engine.
    todo: VecDeque<Todo>,
    /// News of domains that the engine does not know yet.
    news: VecDeque<DomainEvent>,
    /// New clients wait for room in the journal.
    doors_closed: bool,
    /// Rings that may have input.
    rings: BTreeSet<u16>,
    /// Connections with bytes that wait.
    unsent: BTreeSet<ConnId>,
    control: Option<OwnedFd>,
    to_keeper: VecDeque<ToKeeper>,
    listeners: Vec<Listener>,
    last_client: u64,
    throttle: Throttle,
    throttled: LogLimiter<(u16, Why)>,
    quota_log: LogLimiter<(u16, QuotaKind)>,
    start: Instant,
    trace: bool,
    /// Set by a signal, or because somebody asked for it: hand over to the next daemon.
    hand_over: Arc<AtomicBool>,
    /// The program that shall take over, if another than `program`.
    next: Option<PathBuf>,
    /// The program that the supervisor would start.
    program: Option<PathBuf>,
    /// How the update went that the daemon before this one was asked for.
    outcome: Option<Result<(), String>>,
    /// The supervisor's session.
    session: u32,
    /// A supervisor that this daemon started, after its own died.
    supervisor: Option<std::process::Child>,
    /// How to start one.
    supervisor_args: Option<Vec<std::ffi::OsString>>,
}

impl<T: DomainTransport> Daemon<T> {
    /// Brings back the state, and takes over what the keeper (at `control`) kept. Without a keeper the daemon
    /// listens itself, and its clients' connections die with it.
    pub fn new(config: &Config, control: Option<OwnedFd>, transport: T) -> anyhow::Result<Self> {
        let durable = Durable::open(&config.state_dir, &config.quotas)?;
        let mut this = Daemon {
            durable,
            pump: Pump::Direct,
            poll: Poll::new().context("cannot make an epoll")?,
            transport,
            clients: BTreeMap::new(),
            turns: VecDeque::new(),
            todo: VecDeque::new(),
            news: VecDeque::new(),
            doors_closed: false,
            rings: BTreeSet::new(),
            unsent: BTreeSet::new(),
            control: None,
            to_keeper: VecDeque::new(),
            listeners: Vec::new(),
            last_client: 0,
            throttle: Throttle::new(config.limits),
            throttled: LogLimiter::new(LOG_EVERY),
            quota_log: LogLimiter::new(LOG_EVERY),
            start: Instant::now(),
            trace: false,
            hand_over: Arc::default(),
            next: None,
            program: None,
            outcome: None,
            session: 0,
            supervisor: None,
            supervisor_args: None,
        };
        this.last_client = this.known_clients().last().copied().unwrap_or(0);
        match control {
            Some(control) => this.take_over(control)?,
            None => {
                this.listeners = listen::bind(&config.run_dir)?;
                this.listen()?;
                listen::ready(config.pid_file.as_deref())?;
            }
        }
        this.reconcile_clients()?;
        this.reattach_domains()?;
        this.work()?;
        this.outcome = None;
        if this.control.is_some() {
            this.to_keeper.push_back(ToKeeper::Serving);
            this.tell_keeper();
        }
        Ok(this)
    }

    fn reattach_domains(&mut self) -> Result<(), StoreError> {
        let domains: Vec<_> = self.durable.engine().state().domains().map(|(id, d)| (id, d.gfn, d.port)).collect();
        for (domid, gfn, port) in domains {
            match self.transport.connect(domid, gfn, port) {
                Ok(()) => {
                    if let Some(page) = self.transport.page(domid) {
                        rings::settle(&mut self.durable, domid, page)?;
                    }
                    self.rings.insert(domid);
                    self.unsent.insert(ConnId::domain(domid));
                }
                Err(e) => {
                    warn!("domain {domid} cannot be reached any more ({e}): releasing it");
                    self.durable.happened(&Happening::Gone(domid))?;
                }
            }
        }
        if let Some((gfn, port)) = self.transport.control_domain()
            && !self.durable.engine().state().domains().any(|(id, _)| id == 0)
        {
            match self.transport.connect(0, gfn, port) {
                Ok(()) => {
                    let base = self.transport.page(0).map_or((0, 0), rings::base);
                    self.durable.happened(&Happening::ControlDomain(gfn, port, base))?;
                    self.rings.insert(0);
                }
                Err(e) => error!("the control domain's ring cannot be mapped: {e}"),
            }
        }
        if let Some(fd) = self.transport.fd() {
            let fd = fd.as_raw_fd();
            if let Err(e) = self.poll.registry().register(&mut SourceFd(&fd), DOMAINS, Interest::READABLE) {
                error!("event channels cannot be waited for: {e}");
            }
        }
        Ok(())
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Set this and interrupt the daemon by a signal, and [`Daemon::run`] returns, leaving a snapshot and an empty
    /// journal: for a new version of the program, which need not do what the old one did with the same inputs. If there is
    /// none that could take over, it goes on.
    pub fn hand_over_flag(&self) -> Arc<AtomicBool> {
        self.hand_over.clone()
    }

    /// Runs until it fails or is told to hand over. (Against a sudden end nothing needs to be saved.)
    pub fn run(&mut self) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(256);
        let mut timeout = Some(Duration::ZERO);
        loop {
            if self.hand_over.swap(false, Ordering::Relaxed) {
                if self.hands_over()? {
                    return Ok(());
                }
                // Who asked is told why not.
                timeout = Some(Duration::ZERO);
            }
            match self.poll.poll(&mut events, timeout) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                other => other.context("waiting failed")?,
            }
            if self.hand_over.load(Ordering::Relaxed) {
                continue;
            }
            for event in &events {
                match event.token() {
                    CONTROL => self.hear_keeper()?,
                    DOMAINS => self.hear_domains(),
                    Token(t) if t >= LISTENERS => self.accept(t - LISTENERS)?,
                    Token(t) => {
                        if let Some(c) = self.clients.get_mut(&(t as u64)) {
                            c.writable |= event.is_writable();
                            if (event.is_readable() || event.is_read_closed() || event.is_error()) && !c.readable {
                                c.readable = true;
                                self.turns.push_back(t as u64);
                            }
                            if event.is_writable() {
                                let id = ConnId(t as u64);
                                if self.durable.engine().out(id).is_some_and(|o| !o.is_empty()) {
                                    self.unsent.insert(id);
                                }
                            }
                        }
                    }
                }
            }
            if std::mem::take(&mut self.doors_closed) {
                self.hear_keeper()?;
                for i in 0..self.listeners.len() {
                    self.accept(i)?;
                }
            }
            timeout = match self.step() {
                Ok(timeout) => timeout,
                Err(e) => {
                    // A full disk: nothing is taken until there is room again, and nothing is lost.
                    error!("requests wait: {e}");
                    std::thread::sleep(Duration::from_millis(200));
                    Some(Duration::ZERO)
                }
            };
            if self.doors_closed {
                timeout = Some(timeout.map_or(LOOK_AGAIN, |t| t.min(LOOK_AGAIN)));
            }
        }
    }

    /// One round. Returns how long to wait at most for the next event.
    fn step(&mut self) -> Result<Option<Duration>, StoreError> {
        self.tell_engine()?;
        // Before the round, so that what it delivers is seen by the turns.
        self.deliver()?;
        for _ in 0..self.turns.len() {
            // Whatever fails for want of room fails here, where nobody has lost its place yet.
            self.durable.make_room()?;
            let Some(id) = self.turns.pop_front() else { break };
            if self.turn(id)? {
                self.turns.push_back(id);
            }
            self.work()?;
        }
        let wait = self.ring_turns()?;
        self.deliver()?;
        self.tell_keeper();
        if !self.turns.is_empty() {
            let all_paused = self.turns.iter().all(|id| !self.durable.engine().wants_input(ConnId(*id)));
            if !all_paused {
                return Ok(Some(Duration::ZERO));
            }
        }
        let keeper_busy = (!self.to_keeper.is_empty()).then(|| Duration::from_millis(10));
        Ok([wait, keeper_busy].into_iter().flatten().min())
    }

    /// A client's turn. Returns whether it may have more.
    fn turn(&mut self, id: u64) -> Result<bool, StoreError> {
        let conn = ConnId(id);
        let Some(client) = self.clients.get_mut(&id) else { return Ok(false) };
        if !self.durable.engine().wants_input(conn) {
            // Paused, for a ring to be mapped or because the client does not read: it stays in line.
            return Ok(!client.gone);
        }
        match self.pump.take(&mut self.durable, conn, client.socket.as_fd(), CHUNK_MAX) {
            // A chunk shorter than the pipe has slots cannot have been cut off by the pipe.
            Ok(Took::Some(n)) => {
                client.readable = n >= 200;
                Ok(client.readable)
            }
            Ok(Took::Nothing) => {
                client.readable = false;
                Ok(false)
            }
            Ok(Took::Gone) => {
                client.gone = true;
                self.close(conn)?;
                Ok(false)
            }
            Err(e) => {
                warn!("connection {id}: {e}");
                client.gone = true;
                self.close(conn)?;
                Ok(false)
            }
        }
    }

    /// Every ring's turn, as far as the limits allow. Returns when the next one may have it.
    fn ring_turns(&mut self) -> Result<Option<Duration>, StoreError> {
        let mut next: Option<Duration> = None;
        for domid in self.rings.clone() {
            self.durable.make_room()?;
            let now = self.now();
            if let Some((wait, why)) = self.throttle.wait(domid, now) {
                if let Some(left_out) = self.throttled.allow((domid, why), now) {
                    let what = match why {
                        Why::Rate => "sends too many requests",
                        Why::Conflicts => "makes transactions of others fail",
                    };
                    warn!("domain {domid} {what}: held back ({left_out} like this not shown)");
                }
                next = Some(next.map_or(wait, |n| n.min(wait)));
                continue;
            }
            self.rings.remove(&domid);
            let Some(page) = self.transport.page(domid) else { continue };
            let conn = ConnId::domain(domid);
            let before = self.durable.engine().requests(conn);
            let more = rings::take(&mut self.durable, domid, page)?;
            let spent = self.durable.engine().requests(conn).saturating_sub(before);
            self.throttle.spent(domid, spent, now);
            if more {
                self.transport.notify(domid);
                // It may have put more there meanwhile.
                self.rings.insert(domid);
                next = Some(Duration::ZERO);
            }
            self.unsent.insert(conn);
            self.work()?;
        }
        Ok(next)
    }

    /// Delivers what waits, to whoever can take it.
    fn deliver(&mut self) -> Result<(), StoreError> {
        for conn in self.unsent.clone() {
            // Deliveries are journalled too.
            self.durable.make_room()?;
            self.unsent.remove(&conn);
            match conn.as_domain() {
                Some(domid) => {
                    if let Some(page) = self.transport.page(domid)
                        && rings::give(&mut self.durable, domid, page)?
                    {
                        self.transport.notify(domid);
                    }
                }
                None => {
                    let Some(c) = self.clients.get_mut(&conn.0).filter(|c| c.writable) else { continue };
                    match self.pump.give(&mut self.durable, conn, c.socket.as_fd()) {
                        Ok(Gave::All) => {}
                        Ok(Gave::Full) => c.writable = false,
                        Ok(Gave::Gone) => self.close(conn)?,
                        Err(e) => {
                            warn!("connection {}: {e}", conn.0);
                            self.close(conn)?;
                        }
                    }
                }
            }
        }
        self.work()
    }

    /// Does what the engine asks for.
    fn work(&mut self) -> Result<(), StoreError> {
        loop {
            self.todo.extend(self.durable.todo.drain(..));
            if self.todo.is_empty() {
                return Ok(());
            }
            self.durable.make_room()?;
            if let Some(todo) = self.todo.pop_front() {
                self.perform(todo)?;
            }
        }
    }

    fn perform(&mut self, todo: Todo) -> Result<(), StoreError> {
        match todo {
            Todo::Flush(conn) => {
                self.unsent.insert(conn);
            }
            Todo::Close(conn, why) => match conn.as_domain() {
                Some(domid) => {
                    warn!("domain {domid} broke the protocol ({why:?}): its ring is dead until it asks for a reset");
                    if let Some(page) = self.transport.page(domid) {
                        rings::cut_off(page, why);
                    }
                    self.transport.notify(domid);
                }
                None => {
                    let reason = if why == ConnError::Comm { "it does not read" } else { "a payload above 4096 bytes" };
                    warn!("closing connection {}: {reason}", conn.0);
                    self.close(conn)?;
                }
            },
            Todo::ConnectRing(requester, domid, gfn, port) => {
                let result = self.transport.connect(domid, gfn, port);
                let result = match result {
                    Ok(()) => Ok(self.transport.page(domid).map_or((0, 0), rings::base)),
                    Err(e) => Err(e.name().to_owned()),
                };
                if result.is_ok() {
                    self.rings.insert(domid);
                }
                self.durable.happened(&Happening::Ring(requester, result))?;
            }
            Todo::DisconnectRing(domid) => {
                self.transport.disconnect(domid);
                self.rings.remove(&domid);
                self.throttle.forget(domid);
            }
            Todo::QuotaHit(domid, quota, limit) => {
                if let Some(left_out) = self.quota_log.allow((domid, quota), self.start.elapsed()) {
                    warn!(
                        "domain {domid} hit its quota {} ({limit}: {}); {left_out} like this not shown",
                        quota.name(),
                        quota.meaning()
                    );
                }
            }
            Todo::Blame(domid) => {
                let now = self.now();
                self.throttle.blame(domid, now);
            }
            Todo::Log(line) => info!("{line}"),
            Todo::Update(requester, program) => self.update(requester, program)?,
            Todo::Trace(on) => {
                self.trace = on;
                info!("log of connections {}", if on { "on" } else { "off" });
            }
        }
        Ok(())
    }

    fn hear_domains(&mut self) {
        let mut events = Vec::new();
        self.transport.poll(&mut events);
        self.news.extend(events);
    }

    /// Passes on the news of domains.
    fn tell_engine(&mut self) -> Result<(), StoreError> {
        while !self.news.is_empty() {
            self.durable.make_room()?;
            match self.news.pop_front() {
                Some(DomainEvent::Ring(domid)) => {
                    self.rings.insert(domid);
                    self.unsent.insert(ConnId::domain(domid));
                }
                Some(DomainEvent::Shutdown(domid)) => self.durable.happened(&Happening::Shutdown(domid))?,
                Some(DomainEvent::Gone(domid)) => self.durable.happened(&Happening::Gone(domid))?,
                None => {}
            }
            self.work()?;
        }
        self.work()
    }
}

// The queue pauses a socket well before it is closed.
const _: () = assert!(SOCKET_QUEUE_PAUSE < crate::engine::SOCKET_QUEUE_MAX);
