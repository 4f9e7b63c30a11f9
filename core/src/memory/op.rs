//! `HYPERVISOR_memory_op`: which subcommand, and where a continued one goes on.

use super::{exchange, map, physmap, query, reservation, resource};
use crate::addr::Vaddr;
use crate::ctx::Ctx;
use crate::hypercall::{HypercallResult, Stop};
use crate::platform::Platform;
use xen_abi::Errno;
use xen_abi::memory::*;

/// The command word holds the subcommand in its low bits; above them stands the extent to go on with. Guests begin
/// with 0 there; what comes back in a continuation is as hostile as the rest.
pub(super) const EXTENT_SHIFT: u32 = 6;
const COMMAND_MASK: u64 = (1 << EXTENT_SHIFT) - 1;

/// `HYPERVISOR_memory_op(cmd, arg)`.
///
/// # Errors
/// What Xen 4.17 answers for each subcommand; `ENOSYS` for one that does not exist here. Reservation changes never
/// fail: they give how many extents were done.
pub fn memory_op<P: Platform>(ctx: &mut Ctx<'_, P>, cmd: u64, arg: u64) -> HypercallResult {
    let (command, start) = ((cmd & COMMAND_MASK) as u32, cmd >> EXTENT_SHIFT);
    let arg = Vaddr(arg);
    match command {
        XENMEM_increase_reservation | XENMEM_decrease_reservation | XENMEM_populate_physmap => {
            return reservation::change(ctx, command, start, arg);
        }
        XENMEM_add_to_physmap | XENMEM_add_to_physmap_batch => return physmap::add(ctx, command, arg),
        XENMEM_acquire_resource => return resource::acquire(ctx, start, arg),
        _ if start != 0 => {}
        XENMEM_exchange => return exchange::exchange(ctx, arg),
        XENMEM_maximum_ram_page => return Ok(ctx.hv.frames.end().0),
        XENMEM_current_reservation | XENMEM_maximum_reservation | XENMEM_maximum_gpfn => {
            return query::reservation(ctx, command, arg);
        }
        XENMEM_machphys_mfn_list => return query::m2p_extents(ctx, arg),
        XENMEM_machphys_mapping => return query::m2p_mapping(ctx, arg),
        XENMEM_remove_from_physmap => return physmap::remove(ctx, arg),
        XENMEM_memory_map => return map::own(ctx, arg),
        XENMEM_machine_memory_map => return map::machine(ctx, arg),
        XENMEM_set_memory_map => return map::set(ctx, arg),
        XENMEM_set_pod_target | XENMEM_get_pod_target => return query::pod_target(ctx, arg),
        XENMEM_claim_pages => return query::claim(ctx, arg),
        XENMEM_get_vnumainfo => return query::vnuma(ctx, arg),
        XENMEM_reserved_device_memory_map => return query::reserved_device_memory(ctx, arg),
        XENMEM_access_op => return query::access(ctx, arg),
        // Nothing is ever shared or paged out.
        XENMEM_get_sharing_freed_pages | XENMEM_get_sharing_shared_pages => return Ok(0),
        _ => {}
    }
    // The compat table serves 32-bit guests; memory paging and sharing are not built into Debian's Xen either.
    Err(Stop::Err(if start != 0 && command <= XENMEM_acquire_resource { Errno::EINVAL } else { Errno::ENOSYS }))
}

/// The command word that goes on with `extent`.
pub(super) fn continued(command: u32, extent: u64) -> u64 {
    u64::from(command) | extent << EXTENT_SHIFT
}
