//! Going elsewhere by the iret hypercall, and coming back by whatever that leads to.

use crate::hypercall;
use crate::memory::{
    self, ACCESSED, GLOBAL, KERNEL_RO, KERNEL_RW, NX, PAGE_SIZE, PRESENT, Page, USER, VIRT_BASE, WRITE,
};
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
    /// `VGCF_in_syscall`: go by SYSRET, which takes RCX and R11.
    pub flags: u64,
}

static SLOT: AtomicU64 = AtomicU64::new(0);
static AWAY: AtomicBool = AtomicBool::new(false);
static mut LAST: Option<Frame> = None;

/// Selector of a kernel's code for the iret hypercall: RPL 3 would mean user mode.
pub const KERNEL_CS: u64 = 0xe030;
/// Selector of 64-bit code in user mode.
pub const USER_CS: u64 = 0xe033;
/// Selector of 32-bit code in user mode.
pub const USER_CS32: u64 = 0xe023;
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

/// A user mode that has nothing of the kernel's: one page of code and one of stack, under a root of its own.
pub struct Space {
    code: Page,
    /// The root table.
    pub root: Page,
}

/// Where the code is.
pub const CODE: u64 = 0x40_0000;
/// Where the stack ends.
pub const STACK_TOP: u64 = 0x40_2000;

impl Space {
    /// Makes it and tells the hypervisor.
    pub fn new() -> Result<Space, i64> {
        let [root, l3, l2, l1, code, stack, kernel_stack] = core::array::from_fn(|_| Page::new());
        let table = PRESENT | WRITE | USER | ACCESSED;
        root.write(0, l3.mfn() << 12 | table);
        l3.write(0, l2.mfn() << 12 | table);
        l2.write((CODE >> 21) as usize, l1.mfn() << 12 | table);
        l1.write(0, code.mfn() << 12 | KERNEL_RO);
        l1.write(1, stack.mfn() << 12 | KERNEL_RW | NX);
        let checked = |result: i64| if result == 0 { Ok(()) } else { Err(result) };
        for page in [l1, l2, l3, root] {
            checked(page.make_read_only())?;
        }
        checked(root.pin(4))?;
        checked(hypercall::mmuext(MMUEXT_NEW_USER_BASEPTR, root.mfn(), 0))?;
        checked(hypercall::raw(__HYPERVISOR_stack_switch, [USER_SS, kernel_stack.va() + PAGE_SIZE, 0, 0, 0]))?;
        Ok(Space { code, root })
    }

    /// Runs code (at most 64 bytes; UD2 follows) with these values in RDI, and gives the frame of what ended it.
    pub fn run(&self, cs: u64, code: &[u8], rdi: u64) -> Frame {
        let mut bytes = [0x0b0f_0b0f_0b0f_0b0fu64; 9].map(u64::to_le_bytes);
        let flat = bytes.as_flattened_mut();
        // An odd length would put the second byte of UD2 first.
        flat[code.len() & !1..].fill(0);
        flat[..code.len()].copy_from_slice(code);
        flat[code.len()..code.len() + 2].copy_from_slice(&[0x0f, 0x0b]);
        for (n, word) in bytes.into_iter().enumerate() {
            self.code.write(n, u64::from_le_bytes(word));
        }
        iret(Target { rip: CODE, cs, rflags: 0x202, rsp: STACK_TOP, ss: USER_SS, rdi, flags: 0 })
    }
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
