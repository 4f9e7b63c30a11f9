//! Going elsewhere by the iret hypercall, and coming back by whatever that leads to.

use crate::hypercall;
use crate::memory::{self, GLOBAL, PAGE_SIZE, Page, VIRT_BASE};
use crate::trap::Frame;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use xen_abi::xen::{__HYPERVISOR_stack_switch, MMUEXT_NEW_USER_BASEPTR};

/// Where an iret goes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Target {
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
    pub rdi: u64,
}

static SLOT: AtomicU64 = AtomicU64::new(0);
static AWAY: AtomicBool = AtomicBool::new(false);
static mut LAST: Option<Frame> = None;

/// Selector of a kernel's code for the iret hypercall: RPL 3 would mean user mode.
pub const KERNEL_CS: u64 = 0xe030;
/// Selector of 64-bit code in user mode.
pub const USER_CS: u64 = 0xe033;
/// Selector of a stack.
pub const USER_SS: u64 = 0xe02b;

/// Makes the iret hypercall with these registers and gives the frame of the exception, system call or failsafe
/// callback that came of it.
pub fn iret(target: Target) -> Frame {
    AWAY.store(true, Ordering::SeqCst);
    go(&target);
    // SAFETY: one vcpu; written by `leave` on the way back.
    unsafe { (&raw const LAST).read() }.unwrap_or_else(|| panic!("came back without a frame"))
}

#[cfg(target_os = "none")]
fn go(target: &Target) {
    unsafe extern "C" {
        fn enter_user(target: *const Target, slot: *mut u64);
    }
    // SAFETY: `leave` restores the stack pointer that it stores in the slot.
    unsafe { enter_user(target, SLOT.as_ptr()) }
}

#[cfg(not(target_os = "none"))]
fn go(_target: &Target) {
    unimplemented!("there is no hypervisor below a host program")
}

#[cfg(target_os = "none")]
fn back() -> u64 {
    unsafe extern "C" {
        static leave_user: u8;
    }
    (&raw const leave_user).addr() as u64
}

#[cfg(not(target_os = "none"))]
fn back() -> u64 {
    0
}

/// Whether an iret went and nothing has come back yet.
pub(crate) fn is_away() -> bool {
    AWAY.load(Ordering::SeqCst)
}

/// Gives user mode a root table of its own with the kernel's mappings, and exceptions from it a stack. Gives the root.
pub fn set_up() -> Result<Page, i64> {
    let (root, stack) = (Page::new(), Page::new());
    let kernel = memory::entry(VIRT_BASE, 4).ok_or(0)?;
    root.write(511, kernel.value & !GLOBAL);
    let checked = |result: i64| if result == 0 { Ok(()) } else { Err(result) };
    checked(root.make_read_only())?;
    checked(root.pin(4))?;
    checked(hypercall::mmuext(MMUEXT_NEW_USER_BASEPTR, root.mfn(), 0))?;
    checked(hypercall::raw(__HYPERVISOR_stack_switch, [USER_SS, stack.va() + PAGE_SIZE, 0, 0, 0]))?;
    Ok(root)
}

/// Something happened where an iret went: keeps its frame and goes back to [`iret`]'s caller.
pub(crate) fn leave(frame: &mut Frame) {
    if !AWAY.swap(false, Ordering::SeqCst) {
        crate::report::crashed(format_args!("vector {} from user mode that nobody entered", frame.vector));
    }
    // SAFETY: one vcpu.
    unsafe { (&raw mut LAST).write(Some(*frame)) };
    frame.rip = back();
    frame.cs = KERNEL_CS;
    frame.ss = USER_SS;
    frame.rsp = SLOT.load(Ordering::SeqCst);
    frame.rflags = 2;
}
