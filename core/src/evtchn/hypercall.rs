//! HYPERVISOR_event_channel_op: arguments in, the operation, results and effects out.
#![allow(non_upper_case_globals, reason = "the ABI's names stand in patterns")]

use super::bind::{alloc_unbound, bind_interdomain, bind_ipi, bind_pirq, bind_vcpu, bind_virq, set_priority, unmask};
use super::close::close;
use super::fifo::control::{Held, expand_array, init_control};
use super::notify::Notify;
use super::reset::{Progress, reset};
use super::status::status;
use crate::access;
use crate::addr::{Mfn, Vaddr};
use crate::ctx::Ctx;
use crate::domain::{DomId, Domain};
use crate::hypercall::Stop;
use crate::paging::{get_writable, put_writable};
use crate::platform::Platform;
use core::sync::atomic::Ordering;
use xen_abi::Errno;
use xen_abi::event_channel::*;

/// What the interrupt layer must do for a domain's pirq.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PirqEffect {
    /// Check the domain's right to it, then route it to the domain. If that fails: `close(port)`, and the guest gets the error.
    Bind {
        /// The domain's number for it.
        pirq: u32,
        /// Other domains may have it too (BIND_PIRQ__WILL_SHARE).
        will_share: bool,
        /// The port that was made for it.
        port: u32,
    },
    /// Take it from the domain.
    Unbind {
        /// The domain's number for it.
        pirq: u32,
    },
    /// It should arrive where this vcpu runs.
    Affinity {
        /// The domain's number for it.
        pirq: u32,
        /// The vcpu.
        vcpu: u32,
    },
}

/// What is to be done after the operation, which succeeded as far as the guest sees.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// Vcpus to wake.
    pub notify: Notify,
    /// An interrupt of the calling domain (for EVTCHNOP_reset: of `reset`).
    pub pirq: Option<PirqEffect>,
    /// Whose interrupt, if not the caller's.
    pub pirq_of: Option<DomId>,
    /// Not finished: perform the effects, then make the same hypercall again (preempt as for `Stop::Again`).
    pub again: bool,
}

impl From<Notify> for Outcome {
    fn from(notify: Notify) -> Outcome {
        Outcome { notify, ..Outcome::default() }
    }
}

/// Takes a frame of the caller's for the FIFO layout. `EAGAIN`: interrupted, the guest tries again.
fn hold<P: Platform>(ctx: &mut Ctx<'_, P>, frame: u64) -> Result<Held, Errno> {
    let own = ctx.dom;
    match get_writable(ctx, own, Mfn(frame), true).map_err(|error| error.unfit().errno())? {
        (frame, Some(used)) => Ok((frame, used)),
        (frame, None) => {
            put_writable(ctx, frame, None);
            Err(Errno::EINVAL)
        }
    }
}

/// Writes the argument with its results back; if that fails, the port that was made is closed again.
fn give_back<P: Platform, T: zerocopy::IntoBytes + zerocopy::Immutable>(
    ctx: &Ctx<'_, P>,
    at: Vaddr,
    value: &T,
    dom: &Domain<P>,
    port: u32,
) -> Result<(), Stop> {
    ctx.write(at, value).inspect_err(|_| {
        let _ = close(ctx.hv, dom, port);
    })
}

/// `event_channel_op(cmd, arg)`, but for EVTCHNOP_send, which the dispatcher makes by a short way.
pub fn event_channel_op<P: Platform>(ctx: &mut Ctx<'_, P>, cmd: u32, arg: Vaddr) -> Result<Outcome, Stop> {
    let (hv, own) = (ctx.hv, ctx.dom);
    match cmd {
        EVTCHNOP_alloc_unbound => {
            let mut op: EvtchnAllocUnbound = ctx.read(arg)?;
            let dom = access::target(ctx, DomId(op.dom))?;
            let remote = if op.remote_dom == DomId::SELF.0 { own.id } else { DomId(op.remote_dom) };
            op.port = alloc_unbound(hv, &dom, remote)?;
            give_back(ctx, arg, &op, &dom, op.port)?;
        }
        EVTCHNOP_bind_interdomain => {
            let mut op: EvtchnBindInterdomain = ctx.read(arg)?;
            let remote = hv.find(own, op.remote_dom).ok_or(Errno::ESRCH)?;
            let (port, notify) = bind_interdomain(hv, own, &remote, op.remote_port)?;
            op.local_port = port;
            give_back(ctx, arg, &op, own, port)?;
            return Ok(notify.into());
        }
        EVTCHNOP_bind_virq => {
            let mut op: EvtchnBindVirq = ctx.read(arg)?;
            op.port = bind_virq(hv, own, op.virq, op.vcpu)?;
            give_back(ctx, arg, &op, own, op.port)?;
        }
        EVTCHNOP_bind_ipi => {
            let mut op: EvtchnBindIpi = ctx.read(arg)?;
            op.port = bind_ipi(hv, own, op.vcpu)?;
            give_back(ctx, arg, &op, own, op.port)?;
        }
        EVTCHNOP_bind_pirq => {
            let mut op: EvtchnBindPirq = ctx.read(arg)?;
            let (port, effect) = bind_pirq(hv, own, op.pirq, op.flags & BIND_PIRQ__WILL_SHARE != 0)?;
            op.port = port;
            give_back(ctx, arg, &op, own, port)?;
            return Ok(Outcome { pirq: Some(effect), ..Outcome::default() });
        }
        EVTCHNOP_close => {
            let op: EvtchnClose = ctx.read(arg)?;
            return Ok(Outcome { pirq: close(hv, own, op.port)?, ..Outcome::default() });
        }
        EVTCHNOP_status => {
            let mut op: EvtchnStatus = ctx.read(arg)?;
            let found = status(&*access::target(ctx, DomId(op.dom))?, op.port)?;
            op.encode(found.binding);
            op.vcpu = found.vcpu;
            ctx.write(arg, &op)?;
        }
        EVTCHNOP_bind_vcpu => {
            let op: EvtchnBindVcpu = ctx.read(arg)?;
            return Ok(Outcome { pirq: bind_vcpu(own, op.port, op.vcpu)?, ..Outcome::default() });
        }
        EVTCHNOP_unmask => {
            let op: EvtchnUnmask = ctx.read(arg)?;
            return Ok(unmask(hv, own, op.port)?.into());
        }
        EVTCHNOP_reset => {
            let op: EvtchnReset = ctx.read(arg)?;
            let dom = access::target(ctx, DomId(op.dom))?;
            // Another domain's vcpus must not bind while its ports are closed.
            if !dom.is_self() && dom.pause_count.load(Ordering::SeqCst) == 0 {
                return Err(Errno::EINVAL.into());
            }
            let pirq_of = Some(dom.id);
            return Ok(match reset(hv, &dom, || ctx.preempt_pending())? {
                Progress::Done => Outcome::default(),
                Progress::Preempted => Outcome { again: true, ..Outcome::default() },
                Progress::Pirq(effect) => Outcome { pirq: Some(effect), pirq_of, again: true, ..Outcome::default() },
            });
        }
        EVTCHNOP_init_control => {
            let mut op: EvtchnInitControl = ctx.read(arg)?;
            op.link_bits = init_control(hv, own, op.vcpu, op.offset, || hold(ctx, op.control_gfn))?;
            ctx.write(arg, &op)?;
        }
        EVTCHNOP_expand_array => {
            let op: EvtchnExpandArray = ctx.read(arg)?;
            return Ok(expand_array(hv, own, || hold(ctx, op.array_gfn))?.into());
        }
        EVTCHNOP_set_priority => {
            let op: EvtchnSetPriority = ctx.read(arg)?;
            set_priority(own, op.port, op.priority)?;
        }
        _ => return Err(Stop::Err(Errno::ENOSYS)),
    }
    Ok(Outcome::default())
}

/// `event_channel_op_compat(op)`: the command stands before its argument.
pub fn event_channel_op_compat<P: Platform>(ctx: &mut Ctx<'_, P>, arg: Vaddr) -> Result<Outcome, Stop> {
    let cmd: u32 = ctx.read(arg)?;
    if cmd > EVTCHNOP_unmask {
        return Err(Stop::Err(Errno::ENOSYS));
    }
    event_channel_op(ctx, cmd, Vaddr(arg.0.wrapping_add(4)))
}
