//! Work that was begun, noted where the next command finds it if this process is killed.
//!
//! A note is a locked file, named by the domain's UUID. Whoever can lock one that is left over finishes the work of a dead
//! process, or takes it back.

use crate::{Domain, DomainConfig, Error, Host, Kind, Options, Result, paths, uuid};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use xenctl::{DomainInfo, Hypercalls};
use xenstore::Access as _;

/// How often and how long it is waited for whoever plugs in another device.
const DEVICE_LOOKS: u32 = 1500;
/// Whoever looks for work that was left holds a note for a moment: how often and how long it is waited for.
const LOOKS: u32 = 20;
const LOOK: Duration = Duration::from_millis(20);

/// The note of work on CPU pools; one at a time.
const POOLS: &str = "pools";

/// What somebody is at.
#[derive(Serialize, Deserialize)]
pub(crate) enum Work {
    /// A domain that is not complete: if it is left, it goes.
    Create,
    /// A domain that is complete and shall run, or stay paused.
    Start { paused: bool },
    /// A domain that goes: if it is left without its name, the rest goes, too.
    Destroy,
    /// A domain that ended goes, and comes back.
    Restart(Box<DomainConfig>),
    /// A device that is being plugged in: if it is left, and is not whole, it goes.
    Attach {
        /// `vbd` or `vif`.
        kind: String,
        /// Its number.
        number: u32,
        /// The loop device that is being put over a file.
        looped: Option<(PathBuf, PathBuf)>,
    },
    /// A CPU pool that is being made: if it is left without a name, it goes.
    NewPool {
        /// The pools that were there before.
        before: Vec<u32>,
    },
    /// A CPU pool that goes.
    OldPool {
        /// Its number.
        id: u32,
        /// Its UUID in the store: the number may be another pool's by now.
        uuid: Option<String>,
    },
    /// A core file that is being written: if it is left, it goes, and the domain goes on.
    Dump {
        /// The file as long as it is not complete.
        partial: Option<PathBuf>,
        /// The domain is paused for it.
        paused: bool,
    },
}

/// The note of this process' work on a domain.
pub(crate) struct Note {
    file: File,
    path: PathBuf,
    /// Bytes that it had at most: a shorter text goes over all of them.
    length: usize,
}

impl Note {
    /// Notes what is begun. `None`: somebody else is at work on this domain.
    fn begin(dir: &Path, name: &str, work: &Work, looks: u32) -> io::Result<Option<Note>> {
        fs::create_dir_all(dir)?;
        let path = dir.join(name);
        for _ in 0..looks {
            if let Some(mut note) = Note::lock(path.clone(), File::options().create(true).read(true).write(true))? {
                note.becomes(work)?;
                return Ok(Some(note));
            }
            std::thread::sleep(LOOK);
        }
        Ok(None)
    }

    /// Takes a note that nobody holds.
    pub(crate) fn lock(path: PathBuf, how: &mut fs::OpenOptions) -> io::Result<Option<Note>> {
        loop {
            let file = how.open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            let found = file.metadata()?;
            // Whoever held it may have removed it meanwhile.
            if fs::metadata(&path).is_ok_and(|now| now.ino() == found.ino()) {
                return Ok(Some(Note { file, path, length: usize::try_from(found.len()).unwrap_or(usize::MAX) }));
            }
        }
    }

    /// Notes how far it came, in one write: a kill leaves the old text or the new one.
    pub(crate) fn becomes(&mut self, work: &Work) -> io::Result<()> {
        let mut text = serde_json::to_vec(work)?;
        self.length = self.length.max(text.len());
        text.resize(self.length, b' ');
        self.file.write_all_at(&text, 0)
    }

    fn work(&self) -> Option<Work> {
        let mut text = vec![0; self.length];
        self.file.read_exact_at(&mut text, 0).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// It is done.
    pub(crate) fn done(self) {
        // Still locked: nobody takes it for left over. If it cannot be removed, the next command finds nothing to do.
        let _ = fs::remove_file(&self.path);
    }
}

/// The right to attend to a domain: one process has it, until it ends.
#[must_use]
pub struct Attendance(Note);

impl Attendance {
    /// The domain is gone.
    pub fn over(self) {
        self.0.done();
    }
}

/// Leftover work that was finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovered {
    /// What was left of a domain's creation or end is gone.
    Gone([u8; 16]),
    /// The domain is there, as it was wanted.
    There(u16),
    /// A device that was not whole is gone.
    Unplugged(u16, String),
    /// A domain goes on, and the core file for which it was paused is gone.
    GoesOn(u16),
    /// A CPU pool that was being made or removed is gone.
    NoPool(u32),
    /// It could not be finished.
    Failed([u8; 16], String),
}

impl<H: Hypercalls> Host<H> {
    /// Notes the begin of work on a domain.
    ///
    /// # Errors
    /// Somebody is at work on it; the note cannot be written.
    pub(crate) fn begin(&self, domain: &[u8; 16], work: &Work) -> Result<Note> {
        self.begin_named(&uuid::format(domain), work, LOOKS)
    }

    fn begin_named(&self, name: &str, work: &Work, looks: u32) -> Result<Note> {
        let dir = &self.work_dir;
        let note = Note::begin(dir, name, work, looks);
        note.map_err(Error::io(format!("cannot write to {}", dir.display())))?.ok_or_else(|| {
            let whose = if name == POOLS { "CPU pools".to_owned() } else { format!("domain {name}") };
            Error::Failed(format!("{whose}: another command is at work there; wait until it has ended"))
        })
    }

    /// The note of work on CPU pools.
    pub(crate) fn begin_pools(&self, work: &Work) -> Result<Note> {
        self.begin_named(POOLS, work, LOOKS)
    }

    /// Notes how far it came.
    pub(crate) fn renote(&self, note: &mut Note, work: &Work) -> Result<()> {
        note.becomes(work).map_err(Error::io(format!("cannot write to {}", self.work_dir.display())))
    }

    /// Plugs in a device under a note; one of a kind at a time.
    pub(crate) fn noted_attach<R>(
        &mut self,
        domid: u16,
        kind: &str,
        attach: impl FnOnce(&mut Self, &mut Note) -> Result<R>,
    ) -> Result<R> {
        let info = self.xen.domain_info(domid)?.ok_or_else(|| Error::NoDomain(domid.to_string()))?;
        let name = format!("{}.{kind}", uuid::format(&info.uuid));
        // No number yet: it may turn out to be another device's.
        let work = Work::Attach { kind: kind.to_owned(), number: u32::MAX, looped: None };
        let mut note = self.begin_named(&name, &work, DEVICE_LOOKS)?;
        let attached = attach(self, &mut note);
        // Who fails has cleaned up, as far as that was possible.
        note.done();
        attached
    }

    /// The note of a core file.
    pub(crate) fn begin_dump(&self, domain: &[u8; 16], partial: Option<PathBuf>, paused: bool) -> Result<Note> {
        self.begin_named(&format!("{}.dump", uuid::format(domain)), &Work::Dump { partial, paused }, LOOKS)
    }

    /// Lets this process attend to a domain. `None`: another one does.
    ///
    /// # Errors
    /// The file that stands for it cannot be had.
    pub fn attendance(&self, domain: &[u8; 16]) -> Result<Option<Attendance>> {
        let dir = self.work_dir.join("attended");
        let lock = || {
            fs::create_dir_all(&dir)?;
            Note::lock(dir.join(uuid::format(domain)), File::options().create(true).read(true).write(true))
        };
        Ok(lock().map_err(Error::io(format!("cannot write to {}", dir.display())))?.map(Attendance))
    }

    /// Destroys a domain, noted.
    pub(crate) fn destroy_noted(&mut self, info: &DomainInfo) -> Result<()> {
        // Who makes it at this moment, or destroys it, has a note of it: no second one is needed.
        let note = Note::begin(&self.work_dir, &uuid::format(&info.uuid), &Work::Destroy, LOOKS).ok().flatten();
        self.take_away(info.domid)?;
        note.into_iter().for_each(Note::done);
        Ok(())
    }

    /// Makes a domain under a note, which goes when it is made or taken back.
    pub(crate) fn create_under(&mut self, mut note: Note, config: &DomainConfig, options: Options) -> Result<Domain> {
        let made = self.make(config, options).and_then(|info| {
            let noted = note.becomes(&Work::Start { paused: options.paused });
            let noted = noted.map_err(Error::io(format!("cannot write to {}", self.work_dir.display())));
            noted.and_then(|()| self.start(info, options.paused)).inspect_err(|_| {
                // The first failure is what is told.
                let _ = self.take_away(info.domid);
            })
        });
        note.done();
        Ok(Domain { info: made?, name: config.name.clone() })
    }

    fn start(&mut self, info: DomainInfo, paused: bool) -> Result<DomainInfo> {
        // Before it runs, and while it is noted: it does not end unseen.
        (self.attend)(&info.uuid)?;
        if !paused {
            self.xen.unpause_domain(info.domid)?;
        }
        // It runs, whatever can be said of it now.
        Ok(self.xen.domain_info(info.domid).ok().flatten().unwrap_or(info))
    }

    /// Destroys a domain that ended and makes it again: whoever is killed meanwhile leaves a note for the next.
    pub(crate) fn restart(&mut self, domid: u16, config: &DomainConfig) -> Result<Domain> {
        let uuid = config.uuid.unwrap_or_default();
        let note = self.begin(&uuid, &Work::Restart(Box::new(config.clone())))?;
        self.take_away(domid)?;
        self.create_under(note, config, Options::default())
    }

    /// Finishes what dead processes left undone, or takes it back.
    ///
    /// # Errors
    /// The folder of notes cannot be read.
    pub fn recover(&mut self) -> Result<Vec<Recovered>> {
        let dir = self.work_dir.clone();
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io(format!("cannot read {}", dir.display()))(error)),
        };
        let mut all = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            // What is after the dot keeps works on one domain apart.
            let domain = match name.to_str() {
                Some(POOLS) => Some([0; 16]),
                name => name.and_then(|name| uuid::parse(name.split('.').next()?)),
            };
            let Some(domain) = domain else { continue };
            // One that is gone was finished by its owner.
            let Ok(Some(note)) = Note::lock(entry.path(), File::options().read(true).write(true)) else { continue };
            let Some(work) = note.work() else {
                // Nothing was begun yet.
                note.done();
                continue;
            };
            let again = !matches!(work, Work::Start { .. } | Work::Restart(_));
            match self.finish(&domain, work) {
                Ok(found) => {
                    note.done();
                    all.extend(found);
                }
                Err(error) => {
                    all.push(Recovered::Failed(domain, error.to_string()));
                    // What is left of a domain is tried again, for ever; a domain that cannot be made is not.
                    if !again && error.kind() != Kind::Down {
                        note.done();
                    }
                }
            }
        }
        Ok(all)
    }

    fn has_name(&mut self, domid: u16) -> Result<bool> {
        Ok(self.xs.read_if_there(&format!("{}/name", paths::home(domid)))?.is_some())
    }

    /// A device that is whole stays; else it goes, and a loop device of which nobody knows.
    fn finish_attach(
        &mut self,
        found: Option<DomainInfo>,
        kind: &str,
        number: u32,
        looped: Option<(PathBuf, PathBuf)>,
    ) -> Result<Option<Recovered>> {
        let mut told = None;
        if let Some(info) = found.filter(|info| !info.dying()) {
            let domid = info.domid;
            if self.devices(domid, kind)?.contains(&number) && !self.is_whole(domid, kind, number)? {
                self.undo_attach(domid, kind, number)?;
                told = Some(Recovered::Unplugged(domid, format!("{kind} {number}")));
            }
        }
        if let Some((device, file)) = looped
            && self.hotplug.loop_file(&device) == Some(file)
            && !self.knows_loop(&device)?
        {
            self.hotplug.detach_loop(&device).map_err(Error::io(format!("cannot take down {}", device.display())))?;
        }
        Ok(told)
    }

    fn finish(&mut self, domain: &[u8; 16], work: Work) -> Result<Option<Recovered>> {
        let found = self.xen.domains()?.into_iter().find(|info| info.uuid == *domain);
        let gone = Some(Recovered::Gone(*domain));
        // A domain of this UUID that ran since then is somebody else's work.
        let unborn = found.filter(|info| info.paused() && info.cpu_time == 0 || info.dying());
        Ok(match work {
            Work::Create => match unborn {
                Some(info) => self.take_away(info.domid).map(|()| gone)?,
                None => None,
            },
            Work::Start { paused } => match unborn {
                Some(info) => Some(Recovered::There(self.start(info, paused)?.domid)),
                None => found.map(|info| Recovered::There(info.domid)),
            },
            Work::Destroy => match found {
                // One that still has its name can be destroyed again, by who still wants that.
                Some(info) if info.dying() || !self.has_name(info.domid)? => {
                    self.take_away(info.domid).map(|()| gone)?
                }
                _ => None,
            },
            Work::NewPool { before } => self.finish_new_pool(&before)?.map(Recovered::NoPool),
            Work::OldPool { id, uuid } => self.finish_old_pool(id, uuid.as_deref())?.map(Recovered::NoPool),
            Work::Attach { kind, number, looped } => self.finish_attach(found, &kind, number, looped)?,
            Work::Dump { partial, paused } => {
                if let Some(partial) = partial {
                    match fs::remove_file(&partial) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => {
                            return Err(Error::io(format!("cannot remove {}", partial.display()))(error));
                        }
                        _ => {}
                    }
                }
                match found {
                    Some(info) if paused && info.paused() && !info.dying() => {
                        self.xen.unpause_domain(info.domid)?;
                        Some(Recovered::GoesOn(info.domid))
                    }
                    _ => None,
                }
            }
            Work::Restart(config) => {
                if let Some(info) = unborn.or(found.filter(|info| info.shutdown().is_some())) {
                    self.take_away(info.domid)?;
                } else if found.is_some() {
                    return Ok(None);
                }
                let info = self.make(&config, Options::default())?;
                Some(Recovered::There(self.start(info, false)?.domid))
            }
        })
    }
}
