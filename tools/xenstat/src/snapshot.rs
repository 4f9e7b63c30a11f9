//! What one scrape found, without a word of how it is told.

use std::time::Duration;
use xenctl::{DomainInfo, StateTimes};

/// Where numbers come from; each can fail without the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceKind {
    /// The hypervisor.
    Hypervisor,
    /// Names and times of start, in xenstore.
    Xenstore,
    /// What xenstored says of itself.
    XenstoreQuota,
    /// The kernel's and our own block backends.
    Block,
    /// The kernel's network backends.
    Network,
}

impl SourceKind {
    /// Every one.
    pub const ALL: [SourceKind; 5] = [
        SourceKind::Hypervisor,
        SourceKind::Xenstore,
        SourceKind::XenstoreQuota,
        SourceKind::Block,
        SourceKind::Network,
    ];

    /// Its label.
    pub const fn name(self) -> &'static str {
        match self {
            SourceKind::Hypervisor => "hypervisor",
            SourceKind::Xenstore => "xenstore",
            SourceKind::XenstoreQuota => "xenstore_quota",
            SourceKind::Block => "block",
            SourceKind::Network => "network",
        }
    }
}

/// How a source did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Which.
    pub source: SourceKind,
    /// How long it took.
    pub took: Duration,
    /// The first thing that went wrong.
    pub error: Option<String>,
}

/// A scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The machine; `None`: the hypervisor did not say.
    pub host: Option<Host>,
    /// Domains, by number.
    pub domains: Vec<Domain>,
    /// xenstored's limits, by the names that it has for them; none if it does not say.
    pub quotas: Vec<(String, u64)>,
    /// The sources.
    pub asked: Vec<Asked>,
}

/// The machine and its hypervisor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Host {
    /// `4.17.5`, or what the hypervisor says.
    pub version: String,
    /// Which sources it was built from.
    pub changeset: String,
    /// `credit2`.
    pub scheduler: &'static str,
    /// Physical CPUs that run guests.
    pub cpus: u32,
    /// Their frequency.
    pub cpu_hertz: u64,
    /// How long each had nothing to do since boot, in nanoseconds.
    pub idle: Vec<u64>,
    /// Bytes.
    pub memory: u64,
    /// Bytes.
    pub free_memory: u64,
    /// Bytes that domains will get, though they have not yet.
    pub claimed_memory: u64,
    /// Nanoseconds since the hypervisor made the control domain, at boot.
    pub uptime: Option<u64>,
}

/// A domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Domain {
    /// What the hypervisor says.
    pub info: DomainInfo,
    /// Its name; `None`: the store has none (yet).
    pub name: Option<String>,
    /// When it was started, in seconds since 1970.
    pub started: Option<f64>,
    /// Its vcpus.
    pub vcpus: Vec<Vcpu>,
    /// Its disks.
    pub disks: Vec<Disk>,
    /// Its network cards.
    pub nics: Vec<Nic>,
    /// What it uses of xenstored, by the names of the limits; none if xenstored does not say.
    pub usage: Vec<(String, u64)>,
}

/// A vcpu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vcpu {
    /// Its number.
    pub id: u32,
    /// It was started, and not taken away since.
    pub online: bool,
    /// Nanoseconds that it ran.
    pub running: u64,
    /// All of its states, where the hypervisor says.
    pub states: Option<StateTimes>,
    /// Its hypercalls, where the hypervisor says.
    pub hypercalls: Option<u64>,
}

/// A disk, as its backend counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Whose.
    pub domid: u16,
    /// Its number, for its guest and in xenstore.
    pub number: u32,
    /// Its name in the guest.
    pub device: String,
    /// Its backend counts; one that no guest uses yet does not.
    pub counts: bool,
    /// `vbd`: the kernel's backend; `qdisk`: `blkback`.
    pub backend: &'static str,
    /// Requests.
    pub requests: Requests,
    /// Bytes that the guest read.
    pub read_bytes: u64,
    /// Bytes that it wrote.
    pub written_bytes: u64,
    /// How often the backend had no room for a request; only the kernel's counts that.
    pub out_of_requests: Option<u64>,
}

/// Requests of a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// That read.
    pub read: u64,
    /// That write.
    pub write: u64,
    /// That flush.
    pub flush: u64,
    /// That discard.
    pub discard: u64,
}

/// A network card, as its guest sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nic {
    /// Whose.
    pub domid: u16,
    /// Its number in the guest.
    pub device: u32,
    /// To the guest.
    pub received: Traffic,
    /// From the guest.
    pub transmitted: Traffic,
}

/// What went one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Packets that were not delivered.
    pub dropped: u64,
    /// Packets that were wrong.
    pub errors: u64,
}
