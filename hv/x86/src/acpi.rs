//! The few ACPI tables that the hypervisor itself needs (ACPI specification 6.4, chapter 5). Parsed from bytes.

use crate::bootinfo::Physical;

/// The most CPUs, IO-APICs and overrides that are kept.
pub const MAX_CPUS: usize = 256;

/// An IO-APIC of the MADT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoApic {
    /// Its APIC id.
    pub id: u8,
    /// Physical address of its registers.
    pub address: u32,
    /// Its first global system interrupt.
    pub gsi_base: u32,
}

/// An ISA interrupt that is wired differently (MADT type 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Override {
    /// ISA interrupt number.
    pub source: u8,
    /// Global system interrupt.
    pub gsi: u32,
    /// MPS INTI flags: bits 0-1 polarity, bits 2-3 trigger mode.
    pub flags: u16,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Tables {
    /// APIC ids of the CPUs that are enabled, in MADT order.
    pub cpus: [u32; MAX_CPUS],
    /// Their processor ids, by which the firmware's other tables call them.
    pub acpi_ids: [u32; MAX_CPUS],
    /// How many.
    pub cpu_count: usize,
    /// IO-APICs.
    pub ioapics: [IoApic; 8],
    /// How many.
    pub ioapic_count: usize,
    /// ISA overrides.
    pub overrides: [Override; 16],
    /// How many.
    pub override_count: usize,
    /// Physical address of the local APIC.
    pub lapic: u64,
    /// I/O port of the power-management timer (FADT); 0: none.
    pub pm_timer: u16,
    /// The timer has 32 bits, not 24.
    pub pm_timer_32: bool,
    /// Physical address of the HPET's registers; 0: none.
    pub hpet: u64,
    /// PCI configuration space of segment 0: base and last bus; 0: none.
    pub mcfg: u64,
    /// Last bus of it.
    pub mcfg_last_bus: u8,
    /// PM1a and PM1b control ports, for power-off.
    pub pm1_control: [u16; 2],
    /// Reset register: address space, address, value (FADT); space 0xff: none.
    pub reset: (u8, u64, u8),
    /// ACPI's root pointer.
    pub rsdp: u64,
}

impl Default for Tables {
    fn default() -> Self {
        Tables {
            cpus: [0; MAX_CPUS],
            acpi_ids: [0; MAX_CPUS],
            cpu_count: 0,
            ioapics: [IoApic::default(); 8],
            ioapic_count: 0,
            overrides: [Override::default(); 16],
            override_count: 0,
            lapic: 0xfee0_0000,
            pm_timer: 0,
            pm_timer_32: false,
            hpet: 0,
            mcfg: 0,
            mcfg_last_bus: 0,
            pm1_control: [0; 2],
            reset: (0xff, 0, 0),
            rsdp: 0,
        }
    }
}

fn checksum_good(bytes: &[u8]) -> bool {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) == 0
}

/// Looks for the root pointer where a BIOS puts it: the first KiB of the EBDA, then 0xE0000 to 0xFFFFF.
pub fn find_rsdp(memory: &impl Physical) -> Option<u64> {
    let ebda = memory.bytes(0x40e, 2).map(|b| u64::from(u16::from_le_bytes([b[0], b[1]])) << 4).unwrap_or(0);
    let low = if (0x400..0xa_0000).contains(&ebda) { ebda..ebda + 1024 } else { 0..0 };
    low.chain(0xe_0000..0x10_0000)
        .step_by(16)
        .find(|&at| memory.bytes(at, 8) == Some(b"RSD PTR ") && memory.bytes(at, 20).is_some_and(checksum_good))
}

impl Tables {
    /// Reads the tables below the root pointer at `rsdp`. What is missing stays at its default.
    pub fn parse(memory: &impl Physical, rsdp: u64) -> Option<Tables> {
        let mut tables = Tables { rsdp, ..Tables::default() };
        let revision = *memory.bytes(rsdp + 15, 1)?.first()?;
        let xsdt = if revision >= 2 { memory.u64(rsdp + 24)? } else { 0 };
        let (root, width) = if xsdt != 0 { (xsdt, 8) } else { (u64::from(memory.u32(rsdp + 16)?), 4) };
        let len = u64::from(memory.u32(root + 4)?);
        let count = len.saturating_sub(36) / width;
        for i in 0..count {
            let entry = root + 36 + i * width;
            let at = if width == 8 { memory.u64(entry)? } else { memory.u32(entry)?.into() };
            let Some(len) = memory.u32(at + 4) else { continue };
            let Some(table) = memory.bytes(at, len as usize) else { continue };
            if table.len() < 36 || !checksum_good(table) {
                continue;
            }
            match &table[..4] {
                b"APIC" => tables.madt(table),
                b"FACP" => tables.fadt(table),
                b"HPET" => tables.hpet = le64(table, 44).unwrap_or(0),
                b"MCFG" if le16(table, 52) == Some(0) => {
                    tables.mcfg = le64(table, 44).unwrap_or(0);
                    tables.mcfg_last_bus = table.get(55).copied().unwrap_or(0);
                }
                _ => {}
            }
        }
        Some(tables)
    }

    fn madt(&mut self, table: &[u8]) {
        self.lapic = u64::from(le32(table, 36).unwrap_or(0xfee0_0000));
        let mut rest = table.get(44..).unwrap_or(&[]);
        while let [kind, len, ..] = *rest {
            let Some(entry) = rest.get(..usize::from(len)).filter(|entry| entry.len() >= 2) else { break };
            match kind {
                0 if le32(entry, 4).is_some_and(|flags| flags & 1 != 0) => {
                    self.add_cpu(entry[3].into(), entry[2].into())
                }
                1 if self.ioapic_count < self.ioapics.len() && entry.len() >= 12 => {
                    self.ioapics[self.ioapic_count] = IoApic {
                        id: entry[2],
                        address: le32(entry, 4).unwrap_or(0),
                        gsi_base: le32(entry, 8).unwrap_or(0),
                    };
                    self.ioapic_count += 1;
                }
                2 if self.override_count < self.overrides.len() && entry.len() >= 10 => {
                    self.overrides[self.override_count] = Override {
                        source: entry[3],
                        gsi: le32(entry, 4).unwrap_or(0),
                        flags: le16(entry, 8).unwrap_or(0),
                    };
                    self.override_count += 1;
                }
                5 => self.lapic = le64(entry, 4).unwrap_or(self.lapic),
                9 if le32(entry, 8).is_some_and(|flags| flags & 1 != 0) => {
                    self.add_cpu(le32(entry, 4).unwrap_or(u32::MAX), le32(entry, 12).unwrap_or(u32::MAX));
                }
                _ => {}
            }
            rest = &rest[usize::from(len)..];
        }
    }

    /// The processor id of the CPU with this APIC id.
    pub fn acpi_id(&self, apic_id: u32) -> Option<u32> {
        let at = self.cpus[..self.cpu_count].iter().position(|&id| id == apic_id)?;
        Some(self.acpi_ids[at])
    }

    fn add_cpu(&mut self, apic_id: u32, acpi_id: u32) {
        if self.cpu_count < MAX_CPUS && !self.cpus[..self.cpu_count].contains(&apic_id) {
            self.cpus[self.cpu_count] = apic_id;
            self.acpi_ids[self.cpu_count] = acpi_id;
            self.cpu_count += 1;
        }
    }

    fn fadt(&mut self, table: &[u8]) {
        self.pm_timer = le32(table, 76).unwrap_or(0) as u16;
        let flags = le32(table, 112).unwrap_or(0);
        self.pm_timer_32 = flags & 1 << 8 != 0;
        self.pm1_control = [le32(table, 64).unwrap_or(0) as u16, le32(table, 68).unwrap_or(0) as u16];
        if flags & 1 << 10 != 0 && table.len() >= 129 {
            self.reset = (table[116], le64(table, 120).unwrap_or(0), table[128]);
        }
    }
}

fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}
fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_madt_gives_cpus_ioapics_and_overrides() {
        let mut madt = vec![0u8; 44];
        madt[36..40].copy_from_slice(&0xfee0_0000u32.to_le_bytes());
        madt.extend([0, 8, 0, 3, 1, 0, 0, 0]); // enabled, APIC id 3
        madt.extend([0, 8, 1, 4, 0, 0, 0, 0]); // not enabled
        madt.extend([1, 12, 9, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
        madt.extend([2, 10, 0, 0, 2, 0, 0, 0, 0, 0]);
        madt.extend([7, 0]); // an entry of length 0 ends the walk
        let mut tables = Tables::default();
        tables.madt(&madt);
        assert_eq!(&tables.cpus[..tables.cpu_count], &[3]);
        assert_eq!(tables.ioapics[0], IoApic { id: 9, address: 0xfec0_0000, gsi_base: 0 });
        assert_eq!(tables.overrides[0], Override { source: 0, gsi: 2, flags: 0 });
    }
}
