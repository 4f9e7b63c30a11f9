//! What the tools ask the kernel of dom0 for: hypercalls and foreign memory (privcmd), event channels (evtchn), granted
//! pages (gntdev), the control domain's own xenstore page, and the devices that back a guest's (loop, bridge).
//!
//! Everything unsafe of the tools is here. Sources: Linux' `include/uapi/xen/*.h`, `linux/loop.h`, `linux/if.h`.

mod evtchn;
mod gntdev;
mod ioctl;
mod loopdev;
mod mapping;
mod net;
mod privcmd;
mod ringpage;
mod xsd;

pub use evtchn::{Bound, EventChannels};
pub use gntdev::{GrantDevice, GrantedPage};
pub use loopdev::LoopDevice;
pub use mapping::Mapping;
pub use net::Interface;
pub use privcmd::{HypercallBuffer, Privcmd};
pub use ringpage::RingPage;
pub use xsd::ControlDomainStore;

use xen_abi::Errno;

/// The error of the last call, as an error number of Xen's (the numbers are Linux').
fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().and_then(Errno::from_number).unwrap_or(Errno::EIO)
}

/// Device numbers of a block device or of what an `stat` names: major and minor.
pub fn device_numbers(rdev: u64) -> (u32, u32) {
    (libc::major(rdev), libc::minor(rdev))
}
