//! Hypercalls through the hypercall page.

use core::arch::asm;
use xen_abi::callback::{CALLBACKOP_register, CallbackRegister};
use xen_abi::sched::{SCHEDOP_block, SCHEDOP_poll, SCHEDOP_shutdown, SCHEDOP_yield, SchedPoll, SchedShutdown};
use xen_abi::{GuestPtr, errno, xen::*};

#[cfg(target_os = "none")]
fn address(number: u32) -> u64 {
    unsafe extern "C" {
        static hypercall_page: u8;
    }
    (&raw const hypercall_page).addr() as u64 + u64::from(number) * 32
}

#[cfg(not(target_os = "none"))]
fn address(_number: u32) -> u64 {
    unimplemented!("there is no hypervisor below a host program")
}

/// Errors as a hypercall gives them.
#[allow(missing_docs)]
pub mod error {
    use xen_abi::errno::Errno;
    pub const EPERM: i64 = Errno::EPERM.as_neg();
    pub const ENOENT: i64 = Errno::ENOENT.as_neg();
    pub const ESRCH: i64 = Errno::ESRCH.as_neg();
    pub const ENXIO: i64 = Errno::ENXIO.as_neg();
    pub const E2BIG: i64 = Errno::E2BIG.as_neg();
    pub const ENOMEM: i64 = Errno::ENOMEM.as_neg();
    pub const EACCES: i64 = Errno::EACCES.as_neg();
    pub const EFAULT: i64 = Errno::EFAULT.as_neg();
    pub const EBUSY: i64 = Errno::EBUSY.as_neg();
    pub const EEXIST: i64 = Errno::EEXIST.as_neg();
    pub const ENODEV: i64 = Errno::ENODEV.as_neg();
    pub const EINVAL: i64 = Errno::EINVAL.as_neg();
    pub const ENOSPC: i64 = Errno::ENOSPC.as_neg();
    pub const EDOM: i64 = Errno::EDOM.as_neg();
    pub const ERANGE: i64 = Errno::ERANGE.as_neg();
    pub const ENOSYS: i64 = Errno::ENOSYS.as_neg();
    pub const ENODATA: i64 = Errno::ENODATA.as_neg();
    pub const EOVERFLOW: i64 = Errno::EOVERFLOW.as_neg();
    pub const ENOBUFS: i64 = Errno::ENOBUFS.as_neg();
    pub const EOPNOTSUPP: i64 = Errno::EOPNOTSUPP.as_neg();
}

/// Addresses at which no argument can be: not mapped, the hypervisor's, not canonical, wrapping.
pub const NOWHERE: [u64; 5] = [0x1000, 0xffff_8300_0000_0000, 0xffff_82d0_4020_0000, 1 << 47, u64::MAX - 3];

/// A domain number that nobody has.
pub const NOBODY: u16 = 0x1234;

/// A hypercall whose first argument is a subcommand and whose second is an address, made with each address of
/// [`NOWHERE`]: what it gives, if that is always the same, else `None`.
pub fn nowhere(number: u32, command: u32) -> Option<i64> {
    let mut results = NOWHERE.map(|at| raw(number, [command.into(), at, 0, 0, 0])).into_iter();
    let first = results.next()?;
    results.all(|result| result == first).then_some(first)
}

/// The most hypercalls that the page has room for.
pub const NUMBERS: u32 = 128;

/// Makes hypercall `number` (below [`NUMBERS`]) with its arguments. A negative result is an errno.
///
/// Any arguments are fine: what a hypercall does to this guest is what the tests are about.
pub fn raw(number: u32, args: [u64; 5]) -> i64 {
    assert!(number < NUMBERS);
    let mut result = address(number);
    let [a, b, c, d, e] = args;
    // SAFETY: the page's code keeps all registers but these. Memory that a hypercall writes is memory that the caller
    // passed by pointer; the compiler assumes that any may have changed.
    unsafe {
        asm!(
            "call rax",
            inout("rax") result,
            inout("rdi") a => _, inout("rsi") b => _, inout("rdx") c => _, inout("r10") d => _, inout("r8") e => _,
            out("rcx") _, out("r11") _,
        );
    }
    result as i64
}

/// A hypercall whose first argument is a subcommand and whose second points to its structure.
pub fn op<T>(number: u32, command: u32, argument: &mut T) -> i64 {
    raw(number, [command.into(), (&raw mut *argument).addr() as u64, 0, 0, 0])
}

/// Requests of `mmu_update`, for this domain. Gives the result and how many were done.
pub fn mmu_update(requests: &mut [MmuUpdate]) -> (i64, u32) {
    mmu_update_of(requests, DOMID_SELF.into())
}

/// Requests of `mmu_update`, with the last argument as the ABI has it (page-table domain above, page domain below).
pub fn mmu_update_of(requests: &mut [MmuUpdate], domains: u64) -> (i64, u32) {
    let mut done = 0u32;
    let at = requests.as_mut_ptr().addr() as u64;
    let result = raw(__HYPERVISOR_mmu_update, [at, requests.len() as u64, (&raw mut done).addr() as u64, domains, 0]);
    (result, done)
}

/// One `mmuext_op`.
pub fn mmuext(cmd: u32, arg1: u64, arg2: u64) -> i64 {
    let mut op = MmuextOp { cmd, arg1, arg2, ..Default::default() };
    raw(__HYPERVISOR_mmuext_op, [(&raw mut op).addr() as u64, 1, 0, DOMID_SELF.into(), 0])
}

/// `update_va_mapping` of one page.
pub fn update_va_mapping(va: u64, entry: u64, flags: u64) -> i64 {
    raw(__HYPERVISOR_update_va_mapping, [va, entry, flags, 0, 0])
}

/// Registers a callback (`CALLBACKTYPE_*`).
pub fn register_callback(kind: u16, flags: u16, address: u64) -> i64 {
    let mut argument = CallbackRegister { r#type: kind, flags, address, ..Default::default() };
    op(__HYPERVISOR_callback_op, CALLBACKOP_register, &mut argument)
}

/// Lets other vcpus run.
pub fn sched_yield() -> i64 {
    raw(__HYPERVISOR_sched_op, [SCHEDOP_yield.into(), 0, 0, 0, 0])
}

/// Unmasks events and waits for one.
pub fn block() -> i64 {
    raw(__HYPERVISOR_sched_op, [SCHEDOP_block.into(), 0, 0, 0, 0])
}

/// Waits until one of `ports` is pending (masked or not), or until `timeout` (nanoseconds since boot, 0: for ever).
pub fn poll(ports: &[u32], timeout: u64) -> i64 {
    let mut argument = SchedPoll {
        ports: GuestPtr::new(ports.as_ptr().addr() as u64),
        nr_ports: ports.len() as u32,
        timeout,
        ..Default::default()
    };
    op(__HYPERVISOR_sched_op, SCHEDOP_poll, &mut argument)
}

/// Ends the domain with a `SHUTDOWN_*` reason.
pub fn shutdown(reason: u32) -> ! {
    let mut argument = SchedShutdown { reason };
    loop {
        op(__HYPERVISOR_sched_op, SCHEDOP_shutdown, &mut argument);
    }
}

/// The name of a negative result, for messages.
pub fn errno_name(result: i64) -> &'static str {
    const NAMES: &[(errno::Errno, &str)] = &[
        (errno::Errno::EPERM, "EPERM"),
        (errno::Errno::ENOENT, "ENOENT"),
        (errno::Errno::ESRCH, "ESRCH"),
        (errno::Errno::E2BIG, "E2BIG"),
        (errno::Errno::EBADF, "EBADF"),
        (errno::Errno::ENOMEM, "ENOMEM"),
        (errno::Errno::EACCES, "EACCES"),
        (errno::Errno::EFAULT, "EFAULT"),
        (errno::Errno::EBUSY, "EBUSY"),
        (errno::Errno::EEXIST, "EEXIST"),
        (errno::Errno::ENODEV, "ENODEV"),
        (errno::Errno::EINVAL, "EINVAL"),
        (errno::Errno::ENOSPC, "ENOSPC"),
        (errno::Errno::ERANGE, "ERANGE"),
        (errno::Errno::ENOSYS, "ENOSYS"),
        (errno::Errno::EOPNOTSUPP, "EOPNOTSUPP"),
    ];
    if result >= 0 {
        return "success";
    }
    NAMES.iter().find(|(number, _)| minus(*number) == result).map_or("another errno", |(_, name)| name)
}

/// The result that a hypercall gives for an error.
pub fn minus(errno: errno::Errno) -> i64 {
    errno.as_neg()
}
