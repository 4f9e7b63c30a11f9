//! `physdev.h`: subcommands of `physdev_op`.

use crate::arch_x86::xen_pfn_t;
use crate::guest_ptr::GuestPtr;
use crate::xen::domid_t;

consts! {
    /// Value inside a physdev operation.
    u32 {
        PHYSDEVOP_DBGP_RESET_PREPARE = 1,
        PHYSDEVOP_DBGP_RESET_DONE = 2,
        PHYSDEVOP_DBGP_BUS_UNKNOWN = 0,
        PHYSDEVOP_DBGP_BUS_PCI = 1,
        PHYSDEVOP_IRQ_UNMASK_NOTIFY = 4,
    }
    /// Subcommand of `physdev_op`.
    u32 {
        PHYSDEVOP_eoi = 12,
        PHYSDEVOP_pirq_eoi_gmfn_v1 = 17,
        PHYSDEVOP_pirq_eoi_gmfn_v2 = 28,
        PHYSDEVOP_irq_status_query = 5,
        PHYSDEVOP_set_iopl = 6,
        PHYSDEVOP_set_iobitmap = 7,
        PHYSDEVOP_apic_read = 8,
        PHYSDEVOP_apic_write = 9,
        PHYSDEVOP_alloc_irq_vector = 10,
        PHYSDEVOP_free_irq_vector = 11,
        PHYSDEVOP_map_pirq = 13,
        PHYSDEVOP_unmap_pirq = 14,
        PHYSDEVOP_manage_pci_add = 15,
        PHYSDEVOP_manage_pci_remove = 16,
        PHYSDEVOP_restore_msi = 19,
        PHYSDEVOP_manage_pci_add_ext = 20,
        PHYSDEVOP_setup_gsi = 21,
        PHYSDEVOP_get_free_pirq = 23,
        PHYSDEVOP_pci_mmcfg_reserved = 24,
        PHYSDEVOP_pci_device_add = 25,
        PHYSDEVOP_pci_device_remove = 26,
        PHYSDEVOP_restore_msi_ext = 27,
        PHYSDEVOP_prepare_msix = 30,
        PHYSDEVOP_release_msix = 31,
        PHYSDEVOP_dbgp_op = 29,
        PHYSDEVOP_pirq_eoi_gmfn = 28,
    }
    /// Bit number of an `XENIRQSTAT_*` flag.
    u32 {
        _XENIRQSTAT_needs_eoi = 0,
        _XENIRQSTAT_shared = 1,
    }
    /// Flag of `physdev_irq_status_query`.
    u32 {
        XENIRQSTAT_needs_eoi = 1 << _XENIRQSTAT_needs_eoi,
        XENIRQSTAT_shared = 1 << _XENIRQSTAT_shared,
    }
    /// Kind of interrupt in `physdev_map_pirq`.
    i32 {
        MAP_PIRQ_TYPE_MSI = 0x0,
        MAP_PIRQ_TYPE_GSI = 0x1,
        MAP_PIRQ_TYPE_UNKNOWN = 0x2,
        MAP_PIRQ_TYPE_MSI_SEG = 0x3,
        MAP_PIRQ_TYPE_MULTI_MSI = 0x4,
    }
    /// Flag of a PCI operation.
    u32 {
        XEN_PCI_MMCFG_RESERVED = 0x1,
        XEN_PCI_DEV_EXTFN = 0x1,
        XEN_PCI_DEV_VIRTFN = 0x2,
        XEN_PCI_DEV_PXM = 0x4,
    }
}

structs! {
    /// Argument of `PHYSDEVOP_eoi`.
    PhysdevEoi = "struct physdev_eoi" {
        /// In.
        irq: u32,
    }
    /// Argument of `PHYSDEVOP_pirq_eoi_gmfn`.
    PhysdevPirqEoiGmfn = "struct physdev_pirq_eoi_gmfn" {
        /// In.
        gmfn: xen_pfn_t,
    }
    /// Argument of `PHYSDEVOP_irq_status_query`.
    PhysdevIrqStatusQuery = "struct physdev_irq_status_query" {
        /// In.
        irq: u32,
        /// XENIRQSTAT_*
        flags: u32,
    }
    /// Argument of `PHYSDEVOP_set_iopl`.
    PhysdevSetIopl = "struct physdev_set_iopl" {
        /// In.
        iopl: u32,
    }
    /// Argument of `PHYSDEVOP_set_iobitmap`.
    PhysdevSetIobitmap = "struct physdev_set_iobitmap" {
        /// In.
        bitmap: GuestPtr<u8>,
        /// In.
        nr_ports: u32,
        _pad0: [u8; 4],
    }
    /// `struct physdev_apic`.
    PhysdevApic = "struct physdev_apic" {
        /// In.
        apic_physbase: u64,
        /// In.
        reg: u32,
        /// In or out.
        value: u32,
    }
    /// `struct physdev_irq`.
    PhysdevIrq = "struct physdev_irq" {
        /// In.
        irq: u32,
        /// In or out.
        vector: u32,
    }
    /// Argument of `PHYSDEVOP_map_pirq`.
    PhysdevMapPirq = "struct physdev_map_pirq" {
        domid: domid_t,
        _pad0: [u8; 2],
        /// In.
        r#type: i32,
        /// In: (ignored for ..._MULTI_MSI)
        index: i32,
        /// In or out.
        pirq: i32,
        /// In: high 16 bits hold segment for ..._MSI_SEG and ..._MULTI_MSI
        bus: i32,
        /// In.
        devfn: i32,
        /// In: (also OUT for ..._MULTI_MSI)
        entry_nr: i32,
        _pad1: [u8; 4],
        /// In.
        table_base: u64,
    }
    /// Argument of `PHYSDEVOP_unmap_pirq`.
    PhysdevUnmapPirq = "struct physdev_unmap_pirq" {
        domid: domid_t,
        _pad0: [u8; 2],
        /// In.
        pirq: i32,
    }
    /// `struct physdev_manage_pci`.
    PhysdevManagePci = "struct physdev_manage_pci" {
        /// In.
        bus: u8,
        /// In.
        devfn: u8,
    }
    /// Argument of `PHYSDEVOP_restore_msi`.
    PhysdevRestoreMsi = "struct physdev_restore_msi" {
        /// In.
        bus: u8,
        /// In.
        devfn: u8,
    }
    /// Member `physfn` of `struct physdev_manage_pci_ext`.
    PhysdevManagePciExtPhysfn = "__typeof__(((struct physdev_manage_pci_ext *)0)->physfn)" {
        bus: u8,
        devfn: u8,
    }
    /// `struct physdev_manage_pci_ext`.
    PhysdevManagePciExt = "struct physdev_manage_pci_ext" {
        /// In.
        bus: u8,
        /// In.
        devfn: u8,
        _pad0: [u8; 2],
        /// In.
        is_extfn: u32,
        /// In.
        is_virtfn: u32,
        physfn: PhysdevManagePciExtPhysfn,
        _pad1: [u8; 2],
    }
    /// `struct physdev_op`.
    PhysdevOp = "struct physdev_op" {
        cmd: u32,
        _pad0: [u8; 4],
        u: [u8; 16],
        _pad1: [u64; 0],
    }
    /// Argument of `PHYSDEVOP_setup_gsi`.
    PhysdevSetupGsi = "struct physdev_setup_gsi" {
        gsi: i32,
        /// In.
        triggering: u8,
        /// In.
        polarity: u8,
        _pad0: [u8; 2],
    }
    /// Argument of `PHYSDEVOP_get_free_pirq`.
    PhysdevGetFreePirq = "struct physdev_get_free_pirq" {
        /// In.
        r#type: i32,
        /// Out.
        pirq: u32,
    }
    /// Argument of `PHYSDEVOP_pci_mmcfg_reserved`.
    PhysdevPciMmcfgReserved = "struct physdev_pci_mmcfg_reserved" {
        address: u64,
        segment: u16,
        start_bus: u8,
        end_bus: u8,
        flags: u32,
    }
    /// Member `physfn` of `struct physdev_pci_device_add`.
    PhysdevPciDeviceAddPhysfn = "__typeof__(((struct physdev_pci_device_add *)0)->physfn)" {
        bus: u8,
        devfn: u8,
    }
    /// Argument of `PHYSDEVOP_pci_device_add`.
    PhysdevPciDeviceAdd = "struct physdev_pci_device_add" {
        /// In.
        seg: u16,
        /// In.
        bus: u8,
        /// In.
        devfn: u8,
        /// In.
        flags: u32,
        physfn: PhysdevPciDeviceAddPhysfn,
        _pad0: [u8; 2],
    }
    /// `struct physdev_pci_device`.
    PhysdevPciDevice = "struct physdev_pci_device" {
        /// In.
        seg: u16,
        /// In.
        bus: u8,
        /// In.
        devfn: u8,
    }
    /// Argument of `PHYSDEVOP_dbgp_op`.
    PhysdevDbgpOp = "struct physdev_dbgp_op" {
        /// In.
        op: u8,
        /// In.
        bus: u8,
        u: [u8; 4],
        _pad0: [u16; 0],
    }
}

/// Which interrupt a `PHYSDEVOP_map_pirq` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapPirq {
    /// `MAP_PIRQ_TYPE_GSI`: an interrupt line.
    Gsi {
        /// The line's number; negative ones do not exist.
        index: i32,
    },
    /// `MAP_PIRQ_TYPE_MSI`, `_MSI_SEG`: one message of a device.
    Msi {
        /// The device.
        dev: PhysdevPciDevice,
        /// The MSI-X table entry, where `table_base` is not 0.
        entry_nr: i32,
        /// Machine address of the MSI-X table; 0 for MSI.
        table_base: u64,
    },
    /// `MAP_PIRQ_TYPE_MULTI_MSI`: several MSI messages of a device at once.
    MultiMsi {
        /// The device.
        dev: PhysdevPciDevice,
        /// How many; the count that could be had is written back to `entry_nr`.
        count: i32,
    },
}

impl PhysdevMapPirq {
    /// What `type` makes of the other fields; `None` for a type that the ABI does not have, or that says nothing.
    ///
    /// `domid` and `pirq` (negative: any) are the same for all.
    #[must_use]
    pub fn decode(&self) -> Option<MapPirq> {
        let [bus, _, seg_low, seg_high] = self.bus.to_le_bytes();
        let [devfn, ..] = self.devfn.to_le_bytes();
        let seg = u16::from_le_bytes([seg_low, seg_high]);
        let (entry_nr, table_base) = (self.entry_nr, self.table_base);
        Some(match self.r#type {
            MAP_PIRQ_TYPE_GSI => MapPirq::Gsi { index: self.index },
            MAP_PIRQ_TYPE_MSI => MapPirq::Msi { dev: PhysdevPciDevice { seg: 0, bus, devfn }, entry_nr, table_base },
            MAP_PIRQ_TYPE_MSI_SEG => MapPirq::Msi { dev: PhysdevPciDevice { seg, bus, devfn }, entry_nr, table_base },
            MAP_PIRQ_TYPE_MULTI_MSI => MapPirq::MultiMsi { dev: PhysdevPciDevice { seg, bus, devfn }, count: entry_nr },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_segmented_types_take_the_segment_from_the_high_half_of_bus() {
        let map = |r#type| PhysdevMapPirq {
            r#type,
            bus: 0x0002_0003,
            devfn: 0x28,
            entry_nr: 4,
            table_base: 0xfeb0_0000,
            index: 9,
            ..Default::default()
        };
        let dev = |seg| PhysdevPciDevice { seg, bus: 3, devfn: 0x28 };
        let msi = |seg| MapPirq::Msi { dev: dev(seg), entry_nr: 4, table_base: 0xfeb0_0000 };
        assert_eq!(map(MAP_PIRQ_TYPE_MSI).decode(), Some(msi(0)));
        assert_eq!(map(MAP_PIRQ_TYPE_MSI_SEG).decode(), Some(msi(2)));
        assert_eq!(map(MAP_PIRQ_TYPE_MULTI_MSI).decode(), Some(MapPirq::MultiMsi { dev: dev(2), count: 4 }));
        assert_eq!(map(MAP_PIRQ_TYPE_GSI).decode(), Some(MapPirq::Gsi { index: 9 }));
        assert_eq!(map(MAP_PIRQ_TYPE_UNKNOWN).decode(), None);
        assert_eq!(map(-1).decode(), None);
    }
}
