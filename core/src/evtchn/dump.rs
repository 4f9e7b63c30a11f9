//! What the debug key `e` prints.

use super::Target;
use super::fifo::control::raw_word;
use super::layout::{Abi, Layout};
use super::port::Binding;
use crate::domain::Domain;
use crate::platform::Platform;
use core::fmt;

/// Shows a domain's ports that are in use, a line each: pending and masked, binding, vcpu, priority.
pub struct Dump<'a, P: Platform> {
    /// The machine.
    pub platform: &'a P,
    /// Whose ports.
    pub dom: &'a Domain<P>,
}

impl<P: Platform> fmt::Display for Dump<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Target { platform: self.platform, dom: self.dom };
        let abi = self.dom.events.abi();
        writeln!(f, "event channels of d{} ({}):", self.dom.id.0, if abi == Abi::Fifo { "FIFO" } else { "2-level" })?;
        for number in 1..self.dom.events.ports.valid() {
            let Some(port) = self.dom.events.ports.get(number) else { break };
            let port = port.lock();
            if port.binding == Binding::Free {
                continue;
            }
            let in_use = port.in_guest_use();
            let pending = in_use && abi.is_pending(at, number);
            let masked = in_use && abi.is_masked(at, number);
            write!(f, "  {number:5} [{}/{}] ", u8::from(pending), u8::from(masked))?;
            match port.binding {
                Binding::Free | Binding::Reserved => write!(f, "reserved")?,
                Binding::Unbound { remote } => write!(f, "unbound d{}", remote.0)?,
                Binding::Interdomain { remote, port } => write!(f, "interdomain d{} port {port}", remote.0)?,
                Binding::Pirq { pirq } => write!(f, "pirq {pirq}")?,
                Binding::Virq { virq } => write!(f, "virq {virq}")?,
                Binding::Ipi => write!(f, "ipi")?,
            }
            write!(f, " vcpu {}", port.vcpu)?;
            if let (Abi::Fifo, true) = (abi, in_use) {
                write!(f, " priority {} word {:#010x}", port.priority, raw_word(at, number).unwrap_or(0))?;
            }
            match port.consumer {
                Some(consumer) => writeln!(f, " xen ({})", consumer.0)?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}
