//! The root from which all of the hypervisor's state is reached.

use super::DomainTable;
use crate::frame::FrameTable;
use crate::platform::Platform;

/// All state of the hypervisor.
pub struct Hypervisor<P: Platform> {
    /// The machine.
    pub platform: P,
    /// All frames of the machine.
    pub frames: FrameTable,
    /// All domains.
    pub domains: DomainTable<P>,
}
