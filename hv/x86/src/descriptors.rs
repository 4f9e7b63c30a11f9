//! GDT, TSS and IDT of each CPU.
//!
//! The GDT register always names this CPU's area (layout.rs): pages 0 to 13 belong to the running guest and change
//! with it, page 14 holds the selectors that the ABI promises (FLAT_RING3_*, arch-x86/xen-x86_64.h) and our own.

use crate::entry;
use crate::layout;
use core::arch::asm;

/// The first selector that is the hypervisor's (FIRST_RESERVED_GDT_BYTE).
pub const RESERVED: u16 = 14 * 4096;
/// Hypervisor code, 64 bits.
pub const HV_CS: u16 = 0xe008;
/// Hypervisor data.
pub const HV_DS: u16 = 0xe010;
/// FLAT_RING3_CS32.
pub const RING3_CS32: u16 = 0xe023;
/// FLAT_RING3_SS32 and FLAT_RING3_DS32: 0xe02b.
pub const RING3_DS: u16 = 0xe02b;
/// FLAT_RING3_CS64.
pub const RING3_CS64: u16 = 0xe033;
/// Task state.
pub const TSS: u16 = 0xe040;
/// The guest's LDT.
pub const LDT: u16 = 0xe050;

/// Task-state segment (Intel SDM volume 3, 8.7).
#[repr(C, packed(4))]
#[derive(Clone, Copy)]
pub struct Tss {
    _r0: u32,
    rsp: [u64; 3],
    _r1: u64,
    ist: [u64; 7],
    _r2: u64,
    _r3: u16,
    iomap: u16,
}

/// A gate of the IDT.
#[repr(C)]
#[derive(Clone, Copy)]
struct Gate {
    low: u64,
    high: u64,
}

#[repr(C, align(4096))]
struct Idt([Gate; 256]);

static mut IDT: Idt = Idt([Gate { low: 0, high: 0 }; 256]);

#[repr(C, packed)]
struct Pointer {
    limit: u16,
    base: u64,
}

/// Offsets, in a stack block, of the ends of the stacks that vectors have for themselves.
pub mod ist {
    /// Double fault: pages 1 and 2, below a guard page.
    pub const DF: u64 = 0x3000;
    /// NMI: page 3.
    pub const NMI: u64 = 0x4000;
    /// Machine check: page 4.
    pub const MC: u64 = 0x5000;
    /// Debug: page 5.
    pub const DB: u64 = 0x6000;
    /// Guard pages of the block: below everything, and below the main stack.
    pub const GUARDS: [u64; 2] = [0, 0x6000];
}

/// Fills the IDT, once. Breakpoint, overflow and the Linux system-call vector may be raised by guests.
///
/// # Safety
/// No other CPU runs yet.
pub unsafe fn build_idt() {
    for vector in 0..=255u8 {
        let stub = entry::stub(vector);
        let stack = match vector {
            8 => 1,
            2 => 2,
            18 => 3,
            1 => 4,
            _ => 0u64,
        };
        let dpl = if matches!(vector, 3 | 4 | 0x80) { 3 } else { 0u64 };
        let low = (stub & 0xffff)
            | u64::from(HV_CS) << 16
            | stack << 32
            | 0x8e << 40
            | dpl << 45
            | (stub >> 16 & 0xffff) << 48;
        // SAFETY: one CPU, by the caller's word.
        unsafe { IDT.0[usize::from(vector)] = Gate { low, high: stub >> 32 } };
    }
}

/// Fills this CPU's page of reserved descriptors (page 14 of its GDT) through a writable alias.
///
/// # Safety
/// `gdt_page` and `tss` are this CPU's, writable, and stay for ever; `stack_block` is its linear stack block.
pub unsafe fn fill(gdt_page: *mut u64, tss: *mut Tss, tss_linear: u64, stack_block: u64, rsp0: u64) {
    let table = Tss {
        _r0: 0,
        rsp: [rsp0, 0, 0],
        _r1: 0,
        ist: [stack_block + ist::DF, stack_block + ist::NMI, stack_block + ist::MC, stack_block + ist::DB, 0, 0, 0],
        _r2: 0,
        _r3: 0,
        iomap: size_of::<Tss>() as u16,
    };
    // SAFETY: the caller's.
    unsafe { tss.write(table) };
    let limit = size_of::<Tss>() as u64 - 1;
    let tss_low = limit | (tss_linear & 0xff_ffff) << 16 | 0x89 << 40 | (tss_linear >> 24 & 0xff) << 56;
    let entries = [
        0u64,
        0x00af_9b00_0000_ffff, // 0xe008 ring 0 code, 64 bits
        0x00cf_9300_0000_ffff, // 0xe010 ring 0 data
        0x00cf_bb00_0000_ffff, // 0xe019 ring 1 (kept for layout; unused)
        0x00cf_fb00_0000_ffff, // 0xe023 ring 3 code, 32 bits
        0x00cf_f300_0000_ffff, // 0xe02b ring 3 data
        0x00af_fb00_0000_ffff, // 0xe033 ring 3 code, 64 bits
        0,
        tss_low,
        tss_linear >> 32,
        0, // 0xe050 LDT
        0,
    ];
    for (i, entry) in entries.into_iter().enumerate() {
        // SAFETY: the caller's.
        unsafe { gdt_page.add(i).write(entry) };
    }
}

/// Loads GDT, IDT, TSS and the hypervisor's selectors on this CPU.
///
/// # Safety
/// The CPU's area is mapped and [`fill`]ed.
pub unsafe fn load(cpu: u16) {
    let area = layout::cpu_area(cpu);
    let gdt = Pointer { limit: RESERVED + 4096 - 1, base: area + layout::AREA_GDT };
    let idt = Pointer { limit: 4095, base: (&raw const IDT) as u64 };
    // SAFETY: both tables are complete.
    unsafe {
        asm!(
            "lgdt [{gdt}]",
            "lidt [{idt}]",
            "push {cs}",
            "lea {t}, [rip + 2f]",
            "push {t}",
            "retfq",
            "2:",
            "mov ss, {ss:e}",
            "mov ds, {z:e}",
            "mov es, {z:e}",
            "mov fs, {z:e}",
            "mov gs, {z:e}",
            "lldt {z:x}",
            "ltr {tr:x}",
            gdt = in(reg) &gdt,
            idt = in(reg) &idt,
            cs = in(reg) u64::from(HV_CS),
            ss = in(reg) 0u64,
            z = in(reg) 0u64,
            tr = in(reg) u64::from(TSS),
            t = out(reg) _,
        );
    }
}

/// Points this CPU's LDT register at its area with `entries` descriptors (0: no LDT).
///
/// # Safety
/// `gdt_page` is this CPU's page of reserved descriptors.
pub unsafe fn load_ldt(gdt_page: *mut u64, cpu: u16, entries: u32) {
    if entries == 0 {
        // SAFETY: a null LDT.
        unsafe { asm!("lldt {0:x}", in(reg) 0u64, options(nostack, preserves_flags)) };
        return;
    }
    let base = layout::cpu_area(cpu) + layout::AREA_LDT;
    let limit = u64::from(entries) * 8 - 1;
    let low = (limit & 0xffff) | (base & 0xff_ffff) << 16 | 0x82 << 40 | (base >> 24 & 0xff) << 56;
    let slot = usize::from(LDT - RESERVED) / 8;
    // SAFETY: the caller's page.
    unsafe { gdt_page.add(slot).write(low) };
    // SAFETY: the caller's page.
    unsafe { gdt_page.add(slot + 1).write(base >> 32) };
    // SAFETY: the descriptor was just written.
    unsafe { asm!("lldt {0:x}", in(reg) u64::from(LDT), options(nostack, preserves_flags)) };
}
