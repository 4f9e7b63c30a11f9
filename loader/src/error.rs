//! The one error of this crate.

use crate::Compression;
use crate::decompress::Fault;
use core::fmt;

/// Why a kernel image cannot be used. [`Display`](fmt::Display) is one line that says what is
/// wrong, where, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageError {
    /// Neither an ELF file, nor a bzImage, nor a gzip file.
    NotAKernel,
    /// A bare compressed file, not in a bzImage, of a format whose size cannot be told.
    BareCompressed(Compression),
    /// A bzImage whose boot protocol has no `payload_offset`.
    OldProtocol {
        /// `version` of the setup header, major in the high byte.
        version: u16,
    },
    /// The file ends inside `what`.
    Truncated {
        /// The part that is not all there.
        what: &'static str,
        /// The bytes that the file would need.
        need: u64,
        /// The bytes that it has.
        have: u64,
    },
    /// A bzImage whose payload has an unknown magic.
    UnknownCompression {
        /// The first four bytes of the payload.
        magic: [u8; 4],
    },
    /// A known compression that is not built in.
    UnsupportedCompression(Compression),
    /// A stream with a feature that the decoder lacks.
    UnsupportedFeature {
        /// The format.
        compression: Compression,
        /// The feature.
        what: &'static str,
    },
    /// The stated size is above [`MAX_PAYLOAD`](crate::MAX_PAYLOAD).
    TooLarge {
        /// Bytes, as the image states.
        stated: u64,
    },
    /// The caller's buffer is smaller than the payload.
    BufferTooSmall {
        /// Bytes, as the image states.
        need: u64,
        /// Bytes of the buffer.
        have: u64,
    },
    /// The payload makes more than the image states.
    MoreThanStated {
        /// The format.
        compression: Compression,
        /// Bytes, as the image states.
        stated: u64,
    },
    /// The payload makes less than the image states.
    LessThanStated {
        /// The format.
        compression: Compression,
        /// Bytes, as the image states.
        stated: u64,
        /// Bytes that came out.
        made: u64,
    },
    /// The compressed data ends too early.
    PayloadTruncated(Compression),
    /// The compressed data is damaged.
    Corrupt {
        /// The format.
        compression: Compression,
        /// The field that no encoder writes.
        what: &'static str,
    },
    /// The decompressed data does not match its checksum.
    Checksum(Compression),
    /// No heap for the decoder's tables.
    OutOfMemory(Compression),
    /// The payload is not an ELF file.
    NotElf,
    /// A field of the ELF header that no x86 kernel has.
    ElfHeader(&'static str),
    /// An ELF file for another machine.
    ElfMachine(u16),
    /// More program or section headers than any kernel has.
    TooManyHeaders(&'static str),
    /// No PT_LOAD segment.
    NoSegments,
    /// A PT_LOAD segment whose address or size is impossible.
    BadSegment {
        /// Its index among the program headers.
        index: u16,
        /// What is impossible.
        what: &'static str,
    },
    /// Two PT_LOAD segments claim the same memory.
    Overlap {
        /// Index of one.
        first: u16,
        /// Index of the other.
        second: u16,
    },
    /// An ELF note that does not fit into its segment or section.
    BadNotes(&'static str),
    /// A note with a value of the wrong size or form.
    BadNote {
        /// The name, as in `xen/elfnote.h`.
        note: &'static str,
        /// What is wrong.
        what: &'static str,
    },
    /// No Xen note and no `__xen_guest` section.
    NoXenNotes,
    /// The kernel needs a feature that does not exist here.
    UnknownRequiredFeature(Name),
    /// The kernel needs a feature that this hypervisor lacks.
    MissingFeatures {
        /// One bit for each `XENFEAT_*` number.
        bits: u32,
    },
    /// `XEN_ELFNOTE_XEN_VERSION` is not `xen-3.0`.
    XenVersion(Name),
    /// `XEN_ELFNOTE_LOADER` is not `generic`, and the guest is not Linux.
    Loader(Name),
    /// A 32-bit kernel where only 64-bit PV domains are built.
    Pv32Unsupported,
    /// The notes and the segments contradict each other.
    Layout(&'static str),
    /// No `XEN_ELFNOTE_PHYS32_ENTRY`.
    NoPvhEntry,
}

impl ImageError {
    pub(crate) fn from_fault(fault: Fault, compression: Compression, stated: u64) -> Self {
        match fault {
            Fault::Truncated => ImageError::PayloadTruncated(compression),
            Fault::Corrupt(what) => ImageError::Corrupt { compression, what },
            Fault::Checksum => ImageError::Checksum(compression),
            Fault::Unsupported(what) => ImageError::UnsupportedFeature { compression, what },
            Fault::TooLong => ImageError::MoreThanStated { compression, stated },
            Fault::TooShort => ImageError::Corrupt { compression, what: "early end marker" },
            Fault::OutOfMemory => ImageError::OutOfMemory(compression),
        }
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ImageError::NotAKernel => {
                f.write_str("not a kernel: neither ELF, bzImage nor gzip; pass a vmlinuz or a vmlinux")
            }
            ImageError::BareCompressed(compression) => {
                write!(f, "a bare {compression} file does not state its size; pass the bzImage, or unpack it first")
            }
            ImageError::OldProtocol { version } => write!(
                f,
                "bzImage boot protocol {}.{:02} is too old, 2.08 is needed; unpack its vmlinux and pass that",
                version >> 8,
                version & 0xff
            ),
            ImageError::Truncated { what, need, have } => {
                write!(f, "image truncated in its {what}: {need} bytes needed, {have} there; copy it again")
            }
            ImageError::UnknownCompression { magic: [a, b, c, d] } => write!(
                f,
                "bzImage payload of unknown compression (magic {a:02x}{b:02x}{c:02x}{d:02x}); unpack its vmlinux and pass that"
            ),
            ImageError::UnsupportedCompression(compression) => {
                write!(f, "kernel compression {compression} is not supported; unpack its vmlinux and pass that")
            }
            ImageError::UnsupportedFeature { compression, what } => {
                write!(f, "{compression} payload uses an unsupported {what}; unpack its vmlinux and pass that")
            }
            ImageError::TooLarge { stated } => write!(
                f,
                "kernel states an unpacked size of {stated} bytes, above the limit of {}; it is damaged or not stripped",
                crate::MAX_PAYLOAD
            ),
            ImageError::BufferTooSmall { need, have } => {
                write!(f, "kernel unpacks to {need} bytes and only {have} are there for it; give it more memory")
            }
            ImageError::MoreThanStated { compression, stated } => {
                write!(f, "{compression} payload holds more than the {stated} bytes the image states; it is damaged")
            }
            ImageError::LessThanStated { compression, stated, made } => {
                write!(f, "{compression} payload holds {made} of the {stated} bytes the image states; it is damaged")
            }
            ImageError::PayloadTruncated(compression) => {
                write!(f, "{compression} payload ends too early; the image is truncated, copy it again")
            }
            ImageError::Corrupt { compression, what } => {
                write!(f, "{compression} payload is damaged ({what}); copy the image again")
            }
            ImageError::Checksum(compression) => {
                write!(f, "{compression} payload does not match its checksum; copy the image again")
            }
            ImageError::OutOfMemory(compression) => {
                write!(f, "no memory for the tables of the {compression} decoder; give the hypervisor more")
            }
            ImageError::NotElf => f.write_str("kernel payload is not an ELF file; pass a Linux bzImage or a vmlinux"),
            ImageError::ElfHeader(what) => write!(f, "ELF header is not a kernel's: {what}; pass a vmlinux for x86"),
            ImageError::ElfMachine(machine) => {
                write!(f, "ELF file is for machine {machine}, not x86; pass a kernel built for x86_64")
            }
            ImageError::TooManyHeaders(what) => write!(f, "ELF file has too many {what}; it is damaged"),
            ImageError::NoSegments => f.write_str("ELF file has nothing to load (no PT_LOAD); pass a linked vmlinux"),
            ImageError::BadSegment { index, what } => {
                write!(f, "ELF program header {index} is impossible: {what}; the image is damaged")
            }
            ImageError::Overlap { first, second } => {
                write!(f, "ELF program headers {first} and {second} load to the same memory; the image is damaged")
            }
            ImageError::BadNotes(what) => write!(f, "ELF notes are malformed: {what}; the image is damaged"),
            ImageError::BadNote { note, what } => write!(f, "Xen note {note} {what}; rebuild the kernel"),
            ImageError::NoXenNotes => {
                f.write_str("kernel has no Xen notes; build it with CONFIG_XEN_PV (and CONFIG_XEN_DOM0 for dom0)")
            }
            ImageError::UnknownRequiredFeature(name) => {
                write!(f, "kernel requires the unknown Xen feature '{name}'; use another kernel")
            }
            ImageError::MissingFeatures { bits } => {
                write!(f, "kernel requires Xen features that are not there:")?;
                for name in crate::Features::names_of(bits) {
                    write!(f, " {name}")?;
                }
                f.write_str("; use another kernel")
            }
            ImageError::XenVersion(name) => {
                write!(f, "kernel is built for the Xen interface '{name}', not xen-3.0; use a newer kernel")
            }
            ImageError::Loader(name) => {
                write!(f, "kernel wants the loader '{name}', only 'generic' exists; use another kernel")
            }
            ImageError::Pv32Unsupported => {
                f.write_str("32-bit PV kernels are not supported; use an x86_64 (amd64) kernel")
            }
            ImageError::Layout(what) => write!(f, "Xen notes contradict the ELF segments: {what}; rebuild the kernel"),
            ImageError::NoPvhEntry => {
                f.write_str("kernel has no PVH entry (note PHYS32_ENTRY); build it with CONFIG_PVH, or boot it as PV")
            }
        }
    }
}

impl core::error::Error for ImageError {}

/// A name out of an image, shortened to what an error line can carry, with anything but printable
/// ASCII replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name {
    bytes: [u8; Name::MAX],
    len: u8,
}

impl Name {
    const MAX: usize = 40;

    pub(crate) fn new(text: &[u8]) -> Self {
        let mut bytes = [0; Name::MAX];
        let mut len = 0u8;
        for (to, from) in bytes.iter_mut().zip(text) {
            *to = if (0x20..0x7f).contains(from) { *from } else { b'?' };
            len = len.saturating_add(1);
        }
        Name { bytes, len }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.len)).unwrap_or(&[]);
        core::str::from_utf8(bytes).unwrap_or("?")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
