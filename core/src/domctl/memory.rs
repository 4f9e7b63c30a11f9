//! A domain's frames: the hypercall page, what frames are used as, log-dirty.

use super::{On, as_domain};
use crate::addr::{Mfn, Vaddr};
use crate::ctx::Ctx;
use crate::domain::Domain;
use crate::frame::FrameType;
use crate::hypercall::Stop;
use crate::paging;
use crate::platform::Platform;
use crate::sysctl::SystemMachine;
use xen_abi::Errno;
use xen_abi::domctl::*;
use xen_abi::member;

/// The most frames of one XEN_DOMCTL_getpageframeinfo3.
const MOST_FRAMES: u64 = 1024;

/// Writes the hypercall page into a plain frame of the domain's.
pub(super) fn hypercall_page<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    machine: &impl SystemMachine,
    dom: &Domain<P>,
    arg: &XenDomctlHypercallInit,
) -> Result<(), Stop> {
    as_domain(ctx, dom, |ctx| {
        let held = paging::get_writable(ctx, dom, Mfn(arg.gmfn), true);
        let (frame, used) = held.map_err(|error| Stop::Err(error.errno()))?;
        ctx.platform().page(frame.mfn()).write(0, &machine.hypercall_page());
        paging::put_writable(ctx, frame, used);
        Ok(())
    })
}

/// What frames are: the list of numbers is replaced by XEN_DOMCTL_PFINFO_*.
pub(super) fn frame_info<P: Platform>(
    ctx: &mut Ctx<'_, P>,
    on: &On<'_, P>,
    arg: &XenDomctlGetpageframeinfo3,
) -> Result<(), Stop> {
    if arg.num > MOST_FRAMES {
        return Err(Errno::E2BIG.into());
    }
    let frames = &ctx.hv.frames;
    for n in 0..arg.num {
        let mfn = Mfn(ctx.read_at(Vaddr(arg.array.addr()), n)?);
        let kind = if frames.owner(mfn) != Some(on.dom.id) || frames.is_shared(mfn) {
            XEN_DOMCTL_PFINFO_XTAB
        } else {
            let table = match frames.type_count(mfn) {
                (_, 0) => XEN_DOMCTL_PFINFO_NOTAB,
                (FrameType::L1, _) => XEN_DOMCTL_PFINFO_L1TAB,
                (FrameType::L2, _) => XEN_DOMCTL_PFINFO_L2TAB,
                (FrameType::L3, _) => XEN_DOMCTL_PFINFO_L3TAB,
                (FrameType::L4, _) => XEN_DOMCTL_PFINFO_L4TAB,
                _ => XEN_DOMCTL_PFINFO_NOTAB,
            };
            if frames.is_pinned(mfn) { table | XEN_DOMCTL_PFINFO_LPINTAB } else { table }
        };
        ctx.write_at(Vaddr(arg.array.addr()), n, &u64::from(kind))?;
    }
    Ok(())
}

/// PV domains run on their own tables and have no log-dirty mode yet.
pub(super) fn shadow(op: &mut XenDomctl) -> Result<(), Stop> {
    let mut arg: XenDomctlShadowOp = member::get(&op.u);
    match arg.op {
        XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION => arg.mb = 0,
        XEN_DOMCTL_SHADOW_OP_OFF => {}
        XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION if arg.mb == 0 => {}
        _ => return Err(Errno::EOPNOTSUPP.into()),
    }
    member::put(&mut op.u, &arg);
    Ok(())
}
