//! A process that meets an error at one step, or is killed there. Steps are its hypercalls and its requests to the store.

use crate::pools::{Buffers, Pools};
use ferroxen_sim::control::{Control, SimBuffer, SimMap};
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use xen_abi::Errno;
use xen_abi::xen::{__HYPERVISOR_domctl, __HYPERVISOR_sysctl};
use xen_call::Buffer;
use xenctl::Hypercalls;

/// What happens at the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// It fails; the next ones do not.
    Error,
    /// The process is killed.
    Death,
}

/// What a killed process' thread ends with.
pub struct Killed;

/// A process' fate.
#[derive(Debug)]
pub struct Fate {
    blow: Blow,
    /// The step before which it comes.
    at: u64,
    taken: AtomicU64,
    dead: AtomicBool,
}

impl Fate {
    pub fn new(blow: Blow, at: u64) -> Arc<Fate> {
        Arc::new(Fate { blow, at, taken: AtomicU64::new(0), dead: AtomicBool::new(false) })
    }

    /// Nothing happens.
    pub fn kind() -> Arc<Fate> {
        Fate::new(Blow::Error, u64::MAX)
    }

    /// Steps so far.
    pub fn taken(&self) -> u64 {
        self.taken.load(SeqCst)
    }

    /// Whether the process was killed.
    pub fn is_dead(&self) -> bool {
        self.dead.load(SeqCst)
    }

    /// Takes a step, unless that is not to be.
    pub fn step(&self) -> Result<(), Blow> {
        if self.taken.fetch_add(1, SeqCst) == self.at {
            self.dead.store(self.blow == Blow::Death, SeqCst);
            return Err(self.blow);
        }
        if self.is_dead() { Err(Blow::Death) } else { Ok(()) }
    }
}

/// The hypervisor, as a process with a fate sees it.
pub struct Tool {
    pub control: Control,
    pub fate: Arc<Fate>,
    /// Rung when a domain may have ended.
    pub bell: UnixStream,
    /// CPU pools, where there are several.
    pub pools: Option<Arc<Pools>>,
    /// This process' memory for hypercalls.
    pub buffers: Buffers,
}

/// Memory that the pools find.
pub struct Held(Arc<SimBuffer>);

impl Buffer for Held {
    fn addr(&self) -> u64 {
        self.0.addr()
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn read(&self, offset: usize, into: &mut [u8]) {
        self.0.read(offset, into);
    }
    fn write(&self, offset: usize, from: &[u8]) {
        self.0.write(offset, from);
    }
}

impl Tool {
    fn step(&self) -> Result<(), Errno> {
        match self.fate.step() {
            Ok(()) => Ok(()),
            Err(Blow::Error) => Err(Errno::ENOMEM),
            // No more of its code runs.
            Err(Blow::Death) => std::panic::resume_unwind(Box::new(Killed)),
        }
    }
}

impl Hypercalls for Tool {
    type Buffer = Held;
    type Map = SimMap;

    fn buffer(&self, len: usize) -> Result<Held, Errno> {
        let buffer = Arc::new(self.control.buffer(len)?);
        self.buffers.lock().unwrap().insert(buffer.addr(), Arc::downgrade(&buffer));
        Ok(Held(buffer))
    }
    fn call(&self, number: u32, args: [u64; 5]) -> Result<u64, Errno> {
        self.step()?;
        if number == __HYPERVISOR_sysctl
            && let Some(answer) = self.pools.as_ref().and_then(|pools| pools.sysctl(&self.buffers, args[0]))
        {
            return answer;
        }
        let result = self.control.call(number, args);
        if number == __HYPERVISOR_domctl {
            (&self.bell).write_all(&[0]).unwrap();
        }
        result
    }
    fn map_foreign(&self, domid: u16, frames: &[u64], writable: bool) -> Result<SimMap, Errno> {
        self.step()?;
        self.control.map_foreign(domid, frames, writable)
    }
    fn map_resource(&self, domid: u16, kind: u16, id: u32, frame: u64, count: usize) -> Result<SimMap, Errno> {
        self.step()?;
        self.control.map_resource(domid, kind, id, frame, count)
    }
}
