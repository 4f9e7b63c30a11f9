//! Set-up: each part is looked for first, fetched only when missing, and announced before it is.
//!
//! The Rust toolchain is not here, because xtask is built with it: see `xtask/toolchain.sh`.

mod archive;
pub mod by_hand;
mod grub;
mod parts;
mod qemu;
mod system;

pub use archive::bookworm_sources;
pub use grub::{Firmware, Grub, Ovmf};
pub use parts::{Kernel, KernelChoice, Parts, XenRelease, XenTools};
pub use qemu::Qemu;
pub use system::{as_root, ensure_compressors, ensure_rootfs_packages, ensure_test_packages};
