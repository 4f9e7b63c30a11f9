//! The IO-APIC: 24 or more redirection entries behind an index and a data register (82093AA data sheet).

/// An IO-APIC.
#[derive(Clone, Copy, Debug)]
pub struct IoApic {
    /// Uncached linear address of its registers.
    pub mapped: u64,
    /// Physical address (guests ask for it).
    pub physical: u64,
    /// Its first global system interrupt.
    pub gsi_base: u32,
    /// Number of entries.
    pub entries: u32,
}

/// Entry bit: masked.
pub const MASKED: u64 = 1 << 16;
/// Entry bit: level-triggered.
pub const LEVEL: u64 = 1 << 15;
/// Entry bit: active low.
pub const ACTIVE_LOW: u64 = 1 << 13;

impl IoApic {
    /// The IO-APIC with these registers; all entries are masked.
    ///
    /// # Safety
    /// `mapped` is an uncached mapping of an IO-APIC.
    pub unsafe fn new(mapped: u64, physical: u64, gsi_base: u32) -> IoApic {
        let mut this = IoApic { mapped, physical, gsi_base, entries: 0 };
        this.entries = (this.read(1) >> 16 & 0xff) + 1;
        for entry in 0..this.entries {
            this.write_entry(entry, MASKED);
        }
        this
    }

    /// Reads a register. The caller holds the lock of the IO-APICs, with interrupts off.
    pub fn read(&self, index: u32) -> u32 {
        // SAFETY: by `new`.
        unsafe { (self.mapped as *mut u32).write_volatile(index) };
        // SAFETY: by `new`.
        unsafe { ((self.mapped + 0x10) as *const u32).read_volatile() }
    }

    /// Writes a register, as [`IoApic::read`].
    pub fn write(&self, index: u32, value: u32) {
        // SAFETY: by `new`.
        unsafe { (self.mapped as *mut u32).write_volatile(index) };
        // SAFETY: by `new`.
        unsafe { ((self.mapped + 0x10) as *mut u32).write_volatile(value) };
    }

    /// Reads a redirection entry.
    pub fn entry(&self, entry: u32) -> u64 {
        u64::from(self.read(0x10 + entry * 2)) | u64::from(self.read(0x11 + entry * 2)) << 32
    }

    /// Writes a redirection entry; masked in between.
    pub fn write_entry(&self, entry: u32, value: u64) {
        self.write(0x10 + entry * 2, MASKED as u32);
        self.write(0x11 + entry * 2, (value >> 32) as u32);
        self.write(0x10 + entry * 2, value as u32);
    }

    /// Masks or unmasks an entry.
    pub fn set_mask(&self, entry: u32, masked: bool) {
        let low = self.read(0x10 + entry * 2);
        self.write(0x10 + entry * 2, if masked { low | MASKED as u32 } else { low & !(MASKED as u32) });
    }
}
