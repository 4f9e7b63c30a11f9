//! The lab: machines as data ([`machine`]), scenarios over them ([`scenario`]), and runs of many scenarios with
//! progress, results and what is left of a failure ([`run`]).
//!
//! What a machine is made of (QEMU, kernels, hypervisors) comes from a [`host::Host`], which `xtask` is: nothing
//! here downloads or builds.

pub mod barrier;
pub mod console;
pub mod host;
pub mod machine;
pub mod qcow2;
pub mod qmp;
pub mod replay;
pub mod results;
pub mod run;
pub mod scenario;
pub mod scenarios;
