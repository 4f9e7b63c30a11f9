//! The end: reason, registers, backtrace, who was running; then reboot or halt.

use crate::{bounce, console, error, percpu, switch};
use core::sync::atomic::{AtomicBool, Ordering};
use ferroxen_core::pv::Regs;
use ferroxen_x86::{instructions, layout, symbols};

/// `noreboot` was given.
pub static NOREBOOT: AtomicBool = AtomicBool::new(false);

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    instructions::cli();
    if console::panicking() {
        instructions::halt();
    }
    error!("****************************************");
    match info.location() {
        Some(at) => error!("Panic on CPU {}: {} ({}:{})", percpu::number(), info.message(), at.file(), at.line()),
        None => error!("Panic on CPU {}: {}", percpu::number(), info.message()),
    }
    let (rbp, rsp, rflags): (u64, u64, u64);
    // SAFETY: reads registers.
    unsafe {
        core::arch::asm!("mov {}, rbp", "mov {}, rsp", "pushfq", "pop {}", out(reg) rbp, out(reg) rsp, out(reg) rflags)
    };
    error!("rbp {rbp:016x} rsp {rsp:016x} rflags {rflags:08x}");
    control_registers();
    finish(rbp)
}

fn control_registers() {
    error!(
        "cr0 {:08x} cr2 {:016x} cr3 {:016x} cr4 {:08x}",
        instructions::read_cr0(),
        instructions::read_cr2(),
        instructions::read_cr3(),
        instructions::read_cr4()
    );
}

/// A fault of the hypervisor's own that nobody expected.
pub fn fatal_trap(regs: &Regs, what: &str) -> ! {
    instructions::cli();
    if console::panicking() {
        instructions::halt();
    }
    error!("****************************************");
    error!(
        "Panic on CPU {}: {what} in the hypervisor, vector {} error {:#x}",
        percpu::number(),
        regs.entry_vector,
        regs.error_code
    );
    error!(
        "rip {:016x} cs {:04x} rflags {:08x} rsp {:016x} ss {:04x}",
        regs.rip, regs.cs, regs.rflags, regs.rsp, regs.ss
    );
    control_registers();
    error!("rax {:016x} rbx {:016x} rcx {:016x} rdx {:016x}", regs.rax, regs.rbx, regs.rcx, regs.rdx);
    error!("rsi {:016x} rdi {:016x} rbp {:016x} r8  {:016x}", regs.rsi, regs.rdi, regs.rbp, regs.r8);
    error!("r9  {:016x} r10 {:016x} r11 {:016x} r12 {:016x}", regs.r9, regs.r10, regs.r11, regs.r12);
    error!("r13 {:016x} r14 {:016x} r15 {:016x}", regs.r13, regs.r14, regs.r15);
    frame(regs.rip);
    finish(regs.rbp)
}

fn finish(rbp: u64) -> ! {
    backtrace(rbp);
    if let Some((domid, vcpu)) = percpu::running() {
        error!("Running d{domid}v{vcpu}; its registers at the entry to the hypervisor:");
        bounce::show_guest(switch::top());
    } else {
        error!("No domain ran on this CPU.");
    }
    error!("****************************************");
    crate::machine::stop_others();
    if NOREBOOT.load(Ordering::Relaxed) {
        error!("Halted (noreboot).");
        instructions::halt();
    }
    error!("Reboot in five seconds...");
    crate::machine::delay_us(5_000_000);
    crate::machine::reboot()
}

/// Names of the functions in the image: room that `./x build` fills.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".symbols")]
#[used]
static SYMBOL_TABLE: [u8; symbols::ROOM] = [0; symbols::ROOM];

/// One line of a backtrace.
fn frame(address: u64) {
    // Not what the compiler sees in it, but what is in the image.
    let table = core::hint::black_box(&SYMBOL_TABLE);
    let offset = address.checked_sub(layout::IMAGE_BASE).and_then(|offset| u32::try_from(offset).ok());
    match offset.and_then(|offset| symbols::find(table, offset)) {
        Some((name, inside)) => error!("  [<{address:016x}>] {name}+{inside:#x}"),
        None => error!("  [<{address:016x}>]"),
    }
}

/// Walks the frame pointers as long as they stay in one stack block.
fn backtrace(mut rbp: u64) {
    let block = rbp & !(layout::STACK_BYTES - 1);
    for _ in 0..32 {
        if rbp & 7 != 0 || rbp & !(layout::STACK_BYTES - 1) != block || rbp < layout::HV_START {
            break;
        }
        // SAFETY: inside this CPU's stack block (or the boot stack), which is mapped.
        let (next, ret) = unsafe { ((rbp as *const u64).read_volatile(), (rbp as *const u64).add(1).read_volatile()) };
        if ret < layout::IMAGE_BASE {
            break;
        }
        frame(ret);
        if next <= rbp {
            break;
        }
        rbp = next;
    }
}
