//! Unpacked kernels, found by the hash of the packed file. What cannot be cached is unpacked again: no error here ever
//! stops a domain.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A folder of unpacked kernels, `BLAKE3-OF-THE-PACKED-FILE.elf`. When it is above its bound, those that were not used for
/// the longest time go.
#[derive(Clone, Debug)]
pub struct Cache {
    dir: PathBuf,
    most_bytes: u64,
}

impl Cache {
    /// Where the tools keep it.
    pub const DEFAULT_DIR: &str = "/var/cache/ferroxen/kernels";
    /// How much the tools keep: about six kernels of a distribution.
    pub const DEFAULT_BYTES: u64 = 512 << 20;

    /// The cache in `dir`, which is made when it is needed.
    pub fn new(dir: &Path, most_bytes: u64) -> Self {
        Cache { dir: dir.to_owned(), most_bytes }
    }

    fn file(&self, packed: &[u8]) -> PathBuf {
        self.dir.join(format!("{}.elf", blake3::hash(packed).to_hex()))
    }

    /// The unpacked form of `packed`, if it is there and whole.
    pub fn get(&self, packed: &[u8]) -> Option<Vec<u8>> {
        let path = self.file(packed);
        let bytes = fs::read(&path).ok()?;
        // Used now: the last that will go.
        if let Ok(file) = File::options().append(true).open(&path) {
            let _ = file.set_modified(SystemTime::now());
        }
        bytes.starts_with(b"\x7fELF").then_some(bytes)
    }

    /// Keeps an unpacked kernel, as far as there is room.
    pub fn put(&self, packed: &[u8], unpacked: &[u8]) {
        // A full disk or a read-only one costs only time later.
        let _ = self.try_put(packed, unpacked);
    }

    fn try_put(&self, packed: &[u8], unpacked: &[u8]) -> std::io::Result<()> {
        let len = unpacked.len() as u64;
        if len > self.most_bytes {
            return Ok(());
        }
        fs::create_dir_all(&self.dir)?;
        self.make_room(self.most_bytes - len)?;
        let to = self.file(packed);
        let fresh = to.with_extension(format!("new{}", std::process::id()));
        let written = File::create(&fresh).and_then(|mut file| file.write_all(unpacked));
        if written.is_err() {
            fs::remove_file(&fresh)?;
            return written;
        }
        fs::rename(&fresh, &to)
    }

    /// Removes the oldest until at most `most` bytes are left.
    fn make_room(&self, most: u64) -> std::io::Result<()> {
        let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            files.push((meta.modified()?, meta.len(), entry.path()));
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, len, _)| len).sum();
        for (_, len, path) in files {
            if total <= most {
                break;
            }
            fs::remove_file(path)?;
            total -= len;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(of: u8) -> Vec<u8> {
        [b"\x7fELF".to_vec(), vec![of; 96]].concat()
    }

    #[test]
    fn what_was_put_is_found_by_the_packed_files_content() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(&dir.path().join("kernels"), 1000);
        assert_eq!(cache.get(b"packed"), None);
        cache.put(b"packed", &elf(1));
        assert_eq!(cache.get(b"packed"), Some(elf(1)));
        assert_eq!(cache.get(b"other"), None);
    }

    #[test]
    fn the_bound_is_kept_and_the_least_used_goes() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path(), 250);
        let age = |packed: &[u8], seconds| {
            let file = File::options().append(true).open(cache.file(packed)).unwrap();
            file.set_modified(SystemTime::now() - std::time::Duration::from_secs(seconds)).unwrap();
        };
        cache.put(b"a", &elf(1));
        cache.put(b"b", &elf(2));
        age(b"a", 100);
        age(b"b", 50);
        // Looking at it makes it the youngest.
        assert!(cache.get(b"a").is_some());
        cache.put(b"c", &elf(3));
        assert!(cache.get(b"b").is_none());
        assert!(cache.get(b"a").is_some() && cache.get(b"c").is_some());
        cache.put(b"large", &[0; 251]);
        assert!(cache.get(b"large").is_none());
    }

    #[test]
    fn a_folder_that_cannot_be_made_costs_nothing_but_time() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), b"").unwrap();
        let cache = Cache::new(&dir.path().join("file/kernels"), 1000);
        cache.put(b"a", &elf(1));
        assert_eq!(cache.get(b"a"), None);
    }
}
