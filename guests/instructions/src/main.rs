//! What instructions do that a PV kernel should not execute, in its kernel and in 64-bit and 32-bit user mode: exceptions of
//! every kind, flags, segments, extended state. What they do on Debian's Xen is what they must do.
#![cfg_attr(target_os = "none", no_std, no_main)]
// The instructions under test.
#![allow(unsafe_code)]

use core::arch::asm;
use guest_rt::abi::xen::__HYPERVISOR_fpu_taskswitch;
use guest_rt::hypercall::raw;
use guest_rt::memory::Page;
use guest_rt::trap::{Trap, traps};
use guest_rt::user::{CODE, STACK_TOP, Space, Target, USER_CS, USER_CS32, USER_SS, iret};
use guest_rt::{Report, attempt, attempt_between, hypercall, probe};

guest_rt::guest!("instructions", run);

const GP: Trap = Trap::GP;
const UD: Trap = Trap::UD;

fn fault(vector: u8) -> Trap {
    Trap { vector, error_code: 0 }
}

fn run(report: &mut Report) {
    kernel(report);
    debug(report);
    numbers(report);
    stack_faults(report);
    extended_state(report);
    match Space::new() {
        Ok(space) => {
            user(report, &space);
            user32(report, &space);
            flags(report, &space);
            chosen_by_cr4(report, &space);
            segments(report, &space);
        }
        Err(error) => _ = report.result("user mode", error, 0),
    }
}

fn kernel(report: &mut Report) {
    for (what, result, want) in [
        ("LGDT", probe::lgdt(), Err(GP)),
        ("LIDT", probe::lidt(), Err(GP)),
        ("LTR", probe::ltr(), Err(GP)),
        ("LLDT", probe::lldt(), Err(GP)),
        ("SYSRET", probe::sysret(), Err(GP)),
        ("SWAPGS", probe::swapgs(), Err(GP)),
        ("RSM", probe::rsm(), Err(UD)),
        ("VMCALL", probe::vmcall(), Err(UD)),
        ("WBINVD", probe::wbinvd(), Ok(())),
        ("INT 0x81", probe::int_unused(), Err(Trap { vector: 13, error_code: 0x81 << 3 | 2 })),
    ] {
        report.expect(what, result, want);
    }
    for (what, result) in [
        ("STGI", probe::stgi()),
        ("CLGI", probe::clgi()),
        ("SKINIT", probe::skinit()),
        ("INVLPGA", probe::invlpga()),
        ("MONITOR", probe::monitor()),
        ("MWAIT", probe::mwait()),
        ("RDPMC", probe::rdpmc()),
        ("VMRUN", probe::vmrun()),
    ] {
        report.check(what, matches!(result, Err(UD | GP)));
    }
    let want = if report.ours("INVLPG", "is MMUEXT_INVLPG_LOCAL, Xen raises #GP") { Ok(()) } else { Err(GP) };
    report.expect("INVLPG", probe::invlpg(0x1000), want);
    if !report.ours("HLT", "is SCHEDOP_block with events as they are, Xen raises #GP") {
        report.expect("HLT", probe::hlt(), Err(GP));
    }
}

/// #DB and #BP, which are traps: what was executed is done.
fn debug(report: &mut Report) {
    traps(1);
    traps(3);
    report.expect("INT3", (probe::int3(), traps(3)), (Ok(()), 1));
    report.expect("ICEBP", (probe::icebp(), traps(1)), (Ok(()), 1));
    // SAFETY: single-steps one NOP; the handler takes TF away.
    unsafe { asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq", "nop", "nop") };
    report.expect("TF", traps(1), 1);
    let page = Page::new();
    for (kind, bits, read, write) in [("reads and writes", 3u64, 1, 1), ("writes", 1, 0, 1)] {
        report.expect("an address", probe::write_dr0(page.va()), Ok(()));
        report.expect(kind, probe::write_dr7(0x400 | 2 | (bits | 2 << 2) << 16), Ok(()));
        page.read(0);
        report.expect("a read", traps(1), read);
        page.write(0, 1);
        report.expect("a write", traps(1), write);
        page.read(1);
        report.expect("the next word", traps(1), 0);
        let status = probe::read_dr6().unwrap_or(0);
        report.expect("DR6 says which", status & 0xf, 1);
        report.expect("DR6 is cleared by the guest", probe::write_dr6(0xffff_0ff0), Ok(()));
    }
    report.expect("no breakpoint", probe::write_dr7(0x400), Ok(()));
    page.write(0, 2);
    report.expect("no #DB", traps(1), 0);
}

/// #DE, #MF, #NM. (QEMU raises no #XM.)
fn numbers(report: &mut Report) {
    report.expect("DIV by 0", probe::divide_by_zero(), Err(fault(0)));
    // SAFETY: changes registers of the FPU, which the guest does not use.
    let result = unsafe {
        attempt_between!(
            "fninit; push 0x37b; fldcw [rsp]; pop rax; fld1; fldz; fdivp st(1), st",
            "fwait",
            "fninit",
            out("rax") _,
        )
    };
    report.expect("an unmasked x87 exception is #MF", result, Err(fault(16)));
    report.result("fpu_taskswitch(1)", raw(__HYPERVISOR_fpu_taskswitch, [1, 0, 0, 0, 0]), 0);
    // SAFETY: reads a register that nobody uses.
    let result = unsafe { attempt!("movq rax, xmm0", out("rax") _) };
    report.expect("SSE with TS is #NM", result, Err(fault(7)));
    report.result("fpu_taskswitch(0)", raw(__HYPERVISOR_fpu_taskswitch, [0, 0, 0, 0, 0]), 0);
}

/// #SS: a stack access that is not canonical. #GP: any other one; an alignment that SSE wants.
fn stack_faults(report: &mut Report) {
    // SAFETY: reads through RBP, whose segment is SS; RBP comes back.
    let result = unsafe {
        attempt_between!("xchg rbp, rax", "mov rcx, [rbp]", "xchg rbp, rax", in("rax") 1u64 << 47, out("rcx") _)
    };
    // QEMU raises #GP where processors raise #SS.
    report
        .check("a stack access that is not canonical", matches!(result, Err(Trap { vector: 12 | 13, error_code: 0 })));
    let page = Page::new();
    // SAFETY: an aligned load from an address that is not.
    let result = unsafe { attempt!("movaps xmm0, [rdi]", in("rdi") page.va() + 8) };
    report.expect("MOVAPS that is not aligned", result, Err(GP));
    // SAFETY: none is loaded.
    let result = unsafe {
        attempt!("lock cmpxchg16b [rdi]", in("rdi") page.va() + 8, inout("rax") 0u64 => _, inout("rdx") 0u64 => _)
    };
    report.expect("CMPXCHG16B that is not aligned", result, Err(GP));
    // SAFETY: a prefix that the instruction may not have.
    let result = unsafe { attempt!(".byte 0xf0; mov rax, [rsp]", out("rax") _) };
    report.expect("LOCK where it may not be", result, Err(UD));
}

/// Upper halves of vector registers stay over hypercalls, exceptions and yields.
fn extended_state(report: &mut Report) {
    let has_avx = probe::cpuid_forced(1, 0).unwrap_or_default()[2];
    if has_avx >> 26 & 1 == 0 || has_avx >> 28 & 1 == 0 {
        return;
    }
    let cr4 = probe::read_cr4().unwrap_or(0);
    report.expect("CR4.OSXSAVE", probe::write_cr4(cr4 | 1 << 18), Ok(()));
    report.expect("XCR0 with AVX", probe::xsetbv(0, 7), Ok(()));
    #[repr(C, align(32))]
    struct Vector([u64; 4]);
    let values = Vector([0x11, 0x22, 0x33, 0x44]);
    let mut after = Vector([0; 4]);
    // SAFETY: YMM7 is nobody's.
    unsafe { asm!("vmovaps ymm7, [{0}]", in(reg) &raw const values) };
    for _ in 0..100 {
        hypercall::sched_yield();
        let _ = probe::ud2();
    }
    // SAFETY: 32 bytes, aligned.
    unsafe { asm!("vmovaps [{0}], ymm7", in(reg) &raw mut after) };
    report.expect("YMM7", after.0, values.0);
    report.expect("XCR0 without", probe::xsetbv(0, 3), Ok(()));
    // SAFETY: faults.
    let result = unsafe { attempt!("vmovaps ymm7, ymm7") };
    report.expect("AVX without XCR0 is #UD", result, Err(UD));
    report.expect("XCR0 with AVX again", probe::xsetbv(0, 7), Ok(()));
    report.expect("CR4 back", probe::write_cr4(cr4), Ok(()));
    // SAFETY: faults.
    let result = unsafe { attempt!("xgetbv", in("ecx") 0, out("rax") _, out("rdx") _) };
    guest_rt::println!("XGETBV without CR4.OSXSAVE: {result:?}");
}

type Row = (&'static str, &'static [u8], u64, u64);

fn table(report: &mut Report, space: &Space, cs: u64, rows: &[Row]) {
    for &(what, code, vector, error) in rows {
        let frame = space.run(cs, code, 0);
        report.expect(what, (frame.vector, frame.error_code & 0xffff_ffff), (vector, error));
    }
}

fn user(report: &mut Report, space: &Space) {
    table(
        report,
        space,
        USER_CS,
        &[
            ("DIV by 0", &[0x31, 0xc9, 0xf7, 0xf1], 0, 0),
            ("INT3", &[0xcc], 3, 0),
            ("INT 3 of two bytes", &[0xcd, 3], 3, 0),
            ("INTO", &[0xce], 6, 0),
            ("INT 4", &[0xcd, 4], 4, 0),
            ("INT 0", &[0xcd, 0], 13, 2),
            ("INT 14", &[0xcd, 14], 13, 14 << 3 | 2),
            ("INT 0x20", &[0xcd, 0x20], 13, 0x20 << 3 | 2),
            ("UD2", &[0x0f, 0x0b], 6, 0),
            ("ICEBP", &[0xf1], 1, 0),
            ("HLT", &[0xf4], 13, 0),
            ("LGDT", &[0x0f, 0x01, 0x14, 0x24], 13, 0),
            ("LTR", &[0x0f, 0x00, 0xd8], 13, 0),
            ("CLTS", &[0x0f, 0x06], 13, 0),
            ("MOV to CR0", &[0x0f, 0x22, 0xc0], 13, 0),
            ("MOV from CR8", &[0x44, 0x0f, 0x20, 0xc0], 13, 0),
            ("MOV to DR7", &[0x0f, 0x23, 0xf8], 13, 0),
            ("SWAPGS", &[0x0f, 0x01, 0xf8], 13, 0),
            ("SYSRET", &[0x48, 0x0f, 0x07], 13, 0),
            ("INVLPG", &[0x0f, 0x01, 0x3c, 0x24], 13, 0),
            ("VMCALL", &[0x0f, 0x01, 0xc1], 6, 0),
            ("VMMCALL", &[0x0f, 0x01, 0xd9], 6, 0),
            ("RSM", &[0x0f, 0xaa], 6, 0),
            ("IN AL, DX", &[0xec], 13, 0),
            ("OUT DX, EAX", &[0xef], 13, 0),
            ("INSB", &[0x6c], 13, 0),
            ("OUTSB", &[0x6e], 13, 0),
            ("CLI", &[0xfa], 13, 0),
            ("a far JMP of 64-bit code", &[0xea], 6, 0),
            ("a jump to what is not canonical", &[0x48, 0xb8, 0, 0, 0, 0, 0, 0x80, 0, 0, 0xff, 0xe0], 13, 0),
            ("a load of a kernel's selector", &[0xb8, 8, 0xe0, 0, 0, 0x8e, 0xd8], 13, 0xe008),
            ("a null SS", &[0x31, 0xc0, 0x8e, 0xd0], 13, 0),
        ],
    );
    // Forced emulation is for CPUID only.
    for (what, code) in [
        ("the prefix and UD2", &[0x0f, 0x0b, b'x', b'e', b'n', 0x0f, 0x0b][..]),
        ("the prefix and MOV from CR0", &[0x0f, 0x0b, b'x', b'e', b'n', 0x0f, 0x20, 0xc0]),
        ("the prefix and NOP", &[0x0f, 0x0b, b'x', b'e', b'n', 0x90]),
        ("half a prefix", &[0x0f, 0x0b, b'x', b'e', 0x90]),
    ] {
        let frame = space.run(USER_CS, code, 0);
        report.expect(what, (frame.vector, frame.rip - CODE), (6, 0));
    }
}

fn user32(report: &mut Report, space: &Space) {
    table(
        report,
        space,
        USER_CS32,
        &[
            ("32-bit DIV by 0", &[0x31, 0xc9, 0xf7, 0xf1], 0, 0),
            ("32-bit INT3", &[0xcc], 3, 0),
            ("32-bit INTO with OF", &[0xb0, 0x7f, 0x04, 1, 0xce], 4, 0),
            ("32-bit INTO without", &[0x31, 0xc0, 0xce, 0x0f, 0x0b], 6, 0),
            ("32-bit BOUND", &[0x31, 0xc0, 0x83, 0xc0, 5, 0x6a, 0, 0x6a, 0, 0x62, 0x04, 0x24], 5, 0),
            ("32-bit INT 0x80", &[0xcd, 0x80], 13, 0x402),
            ("32-bit HLT", &[0xf4], 13, 0),
            ("32-bit CLI", &[0xfa], 13, 0),
            ("32-bit IN", &[0xec], 13, 0),
            ("32-bit LGDT", &[0x0f, 0x01, 0x14, 0x24], 13, 0),
            ("32-bit MOV from CR0", &[0x0f, 0x20, 0xc0], 13, 0),
            ("32-bit UD2", &[0x0f, 0x0b], 6, 0),
            ("32-bit ICEBP", &[0xf1], 1, 0),
            ("a load of the hypervisor's selector", &[0x66, 0xb8, 8, 0xe0, 0x8e, 0xd8], 13, 0xe008),
            ("PUSH of the LDT that is none", &[0x66, 0xb8, 7, 0, 0x8e, 0xd8], 13, 4),
        ],
    );
    // A far return to 64-bit code, and back out by its UD2: 32-bit code may change its mode.
    let frame = space.run(USER_CS32, &[0x6a, 0, 0x66, 0xb8, 0x33, 0xe0, 0x50, 0x6a, 0, 0xcb], 0);
    report.check("a far return to 64-bit code at 0", frame.vector == 14 || frame.vector == 13);
    // Registers keep what 32-bit code cannot see.
    let frame = space.run(USER_CS32, &[0x90], 0x1234_5678_9abc_def0);
    report.expect("the lower half of RDI", frame.rdi & 0xffff_ffff, 0x9abc_def0);
}

fn flags(report: &mut Report, space: &Space) {
    let nt =
        if report.ours("NT", "no 64-bit code has a use for it; a return does not load it") { 0x202 } else { 0x4202 };
    // PUSHF, POP RAX.
    for (what, rflags, want) in [
        ("plain", 0x202u64, 0x202u64),
        ("carry and sign", 0x283, 0x283),
        ("DF", 0x602, 0x602),
        ("AC", 0x4_0202, 0x4_0202),
        ("ID", 0x20_0202, 0x20_0202),
        ("IOPL 3 is not for user mode", 0x3202, 0x202),
        ("IF clear", 0x2, 0x202),
        ("NT", 0x4202, nt),
        ("VM and virtual interrupts", 0x1a_0202, 0x202),
    ] {
        space.run(USER_CS, &[0x9c, 0x58], 0);
        let frame = iret(Target { rip: CODE, cs: USER_CS, rflags, rsp: STACK_TOP, ss: USER_SS, rdi: 0, flags: 0 });
        report.expect(what, (frame.vector, frame.rax), (6, want));
    }
    // POPF in user mode changes neither IF nor IOPL. PUSH 0x3002; POPF; PUSHF; POP RAX.
    let frame = space.run(USER_CS, &[0x68, 2, 0x30, 0, 0, 0x9d, 0x9c, 0x58], 0);
    report.expect("POPF without IF and with IOPL", frame.rax & 0x3200, 0x200);
    // Alignment checks are for user mode, where CR0.AM is set: OR the flag in, POPF, read at an odd address.
    let frame = space.run(USER_CS, &[0x9c, 0x81, 0x0c, 0x24, 0, 0, 4, 0, 0x9d, 0x48, 0x8b, 0x44, 0x24, 0xf1], 0);
    report
        .check("an access that is not aligned, with AC", matches!((frame.vector, frame.error_code), (17, 0) | (6, _)));
    guest_rt::println!("alignment check: vector {}", frame.vector);
}

/// CR4.TSD and CR4.FSGSBASE are the guest's to choose: without the latter user mode could change a base behind its kernel's
/// back.
fn chosen_by_cr4(report: &mut Report, space: &Space) {
    const TSD: u64 = 1 << 2;
    const FSGSBASE: u64 = 1 << 16;
    let rdtsc: &[u8] = &[0x0f, 0x31];
    let rdfsbase: &[u8] = &[0xf3, 0x48, 0x0f, 0xae, 0xc0];
    let wrgsbase: &[u8] = &[0xf3, 0x48, 0x0f, 0xae, 0xdf];
    let cr4 = probe::read_cr4().unwrap_or(0);
    for round in 0..2 {
        report.expect("neither", probe::write_cr4(cr4 & !TSD & !FSGSBASE), Ok(()));
        hypercall::sched_yield();
        report.expect("RDTSC in user mode", space.run(USER_CS, rdtsc, 0).vector, 6);
        let frame = space.run(USER_CS, rdfsbase, 0);
        report.expect("RDFSBASE in user mode is #UD", (frame.vector, frame.rip - CODE), (6, 0));
        let frame = space.run(USER_CS, wrgsbase, 0x1000 + round);
        report.expect("WRGSBASE in user mode is #UD", (frame.vector, frame.rip - CODE), (6, 0));
        report.expect("TSD", probe::write_cr4(cr4 | TSD), Ok(()));
        hypercall::sched_yield();
        let frame = space.run(USER_CS, rdtsc, 0);
        report.expect("RDTSC in user mode is #GP", (frame.vector, frame.rip - CODE), (13, 0));
        report.expect("RDTSC in the kernel", probe::rdtsc(), Ok(()));
        if probe::cpuid_forced(7, 0).unwrap_or_default()[1] & 1 == 0 {
            continue;
        }
        report.expect("FSGSBASE", probe::write_cr4(cr4 & !TSD | FSGSBASE), Ok(()));
        hypercall::sched_yield();
        report.expect("RDTSC in user mode", space.run(USER_CS, rdtsc, 0).vector, 6);
        let frame = space.run(USER_CS, rdfsbase, 0);
        report.expect("RDFSBASE in user mode", (frame.vector, frame.rip - CODE), (6, 5));
        let frame = space.run(USER_CS, wrgsbase, 0x2000 + round);
        report.expect("WRGSBASE in user mode", (frame.vector, frame.rip - CODE), (6, 5));
        report.expect("is user mode's base", probe::rdmsr(0xc000_0102), Ok(0x2000 + round));
        report.expect("and not the kernel's", probe::rdmsr(0xc000_0101), Ok(0));
        report.expect("none", probe::wrmsr(0xc000_0102, 0), Ok(()));
    }
    report.expect("CR4 back", probe::write_cr4(cr4), Ok(()));
}

fn segments(report: &mut Report, space: &Space) {
    // Null selectors and bases: MOV EAX, 0xe02b; MOV DS, EAX; MOV ES, EAX; MOV FS, EAX; back by UD2; then what they are.
    let frame = space.run(USER_CS, &[0xb8, 0x2b, 0xe0, 0, 0, 0x8e, 0xd8, 0x8e, 0xe0], 0);
    report.expect("selectors are loaded", frame.vector, 6);
    let (ds, fs): (u16, u16);
    // SAFETY: reads selectors.
    unsafe { asm!("mov {0:x}, ds", "mov {1:x}, fs", out(reg) ds, out(reg) fs) };
    report.expect("and stay over the exception", (ds, fs), (0xe02b, 0xe02b));
    // SAFETY: null selectors again.
    unsafe { asm!("mov ds, {0:x}", "mov fs, {0:x}", in(reg) 0u16) };
    let frame = space.run(USER_CS, &[0x8c, 0xd8], 0);
    report.expect("user mode sees the kernel's change", frame.rax & 0xffff, 0);
    // The kernel's GS base is not user mode's: MOV RAX, GS:[0] with a base of user mode at its stack.
    report.expect("a GS base of user mode", probe::wrmsr(0xc000_0102, STACK_TOP - 16), Ok(()));
    let frame = space.run(USER_CS, &[0x65, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0], 0);
    report.expect("is there in user mode", (frame.vector, frame.rip - CODE), (6, 9));
    report.expect("and kept", probe::rdmsr(0xc000_0102), Ok(STACK_TOP - 16));
    report.expect("the kernel's own is what it was", probe::rdmsr(0xc000_0101), Ok(0));
    report.expect("none", probe::wrmsr(0xc000_0102, 0), Ok(()));
}
