//! What a guest's sectors are kept in.

use std::io;

/// A disk. The caller stays within it.
pub trait Disk {
    /// Sectors of 512 bytes.
    fn sectors(&self) -> u64;

    /// Reads at a byte.
    ///
    /// # Errors
    /// The image's.
    fn read(&mut self, at: u64, into: &mut [u8]) -> io::Result<()>;

    /// Writes at a byte.
    ///
    /// # Errors
    /// The image's.
    fn write(&mut self, at: u64, from: &[u8]) -> io::Result<()>;

    /// Gives back what is behind these bytes, as far as that is possible. They read as anything afterwards.
    ///
    /// # Errors
    /// Unsupported, or the image's.
    fn discard(&mut self, at: u64, len: u64) -> io::Result<()>;

    /// What was done so far outlives this process (not the machine).
    ///
    /// # Errors
    /// The image's.
    fn settle(&mut self) -> io::Result<()>;

    /// What was done so far outlives the machine.
    ///
    /// # Errors
    /// The image's.
    fn sync(&mut self) -> io::Result<()>;
}
