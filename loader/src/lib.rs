//! Kernel images for the domain builders: find the payload in a bzImage, decompress it to where
//! the caller wants it, and read from its ELF file what Xen's ABI needs.
//!
//! ```
//! # fn load(file: &[u8]) -> Result<(), ferroxen_loader::ImageError> {
//! use ferroxen_loader::{ElfKernel, KernelImage};
//!
//! let image = KernelImage::parse(file)?;
//! let mut buffer = Vec::new();
//! let elf = match image.borrowed() {
//!     Some(elf) => elf,
//!     None => {
//!         buffer.resize(image.payload_len(), 0);
//!         image.decompress_into(&mut buffer)?;
//!         &buffer
//!     }
//! };
//! let kernel = ElfKernel::parse(elf)?;
//! let layout = kernel.pv()?;
//! for segment in kernel.segments() {
//!     let _where_to = layout.phys_of(segment);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! An image is input from an attacker: whatever the bytes are, the result is a value or an
//! [`ImageError`], the output never exceeds what the image states and [`MAX_PAYLOAD`], and the
//! time is bounded by input and stated output.
//!
//! # Decoders
//! XZ, LZMA, Zstandard, LZ4 and bzip2 are our own, and deflate is `miniz_oxide`'s: each writes
//! straight to the destination and uses it as its dictionary, so that no window (32 to 128 MiB for
//! a kernel) is needed on the heap. That is the reason for them, not speed: on Debian's XZ payload
//! `lzma-rust2` 0.16 took 0.83 to 1.03 s where ours took 0.88 to 1.01 s. Other crates were not
//! compared on equal terms.
//!
//! Debian's 6.1 (65.9 MB unpacked) on one core of a busy host, release build with overflow checks;
//! single runs, which vary by half and more. Heap is the sum of what the code allocates, stack is the
//! largest frame in the bare-metal build. Not yet compared with Xen's own decoder in the emulator.
//!
//! | payload | time | heap | stack |
//! |---|---|---|---|
//! | xz (x86 filter, CRC32; as Debian packs it) | 0.9 to 1.3 s (`xz -dc` itself: 0.7 s of CPU time) | 37 KiB | < 2 KiB |
//! | lzma | 0.9 s | 37 KiB | < 2 KiB |
//! | zstd (`--ultra -22`) | 0.35 s | 140 KiB | < 3 KiB |
//! | gzip | 0.3 s | 11 KiB | 11 KiB |
//! | lz4 (legacy frame) | 0.2 s | none | < 2 KiB |
//! | bzip2 | 1.5 s | 3.6 MB | 6 KiB |
//!
//! `cargo test -p ferroxen-loader --release --test debian_kernel -- --ignored --nocapture` measures
//! them anew, `--example extract` unpacks a kernel to a file. LZO is recognised and refused by name.
#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects))]

extern crate alloc;

pub mod build;
mod bytes;
mod decompress;
mod elf;
mod error;
mod image;

pub use decompress::Compression;
pub use elf::{Class, ElfKernel, Features, L1MfnValid, NoteSource, PaeMode, PvLayout, Segment, XenNotes};
pub use error::{ImageError, Name};
pub use image::{Container, KernelImage, MAX_PAYLOAD};
