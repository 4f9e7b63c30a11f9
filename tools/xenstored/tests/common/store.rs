//! A state machine to talk to in one line.
#![allow(dead_code)]

use xen_wire::xenstore::{HEADER_SIZE, Header, MsgType, Perm, PermList, Request, split_message};
use xenstored::state::{ConnId, Effect, Effects, Peer, State};

pub const TOOLS: ConnId = ConnId(1);

/// Everything that came of one request, as text: `OK`, `ENOENT`, a value; events as `path token`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub reply: String,
    pub events: Vec<(ConnId, String)>,
    pub others: Vec<Effect>,
}

pub struct Store {
    pub state: State,
    fx: Effects,
    next_id: u32,
}

fn text(payload: &[u8]) -> String {
    let payload = payload.strip_suffix(b"\0").unwrap_or(payload);
    String::from_utf8_lossy(payload).replace('\0', " ")
}

impl Store {
    pub fn new() -> Store {
        let mut state = State::default();
        state.connect(TOOLS, Peer { domid: 0, read_only: false });
        Store { state, fx: Effects::default(), next_id: 0 }
    }

    pub fn raw(&mut self, conn: ConnId, kind: u32, tx: u32, payload: &[u8]) -> Outcome {
        self.next_id += 1;
        self.fx.clear();
        let header = Header { kind, req_id: self.next_id, tx_id: tx, len: payload.len() as u32 };
        self.state.request(conn, header, payload, &mut self.fx);
        self.outcome(Some(kind))
    }

    /// What the effects say; checks that a reply carries the ids of its request.
    pub fn outcome(&mut self, kind: Option<u32>) -> Outcome {
        let mut out = Outcome::default();
        for effect in &self.fx.list {
            match effect {
                Effect::Reply(_, range) => {
                    let (header, payload, rest) = split_message(self.fx.message(range)).unwrap().unwrap();
                    assert!(rest.is_empty() && out.reply.is_empty(), "one reply a request");
                    assert_eq!(header.req_id, self.next_id);
                    assert!(kind.is_none_or(|k| k == header.kind) || header.kind == MsgType::Error.as_u32());
                    out.reply = text(payload);
                }
                Effect::Event(conn, range) => {
                    let (header, payload, _) = split_message(self.fx.message(range)).unwrap().unwrap();
                    assert_eq!((header.kind, header.req_id, header.tx_id), (MsgType::WatchEvent.as_u32(), 0, 0));
                    out.events.push((*conn, text(payload)));
                }
                other => out.others.push(other.clone()),
            }
        }
        out
    }

    pub fn request(&mut self, conn: ConnId, tx: u32, request: &Request<'_>) -> Outcome {
        let mut message = Vec::new();
        request.encode(0, tx, &mut message).unwrap();
        self.raw(conn, request.kind().as_u32(), tx, &message[HEADER_SIZE..])
    }

    pub fn read(&mut self, conn: ConnId, path: &str) -> String {
        self.request(conn, 0, &Request::Read(path.as_bytes())).reply
    }

    pub fn write(&mut self, conn: ConnId, path: &str, value: &str) -> String {
        self.request(conn, 0, &Request::Write(path.as_bytes(), value.as_bytes())).reply
    }

    pub fn mkdir(&mut self, conn: ConnId, path: &str) -> String {
        self.request(conn, 0, &Request::Mkdir(path.as_bytes())).reply
    }

    pub fn rm(&mut self, conn: ConnId, path: &str) -> Outcome {
        self.request(conn, 0, &Request::Rm(path.as_bytes()))
    }

    pub fn set_perms(&mut self, conn: ConnId, path: &str, list: &str) -> Outcome {
        self.request(conn, 0, &Request::SetPerms(path.as_bytes(), perms(list)))
    }

    pub fn get_perms(&mut self, conn: ConnId, path: &str) -> String {
        self.request(conn, 0, &Request::GetPerms(path.as_bytes())).reply
    }

    pub fn watch(&mut self, conn: ConnId, path: &str, token: &str) -> Outcome {
        self.request(conn, 0, &Request::Watch { path: path.as_bytes(), token: token.as_bytes(), depth: None })
    }

    pub fn watch_depth(&mut self, conn: ConnId, path: &str, token: &str, depth: u32) -> Outcome {
        let (path, token) = (path.as_bytes(), token.as_bytes());
        self.request(conn, 0, &Request::Watch { path, token, depth: Some(depth) })
    }

    pub fn start(&mut self, conn: ConnId) -> u32 {
        self.request(conn, 0, &Request::TransactionStart).reply.parse().unwrap()
    }

    pub fn end(&mut self, conn: ConnId, tx: u32, commit: bool) -> Outcome {
        self.request(conn, tx, &Request::TransactionEnd(commit))
    }

    /// Introduces a domain, with the home that a toolstack makes for it.
    pub fn domain(&mut self, domid: u16) -> ConnId {
        let out = self.request(TOOLS, 0, &Request::Introduce { domid, gfn: 7, port: 3 });
        assert_eq!(out.others, [Effect::ConnectRing { requester: TOOLS, domid, gfn: 7, port: 3 }]);
        assert_eq!(out.reply, "", "the reply waits for the ring");
        self.fx.clear();
        self.state.ring_connected(TOOLS, Ok(()), &mut self.fx);
        assert_eq!(self.outcome(Some(MsgType::Introduce.as_u32())).reply, "OK");
        let home = format!("/local/domain/{domid}");
        self.mkdir(TOOLS, &home);
        self.set_perms(TOOLS, &home, &format!("n{domid}"));
        ConnId::domain(domid)
    }

    pub fn with_state(&mut self, f: impl FnOnce(&mut State, &mut Effects)) -> Outcome {
        self.fx.clear();
        f(&mut self.state, &mut self.fx);
        self.outcome(None)
    }
}

pub fn perms(list: &str) -> PermList {
    list.split(' ').map(|p| Perm::parse(p.as_bytes()).unwrap()).collect()
}
