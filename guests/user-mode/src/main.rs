//! The guest's user mode, 64-bit and 32-bit: it has its own root table and nothing of the kernel's memory, no privileged
//! instruction, and no hypercall.
//!
//! On QEMU 10.0.2 with `vendor=GenuineIntel`, Debian's Xen 4.17 ends with a double fault at the first SYSENTER here.
#![cfg_attr(target_os = "none", no_std, no_main)]

use guest_rt::abi::callback::{
    CALLBACKF_mask_events, CALLBACKTYPE_syscall, CALLBACKTYPE_syscall32, CALLBACKTYPE_sysenter,
};
use guest_rt::memory::{self, KERNEL_RW, Page};
use guest_rt::trap::{Frame, last_cr2, syscall_callback_address};
use guest_rt::user::{CODE, STACK_TOP, Space, USER_CS, USER_CS32};
use guest_rt::{Report, hypercall, println, start};

guest_rt::guest!("user-mode", run);

const SYSCALL: u64 = 258;

fn run(report: &mut Report) {
    let space = match Space::new() {
        Ok(space) => space,
        Err(error) => {
            report.result("making user mode", error, 0);
            return;
        }
    };
    alive(report, &space);
    memory_of_the_kernel(report, &space);
    privileged(report, &space);
    system_calls(report, &space);
    edge(report);
    report.result("unpinning the root in use", space.root.unpin(), 0);
    alive(report, &space);
    report.check("it cannot be made writable", space.root.make_writable() < 0);
}

fn ended(frame: &Frame) -> (u64, u64) {
    (frame.vector, frame.rip.wrapping_sub(CODE))
}

fn alive(report: &mut Report, space: &Space) {
    let frame = space.run(USER_CS, &[0x48, 0x8d, 0x47, 0x01], 41); // lea rax, [rdi + 1]
    report.expect("64-bit code runs to its UD2", (ended(&frame), frame.rax), ((6, 4), 42));
    report.expect("with its selectors", (frame.cs & 0xffff, frame.ss & 0xffff), (0xe033, 0xe02b));
    let frame = space.run(USER_CS32, &[0x8d, 0x47, 0x01], 41); // lea eax, [edi + 1]
    report.expect("32-bit code runs to its UD2", (ended(&frame), frame.rax), ((6, 3), 42));
    report.expect("in its segment", frame.cs & 0xffff, 0xe023);
    let frame = space.run(USER_CS, &[0xcc], 0);
    report.expect("INT3 is the guest's #BP", ended(&frame), (3, 1));
    let frame = space.run(USER_CS, &[0xcd, 0x80], 0);
    report.expect("INT 0x80 without a handler", (frame.vector, frame.error_code), (13, 0x402));
}

/// A read, a write and a jump, each at the address in RDI.
const READ: &[u8] = &[0x48, 0x8b, 0x07];
const WRITE: &[u8] = &[0x48, 0x89, 0x07];
const JUMP: &[u8] = &[0xff, 0xe7];

fn memory_of_the_kernel(report: &mut Report, space: &Space) {
    let secret = Page::new();
    for at in [secret.va(), start::info().pt_base, memory::VIRT_BASE + 0x10_0000] {
        let frame = space.run(USER_CS, READ, at);
        report.expect("a read of the kernel's memory", (frame.vector, frame.error_code, last_cr2()), (14, 4, at));
        let frame = space.run(USER_CS, WRITE, at);
        report.expect("a write to it", (frame.vector, frame.error_code, last_cr2()), (14, 6, at));
        let frame = space.run(USER_CS, JUMP, at);
        report.expect("a jump into it", (frame.vector, frame.error_code, frame.rip), (14, 0x14, at));
    }
    for at in [0xffff_8300_0000_0000u64, 0xffff_82d0_4020_0000, 0xffff_8000_0000_0000] {
        let frame = space.run(USER_CS, WRITE, at);
        report.check("a write to the hypervisor's space", frame.vector == 14 && frame.error_code & 6 == 6);
        let frame = space.run(USER_CS, JUMP, at);
        report.check("a jump into it", frame.vector == 14 && frame.error_code & 0x14 == 0x14);
    }
    let frame = space.run(USER_CS, READ, 1 << 47);
    report.expect("a read of an address that is not canonical", (frame.vector, frame.error_code), (13, 0));
    let frame = space.run(USER_CS, WRITE, CODE);
    report.expect("a write to its own read-only page", (frame.vector, frame.error_code), (14, 7));
    let frame = space.run(USER_CS, JUMP, STACK_TOP - 8);
    report.expect("a jump to its NX stack", (frame.vector, frame.error_code), (14, 0x15));
}

fn privileged(report: &mut Report, space: &Space) {
    let mut refused = |what: &'static str, code: &[u8]| {
        let frame = space.run(USER_CS, code, 0);
        report.expect(what, (ended(&frame), frame.error_code), ((13, 0), 0));
    };
    refused("CLI", &[0xfa]);
    refused("STI", &[0xfb]);
    refused("HLT", &[0xf4]);
    refused("IN", &[0xe4, 0x80]);
    refused("OUT", &[0xe6, 0x80]);
    refused("RDMSR", &[0x0f, 0x32]);
    refused("WRMSR", &[0x0f, 0x30]);
    refused("MOV from CR0", &[0x0f, 0x20, 0xc0]);
    refused("MOV to CR3", &[0x0f, 0x22, 0xd8]);
    refused("CLTS", &[0x0f, 0x06]);
    refused("INVLPG", &[0x0f, 0x01, 0x3f]);
    refused("LGDT", &[0x0f, 0x01, 0x17]);
    refused("MOV from DR0", &[0x0f, 0x21, 0xc0]);
    // Xen does nothing for it and goes on; a fault is as good.
    let frame = space.run(USER_CS, &[0x0f, 0x09], 0);
    report.check("WBINVD", matches!(ended(&frame), (6, 2) | (13, 0)));
    // #UD until the guest sets CR4.OSXSAVE.
    let frame = space.run(USER_CS, &[0x0f, 0x01, 0xd1], 0);
    report.check("XSETBV", matches!(ended(&frame), (6 | 13, 0)));
    // mov eax, 0x40000000; forced CPUID: the hypervisor's signature, for user mode too.
    let frame = space.run(USER_CS, &[0xb8, 0, 0, 0, 0x40, 0x0f, 0x0b, b'x', b'e', b'n', 0x0f, 0xa2], 0);
    report.expect("CPUID by the prefix", (frame.vector, frame.rbx as u32), (6, u32::from_le_bytes(*b"XenV")));
    report.expect("ends behind it", ended(&frame).1, 12);
}

fn system_calls(report: &mut Report, space: &Space) {
    // mov eax, 17 (xen_version); syscall
    let code = &[0xb8, 17, 0, 0, 0, 0x0f, 0x05];
    let frame = space.run(USER_CS, code, 0);
    report.expect("SYSCALL comes to the kernel, not to the hypervisor", ended(&frame), (SYSCALL, 7));
    report.expect("with its number", frame.rax, 17);
    report.expect("and the flags that SYSCALL left", frame.rflags & 0x200, 0x200);
    let result = hypercall::register_callback(CALLBACKTYPE_syscall, CALLBACKF_mask_events, syscall_callback_address());
    report.result("a callback that masks events", result, 0);
    let frame = space.run(USER_CS, code, 0);
    report.expect("SYSCALL again", (ended(&frame), frame.rsp), ((SYSCALL, 7), STACK_TOP));
    let frame = space.run(USER_CS32, &[0xb8, 17, 0, 0, 0, 0x0f, 0x05], 0);
    println!("32-bit SYSCALL: vector {} error {:#x} rip {:#x}", frame.vector, frame.error_code, frame.rip);
    report.check("32-bit SYSCALL without a callback is an exception", matches!(frame.vector, 6 | 13));
    // AMD's processors have it, others raise #UD.
    let result =
        hypercall::register_callback(CALLBACKTYPE_syscall32, CALLBACKF_mask_events, syscall_callback_address());
    report.result("a callback for 32-bit SYSCALL", result, 0);
    let frame = space.run(USER_CS32, &[0xb8, 17, 0, 0, 0, 0x0f, 0x05], 0);
    let seen = (ended(&frame), frame.cs & 0xffff, frame.rax);
    report.check("32-bit SYSCALL", matches!(seen, ((SYSCALL, 7), 0xe023, 17) | ((6, 5), 0xe023, 17)));
    let frame = space.run(USER_CS32, &[0x8d, 0x47, 0x01], 41);
    report.expect("32-bit code still runs", (ended(&frame), frame.rax), ((6, 3), 42));
    for (cs, what) in [(USER_CS, "SYSENTER"), (USER_CS32, "32-bit SYSENTER")] {
        let frame = space.run(cs, &[0x0f, 0x34], 0);
        println!(
            "{what}: vector {} error {:#x} rip {:#x} flags {:#x}",
            frame.vector, frame.error_code, frame.rip, frame.rflags
        );
        report.check("SYSENTER without a callback is an exception", matches!(frame.vector, 6 | 13));
    }
    // Intel's processors have it, AMD's raise #UD in long mode, #GP in 32-bit code of it.
    let result = hypercall::register_callback(CALLBACKTYPE_sysenter, CALLBACKF_mask_events, syscall_callback_address());
    report.result("a callback for SYSENTER", result, 0);
    for (cs, what) in [(USER_CS, "SYSENTER"), (USER_CS32, "32-bit SYSENTER")] {
        let frame = space.run(cs, &[0xb8, 17, 0, 0, 0, 0x0f, 0x34], 5);
        println!(
            "{what}: vector {} error {:#x} rip {:#x} flags {:#x}",
            frame.vector, frame.error_code, frame.rip, frame.rflags
        );
        let arrived = frame.vector == SYSCALL && frame.rax == 17 && frame.rdi == 5;
        report.check("SYSENTER with a callback", arrived || matches!(frame.vector, 6 | 13));
        report.check("and interrupts as they were", frame.rflags & 0x200 != 0);
    }
    let frame = space.run(USER_CS, &[0x48, 0x8d, 0x47, 0x01], 41);
    report.expect("64-bit code still runs", (ended(&frame), frame.rax), ((6, 4), 42));
    // PUSHF; OR the word on the stack with TF; POPF; SYSENTER.
    let frame = space.run(USER_CS, &[0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d, 0x0f, 0x34], 0);
    println!("single-stepped SYSENTER: vector {} rip {:#x} flags {:#x}", frame.vector, frame.rip, frame.rflags);
    report.check("single-stepped SYSENTER", matches!(frame.vector, 1 | 6 | 13 | SYSCALL));
}

/// SYSCALL as the last two bytes below the hole: SYSRET to the address after it would fault in ring 0 with the guest's
/// stack (CVE-2012-0217). Tried from the guest's kernel, as a hypercall.
fn edge(report: &mut Report) {
    const LAST: u64 = 0x7fff_ffff_f000;
    let page = Page::new();
    page.write(511, 0x050f_9090_9090_9090);
    let mapped = memory::map_at(LAST, page.mfn() << 12 | KERNEL_RW);
    report.expect("mapping the last page below the hole", mapped, Ok(()));
    if mapped.is_err() {
        return;
    }
    let stack = Page::new();
    let frame = guest_rt::user::iret(guest_rt::user::Target {
        rip: LAST + 0xffe,
        cs: guest_rt::user::KERNEL_CS,
        rflags: 2,
        rsp: stack.va() + 4096,
        ss: guest_rt::user::USER_SS,
        rdi: 0,
        flags: 0,
    });
    println!("edge: vector {} error {:#x} rip {:#x}", frame.vector, frame.error_code, frame.rip);
    report.expect(
        "a hypercall that returns to an address that is not canonical",
        (frame.vector, frame.rip),
        (13, LAST + 4096),
    );
}
