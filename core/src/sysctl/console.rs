//! XEN_SYSCTL_readconsole: what `xl dmesg` shows.

use crate::addr::Vaddr;
use crate::ctx::Ctx;
use crate::hypercall::Stop;
use crate::platform::Platform;
use xen_abi::member;
use xen_abi::sysctl::*;

/// Copied at a time.
const CHUNK: usize = 256;

pub(super) fn read<P: Platform>(ctx: &Ctx<'_, P>, op: &mut XenSysctl) -> Result<(), Stop> {
    let mut arg: XenSysctlReadconsole = member::get(&op.u);
    let console = &ctx.hv.console;
    let mut at = console.first((arg.incremental != 0).then_some(arg.index));
    let mut done = 0u32;
    let mut chunk = [0; CHUNK];
    // The ring is at most 16 MiB, so this ends even while others write.
    while done < arg.count {
        let room = (arg.count - done).min(CHUNK as u32) as usize;
        let (from, count) = console.read(at, chunk.get_mut(..room).unwrap_or(&mut []));
        let Some(bytes) = chunk.get(..count).filter(|bytes| !bytes.is_empty()) else {
            at = from;
            break;
        };
        ctx.write_bytes(Vaddr(arg.buffer.addr().wrapping_add(done.into())), bytes)?;
        done += count as u32;
        at = from.wrapping_add(count as u32);
    }
    if arg.clear != 0 {
        console.clear(at);
    }
    arg.count = done;
    arg.index = at;
    member::put(&mut op.u, &arg);
    Ok(())
}
