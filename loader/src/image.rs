//! Recognising a kernel image and finding its payload.

use crate::bytes::{Eof, Input};
use crate::decompress::{self, Compression};
use crate::error::ImageError;

/// The largest uncompressed payload that is believed, 512 MiB. A distribution's kernel has 40 to
/// 100 MiB; a header that states more than this is refused before anything is allocated for it.
pub const MAX_PAYLOAD: usize = 512 << 20;

// Offsets in a bzImage (Linux Documentation/arch/x86/boot.rst).
const SETUP_SECTS: usize = 0x1f1;
const BOOT_FLAG: usize = 0x1fe;
const HEADER_MAGIC: usize = 0x202;
const VERSION: usize = 0x206;
const PAYLOAD_OFFSET: usize = 0x248;
const HEADER_NEED: u64 = 0x250;
const SECTOR: u64 = 512;

/// What the payload was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// Nothing: the file is the ELF file.
    Elf,
    /// A Linux bzImage.
    BzImage {
        /// Boot protocol, major in the high byte.
        version: u16,
    },
    /// A gzip file.
    Gzip,
}

/// A kernel image whose container was understood; its payload is untouched so far.
#[derive(Clone, Copy, Debug)]
pub struct KernelImage<'a> {
    container: Container,
    compression: Compression,
    payload: &'a [u8],
    stated: usize,
}

impl<'a> KernelImage<'a> {
    /// Recognises an ELF file (32 or 64 bits), a bzImage of protocol 2.08 or later, or a gzip file.
    ///
    /// # Errors
    /// Those of the container: [`ImageError::NotAKernel`], [`ImageError::Truncated`],
    /// [`ImageError::OldProtocol`], an unknown or unsupported compression, and
    /// [`ImageError::TooLarge`] if more than [`MAX_PAYLOAD`] is stated.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ImageError> {
        match Compression::of(bytes) {
            Some(Compression::None) => {
                return Self::new(Container::Elf, Compression::None, bytes, bytes.len() as u64);
            }
            Some(Compression::Gzip) => {
                let stated = trailing_size(bytes, bytes.len())?;
                return Self::new(Container::Gzip, Compression::Gzip, bytes, stated);
            }
            // Three bytes are a weak magic: a bzImage could begin like this.
            Some(Compression::Lzma) | None => {}
            Some(other) => return Err(ImageError::BareCompressed(other)),
        }
        Self::bzimage(bytes)
    }

    fn bzimage(bytes: &'a [u8]) -> Result<Self, ImageError> {
        let magic = Input::at(bytes, HEADER_MAGIC).and_then(|mut at| at.array::<4>());
        if magic != Ok(*b"HdrS") {
            return Err(match Compression::of(bytes) {
                Some(compression) => ImageError::BareCompressed(compression),
                None => ImageError::NotAKernel,
            });
        }
        let truncated = |need: u64| ImageError::Truncated { what: "setup header", need, have: bytes.len() as u64 };
        let header = |Eof| truncated(HEADER_NEED);
        if Input::at(bytes, BOOT_FLAG).and_then(|mut at| at.u16()).map_err(header)? != 0xaa55 {
            return Err(ImageError::NotAKernel);
        }
        let version = Input::at(bytes, VERSION).and_then(|mut at| at.u16()).map_err(header)?;
        if version < 0x0208 {
            return Err(ImageError::OldProtocol { version });
        }
        let sectors = Input::at(bytes, SETUP_SECTS).and_then(|mut at| at.u8()).map_err(header)?;
        let sectors = if sectors == 0 { 4 } else { u64::from(sectors) };
        let mut fields = Input::at(bytes, PAYLOAD_OFFSET).map_err(header)?;
        let (offset, length) = (fields.u32().map_err(header)?, fields.u32().map_err(header)?);

        // Both sums stay far below 2^64: a byte's and two words' worth.
        let start = sectors.saturating_add(1).saturating_mul(SECTOR).saturating_add(u64::from(offset));
        let need = start.saturating_add(u64::from(length));
        let payload = usize::try_from(start)
            .ok()
            .zip(usize::try_from(need).ok())
            .and_then(|(start, end)| bytes.get(start..end))
            .ok_or(ImageError::Truncated { what: "payload", need, have: bytes.len() as u64 })?;

        let container = Container::BzImage { version };
        let compression = Compression::of(payload).ok_or_else(|| ImageError::UnknownCompression {
            magic: payload.first_chunk::<4>().copied().unwrap_or_default(),
        })?;
        match compression {
            Compression::None => Self::new(container, compression, payload, payload.len() as u64),
            // gzip's own last word is the size; the build appends it to every other format.
            Compression::Gzip => Self::new(container, compression, payload, trailing_size(payload, payload.len())?),
            Compression::Lzo => Err(ImageError::UnsupportedCompression(compression)),
            _ => {
                let stated = trailing_size(payload, payload.len())?;
                let stream = payload.len().checked_sub(4).and_then(|end| payload.get(..end)).unwrap_or(&[]);
                Self::new(container, compression, stream, stated)
            }
        }
    }

    fn new(container: Container, compression: Compression, payload: &'a [u8], stated: u64) -> Result<Self, ImageError> {
        let size = usize::try_from(stated).map_err(|_| ImageError::TooLarge { stated })?;
        if size > MAX_PAYLOAD {
            return Err(ImageError::TooLarge { stated });
        }
        Ok(KernelImage { container, compression, payload, stated: size })
    }

    /// What the payload was found in.
    pub fn container(&self) -> Container {
        self.container
    }

    /// How the payload is compressed.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// The uncompressed size in bytes that the image states, at most [`MAX_PAYLOAD`]. Never more
    /// than this is written.
    pub fn payload_len(&self) -> usize {
        self.stated
    }

    /// The compressed size in bytes.
    pub fn packed_len(&self) -> usize {
        self.payload.len()
    }

    /// The payload itself if it is not compressed: nothing needs to be copied then.
    pub fn borrowed(&self) -> Option<&'a [u8]> {
        (self.compression == Compression::None).then_some(self.payload)
    }

    /// Decompresses (or copies) the payload to the start of `out` and returns its length, which is
    /// always [`payload_len`](Self::payload_len). `out` may be longer; nothing behind that length
    /// is touched. After an error the contents of `out` up to that length mean nothing.
    ///
    /// # Errors
    /// [`ImageError::BufferTooSmall`], or what is wrong with the payload: damage, truncation, a
    /// checksum, or a size other than the stated one.
    pub fn decompress_into(&self, out: &mut [u8]) -> Result<usize, ImageError> {
        let stated = self.stated as u64;
        let have = out.len() as u64;
        let window = out.get_mut(..self.stated).ok_or(ImageError::BufferTooSmall { need: stated, have })?;
        let made = decompress::decode(self.compression, self.payload, window)
            .map_err(|fault| ImageError::from_fault(fault, self.compression, stated))?;
        if made != self.stated {
            let (compression, made) = (self.compression, made as u64);
            return Err(ImageError::LessThanStated { compression, stated, made });
        }
        Ok(made)
    }
}

/// The little-endian word in the last four bytes of `payload`.
fn trailing_size(payload: &[u8], have: usize) -> Result<u64, ImageError> {
    match payload.last_chunk::<4>() {
        Some(word) => Ok(u64::from(u32::from_le_bytes(*word))),
        None => Err(ImageError::Truncated { what: "payload size", need: 4, have: have as u64 }),
    }
}
