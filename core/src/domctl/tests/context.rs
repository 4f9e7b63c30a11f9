//! What a toolstack may give a vcpu to start with.

use super::*;

/// Gives vcpu 1 the context of vcpu 0, with a change.
fn start(world: &TestWorld, id: u16, change: impl FnOnce(&mut VcpuGuestContext)) -> Result<(), Errno> {
    let mut c: VcpuGuestContext = world.platform().peek(CONTEXT);
    change(&mut c);
    world.platform().poke(BUFFER, &c);
    let arg = XenDomctlVcpucontext { vcpu: 1, ctxt: GuestPtr::new(BUFFER), ..Default::default() };
    call(world, XEN_DOMCTL_setvcpucontext, id, arg).map(|_| ())
}

fn shown(world: &TestWorld, id: u16) -> VcpuGuestContext {
    let arg = XenDomctlVcpucontext { vcpu: 1, ctxt: GuestPtr::new(BUFFER), ..Default::default() };
    call(world, XEN_DOMCTL_getvcpucontext, id, arg).unwrap();
    world.platform().peek(BUFFER)
}

#[test]
fn each_address_of_a_context_is_looked_at() {
    // The first of the hypervisor's own, and one that is none.
    const OURS: u64 = 0xffff_8000_0000_0000;
    const NONE: u64 = 1 << 47;
    let entries: [fn(&mut VcpuGuestContext) -> &mut u64; 4] = [
        |c| &mut c.event_callback_eip,
        |c| &mut c.failsafe_callback_eip,
        |c| &mut c.syscall_callback_eip,
        |c| &mut c.kernel_sp,
    ];
    let bases: [fn(&mut VcpuGuestContext) -> &mut u64; 3] =
        [|c| &mut c.fs_base, |c| &mut c.gs_base_kernel, |c| &mut c.gs_base_user];
    let world = world();
    let (id, _) = built(&world);
    for field in entries {
        assert_eq!(start(&world, id, |c| *field(c) = OURS), Err(Errno::EINVAL));
    }
    for field in entries.into_iter().chain(bases) {
        assert_eq!(start(&world, id, |c| *field(c) = NONE), Err(Errno::EINVAL));
    }
    assert_eq!(start(&world, id, |c| bases.iter().for_each(|field| *field(c) = OURS)), Ok(()));
}

#[test]
fn a_vcpu_is_up_when_its_context_says_so() {
    let world = world();
    let (id, _) = built(&world);
    let up = || world.dom(id).vcpu(1).unwrap().sched.flags() & UP != 0;
    // The first one is its whole state, the others change its registers.
    for flags in [0, VGCF_online, VGCF_in_kernel, VGCF_in_kernel | VGCF_online] {
        start(&world, id, |c| c.flags = flags).unwrap();
        assert_eq!(up(), flags & VGCF_online != 0);
        let shown = shown(&world, id);
        assert_eq!(shown.flags & VGCF_online, flags & VGCF_online, "{flags}");
        assert_eq!(shown.ctrlreg[0], 1 << 31 | 1, "paging and protection, not: task switched");
    }
}

#[test]
fn a_vcpu_is_given_its_state_by_another_of_its_domain_once() {
    use crate::hypercall::vcpu_op;
    use crate::sched::INITIALISED;
    use xen_abi::vcpu::{VCPUOP_initialise, VCPUOP_up};
    let world = world();
    let (id, frames) = built(&world);
    let dom = world.dom(id);
    let vcpu = dom.vcpu(1).unwrap();
    let op = |cmd| world.call(id, |ctx| vcpu_op(ctx, cmd, 1, Vaddr(CONTEXT))).0;
    assert_eq!(op(VCPUOP_initialise), Ok(0));
    assert_eq!(vcpu.sched.flags() & (INITIALISED | UP), INITIALISED);
    let told = |saved: &crate::domain::Saved| (saved.regs.rbx, saved.pv.kernel_root);
    assert_eq!(told(&vcpu.saved.lock()), (42, frames[0].maddr()));
    assert_eq!(op(VCPUOP_initialise), Err(Stop::Err(Errno::EEXIST)));
    assert_eq!((op(VCPUOP_up), vcpu.sched.flags() & UP), (Ok(0), UP));
}
