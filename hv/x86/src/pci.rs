//! PCI configuration space by ports 0xcf8 and 0xcfc (PCI Local Bus 3.0, 3.2.2.3.2).

use crate::instructions::{inl, outl, without_interrupts};
use core::sync::atomic::{AtomicBool, Ordering};

static BUSY: AtomicBool = AtomicBool::new(false);

fn exclusive<T>(f: impl FnOnce() -> T) -> T {
    without_interrupts(|| {
        while BUSY.swap(true, Ordering::Acquire) {
            core::hint::spin_loop();
        }
        let value = f();
        BUSY.store(false, Ordering::Release);
        value
    })
}

/// Address word of a register (bytes, aligned to 4) of a function.
pub fn address(bus: u8, devfn: u8, register: u8) -> u32 {
    1 << 31 | u32::from(bus) << 16 | u32::from(devfn) << 8 | u32::from(register & 0xfc)
}

/// Reads 32 bits of configuration space.
pub fn read(address: u32) -> u32 {
    // SAFETY: the ports of configuration space.
    exclusive(|| unsafe {
        outl(0xcf8, address);
        inl(0xcfc)
    })
}

/// Writes 32 bits of configuration space.
pub fn write(address: u32, value: u32) {
    // SAFETY: the ports of configuration space.
    exclusive(|| unsafe {
        outl(0xcf8, address);
        outl(0xcfc, value);
    });
}

/// Reads `width` bytes at byte `offset` of the register at `address` (a guest's access to the data port).
pub fn read_part(address: u32, offset: u16, width: u8) -> u32 {
    let value = read(address) >> (offset * 8);
    if width >= 4 { value } else { value & ((1 << (width * 8)) - 1) }
}

/// Writes `width` bytes at byte `offset` of the register at `address`.
pub fn write_part(address: u32, offset: u16, width: u8, value: u32) {
    // SAFETY: the ports of configuration space; a narrow write is a narrow write on the bus.
    exclusive(|| unsafe {
        outl(0xcf8, address);
        let port = 0xcfc + offset;
        match width {
            1 => crate::instructions::outb(port, value as u8),
            2 => crate::instructions::outw(port, value as u16),
            _ => outl(port, value),
        }
    });
}
