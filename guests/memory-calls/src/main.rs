//! memory_op, subcommand by subcommand.
#![cfg_attr(target_os = "none", no_std, no_main)]

use guest_rt::abi::GuestPtr;
use guest_rt::abi::memory::*;
use guest_rt::abi::xen::*;
use guest_rt::hypercall::error::*;
use guest_rt::hypercall::{NOBODY, NOWHERE, raw};
use guest_rt::memory::{self, KERNEL_RW, Page};
use guest_rt::{Report, hypercall, start};

guest_rt::guest!("memory-calls", run);

fn run(report: &mut Report) {
    commands(report);
    questions(report);
    maps(report);
    reservations(report);
    exchange(report);
    physmap(report);
    resources(report);
}

fn op<T>(command: u32, argument: &mut T) -> i64 {
    hypercall::op(__HYPERVISOR_memory_op, command, argument)
}

fn ptr<T>(list: &mut [T]) -> GuestPtr<T> {
    GuestPtr::new(list.as_mut_ptr().addr() as u64)
}

fn commands(report: &mut Report) {
    for command in [8u64, 29, 30, 62, 63] {
        report.result("a subcommand that is not there", raw(__HYPERVISOR_memory_op, [command, 0, 0, 0, 0]), ENOSYS);
    }
    // Above the subcommand stands the extent that a continuation goes on with. A guest that invents one skips extents.
    let with =
        |command: u32, extent: u64| raw(__HYPERVISOR_memory_op, [u64::from(command) | extent << 6, 0x1000, 0, 0, 0]);
    report.result("an invented continuation of nowhere", with(XENMEM_decrease_reservation, 5), 5);
    report.result("of what has none", with(XENMEM_maximum_ram_page, 1), EINVAL);
    report.result("of what has none", with(XENMEM_current_reservation, 1), EINVAL);
    report.result("of what is not there", with(63, 1), ENOSYS);
    for (command, want) in [
        (XENMEM_increase_reservation, 0),
        (XENMEM_decrease_reservation, 0),
        (XENMEM_populate_physmap, 0),
        (XENMEM_exchange, EFAULT),
        (XENMEM_current_reservation, EFAULT),
        (XENMEM_maximum_reservation, EFAULT),
        (XENMEM_maximum_gpfn, EFAULT),
        (XENMEM_machphys_mfn_list, EFAULT),
        (XENMEM_machphys_mapping, EFAULT),
        (XENMEM_add_to_physmap, EFAULT),
        (XENMEM_add_to_physmap_batch, EFAULT),
        (XENMEM_remove_from_physmap, EFAULT),
        (XENMEM_memory_map, EFAULT),
        (XENMEM_machine_memory_map, EFAULT),
        (XENMEM_set_memory_map, EFAULT),
        (XENMEM_set_pod_target, EFAULT),
        (XENMEM_get_pod_target, EFAULT),
        (XENMEM_claim_pages, EFAULT),
        (XENMEM_get_vnumainfo, EFAULT),
        (XENMEM_access_op, EFAULT),
        (XENMEM_acquire_resource, EFAULT),
        (XENMEM_reserved_device_memory_map, EFAULT),
        (XENMEM_get_sharing_freed_pages, 0),
        (XENMEM_get_sharing_shared_pages, 0),
        (XENMEM_paging_op, ENOSYS),
        (XENMEM_sharing_op, ENOSYS),
    ] {
        report.expect(
            "an argument nowhere",
            (command, hypercall::nowhere(__HYPERVISOR_memory_op, command)),
            (command, Some(want)),
        );
    }
}

fn questions(report: &mut Report) {
    let ask = |command: u32, domid: u16| op(command, &mut XenMemoryDomain { domid });
    let now = ask(XENMEM_current_reservation, DOMID_SELF);
    report.check("the reservation", now as u64 >= start::info().nr_pages);
    report.result("by number", ask(XENMEM_current_reservation, 0), now);
    report.check("its maximum", ask(XENMEM_maximum_reservation, DOMID_SELF) >= now);
    report.result("maximum_gpfn", ask(XENMEM_maximum_gpfn, DOMID_SELF), 0);
    for command in [XENMEM_current_reservation, XENMEM_maximum_reservation, XENMEM_maximum_gpfn] {
        report.result("of nobody", ask(command, NOBODY), ESRCH);
        report.result("of no domain", ask(command, DOMID_INVALID), ESRCH);
        report.result("of the hypervisor", ask(command, DOMID_XEN), ESRCH);
    }
    report
        .check("the last frame", raw(__HYPERVISOR_memory_op, [XENMEM_maximum_ram_page.into(), 0, 0, 0, 0]) > 0x1_0000);
    let mut frames = [0u64; 4];
    let mut list = XenMachphysMfnList { max_extents: 4, extent_start: ptr(&mut frames), ..Default::default() };
    report.result("machphys_mfn_list", op(XENMEM_machphys_mfn_list, &mut list), 0);
    report.check("has an extent", list.nr_extents >= 1 && frames[0] != 0 && frames[0] % 512 == 0);
    list.max_extents = 0;
    report.result("of none", op(XENMEM_machphys_mfn_list, &mut list), 0);
    report.expect("gives none", list.nr_extents, 0);
    list.max_extents = u32::MAX;
    list.extent_start = GuestPtr::new(0x1000);
    report.result("to nowhere", op(XENMEM_machphys_mfn_list, &mut list), EFAULT);
    let mut claim = XenMemoryReservation { domid: DOMID_SELF, nr_extents: 0, ..Default::default() };
    report.result("claiming by DOMID_SELF", op(XENMEM_claim_pages, &mut claim), EINVAL);
    claim.domid = NOBODY;
    report.result("for nobody", op(XENMEM_claim_pages, &mut claim), EINVAL);
    claim.domid = 0;
    report.result("claiming nothing", op(XENMEM_claim_pages, &mut claim), 0);
    claim.nr_extents = 1 << 40;
    report.result("claiming too much", op(XENMEM_claim_pages, &mut claim), EINVAL);
    claim.extent_order = 1;
    report.result("claiming by order", op(XENMEM_claim_pages, &mut claim), EINVAL);
    let mut pod = XenPodTarget { domid: DOMID_SELF, ..Default::default() };
    report.refused("a PoD target of one's own", op(XENMEM_get_pod_target, &mut pod));
    let mut vnuma = XenVnumaTopologyInfo { domid: DOMID_SELF, ..Default::default() };
    report.result("virtual NUMA", op(XENMEM_get_vnumainfo, &mut vnuma), EOPNOTSUPP);
    vnuma.domid = NOBODY;
    report.result("nobody's", op(XENMEM_get_vnumainfo, &mut vnuma), ESRCH);
}

fn maps(report: &mut Report) {
    let mut entries = [0u8; 20 * 64];
    let mut map = XenMemoryMap { nr_entries: 64, buffer: ptr(&mut entries), ..Default::default() };
    report.result("the machine's map", op(XENMEM_machine_memory_map, &mut map), 0);
    let count = map.nr_entries;
    report.check("has entries", (2..64).contains(&count));
    map.nr_entries = 1;
    report.result("room for one", op(XENMEM_machine_memory_map, &mut map), EINVAL);
    map.nr_entries = 0;
    report.result("room for none", op(XENMEM_machine_memory_map, &mut map), EINVAL);
    map = XenMemoryMap { nr_entries: 64, buffer: GuestPtr::new(0x1000), ..Default::default() };
    report.result("to nowhere", op(XENMEM_machine_memory_map, &mut map), EFAULT);
    let mut own = XenMemoryMap { nr_entries: 64, buffer: ptr(&mut entries), ..Default::default() };
    report.result("one's own map: none was set", op(XENMEM_memory_map, &mut own), ENOSYS);
    let mut set = XenForeignMemoryMap { domid: DOMID_SELF, map: own, ..Default::default() };
    set.map.nr_entries = 1025;
    report.result("a map of too many entries", op(XENMEM_set_memory_map, &mut set), EINVAL);
    set.map.nr_entries = 1;
    set.domid = NOBODY;
    report.result("for nobody", op(XENMEM_set_memory_map, &mut set), ESRCH);
}

fn reservations(report: &mut Report) {
    let page = Page::new();
    let mut frames = [0u64; 4];
    let list = ptr(&mut frames);
    let base = XenMemoryReservation { extent_start: list, nr_extents: 1, domid: DOMID_SELF, ..Default::default() };
    let change = |command: u32, argument: XenMemoryReservation| op(command, &mut { argument });
    let total = || op(XENMEM_current_reservation, &mut XenMemoryDomain { domid: DOMID_SELF });
    let before = total();
    report.result("no extents", change(XENMEM_populate_physmap, XenMemoryReservation { nr_extents: 0, ..base }), 0);
    // The domain's maximum is its reservation.
    report.result("more than the maximum", change(XENMEM_increase_reservation, base), 0);
    frames[0] = page.mfn();
    report.result("a page that is mapped is given up", change(XENMEM_decrease_reservation, base), 1);
    report.result("it is not gone while it is mapped", total(), before);
    page.write(0, 5);
    report.expect("and works", page.read(0), 5);
    report.differs(
        "a second time",
        change(XENMEM_decrease_reservation, base),
        1,
        0,
        "what is mapped and given up already cannot be given up again",
    );
    report.result("mapped no more", hypercall::update_va_mapping(page.va(), 0, UVMF_INVLPG), 0);
    report.result("it is gone", total(), before - 1);
    for (what, argument) in [
        (
            "a node that is not there",
            XenMemoryReservation { mem_flags: XENMEMF_node(200) | XENMEMF_exact_node_request, ..base },
        ),
        ("below an address that is too low", XenMemoryReservation { mem_flags: 12, ..base }),
        ("populate on demand", XenMemoryReservation { mem_flags: XENMEMF_populate_on_demand, ..base }),
        ("an order beyond", XenMemoryReservation { extent_order: 19, ..base }),
        ("an order of 64", XenMemoryReservation { extent_order: 64, ..base }),
        ("an order of 2^32 - 1", XenMemoryReservation { extent_order: u32::MAX, ..base }),
        ("a list nowhere", XenMemoryReservation { extent_start: GuestPtr::new(0x1000), ..base }),
        (
            "a list in the hypervisor",
            XenMemoryReservation { extent_start: GuestPtr::new(0xffff_8300_0000_0000), ..base },
        ),
        ("no list", XenMemoryReservation { extent_start: GuestPtr::new(0), ..base }),
        ("nobody", XenMemoryReservation { domid: NOBODY, ..base }),
        ("too many extents", XenMemoryReservation { nr_extents: 1 << 32, ..base }),
    ] {
        for command in [XENMEM_populate_physmap, XENMEM_decrease_reservation] {
            report.expect(what, (command, change(command, argument)), (command, 0));
        }
        report.result("nothing was taken", total(), before - 1);
    }
    for mfn in [0xf_ffff_ffff, 0xa0, 0x200, 0xfee00] {
        frames[0] = mfn;
        report.result("giving up a frame of others", change(XENMEM_decrease_reservation, base), 0);
    }
    frames[0] = page.pfn();
    report.result("one frame", change(XENMEM_populate_physmap, base), 1);
    let new = frames[0];
    report.result("is there", total(), before);
    report.result("and mapped", hypercall::update_va_mapping(page.va(), new << 12 | KERNEL_RW, UVMF_INVLPG), 0);
    // Xen does not clear what a domain gives up while it lives.
    report.check("it is scrubbed", !start::is_ferroxen() || (0..512).all(|n| page.read(n) == 0));
    report.expect("and known", memory::m2p(new), page.pfn());
    let _ = frames;
    report.result("no more than the maximum", change(XENMEM_populate_physmap, base), 0);
}

fn exchange(report: &mut Report) {
    let page = Page::new();
    let (mut ins, mut outs) = ([page.mfn()], [page.pfn()]);
    let side = |start: GuestPtr<u64>| XenMemoryReservation {
        extent_start: start,
        nr_extents: 1,
        domid: DOMID_SELF,
        ..Default::default()
    };
    let (list_in, list_out) = (ptr(&mut ins), ptr(&mut outs));
    let base = XenMemoryExchange { r#in: side(list_in), out: side(list_out), ..Default::default() };
    let exchange = |argument: XenMemoryExchange| op(XENMEM_exchange, &mut { argument });
    let with = |change: &dyn Fn(&mut XenMemoryExchange)| {
        let mut argument = base;
        change(&mut argument);
        argument
    };
    for (what, argument, want) in [
        ("different domains", with(&|a| a.out.domid = 1), EINVAL),
        ("nobody", with(&|a| (a.r#in.domid, a.out.domid) = (NOBODY, NOBODY)), ESRCH),
        ("not the same amount", with(&|a| a.out.nr_extents = 2), EINVAL),
        ("done already", with(&|a| a.nr_exchanged = 2), EINVAL),
        ("all done", with(&|a| a.nr_exchanged = 1), 0),
        ("orders that make no whole", with(&|a| a.out.extent_order = 1), EINVAL),
        ("an order beyond", with(&|a| (a.r#in.extent_order, a.out.extent_order) = (32, 32)), EPERM),
        ("an order of 2^32 - 1", with(&|a| a.out.extent_order = u32::MAX), EPERM),
        (
            "more extents than can be counted",
            with(&|a| (a.r#in.nr_extents, a.out.nr_extents) = (1 << 60, 1 << 60)),
            EINVAL,
        ),
        ("frames nowhere", with(&|a| a.r#in.extent_start = GuestPtr::new(0x1000)), EFAULT),
        ("frames in the hypervisor", with(&|a| a.r#in.extent_start = GuestPtr::new(0xffff_8300_0000_0000)), EFAULT),
        // XSA-29, XSA-212: results into the hypervisor.
        ("results in the hypervisor", with(&|a| a.out.extent_start = GuestPtr::new(0xffff_8300_0000_0000)), EFAULT),
        ("results in its table", with(&|a| a.out.extent_start = GuestPtr::new(0xffff_8000_0000_0000)), EFAULT),
        ("results that are not canonical", with(&|a| a.out.extent_start = GuestPtr::new(1 << 47)), EFAULT),
    ] {
        report.result(what, exchange(argument), want);
    }
    for mfn in [0xf_ffff_ffff, 0xa0, 0x200] {
        ins[0] = mfn;
        report.result("a frame of others", exchange(base), EINVAL);
    }
    ins[0] = page.mfn();
    let _ = ins;
    report.result("a frame that is mapped", exchange(base), EINVAL);
    page.write(3, 7);
    report.expect("is still ours", page.read(3), 7);
    report.result("mapped no more", hypercall::update_va_mapping(page.va(), 0, UVMF_INVLPG), 0);
    report.result("it is exchanged", exchange(base), 0);
    report.check("for another", outs[0] != page.mfn());
    report.result("mapped", hypercall::update_va_mapping(page.va(), outs[0] << 12 | KERNEL_RW, UVMF_INVLPG), 0);
    report.check("and scrubbed", (0..512).all(|n| page.read(n) == 0));
}

fn physmap(report: &mut Report) {
    let add = |space: u32, idx: u64, domid: u16| {
        op(XENMEM_add_to_physmap, &mut XenAddToPhysmap { domid, space, idx, gpfn: 0x100, ..Default::default() })
    };
    for space in 0..7 {
        report.refused("add_to_physmap of a PV guest", add(space, 0, DOMID_SELF));
    }
    report.result("for nobody", add(0, 0, NOBODY), ESRCH);
    report.refused(
        "removing",
        op(XENMEM_remove_from_physmap, &mut XenRemoveFromPhysmap { domid: DOMID_SELF, gpfn: 1, ..Default::default() }),
    );
    for at in NOWHERE {
        let mut batch =
            XenAddToPhysmapBatch { domid: DOMID_SELF, size: 1, idxs: GuestPtr::new(at), ..Default::default() };
        report.refused("a batch nowhere", op(XENMEM_add_to_physmap_batch, &mut batch));
    }
}

/// XSA-334: an error path kept a lock, and the second caller waited for ever.
fn resources(report: &mut Report) {
    let mut frames = [0u64; 4];
    let list = ptr(&mut frames);
    let base = XenMemAcquireResource {
        domid: 0,
        r#type: XENMEM_resource_grant_table,
        id: XENMEM_resource_grant_table_id_shared,
        nr_frames: 1,
        frame_list: list,
        ..Default::default()
    };
    let acquire = |argument: XenMemAcquireResource| op(XENMEM_acquire_resource, &mut { argument });
    for (what, argument, want) in [
        ("one's own", base, EPERM),
        ("nobody's", XenMemAcquireResource { domid: NOBODY, ..base }, ESRCH),
        ("a pad that is not 0", XenMemAcquireResource { pad: 1, ..base }, EINVAL),
        ("a type that is not there", XenMemAcquireResource { r#type: 99, ..base }, EPERM),
        ("an id that is not there", XenMemAcquireResource { id: 9, ..base }, EPERM),
    ] {
        for _ in 0..3 {
            report.result(what, acquire(argument), want);
        }
    }
}
