//! Every exception that an instruction can raise arrives at the guest's handler: with its error code, and for a page
//! fault with the address in the vcpu's record.
#![cfg_attr(target_os = "none", no_std, no_main)]
// The instructions under test.
#![allow(unsafe_code)]

use guest_rt::abi::xen::UVMF_INVLPG;
use guest_rt::memory::{KERNEL_RW, NX, Page};
use guest_rt::trap::{Trap, last_cr2};
use guest_rt::{Report, attempt, hypercall, probe};

guest_rt::guest!("exceptions", run);

fn pf(error_code: u32) -> Trap {
    Trap { vector: 14, error_code }
}

fn run(report: &mut Report) {
    report.expect("UD2 is #UD", probe::ud2(), Err(Trap::UD));
    report.expect("a division by zero is #DE", probe::divide_by_zero(), Err(Trap { vector: 0, error_code: 0 }));
    report.expect(
        "INT 0x81 without a handler",
        probe::int_unused(),
        Err(Trap { vector: 13, error_code: 0x81 << 3 | 2 }),
    );
    page_faults(report);
    segments(report);
    floating_point(report);
}

fn page_faults(report: &mut Report) {
    // The error code says "user" only for the guest's own user mode, although its kernel is in ring 3 too.
    let page = Page::new();
    page.write(0, 0x1234);
    report.expect("unmapping a page of our own", hypercall::update_va_mapping(page.va(), 0, UVMF_INVLPG), 0);
    report.expect("a read of an unmapped page", probe::read(page.va() + 8), Err(pf(0)));
    report.expect("CR2 is its address", last_cr2(), page.va() + 8);
    report.expect("a write to an unmapped page", probe::write(page.va() + 16, 0), Err(pf(2)));
    report.expect("CR2 is its address too", last_cr2(), page.va() + 16);

    report.expect("mapping it read-only", page.make_read_only(), 0);
    report.expect("a read of a read-only page", probe::read(page.va()), Ok(0x1234));
    report.expect("a write to a read-only page", probe::write(page.va(), 0), Err(pf(3)));

    let frame = page.mfn() << 12;
    report.expect("mapping it writable", page.make_writable(), 0);
    page.write(0, 0xc3);
    report.expect("mapping it executable", hypercall::update_va_mapping(page.va(), frame | KERNEL_RW, UVMF_INVLPG), 0);
    report.expect("a call of a RET", probe::call(page.va()), Ok(()));
    report.expect("mapping it NX", hypercall::update_va_mapping(page.va(), frame | KERNEL_RW | NX, UVMF_INVLPG), 0);
    report.expect("a call of a page that is NX", probe::call(page.va()), Err(pf(0x11)));

    report.expect("a read of a non-canonical address", probe::read(1 << 47), Err(Trap::GP));
    report.expect("a write to a non-canonical address", probe::write(0xffff_7fff_ffff_fff8, 0), Err(Trap::GP));
    report.check("a read of the hypervisor's space faults", probe::read(0xffff_82d0_4020_0000).is_err());
    report.check("a write to the machine-to-physical table faults", probe::write(0xffff_8000_0000_0000, 0).is_err());
    report.check("but it can be read", probe::read(0xffff_8000_0000_0000 + page.mfn() * 8) == Ok(page.pfn()));
}

fn segments(report: &mut Report) {
    report.expect("the null selector", probe::load_fs(0), Ok(()));
    report.expect("a null selector with an RPL", probe::load_fs(3), Ok(()));
    report.expect("a selector beyond the GDT", probe::load_fs(0xfff8), Err(Trap { vector: 13, error_code: 0xfff8 }));
    report.expect(
        "a selector of the LDT that is not there",
        probe::load_fs(0x0c),
        Err(Trap { vector: 13, error_code: 0x0c }),
    );
    report.expect("the flat data segment", probe::load_fs(0xe02b), Ok(()));
}

fn floating_point(report: &mut Report) {
    // SAFETY: the guest keeps no FPU state.
    let fninit = || unsafe { attempt!("fninit") };
    report.expect("FNINIT", fninit(), Ok(()));
    report.expect(
        "fpu_taskswitch(1)",
        hypercall::raw(guest_rt::abi::xen::__HYPERVISOR_fpu_taskswitch, [1, 0, 0, 0, 0]),
        0,
    );
    report.expect("FNINIT with TS is #NM", fninit(), Err(Trap { vector: 7, error_code: 0 }));
    // The hypervisor clears TS when it delivers #NM: the guest's handler would do that first.
    report.expect("FNINIT after #NM", fninit(), Ok(()));
}
