//! `HYPERVISOR_sched_op`, `HYPERVISOR_set_timer_op` (sched.h).

use super::{HypercallResult, Stop};
use crate::addr::Vaddr;
use crate::cpu::CpuId;
use crate::ctx::{Ctx, Effect};
use crate::domain::DomId;
use crate::evtchn::{self, POLL_ANY};
use crate::platform::Platform;
use crate::sched::{BLOCKED, Scheduler};
use crate::time::{Timer, TimerKind};
use core::sync::atomic::Ordering;
use xen_abi::Errno;
use xen_abi::sched::*;

/// The most ports of one SCHEDOP_poll.
const MAX_POLL: u32 = 128;

/// `sched_op(cmd, arg)`.
///
/// # Errors
/// `EFAULT`, `EINVAL`, `ENOSYS` as sched.h says.
pub fn sched_op<P: Platform>(ctx: &mut Ctx<'_, P>, cmd: u32, arg: Vaddr) -> HypercallResult {
    match cmd {
        SCHEDOP_yield => {
            ctx.hv.sched.yield_now(ctx.vcpu, ctx.platform().now());
            ctx.effects.add(Effect::RESCHEDULE);
            Ok(0)
        }
        SCHEDOP_block => {
            block(ctx);
            Ok(0)
        }
        SCHEDOP_shutdown => {
            let op: SchedShutdown = ctx.read(arg)?;
            ctx.hv.shutdown(ctx.dom, (op.reason & 0xff) as u8);
            ctx.effects.add(Effect::SHUTDOWN);
            ctx.effects.add(Effect::RESCHEDULE);
            Ok(0)
        }
        SCHEDOP_shutdown_code => Ok(0),
        SCHEDOP_poll => poll(ctx, arg),
        SCHEDOP_watchdog => watchdog(ctx, arg),
        SCHEDOP_pin_override => {
            if !ctx.dom.privileged {
                return Err(Errno::EPERM.into());
            }
            let op: SchedPinOverride = ctx.read(arg)?;
            // A vcpu cannot be pinned for a while; there is no pin to take back, either.
            let there = u16::try_from(op.pcpu).is_ok_and(|cpu| ctx.platform().online().has(CpuId(cpu)));
            Err(if there { Errno::EOPNOTSUPP } else { Errno::EINVAL }.into())
        }
        SCHEDOP_remote_shutdown => {
            let op: SchedRemoteShutdown = ctx.read(arg)?;
            if !ctx.dom.privileged {
                return Err(Errno::EPERM.into());
            }
            let dom = ctx.hv.domains.get(DomId(op.domain_id)).ok_or(Errno::ESRCH)?;
            ctx.hv.shutdown(&dom, (op.reason & 0xff) as u8);
            Ok(0)
        }
        _ => Err(Errno::ENOSYS.into()),
    }
}

/// The old `sched_op_compat`: yield, block, shutdown with the reason as argument.
pub(super) fn sched_op_compat<P: Platform>(ctx: &mut Ctx<'_, P>, cmd: u32, arg: u64) -> HypercallResult {
    match cmd {
        SCHEDOP_shutdown => {
            ctx.hv.shutdown(ctx.dom, (arg & 0xff) as u8);
            ctx.effects.add(Effect::SHUTDOWN);
            ctx.effects.add(Effect::RESCHEDULE);
            Ok(0)
        }
        SCHEDOP_yield | SCHEDOP_block => sched_op(ctx, cmd, Vaddr(0)),
        _ => Err(Errno::ENOSYS.into()),
    }
}

/// Unmasks events and, unless one is pending, sleeps until one is.
pub fn block<P: Platform>(ctx: &mut Ctx<'_, P>) {
    let info = ctx.vcpu.info();
    let page = ctx.hv.platform.page(info.mfn());
    page.store_u8(info.offset().wrapping_add(1), 0);
    ctx.vcpu.sched.set(BLOCKED);
    // An event that comes after this look finds BLOCKED set, and clears it.
    if page.load_u8(info.offset()) != 0 {
        ctx.vcpu.sched.clear(BLOCKED);
    } else {
        ctx.effects.add(Effect::RESCHEDULE);
    }
}

fn poll<P: Platform>(ctx: &mut Ctx<'_, P>, arg: Vaddr) -> HypercallResult {
    let op: SchedPoll = ctx.read(arg)?;
    if op.nr_ports > MAX_POLL {
        return Err(Errno::EINVAL.into());
    }
    let port_at = |index: u32| -> Result<u32, Stop> {
        ctx.read(Vaddr(op.ports.addr().wrapping_add(u64::from(index).wrapping_mul(4))))
    };
    let first = match op.nr_ports {
        1 => port_at(0)?,
        _ => POLL_ANY,
    };
    ctx.vcpu.sched.set(BLOCKED);
    if op.nr_ports != 0 {
        evtchn::poll_start(ctx.dom, ctx.vcpu, first);
    }
    // A wake-up from now on is not lost. Is one of the ports pending already, or an event that is not masked?
    let info = ctx.vcpu.info();
    let page = ctx.hv.platform.page(info.mfn());
    let mut awake = page.load_u8(info.offset()) != 0 && page.load_u8(info.offset().wrapping_add(1)) == 0;
    let mut result = Ok(0);
    for index in 0..op.nr_ports {
        let pending = port_at(index).and_then(|port| evtchn::is_pending(ctx.hv, ctx.dom, port).map_err(Stop::from));
        match pending {
            Ok(pending) => awake |= pending,
            Err(stop) => {
                result = Err(stop);
                awake = true;
                break;
            }
        }
    }
    if awake || (op.timeout != 0 && op.timeout <= ctx.platform().now()) {
        evtchn::poll_stop(ctx.dom, ctx.vcpu);
        ctx.vcpu.sched.clear(BLOCKED);
        return result;
    }
    if op.timeout != 0 {
        set_timer(ctx, TimerKind::Poll, ctx.vcpu.id, op.timeout);
    }
    ctx.effects.add(Effect::RESCHEDULE);
    Ok(0)
}

fn watchdog<P: Platform>(ctx: &mut Ctx<'_, P>, arg: Vaddr) -> HypercallResult {
    let op: SchedWatchdog = ctx.read(arg)?;
    let bit = |id: u32| 1u32.checked_shl(id.wrapping_sub(1)).filter(|_| (1..=2).contains(&id));
    let id = match op.id {
        0 if op.timeout == 0 => return Err(Errno::EINVAL.into()),
        0 => {
            let taken = ctx.dom.watchdogs.load(Ordering::Relaxed);
            (1..=2).find(|&id| bit(id).is_some_and(|bit| taken & bit == 0)).ok_or(Errno::ENOSPC)?
        }
        id => id,
    };
    let mask = bit(id).ok_or(Errno::EINVAL)?;
    let before = ctx.dom.watchdogs.fetch_or(mask, Ordering::SeqCst);
    if op.id == 0 && before & mask != 0 {
        return Err(Errno::EBUSY.into());
    }
    if op.id != 0 && before & mask == 0 {
        ctx.dom.watchdogs.fetch_and(!mask, Ordering::SeqCst);
        return Err(Errno::EINVAL.into());
    }
    // A domain feeds its watchdog on whichever CPU it runs.
    ctx.hv.all_timers().iter().for_each(|timers| timers.cancel(ctx.dom.id, id, TimerKind::Watchdog));
    if op.timeout == 0 {
        ctx.dom.watchdogs.fetch_and(!mask, Ordering::SeqCst);
    } else {
        let at = ctx.platform().now().saturating_add(u64::from(op.timeout).saturating_mul(1_000_000_000));
        queue(ctx, Timer { at, domid: ctx.dom.id, vcpu: id, kind: TimerKind::Watchdog });
    }
    Ok(if op.id == 0 { id.into() } else { 0 })
}

/// `HYPERVISOR_set_timer_op`: the one-shot timer, by absolute system time; 0 stops it.
pub(super) fn set_timer_op<P: Platform>(ctx: &mut Ctx<'_, P>, at: u64) -> HypercallResult {
    if at == 0 {
        cancel_timer(ctx, TimerKind::OneShot, ctx.vcpu.id);
    } else {
        set_timer(ctx, TimerKind::OneShot, ctx.vcpu.id, at);
    }
    Ok(0)
}

/// Sets a timer of one of the calling domain's vcpus in this CPU's queue, and takes it out of another one's.
pub(super) fn set_timer<P: Platform>(ctx: &mut Ctx<'_, P>, kind: TimerKind, vcpu: u32, at: u64) {
    let timer = Timer { at, domid: ctx.dom.id, vcpu, kind };
    let here = u32::from(ctx.cpu.0).saturating_add(1);
    if let Some(slot) = ctx.dom.vcpu(vcpu).and_then(|vcpu| vcpu.timers.queue.get(kind as usize)) {
        let before = slot.swap(here, Ordering::Relaxed);
        if before != here
            && let Some(queue) = before.checked_sub(1).and_then(|cpu| ctx.hv.all_timers().get(cpu as usize))
        {
            queue.cancel(timer.domid, vcpu, kind);
        }
    }
    queue(ctx, timer);
}

/// Puts a timer into this CPU's queue.
fn queue<P: Platform>(ctx: &mut Ctx<'_, P>, timer: Timer) {
    if ctx.hv.timers(ctx.cpu).is_some_and(|timers| timers.set(timer)) {
        ctx.effects.add(Effect::PROGRAM_TIMER);
    }
}

/// Stops a timer of one of the calling domain's vcpus, wherever it is kept.
pub(super) fn cancel_timer<P: Platform>(ctx: &mut Ctx<'_, P>, kind: TimerKind, vcpu: u32) {
    let queue = ctx
        .dom
        .vcpu(vcpu)
        .and_then(|vcpu| vcpu.timers.queue.get(kind as usize))
        .and_then(|slot| slot.swap(0, Ordering::Relaxed).checked_sub(1));
    if let Some(timers) = queue.and_then(|cpu| ctx.hv.all_timers().get(cpu as usize)) {
        timers.cancel(ctx.dom.id, vcpu, kind);
    }
}
