//! The guest's console: the hypervisor's own for dom0, the ring in the console page for a domU.

use crate::{hypercall, memory, start};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU32, Ordering, fence};
use xen_abi::event_channel::{EVTCHNOP_send, EvtchnSend};
use xen_abi::xen::{
    __HYPERVISOR_console_io, __HYPERVISOR_event_channel_op, CONSOLEIO_read, CONSOLEIO_write, SIF_INITDOMAIN,
};

/// Prints a line; longer than 1000 bytes it is cut.
pub fn line(text: fmt::Arguments<'_>) {
    let mut buffer = Buffer { bytes: [0; 1002], len: 0 };
    let _ = buffer.write_fmt(text);
    let end = buffer.len.min(1000);
    buffer.bytes[end] = b'\n';
    write(&buffer.bytes[..=end]);
}

struct Buffer {
    bytes: [u8; 1002],
    len: usize,
}

impl Write for Buffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            if self.len < 1000 {
                self.bytes[self.len] = byte;
                self.len += 1;
            }
        }
        Ok(())
    }
}

/// Prints bytes.
pub fn write(bytes: &[u8]) {
    let info = start::info();
    if info.flags & SIF_INITDOMAIN != 0 {
        console_io(CONSOLEIO_write, bytes.as_ptr().addr() as u64, bytes.len() as u64);
    } else {
        ring_write(bytes);
    }
}

/// `console_io` itself.
pub fn console_io(command: u32, at: u64, len: u64) -> i64 {
    hypercall::raw(__HYPERVISOR_console_io, [command.into(), len, at, 0, 0])
}

/// Reads what was typed on the hypervisor's console into `buffer`; gives how much.
pub fn read(buffer: &mut [u8]) -> i64 {
    console_io(CONSOLEIO_read, buffer.as_mut_ptr().addr() as u64, buffer.len() as u64)
}

/// Offsets in `struct xencons_interface` (io/console.h).
const OUT: u64 = 1024;
const OUT_SIZE: u32 = 2048;
const OUT_CONS: u64 = 3080;
const OUT_PROD: u64 = 3084;

fn ring_write(bytes: &[u8]) {
    let console = start::info().console_dom_u();
    let base = memory::va_of_mfn(console.mfn);
    // SAFETY: the domain builder maps the console page with all of the guest's first memory.
    let cons = unsafe { AtomicU32::from_ptr((base + OUT_CONS) as *mut u32) };
    // SAFETY: as above.
    let prod = unsafe { AtomicU32::from_ptr((base + OUT_PROD) as *mut u32) };
    let mut at = prod.load(Ordering::Relaxed);
    for &byte in bytes {
        while at.wrapping_sub(cons.load(Ordering::Acquire)) >= OUT_SIZE {
            prod.store(at, Ordering::Release);
            notify(console.evtchn);
            hypercall::sched_yield();
        }
        // SAFETY: inside the ring.
        unsafe { ((base + OUT + u64::from(at % OUT_SIZE)) as *mut u8).write_volatile(byte) };
        at = at.wrapping_add(1);
    }
    fence(Ordering::SeqCst);
    prod.store(at, Ordering::Release);
    notify(console.evtchn);
}

fn notify(port: u32) {
    hypercall::op(__HYPERVISOR_event_channel_op, EVTCHNOP_send, &mut EvtchnSend { port });
}
