//! Who runs where: the argument that takes the place of an ambient "current".

use crate::addr::Vaddr;
use crate::cpu::CpuId;
use crate::domain::{Domain, Hypervisor, Vcpu};
use crate::hypercall::Stop;
use crate::platform::{Fault, Flush, Platform};
use crate::pv::PvState;

/// The running vcpu on its CPU, for the length of one trap or hypercall.
pub struct Ctx<'a, P: Platform> {
    /// Everything.
    pub hv: &'a Hypervisor<P>,
    /// This CPU.
    pub cpu: CpuId,
    /// The vcpu that trapped.
    pub vcpu: &'a Vcpu<P>,
    /// Its domain.
    pub dom: &'a Domain<P>,
    /// Its PV state while it runs (registers, callbacks, roots): lives at the fixed top of this CPU's stack.
    pub pv: &'a mut PvState,
    /// What has to be done before the vcpu runs again.
    pub effects: Effects,
}

bitflags::bitflags! {
    /// What has to be done on this CPU before the vcpu runs again: the kinds of [`Effects`].
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Effect: u32 {
        /// Flush this CPU's TLB: non-global entries.
        const FLUSH_NON_GLOBAL = 1 << 0;
        /// Flush this CPU's TLB: everything.
        const FLUSH_ALL = 1 << 1;
        /// Invalidate [`Effects::page`] on this CPU.
        const FLUSH_PAGE = 1 << 2;
        /// Reload the guest's GDT and LDT into this CPU (`PvState` changed).
        const LOAD_DESCRIPTOR_TABLES = 1 << 3;
        /// Reload the debug registers from `PvState`.
        const LOAD_DEBUG = 1 << 4;
        /// Make CR0.TS what `pv::TASK_SWITCHED` says.
        const LOAD_FPU = 1 << 5;
        /// Load [`Effects::segment_bases`].
        const LOAD_SEGMENT_BASES = 1 << 6;
        /// This CPU's timers changed: program its timer anew.
        const PROGRAM_TIMER = 1 << 7;
        /// The domain ended itself: see what is to become of the machine.
        const SHUTDOWN = 1 << 8;
        /// The vcpu's `struct vcpu_info` moved.
        const REFRESH_INFO = 1 << 9;
        /// Write the vcpu's time record.
        const UPDATE_TIME = 1 << 10;
        /// The vcpu may not go on: ask the scheduler.
        const RESCHEDULE = 1 << 11;
    }
}

/// What the caller performs on this CPU before the vcpu runs again. Joined, never lost.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    kinds: Effect,
    page: Vaddr,
    segment_bases: SegmentBases,
}

/// Segment bases to load into this CPU while the guest's kernel runs (its GS is the active one), in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentBases {
    /// FS.
    pub fs: Option<u64>,
    /// GS of the kernel, the active one.
    pub gs_kernel: Option<u64>,
    /// A selector for the user mode's GS, with its base; one that cannot be loaded becomes 0.
    pub gs_user_selector: Option<u16>,
    /// GS of the user mode, the inactive one (MSR_SHADOW_GS_BASE).
    pub gs_user: Option<u64>,
}

impl Effects {
    /// Whether nothing has to be done.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Whether this is to be done.
    #[inline(always)]
    pub fn has(&self, kind: Effect) -> bool {
        self.kinds.contains(kind)
    }

    /// Adds what needs no value with it.
    #[inline(always)]
    pub fn add(&mut self, kinds: Effect) {
        debug_assert!(!kinds.intersects(Effect::FLUSH_PAGE | Effect::LOAD_SEGMENT_BASES), "these have a value");
        self.kinds |= kinds;
    }

    /// The address to invalidate.
    #[inline(always)]
    pub fn page(&self) -> Option<Vaddr> {
        self.has(Effect::FLUSH_PAGE).then_some(self.page)
    }

    /// The address to invalidate, if nothing else is to be done: what most hypercalls that leave something leave.
    #[inline(always)]
    pub fn only_page(&self) -> Option<Vaddr> {
        (self.kinds == Effect::FLUSH_PAGE).then_some(self.page)
    }

    /// Adds a local flush to what is to be done.
    #[inline]
    pub fn flush(&mut self, what: Flush) {
        match what {
            Flush::All => self.kinds |= Effect::FLUSH_ALL,
            Flush::NonGlobal => self.kinds |= Effect::FLUSH_NON_GLOBAL,
            Flush::Page(at) if !self.has(Effect::FLUSH_PAGE) => {
                self.kinds |= Effect::FLUSH_PAGE;
                self.page = at;
            }
            Flush::Page(at) if self.page == at => {}
            Flush::Page(_) => self.kinds |= Effect::FLUSH_ALL,
        }
    }

    /// Everything was flushed on this CPU already.
    #[inline(always)]
    pub fn flushed(&mut self) {
        self.kinds -= Effect::FLUSH_ALL | Effect::FLUSH_NON_GLOBAL | Effect::FLUSH_PAGE;
    }

    /// The segment bases to load.
    pub fn segment_bases(&self) -> Option<SegmentBases> {
        self.has(Effect::LOAD_SEGMENT_BASES).then_some(self.segment_bases)
    }

    /// Changes the segment bases to load.
    #[inline(always)]
    pub fn segment_bases_mut(&mut self) -> &mut SegmentBases {
        if !self.has(Effect::LOAD_SEGMENT_BASES) {
            self.kinds |= Effect::LOAD_SEGMENT_BASES;
            self.segment_bases = SegmentBases::default();
        }
        &mut self.segment_bases
    }
}

impl<P: Platform> Ctx<'_, P> {
    /// The machine.
    pub fn platform(&self) -> &P {
        &self.hv.platform
    }

    /// Whether a long operation should stop at this safe point.
    pub fn preempt_pending(&self) -> bool {
        self.hv.platform.preempt_pending(self.cpu)
    }

    /// Copies a value in from the guest, once.
    pub fn read<T: zerocopy::FromBytes + zerocopy::IntoBytes>(&self, at: Vaddr) -> Result<T, Stop> {
        let mut value = T::new_zeroed();
        self.read_bytes(at, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Copies a value out to the guest.
    pub fn write<T: zerocopy::IntoBytes + zerocopy::Immutable>(&self, at: Vaddr, value: &T) -> Result<(), Stop> {
        self.write_bytes(at, value.as_bytes())
    }

    /// Copies bytes in from the guest.
    pub fn read_bytes(&self, at: Vaddr, to: &mut [u8]) -> Result<(), Stop> {
        self.hv.platform.copy_from_guest(self.cpu, at, to).map_err(Stop::from)
    }

    /// Copies bytes out to the guest.
    pub fn write_bytes(&self, at: Vaddr, from: &[u8]) -> Result<(), Stop> {
        self.hv.platform.copy_to_guest(self.cpu, at, from).map_err(Stop::from)
    }

    /// Reads element `index` of a guest array of `T`.
    pub fn read_at<T: zerocopy::FromBytes + zerocopy::IntoBytes>(&self, base: Vaddr, index: u64) -> Result<T, Stop> {
        self.read(element::<T>(base, index)?)
    }

    /// Writes element `index` of a guest array of `T`.
    pub fn write_at<T: zerocopy::IntoBytes + zerocopy::Immutable>(
        &self,
        base: Vaddr,
        index: u64,
        value: &T,
    ) -> Result<(), Stop> {
        self.write(element::<T>(base, index)?, value)
    }
}

fn element<T>(base: Vaddr, index: u64) -> Result<Vaddr, Stop> {
    index
        .checked_mul(size_of::<T>() as u64)
        .and_then(|offset| base.0.checked_add(offset))
        .map(Vaddr)
        .ok_or(Stop::from(Fault { at: base }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flushes_are_joined_and_never_lost() {
        let mut effects = Effects::default();
        assert!(effects.is_empty() && effects.page().is_none() && effects.only_page().is_none());
        effects.flush(Flush::Page(Vaddr(0x1000)));
        assert!(!effects.is_empty());
        assert_eq!((effects.page(), effects.only_page()), (Some(Vaddr(0x1000)), Some(Vaddr(0x1000))));
        // The same again is the same; address 0 is one like another.
        effects.flush(Flush::Page(Vaddr(0x1000)));
        assert_eq!((effects.only_page(), effects.has(Effect::FLUSH_ALL)), (Some(Vaddr(0x1000)), false));
        effects.flush(Flush::NonGlobal);
        assert!(effects.has(Effect::FLUSH_NON_GLOBAL) && !effects.has(Effect::FLUSH_ALL));
        assert_eq!((effects.page(), effects.only_page()), (Some(Vaddr(0x1000)), None));
        // Two pages are everything, and stay it.
        for _ in 0..2 {
            effects.flush(Flush::Page(Vaddr(0)));
            assert!(effects.has(Effect::FLUSH_ALL | Effect::FLUSH_NON_GLOBAL | Effect::FLUSH_PAGE));
        }
        let mut all = Effects::default();
        for _ in 0..2 {
            all.flush(Flush::All);
            assert!(all.has(Effect::FLUSH_ALL));
        }
    }

    #[test]
    fn a_flush_ends_flushes_only() {
        let mut effects = Effects::default();
        effects.add(Effect::LOAD_DEBUG | Effect::RESCHEDULE);
        let without = effects;
        for what in [Flush::All, Flush::NonGlobal, Flush::Page(Vaddr(0x1000))] {
            effects.flush(what);
        }
        effects.flushed();
        let flush = [Effect::FLUSH_ALL, Effect::FLUSH_NON_GLOBAL, Effect::FLUSH_PAGE];
        assert!(!flush.into_iter().any(|kind| effects.has(kind)));
        assert!(without.kinds == effects.kinds && !effects.is_empty());
    }

    #[test]
    fn segment_bases_are_joined() {
        let mut effects = Effects::default();
        assert_eq!(effects.segment_bases(), None);
        effects.segment_bases_mut().fs = Some(1);
        effects.segment_bases_mut().gs_user = Some(2);
        let both = SegmentBases { fs: Some(1), gs_user: Some(2), ..Default::default() };
        assert_eq!(effects.segment_bases(), Some(both));
    }
}
