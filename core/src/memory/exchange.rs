//! XENMEM_exchange: a domain gives frames and gets as many others, in larger pieces or below an address.
//!
//! It works in chunks: the smallest number of whole extents of the larger size on either side. A chunk is exchanged
//! wholly or not at all; between chunks the operation can be preempted, with its progress in the guest's own argument.

use super::MemoryError;
use super::reservation::set_m2p;
use crate::access;
use crate::addr::{Mfn, Vaddr};
use crate::ctx::Ctx;
use crate::domain::{DomId, Domain};
use crate::hypercall::{HypercallResult, Stop};
use crate::memory::heap::{MAX_ORDER, Request};
use crate::platform::{Flush, Platform};
use core::mem::offset_of;
use xen_abi::Errno;
use xen_abi::memory::*;

/// XENMEM_exchange.
pub(super) fn exchange<P: Platform>(ctx: &Ctx<'_, P>, arg: Vaddr) -> HypercallResult {
    let request: XenMemoryExchange = ctx.read(arg)?;
    let (input, output) = (&request.r#in, &request.out);
    let max_order = ctx.hv.machine.max_order(ctx.dom);
    if input.extent_order > max_order || output.extent_order > max_order {
        return Err(Errno::EPERM.into());
    }
    // No extent order reaches 64 from here on.
    let frames = |list: &XenMemoryReservation| {
        list.nr_extents.checked_shl(list.extent_order).filter(|sum| sum >> list.extent_order == list.nr_extents)
    };
    let total = frames(input).ok_or(Errno::EINVAL)?;
    if input.domid != output.domid || frames(output) != Some(total) || request.nr_exchanged > input.nr_extents {
        return Err(Errno::EINVAL.into());
    }
    // Before anything changes hands. XSA-212 was a check of the results' place that a guest's own progress got around.
    if [&input.extent_start, &output.extent_start].iter().any(|list| !Vaddr(list.addr()).is_guest()) {
        return Err(Errno::EFAULT.into());
    }
    let dom = access::target(ctx, DomId(input.domid))?;
    let chunk = Chunk {
        order: input.extent_order.max(output.extent_order),
        give: input.extent_order,
        get: output.extent_order,
        inputs: Vaddr(input.extent_start.addr()),
        outputs: Vaddr(output.extent_start.addr()),
        address_bits: XENMEMF_get_address_bits(output.mem_flags),
    };
    let per_chunk = chunk.order - chunk.give;
    let first = request.nr_exchanged >> per_chunk;
    let mut result = Ok(0);
    let mut done = first;
    while done < input.nr_extents >> per_chunk {
        if done != first && ctx.preempt_pending() {
            result = Err(Stop::Again([u64::from(XENMEM_exchange), arg.0, 0, 0, 0, 0]));
            break;
        }
        match chunk.exchange(ctx, &dom, done) {
            Ok(()) => {}
            Err(Failure::Before(errno)) => {
                result = Err(errno.into());
                break;
            }
            // The frames have changed hands, the guest only could not be told all of them.
            Err(Failure::After) => result = Err(Errno::EFAULT.into()),
        }
        done += 1;
        if result.is_err() {
            break;
        }
    }
    let exchanged = if result.is_ok() { input.nr_extents } else { done << per_chunk };
    let at = arg.0.wrapping_add(offset_of!(XenMemoryExchange, nr_exchanged) as u64);
    ctx.write(Vaddr(at), &exchanged)?;
    result
}

struct Chunk {
    /// log2 of its frames.
    order: u32,
    give: u32,
    get: u32,
    inputs: Vaddr,
    outputs: Vaddr,
    address_bits: u32,
}

enum Failure {
    /// Nothing of the chunk was exchanged.
    Before(Errno),
    /// All of it was, but a list could not be read or written.
    After,
}

impl Chunk {
    fn exchange<P: Platform>(&self, ctx: &Ctx<'_, P>, dom: &Domain<P>, number: u64) -> Result<(), Failure> {
        let mut given = HeldList::default();
        let mut got = HeldList::default();
        let taken = self.seize(ctx, dom, number, &mut given).and_then(|()| self.allocate(ctx, &mut got));
        if let Err(errno) = taken {
            if given.first != 0 {
                // Taken frames have forgotten what they were used as, and by whom, so that no later change of type would
                // flush: whoever may remember them forgets them now.
                ctx.platform().flush(ctx.cpu, &ctx.platform().online(), Flush::All);
            }
            while let Some(mfn) = given.pop(ctx) {
                restore(ctx, dom, mfn);
            }
            while let Some(mfn) = got.pop(ctx) {
                ctx.hv.free_frames(mfn, self.get, false);
            }
            return Err(Failure::Before(errno));
        }
        while let Some(mfn) = given.pop(ctx) {
            ctx.hv.free_frames(mfn, 0, true);
        }
        let mut result = Ok(());
        let mut at = number << (self.order - self.get);
        while let Some(mfn) = got.pop(ctx) {
            // The count did not change: that many were given.
            if ctx.hv.assign(dom, mfn, self.get).is_err() {
                result = Err(Failure::Before(Errno::EINVAL));
            } else {
                let told = ctx.read_at(self.outputs, at).and_then(|pfn: u64| {
                    set_m2p(ctx, mfn, self.get, pfn);
                    ctx.write_at(self.outputs, at, &mfn.0)
                });
                if told.is_err() && result.is_ok() {
                    result = Err(Failure::After);
                }
            }
            at += 1;
        }
        result
    }

    /// Takes the chunk's frames away from the domain; what was taken before an error is in the list.
    fn seize<P: Platform>(
        &self,
        ctx: &Ctx<'_, P>,
        dom: &Domain<P>,
        number: u64,
        list: &mut HeldList,
    ) -> Result<(), Errno> {
        if dom.is_dying() {
            return Err(MemoryError::Dying.into());
        }
        let extents = 1u64 << (self.order - self.give);
        for at in number * extents..(number + 1) * extents {
            let first: u64 = ctx.read_at(self.inputs, at).map_err(|_| Errno::EFAULT)?;
            for n in 0..1u64 << self.give {
                let mfn = Mfn(first).offset(n);
                // Not through `free_frame`: what it counts out is counted in again with the new frames.
                let _taken = ctx.hv.frames.take_away(mfn, dom.id).map_err(|_| Errno::EINVAL)?;
                list.push(ctx, mfn);
            }
        }
        Ok(())
    }

    fn allocate<P: Platform>(&self, ctx: &Ctx<'_, P>, list: &mut HeldList) -> Result<(), Errno> {
        let request = Request { order: self.get, max_address_bits: self.address_bits, ..Request::default() };
        for _ in 0..1u64 << (self.order - self.get) {
            list.push(ctx, ctx.hv.alloc_frames(ctx.cpu, request).ok_or(Errno::ENOMEM)?);
        }
        Ok(())
    }
}

/// Gives a seized frame back to its domain, as it was.
fn restore<P: Platform>(ctx: &Ctx<'_, P>, dom: &Domain<P>, mfn: Mfn) {
    // A domain that died meanwhile gets it and loses it at once.
    let _dying = ctx.hv.assign(dom, mfn, 0);
}

/// Frames (or first frames of blocks) in the hypervisor's hands, linked through the word of their entries that only page
/// tables use (`occupied`).
#[derive(Default)]
struct HeldList {
    first: u32,
}

impl HeldList {
    fn push<P: Platform>(&mut self, ctx: &Ctx<'_, P>, mfn: Mfn) {
        ctx.hv.frames.set_occupied(mfn, self.first);
        // The frame table has no entry that needs more bits.
        self.first = u32::try_from(mfn.0).unwrap_or(0);
    }

    fn pop<P: Platform>(&mut self, ctx: &Ctx<'_, P>) -> Option<Mfn> {
        let mfn = (self.first != 0).then_some(Mfn(u64::from(self.first)))?;
        self.first = ctx.hv.frames.occupied(mfn);
        ctx.hv.frames.set_occupied(mfn, 0);
        Some(mfn)
    }
}
const _: () = assert!(MAX_ORDER < 32);
