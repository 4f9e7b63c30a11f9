//! What a benchmark is done with: a disk, a host, another domain. An operation whose target is not named is left out.

use std::ffi::CString;
use std::net::SocketAddr;
use std::sync::OnceLock;

use crate::{store, xen};

/// The targets of this run.
#[derive(Debug, Default)]
pub struct Targets {
    /// A block device whose content may be lost.
    pub disk: Option<CString>,
    /// Where `fxbench serve` listens.
    pub host: Option<SocketAddr>,
    /// A guest's way to xenstored, /dev/xen/xenbus; without it, the socket.
    pub store: Option<String>,
    /// What `fxbench peer` in another domain offered.
    pub peer: Option<Peer>,
}

/// A domain that answers events and granted a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its number.
    pub domain: u32,
    /// The reference of its page.
    pub grant: u32,
    /// Its port.
    pub port: u32,
}

impl Peer {
    /// `DOMID:GREF:PORT`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(':').map(|number| number.parse().ok());
        let peer = Self { domain: numbers.next()??, grant: numbers.next()??, port: numbers.next()?? };
        numbers.next().is_none().then_some(peer)
    }
}

static TARGETS: OnceLock<Targets> = OnceLock::new();

/// What this run has.
pub fn targets() -> &'static Targets {
    TARGETS.get_or_init(Targets::default)
}

/// Says what this run has; only once.
pub fn set(targets: Targets) {
    let _ = TARGETS.set(targets);
}

/// What an operation needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// A kernel.
    Nothing,
    /// The devices of a domain.
    Domain,
    /// What the kernel says of its hypervisor.
    Sysfs,
    /// A disk.
    Disk,
    /// A server.
    Host,
    /// Another domain.
    Peer,
    /// A xenstored on this machine.
    Store,
}

impl Needs {
    /// Whether this run has it.
    pub fn met(self) -> bool {
        let targets = targets();
        match self {
            Self::Nothing => true,
            Self::Domain => xen::is_there(),
            Self::Sysfs => xen::sysfs_is_there(),
            Self::Disk => targets.disk.is_some(),
            Self::Host => targets.host.is_some(),
            Self::Peer => targets.peer.is_some(),
            Self::Store => targets.store.is_some() || store::socket().is_some(),
        }
    }
}
