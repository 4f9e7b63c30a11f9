//! Tasks, one by one. Each notes what it did in the configuration that is kept: whoever is killed between two of them has
//! done the first and not the second, and the next plan says so.

use super::change::{Change, fill_addresses};
use super::plan::{Step, Task};
use crate::work::Note;
use crate::{Action, Control, DomainConfig, Error, Host, Kind, Options, Result};
use std::collections::BTreeSet;
use std::fs::File;
use std::time::{Duration, Instant};
use xenctl::Hypercalls;

/// How long somebody who attends to a domain has to take it away.
const ATTENDED: Duration = Duration::from_secs(30);

/// How tasks are done.
#[derive(Clone, Copy, Debug)]
pub struct Ways {
    /// How domains are created.
    pub create: Options,
    /// How long a domain has to shut down.
    pub patience: Duration,
}

/// The right to bring this host to what a folder says: one process has it.
#[must_use]
pub struct Applying(Note);

impl Applying {
    /// It is done.
    pub fn over(self) {
        self.0.done();
    }
}

/// What became of a step.
#[derive(Debug)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It failed.
    Failed(Error),
    /// Something before it failed, so it was not begun.
    NotReached,
}

impl<H: Hypercalls> Host<H> {
    /// Lets this process apply a folder; nobody else does meanwhile.
    ///
    /// # Errors
    /// Another one does; the file that stands for it cannot be had.
    pub fn applying(&self) -> Result<Applying> {
        let dir = &self.work_dir;
        let lock = || {
            std::fs::create_dir_all(dir)?;
            Note::lock(dir.join("apply"), File::options().create(true).read(true).write(true))
        };
        let taken = lock().map_err(Error::io(format!("cannot write to {}", dir.display())))?;
        let busy = || Error::Failed("another `xm apply` is at work: wait until it has ended".to_owned());
        taken.map(Applying).ok_or_else(busy)
    }

    /// Does all steps; what fails keeps only what needs it from being begun. `told` hears of each that has a task.
    pub fn perform(&mut self, steps: &[Step], ways: Ways, mut told: impl FnMut(&Step, &Outcome)) {
        // Domains of which a change failed, and those that are gone.
        let (mut failed, mut gone) = (BTreeSet::new(), BTreeSet::new());
        let mut down = false;
        for step in steps {
            let Some(task) = &step.task else { continue };
            let known = step.domid.is_some_and(|domid| gone.contains(&domid));
            let outcome = if down || known {
                Outcome::NotReached
            } else {
                let whole = step.domid.is_none_or(|domid| !failed.contains(&domid));
                match self.perform_one(step.domid, task, whole, ways) {
                    Ok(()) => Outcome::Done,
                    Err(error) => {
                        down = error.kind() == Kind::Down;
                        failed.extend(step.domid);
                        if matches!(error, Error::NoDomain(_)) {
                            gone.extend(step.domid);
                        }
                        Outcome::Failed(error)
                    }
                }
            };
            told(step, &outcome);
        }
    }

    fn perform_one(&mut self, domid: Option<u16>, task: &Task, whole: bool, ways: Ways) -> Result<()> {
        let there = |domid: Option<u16>| domid.ok_or_else(|| Error::NoDomain("(none)".to_owned()));
        match task {
            Task::Create(config) => self.create(config, ways.create).map(drop),
            Task::Shutdown => self.stop(there(domid)?, ways.patience),
            Task::Change(change) => self.change(there(domid)?, change, whole, ways),
            Task::Restart(config) => {
                // What keeps it from coming back is seen before it goes.
                check_start(config, ways)?;
                self.stop(there(domid)?, ways.patience)?;
                self.create(config, ways.create).map(drop)
            }
        }
    }

    /// Shuts a domain down, whatever its configuration says of that, and sees it gone.
    fn stop(&mut self, domid: u16, patience: Duration) -> Result<()> {
        let Some(info) = self.xen.domain_info(domid)? else { return Ok(()) };
        let kept = self.config_of(domid);
        if let Some(kept) = kept.as_ref().filter(|kept| kept.on_poweroff != Action::Destroy) {
            self.save_config(domid, &DomainConfig { on_poweroff: Action::Destroy, ..kept.clone() })?;
        }
        if info.shutdown().is_none() {
            self.ask(domid, Control::PowerOff)?;
            if let Err(error) = self.wait_for_end(domid, Some(patience)) {
                if let Some(kept) = kept {
                    self.save_config(domid, &kept)?;
                }
                return Err(error);
            }
        }
        let deadline = Instant::now() + ATTENDED;
        loop {
            if self.xen.domain_info(domid)?.is_none_or(|now| now.uuid != info.uuid) {
                return Ok(());
            }
            // An end that its attendant had done with before stays as it is.
            let attendance = self.attendance(&info.uuid)?;
            if attendance.is_some() || Instant::now() > deadline || info.shutdown().is_some() {
                let destroyed = self.destroy(domid);
                attendance.into_iter().for_each(crate::Attendance::over);
                return destroyed;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `whole`: no other change of this domain failed.
    fn change(&mut self, domid: u16, change: &Change, whole: bool, ways: Ways) -> Result<()> {
        let info = self.xen.domain_info(domid)?.ok_or_else(|| Error::NoDomain(domid.to_string()))?;
        let mut change = change.clone();
        match &mut change {
            // That notes it, too.
            Change::Name(name) => return self.rename(domid, &info.uuid, name),
            Change::MaxMemory(kib) => self.set_max_memory(domid, *kib)?,
            Change::Memory { kib, .. } => self.set_memory(domid, *kib)?,
            Change::Vcpus(count) => self.set_vcpus(domid, *count)?,
            Change::Cpus { hard, soft } => {
                let or_all = |list: &[String]| if list.is_empty() { vec!["all".to_owned()] } else { list.to_vec() };
                self.pin(domid, &or_all(hard), &or_all(soft), info.max_vcpu_id.map_or(0, |last| last + 1))?;
            }
            Change::Pool(pool) => {
                let id = self.find_pool(pool.as_deref().unwrap_or("0"))?.pool.id;
                self.xen.move_to_pool(domid, id)?;
            }
            Change::Disk { out, into } => {
                if let Some(old) = out {
                    self.block_detach(domid, &old.vdev, false)?;
                }
                if let Some(new) = into {
                    self.block_attach(domid, new)?;
                }
            }
            Change::Card { out, into } => {
                if let Some((index, _)) = out {
                    self.network_detach(domid, &index.to_string(), false)?;
                }
                if let Some(new) = into {
                    new.mac.get_or_insert_with(crate::uuid::random_mac);
                    self.network_attach(domid, new)?;
                }
            }
            Change::Keep(config) => {
                let old = self.config_of(domid).ok_or_else(|| Error::NoDomain(domid.to_string()))?;
                if super::fields::other_start(&old, config) {
                    check_start(config, ways)?;
                }
                fill_addresses(config, &old);
                if !whole {
                    // What could not be done now might keep it from its next start.
                    let DomainConfig { memory_kib, max_memory_kib, vcpus, cpus, cpus_soft, pool, disks, vifs, .. } =
                        old;
                    **config = DomainConfig {
                        memory_kib,
                        max_memory_kib,
                        vcpus: vcpus.min(config.max_vcpus),
                        cpus,
                        cpus_soft,
                        pool,
                        disks,
                        vifs,
                        ..(**config).clone()
                    };
                }
            }
        }
        let mut next = self.config_of(domid).ok_or_else(|| Error::NoDomain(domid.to_string()))?;
        change.note(&mut next);
        self.update_config(domid, &next)
    }
}

/// Whether what a domain is started from is there.
fn check_start(config: &DomainConfig, ways: Ways) -> Result<()> {
    let cache = (!ways.create.no_cache).then(crate::host::kernel_cache);
    dombuild::kernel(&config.kernel, cache.as_ref())?;
    match &config.ramdisk {
        Some(path) => File::open(path).map(drop).map_err(Error::io(format!("ramdisk {}", path.display()))),
        None => Ok(()),
    }
}
