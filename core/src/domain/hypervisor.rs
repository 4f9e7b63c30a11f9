//! The root from which all of the hypervisor's state is reached.

use super::DomainTable;
use crate::platform::Platform;

/// All state of the hypervisor.
pub struct Hypervisor<P: Platform> {
    /// The machine.
    pub platform: P,
    /// All domains.
    pub domains: DomainTable<P>,
}
