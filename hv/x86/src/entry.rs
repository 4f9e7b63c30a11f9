//! The assembly of the entry and exit paths, and finding a CPU's data from RSP.

use crate::entry_layout::{CpuBlock, StackTop, VECTOR_SYSCALL};
use crate::layout;
use core::mem::offset_of;
use ferroxen_core::domain::TrapGate;
use ferroxen_core::pv::{self, PvState, Regs};
use ferroxen_core::trace::Point;

macro_rules! regs {
    ($field:ident) => {
        offset_of!(StackTop, regs) + offset_of!(Regs, $field)
    };
}
macro_rules! pv {
    ($field:ident) => {
        offset_of!(StackTop, pv) + offset_of!(PvState, $field)
    };
}
macro_rules! cpu {
    ($field:ident) => {
        offset_of!(StackTop, cpu) + offset_of!(CpuBlock, $field)
    };
}

core::arch::global_asm!(include_str!("boot.S"), options(att_syntax, raw));
core::arch::global_asm!(
    include_str!("entry.S"),
    include_str!("trace.S"),
    include_str!("guest_access.S"),
    R_RDI = const regs!(rdi), R_RSI = const regs!(rsi), R_RDX = const regs!(rdx), R_RCX = const regs!(rcx),
    R_RAX = const regs!(rax), R_R8 = const regs!(r8), R_R9 = const regs!(r9), R_R10 = const regs!(r10),
    R_R11 = const regs!(r11), R_RBX = const regs!(rbx), R_RBP = const regs!(rbp), R_R12 = const regs!(r12),
    R_R13 = const regs!(r13), R_R14 = const regs!(r14), R_R15 = const regs!(r15), R_RIP = const regs!(rip),
    R_CS = const regs!(cs), R_RFLAGS = const regs!(rflags), R_RSP = const regs!(rsp), R_SS = const regs!(ss),
    R_ERROR = const regs!(error_code), R_VECTOR = const regs!(entry_vector),
    F_CS = const offset_of!(Regs, cs), F_RBP = const offset_of!(Regs, rbp),
    F_VECTOR = const offset_of!(Regs, entry_vector),
    PV_FLAGS = const pv!(flags), PV_KERNEL_SP = const pv!(kernel_sp), PV_KERNEL_ROOT = const pv!(kernel_root),
    PV_USER_ROOT = const pv!(user_root), PV_SYSCALL_CALLBACK = const pv!(syscall_callback),
    C_PENDING = const cpu!(pending), C_INFO = const cpu!(info), C_SYSCALL_BOUNCES = const cpu!(syscall_bounces),
    C_SYSCALL_RETURNS = const cpu!(syscall_returns), C_IRET_RETURNS = const cpu!(iret_returns),
    C_FAULT_BOUNCES = const cpu!(fault_bounces), C_PAGE_FAULT_GATE = const cpu!(page_fault_gate),
    C_VM_ASSIST = const cpu!(vm_assist), C_TRACE = const cpu!(trace),
    POINT_SYSTEM_CALL = const Point::SystemCall as u64, POINT_HYPERCALL = const Point::Hypercall as u64,
    POINT_TRAP = const Point::Trap as u64, POINT_PAGE_FAULT = const Point::PageFault as u64,
    POINT_EXIT = const Point::Exit as u64, POINT_SYSRET = const Point::Sysret as u64, PV_IOPL = const pv!(iopl), PV_CR2 = const pv!(cr2),
    GATE_ADDRESS = const offset_of!(TrapGate, address), GATE_FLAGS = const offset_of!(TrapGate, selector_flags),
    INFO_CR2 = const offset_of!(xen_abi::xen::VcpuInfo, arch), NMI_MASKED = const pv::NMI_MASKED,
    ARCH_IOPL = const 1u32 << xen_abi::xen::VMASST_TYPE_architectural_iopl,
    IN_KERNEL = const pv::IN_KERNEL, SYSCALL_MASKS = const pv::SYSCALL_MASKS_EVENTS,
    VECTOR_SYSCALL = const VECTOR_SYSCALL, TOP_MINUS_ONE = const size_of::<StackTop>() - 1,
    options(att_syntax)
);

unsafe extern "C" {
    static extable_start: [u64; 2];
    static extable_end: [u64; 2];
    static clac_start: u64;
    static clac_end: u64;
    static stac_start: u64;
    static stac_end: u64;
    static trace_points_start: [u64; 2];
    static trace_points_end: [u64; 2];
    static vector_stubs: u8;
    static iret_to_guest: u8;
    fn exit_to_guest() -> !;
}

/// This CPU's stack top.
#[inline(always)]
pub fn top() -> *mut StackTop {
    let sp: u64;
    // SAFETY: reads a register.
    unsafe { core::arch::asm!("mov {}, rsp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    top_of(sp)
}

/// The stack top of the block in which `sp` lies.
#[inline(always)]
pub fn top_of(sp: u64) -> *mut StackTop {
    (sp | (layout::STACK_BYTES - 1)).wrapping_sub(size_of::<StackTop>() as u64 - 1) as *mut StackTop
}

/// Leaves for the guest whose state is at this CPU's stack top; nothing on the stack is needed any more.
///
/// # Safety
/// The state at the stack top is complete, and no value with a destructor lives on the stack.
pub unsafe fn enter_guest() -> ! {
    let base = top();
    // SAFETY: the caller vouches for the stack top; the exit path runs with RSP there.
    unsafe {
        core::arch::asm!("mov rsp, {}", "xor ebp, ebp", "jmp {}", in(reg) base, sym exit_to_guest, options(noreturn))
    }
}

/// Moves to the top of this CPU's stack and calls `f`, which never returns.
///
/// # Safety
/// As [`enter_guest`].
pub unsafe fn restart_stack(f: extern "C" fn() -> !) -> ! {
    let base = top();
    // SAFETY: as the caller vouches.
    unsafe {
        core::arch::asm!("mov rsp, {}", "xor ebp, ebp", "call {}", "ud2", in(reg) base, in(reg) f, options(noreturn))
    }
}

/// Where a fault of the hypervisor's own at `rip` is to continue, if it was expected.
pub fn fixup(rip: u64) -> Option<u64> {
    let start = &raw const extable_start;
    let end = &raw const extable_end;
    // SAFETY: the linker script puts whole entries between the two.
    let table = unsafe { core::slice::from_raw_parts(start, end.offset_from(start) as usize) };
    table.iter().find(|entry| entry[0] == rip && entry[1] != 0).map(|entry| entry[1])
}

/// Whether a fault at `rip` is that of the exit's IRETQ.
pub fn fault_in_iret(rip: u64) -> bool {
    rip == (&raw const iret_to_guest) as u64
}

/// Linear address of the stub of a vector.
pub fn stub(vector: u8) -> u64 {
    (&raw const vector_stubs) as u64 + u64::from(vector) * 16
}

/// Turns the placeholders into STAC and CLAC. Called once, before CR4.SMAP is set, through a writable alias.
///
/// # Safety
/// `alias(addr)` is a writable mapping of the text at `addr`; no other CPU runs.
pub unsafe fn patch_smap(alias: impl Fn(u64) -> *mut u8) {
    let patch = |start: *const u64, end: *const u64, last: u8| {
        // SAFETY: the linker script puts whole addresses between the two.
        let list = unsafe { core::slice::from_raw_parts(start, end.offset_from(start) as usize) };
        for &at in list {
            for (i, byte) in [0x0f, 0x01, last].into_iter().enumerate() {
                // SAFETY: the three bytes of a placeholder, by the caller's alias.
                unsafe { alias(at).add(i).write_volatile(byte) };
            }
        }
    };
    patch(&raw const clac_start, &raw const clac_end, 0xca);
    patch(&raw const stac_start, &raw const stac_end, 0xcb);
}

/// Turns the trace points on: each becomes a CALL. Called once, through a writable alias.
///
/// # Safety
/// As [`patch_smap`].
pub unsafe fn patch_trace_points(alias: impl Fn(u64) -> *mut u8) {
    const CALL: u8 = 0xe8;
    let (start, end) = (&raw const trace_points_start, &raw const trace_points_end);
    // SAFETY: the linker script puts whole entries between the two.
    let list = unsafe { core::slice::from_raw_parts(start, end.offset_from(start) as usize) };
    for &[at, to] in list {
        // Both are in the text, which is smaller than 2 GiB.
        let distance = to.wrapping_sub(at + 5) as u32;
        for (i, byte) in core::iter::once(CALL).chain(distance.to_le_bytes()).enumerate() {
            // SAFETY: the five bytes of a placeholder, by the caller's alias.
            unsafe { alias(at).add(i).write_volatile(byte) };
        }
    }
}

/// Where SYSENTER goes, with RSP at the stack top.
pub fn sysenter_address() -> u64 {
    unsafe extern "C" {
        fn sysenter_entry();
    }
    sysenter_entry as *const () as u64
}

/// Where in a CPU's 64 bytes of stubs the one for SYSCALL in 32-bit code is.
pub const SYSCALL32_STUB: u64 = 32;

/// Writes a CPU's two SYSCALL stubs, for 64-bit and for 32-bit code: store RAX and RSP in the stack top, then go to the
/// common entry.
///
/// # Safety
/// `at` is a writable alias of the stubs' 64 bytes, `linear` where they will run.
pub unsafe fn write_syscall_stubs(at: *mut u8, linear: u64, top: *const StackTop) {
    unsafe extern "C" {
        fn syscall_entry();
        fn syscall32_entry();
    }
    let base = top as u64;
    let mut code = [0xccu8; 64];
    for (start, target) in
        [(0, syscall_entry as *const () as u64), (SYSCALL32_STUB, syscall32_entry as *const () as u64)]
    {
        let mut len = start as usize;
        let mut put = |bytes: &[u8]| {
            code[len..len + bytes.len()].copy_from_slice(bytes);
            len += bytes.len();
            len
        };
        put(&[0x48, 0xa3]); // movabs %rax, slot
        put(&(base + regs!(rax) as u64).to_le_bytes());
        put(&[0x48, 0x89, 0xe0]); // mov %rsp, %rax
        put(&[0x48, 0xbc]); // movabs $&regs.ss, %rsp
        put(&(base + regs!(ss) as u64).to_le_bytes());
        put(&[0x50]); // push %rax
        let end = put(&[0xe9]) as u64 + 4; // jmp to the entry
        put(&(target.wrapping_sub(linear + end) as u32).to_le_bytes());
    }
    for (i, byte) in code.into_iter().enumerate() {
        // SAFETY: 64 bytes by the caller's word.
        unsafe { at.add(i).write_volatile(byte) };
    }
}
