//! `HYPERVISOR_vcpu_op` (vcpu.h).

use super::sched_op::{cancel_timer, set_timer};
use super::{HypercallResult, Stop};
use crate::addr::{Gfn, Maddr, Mfn, PAGE_SIZE, Vaddr};
use crate::ctx::{Ctx, Effect};
use crate::domain::{Vcpu, context};
use crate::evtchn;
use crate::paging;
use crate::platform::Platform;
use crate::sched::{INITIALISED, UP};
use crate::time::TimerKind;
use core::sync::atomic::Ordering;
use ferroxen_sync::Shared;
use xen_abi::Errno;
use xen_abi::arch_x86::VcpuGuestContext;
use xen_abi::vcpu::*;
use xen_abi::xen::VcpuInfo;

/// The shortest period of a periodic timer, in nanoseconds.
const MIN_PERIOD: u64 = 1_000_000;
/// The longest: twice of it can still be added to a time.
const MAX_PERIOD: u64 = u64::MAX >> 2;

/// `vcpu_op(cmd, vcpu, arg)`.
///
/// # Errors
/// As vcpu.h says; `ENOENT` for a vcpu that does not exist.
pub fn vcpu_op<P: Platform>(ctx: &mut Ctx<'_, P>, cmd: u32, id: u32, arg: Vaddr) -> HypercallResult {
    let dom = ctx.dom;
    let target = dom.vcpu(id).ok_or(Errno::ENOENT)?;
    let own = target.id == ctx.vcpu.id;
    match cmd {
        VCPUOP_initialise => {
            // The size is that of the whole context: it is copied before any lock is taken.
            let wanted: VcpuGuestContext = ctx.read(arg)?;
            if target.info().0 == 0 {
                return Err(Errno::EINVAL.into());
            }
            if target.sched.flags() & INITIALISED != 0 {
                return Err(Errno::EEXIST.into());
            }
            context::load(ctx, target, &wanted)?;
            Ok(0)
        }
        VCPUOP_up => {
            if target.sched.flags() & INITIALISED == 0 {
                return Err(Errno::EINVAL.into());
            }
            if target.sched.set(UP) & UP == 0 {
                ctx.hv.enqueue(target);
            }
            Ok(0)
        }
        VCPUOP_down => {
            // The last one that is up may not go down: that is a shutdown.
            if !dom.vcpus().any(|other| other.id != id && other.sched.flags() & UP != 0) {
                ctx.hv.shutdown(dom, xen_abi::sched::SHUTDOWN_poweroff as u8);
                ctx.effects.add(Effect::SHUTDOWN);
                ctx.effects.add(Effect::RESCHEDULE);
                return Ok(0);
            }
            target.sched.clear(UP);
            if own {
                ctx.effects.add(Effect::RESCHEDULE);
            } else {
                ctx.hv.stop_running(target);
            }
            Ok(0)
        }
        VCPUOP_is_up => Ok(u64::from(target.sched.flags() & UP != 0)),
        VCPUOP_get_runstate_info => {
            let snapshot = target.runstate.snapshot(ctx.platform().now());
            ctx.write(arg, &snapshot)?;
            Ok(0)
        }
        VCPUOP_register_runstate_memory_area => {
            let area: u64 = ctx.read(arg)?;
            if !Vaddr(area).is_guest() {
                return Err(Errno::EFAULT.into());
            }
            target.runstate.area.store(area, Ordering::Release);
            if own && area != 0 {
                let snapshot = target.runstate.snapshot(ctx.platform().now());
                let _ = ctx.write(Vaddr(area), &snapshot);
            }
            Ok(0)
        }
        VCPUOP_register_vcpu_time_memory_area => {
            let area: u64 = ctx.read(arg)?;
            if !Vaddr(area).is_guest() {
                return Err(Errno::EFAULT.into());
            }
            target.time_area.store(area, Ordering::Release);
            ctx.effects.add(Effect::UPDATE_TIME);
            Ok(0)
        }
        VCPUOP_set_periodic_timer => {
            let op: VcpuSetPeriodicTimer = ctx.read(arg)?;
            if op.period_ns < MIN_PERIOD || op.period_ns > MAX_PERIOD {
                return Err(Errno::EINVAL.into());
            }
            target.timers.period.store(op.period_ns, Ordering::Relaxed);
            let at = ctx.platform().now().saturating_add(op.period_ns);
            set_timer(ctx, TimerKind::Periodic, id, at);
            Ok(0)
        }
        VCPUOP_stop_periodic_timer => {
            target.timers.period.store(0, Ordering::Relaxed);
            cancel_timer(ctx, TimerKind::Periodic, id);
            Ok(0)
        }
        VCPUOP_set_singleshot_timer => {
            if !own {
                return Err(Errno::EINVAL.into());
            }
            let op: VcpuSetSingleshotTimer = ctx.read(arg)?;
            // The header promises -ETIME to a caller that sets VCPU_SSHOTTMR_future and is late. Xen 4.17 lets its timer
            // fire at once like any other, and so do we: guests/evtchn checks it on both.
            set_timer(ctx, TimerKind::OneShot, id, op.timeout_abs_ns);
            Ok(0)
        }
        VCPUOP_stop_singleshot_timer => {
            if !own {
                return Err(Errno::EINVAL.into());
            }
            cancel_timer(ctx, TimerKind::OneShot, id);
            Ok(0)
        }
        VCPUOP_register_vcpu_info => {
            let op: VcpuRegisterVcpuInfo = ctx.read(arg)?;
            register_info(ctx, target, own, Gfn(op.mfn), op.offset)
        }
        VCPUOP_get_physid => {
            // Only a vcpu that is pinned to one CPU, of the domain that drives the hardware, has one.
            Err(Errno::EINVAL.into())
        }
        VCPUOP_send_nmi => {
            ctx.hv.send_nmi(target);
            Ok(0)
        }
        _ => Err(Errno::ENOSYS.into()),
    }
}

fn register_info<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    target: &Shared<Vcpu<P>>,
    own: bool,
    gfn: Gfn,
    offset: u32,
) -> HypercallResult {
    const SIZE: u64 = size_of::<VcpuInfo>() as u64;
    if u64::from(offset) > PAGE_SIZE - SIZE || !offset.is_multiple_of(8) {
        return Err(Errno::ENXIO.into());
    }
    // Once only; and the record of a vcpu that runs elsewhere cannot be moved under it.
    if target.info_frame.load(Ordering::Acquire) != 0 || (!own && target.sched.flags() & UP != 0) {
        return Err(Errno::EINVAL.into());
    }
    let dom = ctx.dom;
    let (frame, used) =
        paging::get_writable(ctx, dom, Mfn(gfn.0), true).map_err(|error| Stop::Err(error.unfit().errno()))?;
    let mfn = frame.mfn();
    if target.info_frame.compare_exchange(0, mfn.0, Ordering::SeqCst, Ordering::Relaxed).is_err() {
        paging::put_writable(ctx, frame, used);
        return Err(Errno::EINVAL.into());
    }
    // The vcpu holds both from now on; its teardown gives them back.
    frame.store();
    used.map(|used| used.store());
    let old = target.info();
    let new = Maddr(mfn.maddr().0 | u64::from(offset));
    let platform = ctx.platform();
    let page = platform.page(mfn);
    if old.0 != 0 {
        let mut bytes = [0; SIZE as usize];
        platform.page(old.mfn()).read(old.offset(), &mut bytes);
        page.write(new.offset(), &bytes);
    }
    target.set_info(new);
    // The guest looks at every event again: one may have been set in the old place meanwhile.
    page.store_u64(new.offset().wrapping_add(core::mem::offset_of!(VcpuInfo, evtchn_pending_sel)), u64::MAX);
    evtchn::mark_upcall_pending(platform, target);
    if own {
        ctx.pv.vcpu_info = new;
        ctx.effects.add(Effect::REFRESH_INFO);
    }
    ctx.effects.add(Effect::UPDATE_TIME);
    Ok(0)
}
