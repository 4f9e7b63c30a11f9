//! One instruction, and what became of it: the value that it gave, or the exception that it raised.

use crate::trap::{self, Trap};
use core::arch::asm;

/// An instruction whose exceptions come back as a value. R12 belongs to it.
#[macro_export]
macro_rules! attempt {
    ($instruction:expr $(, $($operand:tt)*)?) => {{
        let status: u64;
        core::arch::asm!(
            "xor r12d, r12d",
            concat!("2: ", $instruction),
            "3:",
            ".pushsection .ex_table, \"a\", @progbits",
            ".long 2b - ., 3b - .",
            ".popsection",
            lateout("r12") status,
            $($($operand)*)?
        );
        $crate::probe::outcome(status)
    }};
}

/// As [`attempt!`], with code before and after the instruction that always runs and never faults.
#[macro_export]
macro_rules! attempt_between {
    ($before:expr, $instruction:expr, $after:expr $(, $($operand:tt)*)?) => {{
        let status: u64;
        core::arch::asm!(
            "xor r12d, r12d",
            $before,
            concat!("2: ", $instruction),
            concat!("3: ", $after),
            ".pushsection .ex_table, \"a\", @progbits",
            ".long 2b - ., 3b - .",
            ".popsection",
            lateout("r12") status,
            $($($operand)*)?
        );
        $crate::probe::outcome(status)
    }};
}

/// What R12 says after an attempt.
pub fn outcome(status: u64) -> Result<(), Trap> {
    if status >> 63 == 0 {
        return Ok(());
    }
    Err(Trap { vector: status as u8, error_code: (status >> 8) as u32 })
}

/// Reads memory.
pub fn read(at: u64) -> Result<u64, Trap> {
    let mut value = 0u64;
    // SAFETY: reads nothing that anybody else relies on; a fault comes back as a value.
    unsafe { attempt!("mov rax, [rdi]", in("rdi") at, inlateout("rax") value) }?;
    Ok(value)
}

/// Writes memory: anything may break, as the caller wants.
pub fn write(at: u64, value: u64) -> Result<(), Trap> {
    // SAFETY: the caller chose a page that is its own to destroy, or one that must refuse.
    unsafe { attempt!("mov [rdi], rax", in("rdi") at, in("rax") value) }
}

/// Exchanges a word of memory.
pub fn exchange(at: u64, value: u64) -> Result<u64, Trap> {
    let mut value = value;
    // SAFETY: as for `write`.
    unsafe { attempt!("xchg [rdi], rax", in("rdi") at, inlateout("rax") value) }?;
    Ok(value)
}

/// LOCK CMPXCHG: gives what memory held.
pub fn compare_exchange(at: u64, old: u64, new: u64) -> Result<u64, Trap> {
    let mut value = old;
    // SAFETY: as for `write`.
    unsafe { attempt!("lock cmpxchg [rdi], rsi", in("rdi") at, in("rsi") new, inlateout("rax") value) }?;
    Ok(value)
}

/// LOCK AND of one byte.
pub fn and_byte(at: u64, value: u8) -> Result<(), Trap> {
    // SAFETY: as for `write`.
    unsafe { attempt!("lock and [rdi], al", in("rdi") at, in("al") value) }
}

/// LOCK BTR of a bit of a word; gives whether it was set.
pub fn bit_reset(at: u64, bit: u64) -> Result<bool, Trap> {
    let mut before = 0u8;
    // SAFETY: as for `write`; the fault and the flag are told apart by the status.
    unsafe {
        let status: u64;
        asm!(
            "xor r12d, r12d",
            "2: lock btr [rdi], rsi",
            "setc al",
            "3:",
            ".pushsection .ex_table, \"a\", @progbits",
            ".long 2b - ., 3b - .",
            ".popsection",
            lateout("r12") status,
            in("rdi") at, in("rsi") bit, inlateout("al") before,
        );
        outcome(status)?;
    }
    Ok(before != 0)
}

/// RDMSR.
pub fn rdmsr(msr: u32) -> Result<u64, Trap> {
    let (low, high): (u64, u64);
    // SAFETY: reading an MSR changes nothing.
    unsafe { attempt!("rdmsr", in("ecx") msr, lateout("rax") low, lateout("rdx") high) }?;
    Ok(high << 32 | low & 0xffff_ffff)
}

/// WRMSR.
pub fn wrmsr(msr: u32, value: u64) -> Result<(), Trap> {
    // SAFETY: the caller restores what it changes.
    unsafe { attempt!("wrmsr", in("ecx") msr, in("rax") value & 0xffff_ffff, in("rdx") value >> 32) }
}

/// CPUID as the processor answers it (or lets it fault).
pub fn cpuid(leaf: u32, subleaf: u32) -> [u32; 4] {
    let (mut a, b, mut c, d): (u32, u32, u32, u32) = (leaf, 0, subleaf, 0);
    let (mut b, mut d) = (b, d);
    // SAFETY: only registers change; RBX is the compiler's own.
    unsafe {
        asm!("mov r9, rbx", "cpuid", "xchg r9, rbx", inout("eax") a, out("r9d") b, inout("ecx") c, out("edx") d);
    }
    let _ = (&mut b, &mut d);
    [a, b, c, d]
}

/// CPUID by the forced-emulation prefix: as the hypervisor answers it.
pub fn cpuid_forced(leaf: u32, subleaf: u32) -> Result<[u32; 4], Trap> {
    let (mut a, b, mut c, d): (u32, u32, u32, u32);
    (a, c) = (leaf, subleaf);
    // SAFETY: only registers change; RBX is the compiler's own.
    unsafe {
        let status: u64;
        asm!(
            "mov r9, rbx",
            "xor r12d, r12d",
            "2: ud2",
            ".ascii \"xen\"",
            "cpuid",
            "3: xchg r9, rbx",
            ".pushsection .ex_table, \"a\", @progbits",
            ".long 2b - ., 3b - .",
            ".popsection",
            lateout("r12") status,
            inout("eax") a, out("r9d") b, inout("ecx") c, out("edx") d,
        );
        outcome(status)?;
    }
    Ok([a, b, c, d])
}

macro_rules! simple {
    ($($(#[$doc:meta])* $name:ident: $instruction:literal;)*) => {$(
        $(#[$doc])*
        pub fn $name() -> Result<(), Trap> {
            // SAFETY: changes no memory and no register that the compiler uses.
            unsafe { attempt!($instruction, lateout("rax") _, lateout("rdx") _, lateout("rcx") _) }
        }
    )*};
}

simple! {
    /// CLI.
    cli: "cli";
    /// STI.
    sti: "sti";
    /// HLT.
    hlt: "hlt";
    /// UD2.
    ud2: "ud2";
    /// WBINVD.
    wbinvd: "wbinvd";
    /// INVD.
    invd: "invd";
    /// CLTS.
    clts: "clts";
    /// RDTSC.
    rdtsc: "rdtsc";
    /// SWAPGS.
    swapgs: "swapgs";
    /// INT with a vector that has no handler.
    int_unused: "int 0x81";
    /// SYSRET.
    sysret: "sysretq";
    /// LGDT.
    lgdt: "lgdt [rsp]";
    /// LIDT.
    lidt: "lidt [rsp]";
    /// LTR.
    ltr: "ltr ax";
    /// LLDT.
    lldt: "lldt ax";
    /// INT3.
    int3: "int3";
    /// ICEBP.
    icebp: ".byte 0xf1";
    /// MONITOR.
    monitor: "monitor";
    /// MWAIT.
    mwait: "mwait";
    /// RDPMC.
    rdpmc: "rdpmc";
    /// RSM.
    rsm: "rsm";
    /// VMCALL.
    vmcall: "vmcall";
    /// VMRUN.
    vmrun: "vmrun";
    /// STGI.
    stgi: "stgi";
    /// CLGI.
    clgi: "clgi";
    /// SKINIT.
    skinit: "skinit";
    /// INVLPGA.
    invlpga: "invlpga";
}

macro_rules! ports {
    ($($in_name:ident, $out_name:ident, $register:literal, $type:ty;)*) => {$(
        /// Reads a port.
        pub fn $in_name(port: u16) -> Result<$type, Trap> {
            let mut value = 0u64;
            // SAFETY: the caller chose the port.
            unsafe { attempt!(concat!("in ", $register, ", dx"), in("dx") port, inlateout("rax") value) }?;
            Ok(value as $type)
        }
        /// Writes a port.
        pub fn $out_name(port: u16, value: $type) -> Result<(), Trap> {
            // SAFETY: the caller chose the port.
            unsafe { attempt!(concat!("out dx, ", $register), in("dx") port, in("rax") u64::from(value)) }
        }
    )*};
}

ports! {
    inb, outb, "al", u8;
    inw, outw, "ax", u16;
    inl, outl, "eax", u32;
}

macro_rules! control {
    ($($read:ident, $write:ident, $name:literal;)*) => {$(
        /// Reads the register.
        pub fn $read() -> Result<u64, Trap> {
            let mut value = 0u64;
            // SAFETY: reading changes nothing.
            unsafe { attempt!(concat!("mov rax, ", $name), inlateout("rax") value) }?;
            Ok(value)
        }
        /// Writes the register.
        pub fn $write(value: u64) -> Result<(), Trap> {
            // SAFETY: the caller restores what it changes.
            unsafe { attempt!(concat!("mov ", $name, ", rax"), in("rax") value) }
        }
    )*};
}

control! {
    read_cr0, write_cr0, "cr0";
    read_cr2, write_cr2, "cr2";
    read_cr3, write_cr3, "cr3";
    read_cr4, write_cr4, "cr4";
    read_cr8, write_cr8, "cr8";
    read_dr0, write_dr0, "dr0";
    read_dr6, write_dr6, "dr6";
    read_dr7, write_dr7, "dr7";
}

/// XGETBV.
pub fn xgetbv(index: u32) -> Result<u64, Trap> {
    let (low, high): (u64, u64);
    // SAFETY: reading changes nothing.
    unsafe { attempt!("xgetbv", in("ecx") index, lateout("rax") low, lateout("rdx") high) }?;
    Ok(high << 32 | low & 0xffff_ffff)
}

/// XSETBV.
pub fn xsetbv(index: u32, value: u64) -> Result<(), Trap> {
    // SAFETY: the guest keeps no extended state.
    unsafe { attempt!("xsetbv", in("ecx") index, in("rax") value & 0xffff_ffff, in("rdx") value >> 32) }
}

/// INVLPG.
pub fn invlpg(at: u64) -> Result<(), Trap> {
    // SAFETY: dropping a translation changes nothing.
    unsafe { attempt!("invlpg [rdi]", in("rdi") at) }
}

/// Loads a selector into FS (which loses its base) and takes the null selector back.
pub fn load_fs(selector: u16) -> Result<(), Trap> {
    // SAFETY: the runtime does not use FS.
    let result = unsafe { attempt!("mov fs, ax", in("ax") selector) };
    // SAFETY: as above.
    unsafe { asm!("mov fs, {0:x}", in(reg) 0u16) };
    result
}

/// A division by zero.
pub fn divide_by_zero() -> Result<(), Trap> {
    // SAFETY: changes only the registers named.
    unsafe { attempt!("div ecx", in("ecx") 0, inlateout("rax") 1u64 => _, inlateout("rdx") 0u64 => _) }
}

/// Calls code at an address with values in RDI and RAX, as [`call`].
pub fn call_with(at: u64, rdi: u64, rax: u64) -> Result<(), Trap> {
    trap::expect_jump_fault(at);
    // SAFETY: the caller put code there that returns and changes no register but RAX and RDI, or expects the fault.
    let result = unsafe {
        let status: u64;
        asm!("xor r12d, r12d", "call rsi", lateout("r12") status, in("rsi") at, inout("rdi") rdi => _, inout("rax") rax => _);
        outcome(status)
    };
    trap::expect_jump_fault(0);
    result
}

/// Calls code at an address, and comes back from its RET or from a fault of the fetch.
pub fn call(at: u64) -> Result<(), Trap> {
    trap::expect_jump_fault(at);
    // SAFETY: the caller put a RET there, or expects the fault.
    let result = unsafe {
        let status: u64;
        asm!("xor r12d, r12d", "call rdi", lateout("r12") status, in("rdi") at, clobber_abi("C"));
        outcome(status)
    };
    trap::expect_jump_fault(0);
    result
}
