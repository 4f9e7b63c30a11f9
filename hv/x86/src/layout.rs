//! The hypervisor's part of the linear address space: root slots 256 to 271 (xen.h, HYPERVISOR_VIRT_START).

/// First address of the hypervisor's part.
pub const HV_START: u64 = 0xffff_8000_0000_0000;
/// First address behind it.
pub const HV_END: u64 = 0xffff_8800_0000_0000;
/// The machine-to-physical table, read-only for guests (slot 256).
pub const M2P_START: u64 = 0xffff_8000_0000_0000;
/// Per-CPU descriptor tables, stacks and device registers (slot 260).
pub const CPU_AREA: u64 = 0xffff_8200_0000_0000;
/// One CPU's share of it: 2 MiB.
pub const CPU_AREA_STRIDE: u64 = 0x20_0000;
/// Device registers (in slot 260, behind all CPUs).
pub const MMIO_START: u64 = 0xffff_8201_0000_0000;
/// A linear framebuffer (in slot 260, behind device registers).
pub const SCREEN_START: u64 = 0xffff_8202_0000_0000;
/// The image: linear = this + physical (slot 261).
pub const IMAGE_BASE: u64 = 0xffff_82d0_4000_0000;
/// Where the image is loaded (ferroxen.lds, HV_PHYS).
pub const IMAGE_PHYSICAL: u64 = 0x20_0000;
/// All RAM: linear = this + physical (slots 262 to 271).
pub const DIRECT_MAP: u64 = 0xffff_8300_0000_0000;
/// The most physical memory that fits the direct map.
pub const DIRECT_MAP_BYTES: u64 = HV_END - DIRECT_MAP;

/// Offset in a CPU's area: its GDT (16 pages: 14 of the guest, 2 of ours), then its LDT (16 pages).
pub const AREA_GDT: u64 = 0;
/// Offset of the LDT.
pub const AREA_LDT: u64 = 0x1_0000;
/// Offset of the block of stacks (aligned to its size).
pub const AREA_STACK: u64 = 0x4_0000;
/// Bytes of the block of stacks; a power of two, because the block is found by masking RSP.
pub const STACK_BYTES: u64 = 0x1_0000;

/// Where a CPU's area begins.
pub const fn cpu_area(cpu: u16) -> u64 {
    CPU_AREA + cpu as u64 * CPU_AREA_STRIDE
}

/// Whether a guest may use this linear address: canonical and not the hypervisor's.
pub const fn is_guest(va: u64) -> bool {
    let sign = va >> 47;
    (sign == 0 || sign == 0x1_ffff) && !(va >= HV_START && va < HV_END)
}

/// Whether none of the few bytes from `va` (less than a page) are the hypervisor's. Those that no address space has fault.
#[inline(always)]
pub const fn is_guest_few(va: u64) -> bool {
    // Slots 256 to 271 have these upper bits; behind a guest's last byte before them nothing is mapped.
    va >> 43 != HV_START >> 43
}

/// Whether all of `len` bytes from `va` are the guest's, in one run without wrapping.
pub const fn is_guest_range(va: u64, len: u64) -> bool {
    match va.checked_add(len) {
        Some(end) => is_guest(va) && (va >= HV_END || end <= 1 << 47),
        None => va >= HV_END && va.wrapping_add(len) == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_bytes_are_the_guests_or_fault() {
        for va in [0, 0x7fff_ffff_fff8, HV_END, u64::MAX - 7, 0xffff_ffff_8000_0000] {
            assert!(is_guest_few(va), "{va:#x}");
        }
        // The last address below the hypervisor's that is no guest's: not canonical, so it faults.
        assert!(is_guest_few(HV_START - 1) && !is_guest(HV_START - 1));
        for va in [HV_START, IMAGE_BASE, DIRECT_MAP, HV_END - 1] {
            assert!(!is_guest_few(va), "{va:#x}");
        }
    }

    #[test]
    fn ranges_that_touch_the_hypervisor_are_not_the_guests() {
        assert!(is_guest_range(0, 1 << 47));
        assert!(!is_guest_range(1, 1 << 47));
        assert!(!is_guest_range(HV_START - 8, 16));
        assert!(!is_guest_range(HV_START, 1));
        assert!(!is_guest_range(HV_END - 1, 2));
        assert!(is_guest_range(HV_END, 1));
        assert!(is_guest_range(u64::MAX - 7, 8));
        assert!(!is_guest_range(u64::MAX - 7, 9));
    }
}
