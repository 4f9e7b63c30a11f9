//! CPU pools: sets of CPUs, each with a scheduler of its own.

use crate::vcpu::{CpuSet, bitmap};
use crate::{Error, Result, Xen};
use xen_abi::sysctl::*;
use xen_abi::{Errno, GuestPtr};
use xen_call::{Buffer as _, Hypercalls};

/// A CPU pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its number.
    pub id: u32,
    /// Its scheduler (`XEN_SCHEDULER_*`).
    pub scheduler: u32,
    /// How many domains are in it.
    pub domains: u32,
    /// Its CPUs.
    pub cpus: CpuSet,
}

impl<H: Hypercalls> Xen<H> {
    fn pool_op(&self, what: &'static str, arg: XenSysctlCpupoolOp) -> Result<XenSysctlCpupoolOp> {
        self.sysctl(what, XEN_SYSCTL_cpupool_op, &arg)
    }

    /// All CPU pools, by number; `count` CPUs are there.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn pools(&self, count: u32) -> Result<Vec<Pool>> {
        let buffer = self.buffer(count.div_ceil(8) as usize)?;
        let (mut all, mut next) = (Vec::new(), 0);
        loop {
            // The hypervisor gives the first one from this number on.
            let ask = XenSysctlCpupoolOp {
                op: XEN_SYSCTL_CPUPOOL_OP_INFO,
                cpupool_id: next,
                cpumap: bitmap(GuestPtr::new(buffer.addr()), count),
                ..Default::default()
            };
            let found = match self.pool_op("look at a CPU pool", ask) {
                Err(Error { errno: Errno::ENOENT, .. }) => return Ok(all),
                other => other?,
            };
            let cpus = CpuSet::read(&buffer, 0, count);
            let (id, scheduler, domains) = (found.cpupool_id, found.sched_id, found.n_dom);
            all.push(Pool { id, scheduler, domains, cpus });
            match id.checked_add(1) {
                Some(after) => next = after,
                None => return Ok(all),
            }
        }
    }

    /// The CPUs that are in no pool; `count` are there.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn free_cpus(&self, count: u32) -> Result<CpuSet> {
        let buffer = self.buffer(count.div_ceil(8) as usize)?;
        let cpumap = bitmap(GuestPtr::new(buffer.addr()), count);
        let ask = XenSysctlCpupoolOp { op: XEN_SYSCTL_CPUPOOL_OP_FREEINFO, cpumap, ..Default::default() };
        self.pool_op("ask for the CPUs that are in no pool", ask)?;
        Ok(CpuSet::read(&buffer, 0, count))
    }

    /// Makes a pool without CPUs. Gives its number.
    ///
    /// # Errors
    /// The hypervisor's; `EINVAL`: it has no such scheduler.
    pub fn create_pool(&self, scheduler: u32) -> Result<u32> {
        let arg = XenSysctlCpupoolOp {
            op: XEN_SYSCTL_CPUPOOL_OP_CREATE,
            cpupool_id: XEN_SYSCTL_CPUPOOL_PAR_ANY,
            sched_id: scheduler,
            ..Default::default()
        };
        Ok(self.pool_op("make a CPU pool", arg)?.cpupool_id)
    }

    /// Removes a pool without CPUs and domains.
    ///
    /// # Errors
    /// The hypervisor's; `EBUSY`: it has some.
    pub fn destroy_pool(&self, id: u32) -> Result<()> {
        let op = XEN_SYSCTL_CPUPOOL_OP_DESTROY;
        self.pool_op("remove the CPU pool", XenSysctlCpupoolOp { op, cpupool_id: id, ..Default::default() }).map(drop)
    }

    /// Puts a CPU that is in no pool into one.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn add_cpu_to_pool(&self, id: u32, cpu: u32) -> Result<()> {
        let op = XEN_SYSCTL_CPUPOOL_OP_ADDCPU;
        let arg = XenSysctlCpupoolOp { op, cpupool_id: id, cpu, ..Default::default() };
        self.pool_op("put the CPU into the pool", arg).map(drop)
    }

    /// Takes a CPU out of a pool.
    ///
    /// # Errors
    /// The hypervisor's; `EBUSY`: it is the last one that a domain has.
    pub fn remove_cpu_from_pool(&self, id: u32, cpu: u32) -> Result<()> {
        let op = XEN_SYSCTL_CPUPOOL_OP_RMCPU;
        let arg = XenSysctlCpupoolOp { op, cpupool_id: id, cpu, ..Default::default() };
        self.pool_op("take the CPU out of the pool", arg).map(drop)
    }

    /// Moves a domain into a pool.
    ///
    /// # Errors
    /// The hypervisor's.
    pub fn move_to_pool(&self, domid: u16, id: u32) -> Result<()> {
        let op = XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN;
        let arg = XenSysctlCpupoolOp { op, cpupool_id: id, domid: domid.into(), ..Default::default() };
        self.pool_op("move it to the CPU pool", arg).map(drop).map_err(|error| Error { domid: Some(domid), ..error })
    }
}
