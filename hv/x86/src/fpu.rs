//! FPU and vector state of vcpus, saved and restored whole on each context switch (no lazy switching: a lazy FPU leaks
//! another domain's registers on CPUs with the LazyFP flaw).

use crate::instructions::{cpuid, read_cr0, read_cr4, write_cr0, write_cr4, xsetbv};
use core::arch::asm;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use ferroxen_core::pv::FpuBlock;

/// The most bytes of a state (AVX-512 and PKRU included).
pub const MAX_STATE: usize = 4096;

static XCR0: AtomicU64 = AtomicU64::new(0);
static SIZE: AtomicU32 = AtomicU32::new(512);

/// Fills `state` as FNINIT and the default MXCSR would. It has at least [`size`] bytes.
pub fn reset(state: &mut [FpuBlock]) {
    state.fill(FpuBlock([0; 64]));
    if let Some(first) = state.first_mut() {
        first.0[0..2].copy_from_slice(&0x37fu16.to_le_bytes());
        first.0[24..28].copy_from_slice(&0x1f80u32.to_le_bytes());
    }
}

/// Blocks of a state.
pub fn blocks() -> usize {
    (size() as usize).div_ceil(64)
}

/// Turns on SSE and XSAVE on this CPU, with every state component that fits [`MAX_STATE`].
pub fn init() {
    // SAFETY: CR0.MP and NE set, EM and TS clear; CR4.OSFXSR, OSXMMEXCPT.
    unsafe {
        write_cr0(read_cr0() & !0b1100 | 0b10_0010);
        write_cr4(read_cr4() | 1 << 9 | 1 << 10);
    }
    if cpuid(1, 0)[2] & 1 << 26 == 0 {
        return;
    }
    let leaf = cpuid(0xd, 0);
    // x87, SSE, AVX, AVX-512, PKRU; MPX and AMX are left out.
    let mut mask = (u64::from(leaf[3]) << 32 | u64::from(leaf[0])) & 0x2e7;
    // SAFETY: CPUID says that XSAVE is there, and which components.
    unsafe {
        write_cr4(read_cr4() | 1 << 18);
        xsetbv(0, mask);
        if cpuid(0xd, 0)[1] as usize > MAX_STATE {
            mask &= 7;
            xsetbv(0, mask);
        }
    }
    XCR0.store(mask, Ordering::Relaxed);
    SIZE.store(cpuid(0xd, 0)[1], Ordering::Relaxed);
}

/// The components that guests may turn on (0: no XSAVE).
pub fn xcr0() -> u64 {
    XCR0.load(Ordering::Relaxed)
}

/// Bytes of a state with all components.
pub fn size() -> u32 {
    SIZE.load(Ordering::Relaxed)
}

/// Stores this CPU's state. CR0.TS is clear.
pub fn save(state: &mut [FpuBlock]) {
    assert!(state.len() >= blocks());
    let at = state.as_mut_ptr();
    if xcr0() != 0 {
        // SAFETY: 64-byte aligned and large enough for XCR0's components.
        unsafe { asm!("xsave64 [{}]", in(reg) at, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack)) };
    } else {
        // SAFETY: 16-byte aligned, 512 bytes.
        unsafe { asm!("fxsave64 [{}]", in(reg) at, options(nostack)) };
    }
}

/// Loads a state into this CPU. CR0.TS is clear.
pub fn restore(state: &[FpuBlock]) {
    assert!(state.len() >= blocks());
    let at = state.as_ptr();
    if xcr0() != 0 {
        // SAFETY: written by `save` or `default`, or checked by whoever set it.
        unsafe { asm!("xrstor64 [{}]", in(reg) at, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack)) };
    } else {
        // SAFETY: as above.
        unsafe { asm!("fxrstor64 [{}]", in(reg) at, options(nostack)) };
    }
}

/// Control registers as a call of foreign code expects them. CR0.TS is clear.
pub fn set_clean() {
    let mxcsr = 0x1f80u32;
    // SAFETY: the state was saved; all exceptions are masked.
    unsafe { asm!("fninit", "ldmxcsr [{}]", in(reg) &mxcsr, options(nostack)) };
}

/// Sets or clears CR0.TS.
pub fn set_task_switched(on: bool) {
    let cr0 = read_cr0();
    let new = if on { cr0 | 8 } else { cr0 & !8 };
    if new != cr0 {
        // SAFETY: TS only makes FPU instructions trap.
        unsafe { write_cr0(new) };
    }
}

/// Sets XCR0 for the running guest (a subset of [`xcr0`], with bit 0), where the CPU has XSAVE.
pub fn set_xcr0(value: u64) {
    if xcr0() != 0 {
        // SAFETY: a subset of what `init` found valid; core checks the dependencies between the bits.
        unsafe { xsetbv(0, value & xcr0() | 1) };
    }
}
