//! A log that does not grow without end: `NAME.log`, `NAME.log.1` the one before it, and so on.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// A rotating log.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    len: u64,
    most: u64,
    kept: u32,
}

impl Log {
    /// Goes on with the log at `path`; at `most` bytes it is put away, and `kept` old ones stay.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path, most: u64, kept: u32) -> io::Result<Log> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let file = File::options().create(true).append(true).open(path)?;
        let len = file.metadata()?.len();
        Ok(Log { path: path.to_owned(), file, len, most, kept })
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// The disk's; what was written until then stays.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.len.saturating_add(bytes.len() as u64) > self.most && self.len > 0 {
            self.rotate()?;
        }
        self.file.write_all(bytes)?;
        self.len = self.len.saturating_add(bytes.len() as u64);
        Ok(())
    }

    fn old(&self, number: u32) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        name.into()
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.kept).rev() {
            let from = self.old(number);
            if from.exists() {
                fs::rename(from, self.old(number + 1))?;
            }
        }
        if self.kept > 0 {
            fs::rename(&self.path, self.old(1))?;
        } else {
            fs::remove_file(&self.path)?;
        }
        self.file = File::options().create(true).append(true).open(&self.path)?;
        self.len = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_is_put_away_and_only_so_many_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/guest-a.log");
        let mut log = Log::open(&path, 10, 2).unwrap();
        for part in [b"aaaaaaaa", b"bbbbbbbb", b"cccccccc", b"dddddddd"] {
            log.write(part).unwrap();
        }
        let read = |name: &str| fs::read_to_string(dir.path().join("sub").join(name)).unwrap();
        assert_eq!(read("guest-a.log"), "dddddddd");
        assert_eq!(read("guest-a.log.1"), "cccccccc");
        assert_eq!(read("guest-a.log.2"), "bbbbbbbb");
        assert!(!dir.path().join("sub/guest-a.log.3").exists());
        drop(log);
        Log::open(&path, 10, 2).unwrap().write(b"e").unwrap();
        assert_eq!(read("guest-a.log"), "dddddddde");
    }
}
