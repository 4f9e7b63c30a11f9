//! `kill -9` at random moments under load: a real daemon, real sockets. Every reply comes exactly once and in
//! order, every watch event exactly once, everything that was committed is there, no connection breaks.
//!
//! `XS_KILLS` sets how often the daemon is killed.

mod common;

use common::{Rng, Supervised};
use std::collections::{BTreeMap, VecDeque};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use xen_wire::xenstore::{MsgType, Perm, Request, Strings, split_message};
use xenstore::{Access as _, Xenstore};

/// What a reply must be.
#[derive(Debug)]
enum Expected {
    Ok,
    Value(Vec<u8>),
    Perms(Vec<u8>),
}

/// A client that keeps many requests in flight and knows what each reply must be, because the nodes below its
/// own directory are its own.
struct Pipelined {
    stream: UnixStream,
    base: String,
    rng: Rng,
    next_id: u32,
    expected: VecDeque<(u32, MsgType, Expected)>,
    model: BTreeMap<u64, Vec<u8>>,
    perms: BTreeMap<u64, Vec<u8>>,
    events: VecDeque<String>,
    last_event: String,
    received: Vec<u8>,
    replies: u64,
    seen_events: u64,
}

impl Pipelined {
    fn new(socket: &Path, n: u64, seed: u64) -> Pipelined {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut c = Pipelined {
            stream,
            base: format!("/load/{n}"),
            rng: Rng(seed),
            next_id: 0,
            expected: VecDeque::new(),
            model: BTreeMap::new(),
            perms: BTreeMap::new(),
            events: VecDeque::new(),
            last_event: String::new(),
            received: Vec::new(),
            replies: 0,
            seen_events: 0,
        };
        let mut out = Vec::new();
        let watched = format!("{}/watched", c.base);
        c.push(&Request::Watch { path: watched.as_bytes(), token: b"mine", depth: None }, Expected::Ok, &mut out);
        c.events.push_back(watched);
        c.stream.write_all(&out).unwrap();
        c.collect(0);
        c
    }

    fn push(&mut self, request: &Request<'_>, expected: Expected, out: &mut Vec<u8>) {
        self.next_id += 1;
        request.encode(self.next_id, 0, out).unwrap();
        self.expected.push_back((self.next_id, request.kind(), expected));
    }

    fn step(&mut self) {
        let mut out = Vec::new();
        for _ in 0..=self.rng.below(24) {
            let key = self.rng.below(30);
            let path = format!("{}/n/{key}", self.base);
            match self.rng.below(10) {
                0..=2 => {
                    let len = if self.rng.below(8) == 0 { 3000 } else { self.rng.below(40) };
                    let fill = self.rng.below(256) as u8;
                    let value: Vec<u8> = (0..len).map(|i| fill.wrapping_add(i as u8)).collect();
                    self.push(&Request::Write(path.as_bytes(), &value), Expected::Ok, &mut out);
                    self.model.insert(key, value);
                    self.perms.entry(key).or_insert_with(|| b"n0\0".to_vec());
                }
                3..=5 => {
                    if let Some(value) = self.model.get(&key).cloned() {
                        self.push(&Request::Read(path.as_bytes()), Expected::Value(value), &mut out);
                    }
                }
                6 => {
                    if self.model.remove(&key).is_some() {
                        self.perms.remove(&key);
                        self.push(&Request::Rm(path.as_bytes()), Expected::Ok, &mut out);
                    }
                }
                7 => {
                    if self.model.contains_key(&key) {
                        let list =
                            vec![Perm::parse(b"n0").unwrap(), Perm::parse(format!("r{key}").as_bytes()).unwrap()];
                        self.perms.insert(key, format!("n0\0r{key}\0").into_bytes());
                        self.push(&Request::SetPerms(path.as_bytes(), list), Expected::Ok, &mut out);
                    }
                }
                8 => {
                    if let Some(perms) = self.perms.get(&key).cloned() {
                        self.push(&Request::GetPerms(path.as_bytes()), Expected::Perms(perms), &mut out);
                    }
                }
                _ => {
                    let path = format!("{}/watched/{}", self.base, self.next_id);
                    self.push(&Request::Write(path.as_bytes(), b""), Expected::Ok, &mut out);
                    self.push(&Request::Rm(path.as_bytes()), Expected::Ok, &mut out);
                    // Both events have one path, and the second is left out while the first still waits.
                    self.events.push_back(path);
                }
            }
        }
        // A message may also arrive in two halves.
        let cut = self.rng.below(out.len() as u64 + 1) as usize;
        self.stream.write_all(&out[..cut]).unwrap();
        self.stream.write_all(&out[cut..]).unwrap();
        let keep = self.rng.below(16) as usize;
        self.collect(keep);
    }

    /// Takes replies until at most `keep` are outstanding.
    fn collect(&mut self, keep: usize) {
        while self.expected.len() > keep {
            let mut buf = [0; 20000];
            let n = self.stream.read(&mut buf).expect("a reply in time");
            assert!(n > 0, "the connection broke");
            self.received.extend_from_slice(&buf[..n]);
            let mut rest = std::mem::take(&mut self.received);
            while let Some((header, payload, after)) = split_message(&rest).unwrap() {
                let text = || String::from_utf8_lossy(payload).into_owned();
                if header.kind == MsgType::WatchEvent.as_u32() {
                    let mut s = Strings::new(payload);
                    let path = String::from_utf8(s.next().unwrap().to_vec()).unwrap();
                    assert_eq!(s.next(), Some(&b"mine"[..]));
                    if self.last_event != path {
                        assert_eq!(self.events.pop_front().as_deref(), Some(&*path), "events come once and in order");
                        self.seen_events += 1;
                    }
                    self.last_event = path;
                } else {
                    let (id, kind, expected) = self.expected.pop_front().expect("a reply that was asked for");
                    assert_eq!(header.req_id, id, "replies come once and in order: {}", text());
                    assert_eq!(header.kind, kind.as_u32(), "{}", text());
                    match expected {
                        Expected::Ok => assert_eq!(payload, b"OK\0"),
                        Expected::Value(v) | Expected::Perms(v) => assert!(payload == v, "{kind:?}: {}", text()),
                    }
                    self.replies += 1;
                }
                rest = after.to_vec();
            }
            self.received = rest;
        }
    }

    /// The second of two equal events may still be under way.
    fn finish(&mut self) {
        self.collect(0);
        assert!(self.events.is_empty(), "events that never came: {:?}", self.events);
    }
}

#[test]
fn nothing_is_lost_and_nothing_comes_twice_when_the_daemon_is_killed_under_load() {
    let kills: u64 = std::env::var("XS_KILLS").ok().and_then(|k| k.parse().ok()).unwrap_or(60);
    let seed = u64::from(std::process::id());
    let daemon = Supervised::start(&[]);
    let socket = daemon.socket();
    let (stop, commits) = (AtomicBool::new(false), AtomicU64::new(0));
    let (replies, events, killed) = std::thread::scope(|scope| {
        let loads: Vec<_> = (0..6)
            .map(|n| {
                let (stop, socket) = (&stop, &socket);
                scope.spawn(move || {
                    let mut c = Pipelined::new(socket, n, 0x9e37_79b9_7f4a_7c15 ^ (seed + n + 1));
                    while !stop.load(Ordering::Relaxed) {
                        c.step();
                    }
                    c.finish();
                    (c.base, c.model, c.perms, c.replies, c.seen_events)
                })
            })
            .collect();
        let counters: Vec<_> = (0..2)
            .map(|_| {
                let (stop, socket, commits) = (&stop, &socket, &commits);
                scope.spawn(move || {
                    let mut xs = Xenstore::open_socket(socket).unwrap();
                    while !stop.load(Ordering::Relaxed) {
                        xs.transaction(|t| {
                            let n: u64 = match t.read_if_there("/counter")? {
                                Some(n) => String::from_utf8(n).unwrap().parse().unwrap(),
                                None => 0,
                            };
                            t.write("/counter", (n + 1).to_string().as_bytes())
                        })
                        .unwrap();
                        commits.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let mut rng = Rng(seed + 77);
        let mut killed = 0;
        while killed < kills && !loads.iter().any(|l| l.is_finished()) {
            std::thread::sleep(Duration::from_micros(500 + rng.below(if killed % 2 == 0 { 80_000 } else { 15_000 })));
            if rng.below(8) == 0 {
                // The daemon starts another one; to kill both at once is more than this is about.
                let mut xs = Xenstore::open_socket(&socket).unwrap();
                xs.list("/").unwrap();
                let old = daemon.supervisor_now();
                daemon.kill_supervisor();
                common::wait_for("another supervisor", || Some(daemon.supervisor_now()).filter(|pid| *pid != old));
            }
            if let Some(old) = daemon.daemon_pid().filter(|_| daemon.kill_daemon()) {
                killed += 1;
                common::wait_for("the next daemon", || daemon.daemon_pid().filter(|pid| *pid != old));
            }
        }
        stop.store(true, Ordering::Relaxed);
        for c in counters {
            c.join().unwrap();
        }
        let mut sums = (0, 0);
        let mut xs = Xenstore::open_socket(&socket).unwrap();
        for l in loads {
            let (base, model, perms, replies, events) = l.join().unwrap();
            for key in 0..30u64 {
                let path = format!("{base}/n/{key}");
                assert_eq!(xs.read_if_there(&path).unwrap().as_ref(), model.get(&key), "{path}");
                if let Some(want) = perms.get(&key) {
                    let got: String = xs.perms(&path).unwrap().iter().map(|p| format!("{p}\0")).collect();
                    assert_eq!(got.as_bytes(), want, "{path}");
                }
            }
            sums = (sums.0 + replies, sums.1 + events);
        }
        let counter: u64 = xs.read_string("/counter").unwrap().parse().unwrap();
        assert_eq!(counter, commits.load(Ordering::Relaxed), "every commit counts once");
        assert_eq!(xs.control(&["check"]).unwrap(), "OK");
        (sums.0, sums.1, killed)
    });
    println!("{killed} kills, {replies} replies, {events} events, {} commits", commits.load(Ordering::Relaxed));
    assert_eq!(killed, kills, "{}", daemon.log());
    assert!(replies > kills && events > 0);
}

#[test]
fn a_client_that_ends_while_the_daemon_is_dead_leaves_nothing() {
    let daemon = Supervised::start(&[]);
    let mut xs = Xenstore::open_socket(&daemon.socket()).unwrap();
    let mut other = Xenstore::open_socket(&daemon.socket()).unwrap();
    other.watch("/a", b"t", None).unwrap();
    xs.write("/a", b"1").unwrap();
    assert!(daemon.kill_daemon());
    drop(other);
    xs.write("/a", b"2").unwrap();
    let report = common::wait_for("the end of the connection", || {
        let report = xs.control(&["quota", "0"]).unwrap();
        report.contains("watches         :        0").then_some(report)
    });
    assert!(report.contains("Domain 0"));
    assert_eq!(xs.read("/a").unwrap(), b"2");
}

/// A live update: the program is told to end, leaves a snapshot, and is started again from its file.
#[test]
fn a_daemon_that_hands_over_leaves_a_snapshot_and_every_connection() {
    let daemon = Supervised::start(&[]);
    let mut xs = Xenstore::open_socket(&daemon.socket()).unwrap();
    xs.watch("/a", b"t", None).unwrap();
    assert_eq!(xs.next_event(None).unwrap().unwrap().path, "/a");
    xs.write("/a/before", b"1").unwrap();
    let mut t = xs.begin().unwrap();
    t.write("/a/inside", b"1").unwrap();
    let old = common::wait_for("the daemon", || daemon.daemon_pid());
    rustix::process::kill_process(rustix::process::Pid::from_raw(old).unwrap(), rustix::process::Signal::TERM).unwrap();
    common::wait_for("the next daemon", || daemon.daemon_pid().filter(|pid| *pid != old));
    assert_eq!(t.read("/a/inside").unwrap(), b"1", "the open transaction goes on");
    t.commit().unwrap();
    for path in ["/a/before", "/a/inside"] {
        assert_eq!(xs.next_event(Some(Duration::from_secs(5))).unwrap().unwrap().path, path);
    }
    assert!(daemon.log().contains("handed over"), "{}", daemon.log());
}

#[test]
fn a_daemon_whose_supervisor_is_killed_serves_on() {
    let daemon = Supervised::start(&[]);
    let mut xs = Xenstore::open_socket(&daemon.socket()).unwrap();
    xs.write("/a", b"1").unwrap();
    let pid = daemon.daemon_pid().and_then(rustix::process::Pid::from_raw).unwrap();
    let supervisor = rustix::process::Pid::from_raw(daemon.supervisor_pid() as i32).unwrap();
    rustix::process::kill_process(supervisor, rustix::process::Signal::KILL).unwrap();
    assert_eq!(xs.read("/a").unwrap(), b"1");
    let mut new = Xenstore::open_socket(&daemon.socket()).unwrap();
    assert_eq!(new.read("/a").unwrap(), b"1");
    assert_eq!(daemon.daemon_pid().and_then(rustix::process::Pid::from_raw), Some(pid));
}

/// What `systemctl restart` does: the supervisor goes, too, and with it all connections. The tree stays; the new clients are
/// not taken for the old ones, which the state still knows, nor for ones that ended.
#[test]
fn a_new_supervisor_finds_the_tree_and_serves_new_clients() {
    let state = tempfile::tempdir().unwrap();
    let args = ["--state-dir", state.path().to_str().unwrap()];
    for round in 0..4u8 {
        let daemon = Supervised::start(&args);
        let mut clients: Vec<Xenstore> = (0..5).map(|_| Xenstore::open_socket(&daemon.socket()).unwrap()).collect();
        for (n, client) in (0u8..).zip(&mut clients) {
            if round > 0 {
                assert_eq!(client.read(&format!("/round/{n}")).unwrap(), [round - 1]);
            }
            client.write(&format!("/round/{n}"), &[round]).unwrap();
            client.watch("/watched", b"mine", None).unwrap();
            let first = client.next_event(Some(Duration::from_secs(20))).unwrap().unwrap();
            assert_eq!(first.path, "/watched");
        }
        clients.remove(1);
        daemon.kill_daemon();
        clients.first_mut().unwrap().write("/watched", b"x").unwrap();
        for client in &mut clients {
            assert!(client.next_event(Some(Duration::from_secs(20))).unwrap().is_some());
            assert!(client.next_event(Some(Duration::from_millis(10))).unwrap().is_none(), "an old client's watch");
        }
    }
}
