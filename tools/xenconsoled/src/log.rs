//! A log that does not grow without end: `NAME.log`, `NAME.log.1` the one before it, and so on.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// A rotating log. A disk that is full costs what comes meanwhile, and the log says how much that was.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    /// `None`: it is opened at the next write.
    file: Option<File>,
    len: u64,
    most: u64,
    kept: u32,
    /// Bytes that could not be written since the last that could.
    lost: u64,
}

impl Log {
    /// Goes on with the log at `path`; at `most` bytes it is put away, and `kept` old ones stay.
    pub fn new(path: &Path, most: u64, kept: u32) -> Log {
        Log { path: path.to_owned(), file: None, len: 0, most, kept, lost: 0 }
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// The disk's, once: until something could be written again, more that is lost is only counted.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Err(error) = self.try_write(bytes) else { return Ok(()) };
        // Opened anew: somebody may have made room by removing it.
        self.file = None;
        let first = self.lost == 0;
        self.lost = self.lost.saturating_add(bytes.len() as u64);
        if first { Err(error) } else { Ok(()) }
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.open()?,
        };
        if self.len.saturating_add(bytes.len() as u64) > self.most && self.len > 0 {
            self.put_away();
            file = self.open()?;
        }
        if self.lost > 0 {
            let gap = format!("\n[{} bytes could not be written]\n", self.lost);
            file.write_all(gap.as_bytes())?;
            self.len = self.len.saturating_add(gap.len() as u64);
            self.lost = 0;
        }
        file.write_all(bytes)?;
        self.len = self.len.saturating_add(bytes.len() as u64);
        self.file = Some(file);
        Ok(())
    }

    fn open(&mut self) -> io::Result<File> {
        if let Some(dir) = self.path.parent() {
            fs::create_dir_all(dir)?;
        }
        let file = File::options().create(true).append(true).open(&self.path)?;
        self.len = file.metadata()?.len();
        Ok(file)
    }

    fn old(&self, number: u32) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        name.into()
    }

    /// What cannot be renamed stays, and grows.
    fn put_away(&self) {
        for number in (1..self.kept).rev() {
            let _ = fs::rename(self.old(number), self.old(number + 1));
        }
        let _ = match self.kept {
            0 => fs::remove_file(&self.path),
            _ => fs::rename(&self.path, self.old(1)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_is_put_away_and_only_so_many_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/guest-a.log");
        let mut log = Log::new(&path, 10, 2);
        for part in [b"aaaaaaaa", b"bbbbbbbb", b"cccccccc", b"dddddddd"] {
            log.write(part).unwrap();
        }
        let read = |name: &str| fs::read_to_string(dir.path().join("sub").join(name)).unwrap();
        assert_eq!(read("guest-a.log"), "dddddddd");
        assert_eq!(read("guest-a.log.1"), "cccccccc");
        assert_eq!(read("guest-a.log.2"), "bbbbbbbb");
        assert!(!dir.path().join("sub/guest-a.log.3").exists());
        drop(log);
        Log::new(&path, 10, 2).write(b"e").unwrap();
        assert_eq!(read("guest-a.log"), "dddddddde");
    }

    #[test]
    fn a_full_disk_costs_what_comes_meanwhile_and_the_log_says_how_much() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("guest-a.log");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let mut log = Log::new(&path, 1000, 2);
        assert_eq!(log.write(b"hello").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(log.write(b" there").is_ok(), "it was told once");
        fs::remove_file(&path).unwrap();
        log.write(b"again\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "\n[11 bytes could not be written]\nagain\n");
        // A folder that cannot be made is no end either.
        fs::remove_file(&path).unwrap();
        let mut log = Log::new(&dir.path().join("sub/guest-b.log"), 1000, 2);
        fs::write(dir.path().join("sub"), "a file").unwrap();
        assert!(log.write(b"x").is_err() && log.write(b"y").is_ok());
        fs::remove_file(dir.path().join("sub")).unwrap();
        log.write(b"z").unwrap();
        assert!(dir.path().join("sub/guest-b.log").exists());
    }
}
