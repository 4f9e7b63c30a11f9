//! Page-table calls of a multicall, in an order that flushes once.
//!
//! A frame that stops being writable and becomes a page table (or the other way round) has to be flushed from every CPU
//! that may remember its old use. A kernel that takes page tables into use one by one asks for `make read-only, pin` for
//! each of them (Linux has to, because of its locks), which is a round of interrupts to all CPUs for each of them. What
//! gives an old use up is done first here, for a run of neighbouring calls; then the first call that needs the new use
//! flushes for all of them, because their old uses all ended before ([`crate::platform::Platform::tlb_stamp`]).
//!
//! A run takes frames into use as page tables (mappings that are not writable, pins) or gives them back (unpins, writable
//! mappings), never both: a mapping that is written twice, or a table that is pinned and unpinned, ends as the guest asked.
//! So the calls of a run commute but for errors: each is checked as always when its turn comes.

use super::{HypercallResult, Stop};
use crate::addr::{Mfn, Vaddr};
use crate::ctx::Ctx;
use crate::domain::DomId;
use crate::frame::FrameType;
use crate::paging;
use crate::platform::Platform;
use core::mem::offset_of;
use xen_abi::Errno;
use xen_abi::xen::*;

/// Calls of a run: Linux's batches have 32. Each is short, so that nothing has to be interrupted inside a run.
const RUN: usize = 32;
/// How often a call is made again that half-done work of others stops.
const PATIENCE: u32 = 64;
const ENTRY: u64 = size_of::<MulticallEntry>() as u64;

/// One call of a run, copied in.
#[derive(Clone, Copy)]
enum Call {
    Map { va: u64, value: u64, flags: u64 },
    Table(MmuextOp),
}

impl Call {
    /// What this entry asks for, if that is a call of a run.
    fn of<P: Platform>(ctx: &Ctx<'_, P>, entry: &MulticallEntry) -> Option<Call> {
        let [a, b, c, d, ..] = entry.args;
        if entry.op == u64::from(__HYPERVISOR_update_va_mapping) {
            // Flushes of other CPUs stay where the guest put them.
            let local = c & !UVMF_FLUSHTYPE_MASK == 0;
            return local.then_some(Call::Map { va: a, value: b, flags: c });
        }
        if entry.op != u64::from(__HYPERVISOR_mmuext_op) || b != 1 || c != 0 || DomId(d as u16) != DomId::SELF {
            return None;
        }
        let op: MmuextOp = ctx.read(Vaddr(a)).ok()?;
        let short = match op.cmd {
            MMUEXT_PIN_L1_TABLE => true,
            // Tables of higher levels are trees.
            MMUEXT_UNPIN_TABLE => ctx.hv.frames.type_count(Mfn(op.arg1)).0 == FrameType::L1,
            _ => false,
        };
        short.then_some(Call::Table(op))
    }

    /// Whether it belongs to taking page tables into use; else to giving them back.
    fn makes_tables(&self) -> bool {
        match self {
            Call::Map { .. } => self.gives_up(),
            Call::Table(op) => op.cmd == MMUEXT_PIN_L1_TABLE,
        }
    }

    /// Whether it only gives up the use of a frame.
    fn gives_up(&self) -> bool {
        match self {
            Call::Map { value, .. } => {
                let entry = paging::Pte(*value);
                !entry.present() || !entry.writable()
            }
            Call::Table(op) => op.cmd == MMUEXT_UNPIN_TABLE,
        }
    }

    fn make<P: Platform>(&self, ctx: &mut Ctx<'_, P>) -> HypercallResult {
        for _ in 0..PATIENCE {
            let result = match *self {
                Call::Map { va, value, flags } => paging::update_va_mapping(ctx, Vaddr(va), value, flags),
                Call::Table(op) => paging::mmuext_single(ctx, &op),
            };
            if !matches!(result, Err(Stop::Again(_))) {
                return result;
            }
        }
        // Another vcpu works on the same tables.
        Err(Errno::EBUSY.into())
    }
}

/// Makes the calls of a run that begins with `first`, the entry at `list`, of at most `left`. Gives how many were made;
/// 0: `first` is no call of a run.
///
/// # Errors
/// `EFAULT`: a result cannot be written; `Again`: half-done work is not finished yet, and nothing was made.
pub(crate) fn run<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    list: Vaddr,
    first: &MulticallEntry,
    left: u64,
) -> Result<u64, Stop> {
    let Some(call) = Call::of(ctx, first) else { return Ok(0) };
    let mut calls = [call; RUN];
    let mut count = 0u64;
    for slot in calls.iter_mut().take(usize::try_from(left).unwrap_or(RUN)) {
        if count != 0 {
            let Ok(entry) = ctx.read_at::<MulticallEntry>(list, count) else { break };
            let next = Call::of(ctx, &entry).filter(|next| next.makes_tables() == call.makes_tables());
            let Some(next) = next else { break };
            *slot = next;
        }
        count = count.wrapping_add(1);
    }
    for giving_up in [true, false] {
        for (call, index) in calls.iter().zip(0..count).filter(|(call, _)| call.gives_up() == giving_up) {
            let result = match call.make(ctx) {
                Ok(value) => value,
                Err(Stop::Err(error)) => error.as_neg().cast_unsigned(),
                Err(again) => return Err(again),
            };
            let entry = list.0.wrapping_add(index.wrapping_mul(ENTRY));
            ctx.write(Vaddr(entry.wrapping_add(offset_of!(MulticallEntry, result) as u64)), &result)?;
        }
    }
    Ok(count)
}
