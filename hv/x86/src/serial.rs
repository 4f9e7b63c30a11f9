//! A 16550 serial port by I/O ports.

use crate::instructions::{inb, outb};

/// A serial port.
#[derive(Clone, Copy)]
pub struct Serial {
    base: u16,
}

impl Serial {
    /// The port at `base` (0x3f8: COM1), set to `baud`, 8 data bits, no parity, with FIFOs and the receive interrupt.
    pub fn init(base: u16, baud: u32) -> Option<Serial> {
        let divisor = (115_200 / baud.clamp(50, 115_200)).to_le_bytes();
        // SAFETY: the documented programming of a 16550; the scratch register tells whether there is one.
        unsafe {
            outb(base + 7, 0x5a);
            if inb(base + 7) != 0x5a {
                return None;
            }
            outb(base + 1, 0);
            outb(base + 3, 0x80);
            outb(base, divisor[0]);
            outb(base + 1, divisor[1]);
            outb(base + 3, 0x03);
            outb(base + 2, 0xc7);
            outb(base + 4, 0x0b);
            outb(base + 1, 0x01);
        }
        Some(Serial { base })
    }

    /// Sends one byte, waiting for room.
    pub fn send(self, byte: u8) {
        // SAFETY: line status and transmit registers.
        unsafe {
            let mut patience = 1_000_000u32;
            while inb(self.base + 5) & 0x20 == 0 && patience > 0 {
                patience -= 1;
                core::hint::spin_loop();
            }
            outb(self.base, byte);
        }
    }

    /// Sends text; a line feed becomes carriage return and line feed.
    pub fn send_all(self, bytes: &[u8]) {
        let mut room = 0;
        for &byte in bytes {
            if byte == b'\n' {
                self.put(b'\r', &mut room);
            }
            self.put(byte, &mut room);
        }
    }

    /// One status read fills the whole transmit FIFO of 16 bytes.
    fn put(self, byte: u8, room: &mut u32) {
        if *room == 0 {
            self.send(byte);
            *room = 15;
        } else {
            // SAFETY: the FIFO was empty at most 15 bytes ago.
            unsafe { outb(self.base, byte) };
            *room -= 1;
        }
    }

    /// A received byte, if there is one.
    pub fn receive(self) -> Option<u8> {
        // SAFETY: line status and receive registers.
        unsafe { if inb(self.base + 5) & 1 != 0 { Some(inb(self.base)) } else { None } }
    }

    /// Clears the cause of its interrupt.
    pub fn acknowledge(self) {
        // SAFETY: reading the identification register has no other effect.
        unsafe { inb(self.base + 2) };
    }
}
