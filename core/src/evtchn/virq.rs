//! Virtual interrupts: per vcpu, or global (bound on vcpu 0, told to the one domain that handles it).

use super::Target;
use super::notify::Notify;
use super::port::Binding;
use crate::domain::{DomId, Domain, Hypervisor};
use crate::platform::Platform;
use core::sync::atomic::{AtomicU16, Ordering};
use xen_abi::Errno;
use xen_abi::xen::{NR_VIRQS, VIRQ_DEBUG, VIRQ_TIMER, VIRQ_XENOPROF, VIRQ_XENPMU};

/// Whether a VIRQ is global (xen.h marks each with V or G; those of the architecture, machine checks, are global).
pub fn is_global(virq: u32) -> bool {
    !matches!(virq, VIRQ_TIMER | VIRQ_DEBUG | VIRQ_XENOPROF | VIRQ_XENPMU)
}

/// Which domain handles each global VIRQ: dom0, until XEN_DOMCTL_set_virq_handler says otherwise.
#[derive(Default)]
pub struct VirqHandlers([AtomicU16; NR_VIRQS as usize]);

impl VirqHandlers {
    fn slot(&self, virq: u32) -> Result<&AtomicU16, Errno> {
        self.0.get(usize::try_from(virq).map_err(|_| Errno::EINVAL)?).filter(|_| is_global(virq)).ok_or(Errno::EINVAL)
    }
    /// Who handles it. `EINVAL`: it is not a global VIRQ.
    pub fn get(&self, virq: u32) -> Result<DomId, Errno> {
        Ok(DomId(self.slot(virq)?.load(Ordering::Relaxed)))
    }
    /// Gives it to another domain; the caller has checked that it may. `EINVAL`: it is not a global VIRQ.
    pub fn set(&self, virq: u32, handler: DomId) -> Result<(), Errno> {
        self.slot(virq)?.store(handler.0, Ordering::Relaxed);
        Ok(())
    }
    /// A domain is gone: what it handled goes back to dom0.
    pub fn forget(&self, handler: DomId) {
        for slot in &self.0 {
            let _ = slot.compare_exchange(handler.0, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

/// Raises a VIRQ for a vcpu (a global one stands in vcpu 0); nothing happens where it is not bound.
pub fn send_virq<P: Platform>(hv: &Hypervisor<P>, dom: &Domain<P>, vcpu: u32, virq: u32) -> Notify {
    let slot = usize::try_from(virq).ok().and_then(|at| dom.vcpu(vcpu)?.events.virqs.get(at));
    let number = slot.map_or(0, |slot| slot.load(Ordering::Acquire));
    if number == 0 {
        return Notify::NONE;
    }
    let Some(port) = dom.events.ports.get(number) else { return Notify::NONE };
    let mut port = port.lock();
    if port.binding != (Binding::Virq { virq }) {
        return Notify::NONE;
    }
    Target { platform: &hv.platform, dom }.deliver(number, &mut port)
}

/// Raises a global VIRQ in the domain that handles it.
pub fn send_global_virq<P: Platform>(hv: &Hypervisor<P>, virq: u32) -> Notify {
    let Ok(handler) = hv.virq_handlers.get(virq) else { return Notify::NONE };
    match hv.domains.get(handler) {
        Some(dom) => send_virq(hv, &dom, 0, virq),
        None => Notify::NONE,
    }
}
