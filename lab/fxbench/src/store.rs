//! xenstored's operations, from a client on its socket or in a guest on its ring, each until its reply is there.

use std::fs::File;
use std::io::{Read, Result, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::exit;

use crate::mark::Run;
use crate::target::targets;

const WATCH: u32 = 4;
const READ: u32 = 2;
const TRANSACTION_START: u32 = 6;
const TRANSACTION_END: u32 = 7;
const WRITE: u32 = 11;
const RM: u32 = 13;
const WATCH_EVENT: u32 = 15;
const ERROR: u32 = 16;

/// Where the daemon listens on this machine, unless a guest's device was named.
pub fn socket() -> Option<&'static str> {
    ["/run/xenstored/socket", "/var/run/xenstored/socket"].into_iter().find(|path| Path::new(path).exists())
}

/// The number of this domain; dom0's if no device was named.
pub fn domid() -> u16 {
    if targets().store.is_none() {
        return 0;
    }
    let domid = Store::open().call(READ, 0, b"domid\0");
    String::from_utf8_lossy(&domid).parse().unwrap_or_else(|_| failed("no number of this domain"))
}

/// The two ways to it.
enum Way {
    Socket(UnixStream),
    Device(File),
}

struct Store {
    way: Way,
    /// A node that we may write.
    place: &'static str,
}

fn failed(what: &str) -> ! {
    eprintln!("fxbench: xenstored: {what}");
    exit(1)
}

impl Store {
    fn open() -> Self {
        let opened = match (&targets().store, socket()) {
            (Some(device), _) => File::options()
                .read(true)
                .write(true)
                .open(device)
                .map(|file| Self { way: Way::Device(file), place: "data/fxbench" }),
            (None, Some(path)) => {
                UnixStream::connect(path).map(|socket| Self { way: Way::Socket(socket), place: "/tool/fxbench" })
            }
            (None, None) => failed("no socket"),
        };
        opened.unwrap_or_else(|error| failed(&error.to_string()))
    }

    fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.way {
            Way::Socket(socket) => socket.write_all(bytes),
            Way::Device(file) => file.write_all(bytes),
        }
    }

    fn read_exact(&mut self, bytes: &mut [u8]) -> Result<()> {
        match &mut self.way {
            Way::Socket(socket) => socket.read_exact(bytes),
            Way::Device(file) => file.read_exact(bytes),
        }
    }

    /// Sends a request.
    fn send(&mut self, kind: u32, transaction: u32, payload: &[u8]) {
        let mut bytes = Vec::with_capacity(16 + payload.len());
        for word in [kind, 1, transaction, u32::try_from(payload.len()).unwrap_or(0)] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(payload);
        self.write_all(&bytes).unwrap_or_else(|error| failed(&error.to_string()));
    }

    /// The next message: its kind and what it holds.
    fn next(&mut self) -> (u32, Vec<u8>) {
        let mut header = [0u8; 16];
        self.read_exact(&mut header).unwrap_or_else(|error| failed(&error.to_string()));
        let word = |at: usize| {
            header.get(at..at + 4).map_or(0, |word| u32::from_le_bytes(word.try_into().unwrap_or_default()))
        };
        let mut payload = vec![0; word(12) as usize];
        self.read_exact(&mut payload).unwrap_or_else(|error| failed(&error.to_string()));
        (word(0), payload)
    }

    /// A request and its reply.
    fn call(&mut self, kind: u32, transaction: u32, payload: &[u8]) -> Vec<u8> {
        self.send(kind, transaction, payload);
        match self.next() {
            (ERROR, why) => failed(&String::from_utf8_lossy(&why)),
            (_, reply) => reply,
        }
    }

    /// A request about our node.
    fn node(&mut self, kind: u32, transaction: u32) {
        let place = self.place;
        self.call(kind, transaction, format!("{place}\0").as_bytes());
    }

    fn write(&mut self, transaction: u32, value: &str) {
        let place = self.place;
        self.call(WRITE, transaction, format!("{place}\0{value}").as_bytes());
    }
}

/// Times `operation` with a node that is there.
fn timed(run: Run, mut operation: impl FnMut(&mut Store, u32)) -> u64 {
    let mut store = Store::open();
    store.write(0, "value");
    let start = run.begin();
    for round in 0..run.rounds {
        operation(&mut store, round);
    }
    let time = start.end();
    store.node(RM, 0);
    time
}

/// A node read.
pub fn read(run: Run) -> u64 {
    timed(run, |store, _| {
        store.node(READ, 0);
    })
}

/// A node written.
pub fn write(run: Run) -> u64 {
    timed(run, |store, round| store.write(0, if round % 2 == 0 { "even" } else { "odd" }))
}

/// A transaction that reads and writes a node.
pub fn transaction(run: Run) -> u64 {
    timed(run, |store, _| {
        let id = store.call(TRANSACTION_START, 0, b"\0");
        let id =
            String::from_utf8_lossy(&id).trim_end_matches('\0').parse().unwrap_or_else(|_| failed("no transaction"));
        store.node(READ, id);
        store.write(id, "inside");
        store.call(TRANSACTION_END, id, b"T\0");
    })
}

/// A node written, until the event of a watch on it is there too.
pub fn watch(run: Run) -> u64 {
    let mut first = true;
    timed(run, |store, _| {
        if std::mem::take(&mut first) {
            store.call(WATCH, 0, format!("{}\0token\0", store.place).as_bytes());
            // A new watch fires once.
            store.next();
        }
        store.send(WRITE, 0, format!("{}\0value", store.place).as_bytes());
        // The event may come before the reply or after it.
        for _ in 0..2 {
            match store.next() {
                (WRITE | WATCH_EVENT, _) => {}
                (_, why) => failed(&String::from_utf8_lossy(&why)),
            }
        }
    })
}
