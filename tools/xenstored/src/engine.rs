//! The state machine with its byte streams: inputs go in, bytes for each connection come out.
//!
//! An engine is a function of the sequence of its inputs. The daemon writes every input to its journal before
//! the engine sees it, so that after a `kill -9` the same engine stands again, with the same bytes queued,
//! less those whose delivery was an input too.

use crate::outqueue::OutQueue;
use crate::state::{ConnId, Effect, Effects, Peer, QuotaKind, Quotas, State};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use xen_wire::xenstore::ring::ConnError;
use xen_wire::xenstore::{XsError, split_message};

/// Bytes queued for a socket above which it is closed: its client does not read.
pub const SOCKET_QUEUE_MAX: usize = 64 << 20;
/// Bytes queued for a socket above which no more of its requests are taken.
pub const SOCKET_QUEUE_PAUSE: usize = 256 << 10;

/// What happens to an engine, apart from bytes that arrive and bytes that are delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Happening {
    /// A client connected.
    Connected(ConnId, Peer),
    /// A client is gone.
    Closed(ConnId),
    /// A ring is mapped, or not (an error's name): the answer to [`Todo::ConnectRing`]. With the ring's
    /// indices at that moment (request consumer, response producer).
    Ring(ConnId, Result<(u32, u32), String>),
    /// The control domain's own ring is mapped: frame, port, indices.
    ControlDomain(u64, u32, (u32, u32)),
    /// A domain asked for its ring to be reset.
    RingReset(u16),
    /// A domain broke its ring's indices.
    RingBroken(u16),
    /// A domain shut down.
    Shutdown(u16),
    /// A domain does not exist any more.
    Gone(u16),
    /// Another daemon serves, or none is to be had (why): the answer to [`Todo::Update`].
    Updated(ConnId, Result<(), String>),
}

/// What the daemon has to do for an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Todo {
    /// Bytes wait for this connection.
    Flush(ConnId),
    /// This connection cannot go on: tell the other side if possible, then say [`Happening::Closed`].
    Close(ConnId, ConnError),
    /// Map a ring, then say [`Happening::Ring`].
    ConnectRing(ConnId, u16, u64, u32),
    /// Unmap a ring.
    DisconnectRing(u16),
    /// A quota was hit: domain, quota, limit.
    QuotaHit(u16, QuotaKind, u64),
    /// This domain's write made another's transaction fail.
    Blame(u16),
    /// For the log.
    Log(String),
    /// Switch the log of requests.
    Trace(bool),
    /// Go over to another version of the program, then say [`Happening::Updated`].
    Update(ConnId, Option<String>),
}

/// One connection's streams.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// A message that has not arrived completely, or that waits.
    pub(crate) input: Vec<u8>,
    /// Bytes taken from the connection so far.
    pub(crate) taken: u64,
    /// Requests handled so far.
    pub(crate) requests: u64,
    /// What waits to be delivered.
    pub(crate) out: OutQueue,
    /// Nothing more is taken from it.
    pub(crate) dead: Option<Dead>,
    /// For a ring: what its indices were when `taken` and the delivered position were zero.
    pub(crate) ring_base: (u32, u32),
}

/// Why a stream ended before its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dead {
    /// A payload above the limit.
    Protocol,
    /// Impossible ring indices.
    RingIndex,
    /// The other side does not read.
    Stuck,
}

impl Dead {
    /// What the ring's error field says.
    pub const fn conn_error(self) -> ConnError {
        match self {
            Dead::Protocol => ConnError::Protocol,
            Dead::RingIndex => ConnError::RingIndex,
            Dead::Stuck => ConnError::Comm,
        }
    }
}

/// The engine.
#[derive(Debug, Default)]
pub struct Engine {
    pub(crate) state: State,
    pub(crate) streams: BTreeMap<ConnId, Stream>,
    fx: Effects,
}

impl Engine {
    /// A new, empty store.
    pub fn new(quotas: Quotas) -> Self {
        Engine { state: State::new(quotas), ..Engine::default() }
    }

    pub(crate) fn from_parts(state: State, streams: BTreeMap<ConnId, Stream>) -> Self {
        Engine { state, streams, fx: Effects::default() }
    }

    /// The store.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What waits for a connection.
    pub fn out(&self, id: ConnId) -> Option<&OutQueue> {
        self.streams.get(&id).map(|s| &s.out)
    }

    /// Whether more may be taken from this connection now. A connection that does not take its replies waits.
    pub fn wants_input(&self, id: ConnId) -> bool {
        let Some(s) = self.streams.get(&id) else { return false };
        if s.dead.is_some() || self.state.blocked(id) {
            return false;
        }
        match id.as_domain() {
            Some(0) | None => s.out.len() < SOCKET_QUEUE_PAUSE,
            Some(_) => (s.out.outstanding() as u64) < self.state.quotas().get(QuotaKind::Outstanding),
        }
    }

    /// Requests that this connection has had handled.
    pub fn requests(&self, id: ConnId) -> u64 {
        self.streams.get(&id).map_or(0, |s| s.requests)
    }

    /// For a ring: the consumer and producer index that follow from what was taken and delivered.
    pub fn ring_indices(&self, domid: u16) -> Option<(u32, u32)> {
        let s = self.streams.get(&ConnId::domain(domid))?;
        // Free-running 32-bit indices: the low halves of the positions are what counts.
        let low = |n: u64| (n & 0xffff_ffff) as u32;
        Some((s.ring_base.0.wrapping_add(low(s.taken)), s.ring_base.1.wrapping_add(low(s.out.sent()))))
    }

    /// Bytes arrived on a connection.
    pub fn bytes(&mut self, id: ConnId, data: &[u8], todo: &mut Vec<Todo>) {
        let Some(s) = self.streams.get_mut(&id) else { return };
        s.taken += data.len() as u64;
        if s.dead.is_some() {
            return;
        }
        if s.input.is_empty() && !self.state.blocked(id) {
            let rest = self.run(id, data, todo).len();
            if let (Some(s), Some(rest)) = (self.streams.get_mut(&id), data.get(data.len() - rest..)) {
                s.input.extend_from_slice(rest);
            }
        } else {
            s.input.extend_from_slice(data);
            self.resume(id, todo);
        }
    }

    /// Goes on with what waits in a connection's input.
    fn resume(&mut self, id: ConnId, todo: &mut Vec<Todo>) {
        let Some(s) = self.streams.get_mut(&id) else { return };
        let input = std::mem::take(&mut s.input);
        let rest = self.run(id, &input, todo).len();
        if let Some(s) = self.streams.get_mut(&id) {
            s.input = input;
            s.input.drain(..s.input.len() - rest);
        }
    }

    /// Handles the whole messages at the start of `data`; returns what is left.
    fn run<'d>(&mut self, id: ConnId, mut data: &'d [u8], todo: &mut Vec<Todo>) -> &'d [u8] {
        while !self.state.blocked(id) {
            match split_message(data) {
                Ok(None) => break,
                Ok(Some((header, payload, rest))) => {
                    data = rest;
                    let mut fx = std::mem::take(&mut self.fx);
                    fx.clear();
                    self.state.request(id, header, payload, &mut fx);
                    self.perform(&fx, todo);
                    self.fx = fx;
                    if let Some(s) = self.streams.get_mut(&id) {
                        s.requests += 1;
                    }
                }
                Err(_) => {
                    self.kill(id, Dead::Protocol, todo);
                    return &[];
                }
            }
        }
        data
    }

    fn kill(&mut self, id: ConnId, why: Dead, todo: &mut Vec<Todo>) {
        if let Some(s) = self.streams.get_mut(&id) {
            s.dead = Some(why);
            s.input.clear();
            s.out.clear();
            self.state.reset_connection(id);
            todo.push(Todo::Close(id, why.conn_error()));
        }
    }

    fn perform(&mut self, fx: &Effects, todo: &mut Vec<Todo>) {
        let mut stuck = Vec::new();
        for effect in &fx.list {
            match effect {
                Effect::Reply(id, range) => {
                    if let Some(s) = self.streams.get_mut(id).filter(|s| s.dead.is_none()) {
                        s.out.push_reply(fx.message(range));
                        flush(todo, *id);
                    }
                }
                Effect::Event(id, range) => {
                    let limit = match id.as_domain() {
                        Some(d) if d != 0 => self.state.quotas().get(QuotaKind::Memory),
                        _ => SOCKET_QUEUE_MAX as u64,
                    };
                    let Some(s) = self.streams.get_mut(id).filter(|s| s.dead.is_none()) else { continue };
                    if (s.out.len() + range.len()) as u64 > limit {
                        match id.as_domain() {
                            Some(d) if d != 0 => todo.push(Todo::QuotaHit(d, QuotaKind::Memory, limit)),
                            _ => stuck.push(*id),
                        }
                    } else {
                        s.out.push_event(fx.message(range));
                        flush(todo, *id);
                    }
                }
                Effect::ConnectRing { requester, domid, gfn, port } => {
                    todo.push(Todo::ConnectRing(*requester, *domid, *gfn, *port));
                }
                Effect::DisconnectRing(domid) => {
                    self.streams.remove(&ConnId::domain(*domid));
                    todo.push(Todo::DisconnectRing(*domid));
                }
                Effect::QuotaHit { domid, quota, limit } => todo.push(Todo::QuotaHit(*domid, *quota, *limit)),
                Effect::Blame(domid) => todo.push(Todo::Blame(*domid)),
                Effect::Log(line) => todo.push(Todo::Log(line.clone())),
                Effect::Trace(on) => todo.push(Todo::Trace(*on)),
                Effect::Update { requester, program } => todo.push(Todo::Update(*requester, program.clone())),
            }
        }
        for id in stuck {
            self.kill(id, Dead::Stuck, todo);
        }
    }

    /// The bytes of a connection before position `upto` were delivered.
    pub fn delivered(&mut self, id: ConnId, upto: u64) {
        if let Some(s) = self.streams.get_mut(&id) {
            s.out.delivered(upto);
        }
    }

    /// Something else happened.
    pub fn happened(&mut self, what: &Happening, todo: &mut Vec<Todo>) {
        let mut fx = std::mem::take(&mut self.fx);
        fx.clear();
        match what {
            Happening::Connected(id, peer) => {
                self.state.connect(*id, *peer);
                self.streams.insert(*id, Stream::default());
            }
            Happening::Closed(id) => {
                self.streams.remove(id);
                self.state.disconnect(*id);
            }
            Happening::Ring(requester, result) => {
                let domid = self.state.pending_rings().find(|(r, ..)| r == requester).map(|(_, d, ..)| d);
                if let (Some(domid), Ok(base)) = (domid, result) {
                    self.streams.insert(ConnId::domain(domid), Stream { ring_base: *base, ..Stream::default() });
                }
                let result = match result {
                    Ok(_) => Ok(()),
                    Err(name) => Err(XsError::from_name(name.as_bytes()).unwrap_or(XsError::EINVAL)),
                };
                self.state.ring_connected(*requester, result, &mut fx);
            }
            Happening::ControlDomain(gfn, port, base) => {
                self.streams.insert(ConnId::domain(0), Stream { ring_base: *base, ..Stream::default() });
                self.state.introduce_control_domain(*gfn, *port, &mut fx);
            }
            Happening::RingReset(domid) => {
                let id = ConnId::domain(*domid);
                if let Some(s) = self.streams.get_mut(&id) {
                    *s = Stream::default();
                    self.state.reset_connection(id);
                }
            }
            Happening::RingBroken(domid) => self.kill(ConnId::domain(*domid), Dead::RingIndex, todo),
            Happening::Shutdown(domid) => self.state.domain_shutdown(*domid, &mut fx),
            Happening::Gone(domid) => self.state.domain_gone(*domid, &mut fx),
            Happening::Updated(requester, result) => self.state.updated(*requester, result, &mut fx),
        }
        self.perform(&fx, todo);
        self.fx = fx;
        if let Happening::Ring(requester, _) | Happening::Updated(requester, _) = what {
            self.resume(*requester, todo);
        }
    }

    /// What a daemon that has just loaded this engine must do first.
    pub fn unfinished(&self) -> Vec<Todo> {
        let mut todo = Vec::new();
        for (id, s) in &self.streams {
            if let Some(dead) = s.dead {
                todo.push(Todo::Close(*id, dead.conn_error()));
            } else if !s.out.is_empty() {
                todo.push(Todo::Flush(*id));
            }
        }
        todo.extend(self.state.pending_rings().map(|(r, d, g, p)| Todo::ConnectRing(r, d, g, p)));
        todo.extend(self.state.pending_updates().map(|(requester, program)| Todo::Update(requester, program)));
        todo
    }
}

fn flush(todo: &mut Vec<Todo>, id: ConnId) {
    if todo.last() != Some(&Todo::Flush(id)) {
        todo.push(Todo::Flush(id));
    }
}
