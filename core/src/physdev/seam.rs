//! The hardware, as far as interrupts need it.

use super::Function;
use crate::addr::Maddr;
use crate::evtchn::Notify;

/// What a function writes where to raise an interrupt (Intel SDM volume 3, 11.11).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Message {
    /// Machine address of the write.
    pub address: u64,
    /// Value of the write.
    pub data: u32,
}

/// Interrupt controllers, PCI configuration space, MSI-X tables. `hv/` has the real ones.
pub trait InterruptMachine {
    /// Global system interrupts of all IO-APICs: one more than the highest.
    fn gsi_count(&self) -> u32;
    /// Reads a register of the IO-APIC at this physical address; `None`: there is none, or no such register.
    fn ioapic_read(&mut self, base: Maddr, register: u32) -> Option<u32>;
    /// First line and number of lines of the IO-APIC at this physical address.
    fn ioapic_lines(&self, base: Maddr) -> Option<(u32, u32)>;

    /// Takes `count` (a power of two) vectors in a row, the first a multiple of `count`. Interrupts on vector
    /// `first + n` are to arrive as `pirq + n`; `level`: as a line that the handler masks. `None`: no such run is free.
    fn allocate_vectors(&mut self, pirq: u32, count: u32, level: bool) -> Option<u8>;
    /// Gives them back. What was routed to them is masked already.
    fn free_vectors(&mut self, first: u8, count: u32);
    /// Sets a line up, masked; `false`: there is no such line.
    fn route(&mut self, gsi: u32, vector: u8, level: bool, active_low: bool) -> bool;
    /// Masks or unmasks a line.
    fn mask(&mut self, gsi: u32, masked: bool);
    /// The message that raises this vector.
    fn message(&self, vector: u8) -> Message;

    /// Reads 32 bits of configuration space at `register` (a multiple of 4); all ones where nothing is.
    fn config_read(&mut self, function: Function, register: u16) -> u32;
    /// Writes 32 bits of configuration space.
    fn config_write(&mut self, function: Function, register: u16, value: u32);
    /// Writes 16 bits of configuration space at `register` (a multiple of 2).
    fn config_write16(&mut self, function: Function, register: u16, value: u16);
    /// Writes a message into an entry of an MSI-X table (16 bytes at this machine address), without changing its mask. `false`: the address cannot be reached.
    fn msix_write(&mut self, entry: Maddr, message: Message) -> bool;
    /// Masks or unmasks an entry of an MSI-X table.
    fn msix_mask(&mut self, entry: Maddr, masked: bool);

    /// Wakes vcpus for an event.
    fn notify(&mut self, notify: Notify);
}
