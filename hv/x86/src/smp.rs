//! Starting the other CPUs: INIT, STARTUP, a page of real-mode code (Intel SDM volume 3, 8.4).

use crate::apic;
use crate::paging::direct;

unsafe extern "C" {
    static ap_trampoline: u8;
    static ap_trampoline_end: u8;
    static mut ap_root: u64;
    static mut ap_stack: u64;
}

/// Starts the CPU with this APIC id at `ap_main`, on the stack that ends at `stack`, with the tables at `root`.
/// `trampoline` is the physical address of a free page below 1 MiB; `wait` passes microseconds.
///
/// # Safety
/// One CPU is started at a time; stack and tables are complete.
pub unsafe fn start(apic_id: u32, trampoline: u64, root: u64, stack: u64, wait: impl Fn(u64)) {
    let from = &raw const ap_trampoline;
    let len = (&raw const ap_trampoline_end) as usize - from as usize;
    // SAFETY: the caller gives the page; the code is position-independent within it.
    unsafe { core::ptr::copy_nonoverlapping(from, direct::<u8>(trampoline), len) };
    // SAFETY: read by the one CPU that starts now.
    unsafe { (&raw mut ap_root).write_volatile(root) };
    // SAFETY: as above.
    unsafe { (&raw mut ap_stack).write_volatile(stack) };
    core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
    apic::send(apic_id, 0xc500); // INIT, assert, level
    wait(200);
    apic::send(apic_id, 0x8500); // INIT, de-assert
    wait(10_000);
    for _ in 0..2 {
        apic::send(apic_id, 0x4600 | (trampoline >> 12) as u32);
        wait(200);
    }
}
