//! What the domains and the machine do, in numbers.
//!
//! [`collect`] asks the [sources](collect::Source) for a [`snapshot`]: what is there now. Nothing is kept between two of them, and a
//! domain that ended is not told of any more. `xen-exporter` tells it to Prometheus, `xm top` shows it.
#![forbid(unsafe_code)]

pub mod collect;
mod devices;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod machine;
pub mod snapshot;
pub mod store;
