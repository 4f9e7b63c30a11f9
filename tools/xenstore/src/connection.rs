//! The connection: requests and replies, watch events in between, transactions.

use crate::{Access, Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};
use xen_wire::xenstore::{HEADER_SIZE, Header, MsgType, Request, Strings, XsError, split_message};

/// The daemon's socket in the control domain.
pub const DEFAULT_SOCKET: &str = "/run/xenstored/socket";
/// The kernel's way to the daemon, in any domain.
const DEVICES: [&str; 2] = ["/dev/xen/xenbus", "/proc/xen/xenbus"];
/// After so many conflicts, a transaction is given up.
const MAX_CONFLICTS: u32 = 1000;

#[derive(Debug)]
enum Link {
    Socket(UnixStream),
    Device(File),
}

impl Link {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Link::Socket(s) => s.write_all(bytes),
            Link::Device(f) => f.write_all(bytes),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Link::Socket(s) => s.read(into),
            Link::Device(f) => f.read(into),
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Link::Socket(s) => s.as_fd(),
            Link::Device(f) => f.as_fd(),
        }
    }
}

/// A watch fired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchEvent {
    /// What changed.
    pub path: String,
    /// The watch's token.
    pub token: Vec<u8>,
}

/// A connection to the daemon.
#[derive(Debug)]
pub struct Xenstore {
    link: Link,
    last_id: u32,
    received: Vec<u8>,
    events: VecDeque<WatchEvent>,
    patience: Option<Duration>,
}

impl Xenstore {
    /// Connects: to the socket that `XENSTORED_PATH` names, else to the one of `XENSTORED_RUNDIR`, else to the
    /// standard one, else through the kernel.
    pub fn open() -> Result<Xenstore> {
        if let Some(path) = std::env::var_os("XENSTORED_PATH") {
            return Self::open_socket(path.as_ref());
        }
        if let Some(dir) = std::env::var_os("XENSTORED_RUNDIR") {
            return Self::open_socket(&Path::new(&dir).join("socket"));
        }
        let refused = match Self::open_socket(DEFAULT_SOCKET.as_ref()) {
            Ok(xs) => return Ok(xs),
            Err(e) => e,
        };
        for device in DEVICES {
            if let Ok(file) = File::options().read(true).write(true).open(device) {
                return Ok(Self::over(Link::Device(file)));
            }
        }
        Err(refused)
    }

    /// Connects to a socket.
    pub fn open_socket(path: &Path) -> Result<Xenstore> {
        match UnixStream::connect(path) {
            Ok(stream) => Ok(Self::over(Link::Socket(stream))),
            Err(source) => Err(Error::Unreachable { path: path.to_owned(), source }),
        }
    }

    fn over(link: Link) -> Xenstore {
        Xenstore { link, last_id: 0, received: Vec::new(), events: VecDeque::new(), patience: None }
    }

    /// How long a reply is waited for. Without it, for ever: the daemon may be about to start again. After
    /// [`Error::TimedOut`] the connection is of no use any more.
    pub fn set_patience(&mut self, patience: Option<Duration>) {
        self.patience = patience;
    }

    /// Whether a whole message arrives before `deadline`.
    fn wait(&mut self, deadline: Option<Instant>) -> Result<bool> {
        while split_message(&self.received).map_err(|_| Error::Protocol("a message above 4096 bytes"))?.is_none() {
            if let Some(deadline) = deadline {
                let left = deadline.saturating_duration_since(Instant::now());
                let left = Timespec::try_from(left).map_err(|_| Error::TimedOut)?;
                let mut fds = [PollFd::new(&self.link, PollFlags::IN)];
                match poll(&mut fds, Some(&left)) {
                    Ok(0) => return Ok(false),
                    Ok(_) => {}
                    Err(rustix::io::Errno::INTR) => continue,
                    Err(e) => return Err(Error::Broken(e.into())),
                }
            }
            let mut buf = [0; HEADER_SIZE + 4096];
            match self.link.read(&mut buf) {
                Ok(0) => return Err(Error::Broken(io::ErrorKind::UnexpectedEof.into())),
                Ok(n) => self.received.extend_from_slice(buf.get(..n).unwrap_or_default()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(true)
    }

    /// The next message that is no watch event; events are kept.
    fn receive(&mut self, deadline: Option<Instant>) -> Result<Option<(Header, Vec<u8>)>> {
        if !self.wait(deadline)? {
            return Ok(None);
        }
        let Ok(Some((header, payload, rest))) = split_message(&self.received) else { return Ok(None) };
        let (payload, left) = (payload.to_vec(), rest.len());
        self.received.drain(..self.received.len() - left);
        if header.kind == MsgType::WatchEvent.as_u32() {
            let mut s = Strings::new(&payload);
            let (Some(path), Some(token)) = (s.next(), s.next()) else {
                return Err(Error::Protocol("a watch event without path and token"));
            };
            let path = String::from_utf8_lossy(path).into_owned();
            self.events.push_back(WatchEvent { path, token: token.to_vec() });
            return Ok(None);
        }
        Ok(Some((header, payload)))
    }

    fn call_in(&mut self, tx_id: u32, request: &Request<'_>) -> Result<Vec<u8>> {
        self.last_id = self.last_id.wrapping_add(1);
        let (op, id) = (request.kind(), self.last_id);
        let mut message = Vec::new();
        if let Err(e) = request.encode(id, tx_id, &mut message) {
            return Err(Error::TooLong { op, what: what(request), len: e.len });
        }
        self.link.write_all(&message)?;
        let deadline = self.patience.map(|patience| Instant::now() + patience);
        let (header, payload) = loop {
            if let Some(reply) = self.receive(deadline)? {
                break reply;
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(Error::TimedOut);
            }
        };
        if header.req_id != id {
            return Err(Error::Protocol("a reply to another request"));
        }
        if header.kind == MsgType::Error.as_u32() {
            let name = payload.strip_suffix(b"\0").unwrap_or(&payload);
            let error = XsError::from_name(name).unwrap_or(XsError::EIO);
            return Err(Error::Refused { op, what: what(request), error });
        }
        if header.kind != op.as_u32() {
            return Err(Error::Protocol("a reply of another type"));
        }
        Ok(payload)
    }

    /// Sets up a watch; the first event comes at once. `depth`: levels below `path` that count, `None` for all
    /// (other daemons than ours know only that).
    pub fn watch(&mut self, path: &str, token: &[u8], depth: Option<u32>) -> Result<()> {
        self.call(&Request::Watch { path: path.as_bytes(), token, depth }).map(drop)
    }

    /// Removes a watch.
    pub fn unwatch(&mut self, path: &str, token: &[u8]) -> Result<()> {
        self.call(&Request::Unwatch(path.as_bytes(), token)).map(drop)
    }

    /// The next watch event; `None` after `timeout`. Without a timeout, waits for ever.
    pub fn next_event(&mut self, timeout: Option<Duration>) -> Result<Option<WatchEvent>> {
        let deadline = timeout.map(|t| Instant::now() + t);
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            match self.receive(deadline)? {
                Some(_) => return Err(Error::Protocol("a reply that nobody asked for")),
                None if !self.events.is_empty() => {}
                None if deadline.is_some_and(|d| Instant::now() >= d) => return Ok(None),
                None => {}
            }
        }
    }

    /// Begins a transaction. Dropped without [`Transaction::commit`], it is undone.
    pub fn begin(&mut self) -> Result<Transaction<'_>> {
        let reply = self.call(&Request::TransactionStart)?;
        let text = reply.strip_suffix(b"\0").unwrap_or(&reply);
        let id = std::str::from_utf8(text).ok().and_then(|t| t.parse().ok()).filter(|id| *id != 0);
        let id = id.ok_or(Error::Protocol("a transaction id that is none"))?;
        Ok(Transaction { xs: self, id, ended: false })
    }

    /// Runs `body` in a transaction and commits it; again, as long as it conflicts with other changes. `body`
    /// must do nothing outside of the transaction.
    pub fn transaction<R>(&mut self, mut body: impl FnMut(&mut Transaction<'_>) -> Result<R>) -> Result<R> {
        for _ in 0..MAX_CONFLICTS {
            let mut t = self.begin()?;
            let done = body(&mut t)?;
            match t.commit() {
                Ok(()) => return Ok(done),
                Err(e) if e.refused() == Some(XsError::EAGAIN) => {}
                Err(e) => return Err(e),
            }
        }
        Err(Error::Conflicts(MAX_CONFLICTS))
    }

    /// Connects the daemon to a domain's ring.
    pub fn introduce(&mut self, domid: u16, gfn: u64, port: u32) -> Result<()> {
        self.call(&Request::Introduce { domid, gfn, port }).map(drop)
    }

    /// Disconnects a domain.
    pub fn release(&mut self, domid: u16) -> Result<()> {
        self.call(&Request::Release(domid)).map(drop)
    }

    /// Whether a domain is connected.
    pub fn is_introduced(&mut self, domid: u16) -> Result<bool> {
        Ok(self.call(&Request::IsDomainIntroduced(domid))?.first() == Some(&b'T'))
    }

    /// A domain's home.
    pub fn domain_path(&mut self, domid: u16) -> Result<String> {
        let reply = self.call(&Request::GetDomainPath(domid))?;
        Ok(String::from_utf8_lossy(reply.strip_suffix(b"\0").unwrap_or(&reply)).into_owned())
    }

    /// Rearms the shutdown event of a domain.
    pub fn resume(&mut self, domid: u16) -> Result<()> {
        self.call(&Request::Resume(domid)).map(drop)
    }

    /// Gives `domid` the rights of `target`.
    pub fn set_target(&mut self, domid: u16, target: u16) -> Result<()> {
        self.call(&Request::SetTarget(domid, target)).map(drop)
    }

    /// Talks to the daemon itself.
    pub fn control(&mut self, args: &[&str]) -> Result<String> {
        let joined: Vec<u8> = args.iter().flat_map(|a| a.bytes().chain([0])).collect();
        let reply = self.call(&Request::Control(Strings::new(&joined)))?;
        Ok(String::from_utf8_lossy(reply.strip_suffix(b"\0").unwrap_or(&reply)).into_owned())
    }
}

/// Readable when a message waits; take events with [`Xenstore::next_event`] until there is none before waiting for it.
impl AsFd for Xenstore {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }
}

impl Access for Xenstore {
    fn call(&mut self, request: &Request<'_>) -> Result<Vec<u8>> {
        self.call_in(0, request)
    }
}

/// An open transaction.
#[derive(Debug)]
pub struct Transaction<'a> {
    xs: &'a mut Xenstore,
    id: u32,
    ended: bool,
}

impl Transaction<'_> {
    /// Makes everything that was written visible at once. `EAGAIN` if something that was looked at has changed.
    pub fn commit(mut self) -> Result<()> {
        self.end(true)
    }

    fn end(&mut self, commit: bool) -> Result<()> {
        self.ended = true;
        self.xs.call_in(self.id, &Request::TransactionEnd(commit)).map(drop)
    }
}

impl Access for Transaction<'_> {
    fn call(&mut self, request: &Request<'_>) -> Result<Vec<u8>> {
        self.xs.call_in(self.id, request)
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // If the daemon cannot be told, it finds out when the connection ends.
            let _ = self.end(false);
        }
    }
}

/// What a request is about, for messages.
fn what(request: &Request<'_>) -> String {
    match request {
        Request::Directory(p)
        | Request::DirectoryPart(p, _)
        | Request::Read(p)
        | Request::GetPerms(p)
        | Request::Unwatch(p, _)
        | Request::Write(p, _)
        | Request::Mkdir(p)
        | Request::Rm(p)
        | Request::SetPerms(p, _)
        | Request::Watch { path: p, .. } => String::from_utf8_lossy(p).into_owned(),
        Request::Introduce { domid, .. }
        | Request::Release(domid)
        | Request::GetDomainPath(domid)
        | Request::IsDomainIntroduced(domid)
        | Request::Resume(domid)
        | Request::SetTarget(domid, _) => format!("domain {domid}"),
        Request::Control(args) => {
            let args: Vec<_> = args.clone().map(String::from_utf8_lossy).collect();
            args.join(" ")
        }
        Request::TransactionStart | Request::TransactionEnd(_) | Request::ResetWatches => String::new(),
    }
}
