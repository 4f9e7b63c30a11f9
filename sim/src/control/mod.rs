//! The hypervisor as the control domain's tools see it: [`Hypercalls`] through the real dispatch, in this process. Domains
//! are made, changed and destroyed as on a machine, but no vcpu ever runs.

mod devices;
mod platform;
mod story;

pub use story::{Chance, STEP, run};

use devices::NoDevices;
use ferroxen_core::addr::Mfn;
use ferroxen_core::cpu::CpuId;
use ferroxen_core::ctx::{Ctx, Effects};
use ferroxen_core::domain::{DomId, Domain, Hypervisor};
use ferroxen_core::evtchn::audit_ports;
use ferroxen_core::frame::{FrameEntry, FrameRef, FrameTable, IoRanges, TypeRef};
use ferroxen_core::hypercall::{Stop, dispatch};
use ferroxen_core::paging;
use ferroxen_core::platform::Platform;
use ferroxen_core::pv::{IN_KERNEL, PvState};
use ferroxen_core::sched::Scheduler;
use ferroxen_sync::{Shared, SharedPage};
use platform::{Bytes, CPUS, CalmPlatform, lock};
use std::sync::{Arc, Mutex};
use xen_abi::memory::{XENMEM_acquire_resource, XenMemAcquireResource};
use xen_abi::xen::__HYPERVISOR_memory_op;
use xen_abi::{Errno, GuestPtr};
use xen_call::{Buffer, ForeignMap, Hypercalls, RingMemory};
use zerocopy::IntoBytes;

const PAGE: usize = 4096;
/// Continuations after which a call does not end: more than any call has work here.
const MAX_CONTINUATIONS: usize = 1_000_000;

/// A machine with a hypervisor and its control domain. Clones are handles of the same one.
#[derive(Clone)]
pub struct Control(Arc<Inner>);

struct Inner {
    hv: Hypervisor<CalmPlatform>,
    devices: Mutex<NoDevices>,
}

impl Control {
    /// A machine of so many frames, most of them free.
    ///
    /// # Panics
    /// Without memory.
    pub fn new(frames: usize) -> Self {
        let entries: Vec<FrameEntry> = (0..frames).map(|_| FrameEntry::default()).collect();
        let end = frames as u64;
        let mut io = IoRanges::new(Mfn(0x1_0000_0000));
        assert!(io.restrict(Mfn(0), Mfn(end), false));
        let table = FrameTable::new(Box::leak(entries.into_boxed_slice()), io);
        let hv = Hypervisor::try_new(CalmPlatform::new(frames), table, CPUS).unwrap_or_else(|_| panic!("no memory"));
        (0..CPUS).for_each(|cpu| hv.sched.add_cpu(CpuId(cpu)));
        hv.heap.add(&hv.frames, Mfn(16), end - 16);
        let dom = Domain::try_new(DomId(0), 1, true).unwrap_or_else(|_| panic!("no memory"));
        let dom = Shared::try_new(dom).unwrap_or_else(|_| panic!("no memory"));
        dom.create_vcpu(0).unwrap_or_else(|_| panic!("no memory"));
        assert!(hv.domains.insert(dom).is_ok());
        Control(Arc::new(Inner { hv, devices: Mutex::default() }))
    }

    /// What is in use, a line each: what may not change when a domain came and went.
    pub fn in_use(&self) -> Vec<String> {
        let mut lines = vec![format!("{} frames are free", self.0.hv.heap.stats().free)];
        lines.extend(self.domains().map(|dom| {
            let ports = audit_ports(&dom).0;
            format!("domain {}: {} frames, {ports:?}", dom.id.0, dom.pages.total.load(SEQ))
        }));
        lines
    }

    /// Every domain, by number.
    fn domains(&self) -> impl Iterator<Item = Shared<Domain<CalmPlatform>>> {
        let mut at = Some(DomId(0));
        std::iter::from_fn(move || {
            let dom = self.0.hv.domains.next(at?)?;
            at = dom.id.0.checked_add(1).map(DomId);
            Some(dom)
        })
    }

    /// Runs something as a hypercall of the control domain.
    fn as_dom0<R>(&self, run: impl FnOnce(&mut Ctx<'_, CalmPlatform>) -> R) -> R {
        let Some(dom) = self.0.hv.domains.get(DomId(0)) else { panic!("there is always a control domain") };
        let Some(vcpu) = dom.vcpu(0) else { panic!("it has a vcpu") };
        let mut pv = PvState { flags: IN_KERNEL, ..PvState::default() };
        let hv = &self.0.hv;
        run(&mut Ctx { hv, cpu: CpuId(0), vcpu, dom: &dom, pv: &mut pv, effects: Effects::default() })
    }
}

const SEQ: std::sync::atomic::Ordering = std::sync::atomic::Ordering::SeqCst;

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.in_use()).finish()
    }
}

impl Hypercalls for Control {
    type Buffer = SimBuffer;
    type Map = SimMap;

    fn buffer(&self, len: usize) -> Result<SimBuffer, Errno> {
        let (at, bytes) = self.0.hv.platform.add_buffer(len.next_multiple_of(PAGE));
        Ok(SimBuffer { control: self.clone(), at, bytes })
    }

    fn call(&self, number: u32, args: [u64; 5]) -> Result<u64, Errno> {
        let mut all = [0; 6];
        all.iter_mut().zip(args).for_each(|(to, from)| *to = from);
        for _ in 0..MAX_CONTINUATIONS {
            let mut devices = lock(&self.0.devices);
            match self.as_dom0(|ctx| dispatch(ctx, &mut *devices, number.into(), all)) {
                Ok(value) => return Ok(value),
                Err(Stop::Err(errno)) => return Err(errno),
                Err(Stop::Again(next)) => all = next,
            }
        }
        panic!("hypercall {number} with {args:x?} never ends");
    }

    fn map_foreign(&self, domid: u16, frames: &[u64], writable: bool) -> Result<SimMap, Errno> {
        let dom = self.0.hv.domains.get(DomId(domid)).ok_or(Errno::ESRCH)?;
        let mut map = SimMap { control: self.clone(), pages: Vec::new() };
        for frame in frames {
            // As an entry in the control domain's tables would: a page table is not mapped writable.
            let held = self.as_dom0(|ctx| paging::get_writable(ctx, &dom, Mfn(*frame), writable));
            map.pages.push(held.map_err(|error| error.errno())?);
        }
        Ok(map)
    }

    fn map_resource(&self, domid: u16, kind: u16, id: u32, frame: u64, count: usize) -> Result<SimMap, Errno> {
        let list = self.buffer(count * size_of::<u64>())?;
        let request = XenMemAcquireResource {
            domid,
            r#type: kind,
            id,
            nr_frames: count as u32,
            frame,
            frame_list: GuestPtr::new(list.addr()),
            ..Default::default()
        };
        let argument = self.buffer(size_of_val(&request))?;
        argument.write(0, request.as_bytes());
        self.call(__HYPERVISOR_memory_op, [XENMEM_acquire_resource.into(), argument.addr(), 0, 0, 0])?;
        let mut frames = vec![0u64; count];
        list.read(0, frames.as_mut_bytes());
        self.map_foreign(domid, &frames, true)
    }
}

/// Memory of the control domain.
pub struct SimBuffer {
    control: Control,
    at: u64,
    bytes: Bytes,
}

impl Buffer for SimBuffer {
    fn addr(&self) -> u64 {
        self.at
    }
    fn len(&self) -> usize {
        lock(&self.bytes).len()
    }
    fn read(&self, offset: usize, into: &mut [u8]) {
        lock(&self.bytes).iter().skip(offset).zip(into).for_each(|(from, to)| *to = *from);
    }
    fn write(&self, offset: usize, from: &[u8]) {
        lock(&self.bytes).iter_mut().skip(offset).zip(from).for_each(|(to, from)| *to = *from);
    }
}

impl Drop for SimBuffer {
    fn drop(&mut self) {
        self.control.0.hv.platform.remove_buffer(self.at);
    }
}

/// Frames of another domain, which they stay as long as this is there.
pub struct SimMap {
    control: Control,
    pages: Vec<(FrameRef, Option<TypeRef>)>,
}

impl SimMap {
    fn page(&self, offset: usize) -> &SharedPage {
        let Some((frame, _)) = self.pages.get(offset / PAGE) else { panic!("{offset:#x} is not mapped") };
        self.control.0.hv.platform.page(frame.mfn())
    }

    fn writable(&self, offset: usize) -> bool {
        matches!(self.pages.get(offset / PAGE), Some((_, Some(_))))
    }
}

impl ForeignMap for SimMap {
    fn len(&self) -> usize {
        self.pages.len() * PAGE
    }
}

impl RingMemory for SimMap {
    fn load_u32(&self, offset: usize) -> u32 {
        self.page(offset).load_u32(offset % PAGE)
    }
    fn store_u32(&self, offset: usize, value: u32) {
        if self.writable(offset) {
            self.page(offset).store_u32(offset % PAGE, value);
        }
    }
    fn read(&self, offset: usize, into: &mut [u8]) {
        (offset..).zip(into).for_each(|(at, to)| *to = self.page(at).load_u8(at % PAGE));
    }
    fn write(&self, offset: usize, from: &[u8]) {
        let writable = (offset..).zip(from).filter(|(at, _)| self.writable(*at));
        writable.for_each(|(at, from)| self.page(at).store_u8(at % PAGE, *from));
    }
}

impl Drop for SimMap {
    fn drop(&mut self) {
        for (frame, used) in self.pages.drain(..) {
            self.control.as_dom0(|ctx| paging::put_writable(ctx, frame, used));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hypercall_reads_and_writes_the_control_domains_memory() {
        use xen_abi::version::XENVER_extraversion;
        use xen_abi::xen::__HYPERVISOR_xen_version;
        let control = Control::new(64);
        let buffer = control.buffer(16).unwrap_or_else(|errno| panic!("{errno:?}"));
        let args = [XENVER_extraversion.into(), buffer.addr(), 0, 0, 0];
        assert_eq!(control.call(__HYPERVISOR_xen_version, args), Ok(0));
        let mut text = [0xff; 16];
        buffer.read(0, &mut text);
        assert!(text.contains(&0), "{text:?}");
        // Behind the buffer is nothing.
        let beyond = [XENVER_extraversion.into(), buffer.addr() + 4090, 0, 0, 0];
        assert_eq!(control.call(__HYPERVISOR_xen_version, beyond), Err(Errno::EFAULT));
    }
}
