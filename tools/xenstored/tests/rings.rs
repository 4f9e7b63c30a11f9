//! Domains' rings against a page in this process: honest guests, hostile guests, and a daemon that dies.

mod common;

use common::Rng;
use std::cell::RefCell;
use std::rc::Rc;
use xen_wire::ring::RingMemory;
use xen_wire::xenstore::ring::{self, ConnError, REQ, RSP};
use xen_wire::xenstore::{MsgType, Request, split_message};
use xenstored::durable::Durable;
use xenstored::engine::{Happening, Todo};
use xenstored::rings;
use xenstored::state::{ConnId, Peer, Quotas};

#[derive(Clone)]
struct Page(Rc<RefCell<Vec<u8>>>);

impl Page {
    fn new() -> Page {
        Page(Rc::new(RefCell::new(vec![0; 4096])))
    }
}

impl RingMemory for Page {
    fn load_u32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.0.borrow()[offset..offset + 4].try_into().unwrap())
    }
    fn store_u32(&self, offset: usize, value: u32) {
        self.0.borrow_mut()[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    }
    fn read(&self, offset: usize, into: &mut [u8]) {
        into.copy_from_slice(&self.0.borrow()[offset..offset + into.len()]);
    }
    fn write(&self, offset: usize, from: &[u8]) {
        self.0.borrow_mut()[offset..offset + from.len()].copy_from_slice(from);
    }
}

const TOOLS: ConnId = ConnId(1);
const DOMAIN: u16 = 5;

fn open(dir: &tempfile::TempDir) -> Durable {
    Durable::open(dir.path(), &Quotas::default()).unwrap()
}

/// A store with one domain, whose ring begins at `start`.
fn with_domain(dir: &tempfile::TempDir, page: &Page, start: u32) -> Durable {
    for ix in [REQ.cons, REQ.prod, RSP.cons, RSP.prod] {
        page.store_u32(ix, start);
    }
    let mut d = open(dir);
    d.happened(&Happening::Connected(TOOLS, Peer { domid: 0, read_only: false })).unwrap();
    let mut bytes = Vec::new();
    Request::Introduce { domid: DOMAIN, gfn: 1, port: 1 }.encode(1, 0, &mut bytes).unwrap();
    Request::Mkdir(b"/local/domain/5").encode(2, 0, &mut bytes).unwrap();
    let perms = xen_wire::xenstore::Perm::parse(b"n5").unwrap();
    Request::SetPerms(b"/local/domain/5", vec![perms]).encode(3, 0, &mut bytes).unwrap();
    d.input_space(bytes.len()).copy_from_slice(&bytes);
    d.input(TOOLS, bytes.len());
    assert!(d.todo.contains(&Todo::ConnectRing(TOOLS, DOMAIN, 1, 1)));
    d.happened(&Happening::Ring(TOOLS, Ok(rings::base(page)))).unwrap();
    assert_eq!(d.engine().state().tree().get("/local/domain/5").unwrap().owner(), 5, "what waited was done");
    d.todo.clear();
    d
}

/// The guest's side: bytes still to be sent, bytes received.
#[derive(Default)]
struct Guest {
    to_send: Vec<u8>,
    received: Vec<u8>,
}

impl Guest {
    fn step(&mut self, page: &Page, rng: &mut Rng) {
        let want = self.to_send.len().min(rng.below(1500) as usize);
        let (n, prod) = REQ.fill(page, &self.to_send[..want]).unwrap();
        REQ.produce_to(page, prod);
        self.to_send.drain(..n);
        let mut buf = vec![0; rng.below(1500) as usize];
        let (n, cons) = RSP.peek(page, &mut buf).unwrap();
        RSP.consume_to(page, cons);
        self.received.extend_from_slice(&buf[..n]);
    }
}

/// What a domain asks for and gets, over a ring that wraps, with a daemon that is thrown away again and again:
/// between steps, and between the publishing of an index and its record.
#[test]
fn a_guest_notices_nothing_when_the_daemon_dies() {
    for start in [0, 1000, u32::MAX - 500] {
        let (dir, page) = (tempfile::tempdir().unwrap(), Page::new());
        let mut d = with_domain(&dir, &page, start);
        let mut rng = Rng(u64::from(start) + 12345);
        let mut guest = Guest::default();
        let mut expected = Vec::new();
        for n in 0..300u32 {
            let value = vec![b'a' + (n % 26) as u8; if n % 7 == 0 { 1900 } else { 20 }];
            let path = format!("data/{}", n % 10);
            Request::Write(path.as_bytes(), &value).encode(2 * n, 0, &mut guest.to_send).unwrap();
            Request::Read(path.as_bytes()).encode(2 * n + 1, 0, &mut guest.to_send).unwrap();
            expected.push((2 * n, b"OK\0".to_vec()));
            expected.push((2 * n + 1, value));
        }
        let total: usize = expected.iter().map(|(_, v)| v.len() + 16).sum();
        let mut rounds = 0;
        while guest.received.len() < total {
            rounds += 1;
            assert!(rounds < 100_000, "the ring is stuck");
            guest.step(&page, &mut rng);
            d.make_room().unwrap();
            rings::take(&mut d, DOMAIN, &page).unwrap();
            rings::give(&mut d, DOMAIN, &page).unwrap();
            if rng.below(20) == 0 {
                // Dies before it could note what it published, or publish what it noted: both are undone here,
                // as far as the page is concerned.
                let (cons, prod) = d.engine().ring_indices(DOMAIN).unwrap();
                if rng.below(2) == 0 {
                    // Replies that were produced but not recorded.
                    let waiting = d.engine().out(ConnId::domain(DOMAIN)).unwrap().waiting().to_vec();
                    let (_, new) = RSP.fill(&page, &waiting).unwrap();
                    RSP.produce_to(&page, new);
                } else if REQ.readable(&page).unwrap() > 0 {
                    // Requests that were recorded and not yet marked as consumed.
                    rings::take(&mut d, DOMAIN, &page).unwrap();
                    page.store_u32(REQ.cons, cons);
                }
                let _ = prod;
                drop(d);
                d = open(&dir);
                rings::settle(&mut d, DOMAIN, &page).unwrap();
            }
        }
        let mut rest = guest.received.as_slice();
        for (id, value) in expected {
            let (header, payload, after) = split_message(rest).unwrap().unwrap();
            assert_eq!((header.req_id, payload), (id, value.as_slice()));
            rest = after;
        }
        assert!(rest.is_empty());
    }
}

fn kill_and_settle(dir: &tempfile::TempDir, d: Durable, page: &Page) -> Durable {
    drop(d);
    let mut d = open(dir);
    rings::settle(&mut d, DOMAIN, page).unwrap();
    d
}

#[test]
fn a_guest_that_breaks_its_indices_is_cut_off_and_can_ask_for_a_reset() {
    // Where it writes, and what.
    for (index, value) in [(REQ.prod, 5000), (REQ.prod, u32::MAX), (REQ.cons, 77), (REQ.cons, u32::MAX)] {
        let (dir, page) = (tempfile::tempdir().unwrap(), Page::new());
        let mut d = with_domain(&dir, &page, 0);
        page.store_u32(index, value);
        assert!(rings::take(&mut d, DOMAIN, &page).unwrap());
        assert_eq!(d.todo, [Todo::Close(ConnId::domain(DOMAIN), ConnError::RingIndex)]);
        d.todo.clear();
        assert!(!rings::take(&mut d, DOMAIN, &page).unwrap(), "nothing more is taken from it");
        let mut d = kill_and_settle(&dir, d, &page);
        assert!(d.todo.contains(&Todo::Close(ConnId::domain(DOMAIN), ConnError::RingIndex)), "nor after a restart");
        d.todo.clear();
        page.store_u32(ring::CONNECTION, ring::XENSTORE_RECONNECT);
        assert!(rings::take(&mut d, DOMAIN, &page).unwrap());
        assert_eq!(page.load_u32(ring::CONNECTION), ring::XENSTORE_CONNECTED);
        assert_eq!(page.load_u32(ring::ERROR), 0);
        let mut guest = Guest::default();
        Request::Write(b"x", b"1").encode(9, 0, &mut guest.to_send).unwrap();
        let mut rng = Rng(3);
        while guest.received.is_empty() {
            guest.step(&page, &mut rng);
            rings::take(&mut d, DOMAIN, &page).unwrap();
            rings::give(&mut d, DOMAIN, &page).unwrap();
        }
    }
}

#[test]
fn a_message_above_the_limit_cuts_a_guest_off() {
    let (dir, page) = (tempfile::tempdir().unwrap(), Page::new());
    let mut d = with_domain(&dir, &page, 0);
    let header = xen_wire::xenstore::Header { kind: 2, req_id: 1, tx_id: 0, len: 4097 };
    let (_, prod) = REQ.fill(&page, &header.to_bytes()).unwrap();
    REQ.produce_to(&page, prod);
    rings::take(&mut d, DOMAIN, &page).unwrap();
    assert_eq!(d.todo, [Todo::Close(ConnId::domain(DOMAIN), ConnError::Protocol)]);
}

/// A guest that writes anything anywhere into its page at any time gets nothing but its own ring broken.
#[test]
fn random_writes_into_the_page_hurt_nobody() {
    for seed in 1..60 {
        let (dir, page) = (tempfile::tempdir().unwrap(), Page::new());
        let mut d = with_domain(&dir, &page, 0);
        let mut rng = Rng(seed * 7919);
        let mut request = Vec::new();
        Request::Write(b"data/x", b"1").encode(1, 0, &mut request).unwrap();
        for _ in 0..300 {
            match rng.below(6) {
                0 => page.store_u32(2048 + 4 * rng.below(7) as usize, rng.below(1 << 32) as u32),
                1 => page.store_u32(4 * rng.below(512) as usize, rng.below(1 << 32) as u32),
                2 => page.store_u32(ring::CONNECTION, 1),
                3 => {
                    if let Ok((_, prod)) = REQ.fill(&page, &request) {
                        REQ.produce_to(&page, prod);
                    }
                }
                4 => {
                    let prod = page.load_u32(REQ.prod);
                    page.store_u32(REQ.prod, prod.wrapping_add(rng.below(40) as u32));
                }
                _ => page.store_u32(RSP.cons, page.load_u32(RSP.prod)),
            }
            d.make_room().unwrap();
            rings::take(&mut d, DOMAIN, &page).unwrap();
            rings::give(&mut d, DOMAIN, &page).unwrap();
            if rng.below(50) == 0 {
                d = kill_and_settle(&dir, d, &page);
            }
            let out = d.engine().out(ConnId::domain(DOMAIN)).map_or(0, |o| o.len());
            assert!(out < 200_000, "its replies pile up: {out} bytes");
        }
        assert_eq!(d.engine().state().check(), None);
        assert!(d.engine().state().connected(TOOLS));
    }
}

#[test]
fn a_guest_that_does_not_read_stops_being_served() {
    let (dir, page) = (tempfile::tempdir().unwrap(), Page::new());
    let mut d = with_domain(&dir, &page, 0);
    let mut guest = Guest::default();
    for n in 0..200 {
        Request::Read(b"/local/domain/5").encode(n, 0, &mut guest.to_send).unwrap();
    }
    for _ in 0..500 {
        let (n, prod) = REQ.fill(&page, &guest.to_send).unwrap();
        REQ.produce_to(&page, prod);
        guest.to_send.drain(..n);
        rings::take(&mut d, DOMAIN, &page).unwrap();
        rings::give(&mut d, DOMAIN, &page).unwrap();
    }
    let out = d.engine().out(ConnId::domain(DOMAIN)).unwrap();
    assert!(out.outstanding() < 100, "{} replies wait", out.outstanding());
    assert!(REQ.readable(&page).unwrap() > 0 && !guest.to_send.is_empty(), "its requests wait in its own ring");
    assert_eq!(MsgType::Read.as_u32(), 2);
}
