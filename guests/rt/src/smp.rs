//! Other vcpus.

use crate::memory::Page;
use crate::{hypercall, memory, start, time, trap};
use core::sync::atomic::{AtomicU64, Ordering};
use xen_abi::arch_x86::{VGCF_IN_KERNEL, VcpuGuestContext};
use xen_abi::arch_x86_64::{FLAT_KERNEL_CS, FLAT_KERNEL_SS};
use xen_abi::vcpu::{VCPUOP_down, VCPUOP_initialise, VCPUOP_is_up, VCPUOP_up};
use xen_abi::xen::__HYPERVISOR_vcpu_op;

static mut CONTEXT: Option<VcpuGuestContext> = None;

/// A `vcpu_op` with an argument at `argument` (0: none).
pub fn vcpu_op(command: u32, vcpu: u32, argument: u64) -> i64 {
    hypercall::raw(__HYPERVISOR_vcpu_op, [command.into(), vcpu.into(), argument, 0, 0])
}

/// Whether a vcpu is there and up; a negative errno when it is not there.
pub fn is_up(vcpu: u32) -> i64 {
    vcpu_op(VCPUOP_is_up, vcpu, 0)
}

#[cfg(target_os = "none")]
fn entry() -> u64 {
    unsafe extern "C" {
        static vcpu_entry: u8;
    }
    (&raw const vcpu_entry).addr() as u64
}

#[cfg(not(target_os = "none"))]
fn entry() -> u64 {
    0
}

/// The context that [`start`] gives to a new vcpu: this one's page tables, a stack of its own, `run(argument)`.
pub fn context(run: extern "C" fn(u64) -> !, argument: u64) -> &'static mut VcpuGuestContext {
    let slot = &raw mut CONTEXT;
    // SAFETY: one vcpu prepares others, one after another.
    let slot = unsafe { &mut *slot };
    let context = slot.insert(VcpuGuestContext::default());
    context.flags = VGCF_IN_KERNEL;
    for trap in &trap::table()[..32] {
        context.trap_ctxt[usize::from(trap.vector)] = *trap;
    }
    let stack = Page::new();
    let top = stack.va() + memory::PAGE_SIZE;
    context.user_regs.rip = entry();
    context.user_regs.rdi = argument;
    context.user_regs.rsi = run as *const () as u64;
    context.user_regs.rsp = top;
    context.user_regs.rflags = 0x202;
    context.user_regs.cs = FLAT_KERNEL_CS;
    context.user_regs.ss = FLAT_KERNEL_SS;
    context.kernel_ss = FLAT_KERNEL_SS.into();
    context.kernel_sp = top;
    let root = memory::p2m((start::info().pt_base - memory::VIRT_BASE) / memory::PAGE_SIZE);
    context.ctrlreg[3] = xen_abi::arch_x86_64::xen_pfn_to_cr3(root);
    context.event_callback_eip = trap::event_callback_address();
    context.failsafe_callback_eip = trap::failsafe_callback_address();
    context.syscall_callback_eip = trap::syscall_callback_address();
    context
}

/// Starts a vcpu in `run(argument)`, which never returns.
pub fn start(vcpu: u32, run: extern "C" fn(u64) -> !, argument: u64) -> Result<(), i64> {
    let context = context(run, argument);
    let at = (&raw mut *context).addr() as u64;
    match vcpu_op(VCPUOP_initialise, vcpu, at) {
        0 => {}
        error => return Err(error),
    }
    match vcpu_op(VCPUOP_up, vcpu, 0) {
        0 => Ok(()),
        error => Err(error),
    }
}

/// Waits up to five seconds for `what`, letting other vcpus run.
pub fn until(what: impl Fn() -> bool) -> bool {
    let end = time::now() + 5_000_000_000;
    while !what() {
        if time::now() > end {
            return false;
        }
        hypercall::sched_yield();
    }
    true
}

/// Takes the calling vcpu down, for ever.
pub fn park(vcpu: u32) -> ! {
    loop {
        vcpu_op(VCPUOP_down, vcpu, 0);
    }
}

/// What [`Rival`]'s vcpu does again and again, until 0.
static WORK: AtomicU64 = AtomicU64::new(0);
static ROUNDS: AtomicU64 = AtomicU64::new(0);

/// Another vcpu that repeats one thing, to race with this one. A test has one at a time.
pub struct Rival(u32);

impl Rival {
    /// Starts vcpu `vcpu`, which repeats `work` until it is [`stop`](Rival::stop)ped.
    pub fn start(vcpu: u32, work: fn()) -> Result<Rival, i64> {
        WORK.store(work as *const () as u64, Ordering::SeqCst);
        ROUNDS.store(0, Ordering::SeqCst);
        start(vcpu, again, vcpu.into())?;
        Ok(Rival(vcpu))
    }

    /// Gives it something else to do.
    pub fn turn_to(&self, work: fn()) {
        WORK.store(work as *const () as u64, Ordering::SeqCst);
        // Whatever it was doing ends before the next round but one.
        let from = self.rounds();
        until(|| ROUNDS.load(Ordering::SeqCst) >= from + 2);
    }

    /// How often it did it.
    pub fn rounds(&self) -> u64 {
        ROUNDS.load(Ordering::SeqCst)
    }

    /// Ends it; gives whether it went down.
    pub fn stop(self) -> bool {
        WORK.store(0, Ordering::SeqCst);
        until(|| is_up(self.0) == 0)
    }
}

extern "C" fn again(vcpu: u64) -> ! {
    loop {
        let work = WORK.load(Ordering::SeqCst);
        if work == 0 {
            park(vcpu as u32);
        }
        // SAFETY: a function pointer that `start` or `turn_to` stored.
        let work = unsafe { core::mem::transmute::<u64, fn()>(work) };
        work();
        ROUNDS.fetch_add(1, Ordering::SeqCst);
    }
}
