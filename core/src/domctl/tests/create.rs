//! What a domain is given before it runs.

use super::*;
use crate::addr::Maddr;
use xen_abi::arch_x86::{XEN_X86_EMU_ALL, XEN_X86_MSR_RELAXED, XenArchDomainconfig};
use xen_abi::xen::VcpuInfo;

fn made(world: &TestWorld, wanted: XenDomctlCreatedomain) -> Result<u16, Errno> {
    run(world, 0, op(XEN_DOMCTL_createdomain, 0, wanted)).map(|(op, _)| op.domain)
}

#[test]
fn each_thing_that_a_pv_domain_cannot_have_is_refused_alone() {
    let world = world();
    let arch = |emulation_flags, misc_flags| XenDomctlCreatedomain {
        arch: XenArchDomainconfig { emulation_flags, misc_flags },
        ..wanted()
    };
    for bad in [
        XenDomctlCreatedomain { iommu_opts: 1, ..wanted() },
        arch(1, 0),
        arch(XEN_X86_EMU_ALL, 0),
        arch(0, 2),
        XenDomctlCreatedomain { max_vcpus: 129, ..wanted() },
    ] {
        assert_eq!(made(&world, bad), Err(Errno::EINVAL), "{bad:?}");
    }
    for good in [arch(0, XEN_X86_MSR_RELAXED), XenDomctlCreatedomain { max_vcpus: 128, ..wanted() }] {
        assert!(made(&world, good).is_ok(), "{good:?}");
    }
}

#[test]
fn tools_of_both_versions_say_the_last_field_in_its_place() {
    let world = world();
    // In 4.17 it stands where in 4.20 the emulated devices do.
    let arch = XenArchDomainconfig { emulation_flags: 0, misc_flags: XEN_X86_MSR_RELAXED };
    let old = op(XEN_DOMCTL_createdomain, 0, XenDomctlCreatedomain { arch, ..wanted() });
    let new = v4_20::XenDomctlCreatedomain {
        max_vcpus: 1,
        max_grant_frames: -1,
        max_maptrack_frames: -1,
        grant_opts: 1,
        arch,
        ..Default::default()
    };
    assert!(run(&world, 0, old).is_ok());
    assert!(run(&world, 0, of_4_20(op(XEN_DOMCTL_createdomain, 0, new))).is_ok());
}

#[test]
fn the_shared_info_page_has_an_address_of_32_bits() {
    const FOUR_GIB: u64 = 1 << 20;
    let world = TestWorld::new(FOUR_GIB as usize + 8, &[(16, 8), (FOUR_GIB, 8)]);
    let id = made(&world, wanted()).unwrap();
    assert!(world.dom(id).shared_info.load(SeqCst) < FOUR_GIB);
    assert!(world.hv.alloc_frames(CpuId(0), Default::default()).unwrap().0 >= FOUR_GIB, "others are taken from above");
}

#[test]
fn the_first_32_vcpus_have_their_record_in_the_shared_info_page() {
    let world = world();
    let id = made(&world, XenDomctlCreatedomain { max_vcpus: 34, ..wanted() }).unwrap();
    call(&world, XEN_DOMCTL_max_vcpus, id, XenDomctlMaxVcpus { max: 34 }).unwrap();
    let dom = world.dom(id);
    let shared = Mfn(dom.shared_info.load(SeqCst));
    for vcpu in 0..34u32 {
        let at = shared.maddr().0 + u64::from(vcpu) * size_of::<VcpuInfo>() as u64;
        let expected = Maddr(if vcpu < 32 { at } else { 0 });
        assert_eq!(dom.vcpu(vcpu).unwrap().info(), expected, "{vcpu}");
    }
    let mask = |vcpu: usize| vcpu * size_of::<VcpuInfo>() + core::mem::offset_of!(VcpuInfo, evtchn_upcall_mask);
    let page = Platform::page(world.platform(), shared);
    assert!((0..32).all(|vcpu| page.load_u8(mask(vcpu)) == 1), "events are masked");
    assert_eq!(page.load_u8(mask(32)), 0, "that is no vcpu's");
}

#[test]
fn a_domain_without_a_shared_info_page_has_no_record_in_it() {
    let world = world();
    let dom = ferroxen_sync::Shared::try_new(Domain::try_new(DomId(5), 2, false).unwrap()).ok().unwrap();
    assert!(world.hv.domains.insert(dom).is_ok());
    call(&world, XEN_DOMCTL_max_vcpus, 5, XenDomctlMaxVcpus { max: 2 }).unwrap();
    assert!(world.dom(5).vcpus().all(|vcpu| vcpu.info() == Maddr(0)));
    assert!(!world.platform().touched(Mfn(0)));
}

#[test]
fn a_new_vcpu_is_paused_while_its_domain_is() {
    let world = world();
    for paused in [true, false] {
        let id = made(&world, wanted()).unwrap();
        if !paused {
            call(&world, XEN_DOMCTL_unpausedomain, id, [0u8; 8]).unwrap();
        }
        call(&world, XEN_DOMCTL_max_vcpus, id, XenDomctlMaxVcpus { max: 2 }).unwrap();
        let flags: Vec<u32> = world.dom(id).vcpus().map(|vcpu| vcpu.sched.flags()).collect();
        assert_eq!(flags, [if paused { PAUSED } else { 0 }; 2]);
    }
}
