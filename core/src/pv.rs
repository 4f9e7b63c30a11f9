//! What a PV vcpu has beside its memory: registers, callbacks, roots, descriptor tables.
//!
//! While the vcpu runs, [`Regs`] and [`PvState`] live at the fixed top of its CPU's stack, where the assembly of `hv/`
//! finds them (offsets are asserted there); on a context switch they are copied to and from [`crate::Vcpu`].

use crate::addr::{Maddr, Mfn, Vaddr};

/// General registers and the interrupt frame, in the order in which the entry path pushes them
/// (the order of `struct cpu_user_regs`, arch-x86/xen-x86_64.h).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Regs {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    /// The error code of the trap, 0 where it has none.
    pub error_code: u32,
    /// Vector of the trap; see hv/x86 for the values above 0xff (system calls).
    pub entry_vector: u32,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

/// The most frames of a guest's GDT (xen.h, FIRST_RESERVED_GDT_PAGE).
pub const GDT_FRAMES: usize = 14;

/// The most frames of a guest's LDT.
pub const LDT_FRAMES: usize = 16;

/// `PvState::flags`: the guest's kernel runs (clear: its user mode).
pub const IN_KERNEL: u32 = 1 << 0;
/// `PvState::flags`: entering the failsafe callback masks events.
pub const FAILSAFE_MASKS_EVENTS: u32 = 1 << 1;
/// `PvState::flags`: entering the system-call callback masks events.
pub const SYSCALL_MASKS_EVENTS: u32 = 1 << 2;
/// `PvState::flags`: entering the 32-bit system-call callback masks events.
pub const SYSCALL32_MASKS_EVENTS: u32 = 1 << 3;
/// `PvState::flags`: entering the SYSENTER callback masks events.
pub const SYSENTER_MASKS_EVENTS: u32 = 1 << 4;
/// `PvState::flags`: the guest set CR0.TS (fpu_taskswitch): the next FPU instruction raises #NM in the guest.
pub const TASK_SWITCHED: u32 = 1 << 5;
/// `PvState::flags`: this vcpu has loaded its FPU state on the current CPU since it was scheduled.
pub const FPU_LOADED: u32 = 1 << 6;
/// `PvState::flags`: an NMI is being delivered (cleared by iret).
pub const NMI_MASKED: u32 = 1 << 7;

/// The most bytes of a frame that an entry into a guest's kernel pushes.
const KERNEL_FRAME: u64 = 128;

/// A guest's choice of kernel stack as the entry paths use it, which do not check it again: aligned to 16 bytes, with
/// room for a frame in the guest's part of the address space. Any other becomes an address that faults when it is used,
/// for which the domain is ended.
pub const fn kernel_stack(sp: u64) -> u64 {
    let aligned = sp & !15;
    let lowest = aligned.wrapping_sub(KERNEL_FRAME);
    if Vaddr(lowest).is_guest()
        && Vaddr(aligned.wrapping_sub(1)).is_guest()
        && lowest >> 63 == aligned.wrapping_sub(1) >> 63
    {
        aligned
    } else {
        1 << 63
    }
}

/// PV state of a running vcpu. `repr(C)`: read and written by assembly.
#[repr(C)]
#[derive(Clone, Debug, Default)]
pub struct PvState {
    /// IN_KERNEL and its neighbours.
    pub flags: u32,
    /// Virtual I/O privilege level, 0 to 3 (PHYSDEVOP_set_iopl).
    pub iopl: u32,
    /// Guest kernel's stack for entries from user mode (HYPERVISOR_stack_switch), from [`kernel_stack`].
    pub kernel_sp: u64,
    /// Its selector.
    pub kernel_ss: u64,
    /// Machine address of the root table while the guest's kernel runs.
    pub kernel_root: Maddr,
    /// Machine address of the root table while its user mode runs; 0: none yet.
    pub user_root: Maddr,
    /// Machine address of `struct vcpu_info`.
    pub vcpu_info: Maddr,
    /// Where SYSCALL from 64-bit user mode goes (CALLBACKTYPE_syscall).
    pub syscall_callback: u64,
    /// CALLBACKTYPE_event.
    pub event_callback: u64,
    /// CALLBACKTYPE_failsafe.
    pub failsafe_callback: u64,
    /// CALLBACKTYPE_syscall32: selector and address; 0: none.
    pub syscall32_cs: u64,
    /// Address of CALLBACKTYPE_syscall32.
    pub syscall32_callback: u64,
    /// CALLBACKTYPE_sysenter: selector and address; 0: none.
    pub sysenter_cs: u64,
    /// Address of CALLBACKTYPE_sysenter.
    pub sysenter_callback: u64,
    /// CALLBACKTYPE_nmi; 0: none.
    pub nmi_callback: u64,
    /// FS base. Valid while not running; while running the hardware has it.
    pub fs_base: u64,
    /// GS base of the guest's kernel. Valid while not running, or while user mode runs.
    pub gs_base_kernel: u64,
    /// GS base of the guest's user mode. Valid while not running, or while the kernel runs.
    pub gs_base_user: u64,
    /// Data selectors while not running: ds, es, fs, gs.
    pub selectors: [u16; 4],
    /// Frames of the guest's GDT; entries beyond are not present.
    pub gdt_frames: [Mfn; GDT_FRAMES],
    /// Number of 8-byte descriptors in it.
    pub gdt_entries: u32,
    /// Number of 8-byte descriptors of the LDT; 0: none.
    pub ldt_entries: u32,
    /// Linear address of the LDT.
    pub ldt_base: Vaddr,
    /// DR0 to DR3, DR6, DR7 as the guest set them.
    pub debug: [u64; 6],
    /// CR4 bits that the guest thinks it set.
    pub cr4: u64,
    /// CR2 as the guest reads it when its vcpu_info cannot hold it.
    pub cr2: u64,
    /// I/O permission bitmap: linear address in the guest.
    pub iobmp: Vaddr,
    /// Ports that the bitmap covers.
    pub iobmp_limit: u32,
    /// Keeps the size a multiple of 8.
    pub _pad: u32,
    /// XCR0 as the guest set it; 0: not set yet. See [`PvState::xcr0`].
    pub xcr0: u64,
    /// TSC_AUX as the guest set it.
    pub tsc_aux: u64,
    /// Frames of the guest's LDT that were mapped because they were used; 0: not yet.
    pub ldt_frames: [Mfn; LDT_FRAMES],
    /// Half undone page tables of levels 2, 3 and 4 that the next paging operation finishes first; 0: none. Hints
    /// only: what is half done is recorded in the frames.
    pub parked_tables: [Mfn; 3],
    /// An error that the guest is told once the half-undone tables are undone (`PagingError` + 1); 0: none.
    pub parked_error: u64,
}

impl PvState {
    /// Whether no paging operation of this vcpu was interrupted.
    #[inline(always)]
    pub fn nothing_parked(&self) -> bool {
        let [l2, l3, l4] = self.parked_tables;
        l2.0 | l3.0 | l4.0 | self.parked_error == 0
    }
    /// Whether the guest's kernel runs (or is about to).
    pub fn in_kernel(&self) -> bool {
        self.flags & IN_KERNEL != 0
    }
    /// The guest's XCR0. A vcpu starts with x87 and SSE, as on Xen.
    pub fn xcr0(&self) -> u64 {
        if self.xcr0 == 0 { 3 } else { self.xcr0 }
    }
    /// The root table to run on.
    pub fn root(&self) -> Maddr {
        if self.in_kernel() { self.kernel_root } else { self.user_root }
    }
}

/// A piece of a vcpu's FPU and vector state (XSAVE areas are aligned to 64 bytes).
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub struct FpuBlock(pub [u8; 64]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_of_a_vcpu_have_a_bit_each() {
        let masks = [FAILSAFE_MASKS_EVENTS, SYSCALL_MASKS_EVENTS, SYSCALL32_MASKS_EVENTS, SYSENTER_MASKS_EVENTS];
        let others = [IN_KERNEL, TASK_SWITCHED, FPU_LOADED, NMI_MASKED];
        let all = masks.iter().chain(&others).fold(0, |all, flag| {
            assert!(flag.count_ones() == 1 && all & flag == 0, "{flag:#x} beside {all:#x}");
            all | flag
        });
        assert_eq!(all.count_ones(), 8);
    }

    #[test]
    fn nothing_is_parked_when_no_level_and_no_error_is() {
        for parked in 0..16u64 {
            let at = |n: u64| if parked >> n & 1 != 0 { 5 } else { 0 };
            let parked_tables = [0, 1, 2].map(|n| Mfn(at(n)));
            let state = PvState { parked_tables, parked_error: at(3), ..PvState::default() };
            assert_eq!(state.nothing_parked(), parked == 0, "{parked:04b}");
        }
    }

    #[test]
    fn the_root_follows_the_mode_and_xcr0_starts_with_x87_and_sse() {
        let state = PvState { kernel_root: Maddr(0x1000), user_root: Maddr(0x2000), ..PvState::default() };
        for (flags, kernel) in [(0, false), (IN_KERNEL, true), (!IN_KERNEL, false), (u32::MAX, true)] {
            let state = PvState { flags, ..state.clone() };
            assert_eq!((state.in_kernel(), state.root().0), (kernel, if kernel { 0x1000 } else { 0x2000 }));
        }
        assert_eq!([0, 1, 3, 7].map(|xcr0| PvState { xcr0, ..PvState::default() }.xcr0()), [3, 1, 3, 7]);
    }
}
