//! A world of a few domains on fake pages, and what must hold in it.

mod fifo;
mod hypercall;
mod model;
mod ops;
mod threads;
mod two_level;

use super::*;
use crate::addr::{Maddr, Mfn};
use crate::cpu::CpuId;
use crate::domain::{DomId, Domain, Hypervisor};
use crate::frame::{FrameEntry, FrameTable, FrameType, GetType, IoRanges};
use crate::platform::Platform;
use crate::testing::TestPlatform;
use core::mem::offset_of;
use core::sync::atomic::Ordering;
use ferroxen_sync::{Shared, SharedPage};
use xen_abi::Errno;
use xen_abi::event_channel::*;
use xen_abi::xen::{SharedInfo, VcpuInfo};

pub type World = Hypervisor<TestPlatform>;

/// Pages of each domain: 0 is its shared-info page.
pub const PAGES: u64 = 160;
pub const VCPUS: u32 = 3;

/// Domains 0 (privileged), 1 and 2, with three vcpus and a shared-info page each.
pub fn world() -> World {
    let entries: Vec<FrameEntry> = (0..PAGES * 4).map(|_| FrameEntry::default()).collect();
    let frames = FrameTable::new(Box::leak(entries.into_boxed_slice()), IoRanges::new(Mfn(0)));
    let hv = Hypervisor::try_new(TestPlatform::new(PAGES as usize * 4, 0x1000), frames, 4).ok().unwrap();
    hv.heap.add(&hv.frames, Mfn(1), PAGES * 4 - 1);
    while let Some(frame) = hv.alloc_frames(CpuId(0), Default::default()) {
        if frame.0 >= PAGES {
            hv.frames.assign(frame, DomId((frame.0 / PAGES - 1) as u16)).unwrap();
        }
    }
    for id in 0..3u16 {
        let dom = Domain::try_new(DomId(id), VCPUS, id == 0).unwrap();
        dom.events.set_pirqs(32).unwrap();
        let info = mfn(id, 0);
        dom.shared_info.store(info.0, Ordering::Relaxed);
        for vcpu in 0..VCPUS {
            let at = offset_of!(SharedInfo, vcpu_info) + vcpu as usize * size_of::<VcpuInfo>();
            dom.create_vcpu(vcpu).unwrap().set_info(Maddr(info.maddr().0 + at as u64));
        }
        assert!(hv.domains.insert(Shared::try_new(dom).ok().unwrap()).is_ok());
    }
    hv
}

/// Frame `page` of a domain (domain 0's begin at PAGES, so that no frame is 0).
pub fn mfn(domid: u16, page: u64) -> Mfn {
    Mfn((u64::from(domid) + 1) * PAGES + page)
}

pub fn dom(hv: &World, id: u16) -> Shared<Domain<TestPlatform>> {
    hv.domains.get(DomId(id)).unwrap()
}

/// Takes page `page` of a domain for the FIFO layout, as the hypercall does; there is none from PAGES on.
pub fn hold(hv: &World, domid: u16, page: u64) -> Result<Held, Errno> {
    if page >= PAGES {
        return Err(Errno::EINVAL);
    }
    let frame = hv.frames.get(mfn(domid, page), DomId(domid))?;
    let used = match hv.frames.get_type(&frame, FrameType::Writable)? {
        GetType::Have(used) => used,
        GetType::Locked(locked) => {
            let (flushed, _) =
                locked.leftover().unwrap().flush(&hv.frames, &hv.platform, CpuId(0), TestPlatform::all_cpus);
            flushed.publish(&hv.frames).0
        }
    };
    Ok((frame, used))
}

/// Uses of domains' pages that are out.
pub fn held(hv: &World) -> u32 {
    (PAGES..PAGES * 4).map(|n| hv.frames.type_count(Mfn(n)).1).sum()
}

pub fn info(hv: &World, domid: u16, vcpu: u32) -> (&SharedPage, usize) {
    let at = dom(hv, domid).vcpu(vcpu).unwrap().info();
    (hv.platform.page(at.mfn()), at.offset())
}

/// Takes `evtchn_upcall_pending`.
pub fn take_upcall(hv: &World, domid: u16, vcpu: u32) -> bool {
    let (page, at) = info(hv, domid, vcpu);
    page.and_u8(at + offset_of!(VcpuInfo, evtchn_upcall_pending), 0) != 0
}

/// A connection from domain `a` to domain `b`: their ports. Events that making it caused are taken away.
pub fn connect(hv: &World, a: u16, b: u16) -> (u32, u32) {
    let far = alloc_unbound(hv, &dom(hv, b), DomId(a)).unwrap();
    let (near, _) = bind_interdomain(hv, &dom(hv, a), &dom(hv, b), far).unwrap();
    (near, far)
}

pub fn told(notify: Notify) -> Vec<(u16, u32)> {
    assert_eq!(notify.consumed, None);
    notify.vcpus.iter().map(|vcpu| (notify.domid.0, vcpu)).collect()
}
