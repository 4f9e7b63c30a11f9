//! The one table: hypercall numbers, their handlers, their arguments.

use super::{HypercallResult, Stop, batch, sched_op, vcpu_op};
use crate::access;
use crate::addr::{Maddr, Vaddr};
use crate::ctx::{Ctx, Effect};
use crate::domain::{DomId, Domain, Hypervisor};
use crate::evtchn;
use crate::grant;
use crate::hypfs;
use crate::memory::memory_op;
use crate::paging;
use crate::platform::Platform;
use xen_abi::Errno;
use xen_abi::event_channel::{EVTCHNOP_send, EvtchnSend};
use xen_abi::xen::*;

/// Hypercalls that are mostly hardware: interrupts, the machine's platform, segment bases.
pub trait Devices<P: Platform> {
    /// `HYPERVISOR_physdev_op`.
    fn physdev_op(&mut self, ctx: &mut Ctx<'_, P>, cmd: u32, arg: Vaddr) -> HypercallResult;
    /// `HYPERVISOR_platform_op`.
    fn platform_op(&mut self, ctx: &mut Ctx<'_, P>, arg: Vaddr) -> HypercallResult;
    /// `HYPERVISOR_sysctl`.
    fn sysctl(&mut self, ctx: &mut Ctx<'_, P>, arg: Vaddr) -> HypercallResult;
    /// `HYPERVISOR_domctl`.
    fn domctl(&mut self, ctx: &mut Ctx<'_, P>, arg: Vaddr) -> HypercallResult;
    /// Performs what an event-channel operation on `dom` wants of the interrupt layer.
    fn pirq(&mut self, hv: &Hypervisor<P>, dom: &Domain<P>, effect: evtchn::PirqEffect) -> Result<(), Errno>;
}

/// Makes hypercall `number` with these arguments.
pub fn dispatch<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    devices: &mut impl Devices<P>,
    number: u64,
    args: [u64; 6],
) -> HypercallResult {
    if number == __HYPERVISOR_multicall.into() {
        return multicall(ctx, devices, Vaddr(args[0]), args[1]).map_err(|stop| own_arguments(stop, 2, args));
    }
    single(ctx, devices, number, args)
}

/// A call of a list; apart, because the short way above is worth its own copy.
#[inline(never)]
fn listed<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    devices: &mut impl Devices<P>,
    number: u64,
    args: [u64; 6],
) -> HypercallResult {
    single(ctx, devices, number, args)
}

/// A continuation changes a hypercall's own arguments only: the guest's compiler keeps values of its own in the argument
/// registers that the hypercall does not have.
fn own_arguments(stop: Stop, arity: usize, before: [u64; 6]) -> Stop {
    match stop {
        Stop::Again(mut next) => {
            next.iter_mut().zip(before).skip(arity).for_each(|(next, before)| *next = before);
            Stop::Again(next)
        }
        error => error,
    }
}

/// How many arguments a hypercall has that can be continued.
fn arity(number: u64) -> usize {
    match u32::try_from(number) {
        Ok(__HYPERVISOR_set_trap_table | __HYPERVISOR_sysctl | __HYPERVISOR_domctl | __HYPERVISOR_platform_op) => 1,
        Ok(
            __HYPERVISOR_memory_op
            | __HYPERVISOR_set_gdt
            | __HYPERVISOR_event_channel_op
            | __HYPERVISOR_physdev_op
            | __HYPERVISOR_sched_op
            | __HYPERVISOR_multicall,
        ) => 2,
        Ok(
            __HYPERVISOR_grant_table_op
            | __HYPERVISOR_update_va_mapping
            | __HYPERVISOR_console_io
            | __HYPERVISOR_vcpu_op,
        ) => 3,
        Ok(__HYPERVISOR_mmu_update | __HYPERVISOR_mmuext_op | __HYPERVISOR_update_va_mapping_otherdomain) => 4,
        _ => 6,
    }
}

#[inline(always)]
fn single<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    devices: &mut impl Devices<P>,
    number: u64,
    args: [u64; 6],
) -> HypercallResult {
    one(ctx, devices, number, args).map_err(|stop| own_arguments(stop, arity(number), args))
}

#[inline(always)]
fn one<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    devices: &mut impl Devices<P>,
    number: u64,
    args: [u64; 6],
) -> HypercallResult {
    let [a, b, c, d, ..] = args;
    // 32-bit arguments of the ABI: the upper half of the register is not part of them.
    let low = |value: u64| (value & 0xffff_ffff) as u32;
    let Ok(number) = u32::try_from(number) else { return Err(Errno::ENOSYS.into()) };
    match number {
        __HYPERVISOR_set_trap_table => super::set_trap_table(ctx, a),
        __HYPERVISOR_mmu_update => paging::mmu_update(ctx, Vaddr(a), b, Vaddr(c), d),
        __HYPERVISOR_set_gdt => super::frames::set_gdt(ctx, Vaddr(a), low(b)),
        __HYPERVISOR_stack_switch => super::stack_switch(ctx, a, b),
        __HYPERVISOR_set_callbacks => super::set_callbacks(ctx, a, b, c),
        __HYPERVISOR_fpu_taskswitch => super::fpu_taskswitch(ctx, a),
        __HYPERVISOR_sched_op_compat => sched_op::sched_op_compat(ctx, low(a), b),
        __HYPERVISOR_platform_op => devices.platform_op(ctx, Vaddr(a)),
        __HYPERVISOR_set_debugreg => super::set_debugreg(ctx, a, b),
        __HYPERVISOR_get_debugreg => super::get_debugreg(ctx, a),
        __HYPERVISOR_update_descriptor => {
            paging::update_descriptor(ctx, Maddr(a), b).map(|()| 0).map_err(|error| Stop::Err(error.errno()))
        }
        __HYPERVISOR_memory_op => memory_op(ctx, a, b),
        __HYPERVISOR_update_va_mapping => paging::update_va_mapping(ctx, Vaddr(a), b, c),
        __HYPERVISOR_set_timer_op => sched_op::set_timer_op(ctx, a),
        __HYPERVISOR_event_channel_op => event_channel_op(ctx, devices, low(a), Vaddr(b)),
        __HYPERVISOR_xen_version => super::xen_version(ctx, a, b),
        __HYPERVISOR_console_io => super::console_io(ctx, a, b, c),
        __HYPERVISOR_physdev_op => devices.physdev_op(ctx, low(a), Vaddr(b)),
        __HYPERVISOR_update_va_mapping_otherdomain => paging::update_va_mapping_otherdomain(ctx, Vaddr(a), b, c, d),
        __HYPERVISOR_grant_table_op => grant::grant_table_op(ctx, u64::from(low(a)), Vaddr(b), u64::from(low(c))),
        __HYPERVISOR_vm_assist => super::vm_assist(ctx, a, b),
        __HYPERVISOR_set_segment_base => super::set_segment_base(ctx, a, b),
        __HYPERVISOR_vcpu_op => vcpu_op::vcpu_op(ctx, low(a), low(b), Vaddr(c)),
        __HYPERVISOR_mmuext_op => paging::mmuext_op(ctx, Vaddr(a), b, Vaddr(c), d),
        __HYPERVISOR_sched_op => sched_op::sched_op(ctx, low(a), Vaddr(b)),
        __HYPERVISOR_callback_op => super::callback_op(ctx, a, b),
        __HYPERVISOR_nmi_op => super::nmi_op(ctx, a, b),
        __HYPERVISOR_hypfs_op => hypfs::hypfs_op(ctx, low(a), Vaddr(b), c, Vaddr(d), args[4]),
        __HYPERVISOR_sysctl => devices.sysctl(ctx, Vaddr(a)),
        __HYPERVISOR_domctl => devices.domctl(ctx, Vaddr(a)),
        _ => Err(Errno::ENOSYS.into()),
    }
}

fn event_channel_op<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    devices: &mut impl Devices<P>,
    cmd: u32,
    arg: Vaddr,
) -> HypercallResult {
    if cmd == EVTCHNOP_send {
        // By far the most frequent, with nothing but vcpus to tell.
        let op: EvtchnSend = ctx.read(arg)?;
        notify(ctx, evtchn::send(ctx.hv, ctx.dom, op.port)?);
        return Ok(0);
    }
    let outcome = evtchn::event_channel_op(ctx, cmd, arg)?;
    notify(ctx, outcome.notify);
    if let Some(effect) = outcome.pirq {
        let dom = access::target(ctx, outcome.pirq_of.unwrap_or(DomId::SELF))?;
        if let Err(error) = devices.pirq(ctx.hv, &dom, effect) {
            if let evtchn::PirqEffect::Bind { port, .. } = effect {
                let _ = evtchn::close(ctx.hv, &dom, port);
            }
            return Err(error.into());
        }
    }
    if outcome.again { Err(Stop::Again([cmd.into(), arg.0, 0, 0, 0, 0])) } else { Ok(0) }
}

/// [`Hypervisor::notify`](crate::domain::Hypervisor::notify), by a short way for the caller's own vcpus.
fn notify<P: Platform>(ctx: &Ctx<'_, P>, notify: evtchn::Notify) {
    if notify.domid == ctx.dom.id {
        ctx.hv.wake_all(ctx.dom, notify.vcpus);
    } else {
        ctx.hv.notify(notify);
    }
}

/// One entry's size.
const ENTRY: u64 = size_of::<MulticallEntry>() as u64;

/// `HYPERVISOR_multicall`: a list of calls; each entry gets its result.
fn multicall<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    devices: &mut impl Devices<P>,
    list: Vaddr,
    count: u64,
) -> HypercallResult {
    let count = count & 0xffff_ffff;
    // Also a list without entries has to be where the guest may have one.
    if !list.is_guest() {
        return Err(Errno::EFAULT.into());
    }
    let mut index = 0;
    while index < count {
        let at = Vaddr(list.0.wrapping_add(index.wrapping_mul(ENTRY)));
        let rest = [at.0, count.wrapping_sub(index), 0, 0, 0, 0];
        if index != 0 && ctx.preempt_pending() {
            return Err(Stop::Again(rest));
        }
        let mut entry: MulticallEntry = ctx.read(at)?;
        let made = batch::run(ctx, at, &entry, count.wrapping_sub(index))?;
        if made != 0 {
            index = index.wrapping_add(made);
            continue;
        }
        let result = match entry.op {
            // A list inside a list would be recursion that a guest steers.
            op if op == u64::from(__HYPERVISOR_multicall) => Err(Stop::Err(Errno::EINVAL)),
            op => listed(ctx, devices, op, entry.args),
        };
        match result {
            Ok(value) => entry.result = value,
            Err(Stop::Err(error)) => entry.result = error.as_neg().cast_unsigned(),
            Err(Stop::Again(args)) => {
                entry.args = args;
                ctx.write(at, &entry)?;
                return Err(Stop::Again(rest));
            }
        }
        let result_at = Vaddr(at.0.wrapping_add(core::mem::offset_of!(MulticallEntry, result) as u64));
        ctx.write(result_at, &entry.result)?;
        // A call that ends this vcpu's turn ends the list for now.
        if ctx.effects.has(Effect::RESCHEDULE) && index.wrapping_add(1) != count {
            return Err(Stop::Again([at.0.wrapping_add(ENTRY), count.wrapping_sub(index).wrapping_sub(1), 0, 0, 0, 0]));
        }
        index = index.wrapping_add(1);
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_continuation_leaves_registers_alone_that_are_no_arguments() {
        let before = [20, 2, 3, 4, 5, 6];
        let stop = Stop::Again([20, 34, 1, 0, 0, 0]);
        assert_eq!(
            own_arguments(stop, arity(__HYPERVISOR_grant_table_op.into()), before),
            Stop::Again([20, 34, 1, 4, 5, 6])
        );
        assert_eq!(
            own_arguments(stop, arity(__HYPERVISOR_memory_op.into()), before),
            Stop::Again([20, 34, 3, 4, 5, 6])
        );
        assert_eq!(own_arguments(Stop::Err(Errno::EPERM), 2, before), Stop::Err(Errno::EPERM));
    }

    #[test]
    fn every_call_that_can_be_continued_has_as_many_arguments_as_in_xen() {
        // xen/include/hypercall-defs.c.
        for (number, arguments) in [
            (__HYPERVISOR_set_trap_table, 1),
            (__HYPERVISOR_sysctl, 1),
            (__HYPERVISOR_domctl, 1),
            (__HYPERVISOR_platform_op, 1),
            (__HYPERVISOR_memory_op, 2),
            (__HYPERVISOR_set_gdt, 2),
            (__HYPERVISOR_event_channel_op, 2),
            (__HYPERVISOR_physdev_op, 2),
            (__HYPERVISOR_sched_op, 2),
            (__HYPERVISOR_multicall, 2),
            (__HYPERVISOR_grant_table_op, 3),
            (__HYPERVISOR_update_va_mapping, 3),
            (__HYPERVISOR_console_io, 3),
            (__HYPERVISOR_vcpu_op, 3),
            (__HYPERVISOR_mmu_update, 4),
            (__HYPERVISOR_mmuext_op, 4),
            (__HYPERVISOR_update_va_mapping_otherdomain, 4),
        ] {
            let next = own_arguments(Stop::Again([9; 6]), arity(number.into()), [1, 2, 3, 4, 5, 6]);
            let expected = core::array::from_fn(|n| if n < arguments { 9 } else { n as u64 + 1 });
            assert_eq!(next, Stop::Again(expected), "{number}");
        }
    }
}
