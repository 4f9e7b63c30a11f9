//! The hardware behind physdev_op and platform_op: IO-APICs, messages, PCI configuration space, firmware, power.

use crate::machine::{self, hv};
use crate::percpu::remote;
use crate::{efi, irq, warning};
use core::sync::atomic::Ordering;
use ferroxen_core::Platform;
use ferroxen_core::addr::Maddr;
use ferroxen_core::cpu::CpuId;
use ferroxen_core::evtchn::Notify;
use ferroxen_core::frame::IoAccess;
use ferroxen_core::physdev::{Function, InterruptMachine, Message};
use ferroxen_core::platform_op::{CpuFacts, EfiCall, EfiFacts, EfiRegion, MemoryType, PlatformMachine, Symbol};
use ferroxen_core::time::WallClock;
use ferroxen_x86::acpi::Override;
use ferroxen_x86::paging::{self, direct};
use ferroxen_x86::{instructions, pci};
use spin::{Mutex, Once};

/// This machine's devices.
pub struct Hardware;

/// Where [`with_device`] maps, a page. Its translation is changed under the lock, and forgotten by the CPU that used it.
static WINDOW: Once<Mutex<u64>> = Once::new();

/// Sets the window's linear address (its tables exist).
pub fn set_window(at: u64) {
    WINDOW.call_once(|| Mutex::new(at));
}

/// Tells core of the interrupt lines; once, before dom0 is made.
pub fn init() {
    if hv().lines.init(irq::gsi_count()).is_err() {
        crate::boot::stop(format_args!("no memory for the interrupt lines"));
    }
    let tables = machine::tables();
    for &Override { gsi, flags, .. } in tables.overrides.iter().take(tables.override_count) {
        // MPS INTI flags: 1 is high or edge, 3 low or level, 0 "as the bus has it", which for ISA is high and edge.
        hv().lines.set_default(gsi, flags >> 2 & 3 == 3, flags & 3 == 3);
    }
}

/// Runs `f` on an uncached mapping of device memory at `at`, 16 bytes that do not leave their page. `None`: it is RAM
/// or the hypervisor's own.
fn with_device<T>(at: Maddr, f: impl FnOnce(*mut u32) -> T) -> Option<T> {
    if hv().frames.io.access(at.mfn()) == IoAccess::Refused || !at.0.is_multiple_of(16) {
        return None;
    }
    let window = WINDOW.get()?.lock();
    let flags = paging::P | paging::W | paging::UNCACHED | paging::NX;
    paging::set(*window, at.mfn().maddr().0 | flags);
    instructions::invlpg(*window);
    let result = f((*window + at.offset() as u64) as *mut u32);
    paging::set(*window, 0);
    instructions::invlpg(*window);
    Some(result)
}

fn address(function: Function, register: u16) -> Option<u32> {
    let register = u8::try_from(register).ok()?;
    (function.segment == 0).then(|| pci::address(function.bus, function.devfn, register))
}

impl InterruptMachine for Hardware {
    fn gsi_count(&self) -> u32 {
        irq::gsi_count()
    }
    fn ioapic_read(&mut self, base: Maddr, register: u32) -> Option<u32> {
        irq::read_register(base.0, register)
    }
    fn ioapic_lines(&self, base: Maddr) -> Option<(u32, u32)> {
        irq::ioapics().iter().find(|io| io.physical == base.0).map(|io| (io.gsi_base, io.entries))
    }
    fn allocate_vectors(&mut self, pirq: u32, count: u32, level: bool) -> Option<u8> {
        irq::allocate_vectors(pirq, count, level)
    }
    fn free_vectors(&mut self, first: u8, count: u32) {
        (0..count).for_each(|n| irq::free_vector(first.wrapping_add(n as u8)));
    }
    fn route(&mut self, gsi: u32, vector: u8, level: bool, active_low: bool) -> bool {
        irq::route(gsi, vector, level, active_low)
    }
    fn mask(&mut self, gsi: u32, masked: bool) {
        irq::set_mask(gsi, masked);
    }
    fn message(&self, vector: u8) -> Message {
        // Fixed delivery, edge, to the boot CPU by its physical id (Intel SDM volume 3, 11.11).
        let apic_id = remote(CpuId(0)).apic_id.load(Ordering::Relaxed);
        Message { address: 0xfee0_0000 | u64::from(apic_id & 0xff) << 12, data: vector.into() }
    }
    fn config_read(&mut self, function: Function, register: u16) -> u32 {
        address(function, register).map_or(u32::MAX, pci::read)
    }
    fn config_write(&mut self, function: Function, register: u16, value: u32) {
        if let Some(address) = address(function, register) {
            pci::write(address, value);
        }
    }
    fn config_write16(&mut self, function: Function, register: u16, value: u16) {
        if let Some(address) = address(function, register) {
            pci::write_part(address, register & 2, 2, value.into());
        }
    }
    fn msix_write(&mut self, entry: Maddr, message: Message) -> bool {
        let [low, high, data] = [message.address as u32, (message.address >> 32) as u32, message.data];
        with_device(entry, |at| {
            for (word, value) in [low, high, data].into_iter().enumerate() {
                // SAFETY: a word of the entry, mapped for the length of the closure.
                unsafe { at.add(word).write_volatile(value) };
            }
        })
        .is_some()
    }
    fn msix_mask(&mut self, entry: Maddr, masked: bool) {
        let done = with_device(entry, |at| {
            // SAFETY: the entry's control word, mapped for the length of the closure.
            let control = unsafe { at.add(3) };
            // SAFETY: as above.
            let old = unsafe { control.read_volatile() };
            // SAFETY: as above; bit 0 masks, the others are reserved and kept.
            unsafe { control.write_volatile(old & !1 | u32::from(masked)) };
            // SAFETY: as above. The read waits until the write has arrived.
            unsafe { control.read_volatile() }
        });
        if done.is_none() {
            warning!("MSI-X entry at {:#x} is no device memory", entry.0);
        }
    }
    fn notify(&mut self, notify: Notify) {
        machine::notify(notify);
    }
}

const MTRR: u32 = 1 << 12;
const MTRR_CAP: u32 = 0xfe;
const MTRR_PHYS_BASE: u32 = 0x200;
const MTRR_VALID: u64 = 1 << 11;

impl PlatformMachine for Hardware {
    fn set_wall_clock(&mut self, wall: WallClock) {
        machine::set_wall_clock(wall);
    }
    fn memory_type(&self, register: u32) -> Option<MemoryType> {
        if instructions::cpuid(1, 0)[3] & MTRR == 0 {
            return None;
        }
        // SAFETY: the CPU has MTRRs.
        let count = unsafe { instructions::rdmsr(MTRR_CAP) } as u32 & 0xff;
        if register >= count {
            return None;
        }
        // SAFETY: the capability register says that it exists.
        let base = unsafe { instructions::rdmsr(MTRR_PHYS_BASE + register * 2) };
        // SAFETY: as above.
        let mask = unsafe { instructions::rdmsr(MTRR_PHYS_BASE + register * 2 + 1) };
        if mask & MTRR_VALID == 0 {
            return Some(MemoryType::default());
        }
        // The lowest bit that is compared gives the size, as for every range that firmware makes.
        let frames = 1u64.checked_shl((mask >> 12).trailing_zeros()).unwrap_or(0);
        Some(MemoryType { mfn: base >> 12, frames, kind: base as u32 & 0xff })
    }
    fn keyboard_flags(&self) -> u8 {
        // SAFETY: a byte of the BIOS's data area, which is RAM that nobody else was given.
        unsafe { direct::<u8>(0x417).read_volatile() }
    }
    fn efi(&self) -> Option<EfiFacts<'_>> {
        efi::facts()
    }
    fn efi_region(&self, address: u64) -> Option<EfiRegion> {
        efi::region(address)
    }
    fn efi_call(&mut self, call: EfiCall<'_>) -> u64 {
        efi::call(call)
    }
    fn power_off(&mut self, pm1a: u16, pm1b: u16) {
        const SLEEP_ENABLE: u16 = 1 << 13;
        machine::stop_others();
        for (port, value) in machine::tables().pm1_control.into_iter().zip([pm1a, pm1b]) {
            if port != 0 {
                // SAFETY: the FADT names the port; dom0 read the value from the firmware's tables.
                unsafe { instructions::outw(port, value | SLEEP_ENABLE) };
            }
        }
        machine::delay_us(1_000_000);
        machine::power_off()
    }
    fn cpus(&self) -> u16 {
        machine::tables().cpu_count.max(1) as u16
    }
    fn cpu(&self, cpu: CpuId) -> Option<CpuFacts> {
        if cpu.0 >= self.cpus() {
            return None;
        }
        let apic_id = remote(cpu).apic_id.load(Ordering::Relaxed);
        let [_, b, c, d] = instructions::cpuid(0, 0);
        let mut vendor = [0; 12];
        for (to, from) in vendor.chunks_exact_mut(4).zip([b, d, c]) {
            to.copy_from_slice(&from.to_le_bytes());
        }
        Some(CpuFacts {
            online: hv().platform.online().has(cpu),
            apic_id,
            acpi_id: machine::tables().acpi_id(apic_id).unwrap_or(cpu.0.into()),
            vendor,
            signature: instructions::cpuid(1, 0)[0],
        })
    }
    fn symbol(&self, _n: u32) -> Option<Symbol<'_>> {
        // The image carries no table of them.
        None
    }
}
