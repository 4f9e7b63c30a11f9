//! Policies and feature sets, in the form in which toolstacks have them.

use super::*;
use crate::cpupolicy::{FeatureSet, VcpuView, pv_max};
use xen_abi::arch_x86::XenMsrEntry;

const NONE: u32 = u32::MAX;

/// A processor of which every leaf tells its number in EBX, with `caches` of them.
fn policy(caches: u32) -> Policy {
    Policy::pv(Kind::DomU, 0, |leaf, subleaf| match leaf {
        0 => [0xd, 0x6874_7541, 0x444d_4163, 0x6974_6e65],
        1 => [0x00a2_0f12, 0, 0x7ed8_320b, 0x178b_fbff],
        4 if subleaf < caches => [0x21, 0x40 + subleaf, 0, 0],
        7 => [1, u32::MAX, u32::MAX, u32::MAX],
        0xd => [7, 0x340, 0x340, 0],
        0x8000_0000 => [0x8000_0008, 0, 0, 0],
        0x8000_0001 => [0, 0, 0x0000_0121, 0x2c10_0800],
        0x8000_0008 => [0x3030, 0, 0, 0],
        _ => [0; 4],
    })
}

fn written(policy: &Policy) -> Vec<XenCpuidLeaf> {
    let world = world();
    let leaves = (GuestPtr::new(BUFFER), 160);
    let write = |ctx: &mut Ctx<'_, _>| write_policy(ctx, policy, &XenInfo::default(), leaves, (GuestPtr::new(0), 0));
    let (count, msrs) = world.call(0, write).0.unwrap();
    assert_eq!(msrs, 1);
    (0..u64::from(count)).map(|n| world.platform().peek(BUFFER + n * size_of::<XenCpuidLeaf>() as u64)).collect()
}

#[test]
fn leaves_with_subleaves_are_written_one_by_one() {
    let with = |caches| {
        let mut policy = policy(caches);
        policy.xcr0 = 7 | 1 << 9;
        policy
    };
    for (caches, subleaves) in [(0, 1), (3, 4), (8, 6)] {
        let policy = with(caches);
        let written = written(&policy);
        let simple = |leaves: core::ops::RangeInclusive<u32>| leaves.map(|leaf| (leaf, NONE));
        let expected: Vec<(u32, u32)> = simple(0..=3)
            // Caches up to the one that is none.
            .chain((0..subleaves).map(|n| (4, n)))
            .chain(simple(5..=6))
            .chain((0..2).map(|n| (7, n)))
            .chain(simple(8..=10))
            .chain((0..2).map(|n| (0xb, n)))
            .chain(simple(0xc..=0xc))
            // Two of the area itself, then those of XCR0's bits.
            .chain([0, 1, 2, 9].map(|n| (0xd, n)))
            .chain([0x4000_0000, 0x4000_0100].map(|leaf| (leaf, NONE)))
            .chain(simple(0x8000_0000..=0x8000_0008))
            .collect();
        assert_eq!(written.iter().map(|leaf| (leaf.leaf, leaf.subleaf)).collect::<Vec<_>>(), expected);
        let view = VcpuView { vcpu: 0, kernel: false, forced: true, osxsave: false, xcr0: policy.xcr0 };
        for leaf in written {
            let subleaf = if leaf.subleaf == NONE { 0 } else { leaf.subleaf };
            let told = policy.cpuid(leaf.leaf, subleaf, &view, &XenInfo::default());
            assert_eq!([leaf.a, leaf.b, leaf.c, leaf.d], told, "{:#x} {subleaf}", leaf.leaf);
        }
    }
}

#[test]
fn buffers_of_a_policy_are_filled_as_far_as_they_are_there() {
    let world = world();
    let policy = policy(0);
    let count = written(&policy).len() as u32;
    let write = |leaves: (u64, u32), msrs: (u64, u32)| {
        let at = |(at, room)| (GuestPtr::new(at), room);
        let msrs = (GuestPtr::new(msrs.0), msrs.1);
        world.call(0, |ctx| write_policy(ctx, &policy, &XenInfo::default(), at(leaves), msrs)).0
    };
    let short = Err(Stop::Err(Errno::ENOBUFS));
    assert_eq!(write((0, 0), (0, 0)), Ok((160, 1)), "as many as there could be");
    assert_eq!((write((BUFFER, count), (0, 0)), write((BUFFER, count - 1), (0, 0))), (Ok((count, 1)), short));
    assert_eq!((write((0, 0), (BUFFER, 1)), write((0, 0), (BUFFER, 0))), (Ok((160, 1)), short));
    assert_eq!(world.platform().peek::<XenMsrEntry>(BUFFER), XenMsrEntry { idx: 0xce, flags: 0, val: 0 });
}

#[test]
fn each_register_of_a_leaf_is_a_word_of_the_feature_set() {
    // arch-x86/cpufeatureset.h: a leaf, and which word each of its registers is.
    for (leaf, subleaf, words) in [
        (1, NONE, [None, None, Some(1), Some(0)]),
        (0x8000_0001, NONE, [None, None, Some(3), Some(2)]),
        (0xd, 1, [Some(4), None, None, None]),
        (7, 0, [None, Some(5), Some(6), Some(9)]),
        (0x8000_0007, NONE, [None, None, None, Some(7)]),
        (0x8000_0008, NONE, [None, Some(8), None, None]),
        (7, 1, [Some(10), Some(12), Some(14), Some(15)]),
        (0x8000_0021, NONE, [Some(11), None, Some(18), None]),
        (7, 2, [None, None, None, Some(13)]),
        (0xd, 0, [None; 4]),
        (7, 3, [None; 4]),
        (2, NONE, [None; 4]),
    ] {
        let world = world();
        let values = [0x11, 0x22, 0x33, 0x44];
        let [a, b, c, d] = values;
        world.platform().poke(BUFFER, &XenCpuidLeaf { leaf, subleaf, a, b, c, d });
        let mut policy = policy(0);
        policy.features = FeatureSet(core::array::from_fn(|n| 0x1000 + n as u32));
        let found = world.call(0, |ctx| features_of(ctx, GuestPtr::new(BUFFER), 1, &policy)).0.unwrap();
        for at in 0..20 {
            let register = words.iter().position(|word| *word == Some(at));
            let expected = register.map_or(0x1000 + at as u32, |register| values[register]);
            assert_eq!(found.word(at), expected, "leaf {leaf:#x}, word {at}");
        }
    }
}

#[test]
fn as_many_leaves_as_there_can_be_are_read() {
    let world = world();
    let policy = policy(0);
    let read = |count| world.call(0, |ctx| features_of(ctx, GuestPtr::new(BUFFER), count, &policy)).0.map(|_| ());
    assert_eq!((read(0), read(160), read(161)), (Ok(()), Ok(()), Err(Stop::Err(Errno::EINVAL))));
}

#[test]
fn feature_sets_are_those_that_were_asked_for() {
    let (world, machine) = (world(), TestMachine::default());
    let policy = SystemMachine::policy(&machine, Kind::DomU);
    let get = |index, at, nr_features| {
        world.platform().poke(BUFFER, &[0x55u8; 100]);
        let ask = XenSysctlCpuFeatureset { index, nr_features, features: GuestPtr::new(at) };
        call(&world, XEN_SYSCTL_get_cpu_featureset, ask).map(|got| got.nr_features)
    };
    let most = pv_max().and(&policy.host).without_orphans();
    for (index, features) in [
        (XEN_SYSCTL_cpu_featureset_raw, policy.host),
        (XEN_SYSCTL_cpu_featureset_host, policy.host),
        (XEN_SYSCTL_cpu_featureset_pv, policy.features),
        (XEN_SYSCTL_cpu_featureset_pv_max, most),
        (XEN_SYSCTL_cpu_featureset_hvm, FeatureSet::default()),
        (XEN_SYSCTL_cpu_featureset_hvm_max, FeatureSet::default()),
    ] {
        assert_eq!(get(index, BUFFER, 30), Ok(20));
        let told: [u32; 21] = world.platform().peek(BUFFER);
        assert!(told[..20].iter().enumerate().all(|(n, word)| *word == features.word(n)), "{index}");
        assert_eq!(told[20], 0x5555_5555);
    }
    assert_eq!((get(6, BUFFER, 20), get(0, 0, 0), get(0, 0, 9)), (Err(Errno::EINVAL), Ok(20), Ok(20)));
    assert_eq!(
        (get(0, BUFFER, 20), get(0, BUFFER, 19), get(0, BUFFER, 0)),
        (Ok(20), Err(Errno::ENOBUFS), Err(Errno::ENOBUFS))
    );
}

#[test]
fn policies_are_those_that_were_asked_for() {
    let world = world();
    let ask = |index| {
        let ask = XenSysctlCpuPolicy { index, nr_leaves: 160, leaves: GuestPtr::new(BUFFER), ..Default::default() };
        call(&world, XEN_SYSCTL_get_cpu_policy, ask).map(|got| {
            let leaves = (0..u64::from(got.nr_leaves)).map(|n| world.platform().peek::<XenCpuidLeaf>(BUFFER + n * 24));
            leaves.filter(|leaf| leaf.leaf == 1).map(|leaf| [leaf.c, leaf.d]).collect::<Vec<_>>()
        })
    };
    let most = ask(XEN_SYSCTL_cpu_policy_pv_max).unwrap();
    for index in [XEN_SYSCTL_cpu_policy_raw, XEN_SYSCTL_cpu_policy_host] {
        assert_eq!(ask(index).unwrap(), most);
    }
    let [default, max] = [ask(XEN_SYSCTL_cpu_policy_pv_default).unwrap(), most].map(|found| found[0]);
    assert!(default.iter().zip(max).all(|(default, max)| default & !max == 0));
    for index in [XEN_SYSCTL_cpu_policy_hvm_max, XEN_SYSCTL_cpu_policy_hvm_default] {
        assert_eq!(ask(index), Err(Errno::EOPNOTSUPP));
    }
    assert_eq!(ask(9), Err(Errno::EINVAL));
}
