//! One paging operation on a domain's tables: what it works with, and giving and taking of single references.

use super::PagingError;
use crate::addr::Mfn;
use crate::cpu::{CpuId, CpuMask};
use crate::ctx::{Ctx, Effects};
use crate::domain::{DomId, Domain, Hypervisor};
use crate::frame::{FrameRef, FrameTable, FrameType, Freed, GetType, LockedFrame, PutType, TypeRef};
use crate::platform::Platform;
use ferroxen_sync::SharedPage;

/// One operation on the page tables of `dom`.
pub struct Mmu<'a, P: Platform> {
    pub(super) hv: &'a Hypervisor<P>,
    pub(super) cpu: CpuId,
    /// Whose page tables.
    pub(super) dom: &'a Domain<P>,
    /// Whose frames level-1 entries may map.
    pub(super) data: DomId,
    /// Whether the caller may write level-1 entries that map I/O memory; `dom` must be privileged, too.
    pub(super) io: bool,
    pub(super) effects: &'a mut Effects,
    /// See `PvState::parked_tables`.
    pub(super) parked: &'a mut [Mfn; 3],
}

impl<'a, P: Platform> Mmu<'a, P> {
    /// An operation of the running vcpu on its own domain's tables.
    pub fn new(ctx: &'a mut Ctx<'_, P>) -> Self {
        let dom = ctx.dom;
        Mmu::on(ctx, dom, dom.id, dom.privileged)
    }

    /// An operation of the running vcpu on the tables of `dom`, mapping frames of `data`.
    pub fn on(ctx: &'a mut Ctx<'_, P>, dom: &'a Domain<P>, data: DomId, io: bool) -> Self {
        Mmu { hv: ctx.hv, cpu: ctx.cpu, dom, data, io, effects: &mut ctx.effects, parked: &mut ctx.pv.parked_tables }
    }

    #[inline(always)]
    pub(super) fn frames(&self) -> &'a FrameTable {
        &self.hv.frames
    }
    #[inline(always)]
    pub(super) fn page(&self, mfn: Mfn) -> &'a SharedPage {
        self.hv.platform.page(mfn)
    }
    #[inline(always)]
    pub(super) fn preempted(&self) -> bool {
        self.hv.platform.preempt_pending(self.cpu)
    }

    /// The CPUs whose TLBs may hold the frame.
    fn may_remember(&self, mfn: Mfn) -> CpuMask {
        let frames = self.frames();
        match frames.owner(mfn) {
            Some(owner) if !frames.is_foreign(mfn) => {
                if owner == self.dom.id {
                    self.dom.dirty_cpus.load()
                } else {
                    self.hv.domains.get(owner).map_or_else(|| self.hv.platform.online(), |dom| dom.dirty_cpus.load())
                }
            }
            _ => self.hv.platform.online(),
        }
    }

    /// One more use of the frame as `ty`, made valid if it is not: flushed, and its contents checked.
    ///
    /// # Errors
    /// `Busy` (in use as something else), `Invalid` (its contents are refused), `Interrupted`.
    #[inline(always)]
    pub(super) fn use_as(&mut self, frame: &FrameRef, ty: FrameType) -> Result<TypeRef, PagingError> {
        match self.frames().get_type(frame, ty)? {
            GetType::Have(used) => Ok(used),
            GetType::Locked(locked) => self.make(locked, frame, ty, false),
        }
    }

    /// The same for an entry of a table that this operation holds locked. Half of some other work that stands in the way is
    /// left for later (`Interrupted`): it may hold the last use of that very table, and giving that back waits for the lock.
    #[inline(always)]
    pub(super) fn use_in_table(&mut self, frame: &FrameRef, ty: FrameType) -> Result<TypeRef, PagingError> {
        match self.frames().get_type(frame, ty)? {
            GetType::Have(used) => Ok(used),
            GetType::Locked(locked) => self.make(locked, frame, ty, true),
        }
    }

    #[inline]
    fn make(
        &mut self,
        locked: LockedFrame,
        frame: &FrameRef,
        ty: FrameType,
        in_table: bool,
    ) -> Result<TypeRef, PagingError> {
        let mut locked = locked;
        loop {
            match locked.leftover() {
                Ok(ready) => {
                    let (flushed, here) =
                        ready.flush(self.frames(), &self.hv.platform, self.cpu, || self.may_remember(frame.mfn()));
                    if here {
                        self.flushed_here();
                    }
                    return self.validate(flushed, frame);
                }
                Err(leftover) if in_table => {
                    self.park_hint(leftover.ty().level(), leftover.mfn());
                    let held = leftover.held();
                    let nobodys = leftover.park(self.frames(), held);
                    debug_assert!(nobodys.is_none(), "whose use is given up owns no use");
                    if let Some(used) = nobodys {
                        used.store();
                    }
                    return Err(PagingError::Interrupted);
                }
                Err(leftover) => {
                    // Half of some other work, which its owner gave up, stands in the way.
                    if self.devalidate(leftover).is_err() {
                        return Err(PagingError::Interrupted);
                    }
                }
            }
            match self.frames().get_type(frame, ty)? {
                GetType::Have(used) => return Ok(used),
                GetType::Locked(again) => locked = again,
            }
        }
    }

    /// What was to be flushed on this CPU has been.
    fn flushed_here(&mut self) {
        self.effects.flushed();
    }

    /// Gives a use back. `Err`: interrupted in the last use of a page table; the use is still held.
    #[inline(always)]
    pub(super) fn put_type(&mut self, used: TypeRef) -> Result<(), TypeRef> {
        match self.frames().put_type(used, || self.hv.platform.tlb_stamp()) {
            PutType::Done => Ok(()),
            PutType::Devalidate(table) => match self.devalidate(table) {
                Ok(()) | Err(None) => Ok(()),
                Err(Some(used)) => Err(used),
            },
        }
    }

    /// Gives a reference back.
    #[inline(always)]
    pub(super) fn put(&self, frame: FrameRef) {
        if let Some(freed) = self.frames().put(frame) {
            self.free(freed);
        }
    }

    #[cold]
    fn free(&self, freed: Freed) {
        self.hv.free_frame(freed);
    }

    /// Gives back a use of a table and its reference; what is interrupted is finished by the next operation
    /// ([`Mmu::finish_parked`]).
    #[inline(always)]
    pub(super) fn put_table(&mut self, used: TypeRef, frame: FrameRef) {
        match self.frames().put_type_shared(used) {
            Ok(()) => self.put(frame),
            Err(used) => self.put_table_slow(used, frame),
        }
    }

    fn put_table_slow(&mut self, used: TypeRef, frame: FrameRef) {
        let level = used.ty().level();
        let (mut used, mut frame) = match self.put_type(used) {
            Ok(()) => return self.put(frame),
            Err(used) => (used, frame),
        };
        let mfn = frame.mfn();
        // `Err`: another CPU has made it a table again meanwhile; then this is one use of several.
        while let Err((again, held)) = self.frames().abandon(used, frame) {
            match self.put_type(again) {
                Ok(()) => return self.put(held),
                Err(still) => (used, frame) = (still, held),
            }
        }
        self.park_hint(level, mfn);
    }

    pub(super) fn park_hint(&mut self, level: u32, mfn: Mfn) {
        if let Some(slot) = usize::try_from(level).ok().and_then(|level| self.parked.get_mut(level.checked_sub(2)?)) {
            *slot = mfn;
        }
    }

    /// Finishes what an earlier operation of this vcpu was interrupted in.
    ///
    /// # Errors
    /// `Interrupted`.
    #[inline(always)]
    pub(super) fn finish_parked(&mut self) -> Result<(), PagingError> {
        if *self.parked == [Mfn(0); 3] { Ok(()) } else { self.finish_parked_slow() }
    }

    #[cold]
    fn finish_parked_slow(&mut self) -> Result<(), PagingError> {
        for slot in (0..3).rev() {
            let Some(&mfn) = self.parked.get(slot) else { break };
            if mfn == Mfn(0) {
                continue;
            }
            if let Some(table) = self.frames().take_parked(mfn)
                && self.devalidate(table).is_err()
            {
                return Err(PagingError::Interrupted);
            }
            if let Some(done) = self.parked.get_mut(slot) {
                *done = Mfn(0);
            }
        }
        Ok(())
    }
}
