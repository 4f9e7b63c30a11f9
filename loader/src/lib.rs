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

mod bytes;
mod decompress;
mod elf;
mod error;
mod image;

pub use decompress::Compression;
pub use elf::{Class, ElfKernel, Features, L1MfnValid, NoteSource, PaeMode, PvLayout, Segment, XenNotes};
pub use error::{ImageError, Name};
pub use image::{Container, KernelImage, MAX_PAYLOAD};
