//! What a program in dom0 asks of the hypervisor through Linux's devices: privcmd, evtchn, gntalloc, gntdev.

use std::ffi::{CStr, c_int, c_ulong};
use std::path::Path;

use crate::PAGE;
use crate::mark::Run;
use crate::store;
use crate::sys::{self, check};

/// Reading it makes the kernel ask for the version, in a guest too, where privcmd is not allowed.
const VERSION: &CStr = c"/sys/hypervisor/version/minor";

/// Whether the kernel says what it runs on.
pub fn sysfs_is_there() -> bool {
    VERSION.to_str().is_ok_and(|path| Path::new(path).exists())
}

/// A null hypercall in a read of a small file.
pub fn hypercall_read(run: Run) -> u64 {
    let file = sys::open_to_read(VERSION);
    let area = sys::map(PAGE);
    sys::touch(area, 0);
    let start = run.begin();
    for _ in 0..run.rounds {
        sys::read_some(file, area, PAGE);
    }
    let time = start.end();
    sys::unmap(area, PAGE);
    sys::close(file);
    time
}

const PRIVCMD: &CStr = c"/dev/xen/privcmd";
/// The device of event channels.
pub const EVTCHN: &CStr = c"/dev/xen/evtchn";
const GNTALLOC: &CStr = c"/dev/xen/gntalloc";
const GNTDEV: &CStr = c"/dev/xen/gntdev";

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

/// This domain, where the ABI lets one say so.
const SELF: u16 = 0x7ff0;

/// A channel of this domain with itself: its port at each end.
fn bind(near: c_int, far: c_int) -> (u32, u32) {
    let port = unbound(near, SELF);
    (port, interdomain(far, SELF, port))
}

/// A port that `remote` may bind to.
pub fn unbound(device: c_int, remote: u16) -> u32 {
    let mut unbound = BindUnbound { remote_domain: remote.into() };
    sys::ioctl(device, "bind", ioc(b'E', 2, size_of::<BindUnbound>()), &mut unbound).unsigned_abs()
}

/// A port bound to one that `remote` made for us.
pub fn interdomain(device: c_int, remote: u16, remote_port: u32) -> u32 {
    let mut other = BindInterdomain { remote_domain: remote.into(), remote_port };
    let port = sys::ioctl(device, "bind", ioc(b'E', 1, size_of::<BindInterdomain>()), &mut other).unsigned_abs();
    // A new binding fires once, for what was sent before.
    if sys::has_input(device) {
        await_event(device);
    }
    port
}

/// Sends an event.
pub fn notify(device: c_int, port: u32) {
    sys::ioctl(device, "notify", ioc(b'E', 4, size_of::<Port>()), &mut Port { port });
}

/// Waits for an event and unmasks its port.
pub fn await_event(device: c_int) {
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

/// A page of this domain that `domain` may map writable: its reference.
pub fn grant(device: c_int, domain: u16) -> u32 {
    let mut grant = AllocGref { domid: domain, flags: 1, count: 1, index: 0, gref: 0, _pad: 0 };
    sys::ioctl(device, "gntalloc", ioc(b'G', 5, 24), &mut grant);
    grant.gref
}

/// The device that makes grants.
pub fn open_gntalloc() -> c_int {
    sys::open(GNTALLOC)
}

/// A page that this domain granted to itself: mapped through gntdev, read, unmapped.
pub fn grant_map_unmap(run: Run) -> u64 {
    let alloc = open_gntalloc();
    let domid = store::domid();
    let time = map_unmap(run, domid, grant(alloc, domid));
    sys::close(alloc);
    time
}

/// A page that `domain` granted: mapped through gntdev, read, unmapped.
pub fn map_unmap(run: Run, domain: u16, gref: u32) -> u64 {
    let dev = sys::open(GNTDEV);
    let start = run.begin();
    for _ in 0..run.rounds {
        let mut map = MapGrant { count: 1, _pad: 0, index: 0, domid: domain.into(), gref };
        sys::ioctl(dev, "gntdev map", ioc(b'G', 0, 24), &mut map);
        let area = sys::map_device(dev, PAGE, map.index);
        sys::look(area, 0);
        sys::unmap(area, PAGE);
        let mut unmap = UnmapGrant { index: map.index, count: 1, _pad: 0 };
        sys::ioctl(dev, "gntdev unmap", ioc(b'G', 1, 16), &mut unmap);
    }
    let time = start.end();
    sys::close(dev);
    time
}

/// Linux's struct gntdev_grant_copy_segment. A side is an address here, or a reference, an offset (16 bits) and a domain (16).
#[repr(C)]
struct CopySegment {
    source: u64,
    dest: u64,
    len: u16,
    flags: u16,
    status: i16,
}

#[repr(C)]
struct GrantCopy {
    count: u32,
    _pad: u32,
    segments: *mut CopySegment,
}

/// 4 KiB from a page that `domain` granted into our memory, by one grant copy.
pub fn copy(run: Run, domain: u16, gref: u32) -> u64 {
    const SOURCE_GREF: u16 = 1;
    let dev = sys::open(GNTDEV);
    let area = sys::map(PAGE);
    sys::touch(area, 0);
    let source = u64::from(gref) | u64::from(domain) << 48;
    let dest = area.addr() as u64;
    let mut segment = CopySegment { source, dest, len: 4096, flags: SOURCE_GREF, status: 0 };
    let start = run.begin();
    for _ in 0..run.rounds {
        let mut copy = GrantCopy { count: 1, _pad: 0, segments: &raw mut segment };
        sys::ioctl(dev, "gntdev copy", ioc(b'G', 8, size_of::<GrantCopy>()), &mut copy);
        check("grant copy", if segment.status == 0 { 0 } else { -1 });
    }
    let time = start.end();
    sys::unmap(area, PAGE);
    sys::close(dev);
    time
}
