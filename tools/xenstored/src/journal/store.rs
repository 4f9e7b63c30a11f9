//! The state directory: `lock`, `snapshot-N`, `journal-N`. The highest snapshot counts, with the journal of its
//! number; a snapshot appears under its name only when it is complete.

use super::{Journal, RecordKind};
use crate::engine::{Engine, Happening};
use crate::snapshot::{self, SnapshotError};
use crate::state::Quotas;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed.
    #[error("{what} {path}: {source}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another daemon has it.
    #[error("another xenstored uses {0}")]
    Locked(PathBuf),
    /// The newest snapshot cannot be loaded.
    #[error("{path}: {source}")]
    Snapshot {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: SnapshotError,
    },
    /// A record cannot be decoded.
    #[error("record {0} of the journal is damaged")]
    Record(usize),
}

fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { what, path, source }
}

/// The state directory, locked for this process.
pub struct StateDir {
    dir: PathBuf,
    number: u64,
    _lock: File,
}

impl StateDir {
    /// Opens (or makes) the directory and brings back the engine that its files describe.
    pub fn open(dir: &Path, quotas: &Quotas) -> Result<(StateDir, Engine, Journal), StoreError> {
        fs::create_dir_all(dir).map_err(io("cannot make", dir))?;
        let lock_path = dir.join("lock");
        let lock = File::create(&lock_path).map_err(io("cannot open", &lock_path))?;
        if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(StoreError::Locked(dir.to_owned()));
        }
        let mut this = StateDir { dir: dir.to_owned(), number: 0, _lock: lock };
        let newest = this.numbers("snapshot-")?.into_iter().max();
        let Some(number) = newest else {
            let engine = Engine::new(quotas.clone());
            let journal = this.compact(&engine)?;
            return Ok((this, engine, journal));
        };
        this.number = number;
        let path = this.path("snapshot-");
        let bytes = fs::read(&path).map_err(io("cannot read", &path))?;
        let mut engine =
            snapshot::load(&bytes).map_err(|source| StoreError::Snapshot { path: path.clone(), source })?;
        let path = this.path("journal-");
        let journal = match Journal::open(&path).map_err(io("cannot open", &path))? {
            Some(journal) => {
                replay(&mut engine, &journal)?;
                journal
            }
            None => Journal::create(&path, bytes.len()).map_err(io("cannot make", &path))?,
        };
        this.remove_others();
        Ok((this, engine, journal))
    }

    fn path(&self, kind: &str) -> PathBuf {
        self.dir.join(format!("{kind}{}", self.number))
    }

    fn numbers(&self, kind: &str) -> Result<Vec<u64>, StoreError> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(io("cannot list", &self.dir))? {
            let name = entry.map_err(io("cannot list", &self.dir))?.file_name();
            let number: Option<u64> = name.to_str().and_then(|n| n.strip_prefix(kind)).and_then(|n| n.parse().ok());
            numbers.extend(number);
        }
        Ok(numbers)
    }

    fn remove_others(&self) {
        for kind in ["snapshot-", "journal-"] {
            for n in self.numbers(kind).unwrap_or_default() {
                if n != self.number {
                    // Left-overs cost space and nothing else; the next compaction tries again.
                    let _ = fs::remove_file(self.dir.join(format!("{kind}{n}")));
                }
            }
        }
    }

    /// Writes a snapshot of the engine and starts an empty journal. No input or delivery may be under way. If
    /// this fails, the old snapshot and journal are as valid as before.
    pub fn compact(&mut self, engine: &Engine) -> Result<Journal, StoreError> {
        let temporary = self.dir.join("snapshot.tmp");
        let bytes =
            snapshot::save(engine).map_err(|source| StoreError::Snapshot { path: temporary.clone(), source })?;
        let old = self.number;
        self.number += 1;
        let done = self.write(&temporary, &bytes);
        if done.is_err() {
            let _ = fs::remove_file(self.path("journal-"));
            let _ = fs::remove_file(&temporary);
            self.number = old;
        } else {
            self.remove_others();
        }
        done
    }

    fn write(&self, temporary: &Path, bytes: &[u8]) -> Result<Journal, StoreError> {
        let path = self.path("journal-");
        let journal = Journal::create(&path, bytes.len()).map_err(io("cannot make", &path))?;
        let mut file = File::create(temporary).map_err(io("cannot make", temporary))?;
        file.write_all(bytes).map_err(io("cannot write", temporary))?;
        let path = self.path("snapshot-");
        fs::rename(temporary, &path).map_err(io("cannot rename to", &path))?;
        Ok(journal)
    }
}

fn replay(engine: &mut Engine, journal: &Journal) -> Result<(), StoreError> {
    let mut todo = Vec::new();
    for (n, (kind, conn, data)) in journal.records().enumerate() {
        todo.clear();
        match kind {
            RecordKind::Bytes => engine.bytes(conn, data, &mut todo),
            RecordKind::Delivered => {
                let upto = data.first_chunk::<8>().ok_or(StoreError::Record(n))?;
                engine.delivered(conn, u64::from_le_bytes(*upto));
            }
            RecordKind::Happening => {
                let what: Happening = postcard::from_bytes(data).map_err(|_| StoreError::Record(n))?;
                engine.happened(&what, &mut todo);
            }
        }
    }
    Ok(())
}
