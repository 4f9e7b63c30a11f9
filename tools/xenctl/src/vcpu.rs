//! Vcpus: their first state, what they do, where they may run.

use crate::{Error, Result, Xen};
use xen_abi::arch_x86::VcpuGuestContext;
use xen_abi::domctl::*;
use xen_abi::ferroxen::{FerroxenVcpuAccount, XEN_DOMCTL_ferroxen_vcpu_account};
use xen_abi::vcpu::{VCPUOP_get_runstate_info, VcpuRunstateInfo};
use xen_abi::xen::{__HYPERVISOR_vcpu_op, XenctlBitmap};
use xen_abi::{Errno, GuestPtr, member};
use xen_call::{Buffer as _, Hypercalls};
use zerocopy::{FromZeros as _, IntoBytes as _};

/// What a vcpu does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VcpuInfo {
    /// It was started, and not taken away since.
    pub online: bool,
    /// It waits for an event.
    pub blocked: bool,
    /// It is on a CPU now.
    pub running: bool,
    /// Nanoseconds that it ran.
    pub cpu_time: u64,
    /// The CPU where it is or was last.
    pub cpu: u32,
}

/// How long a vcpu was in which state, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateTimes {
    /// On a CPU.
    pub running: u64,
    /// It could run, and waited for a CPU.
    pub runnable: u64,
    /// It waited for an event.
    pub blocked: u64,
    /// It was down or paused.
    pub offline: u64,
}

impl From<&VcpuRunstateInfo> for StateTimes {
    fn from(info: &VcpuRunstateInfo) -> Self {
        let [running, runnable, blocked, offline] = info.time;
        StateTimes { running, runnable, blocked, offline }
    }
}

/// A set of CPUs.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CpuSet(Vec<u8>);

/// As the hypervisor takes a set of `count` CPUs.
pub(crate) fn bitmap(bitmap: GuestPtr<u8>, count: u32) -> XenctlBitmap {
    XenctlBitmap { bitmap, nr_bits: count, ..Default::default() }
}

impl CpuSet {
    /// As the hypervisor wrote one of `count` CPUs into a buffer.
    pub(crate) fn read(buffer: &impl xen_call::Buffer, offset: usize, count: u32) -> Self {
        let mut set = vec![0; count.div_ceil(8) as usize];
        buffer.read(offset, &mut set);
        CpuSet(set)
    }
    /// CPUs 0 to `count - 1`.
    pub fn all(count: u32) -> Self {
        (0..count).collect()
    }
    /// Whether a CPU is in it.
    pub fn has(&self, cpu: u32) -> bool {
        self.0.get(cpu as usize / 8).is_some_and(|byte| byte >> (cpu % 8) & 1 == 1)
    }
    /// Adds one.
    pub fn add(&mut self, cpu: u32) {
        let at = cpu as usize / 8;
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        if let Some(byte) = self.0.get_mut(at) {
            *byte |= 1 << (cpu % 8);
        }
    }
    /// Takes one out.
    pub fn remove(&mut self, cpu: u32) {
        if let Some(byte) = self.0.get_mut(cpu as usize / 8) {
            *byte &= !(1 << (cpu % 8));
        }
    }
    /// Its CPUs, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.0.len() as u32 * 8).filter(|cpu| self.has(*cpu))
    }
    /// Whether none is in it.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
    /// As Xen's tools write it: `0-3,5`; `all` if it has all of `count`; `none`.
    pub fn display(&self, count: u32) -> String {
        if (0..count).all(|cpu| self.has(cpu)) {
            return "all".to_owned();
        }
        let mut parts: Vec<(u32, u32)> = Vec::new();
        for cpu in self.iter().filter(|cpu| *cpu < count) {
            match parts.last_mut() {
                Some((_, last)) if *last + 1 == cpu => *last = cpu,
                _ => parts.push((cpu, cpu)),
            }
        }
        if parts.is_empty() {
            return "none".to_owned();
        }
        let parts: Vec<String> =
            parts.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") }).collect();
        parts.join(",")
    }
}

impl FromIterator<u32> for CpuSet {
    fn from_iter<I: IntoIterator<Item = u32>>(cpus: I) -> Self {
        let mut set = CpuSet::default();
        cpus.into_iter().for_each(|cpu| set.add(cpu));
        set
    }
}

impl<H: Hypercalls> Xen<H> {
    /// Gives a vcpu that never ran its first state.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn set_vcpu_context(&self, domid: u16, vcpu: u32, context: &VcpuGuestContext) -> Result<()> {
        let buffer = self.buffer(size_of_val(context))?;
        buffer.write(0, context.as_bytes());
        let arg = XenDomctlVcpucontext { vcpu, ctxt: GuestPtr::new(buffer.addr()), ..Default::default() };
        self.domctl("set its first registers", domid, XEN_DOMCTL_setvcpucontext, &arg).map(drop)
    }

    /// A vcpu's registers.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn vcpu_context(&self, domid: u16, vcpu: u32) -> Result<VcpuGuestContext> {
        let buffer = self.buffer(size_of::<VcpuGuestContext>())?;
        let arg = XenDomctlVcpucontext { vcpu, ctxt: GuestPtr::new(buffer.addr()), ..Default::default() };
        self.domctl("read its registers", domid, XEN_DOMCTL_getvcpucontext, &arg)?;
        let mut context = VcpuGuestContext::new_zeroed();
        buffer.read(0, context.as_mut_bytes());
        Ok(context)
    }

    /// What a vcpu does.
    ///
    /// # Errors
    /// The hypervisor's; `ESRCH`: there is no such vcpu.
    pub fn vcpu_info(&self, domid: u16, vcpu: u32) -> Result<VcpuInfo> {
        let arg = XenDomctlGetvcpuinfo { vcpu, ..Default::default() };
        let op = self.domctl("look at its vcpu", domid, XEN_DOMCTL_getvcpuinfo, &arg)?;
        let info: XenDomctlGetvcpuinfo = member::get(&op.u);
        Ok(VcpuInfo {
            online: info.online != 0,
            blocked: info.blocked != 0,
            running: info.running != 0,
            cpu_time: info.cpu_time,
            cpu: info.cpu,
        })
    }

    /// How long a vcpu of this domain itself was in which state.
    ///
    /// # Errors
    /// The hypervisor's; `ENOENT`: there is no such vcpu.
    pub fn own_state_times(&self, vcpu: u32) -> Result<StateTimes> {
        let mut info = VcpuRunstateInfo::default();
        self.with(__HYPERVISOR_vcpu_op, &[VCPUOP_get_runstate_info.into(), vcpu.into()], &mut info)
            .map_err(|errno| Error { what: "look at a vcpu's run states", domid: None, errno })?;
        Ok(StateTimes::from(&info))
    }

    /// How long a vcpu of any domain was in which state, and how many hypercalls it made. `None`: the hypervisor is Xen, which
    /// does not say.
    ///
    /// # Errors
    /// The hypervisor's; `ESRCH`: there is no such vcpu.
    pub fn vcpu_account(&self, domid: u16, vcpu: u32) -> Result<Option<(StateTimes, u64)>> {
        let arg = FerroxenVcpuAccount { vcpu, ..Default::default() };
        match self.domctl("look at its vcpu's account", domid, XEN_DOMCTL_ferroxen_vcpu_account, &arg) {
            Ok(op) => {
                let told: FerroxenVcpuAccount = member::get(&op.u);
                Ok(Some((StateTimes::from(&told.runstate), told.hypercalls)))
            }
            Err(Error { errno: Errno::ENOSYS | Errno::EOPNOTSUPP, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where a vcpu may run, and where it likes to; `count` CPUs are there.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn vcpu_affinity(&self, domid: u16, vcpu: u32, count: u32) -> Result<(CpuSet, CpuSet)> {
        let (buffer, arg) = self.affinity(vcpu, count, XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT)?;
        self.domctl("read its vcpu's affinity", domid, XEN_DOMCTL_getvcpuaffinity, &arg)?;
        Ok((CpuSet::read(&buffer, 0, count), CpuSet::read(&buffer, HALF, count)))
    }

    /// Changes where a vcpu may run and where it likes to; `None`: as it is.
    ///
    /// # Errors
    /// The hypervisor's; `EINVAL`: no CPU of the set is online.
    pub fn set_vcpu_affinity(
        &self,
        domid: u16,
        vcpu: u32,
        hard: Option<&CpuSet>,
        soft: Option<&CpuSet>,
        count: u32,
    ) -> Result<()> {
        let flags = if hard.is_some() { XEN_VCPUAFFINITY_HARD } else { 0 }
            | if soft.is_some() { XEN_VCPUAFFINITY_SOFT } else { 0 };
        let (buffer, arg) = self.affinity(vcpu, count, flags)?;
        for (set, offset) in [(hard, 0), (soft, HALF)] {
            let bytes = count.div_ceil(8) as usize;
            let set = set.map_or(&[][..], |set| &set.0);
            buffer.write(offset, set.get(..bytes).unwrap_or(set));
        }
        self.domctl("set its vcpu's affinity", domid, XEN_DOMCTL_setvcpuaffinity, &arg).map(drop)
    }

    fn affinity(&self, vcpu: u32, count: u32, flags: u32) -> Result<(H::Buffer, XenDomctlVcpuaffinity)> {
        let buffer = self.buffer(2 * HALF)?;
        let map = |offset: usize| bitmap(GuestPtr::new(buffer.addr() + offset as u64), count);
        let arg = XenDomctlVcpuaffinity { vcpu, flags, cpumap_hard: map(0), cpumap_soft: map(HALF) };
        Ok((buffer, arg))
    }
}

/// Where in the buffer the second set of CPUs is.
const HALF: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_cpus_are_written_as_xens_tools_do() {
        assert_eq!(CpuSet::all(4).display(4), "all");
        assert_eq!([0, 1, 2, 5].into_iter().collect::<CpuSet>().display(8), "0-2,5");
        assert_eq!(CpuSet::default().display(8), "none");
        let mut set = CpuSet::all(3);
        set.remove(1);
        assert_eq!(set.display(4), "0,2");
    }
}
