//! What schedulers can be told: of a domain, of a vcpu, of a whole CPU pool.

use crate::call::list;
use crate::{Result, Xen};
use xen_abi::domctl::*;
use xen_abi::sysctl::{
    XEN_SYSCTL_SCHEDOP_getinfo, XEN_SYSCTL_SCHEDOP_putinfo, XEN_SYSCTL_scheduler_op, XenSysctlSchedulerOp,
};
use xen_abi::{GuestPtr, member};
use xen_call::{Buffer as _, Hypercalls};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Numbers of schedulers, and what Xen's tools call them.
const SCHEDULERS: [(u32, &str); 5] = [
    (XEN_SCHEDULER_CREDIT, "credit"),
    (XEN_SCHEDULER_CREDIT2, "credit2"),
    (XEN_SCHEDULER_ARINC653, "arinc653"),
    (XEN_SCHEDULER_RTDS, "rtds"),
    (XEN_SCHEDULER_NULL, "null"),
];

/// A scheduler's name, from its number.
pub fn scheduler_name(id: u32) -> &'static str {
    SCHEDULERS.iter().find(|(known, _)| *known == id).map_or("unknown", |(_, name)| name)
}

/// A scheduler's number, from its name.
pub fn scheduler_id(name: &str) -> Option<u32> {
    SCHEDULERS.iter().find(|(_, known)| *known == name).map(|(id, _)| *id)
}

/// Parameters of all vcpus of a domain with `rtds`; its `vcpuid` says whose.
pub type VcpuParameters = XenDomctlSchedparamVcpu;

impl<H: Hypercalls> Xen<H> {
    /// A domain's parameters: `T` is what the scheduler of this number has of a domain.
    ///
    /// # Errors
    /// The hypervisor's; `EINVAL`: the domain has another scheduler.
    pub fn sched_domain<T: FromBytes>(&self, domid: u16, scheduler: u32) -> Result<T> {
        let arg = XenDomctlSchedulerOp { sched_id: scheduler, cmd: XEN_DOMCTL_SCHEDOP_getinfo, ..Default::default() };
        let op = self.domctl("read its scheduling parameters", domid, XEN_DOMCTL_scheduler_op, &arg)?;
        let answer: XenDomctlSchedulerOp = member::get(&op.u);
        Ok(member::get(&answer.u))
    }

    /// Sets a domain's parameters.
    ///
    /// # Errors
    /// The hypervisor's; `EINVAL`: the domain has another scheduler, or a parameter is out of range.
    pub fn set_sched_domain<T: IntoBytes + Immutable>(&self, domid: u16, scheduler: u32, value: &T) -> Result<()> {
        let mut arg =
            XenDomctlSchedulerOp { sched_id: scheduler, cmd: XEN_DOMCTL_SCHEDOP_putinfo, ..Default::default() };
        member::put(&mut arg.u, value);
        self.domctl("set its scheduling parameters", domid, XEN_DOMCTL_scheduler_op, &arg).map(drop)
    }

    /// The parameters of these vcpus, in their order.
    ///
    /// # Errors
    /// The hypervisor's; `EINVAL`: no such vcpu, or the scheduler has none of single vcpus.
    pub fn sched_vcpus(&self, domid: u16, scheduler: u32, vcpus: &[u32]) -> Result<Vec<VcpuParameters>> {
        let ask: Vec<_> = vcpus.iter().map(|vcpu| VcpuParameters { vcpuid: *vcpu, ..Default::default() }).collect();
        let what = "read its vcpus' scheduling parameters";
        self.vcpu_list(what, domid, scheduler, XEN_DOMCTL_SCHEDOP_getvcpuinfo, &ask)
    }

    /// Sets the parameters of vcpus.
    ///
    /// # Errors
    /// As [`Self::sched_vcpus`]; a parameter is out of range.
    pub fn set_sched_vcpus(&self, domid: u16, scheduler: u32, all: &[VcpuParameters]) -> Result<()> {
        let what = "set its vcpus' scheduling parameters";
        self.vcpu_list(what, domid, scheduler, XEN_DOMCTL_SCHEDOP_putvcpuinfo, all).map(drop)
    }

    fn vcpu_list(
        &self,
        what: &'static str,
        domid: u16,
        scheduler: u32,
        cmd: u32,
        all: &[VcpuParameters],
    ) -> Result<Vec<VcpuParameters>> {
        let buffer = self.buffer(size_of_val(all))?;
        buffer.write(0, all.as_bytes());
        let vcpus = XenDomctlSchedulerOpV {
            vcpus: GuestPtr::new(buffer.addr()),
            nr_vcpus: u32::try_from(all.len()).unwrap_or(0),
            padding: 0,
        };
        let mut arg = XenDomctlSchedulerOp { sched_id: scheduler, cmd, ..Default::default() };
        member::put(&mut arg.u, &vcpus);
        self.domctl(what, domid, XEN_DOMCTL_scheduler_op, &arg)?;
        Ok(list(&buffer, all.len()))
    }

    /// A pool's parameters: `T` is what the scheduler of this number has of a pool.
    ///
    /// # Errors
    /// The hypervisor's; `EINVAL`: the pool has another scheduler.
    pub fn sched_pool<T: FromBytes>(&self, pool: u32, scheduler: u32) -> Result<T> {
        let arg = XenSysctlSchedulerOp {
            cpupool_id: pool,
            sched_id: scheduler,
            cmd: XEN_SYSCTL_SCHEDOP_getinfo,
            ..Default::default()
        };
        let answer = self.sysctl("read the CPU pool's scheduling parameters", XEN_SYSCTL_scheduler_op, &arg)?;
        Ok(member::get(&answer.u))
    }

    /// Sets a pool's parameters.
    ///
    /// # Errors
    /// The hypervisor's; `EINVAL`: the pool has another scheduler, or a parameter is out of range.
    pub fn set_sched_pool<T: IntoBytes + Immutable>(&self, pool: u32, scheduler: u32, value: &T) -> Result<()> {
        let mut arg = XenSysctlSchedulerOp {
            cpupool_id: pool,
            sched_id: scheduler,
            cmd: XEN_SYSCTL_SCHEDOP_putinfo,
            ..Default::default()
        };
        member::put(&mut arg.u, value);
        self.sysctl("set the CPU pool's scheduling parameters", XEN_SYSCTL_scheduler_op, &arg).map(drop)
    }
}
