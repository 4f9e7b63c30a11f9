//! `HYPERVISOR_mmu_update`.

use super::change::Write;
use super::entry::Pte;
use super::target::Target;
use super::{Mmu, PagingError};
use crate::addr::{Maddr, Mfn, Vaddr};
use crate::ctx::Ctx;
use crate::domain::DomId;
use crate::frame::{FrameRef, FrameType, TableGuard, TypeRef};
use crate::hypercall::{HypercallResult, Stop};
use crate::platform::Platform;
use ferroxen_sync::SharedPage;
use xen_abi::Errno;
use xen_abi::xen::{
    MMU_MACHPHYS_UPDATE, MMU_NORMAL_PT_UPDATE, MMU_PT_UPDATE_NO_TRANSLATE, MMU_PT_UPDATE_PRESERVE_AD, MmuUpdate,
};
use zerocopy::{FromZeros, IntoBytes};

/// Marks the count of a continuation: `pdone` holds what was done before.
pub(super) const PREEMPTED: u64 = 1 << 31;
/// Requests that are copied in at once.
const BATCH: usize = 16;
const REQUEST: u64 = size_of::<MmuUpdate>() as u64;

/// The table that the last request changed: consecutive requests mostly change the same one.
enum Cursor<'a> {
    None,
    Table(FrameRef, TableGuard),
    /// A frame that is no page table: mapped writable, or nothing. It is just written.
    Plain(FrameRef, TypeRef, &'a SharedPage),
}

impl Cursor<'_> {
    /// Does a request that is a store to the plain frame that the last one stored to. What a kernel makes its page
    /// tables with before it pins them.
    #[inline(always)]
    fn store(&self, request: &MmuUpdate) -> bool {
        let at = Maddr(request.ptr);
        match self {
            Cursor::Plain(frame, _, page)
                if frame.mfn() == at.mfn() && matches!(request.ptr & 7, 0 | MMU_PT_UPDATE_PRESERVE_AD..=3) =>
            {
                page.store_u64(at.offset(), request.val);
                true
            }
            _ => false,
        }
    }
}

/// `mmu_update(requests, count, done_out, foreigndom)`: see xen.h.
///
/// Gives 0. The number of requests done is written to `*done_out` (if that is not null) whatever happens.
///
/// # Errors
/// The first request's that failed; those before it are done. `Stop::Again` with what is left to do.
pub fn mmu_update<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    requests: Vaddr,
    count: u64,
    done_out: Vaddr,
    foreigndom: u64,
) -> HypercallResult {
    let count = count & 0xffff_ffff;
    // The most common list: one request to an own level-1 table.
    if count == 1 && foreigndom == DomId::SELF.0.into() && done_out.0 == 0 && quick(ctx, requests).is_some() {
        return Ok(0);
    }
    list(ctx, requests, count, done_out, foreigndom)
}

/// Does one request if it changes an entry of a level-1 table of the running domain and nothing stands in the way.
/// `None`: nothing was done, and [`list`] has to say why, or do it.
#[inline(always)]
fn quick<P: Platform>(ctx: &mut Ctx<'_, P>, request: Vaddr) -> Option<()> {
    if !ctx.pv.nothing_parked() {
        return None;
    }
    let [at, value] = ctx.hv.platform.read_words::<2>(ctx.cpu, request).ok()?;
    let how = match at & 7 {
        MMU_NORMAL_PT_UPDATE | MMU_PT_UPDATE_NO_TRANSLATE => Write::Plain,
        MMU_PT_UPDATE_PRESERVE_AD => Write::PreserveAd,
        _ => return None,
    };
    let at = Maddr(at);
    let mut mmu = Mmu::new(ctx);
    let (frame, guard) = match mmu.frames().lock_own_table(at.mfn(), mmu.dom.id, FrameType::L1) {
        Ok(locked) => locked,
        Err(spare) => {
            if let Some(spare) = spare {
                mmu.put(spare);
            }
            return None;
        }
    };
    let written = mmu.write_l1e(&guard, at.offset() / 8, Pte(value), how) == Ok(true);
    mmu.frames().unlock_table(guard);
    mmu.put(frame);
    written.then_some(())
}

#[inline(never)]
fn list<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    requests: Vaddr,
    count: u64,
    done_out: Vaddr,
    foreigndom: u64,
) -> HypercallResult {
    let before = continued(ctx, count, done_out);
    // Also a list without requests has to be where the guest may have one.
    if !requests.is_guest() {
        return Err(Errno::EFAULT.into());
    }
    let begun = begin(ctx, count);
    let count = count & !PREEMPTED;
    let (at, result) = match begun {
        Ok(()) => run(ctx, requests, count, foreigndom),
        Err(error) => (0, Err(error)),
    };
    let result = settle_error(ctx, result);
    finish(ctx, done_out, before.wrapping_add(at));
    match result {
        Ok(()) => Ok(0),
        Err(PagingError::Interrupted) => Err(Stop::Again([
            requests.0.wrapping_add(at.wrapping_mul(REQUEST)),
            count.wrapping_sub(at) | PREEMPTED,
            done_out.0,
            foreigndom,
            0,
            0,
        ])),
        Err(error) => Err(Stop::Err(error.errno())),
    }
}

/// What a continuation did before: it is in the guest's memory, and only ever given back to the guest.
pub(super) fn continued<P: Platform>(ctx: &Ctx<'_, P>, count: u64, done_out: Vaddr) -> u64 {
    let again = count & PREEMPTED != 0 && done_out.0 != 0;
    if again { ctx.read::<u32>(done_out).map_or(0, u64::from) } else { 0 }
}

/// Before a batch: half-done work first, even if there is nothing else to do. A continuation whose request was refused
/// ends with that error now.
pub(super) fn begin<P: Platform>(ctx: &mut Ctx<'_, P>, count: u64) -> Result<(), PagingError> {
    Mmu::new(ctx).finish_parked()?;
    let refused = PagingError::from_parked(core::mem::take(&mut ctx.pv.parked_error));
    if count & PREEMPTED != 0
        && let Some(error) = refused
    {
        Err(error)
    } else {
        Ok(())
    }
}

/// After a batch: a refusal may have left half-validated tables, which are undone before the guest is told: it may use
/// their frames for something else at once.
pub(super) fn settle_error<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    result: Result<(), PagingError>,
) -> Result<(), PagingError> {
    if let Err(error) = result
        && error != PagingError::Interrupted
        && Mmu::new(ctx).finish_parked().is_err()
    {
        ctx.pv.parked_error = error.to_parked();
        return Err(PagingError::Interrupted);
    }
    result
}

/// Tells the guest how much was done. What was done is done, also if it cannot be told: as with Xen, no error.
pub(super) fn finish<P: Platform>(ctx: &Ctx<'_, P>, done_out: Vaddr, done: u64) {
    if done_out.0 != 0 {
        let _untold = ctx.write(done_out, &(done as u32));
    }
}

/// Does a list, of which [`BATCH`] requests are copied in at once.
fn run<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    requests: Vaddr,
    count: u64,
    foreigndom: u64,
) -> (u64, Result<(), PagingError>) {
    if count == 0 {
        return (0, Ok(()));
    }
    let data = match Target::of(ctx, DomId(foreigndom as u16)) {
        Ok(data) => data,
        Err(error) => return (0, Err(error)),
    };
    let owner = match (foreigndom >> 16) as u16 {
        0 => Ok(Target::Own),
        other => Target::other(ctx, DomId(other.wrapping_sub(1))),
    };
    let owner = match owner {
        Ok(owner) => owner,
        Err(error) => return (0, Err(error)),
    };
    let (data_id, io) = (data.id(ctx), data.may_map_io(ctx));
    let own = ctx.dom;
    let dom = match &owner {
        Target::Other(dom) => dom,
        _ => own,
    };
    let (cpu, platform) = (ctx.cpu, &ctx.hv.platform);
    let mut mmu = Mmu::on(ctx, dom, data_id, io);
    let mut batch = [MmuUpdate::new_zeroed(); BATCH];
    let mut at = 0;
    while at < count {
        let wanted = usize::try_from(count.wrapping_sub(at)).unwrap_or(BATCH).min(BATCH);
        let from = Vaddr(requests.0.wrapping_add(at.wrapping_mul(REQUEST)));
        let Some(chunk) = batch.get_mut(..wanted) else { break };
        let mut got = wanted;
        if platform.copy_from_guest(cpu, from, chunk.as_mut_bytes()).is_err() {
            // Somewhere in it is a fault: what comes before must still be done.
            got = 1;
            let Some(first) = chunk.get_mut(..1) else { break };
            if platform.copy_from_guest(cpu, from, first.as_mut_bytes()).is_err() {
                return (at, Err(PagingError::Fault));
            }
        }
        let mut cursor = Cursor::None;
        for request in batch.iter().take(got) {
            if cursor.store(request) {
                at = at.wrapping_add(1);
                continue;
            }
            let mut result = mmu.request(&mut cursor, request);
            if result.is_ok() {
                at = at.wrapping_add(1);
                if *mmu.parked != [Mfn(0); 3] {
                    mmu.leave(&mut cursor);
                    result = mmu.finish_parked();
                } else if at < count && mmu.preempted() {
                    result = Err(PagingError::Interrupted);
                }
            }
            if result.is_err() {
                mmu.leave(&mut cursor);
                return (at, result);
            }
        }
        mmu.leave(&mut cursor);
    }
    (at, Ok(()))
}

impl<'a, P: Platform> Mmu<'a, P> {
    fn request(&mut self, cursor: &mut Cursor<'a>, request: &MmuUpdate) -> Result<(), PagingError> {
        // Bit 2 is neither command nor address: an entry is aligned to its size.
        let at = Maddr(request.ptr & !7);
        let command = request.ptr & 7;
        let how = match command {
            MMU_NORMAL_PT_UPDATE | MMU_PT_UPDATE_NO_TRANSLATE => Write::Plain,
            MMU_PT_UPDATE_PRESERVE_AD => Write::PreserveAd,
            MMU_MACHPHYS_UPDATE => return self.set_m2p(at.mfn(), request.val),
            _ => return Err(PagingError::Unknown),
        };
        let index = at.offset() / 8;
        let mfn = at.mfn();
        let same = match cursor {
            Cursor::None => false,
            Cursor::Table(frame, _) | Cursor::Plain(frame, _, _) => frame.mfn() == mfn,
        };
        if !same {
            self.leave(cursor);
            *cursor = self.enter(mfn)?;
        }
        match cursor {
            Cursor::Table(_, guard) => self.write_entry(guard, index, Pte(request.val), how).map(|_| ()),
            Cursor::Plain(_, _, page) => {
                page.store_u64(index.wrapping_mul(8), request.val);
                Ok(())
            }
            Cursor::None => Err(PagingError::Invalid),
        }
    }

    fn enter(&mut self, mfn: Mfn) -> Result<Cursor<'a>, PagingError> {
        let frame = self.frames().get(mfn, self.dom.id)?;
        if let Some(guard) = self.frames().lock_table(&frame) {
            return Ok(Cursor::Table(frame, guard));
        }
        match self.use_as(&frame, FrameType::Writable) {
            Ok(used) => Ok(Cursor::Plain(frame, used, self.page(mfn))),
            Err(error) => {
                self.put(frame);
                Err(if error == PagingError::Busy { PagingError::Invalid } else { error })
            }
        }
    }

    fn leave(&mut self, cursor: &mut Cursor<'a>) {
        match core::mem::replace(cursor, Cursor::None) {
            Cursor::None => {}
            Cursor::Table(frame, guard) => {
                self.frames().unlock_table(guard);
                self.put(frame);
            }
            Cursor::Plain(frame, used, _) => self.put_table(used, frame),
        }
    }

    /// MMU_MACHPHYS_UPDATE: the frame must be the data domain's.
    fn set_m2p(&mut self, mfn: Mfn, pfn: u64) -> Result<(), PagingError> {
        let frame = self.frames().get(mfn, self.data)?;
        self.hv.platform.set_m2p(mfn, pfn);
        self.put(frame);
        Ok(())
    }
}
