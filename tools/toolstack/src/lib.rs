//! Domains as an administrator sees them. The hypervisor keeps them, xenstore names them and connects their devices; what
//! only we know (the configuration) is in [`Host::run_dir`].
//!
//! Every operation can be stopped at any step (a kill, a crash): what it leaves is found by [`destroy`](Host::destroy), by
//! number or name, and a second try works.
#![forbid(unsafe_code)]

pub mod config;
mod create;
mod device;
mod end;
mod error;
mod host;
mod life;
mod paths;
pub mod uuid;

pub use config::{Action, Disk, DomainConfig, Vif};
pub use create::Options;
pub use device::{BlockInfo, VifInfo};
pub use error::{Error, Kind, Result};
pub use host::{Domain, Host};
pub use life::{Control, Ended};
