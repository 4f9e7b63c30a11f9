//! What xenstored knows: names, times of start, and its own limits.

use std::path::PathBuf;
use std::time::{Duration, Instant};
use toolstack::uuid;
use xenctl::DomainInfo;
use xenstore::{Access as _, Result, Xenstore, XsError};

/// How long all requests of a scrape may take together. A scraper waits ten seconds by default.
const PATIENCE: Duration = Duration::from_secs(4);
/// The longest name that is told, in characters. `xm` allows less.
const LONGEST_NAME: usize = 255;

/// xenstored, asked anew in each scrape: it may have been started again, or another one.
#[derive(Debug)]
pub struct Store {
    socket: Option<PathBuf>,
    connection: Option<Xenstore>,
    until: Instant,
}

impl Default for Store {
    fn default() -> Self {
        Store::new()
    }
}

impl Store {
    /// The one of this machine.
    pub fn new() -> Self {
        Store { socket: None, connection: None, until: Instant::now() }
    }

    /// One behind this socket.
    pub fn at(socket: PathBuf) -> Self {
        Store { socket: Some(socket), ..Store::new() }
    }

    /// A scrape begins.
    pub fn begin(&mut self) {
        self.connection = None;
        self.until = Instant::now() + PATIENCE;
    }

    fn with<T>(&mut self, ask: impl FnOnce(&mut Xenstore) -> Result<T>) -> Result<T> {
        let mut store = match (self.connection.take(), &self.socket) {
            (Some(store), _) => store,
            (None, Some(socket)) => Xenstore::open_socket(socket)?,
            (None, None) => Xenstore::open()?,
        };
        store.set_patience(Some(self.until.saturating_duration_since(Instant::now())));
        let answer = ask(&mut store);
        // After any other failure there may be half a reply in it.
        if answer.as_ref().err().is_none_or(|error| error.refused().is_some()) {
            self.connection = Some(store);
        }
        answer
    }

    /// A domain's name, and when it was started (seconds since 1970).
    ///
    /// # Errors
    /// The store's.
    pub fn names(&mut self, domain: &DomainInfo) -> Result<(Option<String>, Option<f64>)> {
        let (domid, uuid) = (domain.domid, uuid::format(&domain.uuid));
        self.with(|store| {
            let name = store.read_if_there(&format!("/local/domain/{domid}/name"))?;
            let started = store.read_if_there(&format!("/vm/{uuid}/start_time"))?;
            let started = started.and_then(|text| String::from_utf8_lossy(&text).trim().parse::<f64>().ok());
            Ok((name.map(|name| presentable(&name)), started.filter(|time| time.is_finite())))
        })
    }

    /// xenstored's limits.
    ///
    /// # Errors
    /// It cannot be reached.
    pub fn quotas(&mut self) -> Result<Vec<(String, u64)>> {
        self.with(|store| told(store.control(&["quota"])))
    }

    /// What a domain uses of them.
    ///
    /// # Errors
    /// It cannot be reached.
    pub fn usage(&mut self, domid: u16) -> Result<Vec<(String, u64)>> {
        self.with(|store| told(store.control(&["quota", &domid.to_string()])))
    }
}

/// A name without what would steer a terminal.
fn presentable(name: &[u8]) -> String {
    let clean = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    String::from_utf8_lossy(name).chars().take(LONGEST_NAME).map(clean).collect()
}

/// What a daemon says that knows the question; others, and those who do not know the domain, say nothing.
fn told(answer: Result<String>) -> Result<Vec<(String, u64)>> {
    match answer {
        Ok(text) => Ok(numbers(&text)),
        Err(error) if error.refused().is_some_and(|refused| refused != XsError::EAGAIN) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Reads lines of `name : number …`, as Xen's daemon and ours print them.
fn numbers(text: &str) -> Vec<(String, u64)> {
    let line = |line: &str| {
        let (name, rest) = line.split_once(':')?;
        let value = rest.split_whitespace().next()?.parse().ok()?;
        let name = name.trim();
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        plain.then(|| (name.to_owned(), value))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_read_as_both_daemons_print_them() {
        let ours = "Quota settings:\nnodes            :     1000 Nodes per domain\nnode-size        :     2048 Max. size of a node\n";
        assert_eq!(numbers(ours), [("nodes".to_owned(), 1000), ("node-size".to_owned(), 2048)]);
        let xens = "Domain 7:\nnodes            :       12\nwatches          :        3\ntransactions     :        0\n";
        assert_eq!(numbers(xens).len(), 3);
        assert_eq!(numbers("Domain 7: 8\n: 1\nno\nx : -3\ny:\n"), []);
    }

    #[test]
    fn a_name_steers_no_terminal_and_is_not_long() {
        assert_eq!(presentable(b"a\x1b[2J\nb\xff\"\\"), "a\u{fffd}[2J\u{fffd}b\u{fffd}\"\\");
        assert_eq!(presentable(&[b'x'; 5000]).len(), LONGEST_NAME);
    }
}
