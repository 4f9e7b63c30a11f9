//! CPU pools: the hypervisor has them by number, xenstore gives them names.

use crate::device::RmIfThere as _;
use crate::work::Work;
use crate::{Error, Host, Result};
use xenctl::{CpuSet, Hypercalls, Pool};
use xenstore::Access as _;

/// A pool as an administrator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPool {
    /// What the hypervisor says.
    pub pool: Pool,
    /// Its name.
    pub name: String,
}

/// What a new pool shall be.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct NewPool {
    /// Its name.
    pub name: String,
    /// Its scheduler (`XEN_SCHEDULER_*`); `None`: that of pool 0.
    pub scheduler: Option<u32>,
    /// Its CPUs, which must be in no pool; `None`: all that are in none.
    pub cpus: Option<CpuSet>,
}

/// Where libxl keeps what it knows of a pool.
fn home(id: u32) -> String {
    format!("/local/pool/{id}")
}

impl<H: Hypercalls> Host<H> {
    /// How many CPUs there can be.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn cpu_count(&self) -> Result<u32> {
        Ok(self.xen.system_info()?.max_cpu_id.saturating_add(1))
    }

    /// All pools, by number.
    ///
    /// # Errors
    /// The hypervisor's, the store's.
    pub fn pools(&mut self) -> Result<Vec<NamedPool>> {
        let all = self.xen.pools(self.cpu_count()?)?;
        all.into_iter()
            .map(|pool| {
                let known = self.xs.read_if_there(&format!("{}/name", home(pool.id)))?;
                let name = match known {
                    Some(name) => String::from_utf8_lossy(&name).into_owned(),
                    None => format!("Pool-{}", pool.id),
                };
                Ok(NamedPool { pool, name })
            })
            .collect()
    }

    /// The pool that `which` names: by name, else by number.
    ///
    /// # Errors
    /// [`Error::NoPool`].
    pub fn find_pool(&mut self, which: &str) -> Result<NamedPool> {
        let all = self.pools()?;
        let by_number = which.parse().ok();
        let named = all.iter().find(|pool| pool.name == which);
        let found = named.or_else(|| all.iter().find(|pool| Some(pool.pool.id) == by_number));
        found.cloned().ok_or_else(|| Error::NoPool(which.to_owned()))
    }

    fn pool_name_is_free(&mut self, name: &str) -> Result<()> {
        if let Some(problem) = crate::config::name_problem(name) {
            return Err(Error::Invalid(format!("name \"{name}\": {problem}")));
        }
        match self.pools()?.into_iter().find(|pool| pool.name == name) {
            Some(other) => {
                let id = other.pool.id;
                Err(Error::Invalid(format!("CPU pool {name}: the name is taken by pool {id}; choose another")))
            }
            None => Ok(()),
        }
    }

    /// Makes a pool. If a step fails, what was made is taken back.
    ///
    /// # Errors
    /// The name is taken; a CPU is in another pool; the hypervisor's, the store's.
    pub fn create_pool(&mut self, new: &NewPool) -> Result<NamedPool> {
        let before = self.xen.pools(self.cpu_count()?)?.iter().map(|pool| pool.id).collect();
        let note = self.begin_pools(&Work::NewPool { before })?;
        let made = self.make_pool(new);
        note.done();
        made
    }

    fn make_pool(&mut self, new: &NewPool) -> Result<NamedPool> {
        self.pool_name_is_free(&new.name)?;
        let count = self.cpu_count()?;
        let free = self.xen.free_cpus(count)?;
        let cpus = new.cpus.as_ref().unwrap_or(&free);
        if let Some(cpu) = cpus.iter().find(|cpu| !free.has(*cpu)) {
            let what = format!("CPU {cpu}: it is in another pool; take it out first (`xm cpupool-cpu-remove`)");
            return Err(Error::Invalid(what));
        }
        let scheduler = match new.scheduler {
            Some(scheduler) => scheduler,
            None => self.xen.scheduler()?,
        };
        let id = self.xen.create_pool(scheduler)?;
        let made = cpus.iter().try_for_each(|cpu| self.xen.add_cpu_to_pool(id, cpu).map_err(Error::from));
        let uuid = crate::uuid::format(&crate::uuid::random());
        let made = made.and_then(|()| {
            Ok(self.xs.transaction(|t| {
                t.write(&format!("{}/uuid", home(id)), uuid.as_bytes())?;
                t.write(&format!("{}/name", home(id)), new.name.as_bytes())
            })?)
        });
        if let Err(error) = made {
            // The first failure is what is told.
            let _ = self.take_pool_away(id, cpus);
            return Err(error);
        }
        let pool = Pool { id, scheduler, domains: 0, cpus: cpus.clone() };
        Ok(NamedPool { pool, name: new.name.clone() })
    }

    fn take_pool_away(&mut self, id: u32, cpus: &CpuSet) -> Result<()> {
        for cpu in cpus.iter() {
            match self.xen.remove_cpu_from_pool(id, cpu) {
                // It was not put in yet.
                Err(xenctl::Error { errno: xenctl::Errno::ENOENT | xenctl::Errno::EINVAL, .. }) => {}
                other => other?,
            }
        }
        self.xen.destroy_pool(id)?;
        Ok(self.xs.rm_if_there(&home(id))?)
    }

    /// Removes a pool in which no domain is; its CPUs are in none then.
    ///
    /// # Errors
    /// It is pool 0, a domain is in it; the hypervisor's, the store's.
    pub fn destroy_pool(&mut self, pool: &NamedPool) -> Result<()> {
        let (id, name) = (pool.pool.id, &pool.name);
        if id == 0 {
            return Err(Error::Invalid(format!("CPU pool {name}: the machine's first pool cannot be removed")));
        }
        let domains = pool.pool.domains;
        if domains > 0 {
            let what = format!("CPU pool {name}: {domains} domains are in it; move them first (`xm cpupool-migrate`)");
            return Err(Error::Failed(what));
        }
        let uuid = self.pool_uuid(id)?;
        let note = self.begin_pools(&Work::OldPool { id, uuid })?;
        // What fails is tried again by the next command.
        self.take_pool_away(id, &pool.pool.cpus)?;
        note.done();
        Ok(())
    }

    fn pool_uuid(&mut self, id: u32) -> Result<Option<String>> {
        let uuid = self.xs.read_if_there(&format!("{}/uuid", home(id)))?;
        Ok(uuid.map(|uuid| String::from_utf8_lossy(&uuid).into_owned()))
    }

    /// A pool that a killed command made and did not name goes, unless somebody uses it.
    pub(crate) fn finish_new_pool(&mut self, before: &[u32]) -> Result<Option<u32>> {
        let mut gone = None;
        for pool in self.xen.pools(self.cpu_count()?)? {
            let named = self.xs.read_if_there(&format!("{}/name", home(pool.id)))?.is_some();
            if !before.contains(&pool.id) && !named && pool.domains == 0 {
                self.take_pool_away(pool.id, &pool.cpus)?;
                gone = Some(pool.id);
            }
        }
        Ok(gone)
    }

    /// The rest of a pool that a killed command was removing goes, unless the number is another's by now or somebody uses it.
    pub(crate) fn finish_old_pool(&mut self, id: u32, uuid: Option<&str>) -> Result<Option<u32>> {
        if self.pool_uuid(id)?.as_deref() != uuid {
            return Ok(None);
        }
        match self.xen.pools(self.cpu_count()?)?.into_iter().find(|pool| pool.id == id) {
            Some(pool) if pool.domains > 0 => return Ok(None),
            Some(pool) => self.take_pool_away(id, &pool.cpus)?,
            None => self.xs.rm_if_there(&home(id))?,
        }
        Ok(Some(id))
    }

    /// Gives a pool another name.
    ///
    /// # Errors
    /// It is taken, or not allowed; the store's.
    pub fn rename_pool(&mut self, pool: &NamedPool, name: &str) -> Result<()> {
        self.pool_name_is_free(name)?;
        Ok(self.xs.write(&format!("{}/name", home(pool.pool.id)), name.as_bytes())?)
    }
}
