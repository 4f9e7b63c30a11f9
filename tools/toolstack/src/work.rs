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

/// Whoever looks for work that was left holds a note for a moment: how often and how long it is waited for.
const LOOKS: u32 = 20;
const LOOK: Duration = Duration::from_millis(20);

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
    fn begin(dir: &Path, domain: &[u8; 16], work: &Work) -> io::Result<Option<Note>> {
        fs::create_dir_all(dir)?;
        let path = dir.join(uuid::format(domain));
        for _ in 0..LOOKS {
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
    fn becomes(&mut self, work: &Work) -> io::Result<()> {
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
    /// It could not be finished.
    Failed([u8; 16], String),
}

impl<H: Hypercalls> Host<H> {
    /// Notes the begin of work on a domain.
    ///
    /// # Errors
    /// Somebody is at work on it; the note cannot be written.
    pub(crate) fn begin(&self, domain: &[u8; 16], work: &Work) -> Result<Note> {
        let dir = &self.work_dir;
        let note = Note::begin(dir, domain, work).map_err(Error::io(format!("cannot write to {}", dir.display())))?;
        note.ok_or_else(|| {
            let domain = uuid::format(domain);
            Error::Failed(format!("domain {domain}: another command is at work on it; wait until it has ended"))
        })
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
        let note = Note::begin(&self.work_dir, &info.uuid, &Work::Destroy).ok().flatten();
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
            let Some(domain) = entry.file_name().to_str().and_then(uuid::parse) else { continue };
            // One that is gone was finished by its owner.
            let Ok(Some(note)) = Note::lock(entry.path(), File::options().read(true).write(true)) else { continue };
            let Some(work) = note.work() else {
                // Nothing was begun yet.
                note.done();
                continue;
            };
            let again = matches!(work, Work::Create | Work::Destroy);
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
