//! What lies at the fixed top of each CPU's stack; `entry.S` uses these offsets.

use core::ffi::c_void;
use core::sync::atomic::AtomicU64;
use ferroxen_core::domain::TrapGate;
use ferroxen_core::pv::{PvState, Regs};

/// `Regs::entry_vector` of a system call: its exit may use SYSRET.
pub const VECTOR_SYSCALL: u32 = 0x100;

/// The top of a CPU's stack block.
#[repr(C, align(16))]
pub struct StackTop {
    /// Keeps the end of `regs` aligned to 16, where the CPU begins to push.
    _align: u64,
    /// The running guest's registers.
    pub regs: Regs,
    /// The running vcpu's PV state.
    pub pv: PvState,
    /// What belongs to the CPU.
    pub cpu: CpuBlock,
}

/// Per-CPU data that assembly reads.
#[repr(C)]
pub struct CpuBlock {
    /// Linear address of the running vcpu's `struct vcpu_info`.
    pub info: u64,
    /// Not 0: there is work before the guest may run (`ferroxen::work`). Set by interrupts and other CPUs.
    pub pending: core::sync::atomic::AtomicU64,
    /// System calls bounced to guest kernels by the fast path.
    pub syscall_bounces: u64,
    /// Returns to guest user mode by the fast path.
    pub syscall_returns: u64,
    /// Other returns of guest kernels (HYPERVISOR_iret) by the fast path.
    pub iret_returns: u64,
    /// Page faults of user mode given to guest kernels by the fast path.
    pub fault_bounces: u64,
    /// The running vcpu's gate for page faults. Not null while a vcpu runs.
    pub page_fault_gate: *const TrapGate,
    /// The running domain's VMASST_TYPE_* bits. Not null while a vcpu runs.
    pub vm_assist: *const AtomicU64,
    /// This CPU's number.
    pub number: u64,
    /// Hypercalls of the running vcpu that its own count does not have yet.
    pub hypercalls: u64,
    /// Per-CPU data of the wiring.
    pub data: *mut c_void,
    /// Its trace buffer; null: there is none.
    pub trace: *mut crate::trace::Ring,
    /// The running vcpu.
    pub vcpu: *const c_void,
    /// Its domain.
    pub domain: *const c_void,
}

// The CPU aligns RSP down to 16 before it pushes: the frame must end on such a boundary.
const _: () = assert!((core::mem::offset_of!(StackTop, regs) + size_of::<Regs>()).is_multiple_of(16));
const _: () = assert!(size_of::<StackTop>().is_multiple_of(16));
const _: () = assert!(size_of::<Regs>() == 21 * 8);
