//! The whole daemon with domains: its rings are pages of this process, its event channels a socket pair.

use rustix::fd::{AsFd as _, BorrowedFd};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use xen_wire::ring::RingMemory;
use xen_wire::xenstore::ring::{self, REQ, RSP};
use xen_wire::xenstore::{Header, MsgType, Perm, Request, XsError, split_message};
use xenstore::{Access as _, Xenstore};
use xenstored::daemon::{Config, Daemon};
use xenstored::rings::{DomainEvent, DomainTransport};
use xenstored::state::Quotas;
use xenstored::throttle::Limits;

/// A page that two threads share, as a guest and the daemon do.
struct Page {
    words: Vec<AtomicU32>,
    bytes: Vec<AtomicU8>,
}

impl Page {
    fn new() -> Arc<Page> {
        Arc::new(Page {
            words: (0..16).map(|_| AtomicU32::new(0)).collect(),
            bytes: (0..2048).map(|_| AtomicU8::new(0)).collect(),
        })
    }
}

struct Shared(Arc<Page>);

impl RingMemory for Shared {
    fn load_u32(&self, offset: usize) -> u32 {
        self.0.words[(offset - 2048) / 4].load(Ordering::Acquire)
    }
    fn store_u32(&self, offset: usize, value: u32) {
        self.0.words[(offset - 2048) / 4].store(value, Ordering::Release);
    }
    fn read(&self, offset: usize, into: &mut [u8]) {
        for (i, b) in into.iter_mut().enumerate() {
            *b = self.0.bytes[offset + i].load(Ordering::Relaxed);
        }
    }
    fn write(&self, offset: usize, from: &[u8]) {
        for (i, b) in from.iter().enumerate() {
            self.0.bytes[offset + i].store(*b, Ordering::Relaxed);
        }
    }
}

/// What the "hypervisor" knows: pages by domain, and the daemon's event channel handle.
#[derive(Clone)]
struct Machine {
    pages: Arc<Mutex<BTreeMap<u16, Arc<Page>>>>,
    events: Arc<Mutex<Vec<DomainEvent>>>,
    doorbell: Arc<UnixStream>,
    notified: Arc<Mutex<BTreeMap<u16, u64>>>,
}

impl Machine {
    fn send(&self, event: DomainEvent) {
        self.events.lock().unwrap().push(event);
        (&*self.doorbell).write_all(&[1]).unwrap();
    }
}

struct Transport {
    machine: Machine,
    ears: UnixStream,
    connected: BTreeMap<u16, Shared>,
}

impl DomainTransport for Transport {
    type Page = Shared;

    fn connect(&mut self, domid: u16, _gfn: u64, _port: u32) -> Result<(), XsError> {
        let page = self.machine.pages.lock().unwrap().get(&domid).cloned().ok_or(XsError::ENOENT)?;
        self.connected.insert(domid, Shared(page));
        Ok(())
    }
    fn disconnect(&mut self, domid: u16) {
        self.connected.remove(&domid);
    }
    fn page(&self, domid: u16) -> Option<&Shared> {
        self.connected.get(&domid)
    }
    fn notify(&mut self, domid: u16) {
        *self.machine.notified.lock().unwrap().entry(domid).or_default() += 1;
    }
    fn poll(&mut self, into: &mut Vec<DomainEvent>) {
        let mut buf = [0; 256];
        while matches!((&self.ears).read(&mut buf), Ok(n) if n > 0) {}
        into.append(&mut self.machine.events.lock().unwrap());
    }
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.ears.as_fd())
    }
    fn control_domain(&self) -> Option<(u64, u32)> {
        self.machine.pages.lock().unwrap().contains_key(&0).then_some((0, 1))
    }
}

struct Host {
    dir: tempfile::TempDir,
    machine: Machine,
}

impl Host {
    fn start(limits: Limits, domains: &[u16]) -> Host {
        let dir = tempfile::tempdir().unwrap();
        let (doorbell, ears) = UnixStream::pair().unwrap();
        ears.set_nonblocking(true).unwrap();
        let machine = Machine {
            pages: Arc::new(Mutex::new(domains.iter().map(|d| (*d, Page::new())).collect())),
            events: Arc::default(),
            doorbell: Arc::new(doorbell),
            notified: Arc::default(),
        };
        let config = Config {
            run_dir: dir.path().to_owned(),
            state_dir: dir.path().join("state"),
            quotas: Quotas::default(),
            limits,
            pid_file: None,
        };
        let transport = Transport { machine: machine.clone(), ears, connected: BTreeMap::new() };
        std::thread::spawn(move || Daemon::new(&config, None, transport).unwrap().run().unwrap());
        let host = Host { dir, machine };
        let start = Instant::now();
        // A socket that is bound and not yet listened to refuses.
        while UnixStream::connect(host.socket()).is_err() {
            assert!(start.elapsed() < Duration::from_secs(10));
            std::thread::sleep(Duration::from_millis(2));
        }
        host
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    fn tools(&self) -> Xenstore {
        Xenstore::open_socket(&self.socket()).unwrap()
    }

    fn guest(&self, domid: u16) -> Guest {
        let page = self.machine.pages.lock().unwrap()[&domid].clone();
        Guest { domid, page: Shared(page), machine: self.machine.clone(), received: Vec::new(), next_id: 0 }
    }

    fn introduce(&self, domid: u16) -> Guest {
        let mut xs = self.tools();
        let home = xs.domain_path(domid).unwrap();
        xs.mkdir(&home).unwrap();
        xs.set_perms(&home, &[Perm::parse(format!("n{domid}").as_bytes()).unwrap()]).unwrap();
        xs.introduce(domid, 1, 2).unwrap();
        assert!(xs.is_introduced(domid).unwrap());
        self.guest(domid)
    }
}

struct Guest {
    domid: u16,
    page: Shared,
    machine: Machine,
    received: Vec<u8>,
    next_id: u32,
}

impl Guest {
    fn send(&mut self, request: &Request<'_>, tx: u32) {
        self.next_id += 1;
        let mut bytes = Vec::new();
        request.encode(self.next_id, tx, &mut bytes).unwrap();
        let start = Instant::now();
        while !bytes.is_empty() {
            let (n, prod) = REQ.fill(&self.page, &bytes).unwrap();
            REQ.produce_to(&self.page, prod);
            bytes.drain(..n);
            self.machine.send(DomainEvent::Ring(self.domid));
            assert!(start.elapsed() < Duration::from_secs(10), "the ring stays full");
        }
    }

    fn receive(&mut self) -> (Header, Vec<u8>) {
        let start = Instant::now();
        loop {
            if let Some((header, payload, rest)) = split_message(&self.received).unwrap() {
                let (payload, left) = (payload.to_vec(), rest.len());
                self.received.drain(..self.received.len() - left);
                return (header, payload);
            }
            let mut buf = [0; 1024];
            let (n, cons) = RSP.peek(&self.page, &mut buf).unwrap();
            RSP.consume_to(&self.page, cons);
            self.received.extend_from_slice(&buf[..n]);
            if n > 0 {
                self.machine.send(DomainEvent::Ring(self.domid));
            } else {
                assert!(start.elapsed() < Duration::from_secs(10), "no answer");
                std::thread::yield_now();
            }
        }
    }

    fn call(&mut self, request: &Request<'_>) -> String {
        self.send(request, 0);
        loop {
            let (header, payload) = self.receive();
            if header.kind != MsgType::WatchEvent.as_u32() {
                assert_eq!(header.req_id, self.next_id);
                return String::from_utf8(payload).unwrap().trim_end_matches('\0').to_owned();
            }
        }
    }
}

#[test]
fn a_guest_talks_to_the_daemon_from_introduction_to_release() {
    let host = Host::start(Limits::default(), &[0, 5]);
    let mut xs = host.tools();
    assert!(xs.is_introduced(0).unwrap(), "the control domain's ring needs no request");
    xs.watch("@releaseDomain", b"gone", None).unwrap();
    assert_eq!(xs.next_event(None).unwrap().unwrap().path, "@releaseDomain");
    let mut guest = host.introduce(5);
    assert_eq!(guest.page.load_u32(ring::SERVER_FEATURES), 3);
    assert_eq!(guest.call(&Request::Write(b"data/greeting", b"hello")), "OK");
    assert_eq!(xs.read_string("/local/domain/5/data/greeting").unwrap(), "hello");
    assert_eq!(guest.call(&Request::Read(b"/tool")), "EACCES");
    let big = "x".repeat(2000);
    assert_eq!(guest.call(&Request::Write(b"data/big", big.as_bytes())), "OK");
    assert_eq!(guest.call(&Request::Read(b"data/big")), big, "a reply longer than the ring");
    assert_eq!(guest.call(&Request::Watch { path: b"control/shutdown", token: b"s", depth: None }), "OK");
    assert_eq!(guest.receive().1, b"control/shutdown\0s\0");
    xs.write("/local/domain/5/control/shutdown", b"poweroff").unwrap();
    assert_eq!(guest.receive().1, b"control/shutdown\0s\0");
    let mut dom0 = host.guest(0);
    assert_eq!(dom0.call(&Request::Read(b"/local/domain/5/data/greeting")), "hello", "the control domain's kernel");
    assert!(host.machine.notified.lock().unwrap()[&5] >= 4);
    host.machine.send(DomainEvent::Shutdown(5));
    assert_eq!(xs.next_event(Some(Duration::from_secs(5))).unwrap().unwrap().path, "@releaseDomain");
    host.machine.send(DomainEvent::Gone(5));
    assert_eq!(xs.next_event(Some(Duration::from_secs(5))).unwrap().unwrap().path, "@releaseDomain");
    assert!(!xs.is_introduced(5).unwrap());
    assert!(!xs.exists("/local/domain/5").unwrap());
    assert!(xs.introduce(9, 1, 2).unwrap_err().is_not_found(), "no such domain");
}

/// A guest that writes as fast as it can to a node that the tools' transaction reads must not starve it.
#[test]
fn a_busy_guest_does_not_starve_the_tools() {
    let host = Host::start(Limits::default(), &[5]);
    let mut guest = host.introduce(5);
    guest.call(&Request::Write(b"state", b"0"));
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let busy = {
        let stop = stop.clone();
        std::thread::spawn(move || {
            let mut n = 0u64;
            while !stop.load(Ordering::Relaxed) {
                guest.call(&Request::Write(b"state", n.to_string().as_bytes()));
                n += 1;
            }
            n
        })
    };
    let mut xs = host.tools();
    let start = Instant::now();
    let mut worst = 0;
    for _ in 0..20 {
        let mut tries = 0;
        xs.transaction(|t| {
            tries += 1;
            let state = t.read("/local/domain/5/state")?;
            // As slow as a toolstack that does something in between.
            std::thread::sleep(Duration::from_millis(1));
            t.write("/tool/copy", &state)
        })
        .unwrap();
        worst = worst.max(tries);
    }
    let took = start.elapsed();
    stop.store(true, Ordering::Relaxed);
    let writes = busy.join().unwrap();
    assert!(worst <= 20, "{worst} tries for one transaction");
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(writes > 0);
    println!("20 transactions in {took:?}, {worst} tries at most, {writes} writes of the guest meanwhile");
}

#[test]
fn a_guest_above_its_rate_waits_and_another_does_not() {
    let limits = Limits { rate: 200.0, burst: 50.0, ..Limits::default() };
    let host = Host::start(limits, &[5, 6]);
    let (mut five, mut six) = (host.introduce(5), host.introduce(6));
    let start = Instant::now();
    for _ in 0..150 {
        five.call(&Request::Read(b"data"));
    }
    let slow = start.elapsed();
    let start = Instant::now();
    for _ in 0..40 {
        six.call(&Request::Read(b"data"));
    }
    let quick = start.elapsed();
    // 150 requests at 200 a second, of which 50 at once.
    assert!(slow > Duration::from_millis(400), "{slow:?}");
    assert!(quick < slow / 2, "{quick:?} against {slow:?}");
}
