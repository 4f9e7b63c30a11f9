//! What a domain and a vcpu keep for event channels.

use super::layout::{Abi, Layout};
use super::notify::VcpuSet;
use super::port::{Binding, Port, PortState};
use super::table::PortTable;
use super::{Target, fifo};
use crate::domain::Domain;
use crate::platform::Platform;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use ferroxen_sync::{Guard, Lock, OnceBox, rank};
use xen_abi::Errno;
use xen_abi::event_channel::{EVTCHN_FIFO_MAX_QUEUES, EVTCHN_FIFO_NR_CHANNELS};
use xen_abi::xen::NR_VIRQS;

/// What the control lock protects, beside all changes of bindings.
#[derive(Default)]
pub(super) struct Control {
    /// Ports in use.
    pub active: u32,
    /// Those of them that belong to the hypervisor.
    pub xen: u32,
    /// Every port below is in use, or was skipped because its event word is still linked.
    pub first_free: u32,
    /// Some were skipped.
    pub skipped: bool,
    /// Pages of the FIFO event array.
    pub pages: usize,
    /// Where a reset that was interrupted goes on.
    pub reset_at: u32,
}

/// A domain's event channels.
pub struct DomainEvents {
    pub(super) ports: PortTable,
    pub(super) control: Lock<rank::EventTable, Control>,
    /// The guest chose the FIFO layout.
    pub(super) is_fifo: AtomicBool,
    pub(super) array: fifo::Array,
    polling: [AtomicU64; 2],
    pirqs: OnceBox<Box<[AtomicU32]>>,
    /// The highest port that may be given out.
    limit: AtomicU32,
}

impl Default for DomainEvents {
    fn default() -> Self {
        DomainEvents {
            ports: PortTable::default(),
            control: Lock::new(Control { first_free: 1, ..Control::default() }),
            is_fifo: AtomicBool::new(false),
            array: fifo::Array::default(),
            polling: [const { AtomicU64::new(0) }; 2],
            pirqs: OnceBox::new(),
            limit: AtomicU32::new(EVTCHN_FIFO_NR_CHANNELS - 1),
        }
    }
}

/// What a vcpu keeps for event channels.
pub struct VcpuEvents {
    /// Port of each VIRQ; 0: not bound. Global VIRQs stand in vcpu 0.
    pub(super) virqs: [AtomicU32; NR_VIRQS as usize],
    /// The last port of each FIFO queue; 0: empty.
    pub(super) tails: Lock<rank::EventPort, [u32; EVTCHN_FIFO_MAX_QUEUES]>,
    /// The FIFO control block.
    pub(super) control_block: fifo::Place,
    /// The port that it polls, or `POLL_ANY`; meaningful while its bit of `polling` is set.
    pub(super) polled: AtomicU32,
}

impl Default for VcpuEvents {
    fn default() -> Self {
        VcpuEvents {
            virqs: [const { AtomicU32::new(0) }; NR_VIRQS as usize],
            tails: Lock::new([0; EVTCHN_FIFO_MAX_QUEUES]),
            control_block: fifo::Place::default(),
            polled: AtomicU32::new(0),
        }
    }
}

impl DomainEvents {
    /// Ports above `port` are not given out from now on (XEN_DOMCTL_createdomain's max_evtchn_port).
    pub fn set_limit(&self, port: u32) {
        self.limit.store(port, Ordering::Relaxed);
    }

    /// Makes room for physical interrupts 0 to `count` - 1; once, before the domain runs.
    pub fn set_pirqs(&self, count: u32) -> Result<(), Errno> {
        let count = usize::try_from(count).map_err(|_| Errno::ENOMEM)?;
        let mut ports = Vec::new();
        ports.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
        ports.resize_with(count, || AtomicU32::new(0));
        self.pirqs.set(ports.into_boxed_slice()).map(|_| ()).map_err(|_| Errno::EEXIST)
    }

    /// The port of a physical interrupt (0: not bound); `None`: the domain has no such interrupt.
    pub(super) fn pirq(&self, pirq: u32) -> Option<&AtomicU32> {
        self.pirqs.get()?.get(usize::try_from(pirq).ok()?)
    }

    /// The port to which a physical interrupt is bound.
    pub fn pirq_port(&self, pirq: u32) -> Option<u32> {
        self.pirq(pirq).map(|port| port.load(Ordering::Acquire)).filter(|&port| port != 0)
    }

    /// The layout in use.
    pub(super) fn abi(&self) -> Abi {
        if self.is_fifo.load(Ordering::Acquire) { Abi::Fifo } else { Abi::TwoLevel }
    }

    pub(super) fn port(&self, port: u32) -> Result<&Port, Errno> {
        self.ports.get(port).ok_or(Errno::EINVAL)
    }

    pub(super) fn set_polling(&self, vcpu: u32, polls: bool) -> bool {
        let Some(word) = self.polling.get(vcpu as usize / 64) else { return false };
        let bit = 1u64 << (vcpu % 64);
        let before = if polls { word.fetch_or(bit, Ordering::SeqCst) } else { word.fetch_and(!bit, Ordering::SeqCst) };
        before & bit != 0
    }

    /// Vcpus that poll some port.
    pub(super) fn polling(&self) -> VcpuSet {
        let [low, high] = &self.polling;
        let (low, high) = (low.load(Ordering::SeqCst), high.load(Ordering::SeqCst));
        if low | high == 0 {
            return VcpuSet::EMPTY;
        }
        (0..64u32)
            .flat_map(|bit| [(low, bit, bit), (high, bit, bit + 64)])
            .filter(|(word, bit, _)| word >> bit & 1 == 1)
            .fold(VcpuSet::EMPTY, |set, (_, _, vcpu)| set.union(VcpuSet::one(vcpu)))
    }
}

impl<P: Platform> Target<'_, P> {
    /// Takes the lowest free port; it is `Reserved` until the caller binds it. `EINVAL`: the domain is dying;
    /// `ENOSPC`: no port is left; `ENOMEM`.
    pub(super) fn take_port(&self, control: &mut Control) -> Result<u32, Errno> {
        if self.dom.is_dying() {
            return Err(Errno::EINVAL);
        }
        let events = &self.dom.events;
        let abi = events.abi();
        let end = abi.capacity().min(events.limit.load(Ordering::Relaxed).saturating_add(1));
        // A second round only if ports were left out in the first.
        for _ in 0..2 {
            for number in control.first_free..end {
                let mut port = events.ports.make(number)?.lock();
                if port.binding != Binding::Free {
                    continue;
                }
                if abi.is_busy(*self, number) {
                    control.skipped = true;
                    continue;
                }
                *port = PortState { binding: Binding::Reserved, queue: port.queue, ..PortState::free() };
                control.active += 1;
                control.first_free = number + 1;
                return Ok(number);
            }
            control.first_free = 1;
            if !core::mem::take(&mut control.skipped) {
                break;
            }
        }
        control.first_free = end.max(1);
        Err(Errno::ENOSPC)
    }

    /// Gives a port back, whatever it was.
    pub(super) fn free_port(&self, control: &mut Control, number: u32) {
        let Some(port) = self.dom.events.ports.get(number) else { return };
        let mut port = port.lock();
        if port.consumer.is_some() {
            control.xen = control.xen.saturating_sub(1);
        } else {
            self.dom.events.abi().clear_pending(*self, number);
        }
        // The FIFO queue stays known: the guest may not have taken the port out of it yet.
        *port = PortState { queue: port.queue, ..PortState::free() };
        control.active = control.active.saturating_sub(1);
        control.first_free = control.first_free.min(number);
    }
}

/// The control locks of one or two domains, taken in the order of their numbers.
pub(super) struct Both<'a> {
    /// The first domain's.
    pub near: Guard<'a, rank::EventTable, Control>,
    _far: Option<Guard<'a, rank::EventTable, Control>>,
}

/// Locks `near` and, if it is another domain, `far`.
pub(super) fn lock_both<'a, P: Platform>(near: &'a Domain<P>, far: Option<&'a Domain<P>>) -> Both<'a> {
    match far {
        Some(far) if near.id < far.id => {
            let near = near.events.control.lock();
            Both { near, _far: Some(far.events.control.lock_second()) }
        }
        Some(far) if near.id > far.id => {
            let far = far.events.control.lock();
            Both { near: near.events.control.lock_second(), _far: Some(far) }
        }
        _ => Both { near: near.events.control.lock(), _far: None },
    }
}
