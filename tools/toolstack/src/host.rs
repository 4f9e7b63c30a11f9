//! This machine: its hypervisor, its xenstore, and the domains in both.

use crate::{DomainConfig, Error, Hotplug, KernelHotplug, Result, apply, paths};
use std::path::{Path, PathBuf};
use xen_sys::Privcmd;
use xenctl::{DomainInfo, Hypercalls, Xen};
use xenstore::{Access as _, Xenstore};

/// Where the configurations of running domains are.
const RUN_DIR: &str = "/run/ferroxen/domains";

/// Where the notes of work that is under way are.
const WORK_DIR: &str = "/run/ferroxen/work";

/// Where what is kept of crashed domains is.
const CRASH_DIR: &str = "/var/lib/xen/crash";

/// Where xenconsoled logs domains' consoles.
const CONSOLE_DIR: &str = "/var/log/xen/console";

/// The machine.
pub struct Host<H: Hypercalls = Privcmd> {
    /// The hypervisor.
    pub xen: Xen<H>,
    /// The store.
    pub xs: Xenstore,
    /// Where the configurations of running domains are.
    pub run_dir: PathBuf,
    /// Where the notes of work that is under way are.
    pub work_dir: PathBuf,
    /// Where what is kept of crashed domains is.
    pub crash_dir: PathBuf,
    /// Where the logs of domains' consoles are.
    pub console_dir: PathBuf,
    /// What is plugged in behind devices.
    pub hotplug: Box<dyn Hotplug>,
    /// Said before a step that may take more than a second.
    pub progress: fn(&str),
    /// Told of what happened to domains.
    pub log: fn(&str),
    /// Sees to it that somebody attends to a domain (by UUID) that is about to run.
    pub attend: Attend,
}

/// See [`Host::attend`].
pub type Attend = Box<dyn Fn(&[u8; 16]) -> Result<()>>;

/// A domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// What the hypervisor says.
    pub info: DomainInfo,
    /// Its name.
    pub name: String,
}

/// The living domain other than `own` whose name in the store this is. In a transaction nobody can take it meanwhile.
pub(crate) fn holder<H: Hypercalls>(
    store: &mut impl xenstore::Access,
    xen: &Xen<H>,
    name: &str,
    own: u16,
) -> xenstore::Result<Option<u16>> {
    for domain in store.list("/local/domain")? {
        let Some(domid) = domain.parse().ok().filter(|domid| *domid != own) else { continue };
        let found = store.read_if_there(&format!("{}/name", paths::home(domid)))?;
        // What a domain that is gone has left there holds no name.
        if found.as_deref() == Some(name.as_bytes()) && matches!(xen.domain_info(domid), Ok(Some(_))) {
            return Ok(Some(domid));
        }
    }
    Ok(None)
}

/// Fails if somebody has the name.
pub(crate) fn free(name: &str, holder: Option<u16>) -> Result<()> {
    holder.map_or(Ok(()), |domid| Err(Error::NameTaken { name: name.to_owned(), domid }))
}

impl<H: Hypercalls> std::fmt::Debug for Host<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("run_dir", &self.run_dir).finish_non_exhaustive()
    }
}

impl Host<Privcmd> {
    /// Opens the hypervisor below this kernel, and the store.
    ///
    /// # Errors
    /// There is none of them.
    pub fn open() -> Result<Self> {
        let xen = Self::open_hypervisor()?;
        Ok(Host::over(xen, Xenstore::open()?))
    }

    /// Opens the hypervisor alone.
    ///
    /// # Errors
    /// There is none, or it may not be used.
    pub fn open_hypervisor() -> Result<Xen<Privcmd>> {
        let privcmd = Privcmd::open().map_err(|error| match error.kind() {
            std::io::ErrorKind::PermissionDenied => Error::NoPrivilege(error),
            _ => Error::NoHypervisor(error),
        })?;
        Ok(Xen::new(privcmd)?)
    }
}

impl<H: Hypercalls> Host<H> {
    /// Over a hypervisor and a store.
    pub fn over(xen: Xen<H>, xs: Xenstore) -> Self {
        Host {
            xen,
            xs,
            run_dir: RUN_DIR.into(),
            work_dir: WORK_DIR.into(),
            crash_dir: CRASH_DIR.into(),
            console_dir: CONSOLE_DIR.into(),
            hotplug: Box::new(KernelHotplug),
            progress: |_| {},
            log: |_| {},
            attend: Box::new(|_| Ok(())),
        }
    }

    /// A domain's name; the control domain has one without a store.
    ///
    /// # Errors
    /// The store's.
    pub fn name_of(&mut self, domid: u16) -> Result<String> {
        let name = self.xs.read_if_there(&format!("{}/name", paths::home(domid)))?;
        Ok(match name {
            Some(name) => String::from_utf8_lossy(&name).into_owned(),
            None if domid == 0 => "Domain-0".to_owned(),
            None => "(null)".to_owned(),
        })
    }

    /// All domains, by number.
    ///
    /// # Errors
    /// The hypervisor's, the store's.
    pub fn domains(&mut self) -> Result<Vec<Domain>> {
        let all = self.xen.domains()?;
        all.into_iter().map(|info| Ok(Domain { info, name: self.name_of(info.domid)? })).collect()
    }

    /// The domain that `which` names: by number, else by name, else by UUID.
    ///
    /// # Errors
    /// [`Error::NoDomain`].
    pub fn find(&mut self, which: &str) -> Result<Domain> {
        let unknown = || Error::NoDomain(which.to_owned());
        if let Ok(domid) = which.parse::<u16>() {
            let info = self.xen.domain_info(domid)?.ok_or_else(unknown)?;
            return Ok(Domain { info, name: self.name_of(domid)? });
        }
        let uuid = crate::uuid::parse(which);
        self.domains()?
            .into_iter()
            .find(|domain| domain.name == which || Some(domain.info.uuid) == uuid)
            .ok_or_else(unknown)
    }

    /// Fails if a domain has this name. It can be taken before it is used: [`holder`] is asked again then.
    pub(crate) fn name_is_free(&mut self, name: &str) -> Result<()> {
        let taken = self.domains()?.into_iter().find(|domain| domain.name == name);
        free(name, taken.map(|domain| domain.info.domid))
    }

    /// Gives a domain another name.
    ///
    /// # Errors
    /// It is taken, or not allowed; [`Error::NoDomain`] if somebody destroyed the domain meanwhile.
    pub fn rename(&mut self, domid: u16, uuid: &[u8; 16], name: &str) -> Result<()> {
        if let Some(problem) = crate::config::name_problem(name) {
            return Err(Error::Invalid(format!("name \"{name}\": {problem}")));
        }
        let (xs, xen) = (&mut self.xs, &self.xen);
        let taken = xs.transaction(|t| {
            let taken = holder(t, xen, name, domid)?;
            // Whoever is without a name is going: it would stay behind.
            if t.read_if_there(&format!("{}/name", paths::home(domid)))?.is_none() {
                return Ok(None);
            }
            if taken.is_none() {
                t.write(&format!("{}/name", paths::home(domid)), name.as_bytes())?;
                t.write(&format!("{}/name", paths::vm(uuid)), name.as_bytes())?;
            }
            Ok(Some(taken))
        })?;
        free(name, taken.ok_or_else(|| Error::NoDomain(domid.to_string()))?)?;
        if let Some(mut config) = self.config_of(domid) {
            name.clone_into(&mut config.name);
            self.save_config(domid, &config)?;
        }
        Ok(())
    }

    fn config_file(&self, domid: u16) -> PathBuf {
        self.run_dir.join(format!("{domid}.json"))
    }

    /// The configuration that a domain was created with, if we created it.
    pub fn config_of(&self, domid: u16) -> Option<DomainConfig> {
        serde_json::from_slice(&std::fs::read(self.config_file(domid)).ok()?).ok()
    }

    /// Notes a domain's configuration.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save_config(&self, domid: u16, config: &DomainConfig) -> Result<()> {
        write_config(&self.config_file(domid), config)
    }

    fn started_file(&self, domid: u16) -> PathBuf {
        self.run_dir.join(format!("{domid}.started.json"))
    }

    /// The configuration that a domain was started with, if we created it; [`config_of`](Self::config_of) is that of its next
    /// start.
    pub fn started_with(&self, domid: u16) -> Option<DomainConfig> {
        let started = std::fs::read(self.started_file(domid)).ok();
        started.and_then(|bytes| serde_json::from_slice(&bytes).ok()).or_else(|| self.config_of(domid))
    }

    /// Notes another configuration for a domain's end and its next start.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn update_config(&self, domid: u16, config: &DomainConfig) -> Result<()> {
        let started = self.started_file(domid);
        if let Some(old) = self.config_of(domid).filter(|old| !started.exists() && apply::other_start(old, config)) {
            write_config(&started, &old)?;
        }
        self.save_config(domid, config)
    }

    pub(crate) fn forget_config(&self, domid: u16) {
        // A file that is not there is forgotten.
        let _ = std::fs::remove_file(self.config_file(domid));
        let _ = std::fs::remove_file(self.started_file(domid));
    }

    /// Notes the control domain in the store: name, number, memory. What `xen-init-dom0` does.
    ///
    /// # Errors
    /// The hypervisor's, the store's.
    pub fn introduce_control_domain(&mut self) -> Result<()> {
        let info = self.xen.domain_info(0)?.ok_or_else(|| Error::NoDomain("0".into()))?;
        let uuid = crate::uuid::format(&info.uuid);
        let kib = info.pages * 4;
        let most = if info.max_pages > 1 << 40 { kib } else { info.max_pages * 4 };
        let entries = [
            ("/tool/xenstored".to_owned(), String::new()),
            ("/local/domain/0/domid".to_owned(), "0".to_owned()),
            ("/local/domain/0/name".to_owned(), "Domain-0".to_owned()),
            ("/local/domain/0/vm".to_owned(), format!("/vm/{uuid}")),
            ("/local/domain/0/memory/target".to_owned(), kib.to_string()),
            ("/local/domain/0/memory/static-max".to_owned(), most.to_string()),
            ("/libxl/0/dm-version".to_owned(), "qemu_xen".to_owned()),
            ("/libxl/0/type".to_owned(), "pv".to_owned()),
            (format!("/vm/{uuid}/uuid"), uuid.clone()),
            (format!("/vm/{uuid}/name"), "Domain-0".to_owned()),
        ];
        self.xs.transaction(|t| {
            // Without it libxl takes pool 0 for none. It may have another name by now.
            if !t.exists("/local/pool/0/name")? {
                t.write("/local/pool/0/name", b"Pool-0")?;
            }
            entries.iter().try_for_each(|(path, value)| t.write(path, value.as_bytes()))
        })?;
        Ok(())
    }
}

/// The old text stays until the new one is complete.
fn write_config(path: &Path, config: &DomainConfig) -> Result<()> {
    let fresh = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        std::fs::write(&fresh, serde_json::to_vec_pretty(config)?)?;
        std::fs::rename(&fresh, path)
    };
    write().map_err(|error| {
        // Half a file is nobody's.
        let _ = std::fs::remove_file(&fresh);
        Error::io(format!("cannot write {}", path.display()))(error)
    })
}

/// The cache of unpacked kernels that all commands share.
pub(crate) fn kernel_cache() -> dombuild::Cache {
    dombuild::Cache::new(Path::new(dombuild::Cache::DEFAULT_DIR), dombuild::Cache::DEFAULT_BYTES)
}
