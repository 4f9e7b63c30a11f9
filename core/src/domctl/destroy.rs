//! XEN_DOMCTL_destroydomain: the end of a domain, in stages that each can be interrupted.

use super::state::Stage;
use super::{On, as_domain, create, not_itself};
use crate::addr::{Maddr, Mfn};
use crate::ctx::Ctx;
use crate::domain::Domain;
use crate::evtchn::{self, Progress};
use crate::frame::{FrameRef, FrameType, TypeRef};
use crate::grant::Teardown;
use crate::hypercall::Stop;
use crate::paging;
use crate::physdev::{self, InterruptMachine};
use crate::platform::Platform;
use crate::sched::PAUSED;
use core::sync::atomic::Ordering;
use xen_abi::Errno;
use xen_abi::xen::VIRQ_DOM_EXC;

/// What is done is remembered in the domain; who comes second (or again) goes on from there.
pub(super) fn destroy<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    machine: &mut impl InterruptMachine,
    on: &On<'_, P>,
) -> Result<(), Stop> {
    let dom = on.dom;
    not_itself(ctx, dom)?;
    if dom.privileged {
        return Err(Errno::EINVAL.into());
    }
    // Two at a time would only wait for each other.
    let Some(mut stage) = dom.toolstack.stage.try_lock() else { return Err(on.again()) };
    loop {
        *stage = match *stage {
            Stage::Alive => {
                dom.dying.store(true, Ordering::SeqCst);
                // For ever: nothing counts this pause down.
                ctx.hv.pause(dom);
                machine.notify(evtchn::send_global_virq(ctx.hv, VIRQ_DOM_EXC));
                Stage::Stopping
            }
            Stage::Stopping => {
                for vcpu in dom.vcpus() {
                    // One that was made meanwhile.
                    vcpu.sched.set(PAUSED);
                    if vcpu.sched.running_on().is_some() {
                        ctx.hv.stop_running(vcpu);
                        return Err(on.again());
                    }
                }
                ctx.hv.all_timers().iter().for_each(|timers| timers.cancel_domain(dom.id));
                Stage::Events
            }
            Stage::Events => match evtchn::close_all(ctx.hv, dom, || ctx.hv.platform.preempt_pending(ctx.cpu)) {
                Progress::Done => {
                    physdev::unmap_all(ctx.hv, dom, machine);
                    Stage::Grants
                }
                Progress::Preempted => return Err(on.again()),
                Progress::Pirq(effect) => {
                    // Taking an interrupt away cannot fail.
                    let _ = physdev::pirq(ctx.hv, dom, machine, effect);
                    Stage::Events
                }
            },
            Stage::Grants => match dom.grants.release_mappings(ctx.hv, || ctx.hv.platform.preempt_pending(ctx.cpu)) {
                Teardown::Preempted => return Err(on.again()),
                Teardown::Done => {
                    release_pages(ctx, dom);
                    Stage::Memory(0)
                }
            },
            Stage::Memory(mut at) => {
                let done = as_domain(ctx, dom, |ctx| paging::relinquish_memory(ctx, dom, &mut at));
                if done.is_err() {
                    *stage = Stage::Memory(at);
                    return Err(on.again());
                }
                dom.grants.close(ctx.hv, dom);
                let shared = Mfn(dom.shared_info.swap(0, Ordering::SeqCst));
                if shared.0 != 0 {
                    create::release_shared_info(ctx.hv, dom, shared);
                }
                // Cannot fail: a claim of nothing.
                let owned = dom.pages.total.load(Ordering::Relaxed);
                let _ = ctx.hv.heap.claim(&dom.pages.claim, owned, u64::MAX, 0);
                ctx.hv.virq_handlers.forget(dom.id);
                dom.toolstack.dead.store(true, Ordering::SeqCst);
                Stage::Dead
            }
            Stage::Dead => {
                drop(stage);
                ctx.hv.bury(dom);
                machine.notify(evtchn::send_global_virq(ctx.hv, VIRQ_DOM_EXC));
                return Ok(());
            }
        };
        if ctx.preempt_pending() {
            return Err(on.again());
        }
    }
}

/// Pages that vcpus and interrupts hold.
fn release_pages<P: Platform>(ctx: &mut Ctx<'_, P>, dom: &Domain<P>) {
    as_domain(ctx, dom, |ctx| {
        physdev::release_eoi_page(ctx, dom);
        for vcpu in dom.vcpus() {
            vcpu.set_info(Maddr(0));
            let held = Mfn(vcpu.info_frame.swap(0, Ordering::SeqCst));
            if held.0 != 0 {
                let used = TypeRef::restore(held, FrameType::Writable);
                paging::put_writable(ctx, FrameRef::restore(held), Some(used));
            }
        }
    });
}
