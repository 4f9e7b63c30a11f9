//! The flushes that guests ask for.

use super::PagingError;
use crate::addr::Vaddr;
use crate::cpu::CpuMask;
use crate::ctx::Ctx;
use crate::platform::{Flush, Platform};

/// Whose translations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scope {
    /// This vcpu's.
    Local,
    /// Those of the vcpus in a bitmap in guest memory.
    Vcpus(Vaddr),
    /// All vcpus'.
    All,
}

/// Flushes: on this CPU before the vcpu goes on, on others now. User pages are global (see `entry`), so "the TLB" is
/// always all of it.
pub(super) fn flush<P: Platform>(ctx: &mut Ctx<'_, P>, scope: Scope, what: Flush) -> Result<(), PagingError> {
    if let Flush::Page(at) = what
        && !at.is_canonical()
    {
        return Ok(());
    }
    let mut cpus = match scope {
        Scope::Local => CpuMask::one(ctx.cpu),
        Scope::All => ctx.dom.dirty_cpus.load(),
        Scope::Vcpus(bitmap) => cpus_of(ctx, bitmap)?,
    };
    if cpus.has(ctx.cpu) {
        ctx.effects.flush(what);
        cpus.clear(ctx.cpu);
    }
    if !cpus.is_empty() {
        ctx.platform().flush(ctx.cpu, &cpus, what);
    }
    Ok(())
}

/// The CPUs whose TLBs may hold translations of the vcpus in a bitmap: those that run them. A CPU that stops running a
/// vcpu flushes everything before it says so, and one that begins to run it does so after it was named here.
fn cpus_of<P: Platform>(ctx: &Ctx<'_, P>, bitmap: Vaddr) -> Result<CpuMask, PagingError> {
    let mut cpus = CpuMask::EMPTY;
    for word in 0..u64::from(ctx.dom.max_vcpus).div_ceil(64) {
        let mut bits = ctx.read_at::<u64>(bitmap, word).map_err(|_| PagingError::Fault)?;
        while bits != 0 {
            let id = word.wrapping_mul(64).wrapping_add(u64::from(bits.trailing_zeros()));
            bits &= bits.wrapping_sub(1);
            if id == u64::from(ctx.vcpu.id) {
                cpus.set(ctx.cpu);
                continue;
            }
            // Numbers of vcpus that there are not name nobody.
            let vcpu = u32::try_from(id).ok().and_then(|id| ctx.dom.vcpu(id));
            if let Some(cpu) = vcpu.and_then(|vcpu| vcpu.sched.running_on()) {
                cpus.set(cpu);
            }
        }
    }
    Ok(cpus)
}
