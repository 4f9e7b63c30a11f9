//! The seam between the two layouts in which a guest sees its events.

use super::notify::VcpuSet;
use super::port::PortState;
use super::{Target, fifo::Fifo, two_level::TwoLevel};
use crate::platform::Platform;

/// A layout. Every access to the guest's words of a port happens with that port's lock held and the port in the guest's
/// use, or under the control lock: when all ports are closed, no CPU touches the guest's pages.
pub(super) trait Layout {
    /// Ports that it can name, from 0.
    fn capacity(&self) -> u32;
    /// Sets the port pending; gives the vcpus to tell, pollers among them.
    fn set_pending<P: Platform>(&self, at: Target<'_, P>, number: u32, port: &mut PortState) -> VcpuSet;
    /// Clears it.
    fn clear_pending<P: Platform>(&self, at: Target<'_, P>, number: u32);
    /// Unmasks the port; gives the vcpu to tell if it was pending.
    fn unmask<P: Platform>(&self, at: Target<'_, P>, number: u32, port: &mut PortState) -> VcpuSet;
    /// Whether it is pending.
    fn is_pending<P: Platform>(&self, at: Target<'_, P>, number: u32) -> bool;
    /// Whether it is masked.
    fn is_masked<P: Platform>(&self, at: Target<'_, P>, number: u32) -> bool;
    /// Whether the port, though free, still hangs in a queue of the guest.
    fn is_busy<P: Platform>(&self, at: Target<'_, P>, number: u32) -> bool;
    /// Whether ports have priorities.
    fn has_priorities(&self) -> bool;
}

/// The layout that a domain uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Abi {
    TwoLevel,
    Fifo,
}

macro_rules! forward {
    ($self:ident.$method:ident($($arg:expr),*)) => {
        match $self {
            Abi::TwoLevel => TwoLevel.$method($($arg),*),
            Abi::Fifo => Fifo.$method($($arg),*),
        }
    };
}

impl Layout for Abi {
    fn capacity(&self) -> u32 {
        forward!(self.capacity())
    }
    fn set_pending<P: Platform>(&self, at: Target<'_, P>, number: u32, port: &mut PortState) -> VcpuSet {
        forward!(self.set_pending(at, number, port))
    }
    fn clear_pending<P: Platform>(&self, at: Target<'_, P>, number: u32) {
        forward!(self.clear_pending(at, number));
    }
    fn unmask<P: Platform>(&self, at: Target<'_, P>, number: u32, port: &mut PortState) -> VcpuSet {
        forward!(self.unmask(at, number, port))
    }
    fn is_pending<P: Platform>(&self, at: Target<'_, P>, number: u32) -> bool {
        forward!(self.is_pending(at, number))
    }
    fn is_masked<P: Platform>(&self, at: Target<'_, P>, number: u32) -> bool {
        forward!(self.is_masked(at, number))
    }
    fn is_busy<P: Platform>(&self, at: Target<'_, P>, number: u32) -> bool {
        forward!(self.is_busy(at, number))
    }
    fn has_priorities(&self) -> bool {
        forward!(self.has_priorities())
    }
}
