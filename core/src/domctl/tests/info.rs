//! What a domain's toolstack sees of it.

use super::*;
use crate::sched::BLOCKED;
use xen_abi::vcpu::RUNSTATE_running;

#[test]
fn a_domain_is_blocked_when_all_its_vcpus_that_are_online_are() {
    let world = world();
    let id = create(&world);
    let dom = world.dom(id);
    let asleep = UP | BLOCKED;
    for (states, online, blocked) in [
        ([0, 0], 0, false),
        ([BLOCKED, 0], 0, false),
        ([UP, 0], 1, false),
        ([asleep, 0], 1, true),
        ([0, asleep], 1, true),
        ([asleep, BLOCKED], 1, true),
        ([asleep, UP], 2, false),
        ([UP, BLOCKED], 1, false),
        ([asleep, asleep], 2, true),
    ] {
        for (vcpu, flags) in dom.vcpus().zip(states) {
            vcpu.sched.clear(u32::MAX);
            vcpu.sched.set(flags);
        }
        let info = info(&world, id).unwrap();
        assert_eq!((info.nr_online_vcpus, info.flags & XEN_DOMINF_blocked != 0), (online, blocked), "{states:?}");
        assert_eq!(info.flags & XEN_DOMINF_running, 0);
    }
}

#[test]
fn a_domain_runs_while_a_vcpu_of_it_does() {
    let world = world();
    let (id, _) = built(&world);
    world.hv.reserve_vcpu().unwrap();
    let flags = || info(&world, id).unwrap().flags & 0xff;
    assert_eq!(flags(), XEN_DOMINF_paused);
    call(&world, XEN_DOMCTL_unpausedomain, id, [0u8; 8]).unwrap();
    assert_eq!(flags(), 0);
    assert!(world.hv.sched.decide(CpuId(1), None, 1).vcpu.is_some());
    assert_eq!(flags(), XEN_DOMINF_running);
    // It is still loaded on its CPU.
    world.dom(id).vcpu(0).unwrap().sched.set(BLOCKED);
    assert_eq!(flags(), XEN_DOMINF_blocked);
}

#[test]
fn every_number_of_a_domain_is_told_in_its_place() {
    // Frames 0 to 199: addresses of 20 bits.
    let world = TestWorld::new(200, &[(16, 150)]);
    let xenstore = XenDomctlCreatedomain { flags: XEN_DOMCTL_CDF_xs_domain, ..wanted() };
    let id = run(&world, 0, op(XEN_DOMCTL_createdomain, 0, xenstore)).unwrap().0.domain;
    assert_eq!(info(&world, id).unwrap().max_vcpu_id, XEN_INVALID_MAX_VCPU_ID);
    call(&world, XEN_DOMCTL_max_vcpus, id, XenDomctlMaxVcpus { max: 2 }).unwrap();
    let dom = world.dom(id);
    for (n, vcpu) in (1..).zip(dom.vcpus()) {
        vcpu.runstate.change(RunState::Running, 100);
        vcpu.runstate.change(RunState::Blocked, 100 + 10 * n);
    }
    dom.vcpu(1).unwrap().sched.set(UP);
    let spent = |vcpu: u32| dom.vcpu(vcpu).unwrap().runstate.snapshot(1000).time[RUNSTATE_running as usize];
    assert_eq!((spent(0), spent(1)), (10, 20));
    world.platform().time.store(1000, SeqCst);
    dom.pages.total.store(3, SeqCst);
    dom.pages.max.store(5, SeqCst);
    dom.pages.claim.store(7, SeqCst);
    let expected = XenDomctlGetdomaininfo {
        domain: id,
        flags: XEN_DOMINF_paused | XEN_DOMINF_xs_domain | 255 << XEN_DOMINF_shutdownshift,
        tot_pages: 3,
        max_pages: 5,
        outstanding_pages: 7,
        shared_info_frame: dom.shared_info.load(SeqCst),
        cpu_time: 30,
        nr_online_vcpus: 1,
        max_vcpu_id: 1,
        handle: *b"0123456789abcdef",
        gpaddr_bits: 20,
        ..Default::default()
    };
    assert_eq!(info(&world, id).unwrap(), expected);
}

#[test]
fn addresses_have_the_bits_of_the_last_frame() {
    for (frames, bits) in [(255, 20), (256, 20), (257, 21)] {
        let world = TestWorld::new(frames, &[(16, 150)]);
        let id = create(&world);
        assert_eq!(info(&world, id).unwrap().gpaddr_bits, bits, "{frames}");
    }
}
