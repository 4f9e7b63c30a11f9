//! What holds of vcpus from outside.

use super::*;
use crate::sched::{BLOCKED, INITIALISED};

fn bitmap(at: u64, nr_bits: u32) -> XenctlBitmap {
    XenctlBitmap { bitmap: GuestPtr::new(at), nr_bits, ..Default::default() }
}

const SOFT: u64 = BUFFER + 0x100;

fn affinity(flags: u32) -> XenDomctlVcpuaffinity {
    XenDomctlVcpuaffinity { vcpu: 0, flags, cpumap_hard: bitmap(BUFFER, 8), cpumap_soft: bitmap(SOFT, 8) }
}

fn cpus(mask: crate::cpu::CpuMask) -> Vec<u16> {
    mask.iter().map(|cpu| cpu.0).collect()
}

#[test]
fn a_vcpu_that_is_not_there_is_told_from_one_that_cannot_be() {
    let world = world();
    // Room for two vcpus, of which none is made.
    let id = run(&world, 0, op(XEN_DOMCTL_createdomain, 0, wanted())).unwrap().0.domain;
    let context = |vcpu| XenDomctlVcpucontext { vcpu, ctxt: GuestPtr::new(BUFFER), ..Default::default() };
    for vcpu in 0..4 {
        let trigger = XenDomctlSendtrigger { trigger: XEN_DOMCTL_SENDTRIGGER_NMI, vcpu };
        let errors = [
            call(&world, XEN_DOMCTL_getvcpuinfo, id, XenDomctlGetvcpuinfo { vcpu, ..Default::default() }).err(),
            call(&world, XEN_DOMCTL_ferroxen_vcpu_account, id, FerroxenVcpuAccount { vcpu, ..Default::default() })
                .err(),
            call(&world, XEN_DOMCTL_setvcpuaffinity, id, XenDomctlVcpuaffinity { vcpu, ..affinity(1) }).err(),
            call(&world, XEN_DOMCTL_getvcpuaffinity, id, XenDomctlVcpuaffinity { vcpu, ..affinity(1) }).err(),
            call(&world, XEN_DOMCTL_setvcpucontext, id, context(vcpu)).err(),
            call(&world, XEN_DOMCTL_getvcpucontext, id, context(vcpu)).err(),
            call(&world, XEN_DOMCTL_sendtrigger, id, trigger).err(),
        ];
        assert_eq!(errors, [Some(if vcpu < 2 { Errno::ESRCH } else { Errno::EINVAL }); 7], "{vcpu}");
    }
}

#[test]
fn a_vcpu_is_shown_online_and_blocked_when_it_is() {
    let world = world();
    let id = create(&world);
    let dom = world.dom(id);
    let vcpu = dom.vcpu(1).unwrap();
    for (flags, online, blocked) in [
        (0, 0, 0),
        (UP, 1, 0),
        (UP | BLOCKED, 1, 1),
        (BLOCKED, 0, 1),
        (UP | PAUSED, 1, 0),
        (INITIALISED | PAUSED, 0, 0),
    ] {
        vcpu.sched.clear(u32::MAX);
        vcpu.sched.set(flags);
        let ask = XenDomctlGetvcpuinfo { vcpu: 1, ..Default::default() };
        let info = call(&world, XEN_DOMCTL_getvcpuinfo, id, ask).unwrap();
        assert_eq!((info.online, info.blocked, info.running), (online, blocked, 0), "{flags:#b}");
    }
}

#[test]
fn a_bitmap_is_written_as_far_as_it_goes() {
    let world = world();
    let id = create(&world);
    // Without an affinity it is every CPU that the hypervisor can have.
    for nr_bits in [0, 1, 4, 7, 8, 9, 12, 64, 255, 256, 257, 272, 400] {
        world.platform().poke(BUFFER, &[0x55u8; 64]);
        let ask = XenDomctlVcpuaffinity { cpumap_hard: bitmap(BUFFER, nr_bits), ..affinity(XEN_VCPUAFFINITY_HARD) };
        call(&world, XEN_DOMCTL_getvcpuaffinity, id, ask).unwrap();
        let byte = |n: u32| match n {
            _ if n >= nr_bits.div_ceil(8) => 0x55,
            _ => (0..8).filter(|bit| n * 8 + bit < nr_bits.min(256)).fold(0, |byte, bit| byte | 1 << bit),
        };
        let expected: Vec<u8> = (0..64).map(byte).collect();
        assert_eq!(world.platform().peek::<[u8; 64]>(BUFFER)[..], expected, "{nr_bits}");
    }
}

#[test]
fn a_bitmap_is_read_as_far_as_it_goes() {
    let world = world();
    let id = create(&world);
    for nr_bits in [1, 3, 8, 9, 15, 16, 255, 256, 257, 300] {
        world.platform().poke(SOFT, &[0xffu8; 64]);
        let ask = XenDomctlVcpuaffinity { cpumap_soft: bitmap(SOFT, nr_bits), ..affinity(XEN_VCPUAFFINITY_SOFT) };
        call(&world, XEN_DOMCTL_setvcpuaffinity, id, ask).unwrap();
        let soft = cpus(world.dom(id).vcpu(0).unwrap().sched.soft.load());
        assert_eq!(soft, (0..nr_bits.min(256) as u16).collect::<Vec<_>>(), "{nr_bits}");
    }
    world.platform().poke(BUFFER, &[0b100u8; 8]);
    let two = XenDomctlVcpuaffinity { cpumap_hard: bitmap(BUFFER, 2), ..affinity(XEN_VCPUAFFINITY_HARD) };
    assert_eq!(call(&world, XEN_DOMCTL_setvcpuaffinity, id, two), Err(Errno::EINVAL), "CPU 2 is behind the end");
}

#[test]
fn each_affinity_is_set_and_shown_alone() {
    const HARD_AND_FORCE: u32 = XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_FORCE;
    const BOTH: u32 = XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT;
    // Wanted are CPUs 1, 2 and 7 (hard) and 2, 3 and 7 (soft), of which 7 is not there.
    for (flags, hard, soft) in [
        (XEN_VCPUAFFINITY_HARD, &[1, 2, 7][..], &[][..]),
        (HARD_AND_FORCE, &[1, 2, 7], &[]),
        (XEN_VCPUAFFINITY_SOFT, &[], &[2, 3, 7]),
        (BOTH, &[1, 2, 7], &[2, 3, 7]),
    ] {
        let world = world();
        let id = create(&world);
        let sched =
            || (world.dom(id).vcpu(0).unwrap().sched.hard.load(), world.dom(id).vcpu(0).unwrap().sched.soft.load());
        let maps = || (world.platform().peek::<u8>(BUFFER), world.platform().peek::<u8>(SOFT));
        let wanted = |hard: u8, soft: u8| {
            world.platform().poke(BUFFER, &hard);
            world.platform().poke(SOFT, &soft);
        };
        wanted(0b1000_0110, 0b1000_1100);
        call(&world, XEN_DOMCTL_setvcpuaffinity, id, affinity(flags)).unwrap();
        let (now_hard, now_soft) = sched();
        assert_eq!((&cpus(now_hard)[..], &cpus(now_soft)[..]), (hard, soft), "{flags}");
        // What of it comes to pass is told: soft affinity is within the hard one.
        let effective = match flags {
            XEN_VCPUAFFINITY_SOFT => (0b1000_0110, 0b1100),
            BOTH => (0b110, 0b100),
            _ => (0b110, 0b1000_1100),
        };
        assert_eq!(maps(), effective, "{flags}");
        wanted(0, 0);
        call(&world, XEN_DOMCTL_getvcpuaffinity, id, affinity(flags)).unwrap();
        let shown = |cpus: &[u16]| cpus.iter().fold(0, |byte, cpu| byte | 1u8 << cpu);
        assert_eq!(maps(), (shown(hard), shown(soft)), "{flags}");
        wanted(1, 1);
        for bad in [0, XEN_VCPUAFFINITY_FORCE, 8, 8 | BOTH] {
            assert_eq!(call(&world, XEN_DOMCTL_setvcpuaffinity, id, affinity(bad)), Err(Errno::EINVAL), "{bad}");
        }
        assert_eq!(sched(), (now_hard, now_soft), "what is refused changes nothing");
    }
}

#[test]
fn a_vcpu_leaves_the_cpu_where_it_may_not_be_any_more() {
    let world = world();
    let (id, _) = built(&world);
    world.hv.reserve_vcpu().unwrap();
    call(&world, XEN_DOMCTL_unpausedomain, id, [0u8; 8]).unwrap();
    assert!(world.hv.sched.decide(CpuId(2), None, 1).vcpu.is_some());
    for (bits, kicked) in [(0b110u8, &[][..]), (0b011, &[CpuId(2)])] {
        world.platform().kicks.lock().unwrap().clear();
        world.platform().poke(BUFFER, &bits);
        call(&world, XEN_DOMCTL_setvcpuaffinity, id, affinity(XEN_VCPUAFFINITY_HARD)).unwrap();
        assert_eq!(*world.platform().kicks.lock().unwrap(), kicked, "{bits:#b}");
    }
}

#[test]
fn there_is_one_node() {
    let world = world();
    let id = create(&world);
    let nodes = XenDomctlNodeaffinity { nodemap: bitmap(BUFFER, 64) };
    world.platform().poke(BUFFER, &[0xffu8; 8]);
    call(&world, XEN_DOMCTL_getnodeaffinity, id, nodes).unwrap();
    assert_eq!(world.platform().peek::<u64>(BUFFER), 1);
    for (bits, result) in [(1u64, Ok(nodes)), (3, Ok(nodes)), (2, Err(Errno::EINVAL)), (0, Err(Errno::EINVAL))] {
        world.platform().poke(BUFFER, &bits);
        assert_eq!(call(&world, XEN_DOMCTL_setnodeaffinity, id, nodes), result, "{bits:#b}");
        assert_eq!(world.platform().peek::<u64>(BUFFER), bits);
    }
}
