//! The kernel's ELF file: as it stands in its file, unpacked now, or from the cache.

use crate::{Cache, Error};
use ferroxen_loader::KernelImage;
use std::path::Path;

/// An unpacked kernel.
#[derive(Debug)]
pub struct Kernel {
    bytes: Vec<u8>,
    /// Where in `bytes` the ELF file begins (a bzImage may hold it as it is).
    start: usize,
    end: usize,
    /// Whether it was unpacked before.
    pub from_cache: bool,
}

impl Kernel {
    /// The ELF file.
    pub fn elf(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }
}

/// Reads and unpacks the kernel at `path`.
///
/// # Errors
/// [`Error::File`], [`Error::Image`].
pub fn kernel(path: &Path, cache: Option<&Cache>) -> Result<Kernel, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::File { what: "kernel", path: path.to_owned(), source })?;
    let bad = |source| Error::Image { path: path.to_owned(), source };
    let image = KernelImage::parse(&bytes).map_err(bad)?;
    if let Some(elf) = image.borrowed() {
        let start = elf.as_ptr().addr() - bytes.as_ptr().addr();
        let end = start + elf.len();
        return Ok(Kernel { bytes, start, end, from_cache: false });
    }
    if let Some(found) = cache.and_then(|cache| cache.get(&bytes)) {
        let end = found.len();
        return Ok(Kernel { bytes: found, start: 0, end, from_cache: true });
    }
    let mut unpacked = vec![0; image.payload_len()];
    let len = image.decompress_into(&mut unpacked).map_err(bad)?;
    unpacked.truncate(len);
    if let Some(cache) = cache {
        cache.put(&bytes, &unpacked);
    }
    Ok(Kernel { bytes: unpacked, start: 0, end: len, from_cache: false })
}
