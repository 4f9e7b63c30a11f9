//! What holds of a domain's life in its toolstack's hands.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod context;
mod create;
mod info;
mod life;
mod memory;
mod vcpu;

use super::*;
use crate::addr::{Mfn, PAGE_SIZE};
use crate::cpu::CpuId;
use crate::frame::IoRanges;
use crate::sched::{PAUSED, Scheduler, UP};
use crate::sysctl::tests::TestMachine;
use crate::testing::{CPUS, GUEST_BASE, TestWorld};
use crate::time::RunState;
use std::sync::atomic::Ordering::SeqCst;
use xen_abi::GuestPtr;
use xen_abi::arch_x86::{
    TrapInfo, VGCF_failsafe_disables_events, VGCF_i387_valid, VGCF_in_kernel, VGCF_online, VGCF_syscall_disables_events,
};
use xen_abi::arch_x86::{VcpuGuestContext, XenCpuidLeaf};
use xen_abi::ferroxen::FerroxenVcpuAccount;
use xen_abi::v4_20;
use xen_abi::xen::XenctlBitmap;
use zerocopy::{FromBytes, Immutable, IntoBytes};

const ARG: u64 = GUEST_BASE;
const BUFFER: u64 = GUEST_BASE + 0x1000;
const CONTEXT: u64 = GUEST_BASE + 0x8000;
const RW: u64 = 7;

fn world() -> TestWorld {
    let mut world = TestWorld::new(256, &[(16, 200)]);
    world.hv.frames.io = IoRanges::new(Mfn(0x1000));
    assert!(world.hv.frames.io.restrict(Mfn(0), Mfn(256), false));
    world.hv.lines.init(24).unwrap();
    (0..CPUS as u16).for_each(|cpu| world.hv.sched.add_cpu(CpuId(cpu)));
    world
}

fn op<T: IntoBytes + Immutable>(cmd: u32, domain: u16, arg: T) -> XenDomctl {
    let mut op = XenDomctl { cmd, interface_version: XEN_DOMCTL_INTERFACE_VERSION, domain, ..Default::default() };
    member::put(&mut op.u, &arg);
    op
}

/// Makes the call again as often as it wants; gives its argument afterwards and how often.
fn run(world: &TestWorld, by: u16, op: XenDomctl) -> Result<(XenDomctl, u32), Errno> {
    let mut machine = TestMachine::default();
    world.platform().poke(ARG, &op);
    for again in 0..10_000 {
        match world.call(by, |ctx| domctl(ctx, &mut machine, Vaddr(ARG))).0 {
            Ok(value) => {
                assert_eq!(value, 0);
                return Ok((world.platform().peek(ARG), again));
            }
            Err(Stop::Err(error)) => return Err(error),
            Err(Stop::Again(args)) => assert_eq!(args[0], ARG),
        }
        if world.platform().polls_left.load(SeqCst) == 0 {
            world.platform().polls_left.store(1, SeqCst);
        }
    }
    panic!("it never ends")
}

fn call<T: IntoBytes + Immutable + FromBytes>(world: &TestWorld, cmd: u32, domain: u16, arg: T) -> Result<T, Errno> {
    run(world, 0, op(cmd, domain, arg)).map(|(op, _)| member::get(&op.u))
}

fn wanted() -> XenDomctlCreatedomain {
    XenDomctlCreatedomain {
        handle: *b"0123456789abcdef",
        max_vcpus: 2,
        max_evtchn_port: 1023,
        max_grant_frames: -1,
        max_maptrack_frames: -1,
        grant_opts: 2,
        ..Default::default()
    }
}

fn create(world: &TestWorld) -> u16 {
    let id = run(world, 0, op(XEN_DOMCTL_createdomain, 0, wanted())).unwrap().0.domain;
    call(world, XEN_DOMCTL_max_mem, id, XenDomctlMaxMem { max_memkb: 400 }).unwrap();
    call(world, XEN_DOMCTL_max_vcpus, id, XenDomctlMaxVcpus { max: 2 }).unwrap();
    id
}

/// A domain whose vcpu 0 can run: with a tree of tables, and a frame that is its GDT.
fn built(world: &TestWorld) -> (u16, [Mfn; 6]) {
    built_with(world, |_| {})
}

/// The same with another context.
fn built_with(world: &TestWorld, change: impl FnOnce(&mut VcpuGuestContext)) -> (u16, [Mfn; 6]) {
    let id = create(world);
    let dom = world.dom(id);
    let frames: [Mfn; 6] = core::array::from_fn(|_| world.hv.alloc_for(CpuId(0), &dom, 0, 0, false).unwrap());
    for pair in frames[..4].windows(2) {
        Platform::page(world.platform(), pair[0]).store_u64(0, pair[1].maddr().0 | RW);
    }
    let mut c = VcpuGuestContext {
        flags: xen_abi::arch_x86::VGCF_in_kernel | xen_abi::arch_x86::VGCF_online,
        ..Default::default()
    };
    c.ctrlreg[3] = frames[0].maddr().0;
    c.user_regs.rip = 0xffff_ffff_8100_0000;
    c.user_regs.rsp = 0xffff_ffff_8200_0000;
    c.user_regs.rbx = 42;
    c.user_regs.cs = 0xe033;
    c.user_regs.ss = 0xe02b;
    c.user_regs.rflags = 1 << 9;
    c.kernel_sp = c.user_regs.rsp;
    c.kernel_ss = 0xe02b;
    c.gdt_ents = 512;
    c.gdt_frames[0] = frames[4].0;
    c.trap_ctxt[0] = xen_abi::arch_x86::TrapInfo {
        vector: 14,
        flags: 4,
        cs: 0xe033,
        address: 0xffff_ffff_8100_2000,
        ..Default::default()
    };
    change(&mut c);
    world.platform().poke(CONTEXT, &c);
    let arg = XenDomctlVcpucontext { vcpu: 0, ctxt: GuestPtr::new(CONTEXT), ..Default::default() };
    call(world, XEN_DOMCTL_setvcpucontext, id, arg).unwrap();
    (id, frames)
}

fn info(world: &TestWorld, id: u16) -> Result<XenDomctlGetdomaininfo, Errno> {
    call(world, XEN_DOMCTL_getdomaininfo, id, XenDomctlGetdomaininfo::default())
}

#[test]
fn version_and_privilege_are_checked_first() {
    let world = world();
    let old = XenDomctl { interface_version: 0x14, ..op(XEN_DOMCTL_getdomaininfo, 1, [0u8; 8]) };
    assert_eq!(run(&world, 0, old), Err(Errno::EACCES));
    assert_eq!(run(&world, 1, op(XEN_DOMCTL_getdomaininfo, 1, [0u8; 8])), Err(Errno::EPERM));
    assert_eq!(run(&world, 0, op(XEN_DOMCTL_pausedomain, 7, [0u8; 8])), Err(Errno::ESRCH));
    assert_eq!(run(&world, 0, op(2000, 1, [0u8; 8])), Err(Errno::ENOSYS));
    assert_eq!(run(&world, 0, op(XEN_DOMCTL_assign_device, 1, [0u8; 8])), Err(Errno::ENOSYS));
}

/// The same call as tools of Xen 4.20 make it.
fn of_4_20(op: XenDomctl) -> XenDomctl {
    XenDomctl { interface_version: v4_20::XEN_DOMCTL_INTERFACE_VERSION, ..op }
}

#[test]
fn each_call_is_answered_in_the_version_that_it_speaks() {
    let world = world();
    let new = v4_20::XenDomctlCreatedomain {
        handle: *b"0123456789abcdef",
        max_vcpus: 3,
        max_evtchn_port: 1023,
        max_grant_frames: -1,
        max_maptrack_frames: -1,
        grant_opts: 2,
        ..Default::default()
    };
    let id = run(&world, 0, of_4_20(op(XEN_DOMCTL_createdomain, 0, new))).unwrap().0.domain;
    let told = info(&world, id).unwrap();
    assert_eq!(told.handle, *b"0123456789abcdef");
    call(&world, XEN_DOMCTL_max_vcpus, id, XenDomctlMaxVcpus { max: 3 }).unwrap();
    assert_eq!(info(&world, id).unwrap().max_vcpu_id, 2);
    for (bad, errno) in [
        (v4_20::XenDomctlCreatedomain { altp2m_opts: 1, ..new }, Errno::EINVAL),
        (v4_20::XenDomctlCreatedomain { vmtrace_size: 4096, ..new }, Errno::EINVAL),
        (v4_20::XenDomctlCreatedomain { cpupool_id: 1, ..new }, Errno::EINVAL),
    ] {
        assert_eq!(run(&world, 0, of_4_20(op(XEN_DOMCTL_createdomain, 0, bad))), Err(errno));
    }
    // The same argument has another meaning in the other version.
    let shifted = v4_20::XenDomctlCreatedomain { altp2m_opts: 4096, ..new };
    assert_eq!(run(&world, 0, op(XEN_DOMCTL_createdomain, 0, shifted)), Err(Errno::EINVAL));
    let (told, _) = run(&world, 0, of_4_20(op(XEN_DOMCTL_getdomaininfo, id, [0u8; 8]))).unwrap();
    assert_eq!(told.domain, id);
    let middle = XenDomctl { interface_version: 0x16, ..op(XEN_DOMCTL_getdomaininfo, id, [0u8; 8]) };
    assert_eq!(run(&world, 0, middle), Err(Errno::EACCES));
}

#[test]
fn what_came_after_4_17_is_not_there_for_its_tools() {
    let world = world();
    let id = create(&world);
    let gsi = |gsi, flags| op(v4_20::XEN_DOMCTL_gsi_permission, id, v4_20::XenDomctlGsiPermission { gsi, flags });
    let colors = op(v4_20::XEN_DOMCTL_set_llc_colors, id, v4_20::XenDomctlSetLlcColors::default());
    assert_eq!(run(&world, 0, gsi(4, v4_20::XEN_DOMCTL_GSI_GRANT)), Err(Errno::ENOSYS));
    assert_eq!(run(&world, 0, colors), Err(Errno::ENOSYS));
    assert_eq!(run(&world, 0, of_4_20(colors)), Err(Errno::EOPNOTSUPP));
    let has = || world.dom(id).devices.rights.lines.lock().has(4, 4);
    assert!(run(&world, 0, of_4_20(gsi(4, v4_20::XEN_DOMCTL_GSI_GRANT))).is_ok() && has());
    assert!(run(&world, 0, of_4_20(gsi(4, v4_20::XEN_DOMCTL_GSI_REVOKE))).is_ok() && !has());
    assert_eq!(run(&world, 0, of_4_20(gsi(4, 2))), Err(Errno::EINVAL));
    assert_eq!(run(&world, 0, of_4_20(gsi(world.hv.lines.count(), 1))), Err(Errno::EINVAL));
}

#[test]
fn grants_of_a_new_domain_are_as_many_as_the_settings_allow() {
    let world = world();
    let make = |max_grant_frames, max_maptrack_frames| {
        let wanted = XenDomctlCreatedomain { max_grant_frames, max_maptrack_frames, ..wanted() };
        let (made, _) = run(&world, 0, op(XEN_DOMCTL_createdomain, 0, wanted))?;
        Ok(world.dom(made.domain).grants.limits())
    };
    let limits = make(-1, -1).unwrap();
    assert_eq!((limits.frames, limits.maptrack), (64, 1024));
    assert_eq!(make(65, -1), Err(Errno::EINVAL));
    world.hv.settings.gnttab_max_frames.store(100, Ordering::Relaxed);
    world.hv.settings.gnttab_max_maptrack_frames.store(8, Ordering::Relaxed);
    let limits = make(65, -1).unwrap();
    assert_eq!((limits.frames, limits.maptrack), (65, 8));
    assert_eq!(make(-1, 9), Err(Errno::EINVAL));
}

#[test]
fn a_new_domain_is_paused_and_has_what_was_asked_for() {
    let world = world();
    let id = create(&world);
    assert_eq!(id, 2);
    let info = info(&world, id).unwrap();
    assert_eq!(
        (info.domain, info.flags, info.max_vcpu_id, info.nr_online_vcpus),
        (2, XEN_DOMINF_paused | 255 << XEN_DOMINF_shutdownshift, 1, 0)
    );
    assert_eq!((info.max_pages, info.tot_pages, &info.handle), (100, 0, b"0123456789abcdef"));
    let shared = Mfn(info.shared_info_frame);
    assert!(world.hv.frames.is_shared(shared) && world.hv.frames.owner(shared) == Some(DomId(2)));
    // The wall clock stands in it: sec at 0xc04 (xen.h).
    let sec = core::mem::offset_of!(xen_abi::xen::SharedInfo, wc_sec);
    assert_eq!(Platform::page(world.platform(), shared).load_u32(sec), 1_700_000_000);
    let later = XenDomctlSettimeoffset { time_offset_seconds: -3600 };
    call(&world, XEN_DOMCTL_settimeoffset, id, later).unwrap();
    assert_eq!(Platform::page(world.platform(), shared).load_u32(sec), 1_700_000_000 - 3600);
    assert_eq!(create(&world), 3, "numbers go up");
    let taken = op(XEN_DOMCTL_createdomain, 3, wanted());
    assert_eq!(run(&world, 0, taken), Err(Errno::EEXIST));
    assert_eq!(run(&world, 0, op(XEN_DOMCTL_createdomain, 9, wanted())).unwrap().0.domain, 9);
}

#[test]
fn what_a_pv_domain_cannot_have_is_refused() {
    let world = world();
    let before = world.hv.heap.stats().free;
    for bad in [
        XenDomctlCreatedomain { flags: XEN_DOMCTL_CDF_hvm, ..wanted() },
        XenDomctlCreatedomain { flags: XEN_DOMCTL_CDF_iommu, ..wanted() },
        XenDomctlCreatedomain { max_vcpus: 0, ..wanted() },
        XenDomctlCreatedomain { max_vcpus: 129, ..wanted() },
        XenDomctlCreatedomain { grant_opts: 0, ..wanted() },
        XenDomctlCreatedomain { max_grant_frames: 1 << 20, ..wanted() },
        XenDomctlCreatedomain { vmtrace_size: 4096, ..wanted() },
        XenDomctlCreatedomain { cpupool_id: 1, ..wanted() },
    ] {
        assert_eq!(run(&world, 0, op(XEN_DOMCTL_createdomain, 0, bad)), Err(Errno::EINVAL), "{bad:?}");
    }
    assert_eq!(world.hv.heap.stats().free, before);
    let id = create(&world);
    let few = XenDomctlMaxVcpus { max: 1 };
    assert_eq!(call(&world, XEN_DOMCTL_max_vcpus, id, few), Err(Errno::EINVAL));
    assert_eq!(
        call(&world, XEN_DOMCTL_set_address_size, id, XenDomctlAddressSize { size: 32 }),
        Err(Errno::EOPNOTSUPP)
    );
    assert!(call(&world, XEN_DOMCTL_set_address_size, id, XenDomctlAddressSize { size: 64 }).is_ok());
}

#[test]
fn a_vcpu_starts_with_the_context_that_it_was_given() {
    let world = world();
    let (id, frames) = built(&world);
    let dom = world.dom(id);
    let vcpu = dom.vcpu(0).unwrap();
    assert_eq!(vcpu.sched.flags() & (UP | PAUSED), UP | PAUSED);
    call(&world, XEN_DOMCTL_unpausedomain, id, [0u8; 8]).unwrap();
    assert!(vcpu.sched.runnable());
    assert_eq!(call(&world, XEN_DOMCTL_unpausedomain, id, [0u8; 8]), Err(Errno::EINVAL), "paused no more");
    // What comes out is what went in.
    let arg = XenDomctlVcpucontext { vcpu: 0, ctxt: GuestPtr::new(BUFFER), ..Default::default() };
    call(&world, XEN_DOMCTL_getvcpucontext, id, arg).unwrap();
    let (out, inn): (VcpuGuestContext, VcpuGuestContext) =
        (world.platform().peek(BUFFER), world.platform().peek(CONTEXT));
    assert_eq!(out.user_regs.rip, inn.user_regs.rip);
    assert_eq!((out.user_regs.rbx, out.user_regs.cs, out.kernel_sp), (42, 0xe033, inn.kernel_sp));
    assert_eq!(out.ctrlreg[3], frames[0].maddr().0);
    assert_eq!((out.gdt_ents, out.gdt_frames[0], out.flags & 0x24), (512, frames[4].0, 0x24));
    assert!(vcpu.sched.runnable(), "it goes on");
    // Registers can be changed later, as on a cancelled suspend.
    let again = VcpuGuestContext { user_regs: xen_abi::arch_x86_64::CpuUserRegs { rax: 1, ..inn.user_regs }, ..inn };
    world.platform().poke(CONTEXT, &again);
    let arg = XenDomctlVcpucontext { vcpu: 0, ctxt: GuestPtr::new(CONTEXT), ..Default::default() };
    call(&world, XEN_DOMCTL_setvcpucontext, id, arg).unwrap();
    assert_eq!(vcpu.saved.lock().regs.rax, 1);
    assert_eq!(vcpu.saved.lock().pv.kernel_root, frames[0].maddr());
    for (vcpu, error) in [(1, Errno::ENODATA), (2, Errno::EINVAL)] {
        let arg = XenDomctlVcpucontext { vcpu, ctxt: GuestPtr::new(BUFFER), ..Default::default() };
        assert_eq!(call(&world, XEN_DOMCTL_getvcpucontext, id, arg), Err(error));
    }
}

#[test]
fn every_field_of_a_context_comes_out_as_it_went_in() {
    let flags = [VGCF_in_kernel, VGCF_failsafe_disables_events, VGCF_syscall_disables_events];
    // Each flag alone, so that none stands for another; the last round is in user mode.
    for flag in flags.into_iter().chain([0]) {
        let world = world();
        let mut given = VcpuGuestContext::default();
        let (id, _) = built_with(&world, |c| {
            c.flags = flag | VGCF_online;
            let r = &mut c.user_regs;
            let all = [
                &mut r.r15, &mut r.r14, &mut r.r13, &mut r.r12, &mut r.rbp, &mut r.rbx, &mut r.r11, &mut r.r10,
                &mut r.r9, &mut r.r8, &mut r.rax, &mut r.rcx, &mut r.rdx, &mut r.rsi, &mut r.rdi,
            ];
            (0x1000..).zip(all).for_each(|(value, register)| *register = value << 32 | 0x77);
            (r.ds, r.es, r.fs, r.gs) = (0x23, 0x2b, 0x33, 0x3b);
            // IOPL 1, carry and direction; the bits that are always there.
            r.rflags = 1 << 12 | 1 << 10 | 1 << 9 | 1 << 1 | 1;
            c.trap_ctxt[3] = TrapInfo { vector: 3, flags: 3, cs: 0xe033, address: 0x1000, ..Default::default() };
            // Whoever finds its entry by its place needs the number, too.
            c.trap_ctxt[0].vector = 0;
            (c.event_callback_eip, c.failsafe_callback_eip, c.syscall_callback_eip) = (0x2000, 0x3000, 0x4000);
            (c.fs_base, c.gs_base_kernel, c.gs_base_user) = (0x5000, 0x6000, 0xffff_8800_0000_7000);
            given = *c;
        });
        let dom = world.dom(id);
        let vcpu = dom.vcpu(0).unwrap();
        {
            let mut saved = vcpu.saved.lock();
            saved.pv.debug = [1, 2, 3, 4, 5, 6];
            saved.fpu = (1..=9).map(|n| crate::pv::FpuBlock([n; 64])).collect();
            saved.pv.flags |= crate::pv::TASK_SWITCHED;
        }
        dom.vm_assist.store(9, SeqCst);
        let arg = XenDomctlVcpucontext { vcpu: 0, ctxt: GuestPtr::new(BUFFER), ..Default::default() };
        call(&world, XEN_DOMCTL_getvcpucontext, id, arg).unwrap();
        let mut out: VcpuGuestContext = world.platform().peek(BUFFER);
        assert_eq!(out.flags & VGCF_i387_valid, VGCF_i387_valid);
        out.flags &= !VGCF_i387_valid;
        // What it shows beyond what it was given: the processor's control registers, and what happened since.
        let [dr0, dr1, dr2, dr3, dr4, dr5, dr6, dr7] = out.debugreg;
        assert_eq!([dr0, dr1, dr2, dr3, dr4, dr5, dr6, dr7], [1, 2, 3, 4, 0, 0, 5, 6]);
        assert_eq!(out.ctrlreg[0], 1 << 31 | 1 << 3 | 1, "paging, protection, task switched");
        assert_eq!((out.vm_assist, out.ctrlreg[4]), (9, vcpu.saved.lock().pv.cr4));
        assert_eq!((0..8).map(|n| out.fpu_ctxt.x[n * 64 + n]).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
        (out.debugreg, out.vm_assist, out.fpu_ctxt) = (given.debugreg, given.vm_assist, given.fpu_ctxt);
        (out.ctrlreg[0], out.ctrlreg[4]) = (given.ctrlreg[0], given.ctrlreg[4]);
        assert_eq!(out.as_bytes(), given.as_bytes(), "{flag:#x}");
    }
}

#[test]
fn frames_are_shown_as_what_they_are_used_as() {
    let world = world();
    let (id, frames) = built(&world);
    let shared = world.dom(id).shared_info.load(SeqCst);
    let list = [frames[0].0, frames[1].0, frames[3].0, frames[5].0, shared, 3, u64::MAX];
    world.platform().poke(BUFFER, &list);
    let arg = XenDomctlGetpageframeinfo3 { num: list.len() as u64, array: GuestPtr::new(BUFFER) };
    call(&world, XEN_DOMCTL_getpageframeinfo3, id, arg).unwrap();
    let x = u64::from(XEN_DOMCTL_PFINFO_XTAB);
    let tables = [XEN_DOMCTL_PFINFO_L4TAB, XEN_DOMCTL_PFINFO_L3TAB, XEN_DOMCTL_PFINFO_L1TAB, 0].map(u64::from);
    assert_eq!(world.platform().peek::<[u64; 7]>(BUFFER), [tables[0], tables[1], tables[2], tables[3], x, x, x]);
    let many = XenDomctlGetpageframeinfo3 { num: 1025, ..arg };
    assert_eq!(call(&world, XEN_DOMCTL_getpageframeinfo3, id, many), Err(Errno::E2BIG));
    let page = XenDomctlHypercallInit { gmfn: frames[5].0 };
    call(&world, XEN_DOMCTL_hypercall_init, id, page).unwrap();
    assert_eq!(Platform::page(world.platform(), frames[5]).load_u64(PAGE_SIZE as usize - 8), 0xc3c3_c3c3_c3c3_c3c3);
    for bad in [frames[0].0, 3, u64::MAX] {
        assert!(call(&world, XEN_DOMCTL_hypercall_init, id, XenDomctlHypercallInit { gmfn: bad }).is_err(), "{bad:#x}");
    }
}

#[test]
fn destroying_gives_every_frame_back_wherever_it_is_interrupted() {
    for polls in [u64::MAX, 0, 1, 2, 3, 5, 8] {
        let world = world();
        let before = world.hv.heap.stats().free;
        let (id, _) = built(&world);
        call(&world, XEN_DOMCTL_unpausedomain, id, [0u8; 8]).unwrap();
        let dom = world.dom(id);
        let port = crate::evtchn::alloc_unbound(&world.hv, &dom, DomId(0)).unwrap();
        let _ = world.call(0, |ctx| crate::evtchn::bind_interdomain(ctx.hv, ctx.dom, &dom, port).unwrap());
        world.hv.virq_handlers.set(xen_abi::xen::VIRQ_CON_RING, DomId(id)).unwrap();
        drop(dom);
        world.platform().polls_left.store(polls, SeqCst);
        let (_, interruptions) = run(&world, 0, op(XEN_DOMCTL_destroydomain, id, [0u8; 8])).unwrap();
        assert_eq!(interruptions == 0, polls == u64::MAX);
        assert!(world.hv.domains.get(DomId(id)).is_none());
        assert_eq!(world.hv.heap.stats().free, before, "after {interruptions} interruptions");
        assert_eq!(info(&world, id), Err(Errno::ESRCH));
        assert_eq!(world.hv.virq_handlers.get(xen_abi::xen::VIRQ_CON_RING), Ok(DomId(0)));
    }
}

#[test]
fn a_frame_that_somebody_still_holds_keeps_the_dead_domain_in_the_list() {
    let world = world();
    let before = world.hv.heap.stats().free;
    let (id, frames) = built(&world);
    let held = world.hv.frames.get(frames[5], DomId(id)).unwrap();
    run(&world, 0, op(XEN_DOMCTL_destroydomain, id, [0u8; 8])).unwrap();
    let found = info(&world, id).unwrap();
    assert_eq!((found.flags & XEN_DOMINF_dying, found.tot_pages), (XEN_DOMINF_dying, 1));
    assert_eq!(call(&world, XEN_DOMCTL_unpausedomain, id, [0u8; 8]), Err(Errno::EINVAL));
    run(&world, 0, op(XEN_DOMCTL_destroydomain, id, [0u8; 8])).unwrap();
    world.hv.free_frame(world.hv.frames.put(held).unwrap());
    assert_eq!(info(&world, id), Err(Errno::ESRCH));
    assert_eq!(world.hv.heap.stats().free, before);
}

#[test]
fn asking_for_a_number_that_no_domain_has_gives_the_next_domain() {
    let world = world();
    let (first, second) = (create(&world), create(&world));
    run(&world, 0, op(XEN_DOMCTL_destroydomain, first, [0u8; 8])).unwrap();
    // xenconsoled looks for new domains in this way: a gap must not end its search.
    assert_eq!(info(&world, first).unwrap().domain, second);
    assert_eq!(info(&world, second + 1), Err(Errno::ESRCH));
    assert_eq!(info(&world, DomId::FIRST_RESERVED.0), Err(Errno::EINVAL));
}

#[test]
fn nobody_stops_or_ends_himself_or_dom0() {
    let world = world();
    for cmd in [XEN_DOMCTL_pausedomain, XEN_DOMCTL_destroydomain, XEN_DOMCTL_setvcpucontext] {
        assert_eq!(
            call(&world, cmd, 0, [0u8; 16]).map(|_| ()).unwrap_err(),
            if cmd == XEN_DOMCTL_setvcpucontext { Errno::EOPNOTSUPP } else { Errno::EINVAL }
        );
    }
    assert!(!world.dom(0).is_dying());
}

#[test]
fn a_vcpu_runs_only_where_its_hard_affinity_lets_it() {
    let world = world();
    let (id, _) = built(&world);
    let dom = world.dom(id);
    let vcpu = dom.vcpu(0).unwrap();
    world.hv.reserve_vcpu().unwrap();
    let map = |at| XenctlBitmap { bitmap: GuestPtr::new(at), nr_bits: 8, ..Default::default() };
    let arg = |flags| XenDomctlVcpuaffinity { vcpu: 0, flags, cpumap_hard: map(BUFFER), cpumap_soft: map(BUFFER + 8) };
    call(&world, XEN_DOMCTL_getvcpuaffinity, id, arg(3)).unwrap();
    assert_eq!(world.platform().peek::<u8>(BUFFER), 0xff);
    for (bits, flags, result) in [
        (0b1111_0000u8, XEN_VCPUAFFINITY_HARD, Err(Errno::EINVAL)),
        (0, XEN_VCPUAFFINITY_SOFT, Err(Errno::EINVAL)),
        (1, 0, Err(Errno::EINVAL)),
        (0b0001_0100, XEN_VCPUAFFINITY_HARD, Ok(())),
    ] {
        world.platform().poke(BUFFER, &[bits; 16]);
        assert_eq!(call(&world, XEN_DOMCTL_setvcpuaffinity, id, arg(flags)).map(|_| ()), result);
    }
    assert_eq!(world.platform().peek::<u8>(BUFFER), 0b100, "what of it is online");
    call(&world, XEN_DOMCTL_unpausedomain, id, [0u8; 8]).unwrap();
    for cpu in [0, 1, 3] {
        assert!(world.hv.sched.decide(CpuId(cpu), None, 1).vcpu.is_none(), "CPU {cpu}");
    }
    assert!(world.hv.sched.decide(CpuId(2), None, 1).vcpu.is_some());
    // It may not stay where it is any more: it goes to the queue, and the CPU that may run it is told.
    vcpu.sched.hard.store(&crate::cpu::CpuMask::one(CpuId(1)));
    assert!(world.hv.sched.decide(CpuId(2), Some(vcpu), 2).vcpu.is_none());
    assert_eq!(world.hv.sched.saved(CpuId(2), vcpu, 2), Some(CpuId(1)));
    assert!(world.hv.sched.decide(CpuId(1), None, 3).vcpu.is_some());
    let info = call(&world, XEN_DOMCTL_getvcpuinfo, id, XenDomctlGetvcpuinfo::default()).unwrap();
    assert_eq!((info.online, info.running, info.cpu), (1, 1, 1));
}

#[test]
fn what_a_vcpu_did_is_told_to_the_control_domain() {
    let world = world();
    let id = create(&world);
    let dom = world.dom(id);
    let vcpu = dom.vcpu(1).unwrap();
    world.platform().time.store(1000, SeqCst);
    vcpu.runstate.change(RunState::Runnable, 400);
    vcpu.runstate.change(RunState::Running, 700);
    vcpu.hypercalls.store(12, SeqCst);
    let ask = |vcpu| FerroxenVcpuAccount { vcpu, ..Default::default() };
    let told = call(&world, XEN_DOMCTL_ferroxen_vcpu_account, id, ask(1)).unwrap();
    assert_eq!((told.vcpu, told.hypercalls), (1, 12));
    assert_eq!((told.runstate.state, told.runstate.time), (0, [300, 300, 0, 400]));
    let none = call(&world, XEN_DOMCTL_ferroxen_vcpu_account, id, ask(0)).unwrap();
    assert_eq!((none.hypercalls, none.runstate.time), (0, [0, 0, 0, 1000]));
    for wrong in [ask(2), ask(u32::MAX), FerroxenVcpuAccount { pad: 1, ..ask(1) }] {
        assert_eq!(call(&world, XEN_DOMCTL_ferroxen_vcpu_account, id, wrong), Err(Errno::EINVAL));
    }
    let by_itself = run(&world, id, op(XEN_DOMCTL_ferroxen_vcpu_account, id, ask(1)));
    assert_eq!(by_itself, Err(Errno::EPERM));
}

#[test]
fn rights_are_given_and_taken() {
    let world = world();
    let id = create(&world);
    let devices = &world.dom(id).devices.rights;
    let irq = |pirq, allow_access| XenDomctlIrqPermission { pirq, allow_access, ..Default::default() };
    call(&world, XEN_DOMCTL_irq_permission, id, irq(17, 1)).unwrap();
    assert!(devices.lines.lock().has(17, 17));
    call(&world, XEN_DOMCTL_irq_permission, id, irq(17, 0)).unwrap();
    assert!(!devices.lines.lock().has(17, 17));
    assert_eq!(call(&world, XEN_DOMCTL_irq_permission, id, irq(24, 1)), Err(Errno::EINVAL));
    let ports = |first_port, nr_ports| XenDomctlIoportPermission {
        first_port,
        nr_ports,
        allow_access: 1,
        ..Default::default()
    };
    call(&world, XEN_DOMCTL_ioport_permission, id, ports(0x3f8, 8)).unwrap();
    assert!(devices.ports.lock().has(0x3f8, 0x3ff));
    for bad in [ports(0xffff, 2), ports(0, 0), ports(u32::MAX, u32::MAX)] {
        assert_eq!(call(&world, XEN_DOMCTL_ioport_permission, id, bad), Err(Errno::EINVAL));
    }
    let memory =
        |first_mfn, nr_mfns| XenDomctlIomemPermission { first_mfn, nr_mfns, allow_access: 1, ..Default::default() };
    let map =
        |first_mfn, nr_mfns| XenDomctlMemoryMapping { first_gfn: 0, first_mfn, nr_mfns, add_mapping: 1, padding: 0 };
    assert_eq!(call(&world, XEN_DOMCTL_memory_mapping, id, map(0x400, 4)), Err(Errno::EPERM));
    call(&world, XEN_DOMCTL_iomem_permission, id, memory(0x400, 4)).unwrap();
    assert!(call(&world, XEN_DOMCTL_memory_mapping, id, map(0x400, 4)).is_ok());
    assert_eq!(call(&world, XEN_DOMCTL_memory_mapping, id, map(0x400, 5)), Err(Errno::EPERM));
    call(&world, XEN_DOMCTL_iomem_permission, id, memory(10, 4)).unwrap();
    assert_eq!(call(&world, XEN_DOMCTL_memory_mapping, id, map(10, 4)), Err(Errno::EPERM), "RAM stays RAM");
    assert_eq!(call(&world, XEN_DOMCTL_iomem_permission, id, memory(u64::MAX, 2)), Err(Errno::EINVAL));
}

#[test]
fn a_policy_is_read_restricted_and_fixed() {
    let world = world();
    let id = create(&world);
    let ask = XenDomctlCpuPolicy {
        nr_leaves: 200,
        nr_msrs: 4,
        leaves: GuestPtr::new(BUFFER),
        msrs: GuestPtr::new(BUFFER + 0x6000),
        ..Default::default()
    };
    let got = call(&world, XEN_DOMCTL_get_cpu_policy, id, ask).unwrap();
    let at = |n: u64| BUFFER + n * size_of::<XenCpuidLeaf>() as u64;
    let one = (0..u64::from(got.nr_leaves)).find(|&n| world.platform().peek::<XenCpuidLeaf>(at(n)).leaf == 1).unwrap();
    let leaf: XenCpuidLeaf = world.platform().peek(at(one));
    const AES: u32 = 1 << 25;
    assert_ne!(leaf.c & AES, 0);
    // Everything that the header names, but not AES.
    world.platform().poke(at(one), &XenCpuidLeaf { c: !AES, ..leaf });
    let set = call(&world, XEN_DOMCTL_set_cpu_policy, id, got).unwrap();
    assert_eq!(set.err_leaf, XEN_CPUID_INPUT_UNUSED);
    call(&world, XEN_DOMCTL_get_cpu_policy, id, XenDomctlCpuPolicy { nr_leaves: 200, ..got }).unwrap();
    let now: XenCpuidLeaf = world.platform().peek(at(one));
    assert_eq!(now.c & !leaf.c, 0, "no more than the machine has");
    assert_eq!(leaf.c & !now.c, AES);
    call(&world, XEN_DOMCTL_set_cpu_policy, id, got).unwrap();
    world.platform().poke(at(one), &leaf);
    assert_eq!(call(&world, XEN_DOMCTL_set_cpu_policy, id, got), Err(Errno::EBUSY));
    let many = XenDomctlCpuPolicy { nr_leaves: 100_000, ..got };
    assert_eq!(call(&world, XEN_DOMCTL_set_cpu_policy, id, many), Err(Errno::EINVAL));
}

#[test]
fn small_operations_answer() {
    let world = world();
    let id = create(&world);
    let mut arg = XenDomctlSchedulerOp { sched_id: SCHEDULER, cmd: XEN_DOMCTL_SCHEDOP_getinfo, ..Default::default() };
    let weight: XenDomctlSchedCredit2 = member::get(&call(&world, XEN_DOMCTL_scheduler_op, id, arg).unwrap().u);
    assert_eq!((weight.weight, weight.cap), (256, 0));
    arg.cmd = XEN_DOMCTL_SCHEDOP_putinfo;
    member::put(&mut arg.u, &XenDomctlSchedCredit2 { weight: 512, cap: 0 });
    assert_eq!(call(&world, XEN_DOMCTL_scheduler_op, id, arg), Err(Errno::EOPNOTSUPP));
    let tsc = |tsc_mode| XenDomctlTscInfo { tsc_mode, incarnation: 3, ..Default::default() };
    assert_eq!(call(&world, XEN_DOMCTL_settscinfo, id, tsc(1)), Err(Errno::EOPNOTSUPP));
    call(&world, XEN_DOMCTL_settscinfo, id, tsc(0)).unwrap();
    let got = call(&world, XEN_DOMCTL_gettscinfo, id, tsc(0)).unwrap();
    assert_eq!((got.gtsc_khz, got.incarnation), (2_400_000, 3));
    let shadow = |op, mb| XenDomctlShadowOp { op, mb, ..Default::default() };
    assert_eq!(call(&world, XEN_DOMCTL_shadow_op, id, shadow(XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION, 9)).unwrap().mb, 0);
    assert_eq!(call(&world, XEN_DOMCTL_shadow_op, id, shadow(XEN_DOMCTL_SHADOW_OP_ENABLE, 0)), Err(Errno::EOPNOTSUPP));
    call(&world, XEN_DOMCTL_setdomainhandle, id, XenDomctlSetdomainhandle { handle: [7; 16] }).unwrap();
    assert_eq!(info(&world, id).unwrap().handle, [7; 16]);
    let trigger = |trigger, vcpu| XenDomctlSendtrigger { trigger, vcpu };
    call(&world, XEN_DOMCTL_sendtrigger, id, trigger(XEN_DOMCTL_SENDTRIGGER_NMI, 1)).unwrap();
    assert!(world.dom(id).vcpu(1).unwrap().pending_nmi.load(SeqCst));
    assert_eq!(call(&world, XEN_DOMCTL_sendtrigger, id, trigger(XEN_DOMCTL_SENDTRIGGER_POWER, 0)), Err(Errno::EINVAL));
    assert_eq!(call(&world, XEN_DOMCTL_sendtrigger, id, trigger(XEN_DOMCTL_SENDTRIGGER_RESET, 0)), Err(Errno::ENOSYS));
    world.hv.shutdown(&world.dom(id), 2);
    assert_eq!(
        info(&world, id).unwrap().flags,
        XEN_DOMINF_paused | XEN_DOMINF_shutdown | 2 << XEN_DOMINF_shutdownshift
    );
    call(&world, XEN_DOMCTL_resumedomain, id, [0u8; 8]).unwrap();
    assert_eq!(info(&world, id).unwrap().flags, XEN_DOMINF_paused | 255 << XEN_DOMINF_shutdownshift);
}

#[test]
fn the_control_domain_is_told_when_a_domain_shuts_down_whoever_ended_it() {
    let world = world();
    let (id, _) = built(&world);
    let shared = world.hv.alloc_for(CpuId(0), &world.dom(id), 0, 0, false).unwrap();
    world.dom(0).shared_info.store(shared.0, SeqCst);
    let port = world
        .call(0, |ctx| crate::evtchn::bind_virq(ctx.hv, ctx.dom, xen_abi::xen::VIRQ_DOM_EXC, 0).map_err(Stop::from));
    let port = port.0.unwrap();
    let pending = || crate::evtchn::is_pending(&world.hv, &world.dom(0), port).unwrap();
    assert!(!pending());
    world.hv.shutdown(&world.dom(id), xen_abi::sched::SHUTDOWN_crash as u8);
    assert!(pending());
}
