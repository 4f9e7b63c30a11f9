//! Policies and feature sets as toolstacks read and write them.

use super::SystemMachine;
use crate::addr::Vaddr;
use crate::cpupolicy::{FeatureSet, Kind, Policy, VcpuView, XenInfo, pv_max};
use crate::ctx::Ctx;
use crate::hypercall::Stop;
use crate::platform::Platform;
use xen_abi::arch_x86::{XenCpuidLeaf, XenMsrEntry};
use xen_abi::member;
use xen_abi::sysctl::*;
use xen_abi::{Errno, GuestPtr};

/// Words of a feature set (arch-x86/cpufeatureset.h).
const WORDS: u32 = 20;
/// Leaf without subleaves (XEN_CPUID_NO_SUBLEAF).
const NO_SUBLEAF: u32 = 0xffff_ffff;
/// The most leaves that [`write_policy`] writes.
const MOST_LEAVES: u32 = 160;
const MSR_PLATFORM_INFO: u32 = 0xce;

pub(super) fn featureset<P: Platform>(
    ctx: &Ctx<'_, P>,
    machine: &impl SystemMachine,
    op: &mut XenSysctl,
) -> Result<(), Stop> {
    let mut arg: XenSysctlCpuFeatureset = member::get(&op.u);
    let policy = machine.policy(Kind::DomU);
    let features = match arg.index {
        XEN_SYSCTL_cpu_featureset_raw | XEN_SYSCTL_cpu_featureset_host => policy.host,
        XEN_SYSCTL_cpu_featureset_pv => policy.features,
        XEN_SYSCTL_cpu_featureset_pv_max => pv_max().and(&policy.host).without_orphans(),
        XEN_SYSCTL_cpu_featureset_hvm | XEN_SYSCTL_cpu_featureset_hvm_max => FeatureSet::default(),
        _ => return Err(Errno::EINVAL.into()),
    };
    let room = if arg.features.is_null() { 0 } else { arg.nr_features };
    for n in 0..room.min(WORDS) {
        ctx.write_at(Vaddr(arg.features.addr()), n.into(), &features.word(n as usize))?;
    }
    let short = !arg.features.is_null() && arg.nr_features < WORDS;
    arg.nr_features = WORDS;
    member::put(&mut op.u, &arg);
    if short { Err(Errno::ENOBUFS.into()) } else { Ok(()) }
}

pub(super) fn policy<P: Platform>(
    ctx: &Ctx<'_, P>,
    machine: &impl SystemMachine,
    op: &mut XenSysctl,
) -> Result<(), Stop> {
    let mut arg: XenSysctlCpuPolicy = member::get(&op.u);
    let mut policy = machine.policy(Kind::DomU).clone();
    match arg.index {
        // The machine as far as a PV guest could see it; the rest is nobody's to give.
        XEN_SYSCTL_cpu_policy_raw | XEN_SYSCTL_cpu_policy_host | XEN_SYSCTL_cpu_policy_pv_max => {
            policy.restrict(pv_max());
        }
        XEN_SYSCTL_cpu_policy_pv_default => {}
        XEN_SYSCTL_cpu_policy_hvm_max | XEN_SYSCTL_cpu_policy_hvm_default => return Err(Errno::EOPNOTSUPP.into()),
        _ => return Err(Errno::EINVAL.into()),
    }
    let (leaves, msrs) =
        write_policy(ctx, &policy, &machine.xen_info(), (arg.leaves, arg.nr_leaves), (arg.msrs, arg.nr_msrs))?;
    (arg.nr_leaves, arg.nr_msrs) = (leaves, msrs);
    member::put(&mut op.u, &arg);
    Ok(())
}

/// Writes a policy's leaves and MSRs into buffers with room for so many; gives how many there were. Without a buffer: how
/// many there could be.
///
/// # Errors
/// `ENOBUFS`: there are more; `EFAULT`.
pub(crate) fn write_policy<P: Platform>(
    ctx: &Ctx<'_, P>,
    policy: &Policy,
    xen: &XenInfo,
    (leaves, room): (GuestPtr<XenCpuidLeaf>, u32),
    (msrs, msr_room): (GuestPtr<XenMsrEntry>, u32),
) -> Result<(u32, u32), Stop> {
    let view = VcpuView { vcpu: 0, kernel: false, forced: true, osxsave: false, xcr0: policy.xcr0 };
    let ask = |leaf: u32, subleaf: u32| policy.cpuid(leaf, subleaf, &view, xen);
    let mut count = 0u32;
    let mut put = |leaf: u32, subleaf: u32| -> Result<(), Stop> {
        let [a, b, c, d] = ask(leaf, if subleaf == NO_SUBLEAF { 0 } else { subleaf });
        if !leaves.is_null() {
            if count >= room {
                return Err(Errno::ENOBUFS.into());
            }
            ctx.write_at(Vaddr(leaves.addr()), count.into(), &XenCpuidLeaf { leaf, subleaf, a, b, c, d })?;
        }
        count = count.saturating_add(1);
        Ok(())
    };
    let [basic, ..] = ask(0, 0);
    for leaf in 0..=basic.min(0xd) {
        match leaf {
            4 => {
                for subleaf in 0..6u32 {
                    put(leaf, subleaf)?;
                    if ask(leaf, subleaf).first().is_none_or(|a| a & 0x1f == 0) {
                        break;
                    }
                }
            }
            7 => (0..=ask(7, 0).first().copied().unwrap_or(0).min(1)).try_for_each(|subleaf| put(leaf, subleaf))?,
            0xb => (0..2).try_for_each(|subleaf| put(leaf, subleaf))?,
            0xd => {
                put(leaf, 0)?;
                put(leaf, 1)?;
                for subleaf in (2..63).filter(|bit| policy.xcr0 >> bit & 1 == 1) {
                    put(leaf, subleaf)?;
                }
            }
            _ => put(leaf, NO_SUBLEAF)?,
        }
    }
    put(0x4000_0000, NO_SUBLEAF)?;
    put(0x4000_0100, NO_SUBLEAF)?;
    let [extended, ..] = ask(0x8000_0000, 0);
    for leaf in 0x8000_0000..=extended.min(0x8000_0021) {
        put(leaf, NO_SUBLEAF)?;
    }
    if !msrs.is_null() {
        if msr_room == 0 {
            return Err(Errno::ENOBUFS.into());
        }
        let entry = XenMsrEntry { idx: MSR_PLATFORM_INFO, flags: 0, val: 0 };
        ctx.write(Vaddr(msrs.addr()), &entry)?;
    }
    Ok((if leaves.is_null() { MOST_LEAVES } else { count }, 1))
}

/// The features that a toolstack's leaves say, in the order of a feature set.
///
/// # Errors
/// `EINVAL`: more leaves than there can be; `EFAULT`.
pub(crate) fn features_of<P: Platform>(
    ctx: &Ctx<'_, P>,
    leaves: GuestPtr<XenCpuidLeaf>,
    count: u32,
    policy: &Policy,
) -> Result<FeatureSet, Stop> {
    if count > MOST_LEAVES {
        return Err(Errno::EINVAL.into());
    }
    // What is not among the leaves stays.
    let mut words: [u32; WORDS as usize] = core::array::from_fn(|n| policy.features.word(n));
    for n in 0..count {
        let leaf: XenCpuidLeaf = ctx.read_at(Vaddr(leaves.addr()), n.into())?;
        let found: &[(usize, u32)] = match (leaf.leaf, leaf.subleaf) {
            (1, _) => &[(0, leaf.d), (1, leaf.c)],
            (0x8000_0001, _) => &[(2, leaf.d), (3, leaf.c)],
            (0xd, 1) => &[(4, leaf.a)],
            (7, 0) => &[(5, leaf.b), (6, leaf.c), (9, leaf.d)],
            (7, 1) => &[(10, leaf.a), (12, leaf.b), (14, leaf.c), (15, leaf.d)],
            (7, 2) => &[(13, leaf.d)],
            (0x8000_0007, _) => &[(7, leaf.d)],
            (0x8000_0008, _) => &[(8, leaf.b)],
            (0x8000_0021, _) => &[(11, leaf.a), (18, leaf.c)],
            _ => &[],
        };
        for &(at, value) in found {
            if let Some(word) = words.get_mut(at) {
                *word = value;
            }
        }
    }
    Ok(FeatureSet(words))
}
