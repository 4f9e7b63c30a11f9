//! What a domain keeps of its interrupts.

use super::pci::Function;
use super::rights::Rights;
use crate::addr::{Maddr, Mfn};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use ferroxen_sync::{Guard, Lock, rank};
use xen_abi::Errno;

/// Lines that every machine has (ISA); their pirqs are the control domain's from the start.
const LEGACY: u32 = 16;

/// What a pirq stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Source {
    /// Nothing.
    #[default]
    Free,
    /// PHYSDEVOP_get_free_pirq gave it out.
    Reserved,
    /// The line of the same number.
    Line,
    /// One of the messages of a function's MSI capability.
    Msi {
        /// The function.
        function: Function,
        /// Where the capability is in its configuration space.
        capability: u16,
        /// Number among the function's messages.
        index: u8,
        /// Number of messages.
        count: u8,
        /// Vector of this message.
        vector: u8,
    },
    /// One entry of a function's MSI-X table.
    Msix {
        /// The function.
        function: Function,
        /// Its number in the table.
        entry: u16,
        /// Machine address of the entry.
        at: Maddr,
        /// Vector.
        vector: u8,
    },
}

impl Source {
    /// The function that sends it, if it is a message.
    pub fn function(&self) -> Option<Function> {
        match *self {
            Source::Msi { function, .. } | Source::Msix { function, .. } => Some(function),
            _ => None,
        }
    }
}

/// An interrupt of a domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pirq {
    /// Where it comes from.
    pub source: Source,
    /// An event channel is bound to it: it is not masked.
    pub bound: bool,
}

/// What a domain has to do with devices.
#[derive(Default)]
pub struct DomainDevices {
    table: Lock<rank::Irq, Vec<Pirq>>,
    count: AtomicU32,
    /// The page of PHYSDEVOP_pirq_eoi_gmfn: a bit for each pirq whose end must be told. The domain holds a reference
    /// and a writable use of it; 0: none.
    pub(super) eoi_page: AtomicU64,
    /// PHYSDEVOP_eoi unmasks the event channel too (PHYSDEVOP_pirq_eoi_gmfn_v1).
    pub(super) eoi_unmasks: AtomicBool,
    /// What it may use of the machine without controlling it.
    pub rights: Rights,
}

impl DomainDevices {
    /// Makes room for pirqs 0 to `count` - 1, once, before the domain runs; `legacy`: the ISA lines are mapped. The
    /// event channels need the same room ([`crate::evtchn::DomainEvents::set_pirqs`]).
    ///
    /// # Errors
    /// `ENOMEM`; `EEXIST`: made before.
    pub fn init(&self, count: u32, legacy: bool) -> Result<(), Errno> {
        let mut new = Vec::new();
        new.try_reserve_exact(usize::try_from(count).map_err(|_| Errno::ENOMEM)?).map_err(|_| Errno::ENOMEM)?;
        new.extend((0..count).map(|pirq| Pirq {
            source: if legacy && pirq < LEGACY { Source::Line } else { Source::Free },
            bound: false,
        }));
        let mut table = self.table.lock();
        if !table.is_empty() {
            return Err(Errno::EEXIST);
        }
        *table = new;
        self.count.store(count, Ordering::Release);
        Ok(())
    }

    /// Number of pirqs.
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }

    /// One of them as it is now.
    pub fn pirq(&self, pirq: u32) -> Option<Pirq> {
        self.table.lock().get(usize::try_from(pirq).ok()?).copied()
    }

    /// The frame of PHYSDEVOP_pirq_eoi_gmfn.
    pub(super) fn eoi_frame(&self) -> Option<Mfn> {
        Some(Mfn(self.eoi_page.load(Ordering::Acquire))).filter(|mfn| mfn.0 != 0)
    }

    pub(super) fn table(&self) -> Guard<'_, rank::Irq, Vec<Pirq>> {
        self.table.lock()
    }
}

/// An entry of the table.
pub(super) fn entry(table: &mut [Pirq], pirq: u32) -> Option<&mut Pirq> {
    table.get_mut(usize::try_from(pirq).ok()?)
}
