//! What a program in dom0 asks of the hypervisor through Linux's devices: privcmd, evtchn, gntalloc, gntdev.

use std::ffi::{CStr, c_int, c_ulong};
use std::path::Path;

use crate::PAGE;
use crate::mark::Run;
use crate::sys::{self, check};

const PRIVCMD: &CStr = c"/dev/xen/privcmd";
const EVTCHN: &CStr = c"/dev/xen/evtchn";
const GNTALLOC: &CStr = c"/dev/xen/gntalloc";
const GNTDEV: &CStr = c"/dev/xen/gntdev";

/// True if the operation exists only on a hypervisor.
pub fn needed_by(operation: &str) -> bool {
    ["null-hypercall", "event-channel", "grant-map-unmap"].contains(&operation)
}

/// True in a domain whose kernel has the devices.
pub fn is_there() -> bool {
    [PRIVCMD, EVTCHN, GNTALLOC, GNTDEV]
        .iter()
        .all(|device| device.to_str().is_ok_and(|device| Path::new(device).exists()))
}

/// Numbers of ioctls: `_IOC(none, type, number, size)`.
const fn ioc(kind: u8, number: u8, size: usize) -> c_ulong {
    (size as c_ulong) << 16 | (kind as c_ulong) << 8 | number as c_ulong
}

/// Linux's struct privcmd_hypercall.
#[repr(C)]
struct Hypercall {
    op: u64,
    arg: [u64; 5],
}

/// xen_version(XENVER_version), which does nothing, through privcmd.
pub fn null_hypercall(run: Run) -> u64 {
    const XEN_VERSION: u64 = 17;
    let device = sys::open(PRIVCMD);
    let mut call = Hypercall { op: XEN_VERSION, arg: [0; 5] };
    let start = run.begin();
    for _ in 0..run.rounds {
        sys::ioctl(device, "privcmd", ioc(b'P', 0, size_of::<Hypercall>()), &mut call);
    }
    let time = start.end();
    sys::close(device);
    time
}

#[repr(C)]
struct BindUnbound {
    remote_domain: u32,
}

#[repr(C)]
struct BindInterdomain {
    remote_domain: u32,
    remote_port: u32,
}

#[repr(C)]
struct Port {
    port: u32,
}

/// An event to another process of dom0 and one back, through the evtchn device.
pub fn event_channel(run: Run) -> u64 {
    let (near, far) = (sys::open(EVTCHN), sys::open(EVTCHN));
    let there = bind(near, far);
    let child = sys::fork(|| {
        for _ in 0..run.rounds {
            await_event(far);
            notify(far, there.1);
        }
        sys::exit_now(0)
    });
    let start = run.begin();
    for _ in 0..run.rounds {
        notify(near, there.0);
        await_event(near);
    }
    let time = start.end();
    check("waitpid", sys::wait(child));
    sys::close(near);
    sys::close(far);
    time
}

/// A channel of dom0 with itself: its port at each end.
fn bind(near: c_int, far: c_int) -> (u32, u32) {
    let mut unbound = BindUnbound { remote_domain: 0 };
    let port = sys::ioctl(near, "bind", ioc(b'E', 2, size_of::<BindUnbound>()), &mut unbound);
    let mut other = BindInterdomain { remote_domain: 0, remote_port: port.unsigned_abs() };
    let other = sys::ioctl(far, "bind", ioc(b'E', 1, size_of::<BindInterdomain>()), &mut other);
    (port.unsigned_abs(), other.unsigned_abs())
}

fn notify(device: c_int, port: u32) {
    sys::ioctl(device, "notify", ioc(b'E', 4, size_of::<Port>()), &mut Port { port });
}

/// Waits for an event and unmasks its port.
fn await_event(device: c_int) {
    let mut port = [0u8; 4];
    sys::read_exact(device, &mut port);
    sys::write_all(device, &port);
}

/// Linux's struct ioctl_gntalloc_alloc_gref.
#[repr(C)]
struct AllocGref {
    domid: u16,
    flags: u16,
    count: u32,
    index: u64,
    gref: u32,
    _pad: u32,
}

/// Linux's struct ioctl_gntdev_map_grant_ref.
#[repr(C)]
struct MapGrant {
    count: u32,
    _pad: u32,
    index: u64,
    domid: u32,
    gref: u32,
}

#[repr(C)]
struct UnmapGrant {
    index: u64,
    count: u32,
    _pad: u32,
}

/// A page that dom0 granted to itself: mapped through gntdev, read, unmapped.
pub fn grant_map_unmap(run: Run) -> u64 {
    let (alloc, dev) = (sys::open(GNTALLOC), sys::open(GNTDEV));
    let mut grant = AllocGref { domid: 0, flags: 1, count: 1, index: 0, gref: 0, _pad: 0 };
    sys::ioctl(alloc, "gntalloc", ioc(b'G', 5, 24), &mut grant);
    let start = run.begin();
    for _ in 0..run.rounds {
        let mut map = MapGrant { count: 1, _pad: 0, index: 0, domid: 0, gref: grant.gref };
        sys::ioctl(dev, "gntdev map", ioc(b'G', 0, 24), &mut map);
        let area = sys::map_device(dev, PAGE, map.index);
        sys::look(area, 0);
        sys::unmap(area, PAGE);
        let mut unmap = UnmapGrant { index: map.index, count: 1, _pad: 0 };
        sys::ioctl(dev, "gntdev unmap", ioc(b'G', 1, 16), &mut unmap);
    }
    let time = start.end();
    sys::close(dev);
    sys::close(alloc);
    time
}
