//! Exceptions of the guest, and where they go: to the instruction that expected them, or to the end of the test.

use crate::{events, hypercall, println, report, user};
use core::sync::atomic::{AtomicU64, Ordering};
use xen_abi::arch_x86::TrapInfo;
use xen_abi::arch_x86_64::FLAT_KERNEL_CS;
use xen_abi::xen::__HYPERVISOR_set_trap_table;

/// All registers at an exception, in the order in which entry.S pushes them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Frame {
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
    pub vector: u64,
    pub error_code: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

/// Pseudo-vectors of entry.S.
const EVENT: u64 = 256;
const FAILSAFE: u64 = 257;
const SYSCALL: u64 = 258;

/// An exception that an instruction of [`crate::probe`] raised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trap {
    /// Its vector.
    pub vector: u8,
    /// Its error code, 0 where it has none.
    pub error_code: u32,
}

impl Trap {
    /// #GP(0).
    pub const GP: Trap = Trap { vector: 13, error_code: 0 };
    /// #UD.
    pub const UD: Trap = Trap { vector: 6, error_code: 0 };
}

static LAST_CR2: AtomicU64 = AtomicU64::new(0);
static FAILSAFES: AtomicU64 = AtomicU64::new(0);

/// The address of the last page fault that a probe caught.
pub fn last_cr2() -> u64 {
    LAST_CR2.load(Ordering::Relaxed)
}

/// How often #DB (1) and #BP (3) came in the kernel.
static COUNTS: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

/// How often #DB (vector 1) or #BP (3) came in the kernel since the last time this was asked.
pub fn traps(vector: usize) -> u64 {
    COUNTS.get(vector).map_or(0, |count| count.swap(0, Ordering::Relaxed))
}

static NMIS: AtomicU64 = AtomicU64::new(0);

/// How many NMIs came.
pub fn nmis() -> u64 {
    NMIS.load(Ordering::Relaxed)
}

/// FS in the frame of the last failsafe callback; entry.S writes it.
#[unsafe(export_name = "failsafe_fs")]
static FAILSAFE_FS: AtomicU64 = AtomicU64::new(0);

/// The selector that FS should have become when the failsafe callback ran last.
pub fn failsafe_fs() -> u64 {
    FAILSAFE_FS.load(Ordering::Relaxed)
}

/// How often the failsafe callback ran.
pub fn failsafes() -> u64 {
    FAILSAFES.load(Ordering::Relaxed)
}

#[cfg(target_os = "none")]
mod asm {
    unsafe extern "C" {
        pub static trap_stubs: u8;
        pub static event_callback: u8;
        pub static failsafe_callback: u8;
        pub static syscall_callback: u8;
        pub static ex_table_start: u8;
        pub static ex_table_end: u8;
    }
}

#[cfg(not(target_os = "none"))]
#[allow(non_upper_case_globals)]
mod asm {
    pub static trap_stubs: u8 = 0;
    pub static event_callback: u8 = 0;
    pub static failsafe_callback: u8 = 0;
    pub static syscall_callback: u8 = 0;
    pub static ex_table_start: u8 = 0;
    pub static ex_table_end: u8 = 0;
}

/// Where the event callback is.
pub fn event_callback_address() -> u64 {
    (&raw const asm::event_callback).addr() as u64
}

/// Where the failsafe callback is.
pub fn failsafe_callback_address() -> u64 {
    (&raw const asm::failsafe_callback).addr() as u64
}

/// Where the SYSCALL callback is.
pub fn syscall_callback_address() -> u64 {
    (&raw const asm::syscall_callback).addr() as u64
}

/// The table that [`install_table`] registers, its end included.
pub fn table() -> [TrapInfo; 33] {
    let stubs = (&raw const asm::trap_stubs).addr() as u64;
    core::array::from_fn(|n| match n {
        32 => TrapInfo::default(),
        // 3 and 4 are those that user mode may raise by INT3 and INTO.
        _ => TrapInfo {
            vector: n as u8,
            flags: if n == 3 || n == 4 { 3 } else { 0 },
            cs: FLAT_KERNEL_CS,
            address: stubs + 16 * n as u64,
            ..Default::default()
        },
    })
}

/// Registers a handler for each of the 32 exceptions on this vcpu.
pub fn install_table() -> i64 {
    let table = table();
    hypercall::raw(__HYPERVISOR_set_trap_table, [table.as_ptr().addr() as u64, 0, 0, 0, 0])
}

static JUMP: AtomicU64 = AtomicU64::new(0);

/// A fault with RIP at `at` belongs to a probe's CALL.
pub(crate) fn expect_jump_fault(at: u64) {
    JUMP.store(at, Ordering::Relaxed);
}

/// Where the probe whose instruction is at `rip` goes on.
fn fixup(rip: u64) -> Option<u64> {
    let start = (&raw const asm::ex_table_start).addr();
    let end = (&raw const asm::ex_table_end).addr();
    (start..end).step_by(8).find_map(|at| {
        // SAFETY: entries are pairs of 32-bit offsets from themselves, in read-only memory.
        let pair = unsafe { (at as *const [i32; 2]).read() };
        let [from, to] = [at, at + 4].map(|at| at as u64);
        (from.wrapping_add_signed(pair[0].into()) == rip).then(|| to.wrapping_add_signed(pair[1].into()))
    })
}

/// Where entry.S goes with every exception, event and system call.
#[unsafe(no_mangle)]
extern "C" fn guest_trap(frame: &mut Frame) {
    match frame.vector {
        EVENT => return events::dispatch(),
        SYSCALL => return user::leave(frame),
        FAILSAFE => {
            FAILSAFES.fetch_add(1, Ordering::Relaxed);
            // In the kernel: the bad selector is null by now, and it goes on.
            if frame.cs & 3 == 3 || user::is_away() {
                user::leave(frame);
            }
            return;
        }
        _ => {}
    }
    if frame.vector == 2 {
        NMIS.fetch_add(1, Ordering::Relaxed);
        return;
    }
    if let (1 | 3, false, Some(count)) =
        (frame.vector, frame.cs & 3 == 3 || user::is_away(), COUNTS.get(frame.vector as usize))
    {
        // What traps leaves RIP behind the instruction: there is nothing to go on from.
        count.fetch_add(1, Ordering::Relaxed);
        frame.rflags &= !(1 << 8);
        return;
    }
    if frame.vector == 14 {
        LAST_CR2.store(events::vcpu_cr2(), Ordering::Relaxed);
    }
    if frame.cs & 3 == 3 || user::is_away() {
        return user::leave(frame);
    }
    let status = 1 << 63 | (frame.error_code & 0xffff_ffff) << 8 | frame.vector;
    if frame.rip == JUMP.load(Ordering::Relaxed) && frame.rip != 0 {
        frame.r12 = status;
        // SAFETY: the CALL has just pushed its return address there.
        frame.rip = unsafe { (frame.rsp as *const u64).read() };
        frame.rsp += 8;
        return;
    }
    if let Some(at) = fixup(frame.rip) {
        frame.r12 = status;
        frame.rip = at;
        return;
    }
    println!("unexpected exception {} at {:#x}: {frame:x?}", frame.vector, frame.rip);
    report::crashed(format_args!(
        "exception {} (error code {:#x}, cr2 {:#x}) at {:#x}",
        frame.vector,
        frame.error_code,
        last_cr2(),
        frame.rip
    ))
}
