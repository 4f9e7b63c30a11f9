//! The domain builder: fills a new PV domain's memory with its kernel and ramdisk, its frame list, its first page tables and
//! its start info (xen.h, "Start-of-day memory layout"), and gives vcpu 0 its first registers.
//!
//! It makes no domain and ends none: whoever calls it does both, and whatever fails here leaves the domain to be destroyed.
#![forbid(unsafe_code)]

mod cache;
mod image;
mod pv;
mod tables;

pub use cache::Cache;
pub use image::{Kernel, kernel};
pub use pv::{Built, Spec, build};

use ferroxen_loader::ImageError;
use ferroxen_loader::build::LayoutError;
use std::path::PathBuf;

/// Why a domain was not built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{what} {path}: {source}")]
    File {
        /// Kernel or ramdisk.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no kernel, or not one for a PV domain.
    #[error("kernel {path}: {source}")]
    Image {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: ImageError,
    },
    /// The domain is too small.
    #[error("{} MiB of memory are too little: kernel and ramdisk need at least {} MiB", has / 256, needs.div_ceil(256))]
    TooSmall {
        /// Frames that it has.
        has: u64,
        /// Frames that it needs.
        needs: u64,
    },
    /// The kernel's addresses are strange.
    #[error("the kernel's addresses leave no room behind it")]
    NoRoom,
    /// The command line is too long.
    #[error("the kernel's command line has {0} bytes, 1023 is the most")]
    CommandLine(usize),
    /// The hypervisor has not enough memory.
    #[error("the hypervisor has no memory for it: {given} of {wanted} MiB were given; `xm info` shows free_memory")]
    NoMemory {
        /// MiB that it was given.
        given: u64,
        /// MiB that it wanted.
        wanted: u64,
    },
    /// The hypervisor refused.
    #[error(transparent)]
    Xen(#[from] xenctl::Error),
}

impl Error {
    fn layout(error: LayoutError, has: u64) -> Self {
        match error {
            LayoutError::TooSmall(needs) => Error::TooSmall { has, needs },
            LayoutError::NoRoom => Error::NoRoom,
        }
    }
}
