//! Instructions that Rust has no name for.

use core::arch::asm;

/// Feature leaves as CPUID gives them.
pub fn cpuid(leaf: u32, subleaf: u32) -> [u32; 4] {
    let r = core::arch::x86_64::__cpuid_count(leaf, subleaf);
    [r.eax, r.ebx, r.ecx, r.edx]
}

macro_rules! port {
    ($read:ident, $write:ident, $int:ty, $in:literal, $out:literal) => {
        /// Reads an I/O port.
        ///
        /// # Safety
        /// The device behind it allows the read.
        pub unsafe fn $read(port: u16) -> $int {
            let value: $int;
            // SAFETY: the caller's.
            unsafe { asm!($in, out("eax") value, in("dx") port, options(nomem, nostack, preserves_flags)) };
            value
        }
        /// Writes an I/O port.
        ///
        /// # Safety
        /// The device behind it allows the write.
        pub unsafe fn $write(port: u16, value: $int) {
            // SAFETY: the caller's.
            unsafe { asm!($out, in("dx") port, in("eax") value, options(nomem, nostack, preserves_flags)) };
        }
    };
}
port!(inl, outl, u32, "in eax, dx", "out dx, eax");

/// Reads an 8-bit port.
///
/// # Safety
/// The device behind it allows the read.
pub unsafe fn inb(port: u16) -> u8 {
    let value: u8;
    // SAFETY: the caller's.
    unsafe { asm!("in al, dx", out("al") value, in("dx") port, options(nomem, nostack, preserves_flags)) };
    value
}
/// Writes an 8-bit port.
///
/// # Safety
/// The device behind it allows the write.
pub unsafe fn outb(port: u16, value: u8) {
    // SAFETY: the caller's.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags)) };
}
/// Reads a 16-bit port.
///
/// # Safety
/// The device behind it allows the read.
pub unsafe fn inw(port: u16) -> u16 {
    let value: u16;
    // SAFETY: the caller's.
    unsafe { asm!("in ax, dx", out("ax") value, in("dx") port, options(nomem, nostack, preserves_flags)) };
    value
}
/// Writes a 16-bit port.
///
/// # Safety
/// The device behind it allows the write.
pub unsafe fn outw(port: u16, value: u16) {
    // SAFETY: the caller's.
    unsafe { asm!("out dx, ax", in("dx") port, in("ax") value, options(nomem, nostack, preserves_flags)) };
}

/// Reads a model-specific register.
///
/// # Safety
/// The register exists on this CPU.
pub unsafe fn rdmsr(index: u32) -> u64 {
    let (lo, hi): (u32, u32);
    // SAFETY: the caller's.
    unsafe { asm!("rdmsr", in("ecx") index, out("eax") lo, out("edx") hi, options(nomem, nostack, preserves_flags)) };
    u64::from(hi) << 32 | u64::from(lo)
}
/// Writes a model-specific register.
///
/// # Safety
/// The register exists on this CPU and the value keeps the hypervisor's invariants.
pub unsafe fn wrmsr(index: u32, value: u64) {
    let (lo, hi) = (value as u32, (value >> 32) as u32);
    // SAFETY: the caller's.
    unsafe { asm!("wrmsr", in("ecx") index, in("eax") lo, in("edx") hi, options(nostack, preserves_flags)) };
}

macro_rules! control {
    ($read:ident, $write:ident, $reg:literal) => {
        /// Reads the control register.
        pub fn $read() -> u64 {
            let value: u64;
            // SAFETY: reading has no effect.
            unsafe { asm!(concat!("mov {}, ", $reg), out(reg) value, options(nomem, nostack, preserves_flags)) };
            value
        }
        /// Writes the control register.
        ///
        /// # Safety
        /// The value keeps the hypervisor's invariants.
        pub unsafe fn $write(value: u64) {
            // SAFETY: the caller's.
            unsafe { asm!(concat!("mov ", $reg, ", {}"), in(reg) value, options(nostack, preserves_flags)) };
        }
    };
}
control!(read_cr0, write_cr0, "cr0");
control!(read_cr2, write_cr2, "cr2");
control!(read_cr3, write_cr3, "cr3");
control!(read_cr4, write_cr4, "cr4");
control!(read_dr0, write_dr0, "dr0");
control!(read_dr1, write_dr1, "dr1");
control!(read_dr2, write_dr2, "dr2");
control!(read_dr3, write_dr3, "dr3");
control!(read_dr6, write_dr6, "dr6");
control!(read_dr7, write_dr7, "dr7");

/// The time-stamp counter.
pub fn rdtsc() -> u64 {
    // SAFETY: every 64-bit CPU has it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Lets interrupts in.
///
/// # Safety
/// The CPU's descriptor tables are set up.
pub unsafe fn sti() {
    // SAFETY: the caller's.
    unsafe { asm!("sti", options(nomem, nostack)) };
}
/// Keeps interrupts out.
pub fn cli() {
    // SAFETY: keeping them out is always possible.
    unsafe { asm!("cli", options(nomem, nostack)) };
}
/// Whether interrupts are let in.
pub fn interrupts_on() -> bool {
    let flags: u64;
    // SAFETY: reads the flags.
    unsafe { asm!("pushfq", "pop {}", out(reg) flags, options(nomem, preserves_flags)) };
    flags & 0x200 != 0
}
/// Runs `f` with interrupts off, and puts them back as they were.
pub fn without_interrupts<T>(f: impl FnOnce() -> T) -> T {
    let on = interrupts_on();
    cli();
    let value = f();
    if on {
        // SAFETY: they were on before.
        unsafe { sti() };
    }
    value
}
/// Waits for an interrupt, which is let in at the same moment.
///
/// # Safety
/// As [`sti`].
pub unsafe fn sti_hlt() {
    // SAFETY: the caller's.
    unsafe { asm!("sti", "hlt", "cli", options(nomem, nostack)) };
}
/// Stops this CPU for ever.
pub fn halt() -> ! {
    loop {
        // SAFETY: nothing more is to run here.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}
/// Drops one linear address from this CPU's TLB.
pub fn invlpg(va: u64) {
    // SAFETY: dropping a translation is always correct.
    unsafe { asm!("invlpg [{}]", in(reg) va, options(nostack, preserves_flags)) };
}
/// Exchanges the two GS bases.
///
/// # Safety
/// The caller keeps track of which one is active.
pub unsafe fn swapgs() {
    // SAFETY: the caller's.
    unsafe { asm!("swapgs", options(nomem, nostack, preserves_flags)) };
}
/// Drops everything from this CPU's TLB, global translations too.
pub fn flush_tlb_all() {
    let cr4 = read_cr4();
    // SAFETY: toggling PGE changes nothing but the TLB.
    unsafe { write_cr4(cr4 ^ 0x80) };
    // SAFETY: back to what it was.
    unsafe { write_cr4(cr4) };
}
/// Drops everything but global translations.
pub fn flush_tlb_non_global() {
    let cr3 = read_cr3();
    // SAFETY: the same tables again.
    unsafe { write_cr3(cr3) };
}
/// Writes an extended control register.
///
/// # Safety
/// The bits are valid for this CPU.
pub unsafe fn xsetbv(index: u32, value: u64) {
    let (lo, hi) = (value as u32, (value >> 32) as u32);
    // SAFETY: the caller's.
    unsafe { asm!("xsetbv", in("ecx") index, in("eax") lo, in("edx") hi, options(nomem, nostack, preserves_flags)) };
}
