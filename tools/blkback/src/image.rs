//! Images: raw and qcow2, by the crate imago.

use crate::disk::Disk;
use imago::file::File;
use imago::qcow2::Qcow2;
use imago::raw::Raw;
use imago::{
    FormatAccess, FormatCreateBuilder as _, FormatDriverBuilder as _, PermissiveImplicitOpenGate, StorageOpenOptions,
};
use imago::{Mapping, Storage as _};
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// How an image is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As the guest sees it.
    Raw,
    /// qcow2, with its backing images.
    Qcow2,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "raw" | "aio" => Ok(Format::Raw),
            "qcow2" => Ok(Format::Qcow2),
            _ => Err(format!("format {name} is not there: raw and qcow2 are")),
        }
    }
}

/// An open image. It is locked as long as it is open: to be written by one, or to be read by many.
#[derive(Debug)]
pub struct Image {
    access: FormatAccess<File>,
    read_only: bool,
    /// What a discard should be a multiple of, in bytes.
    pub granularity: u32,
    format: Format,
    path: PathBuf,
    /// The same file once more: it has the lock, and gives space back.
    file: std::fs::File,
}

/// The size of a qcow2 image's clusters, from its header.
fn cluster_size(file: &std::fs::File) -> io::Result<u32> {
    use std::os::unix::fs::FileExt as _;
    let mut bits = [0; 4];
    file.read_exact_at(&mut bits, 20)?;
    1u32.checked_shl(u32::from_be_bytes(bits)).ok_or_else(|| io::Error::other("not a qcow2 image: its clusters' size"))
}

impl Image {
    /// Opens an image. The format is never guessed: a guest can write anything into a raw one.
    ///
    /// # Errors
    /// It cannot be opened, is not of this format, or somebody else has it open.
    pub fn open(path: &Path, format: Format, read_only: bool) -> io::Result<Image> {
        let open = || std::fs::File::options().read(true).write(!read_only).open(path);
        let locked = open()?;
        let lock = if read_only { locked.try_lock_shared() } else { locked.try_lock() };
        lock.map_err(|_| io::Error::new(io::ErrorKind::ResourceBusy, "it is in use by somebody else"))?;
        let options = StorageOpenOptions::new().filename(path).write(!read_only);
        let storage = File::from_open_file(open()?, options)?;
        let (access, granularity) = match format {
            Format::Raw => {
                let builder = Raw::<File>::builder(storage).write(!read_only);
                (FormatAccess::new(builder.open(PermissiveImplicitOpenGate::default())?), 4096)
            }
            Format::Qcow2 => {
                let builder = Qcow2::<File>::builder(storage).write(!read_only);
                // Who made the image named its backing images.
                let image = builder.open(PermissiveImplicitOpenGate::default())?;
                (FormatAccess::new(image), cluster_size(&locked)?)
            }
        };
        Ok(Image { access, read_only, granularity, format, path: path.to_owned(), file: locked })
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the whole clusters of a range are in a qcow2 image's file: place in the disk, place in the file, length. Only what
    /// is this image's alone: not its backing image's, and not a snapshot's, too. (A raw image gives space back itself.)
    fn behind(&self, at: u64, len: u64) -> Vec<(u64, u64, u64)> {
        let cluster = u64::from(self.granularity);
        let (mut at, end) = (at.next_multiple_of(cluster), (at + len) / cluster * cluster);
        let mut found = Vec::new();
        while self.format == Format::Qcow2 && at < end {
            let Ok((mapping, len)) = self.access.get_mapping(at, end - at) else { break };
            if let Mapping::Raw { storage, offset, writable: true, .. } = mapping
                && storage.get_filename().is_some_and(|name| name == self.path)
            {
                found.push((at, offset, len));
            }
            if len == 0 {
                break;
            }
            at += len;
        }
        found
    }

    /// Makes holes of what was behind clusters that were discarded since: qcow2 only notes that they are free.
    fn give_back(&self, behind: &[(u64, u64, u64)]) {
        use rustix::fs::{FallocateFlags, fallocate};
        for (at, offset, len) in behind {
            if !matches!(self.access.get_mapping(*at, *len), Ok((Mapping::Zero { .. }, gone)) if gone >= *len) {
                continue;
            }
            // A file system that cannot keeps it for the next write.
            let _ = fallocate(&self.file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, *offset, *len);
        }
    }

    /// Lets others open it; it is not used any more.
    pub fn unlock(&self) {
        // It goes with this process at the latest.
        let _ = self.file.unlock();
    }

    /// Makes an empty qcow2 image.
    ///
    /// # Errors
    /// The file is there already, or cannot be written.
    pub fn create(path: &Path, bytes: u64) -> io::Result<()> {
        let file = std::fs::File::options().read(true).write(true).create_new(true).open(path)?;
        let options = StorageOpenOptions::new().filename(path).write(true);
        let storage = File::from_open_file(file, options)?;
        Qcow2::<File>::create_builder(storage).size(bytes).create()
    }
}

impl Disk for Image {
    fn sectors(&self) -> u64 {
        self.access.size() / 512
    }

    fn read(&mut self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.access.read(into, at)
    }

    fn write(&mut self, at: u64, from: &[u8]) -> io::Result<()> {
        self.access.write(from, at)
    }

    fn discard(&mut self, at: u64, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        let behind = self.behind(at, len);
        self.access.discard_to_any(at, len)?;
        self.give_back(&behind);
        Ok(())
    }

    fn settle(&mut self) -> io::Result<()> {
        if self.read_only { Ok(()) } else { self.access.flush() }
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.read_only {
            return Ok(());
        }
        self.access.flush()?;
        self.access.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What QEMU says of an image; nothing where it is not installed.
    fn qemu_checks(path: &Path) {
        match std::process::Command::new("qemu-img").args(["check", "-q"]).arg(path).status() {
            // 3: clusters that nobody uses, which cost space only.
            Ok(status) => assert!(matches!(status.code(), Some(0 | 3)), "qemu-img check: {status}"),
            Err(error) => eprintln!("skipped: qemu-img: {error}"),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// A process that is killed between any two requests leaves an image with all that was answered.
        #[test]
        fn what_is_settled_survives_and_the_image_is_sound(
            steps in prop::collection::vec((0u64..2000, 1usize..300, any::<u8>(), any::<bool>()), 1..40),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a.qcow2");
            Image::create(&path, 2300 * 512).unwrap();
            let mut model = vec![0u8; 2300 * 512];
            let mut image = Image::open(&path, Format::Qcow2, false).unwrap();
            for (sector, count, value, discard) in steps {
                let (at, len) = (sector as usize * 512, count * 512);
                if discard {
                    image.discard(at as u64, len as u64).unwrap();
                    // Reads as anything: as it does.
                    image.read(at as u64, &mut model[at..at + len]).unwrap();
                } else {
                    image.write(at as u64, &vec![value; len]).unwrap();
                    model[at..at + len].fill(value);
                }
                image.settle().unwrap();
                let copy = dir.path().join("copy.qcow2");
                std::fs::copy(&path, &copy).unwrap();
                let mut bytes = vec![1; model.len()];
                Image::open(&copy, Format::Qcow2, true).unwrap().read(0, &mut bytes).unwrap();
                prop_assert!(bytes == model);
            }
            qemu_checks(&path);
        }
    }

    #[test]
    fn images_keep_what_is_written_and_forget_what_is_discarded() {
        let dir = tempfile::tempdir().unwrap();
        for (name, format) in [("a.raw", Format::Raw), ("a.qcow2", Format::Qcow2)] {
            let path = dir.path().join(name);
            match format {
                Format::Raw => std::fs::File::create(&path).unwrap().set_len(8 << 20).unwrap(),
                Format::Qcow2 => Image::create(&path, 8 << 20).unwrap(),
            }
            let mut image = Image::open(&path, format, false).unwrap();
            assert_eq!(image.sectors(), 16384);
            image.write(512, &[7; 300_032]).unwrap();
            image.settle().unwrap();
            let space = |path: &Path| std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(path).unwrap());
            let before = space(&path);
            image.discard(65536, 131_072).unwrap();
            image.settle().unwrap();
            assert!(space(&path) + 200 < before, "{name}: {before}, then {} sectors", space(&path));
            // As if this process were killed: nothing of the first one's may come later.
            image.unlock();
            let mut again = Image::open(&path, format, true).unwrap();
            let mut bytes = vec![1; 301_056];
            again.read(0, &mut bytes).unwrap();
            assert_eq!([bytes[511], bytes[512], bytes[65535], bytes[300_543], bytes[300_544]], [0, 7, 7, 7, 0]);
            assert!(bytes[65536..65536 + 131_072].iter().all(|byte| *byte == 0));
            image.sync().unwrap();
        }
    }

    #[test]
    fn an_image_is_written_by_one_or_read_by_many() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, [0; 4096]).unwrap();
        let open = |read_only| Image::open(&path, Format::Raw, read_only);
        let writer = open(false).unwrap();
        assert!(open(false).is_err() && open(true).is_err());
        drop(writer);
        let (one, other) = (open(true).unwrap(), open(true).unwrap());
        assert_eq!(open(false).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        drop((one, other));
        open(false).unwrap();
    }

    #[test]
    fn what_is_no_qcow2_image_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        for bytes in [&b""[..], b"QFI\xfb", &[0xff; 4096]] {
            std::fs::write(&path, bytes).unwrap();
            assert!(Image::open(&path, Format::Qcow2, true).is_err());
        }
    }
}
