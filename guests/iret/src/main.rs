//! Returns to where a processor does not go: addresses that are not canonical (SYSRET to one of them is the classic way
//! into ring 0), selectors of the hypervisor, privileged flags. The hypervisor survives all of them, and the guest is
//! told by an exception or by its failsafe callback.
#![cfg_attr(target_os = "none", no_std, no_main)]

use guest_rt::abi::xen::UVMF_INVLPG;
use guest_rt::memory::{KERNEL_RW, NX, Page};
use guest_rt::trap::Frame;
use guest_rt::user::{self, KERNEL_CS, Target, USER_CS, USER_SS};
use guest_rt::{Report, hypercall, println};

guest_rt::guest!("iret", run);

/// The code page: UD2 at its start.
fn code() -> Page {
    let page = Page::new();
    page.write(0, 0x0b0f);
    let _ = hypercall::update_va_mapping(page.va(), page.mfn() << 12 | KERNEL_RW & !NX, UVMF_INVLPG);
    page
}

fn run(report: &mut Report) {
    let (code, stack) = (code(), Page::new());
    let root = user::set_up();
    report.check("a root table and a stack for user mode", root.is_ok());
    let rsp = stack.va() + 4096;
    let kernel = Target { rip: code.va(), cs: KERNEL_CS, rflags: 0x2, rsp, ss: USER_SS, rdi: 7, flags: 0 };
    good(report, kernel);
    good(report, Target { cs: USER_CS, ..kernel });
    for target in [kernel, Target { cs: USER_CS, ..kernel }] {
        addresses(report, target);
        selectors(report, target);
        flags(report, target);
    }
    // User mode's stack is not the kernel's business: an exception lands on the kernel's.
    for rsp in [1u64 << 47, 0x8000_0000_0000_0000, 0, 0xffff_8300_0000_0000] {
        let frame = user::iret(Target { rsp, cs: USER_CS, ..kernel });
        println!("rsp {rsp:#x}: {}", show(&frame));
        report.check("a stack of user mode that is nowhere", matches!(frame.vector, 6 | 12 | 13 | 257));
    }
}

fn show(frame: &Frame) -> Show<'_> {
    Show(frame)
}

struct Show<'a>(&'a Frame);

impl core::fmt::Display for Show<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Frame { vector, error_code, rip, cs, rflags, rsp, ss, .. } = self.0;
        write!(f, "vector {vector} error {error_code:#x} at {cs:#x}:{rip:#x} stack {ss:#x}:{rsp:#x} flags {rflags:#x}")
    }
}

fn good(report: &mut Report, target: Target) {
    let frame = user::iret(target);
    report.expect("a good return ends at its UD2", (frame.vector, frame.rip, frame.rdi), (6, target.rip, 7));
    report.expect("with its stack", frame.rsp, target.rsp);
    report.expect("and its mode", frame.cs & 0xffff, target.cs);
}

fn addresses(report: &mut Report, target: Target) {
    for rip in [1u64 << 47, 0xffff_7fff_ffff_ffff, 0x8000_0000_0000_0000, 0xdead_beef_dead_beef] {
        let frame = user::iret(Target { rip, ..target });
        println!("rip {rip:#x}: {}", show(&frame));
        report.check("an RIP that is not canonical: failsafe or #GP", matches!(frame.vector, 13 | 257));
    }
    for rip in [0xffff_8000_0000_0000u64, 0xffff_82d0_4020_0000, 0xffff_8300_0000_0000] {
        let frame = user::iret(Target { rip, ..target });
        report.expect("an RIP in the hypervisor: a page fault of the fetch", (frame.vector, frame.rip), (14, rip));
    }
}

fn selectors(report: &mut Report, target: Target) {
    let rpl = target.cs & 3;
    for cs in [0xe008u64, 0x08, 0x18, 0xfff8, 0xe028, 0xe040, 0] {
        let frame = user::iret(Target { cs: cs | rpl, ..target });
        println!("cs {:#x}: {}", cs | rpl, show(&frame));
        report.check("a CS that is no code of ours", matches!(frame.vector, 10..=13 | 257));
    }
    for ss in [0xe010u64, 0x10, 0xfff8, 0xe033, 0xe008] {
        let frame = user::iret(Target { ss, ..target });
        println!("ss {ss:#x}: {}", show(&frame));
        report.check("an SS that is no stack of ours", matches!(frame.vector, 6 | 10..=13 | 257));
    }
}

fn flags(report: &mut Report, target: Target) {
    let frame = user::iret(Target { rflags: 0x1b_7002, ..target });
    println!("flags: {}", show(&frame));
    report.expect("privileged flags are not taken", (frame.vector, frame.rflags & (3 << 12 | 1 << 17)), (6, 0));
    let frame = user::iret(Target { rflags: 0x102, ..target });
    println!("tf: {}", show(&frame));
    report.check("TF traps", matches!(frame.vector, 1 | 6));
}
