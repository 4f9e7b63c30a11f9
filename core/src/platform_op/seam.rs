//! The machine, as far as its control domain manages it.

use super::efi::{EfiCall, EfiFacts, EfiRegion};
use crate::cpu::CpuId;
use crate::time::WallClock;

/// What a variable-range MTRR says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MemoryType {
    /// First frame.
    pub mfn: u64,
    /// Number of frames; 0: not in use.
    pub frames: u64,
    /// 0 uncached, 1 write-combining, 4 write-through, 5 write-protected, 6 write-back.
    pub kind: u32,
}

/// A physical CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CpuFacts {
    /// Runs guests.
    pub online: bool,
    /// Local APIC id.
    pub apic_id: u32,
    /// Processor id in the firmware's tables.
    pub acpi_id: u32,
    /// CPUID leaf 0: EBX, EDX, ECX.
    pub vendor: [u8; 12],
    /// CPUID leaf 1: EAX.
    pub signature: u32,
}

/// A name of the hypervisor's image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Symbol<'a> {
    /// Its name.
    pub name: &'a str,
    /// Linear address.
    pub address: u64,
    /// Letter as nm(1) has it.
    pub kind: u8,
}

/// Clock, firmware, memory types, power, CPUs. `hv/` has the real ones.
pub trait PlatformMachine {
    /// The wall clock was set: tells every domain.
    fn set_wall_clock(&mut self, wall: WallClock);
    /// A variable-range MTRR; `None`: the CPU has not so many.
    fn memory_type(&self, register: u32) -> Option<MemoryType>;
    /// Shift, Ctrl, Lock keys as the firmware left them (int 16h, AH = 2).
    fn keyboard_flags(&self) -> u8;
    /// What UEFI told; `None`: a BIOS started the machine, or its services cannot be called.
    fn efi(&self) -> Option<EfiFacts<'_>> {
        None
    }
    /// The range of UEFI's memory map that holds this address.
    fn efi_region(&self, _address: u64) -> Option<EfiRegion> {
        None
    }
    /// Calls a runtime service; gives its status. Never asked where [`Self::efi`] is `None`.
    fn efi_call(&mut self, _call: EfiCall<'_>) -> u64 {
        const UNSUPPORTED: u64 = 1 << 63 | 3;
        UNSUPPORTED
    }
    /// Switches the machine off, by these values for the PM1 control registers. Returns only if that failed.
    fn power_off(&mut self, pm1a: u16, pm1b: u16);
    /// Physical CPUs that the machine has.
    fn cpus(&self) -> u16;
    /// One of them.
    fn cpu(&self, cpu: CpuId) -> Option<CpuFacts>;
    /// The n-th symbol, in ascending order of addresses.
    fn symbol(&self, n: u32) -> Option<Symbol<'_>>;
}
