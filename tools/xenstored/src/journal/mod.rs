//! The journal: every input of the engine, in order, since the last snapshot; and the notes by which a restart
//! finds out whether a byte was on this or on the other side of the kernel when the daemon died.

mod map;
mod store;

pub use store::{StateDir, StoreError};

use crate::state::ConnId;
use map::Map;
use std::io;
use std::path::Path;

/// Bytes of the smallest journal file. A larger store has a larger one, so that writing snapshots stays a
/// fixed share of the work, and replaying one a fixed share of loading.
const SIZE_MIN: usize = 1 << 20;
/// Bytes of the largest.
const SIZE_MAX: usize = 64 << 20;
/// Bytes that one input from a connection can have.
pub const CHUNK_MAX: usize = 64 << 10;
const HEADER: usize = 4096;
const RECORD: usize = 16;
const MAGIC: u64 = u64::from_le_bytes(*b"xsjrnl01");

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// Bytes that arrived on a connection.
    Bytes,
    /// A position up to which a connection's bytes were delivered, 8 bytes little-endian.
    Delivered,
    /// An encoded [`crate::engine::Happening`].
    Happening,
}

impl RecordKind {
    const fn number(self) -> u32 {
        match self {
            RecordKind::Bytes => 1,
            RecordKind::Delivered => 2,
            RecordKind::Happening => 3,
        }
    }

    const fn from_number(n: u32) -> Option<Self> {
        match n {
            1 => Some(RecordKind::Bytes),
            2 => Some(RecordKind::Delivered),
            3 => Some(RecordKind::Happening),
            _ => None,
        }
    }
}

/// Header words, as byte offsets.
#[derive(Clone, Copy)]
#[repr(usize)]
enum Word {
    Magic = 0,
    Tail = 8,
    InConn = 16,
    InBase = 24,
    InLen = 32,
    OutStage = 40,
    OutConn = 48,
    OutPos = 56,
    OutLen = 64,
}

/// How far a delivery over the pipe has come. See [`Journal::out_begin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutStage {
    /// Nothing is under way; the pipe is empty.
    Idle,
    /// Bytes go into the pipe; none has left it.
    Filling,
    /// Bytes leave the pipe towards the client: what is not in the pipe was delivered.
    Draining,
    /// What is in the pipe was not delivered and is thrown away.
    Discarding,
}

/// A delivery that was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutNote {
    /// How far it came.
    pub stage: OutStage,
    /// To whom.
    pub conn: ConnId,
    /// Stream position of the first byte.
    pub pos: u64,
    /// Bytes.
    pub len: u64,
}

/// A journal file.
pub struct Journal {
    map: Map,
    size: usize,
    tail: usize,
}

impl Journal {
    /// A new, empty one, for a snapshot of so many bytes.
    fn create(path: &Path, snapshot: usize) -> io::Result<Journal> {
        let size = snapshot.saturating_mul(2).clamp(SIZE_MIN, SIZE_MAX).next_multiple_of(HEADER);
        let file = map::allocate(path, size as u64)?;
        let map = Map::new(&file, size)?;
        let journal = Journal { map, size, tail: HEADER };
        journal.set(Word::Tail, HEADER as u64);
        journal.set(Word::Magic, MAGIC);
        Ok(journal)
    }

    /// Opens an existing file; `None` if it was never finished.
    fn open(path: &Path) -> io::Result<Option<Journal>> {
        let file = match std::fs::File::options().read(true).write(true).open(path) {
            Ok(f) => f,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let size = usize::try_from(file.metadata()?.len()).unwrap_or(0);
        if size < SIZE_MIN {
            return Ok(None);
        }
        let map = Map::new(&file, size)?;
        if map.get(Word::Magic as usize) != MAGIC {
            return Ok(None);
        }
        let tail = usize::try_from(map.get(Word::Tail as usize)).unwrap_or(0);
        if !(HEADER..=size).contains(&tail) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the journal's tail is outside of the file"));
        }
        Ok(Some(Journal { map, size, tail }))
    }

    fn get(&self, word: Word) -> u64 {
        self.map.get(word as usize)
    }

    fn set(&self, word: Word, value: u64) {
        self.map.set(word as usize, value);
    }

    /// Bytes that records can still take, their headers not counted.
    pub fn room(&self) -> usize {
        (self.size - self.tail).saturating_sub(RECORD + 8)
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.tail - HEADER
    }

    fn finish(&mut self, kind: RecordKind, conn: ConnId, len: usize) {
        let at = self.tail;
        let words = [u32::try_from(len).unwrap_or(0).to_le_bytes(), kind.number().to_le_bytes()];
        if let Some(header) = self.map.bytes_mut().get_mut(at..at + RECORD) {
            let (word, id) = header.split_at_mut(8);
            word.copy_from_slice(&words.concat());
            id.copy_from_slice(&conn.0.to_le_bytes());
        }
        self.tail = (at + RECORD + len).next_multiple_of(8);
        self.set(Word::Tail, self.tail as u64);
    }

    /// Appends a record. The caller made sure of the room.
    pub fn append(&mut self, kind: RecordKind, conn: ConnId, data: &[u8]) {
        let at = self.tail + RECORD;
        match self.map.bytes_mut().get_mut(at..at + data.len()) {
            Some(space) => space.copy_from_slice(data),
            // Going on without the record would lose it: stop, and let the restart find the last good state.
            None => panic!("a record of {} bytes in a full journal", data.len()),
        }
        self.finish(kind, conn, data.len());
    }

    /// Where the next input's bytes go.
    pub fn space(&mut self, len: usize) -> &mut [u8] {
        let at = self.tail + RECORD;
        self.map.bytes_mut().get_mut(at..at + len).unwrap_or_default()
    }

    /// Makes the `len` bytes in [`Journal::space`] a record, and returns them.
    pub fn commit_space(&mut self, conn: ConnId, len: usize) -> &[u8] {
        let at = self.tail + RECORD;
        self.finish(RecordKind::Bytes, conn, len);
        self.map.bytes().get(at..at + len).unwrap_or_default()
    }

    /// Notes that the input pipe may now get bytes of this connection.
    pub fn in_begin(&self, conn: ConnId) {
        self.set(Word::InLen, 0);
        self.set(Word::InBase, self.tail as u64);
        self.set(Word::InConn, conn.0);
    }

    /// Notes how many bytes went into the pipe, before they are read into [`Journal::space`].
    pub fn in_filled(&self, len: usize) {
        self.set(Word::InLen, len as u64);
    }

    /// The input that was under way: connection, and how many bytes had gone into the pipe (`None` if that
    /// was not noted, so that all of them are still in it). `None` if its record was written.
    pub fn in_note(&self) -> Option<(ConnId, Option<usize>)> {
        if self.get(Word::InBase) != self.tail as u64 {
            return None;
        }
        let len = usize::try_from(self.get(Word::InLen)).unwrap_or(0);
        Some((ConnId(self.get(Word::InConn)), (len != 0).then_some(len)))
    }

    /// Notes a delivery. The stages follow one another so that the number of bytes in the pipe always tells
    /// how many were delivered: none before `Draining`, all but those in the pipe from then on.
    pub fn out_begin(&self, conn: ConnId, pos: u64, len: usize) {
        self.set(Word::OutConn, conn.0);
        self.set(Word::OutPos, pos);
        self.set(Word::OutLen, len as u64);
        self.out_stage(OutStage::Filling);
    }

    /// Notes the next stage.
    pub fn out_stage(&self, stage: OutStage) {
        let n = match stage {
            OutStage::Idle => 0,
            OutStage::Filling => 1,
            OutStage::Draining => 2,
            OutStage::Discarding => 3,
        };
        self.set(Word::OutStage, n);
    }

    /// The delivery that was under way.
    pub fn out_note(&self) -> OutNote {
        let stage = match self.get(Word::OutStage) {
            1 => OutStage::Filling,
            2 => OutStage::Draining,
            3 => OutStage::Discarding,
            _ => OutStage::Idle,
        };
        OutNote {
            stage,
            conn: ConnId(self.get(Word::OutConn)),
            pos: self.get(Word::OutPos),
            len: self.get(Word::OutLen),
        }
    }

    /// The records, in order.
    pub fn records(&self) -> impl Iterator<Item = (RecordKind, ConnId, &[u8])> {
        let mut at = HEADER;
        std::iter::from_fn(move || {
            if at >= self.tail {
                return None;
            }
            let header = self.map.bytes().get(at..at + RECORD)?;
            let (len, rest) = header.split_first_chunk::<4>()?;
            let (kind, rest) = rest.split_first_chunk::<4>()?;
            let (conn, _) = rest.split_first_chunk::<8>()?;
            let len = u32::from_le_bytes(*len) as usize;
            let data = self.map.bytes().get(at + RECORD..at + RECORD + len)?;
            at = (at + RECORD + len).next_multiple_of(8);
            Some((RecordKind::from_number(u32::from_le_bytes(*kind))?, ConnId(u64::from_le_bytes(*conn)), data))
        })
    }
}
