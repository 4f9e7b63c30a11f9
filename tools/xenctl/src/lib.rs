//! What a toolstack asks the hypervisor for, as typed calls. Interface versions are those of Xen 4.17 (0x15).
//!
//! Everything goes through `xen_call::Hypercalls`: the hypervisor below this machine, or the one in a process.
#![forbid(unsafe_code)]

mod call;
mod domain;
mod error;
mod hypfs;
mod memory;
mod pool;
mod sched;
mod system;
mod vcpu;

pub use call::Xen;
pub use domain::{CreateDomain, DomainInfo};
pub use error::{Error, Result};
pub use hypfs::Setting;
pub use memory::GrantCount;
pub use pool::Pool;
pub use sched::{VcpuParameters, scheduler_id, scheduler_name};
pub use system::{CpuTopology, NodeMemory, SystemInfo, VersionInfo};
pub use vcpu::{CpuSet, StateTimes, VcpuInfo};
pub use xen_abi::Errno;
pub use xen_abi::event_channel::EvtchnBinding;
pub use xen_call::{Buffer, ForeignMap, Hypercalls, RingMemory};
