//! The real sources: the hypervisor, xenstored, the kernel's files.

use crate::collect::{Problem, Source};
use crate::devices;
use crate::snapshot::{Disk, Host, Nic, Vcpu};
use crate::store::Store;
use std::path::PathBuf;
use xenctl::{DomainInfo, Errno, Hypercalls, Xen, scheduler_name};

/// Bytes of a frame.
const FRAME: u64 = 4096;

/// Where the kernel shows its backends.
const BACKENDS: &str = "/sys/bus/xen-backend/devices";
/// Where `blkback` notes what it did.
const BLKBACK: &str = "/run/ferroxen/blkback";

/// This machine.
pub struct Machine<H: Hypercalls> {
    xen: Xen<H>,
    store: Store,
    backends: PathBuf,
    blkback: PathBuf,
    quotas: bool,
}

impl<H: Hypercalls> std::fmt::Debug for Machine<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").finish_non_exhaustive()
    }
}

impl<H: Hypercalls> Machine<H> {
    /// Over a hypervisor, with the store and the backends of this kernel.
    pub fn new(xen: Xen<H>) -> Self {
        Machine { xen, store: Store::new(), backends: BACKENDS.into(), blkback: BLKBACK.into(), quotas: true }
    }

    /// Over another store and other files.
    #[must_use]
    pub fn with(self, store: Store, backends: PathBuf, blkback: PathBuf) -> Self {
        Machine { store, backends, blkback, ..self }
    }

    /// Does not ask for xenstored's limits: a request for each domain.
    #[must_use]
    pub fn without_quotas(self) -> Self {
        Machine { quotas: false, ..self }
    }

    fn uptime(&self) -> Option<u64> {
        let times = self.xen.own_state_times(0).ok()?;
        Some(
            [times.running, times.runnable, times.blocked, times.offline]
                .iter()
                .fold(0, |sum, t| sum.saturating_add(*t)),
        )
    }
}

/// `None` for what is not there (any more).
fn there<T>(answer: xenctl::Result<T>) -> Result<Option<T>, Problem> {
    match answer {
        Ok(value) => Ok(Some(value)),
        // A domain that is made has no vcpus yet, one that is torn down none any more.
        Err(error) if matches!(error.errno, Errno::ESRCH | Errno::ENOENT | Errno::EINVAL) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

impl<H: Hypercalls> Source for Machine<H> {
    fn host(&mut self) -> Result<Host, Problem> {
        self.store.begin();
        let ask = || -> xenctl::Result<Host> {
            let (info, version) = (self.xen.system_info()?, self.xen.version()?);
            let (major, minor) = version.version;
            Ok(Host {
                version: format!("{major}.{minor}{}", version.extra),
                changeset: version.changeset,
                scheduler: scheduler_name(self.xen.scheduler()?),
                cpus: info.nr_cpus,
                cpu_hertz: u64::from(info.cpu_khz) * 1000,
                idle: self.xen.idle_times()?,
                memory: info.total_pages.saturating_mul(FRAME),
                free_memory: info.free_pages.saturating_mul(FRAME),
                claimed_memory: info.outstanding_pages.saturating_mul(FRAME),
                uptime: self.uptime(),
            })
        };
        ask().map_err(|error| error.to_string())
    }

    fn domains(&mut self) -> Result<Vec<DomainInfo>, Problem> {
        self.xen.domains().map_err(|error| error.to_string())
    }

    fn vcpu(&mut self, domid: u16, id: u32) -> Result<Option<Vcpu>, Problem> {
        let Some(info) = there(self.xen.vcpu_info(domid, id))? else { return Ok(None) };
        let account = there(self.xen.vcpu_account(domid, id))?.flatten();
        // Xen tells a domain of its own vcpus only, and we are domain 0.
        let own = || if domid == 0 { self.xen.own_state_times(id).ok() } else { None };
        Ok(Some(Vcpu {
            id,
            online: info.online,
            running: info.cpu_time,
            states: account.map(|(times, _)| times).or_else(own),
            hypercalls: account.map(|(_, hypercalls)| hypercalls),
        }))
    }

    fn names(&mut self, domain: &DomainInfo) -> Result<(Option<String>, Option<f64>), Problem> {
        self.store.names(domain).map_err(|error| error.to_string())
    }

    fn quotas(&mut self) -> Result<Vec<(String, u64)>, Problem> {
        if !self.quotas {
            return Ok(Vec::new());
        }
        self.store.quotas().map_err(|error| error.to_string())
    }

    fn usage(&mut self, domid: u16) -> Result<Vec<(String, u64)>, Problem> {
        if !self.quotas {
            return Ok(Vec::new());
        }
        self.store.usage(domid).map_err(|error| error.to_string())
    }

    fn disks(&mut self) -> Result<Vec<Disk>, Problem> {
        let mut disks = devices::kernel_disks(&self.backends)?;
        disks.extend(devices::own_disks(&self.blkback)?);
        Ok(disks)
    }

    fn nics(&mut self) -> Result<Vec<Nic>, Problem> {
        devices::nics(&self.backends)
    }
}
