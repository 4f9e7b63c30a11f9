//! An engine whose inputs are journalled before it sees them.

use crate::engine::{Engine, Happening, Todo};
use crate::journal::{CHUNK_MAX, Journal, RecordKind, StateDir, StoreError};
use crate::state::{ConnId, Quotas};
use std::path::Path;

/// Bytes kept free for the records that a delivery and a happening need.
const RESERVE: usize = 64 << 10;

/// The engine, its journal, and the directory of both.
pub struct Durable {
    engine: Engine,
    journal: Journal,
    dir: StateDir,
    /// What the daemon is to do.
    pub todo: Vec<Todo>,
}

impl Durable {
    /// Brings back the state from `dir`, or makes an empty one.
    pub fn open(dir: &Path, quotas: &Quotas) -> Result<Durable, StoreError> {
        let (dir, engine, journal) = StateDir::open(dir, quotas)?;
        let todo = engine.unfinished();
        Ok(Durable { engine, journal, dir, todo })
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The journal, for the notes of the byte pumps.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Whether an input of [`CHUNK_MAX`] bytes, its delivery and some happenings still fit.
    pub fn has_room(&self) -> bool {
        self.journal.room() >= CHUNK_MAX + RESERVE
    }

    /// Makes room by writing a snapshot, if there is little left.
    pub fn make_room(&mut self) -> Result<(), StoreError> {
        if self.has_room() { Ok(()) } else { self.compact() }
    }

    /// Writes a snapshot and starts an empty journal.
    pub fn compact(&mut self) -> Result<(), StoreError> {
        self.journal = self.dir.compact(&self.engine)?;
        Ok(())
    }

    /// Something happened.
    pub fn happened(&mut self, what: &Happening) -> Result<(), StoreError> {
        if self.journal.room() < 4096 {
            self.compact()?;
        }
        let bytes = postcard::to_stdvec(what).map_err(|_| StoreError::Record(0))?;
        self.journal.append(RecordKind::Happening, ConnId(0), &bytes);
        self.engine.happened(what, &mut self.todo);
        Ok(())
    }

    /// Where input from a connection is to be read into: `len` bytes.
    pub fn input_space(&mut self, len: usize) -> &mut [u8] {
        self.journal.space(len)
    }

    /// The first `len` bytes of the input space arrived on a connection.
    pub fn input(&mut self, conn: ConnId, len: usize) {
        let data = self.journal.commit_space(conn, len);
        self.engine.bytes(conn, data, &mut self.todo);
    }

    /// The bytes of a connection before `upto` were delivered.
    pub fn delivered(&mut self, conn: ConnId, upto: u64) {
        self.journal.append(RecordKind::Delivered, conn, &upto.to_le_bytes());
        self.engine.delivered(conn, upto);
    }
}
