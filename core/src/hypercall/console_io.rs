//! `HYPERVISOR_console_io`.

use super::{HypercallResult, Stop};
use crate::access;
use crate::addr::Vaddr;
use crate::console::INPUT_BYTES;
use crate::ctx::Ctx;
use crate::platform::Platform;
use xen_abi::Errno;
use xen_abi::xen::{CONSOLEIO_read, CONSOLEIO_write};

/// Bytes that are copied at once.
const CHUNK: u32 = 128;

/// `HYPERVISOR_console_io(cmd, count, buffer)`: writes to the console's device (0 when all is written), or takes input
/// (number of bytes).
///
/// # Errors
/// `EPERM` without privilege, as a release build of Xen; `E2BIG`, `EFAULT`, `ENOSYS`.
pub fn console_io<P: Platform>(ctx: &Ctx<'_, P>, cmd: u64, count: u64, buffer: u64) -> HypercallResult {
    // Both are C's `unsigned int`.
    let (cmd, count) = ((cmd & 0xffff_ffff) as u32, (count & 0xffff_ffff) as u32);
    access::control(ctx)?;
    match cmd {
        CONSOLEIO_write => write(ctx, count, buffer),
        CONSOLEIO_read => read(ctx, count, buffer),
        _ => Err(Errno::ENOSYS.into()),
    }
}

fn write<P: Platform>(ctx: &Ctx<'_, P>, count: u32, buffer: u64) -> HypercallResult {
    let mut done = 0;
    while done < count {
        if done != 0 && ctx.preempt_pending() {
            let (left, next) = (count - done, buffer.wrapping_add(done.into()));
            return Err(Stop::Again([CONSOLEIO_write.into(), left.into(), next, 0, 0, 0]));
        }
        let mut bytes = [0; CHUNK as usize];
        let len = (count - done).min(CHUNK);
        let chunk = bytes.get_mut(..len as usize).ok_or(Errno::EINVAL)?;
        ctx.read_bytes(Vaddr(buffer.wrapping_add(done.into())), chunk)?;
        ctx.platform().console_write(chunk);
        if ctx.hv.console.guest_to_ring {
            ctx.hv.console.put(chunk);
        }
        done += len;
    }
    Ok(0)
}

fn read<P: Platform>(ctx: &Ctx<'_, P>, count: u32, buffer: u64) -> HypercallResult {
    if count > i32::MAX.cast_unsigned() {
        return Err(Errno::E2BIG.into());
    }
    let mut bytes = [0; INPUT_BYTES as usize];
    let room = bytes.get_mut(..count.min(INPUT_BYTES) as usize).ok_or(Errno::EINVAL)?;
    let taken = ctx.hv.console.take_input(room);
    // A guest that gives a bad buffer loses its input.
    ctx.write_bytes(Vaddr(buffer), bytes.get(..taken).unwrap_or(&[]))?;
    Ok(taken as u64)
}
