//! Security advisories about a vcpu's registers, the ways into and out of the hypervisor, and its emulator, each as an
//! attack. Those about user mode are in `user-mode` and `iret` as well; state that leaks between vcpus is in `state`.
#![cfg_attr(target_os = "none", no_std, no_main)]
// The instructions under test.
#![allow(unsafe_code)]

use core::arch::asm;
use guest_rt::abi::arch_x86_64::VGCF_in_syscall;
use guest_rt::abi::physdev::{PHYSDEVOP_set_iopl, PhysdevSetIopl};
use guest_rt::abi::xen::*;
use guest_rt::hypercall::error::*;
use guest_rt::hypercall::raw;
use guest_rt::memory::{GLOBAL, KERNEL_RO, KERNEL_RW, Page};
use guest_rt::trap::{Trap, last_cr2, traps};
use guest_rt::user::{CODE, STACK_TOP, Space, Target, USER_CS, USER_CS32, USER_SS, iret};
use guest_rt::{Report, attempt, attempt_between, hypercall, probe};

guest_rt::guest!("xsa-cpu", run);

const GP: Trap = Trap::GP;

fn run(report: &mut Report) {
    xsa_165_fresh_state(report);
    xsa_54_xsetbv(report);
    xsa_193_bases(report);
    xsa_269_msrs(report);
    xsa_293_cr4(report);
    xsa_12_debug_registers(report);
    xsa_265_watched_arguments(report);
    xsa_260_mov_ss(report);
    xsa_67_outs(report);
    xsa_195_page_table_instructions(report);
    xsa_298_segments_of_port_strings(report);
    match Space::new() {
        Ok(space) => {
            xsa_7_sysret(report, &space);
            xsa_8_no_callbacks(report, &space);
            xsa_44_flags(report, &space);
        }
        Err(error) => _ = report.result("user mode", error, 0),
    }
}

/// XSA-52, XSA-165, XSA-172: what a vcpu finds in its FPU is nobody's, not even the last instruction pointer.
fn xsa_165_fresh_state(report: &mut Report) {
    #[repr(C, align(16))]
    struct Area([u64; 64]);
    let mut area = Area([0x77; 64]);
    // SAFETY: 512 bytes, aligned to 16.
    unsafe { asm!("fxsave [{0}]", in(reg) &raw mut area) };
    let words = area.0;
    report.expect("control word, tags, opcode", words[0] & 0xffff_ffff_ffff, 0x37f);
    report.expect("instruction pointer, data pointer", (words[1], words[2]), (0, 0));
    report.expect("MXCSR", words[3] & 0xffff_ffff, 0x1f80);
    report.check("x87 and XMM registers", words[4..52].iter().all(|&word| word == 0));
}

/// XSA-54: XSETBV with bits that the processor does not have.
fn xsa_54_xsetbv(report: &mut Report) {
    if probe::cpuid_forced(1, 0).unwrap_or_default()[2] >> 26 & 1 == 0 {
        return;
    }
    let cr4 = probe::read_cr4().unwrap_or(0);
    report.expect("CR4.OSXSAVE", probe::write_cr4(cr4 | 1 << 18), Ok(()));
    for bit in 10..64 {
        report.check("a bit that is not there", probe::xsetbv(0, 3 | 1 << bit).is_err());
    }
    for index in [1, 2, 0x8000_0000, u32::MAX] {
        report.check("a register that is not there", probe::xsetbv(index, 3).is_err());
    }
    report.check("still there", probe::xgetbv(0).is_ok());
}

/// XSA-193: bases that are not canonical, by every way that sets one.
fn xsa_193_bases(report: &mut Report) {
    for base in [1u64 << 47, 0xffff_7fff_ffff_ffff, 1 << 63, 0x8000_0000_0000_0001] {
        for msr in [0xc000_0100, 0xc000_0101, 0xc000_0102] {
            report.expect("WRMSR", probe::wrmsr(msr, base), Err(GP));
        }
        for which in 0..3 {
            report.result("set_segment_base", raw(__HYPERVISOR_set_segment_base, [which, base, 0, 0, 0]), EINVAL);
        }
        // SAFETY: faults, or sets a base that nothing uses.
        let wrfsbase = unsafe { attempt!("wrfsbase rax", in("rax") base) };
        report.check("WRFSBASE", wrfsbase.is_err());
        // SAFETY: as above.
        let wrgsbase = unsafe { attempt!("wrgsbase rax", in("rax") base) };
        report.check("WRGSBASE", wrgsbase.is_err());
    }
}

/// XSA-253, XSA-269, XSA-333, XSA-351, XSA-444: MSRs that a guest may not write (branch traces), that crashed the
/// hypervisor (MISC_ENABLE), that tell of power (RAPL), or that outlive their vcpu (breakpoint masks).
fn xsa_269_msrs(report: &mut Report) {
    for bits in [1u64 << 6, 1 << 7, 1 << 8, 3 << 6, 1 << 1, u64::MAX] {
        report.check("DEBUGCTL with branch traces", probe::wrmsr(0x1d9, bits).is_err());
    }
    let misc = probe::rdmsr(0x1a0);
    report.check("MISC_ENABLE", misc.is_ok() || misc == Err(GP));
    if let Ok(value) = misc {
        report.check("as it is", matches!(probe::wrmsr(0x1a0, value), Ok(()) | Err(GP)));
        let _ = probe::wrmsr(0x1a0, value ^ 1 << 16);
        report.expect("is what it was", probe::rdmsr(0x1a0), Ok(value));
    }
    for msr in [0x601u32, 0x606, 0x610, 0x611, 0x619, 0x639, 0x641, 0x64d, 0xc001_0299, 0xc001_029a, 0xc001_029b] {
        report.expect("a power counter", probe::rdmsr(msr), Err(GP));
    }
    for msr in [0xc001_1027u32, 0xc001_1019, 0xc001_101a, 0xc001_101b] {
        report.expect("a breakpoint's mask", probe::wrmsr(msr, u64::MAX), Err(GP));
    }
    for msr in
        [0x8b, 0x79, 0x3a, 0x480, 0xc001_0114, 0xc001_0117, 0x6a0, 0x6a2, 0xd90, 0xda0, 0x122, 0x123, 0x10b, 0x49]
    {
        report.check("WRMSR of what is not the guest's", probe::wrmsr(msr, u64::MAX).is_err());
    }
}

/// XSA-293: CR4.FSGSBASE as a guest sets it is its own, and a context switch keeps the hypervisor's.
fn xsa_293_cr4(report: &mut Report) {
    let cr4 = probe::read_cr4().unwrap_or(0);
    for bits in [0, 1 << 16, 1 << 2, 1 << 3, 1 << 18, 1 << 7, 1 << 20, 1 << 21, 1 << 12, 1 << 22, 1 << 23, 1 << 24] {
        let _ = probe::write_cr4(cr4 ^ bits);
        hypercall::sched_yield();
        report.check("the hypervisor goes on", hypercall::sched_yield() == 0);
        let now = probe::read_cr4().unwrap_or(0);
        report.expect(
            "SMEP, SMAP, CET, PKS and LA57 are not the guest's",
            now & (1 << 20 | 1 << 21 | 1 << 23 | 1 << 24 | 1 << 12),
            0,
        );
    }
    report.expect("back", probe::write_cr4(cr4), Ok(()));
}

/// XSA-12: reserved bits of DR7, by MOV and by hypercall, then a context switch that loads it.
fn xsa_12_debug_registers(report: &mut Report) {
    for value in [u64::MAX, 1 << 32, 1 << 63, 1 << 13, 0xffff_ffff, 0x2_0001, 0xff00, 0xaaaa_00ff, 0x0_d800] {
        let _ = probe::write_dr7(value);
        hypercall::sched_yield();
        let _ = raw(__HYPERVISOR_set_debugreg, [7, value, 0, 0, 0]);
        hypercall::sched_yield();
        let now = probe::read_dr7().unwrap_or(0);
        report.check("no reserved bit is kept", now >> 32 == 0 && now & 0xd800 == 0 && now & 0x2000 == 0);
        report.expect("none is set now", probe::write_dr7(0), Ok(()));
    }
    for address in [0xffff_8300_0000_0000u64, 0xffff_82d0_4020_0000, 0xffff_8000_0000_0000, 1 << 47] {
        report.check("a breakpoint in the hypervisor", probe::write_dr0(address).is_err());
        report.refused("by hypercall", raw(__HYPERVISOR_set_debugreg, [1, address, 0, 0, 0]));
    }
    traps(1);
}

/// XSA-265: the guest watches memory that the hypervisor reads and writes for it: #DB in ring 0, where it is nobody's.
fn xsa_265_watched_arguments(report: &mut Report) {
    let page = Page::new();
    page.write(0, 0);
    traps(1);
    report.expect("an address", probe::write_dr0(page.va()), Ok(()));
    report.expect("reads and writes of eight bytes", probe::write_dr7(0x400 | 2 | 0xb << 16), Ok(()));
    page.read(0);
    let own = traps(1);
    report.expect("the guest's own read traps", own, 1);
    for _ in 0..100 {
        let result = raw(__HYPERVISOR_xen_version, [6, page.va(), 0, 0, 0]);
        if result != 0 {
            report.result("the hypervisor's does not fail", result, 0);
        }
    }
    guest_rt::println!("{} #DB came of 100 hypercalls with a watched argument", traps(1));
    // The stack on which the frame of an exception is built.
    let mut here = 0u64;
    // SAFETY: reads RSP.
    unsafe { asm!("mov {0}, rsp", out(reg) here) };
    report.expect("the stack below", probe::write_dr0((here - 256) & !7), Ok(()));
    for _ in 0..20 {
        let _ = probe::ud2();
        let _ = probe::read(0x1000);
    }
    report.expect("no more", probe::write_dr7(0), Ok(()));
    let _ = probe::write_dr0(0);
    traps(1);
    report.expect("and on", probe::ud2(), Err(Trap::UD));
}

/// XSA-260: #DB after MOV SS is held back for one instruction; if that one is SYSCALL or INT, it comes in the hypervisor's
/// entry code.
fn xsa_260_mov_ss(report: &mut Report) {
    let page = Page::new();
    page.write(0, 0xe02b);
    report.expect("an address", probe::write_dr0(page.va()), Ok(()));
    report.expect("reads and writes", probe::write_dr7(0x400 | 2 | 3 << 16), Ok(()));
    traps(1);
    for _ in 0..10 {
        // SAFETY: the flat stack selector; INT3 comes back.
        unsafe { asm!("mov ss, [{0}]", "int3", in(reg) page.va()) };
        // SAFETY: as above; SYSCALL asks for the version.
        unsafe {
            asm!(
                "mov ss, [rdi]", "syscall",
                in("rdi") page.va(), inout("rax") 17u64 => _, in("rsi") 0u64, out("rcx") _, out("r11") _,
            );
        }
    }
    guest_rt::println!("{} #DB, {} #BP", traps(1), traps(3));
    report.expect("no more", probe::write_dr7(0), Ok(()));
    let _ = probe::write_dr0(0);
    traps(1);
    report.result("the hypervisor goes on", hypercall::sched_yield(), 0);
}

fn iopl(level: u32) -> i64 {
    hypercall::op(__HYPERVISOR_physdev_op, PHYSDEVOP_set_iopl, &mut PhysdevSetIopl { iopl: level })
}

/// XSA-67: OUTS from memory that faults sent the hypervisor's stack to the port instead.
fn xsa_67_outs(report: &mut Report) {
    report.result("set_iopl(1)", iopl(1), 0);
    for at in [0x1000u64, 0xffff_8300_0000_0000, 0xffff_82d0_4020_0000] {
        // SAFETY: faults; else writes a POST code.
        let result = unsafe { attempt!("outsb", in("rdx") 0x80, inout("rsi") at => _) };
        // In the hypervisor: by the address, or by the segment.
        let faults = |result| match result {
            Err(Trap { vector: 14, .. }) => last_cr2() == at,
            Err(GP) => at != 0x1000,
            _ => false,
        };
        report.check("OUTS of memory that is not there", faults(result));
        // SAFETY: as above, with a store.
        let result = unsafe { attempt!("insb", in("rdx") 0x80, inout("rdi") at => _) };
        report.check("INS to it", faults(result));
    }
    let page = Page::new();
    page.write(0, 0x11);
    let mut end = 0u64;
    // SAFETY: four POST codes.
    let result = unsafe { attempt!("rep outsb", in("rdx") 0x80, in("rcx") 4u64, inout("rsi") page.va() => end) };
    report.expect("REP OUTS of four bytes", (result, end), (Ok(()), page.va() + 4));
    // SAFETY: nothing at all.
    let result = unsafe { attempt!("rep outsb", in("rdx") 0x80, in("rcx") 0u64, inout("rsi") 0x1000u64 => end) };
    report.expect("REP OUTS of none", (result, end), (Ok(()), 0x1000));
    report.result("set_iopl(0)", iopl(0), 0);
    // SAFETY: the privilege is missing.
    let result = unsafe { attempt!("outsb", in("rdx") 0x80, inout("rsi") page.va() => _) };
    report.expect("OUTS without the right", result, Err(GP));
    report.result("set_iopl(1)", iopl(1), 0);
}

/// XSA-123, XSA-195, XSA-200, XSA-202, XSA-470: instructions that the emulator of page-table stores got wrong: bit offsets that
/// reach far away, CMPXCHG8B with an operand-size prefix, segment overrides, flags.
fn xsa_195_page_table_instructions(report: &mut Report) {
    let assist = [VMASST_CMD_enable.into(), VMASST_TYPE_writable_pagetables.into(), 0, 0, 0];
    report.result("vm_assist(writable_pagetables)", raw(__HYPERVISOR_vm_assist, assist), 0);
    let (table, data) = (Page::new(), Page::new());
    let ro = data.mfn() << 12 | KERNEL_RO | GLOBAL;
    table.write(1, ro);
    report.result("read-only", table.make_read_only(), 0);
    report.result("a level-1 table", table.pin(1), 0);
    let entry = table.va() + 8;
    // Offsets that come from far away to an accessed bit of the entry, and to places that are none of it.
    for far in [0i64, 1 << 20, -(1 << 20), 1 << 40, -(1 << 40)] {
        let base = entry.wrapping_sub(far as u64);
        let bit = (far * 8 + 5) as u64;
        // SAFETY: a store to the table, which the hypervisor judges.
        let result = unsafe { attempt!("lock btr [rdi], rsi", in("rdi") base, in("rsi") bit) };
        guest_rt::println!("BTR from {far:#x}: {result:x?}, entry {:#x}", table.read(1));
        report.check("BTR does it or faults", result.is_err() || table.read(1) & 1 << 5 == 0);
        report.expect("nothing else", table.read(1) | 1 << 5, ro);
        let _ = probe::write(entry, ro);
    }
    let judge = |report: &mut Report, what: &'static str, result: Result<(), Trap>| {
        let now = table.read(1);
        guest_rt::println!("{what}: {result:x?}, entry {now:#x}");
        // Whatever it did: the table holds no writable mapping of a table and no frame of others.
        let frame = (now & 0xf_ffff_ffff_f000) >> 12;
        report.check(what, now & 1 == 0 || frame == data.mfn() || now & 2 == 0);
        let _ = probe::write(entry, ro);
        report.expect("and it can be set back", table.read(1), ro);
    };
    // SAFETY: a store to the table, which the hypervisor judges; RBX is the compiler's own and is exchanged back.
    let result = unsafe {
        attempt_between!(
            "xchg r9, rbx",
            ".byte 0x66; cmpxchg8b [rdi]",
            "xchg r9, rbx",
            in("rdi") entry, inout("rax") 0u64 => _, inout("rdx") 0u64 => _, inout("rcx") 0u64 => _, inout("r9") 0u64 => _,
        )
    };
    judge(report, "CMPXCHG8B with a prefix", result);
    // SAFETY: a store to the table.
    judge(report, "a store of 16 bits", unsafe {
        attempt!("mov word ptr [rdi], ax", in("rdi") entry, in("rax") ro | 2)
    });
    // SAFETY: a store to the table.
    let result = unsafe { attempt!("mov qword ptr [rdi], 0", in("rdi") entry + 4) };
    judge(report, "a store across two entries", result);
    // SAFETY: a store to the table.
    let result = unsafe { attempt_between!("stc", "adc qword ptr [rdi], 0", "", in("rdi") entry) };
    judge(report, "ADC", result);
    // SAFETY: a store to the table.
    judge(report, "NOT", unsafe { attempt!("not qword ptr [rdi]", in("rdi") entry) });
    // SAFETY: a store to the table; the FS base is 0.
    let result = unsafe { attempt!("mov fs:[rdi], rax", in("rdi") entry, in("rax") 0u64) };
    judge(report, "a store with a segment override", result);
    // SAFETY: a store to the table.
    judge(report, "FXSAVE", unsafe { attempt!("fxsave [rdi]", in("rdi") table.va() + 512) });
    report.check("a table that maps itself writable", probe::write(entry, table.mfn() << 12 | KERNEL_RW).is_err());
    report.expect("was not written", table.read(1), ro);
    report.result("unpinned", table.unpin(), 0);
    report.result("writable", table.make_writable(), 0);
}

/// XSA-298: emulated accesses through a segment have its limit, wherever the descriptor is said to be.
fn xsa_298_segments_of_port_strings(report: &mut Report) {
    let page = Page::new();
    for selector in [0u64, 3] {
        // SAFETY: the runtime does not use FS; OUTS writes a POST code.
        unsafe { asm!("mov fs, {0:x}", in(reg) selector) };
        // SAFETY: as above.
        let result = unsafe { attempt!(".byte 0x64\noutsb", in("rdx") 0x80, inout("rsi") page.va() => _) };
        report.expect("OUTS through FS", result, Ok(()));
    }
    report.expect("a base beyond the canonical", probe::wrmsr(0xc000_0100, 0x7fff_ffff_f000), Ok(()));
    // SAFETY: as above.
    let result = unsafe { attempt!(".byte 0x64\noutsb", in("rdx") 0x80, inout("rsi") 0x2000u64 => _) };
    report.check("an address that is not canonical by its base", result.is_err());
    report.expect("the base back", probe::wrmsr(0xc000_0100, 0), Ok(()));
}

/// XSA-7 (CVE-2012-0217): SYSRET to an address that is not canonical faults in ring 0, with the guest's stack.
fn xsa_7_sysret(report: &mut Report, space: &Space) {
    let target =
        Target { rip: CODE, cs: USER_CS, rflags: 0x202, rsp: STACK_TOP, ss: USER_SS, rdi: 0, flags: VGCF_in_syscall };
    space.run(USER_CS, &[], 0);
    let frame = iret(target);
    report.expect("a return by SYSRET", (frame.vector, frame.rip), (6, CODE));
    for rip in [1u64 << 47, 0xffff_7fff_ffff_ffff, 1 << 63, 0xdead_beef_dead_beef, u64::MAX >> 1] {
        for rflags in [0x202, 0x2, 0x102, 0x1_0202, 0x4_0202] {
            let frame = iret(Target { rip, rflags, ..target });
            report.check("by SYSRET to nowhere: #GP or failsafe", matches!(frame.vector, 13 | 257));
        }
    }
    for rip in [0xffff_8300_0000_0000u64, 0xffff_82d0_4020_0000] {
        let frame = iret(Target { rip, ..target });
        report.expect("by SYSRET into the hypervisor", (frame.vector, frame.rip), (14, rip));
    }
    for (cs, ss) in [(0xe008 | 3, USER_SS), (USER_CS, 0xe010 | 3), (0xfff8 | 3, USER_SS), (3, USER_SS), (0x33, 0x2b)] {
        let frame = iret(Target { cs, ss, ..target });
        report.check("by SYSRET with selectors that are none", matches!(frame.vector, 6 | 10..=13 | 257));
    }
    for rsp in [1u64 << 47, 1 << 63, 0xffff_8300_0000_0000, 7] {
        let frame = iret(Target { rsp, ..target });
        report.expect("by SYSRET with a stack that is none", (frame.vector, frame.rip), (6, CODE));
    }
}

/// XSA-8, XSA-259, XSA-339: system calls for which the guest has no handler.
fn xsa_8_no_callbacks(report: &mut Report, space: &Space) {
    for (what, cs, code) in [
        ("SYSENTER", USER_CS, &[0x0f, 0x34][..]),
        ("32-bit SYSENTER", USER_CS32, &[0x0f, 0x34]),
        ("32-bit SYSCALL", USER_CS32, &[0x0f, 0x05]),
        ("INT 0x80", USER_CS, &[0xcd, 0x80]),
        ("32-bit INT 0x80", USER_CS32, &[0xcd, 0x80]),
        ("INT 0x82", USER_CS, &[0xcd, 0x82]),
        ("INT 2", USER_CS, &[0xcd, 2]),
        ("INT 8", USER_CS, &[0xcd, 8]),
        ("INT 18", USER_CS, &[0xcd, 18]),
        ("INT 0xff", USER_CS, &[0xcd, 0xff]),
        ("a far call", USER_CS32, &[0x9a, 0, 0, 0, 0, 8, 0xe0]),
        ("a far jump to the hypervisor", USER_CS32, &[0xea, 0, 0, 0x20, 0xd0, 8, 0xe0]),
        ("IRET to ring 0", USER_CS, &[0x6a, 0x10, 0x54, 0x9c, 0x6a, 0x08, 0x6a, 0, 0x48, 0xcf]),
    ] {
        for _ in 0..2 {
            let frame = space.run(cs, code, 0);
            report.expect(what, matches!(frame.vector, 6 | 10..=13), true);
        }
    }
}

/// XSA-44, XSA-183, XSA-339: NT, AC, TF, RF, DF and the I/O privilege of user mode at a way in.
fn xsa_44_flags(report: &mut Report, space: &Space) {
    for bit in [8u64, 10, 14, 16, 18, 21] {
        // POPF with the bit; SYSCALL, then UD2.
        let mut code = [0x68, 2, 2, 0, 0, 0x9d, 0x0f, 0x05];
        let image = (0x202 | 1u32 << bit).to_le_bytes();
        code[1..5].copy_from_slice(&image);
        let frame = space.run(USER_CS, &code, 0);
        report.check("SYSCALL with the flag", matches!(frame.vector, 1 | 258));
        code[6..].copy_from_slice(&[0x0f, 0x34]);
        let frame = space.run(USER_CS, &code, 0);
        report.check("SYSENTER with the flag", matches!(frame.vector, 1 | 6 | 13 | 258));
        let frame = iret(Target {
            rip: CODE + 8,
            cs: USER_CS,
            rflags: 0x202 | 1 << bit,
            rsp: STACK_TOP,
            ss: USER_SS,
            rdi: 0,
            flags: 0,
        });
        report.check("IRET with the flag", matches!(frame.vector, 1 | 6));
    }
    let frame = space.run(USER_CS, &[0x48, 0x8d, 0x47, 0x01], 41);
    report.expect("user mode still works", (frame.vector, frame.rax), (6, 42));
}
