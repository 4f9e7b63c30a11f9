//! A machine that says what a test wants it to say.

use crate::collect::{Problem, Source};
use crate::snapshot::{Disk, Host, Nic, Requests, Traffic, Vcpu};
use xen_abi::domctl::{XEN_DOMINF_blocked, XEN_DOMINF_running, XenDomctlGetdomaininfo};
use xenctl::{DomainInfo, StateTimes};

/// Says what its fields say; each list of domains is used once, the last one again and again.
#[derive(Default)]
pub struct Fake {
    /// Domains.
    pub lists: Vec<Vec<DomainInfo>>,
    /// What domains but domain 0 are called.
    pub name: String,
    /// All disks.
    pub disks: Vec<Disk>,
    /// All network cards.
    pub nics: Vec<Nic>,
    /// What fails.
    pub broken: &'static [&'static str],
    /// How often the store was asked for names.
    pub asked_names: u32,
    /// Waited for in each scrape.
    pub gate: Option<std::sync::mpsc::Receiver<()>>,
}

/// A domain with a UUID that repeats `tag`.
pub fn domain(domid: u16, tag: u8) -> DomainInfo {
    DomainInfo::from(&XenDomctlGetdomaininfo {
        domain: domid,
        handle: [tag; 16],
        flags: if domid == 0 { XEN_DOMINF_running } else { XEN_DOMINF_blocked },
        tot_pages: 256 * u64::from(domid + 1),
        max_pages: if domid == 0 { u32::MAX.into() } else { 1024 },
        cpu_time: 1_500_000_000,
        nr_online_vcpus: 1,
        max_vcpu_id: 1,
        ..Default::default()
    })
}

/// A disk at work.
pub fn disk(domid: u16) -> Disk {
    Disk {
        domid,
        number: 51712,
        device: "xvda".to_owned(),
        counts: true,
        backend: "vbd",
        requests: Requests { read: 10, write: 20, flush: 2, discard: 1 },
        read_bytes: 40_960,
        written_bytes: 81_920,
        out_of_requests: Some(0),
    }
}

/// A network card at work.
pub fn nic(domid: u16) -> Nic {
    Nic {
        domid,
        device: 0,
        received: Traffic { bytes: 1000, packets: 10, dropped: 1, errors: 0 },
        transmitted: Traffic { bytes: 2000, packets: 20, dropped: 0, errors: 0 },
    }
}

impl Fake {
    fn well<T>(&self, what: &str, value: T) -> Result<T, Problem> {
        if self.broken.contains(&what) { Err(format!("{what} is broken")) } else { Ok(value) }
    }
}

impl Source for Fake {
    fn host(&mut self) -> Result<Host, Problem> {
        if let Some(gate) = &self.gate {
            let _ = gate.recv();
        }
        let host = Host {
            version: "4.17.5".to_owned(),
            changeset: "git:\"x\"".to_owned(),
            scheduler: "credit2",
            cpus: 2,
            cpu_hertz: 2_400_000_000,
            idle: vec![1_000_000_000, 2_500_000_000],
            memory: 4 << 30,
            free_memory: 1 << 30,
            claimed_memory: 0,
            uptime: Some(3_600_000_000_000),
        };
        self.well("host", host)
    }
    fn domains(&mut self) -> Result<Vec<DomainInfo>, Problem> {
        let list =
            if self.lists.len() > 1 { self.lists.remove(0) } else { self.lists.first().cloned().unwrap_or_default() };
        self.well("domains", list)
    }
    fn vcpu(&mut self, domid: u16, id: u32) -> Result<Option<Vcpu>, Problem> {
        let states = StateTimes { running: 1_500_000_000, runnable: 250_000_000, blocked: 10_000_000_000, offline: 0 };
        // As Xen: of a domain other than domain 0 it says less.
        let own = domid == 0;
        let vcpu = Vcpu {
            id,
            online: true,
            running: 1_500_000_000,
            states: own.then_some(states),
            hypercalls: own.then_some(77),
        };
        self.well("vcpu", (id == 0).then_some(vcpu))
    }
    fn names(&mut self, domain: &DomainInfo) -> Result<(Option<String>, Option<f64>), Problem> {
        self.asked_names += 1;
        let name = (domain.domid != 0).then(|| self.name.clone());
        self.well("names", (name, (domain.domid != 0).then_some(1_764_190_000.25)))
    }
    fn quotas(&mut self) -> Result<Vec<(String, u64)>, Problem> {
        self.well("quotas", vec![("nodes".to_owned(), 1000), ("watches".to_owned(), 128)])
    }
    fn usage(&mut self, domid: u16) -> Result<Vec<(String, u64)>, Problem> {
        self.well("usage", if domid == 0 { Vec::new() } else { vec![("nodes".to_owned(), 12)] })
    }
    fn disks(&mut self) -> Result<Vec<Disk>, Problem> {
        self.well("disks", self.disks.clone())
    }
    fn nics(&mut self) -> Result<Vec<Nic>, Problem> {
        self.well("nics", self.nics.clone())
    }
}
