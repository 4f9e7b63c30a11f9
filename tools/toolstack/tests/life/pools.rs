//! CPU pools, whose commands are killed at every step. Ferroxen has one pool; the hypervisor here has several, as Xen has.

use super::*;
use ferroxen_sim::control::SimBuffer;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, Weak};
use toolstack::NewPool;
use xen_abi::sysctl::*;
use xen_abi::{Errno, member};
use xen_call::Buffer as _;
use zerocopy::{FromZeros as _, IntoBytes as _};

/// Pools by number, with their CPUs of two.
#[derive(Debug)]
pub struct Pools(Mutex<BTreeMap<u32, BTreeSet<u32>>>);

/// A process' buffers by their addresses.
pub type Buffers = Arc<Mutex<BTreeMap<u64, Weak<SimBuffer>>>>;

impl Pools {
    /// The first pool has CPU 0, the other CPU is free.
    fn new() -> Arc<Pools> {
        Arc::new(Pools(Mutex::new(BTreeMap::from([(0, BTreeSet::from([0]))]))))
    }

    /// A line for each.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(id, cpus)| format!("pool {id}: {cpus:?}")).collect()
    }

    /// Answers a `sysctl` that is about pools.
    pub fn sysctl(&self, buffers: &Buffers, at: u64) -> Option<Result<u64, Errno>> {
        let buffer = |at: u64| buffers.lock().unwrap().get(&at).and_then(Weak::upgrade);
        let arg = buffer(at)?;
        let mut op = XenSysctl::new_zeroed();
        arg.read(0, op.as_mut_bytes());
        if op.cmd != XEN_SYSCTL_cpupool_op {
            return None;
        }
        let mut pool: XenSysctlCpupoolOp = member::get(&op.u);
        let result = self.operate(&mut pool).map(|cpus| {
            if let Some(map) = buffer(pool.cpumap.bitmap.addr()) {
                map.write(0, &[cpus.iter().map(|cpu| 1 << cpu).sum()]);
            }
            member::put(&mut op.u, &pool);
            arg.write(0, op.as_bytes());
            0
        });
        Some(result)
    }

    fn operate(&self, arg: &mut XenSysctlCpupoolOp) -> Result<BTreeSet<u32>, Errno> {
        let mut pools = self.0.lock().unwrap();
        let free = |pools: &BTreeMap<u32, BTreeSet<u32>>| -> BTreeSet<u32> {
            (0..2).filter(|cpu| !pools.values().any(|cpus| cpus.contains(cpu))).collect()
        };
        match arg.op {
            XEN_SYSCTL_CPUPOOL_OP_INFO => {
                let (id, cpus) = pools.range(arg.cpupool_id..).next().ok_or(Errno::ENOENT)?;
                (arg.cpupool_id, arg.n_dom) = (*id, u32::from(*id == 0));
                return Ok(cpus.clone());
            }
            XEN_SYSCTL_CPUPOOL_OP_FREEINFO => return Ok(free(&pools)),
            XEN_SYSCTL_CPUPOOL_OP_CREATE => {
                arg.cpupool_id = (0..).find(|id| !pools.contains_key(id)).unwrap();
                pools.insert(arg.cpupool_id, BTreeSet::new());
            }
            XEN_SYSCTL_CPUPOOL_OP_DESTROY => {
                if !pools.get(&arg.cpupool_id).ok_or(Errno::ENOENT)?.is_empty() {
                    return Err(Errno::EBUSY);
                }
                pools.remove(&arg.cpupool_id);
            }
            XEN_SYSCTL_CPUPOOL_OP_ADDCPU => {
                if !free(&pools).contains(&arg.cpu) {
                    return Err(Errno::EBUSY);
                }
                pools.get_mut(&arg.cpupool_id).ok_or(Errno::ENOENT)?.insert(arg.cpu);
            }
            XEN_SYSCTL_CPUPOOL_OP_RMCPU => {
                if !pools.get_mut(&arg.cpupool_id).ok_or(Errno::ENOENT)?.remove(&arg.cpu) {
                    return Err(Errno::EINVAL);
                }
            }
            _ => return Err(Errno::ENOSYS),
        }
        Ok(BTreeSet::new())
    }
}

fn machine() -> Machine {
    let mut machine = Machine::new();
    machine.pools = Some(Pools::new());
    machine
}

fn new() -> NewPool {
    NewPool { name: "p".to_owned(), ..NewPool::default() }
}

fn destroy(host: &mut Host<Tool>) -> toolstack::Result<()> {
    let pool = host.find_pool("p")?;
    host.destroy_pool(&pool)
}

#[test]
fn a_pool_whose_making_is_killed_at_any_step_is_there_or_gone() {
    let machine = machine();
    well(&machine, |host| host.create_pool(&new()).and_then(|_| destroy(host)).unwrap());
    let before = machine.picture();
    let mut at = 0;
    while process(&machine, &Fate::new(Blow::Death, at), |host| host.create_pool(&new()).map(drop)).is_none() {
        let place = format!("a kill at step {at}");
        recover(&machine, &place);
        let names: Vec<String> =
            well(&machine, |host| host.pools().unwrap().into_iter().map(|pool| pool.name).collect());
        match names.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            // A second try works.
            ["Pool-0"] => {
                machine.settles_to(&before, &place);
                well(&machine, |host| host.create_pool(&new()).unwrap());
            }
            ["Pool-0", "p"] => {}
            _ => panic!("{place}: {names:?}"),
        }
        well(&machine, |host| destroy(host).unwrap());
        machine.settles_to(&before, &place);
        at += 1;
    }
    assert!(at > 8, "{at} steps");
}

#[test]
fn a_pool_whose_making_fails_at_any_step_is_gone() {
    let machine = machine();
    well(&machine, |host| host.create_pool(&new()).and_then(|_| destroy(host)).unwrap());
    let before = machine.picture();
    for at in 0.. {
        let fate = Fate::new(Blow::Error, at);
        if process(&machine, &fate, |host| host.create_pool(&new())).unwrap().is_ok() {
            well(&machine, |host| destroy(host).unwrap());
        }
        machine.settles_to(&before, &format!("an error at step {at}"));
        if fate.taken() <= at {
            break;
        }
    }
}

#[test]
fn a_pool_whose_end_is_killed_at_any_step_is_there_or_gone() {
    let machine = machine();
    well(&machine, |host| host.create_pool(&new()).and_then(|_| destroy(host)).unwrap());
    let before = machine.picture();
    for at in 0.. {
        well(&machine, |host| host.create_pool(&new()).unwrap());
        let killed = process(&machine, &Fate::new(Blow::Death, at), |host| destroy(host).is_ok()).is_none();
        let place = format!("a kill at step {at}");
        recover(&machine, &place);
        if well(&machine, |host| host.find_pool("p")).is_ok() {
            // It was not begun: a second try works.
            well(&machine, |host| destroy(host).unwrap());
        }
        machine.settles_to(&before, &place);
        if !killed {
            assert!(at > 5, "{at} steps");
            break;
        }
    }
}

/// Between a kill and the next command, a pool of somebody else took the number.
#[test]
fn somebody_elses_pool_is_left_alone() {
    let machine = machine();
    well(&machine, |host| host.create_pool(&new()).unwrap());
    // The pool is gone, its name is not.
    let mut at = 0;
    while machine.pools.as_ref().unwrap().lines().len() == 2 {
        process(&machine, &Fate::new(Blow::Death, at), |host| destroy(host).is_ok());
        at += 1;
    }
    let mut xs = Xenstore::open_socket(&machine.dir.path().join("socket")).unwrap();
    let xl = machine.tool(&Fate::kind());
    let id = xl.xen.create_pool(0).unwrap();
    assert_eq!(id, 1);
    xs.write("/local/pool/1/uuid", b"another").unwrap();
    xs.write("/local/pool/1/name", b"xl").unwrap();
    recover(&machine, "another pool");
    assert_eq!(well(&machine, |host| host.find_pool("xl").unwrap().pool.id), 1);
}
