//! Domains as an administrator sees them. The hypervisor keeps them, xenstore names them and connects their devices; what
//! only we know (the configuration) is in [`Host::run_dir`].
//!
//! Every operation can be stopped at any step (a kill, a crash): what it leaves is finished or taken back by
//! [`recover`](Host::recover), with which the next command begins, and a second try works.
#![forbid(unsafe_code)]

pub mod apply;
pub mod config;
mod crash;
mod create;
mod device;
mod dump;
mod end;
mod error;
mod host;
mod life;
mod paths;
mod pool;
pub mod uuid;
mod work;

pub use config::{Action, Disk, DomainConfig, Vif};
pub use create::{Options, cpu_set};
pub use device::{BlockInfo, ChannelInfo, Hotplug, KernelHotplug, VifInfo};
pub use dump::{Dump, Dumped};
pub use error::{Error, Kind, Result};
pub use host::{Attend, Domain, Host};
pub use life::{Control, Ended};
pub use pool::{NamedPool, NewPool};
pub use work::{Attendance, Recovered};
