//! HYPERVISOR_grant_table_op: arrays of requests, each with a status of its own, done in batches.
#![allow(non_upper_case_globals, reason = "the ABI's names stand in patterns")]

use super::failure::Failure;
use super::status::{Status, code};
use super::unmap::{self, Request};
use super::{Dump, cache, copy, map, setup, swap, transfer, version};
use crate::access;
use crate::addr::Vaddr;
use crate::ctx::Ctx;
use crate::domain::DomId;
use crate::hypercall::{HypercallResult, Stop};
use crate::paging::settle;
use crate::platform::{Level, Platform};
use xen_abi::Errno;
use xen_abi::grant_table::*;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Mappings that are undone with one flush.
const UNMAP_BATCH: usize = 32;

/// An array of requests in the guest, and how far it has been done.
struct Requests {
    cmd: u64,
    base: Vaddr,
    count: u64,
}

impl Requests {
    /// The rest of it, from request `done` on, in another call.
    fn again(&self, done: u64, size: usize) -> Stop {
        let base = self.base.0.wrapping_add(done.wrapping_mul(size as u64));
        Stop::Again([self.cmd, base, self.count.saturating_sub(done), 0, 0, 0])
    }

    /// Does one request after the other.
    fn each<P: Platform, T: FromBytes + IntoBytes + Immutable>(
        &self,
        ctx: &mut Ctx<'_, P>,
        mut one: impl FnMut(&mut Ctx<'_, P>, &mut T) -> Result<(), Stop3>,
    ) -> HypercallResult {
        for at in 0..self.count {
            if at != 0 && ctx.preempt_pending() {
                return Err(self.again(at, size_of::<T>()));
            }
            let mut op: T = ctx.read_at(self.base, at)?;
            match one(ctx, &mut op) {
                Ok(()) => ctx.write_at(self.base, at, &op)?,
                Err(Stop3::Interrupted) => return Err(self.again(at, size_of::<T>())),
                Err(Stop3::Stop(stop)) => return Err(stop),
            }
        }
        Ok(0)
    }

    /// The one request of an operation that takes no more.
    fn single<P: Platform, T: FromBytes + IntoBytes + Immutable>(
        &self,
        ctx: &mut Ctx<'_, P>,
        one: impl FnOnce(&mut Ctx<'_, P>, &mut T) -> Result<(), Stop>,
    ) -> HypercallResult {
        if self.count != 1 {
            return Err(Errno::EINVAL.into());
        }
        let mut op: T = ctx.read(self.base)?;
        one(ctx, &mut op)?;
        ctx.write(self.base, &op)?;
        Ok(0)
    }
}

/// Why a request has no status: the whole call ends, or this request is to be made again.
enum Stop3 {
    Stop(Stop),
    Interrupted,
}

impl From<Stop> for Stop3 {
    fn from(stop: Stop) -> Stop3 {
        Stop3::Stop(stop)
    }
}

/// The status of a request.
fn status(result: Result<(), Failure>) -> Result<i16, Stop3> {
    match result {
        Ok(()) => Ok(GNTST_okay),
        Err(Failure::Status(status)) => Ok(status.code()),
        Err(Failure::Interrupted) => Err(Stop3::Interrupted),
    }
}

/// `grant_table_op(cmd, args, count)`. Effects on the running CPU are in `ctx.effects`.
pub fn grant_table_op<P: Platform>(ctx: &mut Ctx<'_, P>, cmd: u64, args: Vaddr, count: u64) -> HypercallResult {
    if count > i32::MAX as u64 {
        return Err(Errno::EINVAL.into());
    }
    let all = Requests { cmd, base: args, count };
    match u32::try_from(cmd).map_err(|_| Errno::ENOSYS)? {
        GNTTABOP_map_grant_ref => map_all(ctx, &all),
        GNTTABOP_unmap_grant_ref => unmap_all(
            ctx,
            &all,
            |op: &GnttabUnmapGrantRef| Request {
                handle: op.handle,
                host: given(op.host_addr),
                device: op.dev_bus_addr,
                replace: 0,
            },
            |op, status| op.status = status,
        ),
        GNTTABOP_unmap_and_replace => unmap_all(
            ctx,
            &all,
            |op: &GnttabUnmapAndReplace| Request {
                handle: op.handle,
                host: given(op.host_addr),
                device: 0,
                replace: op.new_addr,
            },
            |op, status| op.status = status,
        ),
        GNTTABOP_copy if count == 1 => all.each(ctx, |ctx, op: &mut GnttabCopy| {
            op.status = status(copy::once(ctx, op))?;
            Ok(())
        }),
        GNTTABOP_copy => {
            let mut ends = copy::Ends::new();
            let result = all.each(ctx, |ctx, op: &mut GnttabCopy| {
                op.status = status(ends.copy(ctx, op))?;
                Ok(())
            });
            ends.release(ctx);
            result
        }
        GNTTABOP_transfer => all.each(ctx, |ctx, op: &mut GnttabTransfer| {
            op.status = code(&transfer::transfer(ctx, op));
            Ok(())
        }),
        GNTTABOP_swap_grant_ref => all.each(ctx, |ctx, op: &mut GnttabSwapGrantRef| {
            op.status = code(&swap::swap(ctx.hv, ctx.dom, op.ref_a, op.ref_b));
            Ok(())
        }),
        GNTTABOP_cache_flush => all.each(ctx, |ctx, op: &mut GnttabCacheFlush| {
            cache::cache_flush(ctx, op).map_err(|errno| Stop3::Stop(errno.into()))
        }),
        GNTTABOP_setup_table => all.single(ctx, |ctx, op: &mut GnttabSetupTable| {
            op.status = code(&setup::setup(ctx, op)?);
            Ok(())
        }),
        GNTTABOP_get_status_frames => all.single(ctx, |ctx, op: &mut GnttabGetStatusFrames| {
            op.status = code(&setup::status_frames(ctx, op)?);
            Ok(())
        }),
        GNTTABOP_query_size => all.single(ctx, |ctx, op: &mut GnttabQuerySize| {
            let size = setup::query(ctx, op.dom);
            op.status = code(&size);
            (op.nr_frames, op.max_nr_frames) = size.unwrap_or((op.nr_frames, op.max_nr_frames));
            Ok(())
        }),
        // These two take one request, and do not look at the count.
        GNTTABOP_set_version => Requests { count: 1, ..all }.single(ctx, |ctx, op: &mut GnttabSetVersion| {
            op.version = version::set(ctx.hv, ctx.cpu, ctx.dom, op.version)?;
            Ok(())
        }),
        GNTTABOP_get_version => Requests { count: 1, ..all }.single(ctx, |ctx, op: &mut GnttabGetVersion| {
            op.version = access::target(ctx, DomId(op.dom))?.grants.size().0;
            Ok(())
        }),
        GNTTABOP_dump_table => all.single(ctx, |ctx, op: &mut GnttabDumpTable| {
            op.status = code(&setup::target(ctx, op.dom).map(|dom| {
                ctx.hv.platform.log(Level::Info, format_args!("{}", Dump { platform: &ctx.hv.platform, dom: &dom }));
            }));
            Ok(())
        }),
        _ => Err(Errno::ENOSYS.into()),
    }
}

fn map_all<P: Platform>(ctx: &mut Ctx<'_, P>, all: &Requests) -> HypercallResult {
    for at in 0..all.count {
        if at != 0 && ctx.preempt_pending() {
            return Err(all.again(at, size_of::<GnttabMapGrantRef>()));
        }
        let mut op: GnttabMapGrantRef = ctx.read_at(all.base, at)?;
        let result = map::map(ctx, &op);
        match &result {
            Ok(mapped) => {
                op.status = GNTST_okay;
                op.handle = mapped.handle;
                op.dev_bus_addr = mapped.bus_address;
            }
            Err(Failure::Status(status)) => op.status = status.code(),
            Err(Failure::Interrupted) => return Err(all.again(at, size_of::<GnttabMapGrantRef>())),
        }
        if let Err(stop) = ctx.write_at(all.base, at, &op) {
            if let Ok(mapped) = result {
                forget(ctx, &op, &mapped);
            }
            return Err(stop);
        }
    }
    Ok(0)
}

/// An address of an unmapping; 0 means (grant_table.h) that this way of mapping stays.
fn given(address: u64) -> Option<u64> {
    (address != 0).then_some(address)
}

/// Undoes a mapping whose handle the guest could not be told.
fn forget<P: Platform>(ctx: &mut Ctx<'_, P>, op: &GnttabMapGrantRef, mapped: &map::Mapped) {
    let request = Request { handle: mapped.handle, host: Some(op.host_addr), device: mapped.bus_address, replace: 0 };
    if let Ok(undone) = unmap::begin(ctx, request) {
        settle(ctx, false);
        unmap::finish(ctx, undone);
    }
}

fn unmap_all<P: Platform, T: FromBytes + IntoBytes + Immutable>(
    ctx: &mut Ctx<'_, P>,
    all: &Requests,
    request: impl Fn(&T) -> Request,
    set: impl Fn(&mut T, i16),
) -> HypercallResult {
    let mut first = 0;
    while first < all.count {
        if first != 0 && ctx.preempt_pending() {
            return Err(all.again(first, size_of::<T>()));
        }
        // One alone is frequent, and needs no room for others.
        first = match all.count - first {
            1 => unmap_some::<1, P, T>(ctx, all, first, &request, &set)?,
            _ => unmap_some::<UNMAP_BATCH, P, T>(ctx, all, first, &request, &set)?,
        };
    }
    Ok(0)
}

/// Undoes up to `N` mappings from request `first` on, with one flush; gives the request to go on with.
fn unmap_some<const N: usize, P: Platform, T: FromBytes + IntoBytes + Immutable>(
    ctx: &mut Ctx<'_, P>,
    all: &Requests,
    first: u64,
    request: &impl Fn(&T) -> Request,
    set: &impl Fn(&mut T, i16),
) -> Result<u64, Stop> {
    let mut results: [Option<Result<unmap::Undone, Status>>; N] = [const { None }; N];
    let mut ended = Ok(());
    let mut done = first;
    let mut flush = false;
    for slot in results.iter_mut().take(usize::try_from(all.count - first).unwrap_or(usize::MAX)) {
        let begun = match ctx.read_at::<T>(all.base, done) {
            Ok(op) => unmap::begin(ctx, request(&op)),
            Err(stop) => {
                ended = Err(stop);
                break;
            }
        };
        *slot = match begun {
            Err(Failure::Interrupted) => {
                ended = Err(all.again(done, size_of::<T>()));
                break;
            }
            Err(Failure::Status(status)) => Some(Err(status)),
            Ok(undone) => {
                flush |= undone.needs_flush();
                Some(Ok(undone))
            }
        };
        done += 1;
    }
    if flush {
        settle(ctx, false);
    }
    let mut codes = [GNTST_okay; N];
    for (code, result) in codes.iter_mut().zip(results.into_iter().map_while(|result| result)) {
        match result {
            Ok(undone) => unmap::finish(ctx, undone),
            Err(status) => *code = status.code(),
        }
    }
    // The guest is told last: whatever it can or cannot read, what was begun is finished.
    for (at, code) in (first..done).zip(codes) {
        let mut op: T = ctx.read_at(all.base, at)?;
        set(&mut op, code);
        ctx.write_at(all.base, at, &op)?;
    }
    ended?;
    Ok(done)
}
