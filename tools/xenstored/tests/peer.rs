//! Debian's own xenstored beside ours: the same requests from the tools and from a guest, the same replies.
//!
//! Needs Debian's xen-utils unpacked in the directory that `XS_PEER_ROOT` names, gcc and libxen-dev; `peer/shim.c`
//! stands in for the hypervisor. Transactions are left out: ours commits more of them (see `semantics.rs`).

mod common;

use common::Rng;
use rustix::fs::Mode;
use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use xen_wire::ring::RingMemory;
use xen_wire::xenstore::ring::{REQ, RSP};
use xen_wire::xenstore::{Header, MsgType, split_message};
use xenstored::engine::{Engine, Happening, Todo};
use xenstored::state::{ConnId, Peer};

const DOMAIN: u16 = 5;

struct Theirs {
    child: Child,
    dir: tempfile::TempDir,
    socket: UnixStream,
    ring: RingFile,
    doorbell: std::fs::File,
}

/// A ring page that is a file, which the other process has mapped.
struct RingFile(std::fs::File);

impl RingMemory for RingFile {
    fn load_u32(&self, offset: usize) -> u32 {
        let mut b = [0; 4];
        self.0.read_exact_at(&mut b, offset as u64).unwrap();
        u32::from_le_bytes(b)
    }
    fn store_u32(&self, offset: usize, value: u32) {
        self.0.write_all_at(&value.to_le_bytes(), offset as u64).unwrap();
    }
    fn read(&self, offset: usize, into: &mut [u8]) {
        self.0.read_exact_at(into, offset as u64).unwrap();
    }
    fn write(&self, offset: usize, from: &[u8]) {
        self.0.write_all_at(from, offset as u64).unwrap();
    }
}

type Messages = Vec<(u32, Vec<u8>)>;

fn take(received: &mut Vec<u8>, into: &mut Messages) {
    while let Some((header, payload, rest)) = split_message(received).unwrap() {
        into.push((header.kind, payload.to_vec()));
        *received = rest.to_vec();
    }
}

impl Theirs {
    fn start(root: &Path) -> Theirs {
        let dir = tempfile::tempdir().unwrap();
        let shim = dir.path().join("shim.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/peer/shim.c");
        let gcc =
            Command::new("gcc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim).args([source, "-ldl"]).status();
        assert!(gcc.unwrap().success());
        let evtchn = dir.path().join("evtchn");
        rustix::fs::mkfifoat(rustix::fs::CWD, &evtchn, Mode::RUSR | Mode::WUSR).unwrap();
        let doorbell = std::fs::File::options().read(true).write(true).open(&evtchn).unwrap();
        let child = Command::new(root.join("usr/lib/xen-4.17/bin/xenstored"))
            .arg("-N")
            .env("LD_PRELOAD", &shim)
            .env("XS_SHIM_DIR", dir.path())
            .env("XENSTORED_ROOTDIR", dir.path())
            .env("XENSTORED_RUNDIR", dir.path())
            .env("XENSTORED_PATH", dir.path().join("socket"))
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let socket = common::wait_for("Debian's xenstored", || UnixStream::connect(dir.path().join("socket")).ok());
        let ring = dir.path().join("ring-5");
        let ring = std::fs::File::options().read(true).write(true).create(true).truncate(true).open(ring).unwrap();
        ring.set_len(4096).unwrap();
        Theirs { child, dir, socket, ring: RingFile(ring), doorbell }
    }

    /// Sends one request; returns all that comes up to its reply, and the events right behind it.
    fn call(&mut self, guest: bool, kind: u32, payload: &[u8]) -> Messages {
        let mut bytes = Header { kind, req_id: 7, tx_id: 0, len: payload.len() as u32 }.to_bytes().to_vec();
        bytes.extend_from_slice(payload);
        let (mut received, mut messages) = (Vec::new(), Messages::new());
        let start = Instant::now();
        if !guest {
            self.socket.write_all(&bytes).unwrap();
        }
        let mut quiet = 0;
        loop {
            if guest && !bytes.is_empty() {
                let (n, prod) = REQ.fill(&self.ring, &bytes).unwrap();
                REQ.produce_to(&self.ring, prod);
                bytes.drain(..n);
            }
            if guest {
                self.doorbell.write_all(&(1000 + u32::from(DOMAIN)).to_le_bytes()).unwrap();
                let mut buf = [0; 1024];
                let (n, cons) = RSP.peek(&self.ring, &mut buf).unwrap();
                RSP.consume_to(&self.ring, cons);
                received.extend_from_slice(&buf[..n]);
                std::thread::sleep(Duration::from_micros(200));
            } else {
                self.socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
                let mut buf = [0; 8192];
                if let Ok(n) = self.socket.read(&mut buf) {
                    assert!(n > 0, "Debian's xenstored closed the connection");
                    received.extend_from_slice(&buf[..n]);
                }
            }
            let before = messages.len();
            take(&mut received, &mut messages);
            let replied = messages.iter().any(|(k, _)| *k != MsgType::WatchEvent.as_u32());
            quiet = if replied && messages.len() == before && received.is_empty() { quiet + 1 } else { 0 };
            if quiet >= 2 {
                return messages;
            }
            assert!(start.elapsed() < Duration::from_secs(5), "no reply from Debian's xenstored");
        }
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.dir.path();
    }
}

struct Ours(RefCell<Engine>);

const TOOLS: ConnId = ConnId(1);

impl Ours {
    fn start() -> Ours {
        let mut e = Engine::default();
        let todo = &mut Vec::new();
        e.happened(&Happening::ControlDomain(0, 1, (0, 0)), todo);
        e.happened(&Happening::Connected(TOOLS, Peer { domid: 0, read_only: false }), todo);
        Ours(RefCell::new(e))
    }

    fn call(&self, guest: bool, kind: u32, payload: &[u8]) -> Messages {
        let mut e = self.0.borrow_mut();
        let conn = if guest { ConnId::domain(DOMAIN) } else { TOOLS };
        let mut bytes = Header { kind, req_id: 7, tx_id: 0, len: payload.len() as u32 }.to_bytes().to_vec();
        bytes.extend_from_slice(payload);
        let mut todo = Vec::new();
        e.bytes(conn, &bytes, &mut todo);
        if todo.iter().any(|t| matches!(t, Todo::ConnectRing(..))) {
            e.happened(&Happening::Ring(conn, Ok((0, 0))), &mut todo);
        }
        let out = e.out(conn).unwrap();
        let (mut received, mut messages) = (out.waiting().to_vec(), Messages::new());
        let upto = out.sent() + received.len() as u64;
        take(&mut received, &mut messages);
        e.delivered(conn, upto);
        messages
    }
}

/// What may differ: the order of children, and the order of the events of one request.
fn normal(kind: u32, mut messages: Messages) -> Vec<(u32, String)> {
    for (k, payload) in &mut messages {
        if *k == MsgType::Directory.as_u32() {
            let mut names: Vec<&[u8]> = payload.split(|b| *b == 0).collect();
            names.sort_unstable();
            *payload = names.join(&0);
        }
    }
    let mut texts: Vec<_> =
        messages.into_iter().map(|(k, p)| (k, String::from_utf8_lossy(&p).replace('\0', "|"))).collect();
    // Replies and events keep their places; a run of events does not.
    let _ = kind;
    texts.chunk_by_mut(|a, b| a.0 == 15 && b.0 == 15).for_each(<[_]>::sort_unstable);
    texts
}

#[test]
#[ignore = "needs Debian's xenstored in XS_PEER_ROOT"]
fn replies_and_events_are_those_of_debians_xenstored() {
    let Some(root) = std::env::var_os("XS_PEER_ROOT").map(PathBuf::from) else {
        panic!("XS_PEER_ROOT does not name a directory with Debian's xen-utils");
    };
    let steps: u64 = std::env::var("XS_STEPS").ok().and_then(|s| s.parse().ok()).unwrap_or(2000);
    let (mut theirs, ours) = (Theirs::start(&root), Ours::start());
    let mut log: Vec<String> = Vec::new();
    let mut both = |guest: bool, kind: MsgType, payload: &[u8]| {
        let who = if guest { "guest" } else { "tools" };
        log.push(format!("{who} {} {}", kind.name(), String::from_utf8_lossy(payload).replace('\0', "|")));
        let a = normal(kind.as_u32(), theirs.call(guest, kind.as_u32(), payload));
        let b = normal(kind.as_u32(), ours.call(guest, kind.as_u32(), payload));
        // Events for the other party come up only when that party is asked; requests of its own bring them.
        let tail = log.iter().rev().take(12).rev().cloned().collect::<Vec<_>>().join("\n");
        assert_eq!(a, b, "left: Debian's, right: ours, after\n{tail}");
    };
    both(false, MsgType::Mkdir, b"/local/domain/5\0");
    both(false, MsgType::Introduce, b"5\x001\x002\0");
    both(false, MsgType::SetPerms, b"/local/domain/5\0n5\0");
    let mut rng = Rng(std::env::var("XS_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(4711));
    let mut watched = false;
    for _ in 0..steps {
        let guest = rng.below(2) == 0;
        let bases = ["", "/local/domain/5", "/local/domain/5/data", "/x", "rel", "/tool"];
        let mut path = bases[rng.below(6) as usize].to_owned();
        for _ in 0..rng.below(4) {
            path.push('/');
            path.push_str(["a", "b", "c", "a-b"][rng.below(4) as usize]);
        }
        if path.is_empty() {
            path = "/".to_owned();
        }
        if rng.below(40) == 0 {
            path.push(['/', ' ', '@', '.'][rng.below(4) as usize]);
        }
        let mut payload = path.into_bytes();
        payload.push(0);
        let kind = match rng.below(16) {
            0..=3 => {
                payload.extend(rng.below(1000).to_string().bytes());
                MsgType::Write
            }
            4 => MsgType::Mkdir,
            5..=6 => MsgType::Rm,
            7..=8 => MsgType::Read,
            9 => MsgType::Directory,
            10 => MsgType::GetPerms,
            11..=12 => {
                let lists: [&[u8]; 7] = [b"n0\0", b"r0\0", b"n5\0", b"n0\0r5\0", b"b0\0n5\0", b"n5\0r0\0", b"w0\0b5\0"];
                payload.extend_from_slice(lists[rng.below(7) as usize]);
                MsgType::SetPerms
            }
            13 if !watched => {
                // Watches of one party only, so that no event is for a party that does not read just then.
                payload.extend_from_slice(b"token\0");
                watched = rng.below(3) == 0;
                MsgType::Watch
            }
            14 => {
                payload.extend_from_slice(b"token\0");
                watched = false;
                MsgType::Unwatch
            }
            _ => {
                payload = b"5\0".to_vec();
                [MsgType::GetDomainPath, MsgType::IsDomainIntroduced][rng.below(2) as usize]
            }
        };
        let is_watch = matches!(kind, MsgType::Watch | MsgType::Unwatch);
        both(guest && !is_watch, kind, &payload);
        // Brings up the events that a guest's request caused for the tools.
        both(false, MsgType::GetDomainPath, b"5\0");
    }
}
