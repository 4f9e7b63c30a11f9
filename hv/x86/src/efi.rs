//! UEFI's tables as it left them (UEFI specification 2.10, sections 4 and 7.2), and calls of its runtime services.
//! Parsed from bytes, so that it is tested on a host.

use crate::bootinfo::{Efi, Physical};
use ferroxen_core::platform_op::EfiRegion;

const SYSTEM_TABLE: u64 = 0x5453_5953_2049_4249;
const RUNTIME_TABLE: u64 = 0x5652_4553_544e_5552;
/// A range that runtime services use.
pub const RUNTIME: u64 = 1 << 63;
/// `EfiRuntimeServicesCode`.
pub const RUNTIME_CODE: u32 = 5;
/// `EfiMemoryMappedIO`.
pub const MEMORY_MAPPED_IO: u32 = 11;
/// `EFI_MEMORY_WB`.
pub const WRITE_BACK: u64 = 8;
const MAX_REGIONS: usize = 256;

/// Runtime services, by their offset in the table.
pub mod service {
    /// `GetTime`.
    pub const GET_TIME: usize = 24;
    /// `SetTime`.
    pub const SET_TIME: usize = 32;
    /// `GetWakeupTime`.
    pub const GET_WAKEUP_TIME: usize = 40;
    /// `SetWakeupTime`.
    pub const SET_WAKEUP_TIME: usize = 48;
    /// `GetVariable`.
    pub const GET_VARIABLE: usize = 72;
    /// `GetNextVariableName`.
    pub const GET_NEXT_VARIABLE_NAME: usize = 80;
    /// `SetVariable`.
    pub const SET_VARIABLE: usize = 88;
    /// `GetNextHighMonotonicCount`.
    pub const GET_NEXT_HIGH_MONOTONIC_COUNT: usize = 96;
    /// `ResetSystem`.
    pub const RESET_SYSTEM: usize = 104;
    /// `QueryVariableInfo`.
    pub const QUERY_VARIABLE_INFO: usize = 128;
}

/// Bytes of the table of runtime services that are kept.
const SERVICES: usize = 136;

/// What is kept of the firmware's tables.
#[derive(Clone, Debug)]
pub struct EfiTables {
    /// UEFI's version, major in the upper 16 bits.
    pub revision: u32,
    /// Physical address of the configuration tables.
    pub config_table: u64,
    /// How many.
    pub config_count: u32,
    /// The vendor's name in UTF-16.
    pub vendor: [u16; 64],
    /// Units of it.
    pub vendor_len: usize,
    /// The vendor's own version.
    pub vendor_revision: u32,
    /// Version of the runtime services; 0: there are none.
    pub runtime_revision: u32,
    /// The table of runtime services.
    services: [u8; SERVICES],
    /// The memory map, in ascending order.
    regions: [EfiRegion; MAX_REGIONS],
    region_count: usize,
}

impl EfiTables {
    /// Reads what the loader pointed at. `None`: no system table is there.
    pub fn parse(memory: &impl Physical, efi: &Efi) -> Option<EfiTables> {
        let at = efi.system_table;
        if memory.u64(at)? != SYSTEM_TABLE {
            return None;
        }
        let mut tables = EfiTables {
            revision: memory.u32(at + 8)?,
            config_table: memory.u64(at + 112)?,
            config_count: memory.u64(at + 104)? as u32,
            vendor: [0; 64],
            vendor_len: 0,
            vendor_revision: memory.u32(at + 32)?,
            runtime_revision: 0,
            services: [0; SERVICES],
            regions: [EfiRegion::default(); MAX_REGIONS],
            region_count: 0,
        };
        let vendor = memory.u64(at + 24)?;
        for (n, unit) in tables.vendor.iter_mut().enumerate() {
            match memory.bytes(vendor + n as u64 * 2, 2) {
                Some([0, 0]) | None => break,
                Some(bytes) => *unit = u16::from_le_bytes([bytes[0], bytes[1]]),
            }
            tables.vendor_len = n + 1;
        }
        tables.map(memory, efi);
        let runtime = memory.u64(at + 88)?;
        // Without the map, nobody knows what the services need.
        if tables.region_count != 0 && !efi.boot_services && memory.u64(runtime) == Some(RUNTIME_TABLE) {
            tables.services.copy_from_slice(memory.bytes(runtime, SERVICES)?);
            tables.runtime_revision = memory.u32(runtime + 8)?;
        }
        Some(tables)
    }

    fn map(&mut self, memory: &impl Physical, efi: &Efi) {
        if efi.entry_len < 40 {
            return;
        }
        for n in 0..efi.map_len / efi.entry_len {
            let at = efi.map + n * efi.entry_len;
            let entry = || {
                let (start, pages) = (memory.u64(at + 8)?, memory.u64(at + 24)?);
                let end = start.checked_add(pages.checked_mul(4096)?)?;
                Some(EfiRegion { start, end, attributes: memory.u64(at + 32)?, kind: memory.u32(at)? })
            };
            let (Some(region), true) = (entry(), self.region_count < MAX_REGIONS) else { break };
            self.regions[self.region_count] = region;
            self.region_count += 1;
        }
        self.regions[..self.region_count].sort_unstable_by_key(|region| region.start);
    }

    /// The memory map.
    pub fn regions(&self) -> &[EfiRegion] {
        &self.regions[..self.region_count]
    }

    /// The address of a runtime service.
    pub fn service(&self, offset: usize) -> u64 {
        self.services.get(offset..offset + 8).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap_or([0; 8])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bytes(Vec<u8>);
    impl Physical for Bytes {
        fn bytes(&self, at: u64, len: usize) -> Option<&[u8]> {
            self.0.get(at as usize..)?.get(..len)
        }
    }

    fn firmware() -> Vec<u8> {
        let mut m = vec![0; 1024];
        let mut put = |at: usize, value: u64| m[at..at + 8].copy_from_slice(&value.to_le_bytes());
        put(0, SYSTEM_TABLE);
        put(8, 0x2_0046);
        put(24, 512);
        put(32, 0x1_0000);
        put(88, 256);
        put(104, 3);
        put(112, 0x7777_0000);
        put(256, RUNTIME_TABLE);
        put(264, 0x2_0046);
        put(256 + service::GET_VARIABLE, 0x1234);
        put(512, u64::from_le_bytes(*b"E\0D\0K\0\0\0"));
        // Two regions, the higher first, in entries of 48 bytes.
        put(600, 5);
        put(608, 0x9000);
        put(624, 2);
        put(632, RUNTIME | 8);
        put(648, 7);
        put(656, 0x1000);
        put(672, 1);
        m
    }
    const EFI: Efi = Efi { system_table: 0, map: 600, map_len: 96, entry_len: 48, boot_services: false };

    #[test]
    fn tables_give_versions_services_and_regions() {
        let tables = EfiTables::parse(&Bytes(firmware()), &EFI).unwrap();
        assert_eq!((tables.revision, tables.runtime_revision, tables.vendor_revision), (0x2_0046, 0x2_0046, 0x1_0000));
        assert_eq!((tables.config_table, tables.config_count), (0x7777_0000, 3));
        assert_eq!(String::from_utf16_lossy(&tables.vendor[..tables.vendor_len]), "EDK");
        assert_eq!(tables.service(service::GET_VARIABLE), 0x1234);
        assert_eq!(tables.regions()[1], EfiRegion { start: 0x9000, end: 0xb000, attributes: RUNTIME | 8, kind: 5 });
        assert_eq!(tables.regions()[0].start, 0x1000);
    }

    #[test]
    fn no_services_without_a_map_or_with_boot_services_or_behind_the_end() {
        let m = Bytes(firmware());
        assert_eq!(EfiTables::parse(&m, &Efi { map_len: 0, ..EFI }).unwrap().runtime_revision, 0);
        assert_eq!(EfiTables::parse(&m, &Efi { boot_services: true, ..EFI }).unwrap().runtime_revision, 0);
        assert!(EfiTables::parse(&m, &Efi { system_table: 8, ..EFI }).is_none());
        assert!(EfiTables::parse(&Bytes(firmware()[..100].to_vec()), &EFI).is_none());
        assert_eq!(EfiTables::parse(&m, &Efi { map_len: u64::MAX, ..EFI }).unwrap().regions().len(), 9);
    }
}
