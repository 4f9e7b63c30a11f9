//! A writer of cpio archives in the "newc" format, which is what Linux unpacks as its initramfs.
//!
//! Format: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;
const S_IFLNK: u32 = 0o120_000;
const S_IFCHR: u32 = 0o020_000;

/// An archive that is being written. Everything in it belongs to root and has time 0, so that
/// the same input gives the same bytes.
#[derive(Debug)]
pub struct Cpio<W: Write> {
    out: W,
    inode: u32,
    written: u64,
    names: BTreeSet<String>,
}

impl<W: Write> Cpio<W> {
    /// An empty archive that goes to `out`.
    pub fn new(out: W) -> Self {
        Self { out, inode: 0, written: 0, names: BTreeSet::new() }
    }

    /// A directory, with those above it.
    pub fn dir(&mut self, name: &str) -> io::Result<()> {
        let name = name.trim_start_matches('/').trim_end_matches('/');
        if name.is_empty() || self.names.contains(name) {
            return Ok(());
        }
        self.parents(name)?;
        self.entry(name, S_IFDIR | 0o755, (0, 0), &[])
    }

    /// A regular file with the permission bits `mode`.
    pub fn file(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        let name = name.trim_start_matches('/');
        self.parents(name)?;
        self.entry(name, S_IFREG | (mode & 0o7777), (0, 0), content)
    }

    /// A symbolic link.
    pub fn link(&mut self, name: &str, target: &str) -> io::Result<()> {
        let name = name.trim_start_matches('/');
        self.parents(name)?;
        self.entry(name, S_IFLNK | 0o777, (0, 0), target.as_bytes())
    }

    /// A character device.
    pub fn chardev(&mut self, name: &str, mode: u32, device: (u32, u32)) -> io::Result<()> {
        let name = name.trim_start_matches('/');
        self.parents(name)?;
        self.entry(name, S_IFCHR | (mode & 0o7777), device, &[])
    }

    /// A file or symbolic link of the host as it is.
    pub fn host(&mut self, name: &str, file: &Path) -> Result<()> {
        let meta = fs::symlink_metadata(file).with_context(|| format!("cannot read {}", file.display()))?;
        if meta.is_symlink() {
            let target = fs::read_link(file)?;
            self.link(name, &target.to_string_lossy())?;
        } else {
            let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            self.file(name, meta.permissions().mode(), &content)?;
        }
        Ok(())
    }

    /// Ends the archive.
    pub fn finish(mut self) -> io::Result<W> {
        self.header("TRAILER!!!", 0, (0, 0), 0)?;
        // Archives that follow one another are read from a multiple of 512.
        self.pad(512)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn parents(&mut self, name: &str) -> io::Result<()> {
        match name.rsplit_once('/') {
            Some((above, _)) => self.dir(above),
            None => Ok(()),
        }
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) -> io::Result<()> {
        let size = u32::try_from(content.len())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "file above 4 GiB in a cpio archive"))?;
        self.names.insert(name.to_owned());
        self.header(name, mode, device, size)?;
        self.put(content)?;
        self.pad(4)
    }

    fn header(&mut self, name: &str, mode: u32, device: (u32, u32), size: u32) -> io::Result<()> {
        self.inode += 1;
        let links = if mode & 0o170_000 == S_IFDIR { 2 } else { 1 };
        let length = name.len() + 1;
        let header = format!(
            "070701{:08x}{mode:08x}{:08x}{:08x}{links:08x}{:08x}{size:08x}{:08x}{:08x}{:08x}{:08x}{length:08x}{:08x}",
            self.inode, 0, 0, 0, 0, 0, device.0, device.1, 0
        );
        self.put(header.as_bytes())?;
        self.put(name.as_bytes())?;
        self.put(&[0])?;
        self.pad(4)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn pad(&mut self, to: u64) -> io::Result<()> {
        while !self.written.is_multiple_of(to) {
            self.put(&[0])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let hex = |at: usize| u32::from_str_radix(std::str::from_utf8(&archive[at..at + 8]).unwrap(), 16).unwrap();
        let (mut at, mut found) = (0, Vec::new());
        loop {
            assert_eq!(&archive[at..at + 6], b"070701");
            let (mode, size, length) = (hex(at + 14), hex(at + 54) as usize, hex(at + 94) as usize);
            let name = String::from_utf8(archive[at + 110..at + 110 + length - 1].to_vec()).unwrap();
            let data = (at + 110 + length).next_multiple_of(4);
            if name == "TRAILER!!!" {
                return found;
            }
            found.push((name, mode, archive[data..data + size].to_vec()));
            at = (data + size).next_multiple_of(4);
        }
    }

    #[test]
    fn folders_above_a_file_come_first_and_once() {
        let mut cpio = Cpio::new(Vec::new());
        cpio.file("/a/b/one", 0o644, b"1").unwrap();
        cpio.file("a/b/two", 0o755, b"22").unwrap();
        cpio.link("a/c", "b/one").unwrap();
        let found = names(&cpio.finish().unwrap());
        let expected = [
            ("a", 0o40_755, b"".as_slice()),
            ("a/b", 0o40_755, b""),
            ("a/b/one", 0o100_644, b"1"),
            ("a/b/two", 0o100_755, b"22"),
            ("a/c", 0o120_777, b"b/one"),
        ];
        assert_eq!(found.len(), expected.len());
        for (got, want) in found.iter().zip(expected) {
            assert_eq!((got.0.as_str(), got.1, got.2.as_slice()), want);
        }
    }

    #[test]
    fn an_archive_ends_on_a_512_byte_border_so_that_another_may_follow() {
        let mut cpio = Cpio::new(Vec::new());
        cpio.file("x", 0o600, &[7; 1001]).unwrap();
        assert_eq!(cpio.finish().unwrap().len() % 512, 0);
    }
}
