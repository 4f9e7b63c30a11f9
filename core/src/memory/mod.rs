//! Memory: the frame allocator, and what domains ask of it (`memory_op`, xen/memory.h).

mod assign;
mod exchange;
pub mod heap;
mod map;
mod op;
mod physmap;
mod query;
mod reservation;
mod resource;
#[cfg(test)]
mod tests;

pub use assign::MemoryError;
pub use heap::{Heap, Request};
pub use map::{E820Entry, MAX_MAP_ENTRIES, MapSlot, MemoryMap};
pub use op::memory_op;

use crate::addr::Mfn;
use crate::domain::Domain;
use crate::platform::Platform;

/// What guests are told of the machine's memory, and may ask of it. Made at boot.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine {
    /// The machine's memory map, ascending (XENMEM_machine_memory_map), with the ranges that the control domain must
    /// not use as reserved.
    pub e820: &'static [E820Entry],
    /// First frames of the 2 MiB pieces of the machine-to-physical table, in order; frame 0: a gap.
    pub m2p_extents: &'static [Mfn],
    /// `memop-max-order`.
    pub max_order: MaxOrder,
}

/// The largest extents that a domain may ask for, as orders (command line: `memop-max-order`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MaxOrder {
    /// Unprivileged domains.
    pub dom_u: u32,
    /// The control domain.
    pub control: u32,
}

impl Default for MaxOrder {
    fn default() -> Self {
        MaxOrder { dom_u: 9, control: heap::MAX_ORDER }
    }
}

impl Machine {
    /// Pages of RAM that the machine has, the hypervisor's own among them.
    pub fn ram_pages(&self) -> u64 {
        self.e820
            .iter()
            .filter(|entry| entry.kind == map::RAM)
            .fold(0, |sum: u64, entry| sum.saturating_add(entry.size() >> 12))
    }

    /// The largest order that this domain may ask for.
    fn max_order<P: Platform>(&self, caller: &Domain<P>) -> u32 {
        let order = if caller.privileged { self.max_order.control } else { self.max_order.dom_u };
        order.min(heap::MAX_ORDER)
    }
}
