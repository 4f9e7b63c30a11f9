//! Security advisories about memory_op and starting vcpus, each as an attack.
#![cfg_attr(target_os = "none", no_std, no_main)]

use guest_rt::abi::GuestPtr;
use guest_rt::abi::memory::*;
use guest_rt::abi::vcpu::VCPUOP_initialise;
use guest_rt::abi::xen::*;
use guest_rt::hypercall::error::*;
use guest_rt::hypercall::{NOWHERE, update_va_mapping};
use guest_rt::memory::{KERNEL_RW, Page};
use guest_rt::{Report, hypercall, smp, start};

guest_rt::guest!("xsa-memory", run);

fn run(report: &mut Report) {
    xsa_14_populate_on_demand(report);
    xsa_29_exchange_into_the_hypervisor(report);
    xsa_31_extent_orders(report);
    xsa_100_freed_memory(report);
    xsa_159_exchange_errors(report);
    xsa_212_exchange_progress(report);
    xsa_231_nodes(report);
    xsa_296_initialise(report);
    xsa_334_acquire_resource(report);
    xsa_385_more_than_the_limit(report);
}

fn op<T>(command: u32, argument: &mut T) -> i64 {
    hypercall::op(__HYPERVISOR_memory_op, command, argument)
}

fn reservation(list: &Page, nr_extents: u64) -> XenMemoryReservation {
    XenMemoryReservation { extent_start: GuestPtr::new(list.va()), nr_extents, domid: DOMID_SELF, ..Default::default() }
}

fn total() -> i64 {
    op(XENMEM_current_reservation, &mut XenMemoryDomain { domid: DOMID_SELF })
}

/// XSA-14: a flag that is for translated guests only crashed the host for a PV one.
fn xsa_14_populate_on_demand(report: &mut Report) {
    let list = Page::new();
    for order in [0, 1, 9] {
        let mut argument = reservation(&list, 1);
        (argument.mem_flags, argument.extent_order) = (XENMEMF_populate_on_demand, order);
        report.result("populate on demand", op(XENMEM_populate_physmap, &mut argument), 0);
    }
}

/// XSA-29: XENMEM_exchange wrote its results where it was told.
fn xsa_29_exchange_into_the_hypervisor(report: &mut Report) {
    let (list, page) = (Page::new(), Page::new());
    list.write(0, page.mfn());
    report.result("the page is mapped no more", update_va_mapping(page.va(), 0, UVMF_INVLPG), 0);
    for at in [0xffff_8000_0000_0000u64, 0xffff_82d0_4020_0000, 0xffff_8300_0000_0000, 0xffff_87ff_ffff_fff8, 1 << 47] {
        let mut out = reservation(&list, 1);
        out.extent_start = GuestPtr::new(at);
        let mut argument = XenMemoryExchange { r#in: reservation(&list, 1), out, ..Default::default() };
        report.result("results in the hypervisor", op(XENMEM_exchange, &mut argument), EFAULT);
        report.expect("nothing is exchanged", argument.nr_exchanged, 0);
    }
    report.result("the page is still ours", page.make_writable(), 0);
}

/// XSA-31: orders of 2^32 and the like.
fn xsa_31_extent_orders(report: &mut Report) {
    let list = Page::new();
    let before = total();
    for order in [20u32, 31, 32, 52, 63, 64, 128, 1 << 31, u32::MAX] {
        for command in [XENMEM_increase_reservation, XENMEM_decrease_reservation, XENMEM_populate_physmap] {
            let mut argument = reservation(&list, 1);
            argument.extent_order = order;
            report.result("an order beyond", op(command, &mut argument), 0);
        }
        let mut both = reservation(&list, 1);
        both.extent_order = order;
        report.refused(
            "in an exchange",
            op(XENMEM_exchange, &mut XenMemoryExchange { r#in: both, out: both, ..Default::default() }),
        );
    }
    report.result("nothing happened", total(), before);
}

/// XSA-100: memory that was the hypervisor's or another domain's came to a guest as it was. Here every page that a guest
/// gets is clear; Xen leaves a domain its own old pages.
fn xsa_100_freed_memory(report: &mut Report) {
    let (list, pages) = (Page::new(), [(); 16].map(|()| Page::new()));
    for (n, page) in pages.iter().enumerate() {
        (0..512).for_each(|word| page.write(word, 0x5ec3_e700 + word as u64));
        list.write(n, page.mfn());
        report.result("mapped no more", update_va_mapping(page.va(), 0, UVMF_INVLPG), 0);
    }
    report.result("sixteen pages given up", op(XENMEM_decrease_reservation, &mut reservation(&list, 16)), 16);
    pages.iter().enumerate().for_each(|(n, page)| list.write(n, page.pfn()));
    report.result("sixteen others", op(XENMEM_populate_physmap, &mut reservation(&list, 16)), 16);
    for (n, page) in pages.iter().enumerate() {
        report.result("mapped", update_va_mapping(page.va(), list.read(n) << 12 | KERNEL_RW, UVMF_INVLPG), 0);
        let own_old = (0..512).all(|word| page.read(word) == 0x5ec3_e700 + word as u64);
        let clear = (0..512).all(|word| page.read(word) == 0);
        report.check("are clear", clear || own_old && !start::is_ferroxen());
    }
}

/// XSA-159: error paths of XENMEM_exchange that returned twice, or not at all.
fn xsa_159_exchange_errors(report: &mut Report) {
    let (list, results, page) = (Page::new(), Page::new(), Page::new());
    report.result("mapped no more", update_va_mapping(page.va(), 0, UVMF_INVLPG), 0);
    let (before, mfn) = (total(), page.mfn());
    for bad in [0x200u64, 0xf_ffff_ffff, mfn] {
        // The good page first, then a bad one (or the same one again): neither is exchanged.
        list.write(0, mfn);
        list.write(1, bad);
        let mut out = reservation(&results, 1);
        out.extent_order = 1;
        let mut argument = XenMemoryExchange { r#in: reservation(&list, 2), out, ..Default::default() };
        report.refused("a chunk with a bad frame", op(XENMEM_exchange, &mut argument));
        report.result("nothing is lost", total(), before);
    }
    report.result("the page is still ours", page.make_writable(), 0);
    report.result("mapped no more", update_va_mapping(page.va(), 0, UVMF_INVLPG), 0);
    // Results that cannot be written although they are in the guest's part.
    list.write(0, mfn);
    let mut out = reservation(&results, 1);
    out.extent_start = GuestPtr::new(0x1000);
    let mut argument = XenMemoryExchange { r#in: reservation(&list, 1), out, ..Default::default() };
    report.result("results nowhere", op(XENMEM_exchange, &mut argument), EFAULT);
    report.result("the reservation is what it was", total(), before);
}

/// XSA-212: the results' place was checked, and then the guest's own count of what was done was added to it.
fn xsa_212_exchange_progress(report: &mut Report) {
    let list = Page::new();
    for (at, done, extents) in [
        (0x1000u64, 0x1fff_f060_0000_0000u64, 0x1fff_f060_0000_0001u64),
        (0xffff_8800_0000_0000, u64::MAX - 5, u64::MAX - 4),
        (0, (1 << 61) - 1, 1 << 61),
        (0xffff_ffff_ffff_f000, 1 << 60, (1 << 60) + 1),
    ] {
        let mut side = reservation(&list, extents);
        side.extent_start = GuestPtr::new(at);
        let mut argument = XenMemoryExchange { r#in: side, out: side, nr_exchanged: done };
        report.refused("an exchange that has gone that far", op(XENMEM_exchange, &mut argument));
    }
    report.result("the hypervisor is there", hypercall::sched_yield(), 0);
}

/// XSA-231: a NUMA node that was not compared with anything.
fn xsa_231_nodes(report: &mut Report) {
    let list = Page::new();
    let before = total();
    for node in [1u32, 2, 63, 64, 200, 254] {
        let mut argument = reservation(&list, 1);
        argument.mem_flags = XENMEMF_node(node) | XENMEMF_exact_node_request;
        report.result("memory of a node that is not there", op(XENMEM_populate_physmap, &mut argument), 0);
    }
    report.result("none was given", total(), before);
}

/// XSA-296: VCPUOP_initialise with an argument nowhere made the hypervisor stop at its own check.
fn xsa_296_initialise(report: &mut Report) {
    for at in NOWHERE {
        report.result("a context nowhere, for oneself", smp::vcpu_op(VCPUOP_initialise, 0, at), EFAULT);
    }
    let page = Page::new();
    report.result("the next page goes", update_va_mapping(Page::new().va(), 0, UVMF_INVLPG), 0);
    report.result("a context that ends in it", smp::vcpu_op(VCPUOP_initialise, 0, page.va() + 8), EFAULT);
    report.result("of a vcpu that is not there", smp::vcpu_op(VCPUOP_initialise, 1, page.va()), ENOENT);
}

/// XSA-334: an error path that kept a lock: the second call waited for ever.
fn xsa_334_acquire_resource(report: &mut Report) {
    let list = Page::new();
    for kind in 0..4 {
        for frame in [0, 1 << 32, u64::MAX] {
            for nr_frames in [0, 1, 100, u32::MAX] {
                let mut argument = XenMemAcquireResource {
                    r#type: kind,
                    nr_frames,
                    frame,
                    frame_list: GuestPtr::new(list.va()),
                    ..Default::default()
                };
                report.refused("a resource of one's own", op(XENMEM_acquire_resource, &mut argument));
            }
        }
    }
    report.result("the hypervisor is there", hypercall::sched_yield(), 0);
}

/// XSA-385: more memory than the limit, by giving up what is still mapped.
fn xsa_385_more_than_the_limit(report: &mut Report) {
    let list = Page::new();
    let limit = op(XENMEM_maximum_reservation, &mut XenMemoryDomain { domid: DOMID_SELF });
    for _ in 0..50 {
        let page = Page::new();
        list.write(0, page.mfn());
        op(XENMEM_decrease_reservation, &mut reservation(&list, 1));
        list.write(0, 0x77);
        op(XENMEM_populate_physmap, &mut reservation(&list, 1));
        report.check("never more than the limit", total() <= limit);
    }
}
