//! From the hypervisor's jump to the test.

use crate::{events, hypercall, trap};
use core::sync::atomic::{AtomicU64, Ordering};
use xen_abi::callback::{CALLBACKTYPE_event, CALLBACKTYPE_failsafe, CALLBACKTYPE_syscall};
use xen_abi::version::{XEN_CHANGESET_INFO_LEN, XENVER_changeset};
use xen_abi::xen::{__HYPERVISOR_xen_version, SIF_INITDOMAIN, StartInfo};

static START_INFO: AtomicU64 = AtomicU64::new(0);

/// What the guest was told at its start.
pub fn info() -> &'static StartInfo {
    // SAFETY: set once at the start to a page that stays mapped; nothing writes it.
    unsafe { &*(START_INFO.load(Ordering::Relaxed) as *const StartInfo) }
}

/// Whether it is the initial domain.
pub fn is_dom0() -> bool {
    info().flags & SIF_INITDOMAIN != 0
}

/// Whether it runs on Ferroxen: its name is in the changeset.
pub fn is_ferroxen() -> bool {
    let mut text = [0u8; XEN_CHANGESET_INFO_LEN];
    hypercall::op(__HYPERVISOR_xen_version, XENVER_changeset, &mut text);
    text.windows(8).any(|word| word == b"ferroxen")
}

/// Its command line.
pub fn command_line() -> &'static str {
    let bytes = &info().cmd_line;
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    core::str::from_utf8(&bytes[..end]).unwrap_or("")
}

/// The value of `name=` on the command line.
pub fn option(name: &str) -> Option<&'static str> {
    command_line().split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

/// Where entry.S goes first.
#[unsafe(no_mangle)]
extern "C" fn guest_start(info: u64) -> ! {
    START_INFO.store(info, Ordering::Relaxed);
    trap::install_table();
    hypercall::register_callback(CALLBACKTYPE_event, 0, trap::event_callback_address());
    hypercall::register_callback(CALLBACKTYPE_failsafe, 0, trap::failsafe_callback_address());
    hypercall::register_callback(CALLBACKTYPE_syscall, 0, trap::syscall_callback_address());
    events::map_shared_info();
    run()
}

#[cfg(target_os = "none")]
fn run() -> ! {
    unsafe extern "C" {
        safe fn guest_run() -> !;
    }
    guest_run()
}

#[cfg(not(target_os = "none"))]
fn run() -> ! {
    unimplemented!("only a guest starts here")
}

/// Stack of the first vcpu.
#[repr(C, align(4096))]
struct Stack([u8; 64 * 1024]);

#[cfg(target_os = "none")]
core::arch::global_asm!(
    ".global boot_stack_top",
    ".set boot_stack_top, {stack} + 65536",
    stack = sym BOOT_STACK,
);

#[cfg_attr(not(target_os = "none"), allow(dead_code))]
static mut BOOT_STACK: Stack = Stack([0; 64 * 1024]);

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    crate::report::broken(format_args!("{info}"))
}
