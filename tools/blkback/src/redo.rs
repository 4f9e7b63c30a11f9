//! The answers that are about to be put into the ring, in a file.
//!
//! An answer overwrites the request that it answers. A backend that is killed after it wrote some answers, and before it
//! published them, would leave slots that are neither. The next one finds the answers here and publishes them. If it does
//! not find them whole, none was put into the ring yet, and the requests are still there to be done again.

use crate::protocol::Response;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

const HEAD: usize = 16;
const EACH: usize = 12;
/// A ring of sixteen pages has so many slots.
const MOST: usize = 512;

/// The file.
#[derive(Debug)]
pub struct Redo {
    file: File,
    path: PathBuf,
}

/// FNV-1a: against a torn write, not against anybody.
fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Redo {
    /// Opens it, or makes an empty one.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(path: &Path) -> io::Result<Redo> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Redo { file, path: path.to_owned() })
    }

    /// Notes answers that begin at index `done` of the ring.
    ///
    /// # Errors
    /// The file system's.
    pub fn note(&self, done: u32, responses: &[Response]) -> io::Result<()> {
        let mut bytes = vec![0; 8];
        bytes.extend(done.to_le_bytes());
        bytes.extend(u32::try_from(responses.len()).unwrap_or(u32::MAX).to_le_bytes());
        for response in responses {
            bytes.extend(response.id.to_le_bytes());
            bytes.extend([response.operation, 0]);
            bytes.extend(response.status.to_le_bytes());
        }
        let sum = sum(bytes.get(8..).unwrap_or_default()).to_le_bytes();
        bytes.iter_mut().zip(sum).for_each(|(to, from)| *to = from);
        self.file.write_all_at(&bytes, 0)
    }

    /// The answers that begin at index `done`, if the last backend noted them and did not publish them.
    pub fn noted(&self, done: u32) -> Option<Vec<Response>> {
        let mut bytes = vec![0; HEAD + EACH * MOST];
        let len = self.file.read_at(&mut bytes, 0).ok()?;
        bytes.truncate(len);
        let (head, rest) = bytes.split_first_chunk::<8>()?;
        let (start, after) = rest.split_first_chunk::<4>()?;
        let (count, after) = after.split_first_chunk::<4>()?;
        let count = usize::try_from(u32::from_le_bytes(*count)).ok().filter(|count| *count <= MOST)?;
        let answers = after.get(..count * EACH)?;
        let whole = rest.get(..8 + count * EACH)?;
        if sum(whole) != u64::from_le_bytes(*head) || u32::from_le_bytes(*start) != done {
            return None;
        }
        let (answers, _) = answers.as_chunks::<EACH>();
        let read = |bytes: &[u8; EACH]| {
            let [a, b, c, d, e, f, g, h, operation, _, low, high] = *bytes;
            let id = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
            Response { id, operation, status: i16::from_le_bytes([low, high]) }
        };
        Some(answers.iter().map(read).collect())
    }

    /// Forgets what is noted: the ring is another.
    ///
    /// # Errors
    /// The file system's.
    pub fn clear(&self) -> io::Result<()> {
        self.file.set_len(0)
    }

    /// Removes the file.
    pub fn remove(self) {
        // Without it there is nothing to forget.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(count: u64) -> Vec<Response> {
        (0..count).map(|id| Response { id: id << 40 | id, operation: 5, status: -2 }).collect()
    }

    #[test]
    fn what_was_noted_is_found_by_its_index_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/redo");
        let redo = Redo::open(&path).unwrap();
        assert_eq!(redo.noted(0), None);
        redo.note(u32::MAX, &answers(512)).unwrap();
        redo.note(7, &answers(3)).unwrap();
        let again = Redo::open(&path).unwrap();
        assert_eq!(again.noted(7), Some(answers(3)));
        assert_eq!(again.noted(8), None);
        again.clear().unwrap();
        assert_eq!(again.noted(7), None);
        again.remove();
        assert!(!path.exists());
    }

    #[test]
    fn a_torn_note_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("redo");
        let redo = Redo::open(&path).unwrap();
        redo.note(7, &answers(3)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for len in 0..whole.len() {
            std::fs::write(&path, &whole[..len]).unwrap();
            assert_eq!(Redo::open(&path).unwrap().noted(7), None, "{len}");
        }
        // The beginning of one over another.
        redo.note(7, &answers(20)[5..]).unwrap();
        let mut mixed = std::fs::read(&path).unwrap();
        mixed[..30].copy_from_slice(&whole[..30]);
        std::fs::write(&path, mixed).unwrap();
        assert_eq!(Redo::open(&path).unwrap().noted(7), None);
    }
}
