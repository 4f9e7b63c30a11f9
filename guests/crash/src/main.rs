//! What a domain dies of, and nobody else: frames that cannot be pushed, returns that cannot be read, handlers that are not
//! there. Each case (`case=N` on the command line) is a boot of its own, and succeeds when the hypervisor says that the
//! domain crashed. XSA-136 and XSA-215 were such ways in which the hypervisor died, or wrote where it was told.
#![cfg_attr(target_os = "none", no_std, no_main)]
// The instructions under test.
#![allow(unsafe_code)]

use core::arch::asm;
use guest_rt::abi::xen::*;
use guest_rt::hypercall::raw;
use guest_rt::user::{CODE, STACK_TOP, Space, Target, USER_CS, USER_SS, iret};
use guest_rt::{Report, println, start};

guest_rt::guest!("crash", run);

/// In the hypervisor; not canonical; not mapped.
const NOWHERE: [u64; 3] = [0xffff_8300_0000_1000, 1 << 47, 0x2000];

fn run(report: &mut Report) {
    let case = start::option("case").unwrap_or("none");
    println!("case {case}");
    match case {
        "0" => exception_on(NOWHERE[0]),
        "1" => exception_on(NOWHERE[1]),
        "2" => exception_on(NOWHERE[2]),
        "3" => return_from(NOWHERE[0]),
        "4" => return_from(NOWHERE[1]),
        "5" => without_handlers(),
        "6" => user_mode(report, true),
        "7" => user_mode(report, false),
        _ => {}
    }
    // Only a domain that is alive comes here.
    report.check("the domain is dead", false);
}

/// An exception whose frame has no place.
fn exception_on(stack: u64) {
    // SAFETY: ends the domain.
    unsafe { asm!("mov rsp, {0}", "ud2", in(reg) stack, options(noreturn)) }
}

/// The iret hypercall, whose context has no place.
fn return_from(stack: u64) {
    // SAFETY: ends the domain.
    unsafe { asm!("mov rsp, rdi", "mov eax, 23", "syscall", "ud2", in("rdi") stack, options(noreturn)) }
}

/// An exception without a handler.
fn without_handlers() {
    raw(__HYPERVISOR_set_trap_table, [0; 5]);
    // SAFETY: ends the domain.
    unsafe { asm!("ud2", options(noreturn)) }
}

/// An exception in user mode whose frame has no place on the kernel's stack; or a return to user mode that has no tables.
fn user_mode(report: &mut Report, tables: bool) {
    let stack = if tables {
        report.check("user mode", Space::new().is_ok());
        raw(__HYPERVISOR_stack_switch, [USER_SS, NOWHERE[0], 0, 0, 0])
    } else {
        0
    };
    report.result("a kernel stack in the hypervisor", stack, 0);
    iret(Target { rip: CODE, cs: USER_CS, rflags: 0x202, rsp: STACK_TOP, ss: USER_SS, rdi: 0, flags: 0 });
}
