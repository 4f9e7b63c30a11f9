//! Loop devices: a file as a block device.

use crate::ioctl;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

const LOOP_SET_FD: u64 = 0x4c00;
const LOOP_CLR_FD: u64 = 0x4c01;
const LOOP_SET_STATUS64: u64 = 0x4c04;
const LOOP_CTL_GET_FREE: u64 = 0x4c82;
const LO_FLAGS_READ_ONLY: u32 = 1;

/// `struct loop_info64`.
#[repr(C)]
struct LoopInfo64 {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    sizelimit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// A loop device. It stays after this is dropped, until [`LoopDevice::detach`].
#[derive(Debug)]
pub struct LoopDevice {
    /// Its node.
    pub path: PathBuf,
}

impl LoopDevice {
    /// Puts a free loop device over `file`. `chosen` hears which, before it is taken: once more if somebody else was faster.
    ///
    /// # Errors
    /// The kernel's; what `chosen` gives.
    pub fn attach(file: &Path, read_only: bool, chosen: &mut dyn FnMut(&Path) -> io::Result<()>) -> io::Result<Self> {
        let backing = File::options().read(true).write(!read_only).open(file)?;
        let control = File::options().read(true).write(true).open("/dev/loop-control")?;
        // Somebody else may take it in between.
        for _ in 0..64 {
            let number = ioctl::value(&control, LOOP_CTL_GET_FREE, 0)?;
            let path = PathBuf::from(format!("/dev/loop{number}"));
            let device = File::options().read(true).write(!read_only).open(&path)?;
            chosen(&path)?;
            match ioctl::value(&device, LOOP_SET_FD, backing.as_raw_fd().unsigned_abs().into()) {
                Ok(_) => {
                    let mut info = LoopInfo64 {
                        device: 0,
                        inode: 0,
                        rdevice: 0,
                        offset: 0,
                        sizelimit: 0,
                        number: 0,
                        encrypt_type: 0,
                        encrypt_key_size: 0,
                        flags: if read_only { LO_FLAGS_READ_ONLY } else { 0 },
                        file_name: [0; 64],
                        crypt_name: [0; 64],
                        encrypt_key: [0; 32],
                        init: [0; 2],
                    };
                    let name = file.as_os_str().as_encoded_bytes();
                    info.file_name.iter_mut().zip(name.iter().take(63)).for_each(|(to, from)| *to = *from);
                    // Only the name that `losetup` shows depends on it.
                    let _ = ioctl::with(&device, LOOP_SET_STATUS64, &mut info);
                    return Ok(LoopDevice { path });
                }
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// The file under the device at `path`.
    pub fn file_of(path: &Path) -> Option<PathBuf> {
        let shown = Path::new("/sys/block").join(path.file_name()?).join("loop/backing_file");
        Some(std::fs::read_to_string(shown).ok()?.trim_end_matches('\n').into())
    }

    /// Takes the device at `path` off its file; the kernel does it when its last user closes it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn detach(path: &Path) -> io::Result<()> {
        let device = File::options().read(true).open(path)?;
        match ioctl::value(&device, LOOP_CLR_FD, 0) {
            Err(error) if error.raw_os_error() != Some(libc::ENXIO) => Err(error),
            _ => Ok(()),
        }
    }
}
