//! Memory maps: the machine's, and the one that a toolstack gives a domain.

use crate::access;
use crate::addr::Vaddr;
use crate::ctx::Ctx;
use crate::domain::DomId;
use crate::hypercall::HypercallResult;
use crate::platform::Platform;
use alloc::vec::Vec;
use ferroxen_sync::{Lock, Shared, rank};
use xen_abi::Errno;
use xen_abi::memory::{XenForeignMemoryMap, XenMemoryMap};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The most entries of a domain's map.
pub const MAX_MAP_ENTRIES: u32 = 1024;

/// [`E820Entry::kind`] of RAM.
pub(super) const RAM: u32 = 1;

/// An entry as BIOS INT 0x15 EAX=0xE820 gives it: 20 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct E820Entry {
    start: [u32; 2],
    size: [u32; 2],
    /// 1: RAM, 2: reserved, 3: ACPI tables, 4: ACPI NVS, 5: unusable.
    pub kind: u32,
}

impl E820Entry {
    /// `size` bytes from `start`.
    pub const fn new(start: u64, size: u64, kind: u32) -> Self {
        const fn halves(value: u64) -> [u32; 2] {
            [(value & 0xffff_ffff) as u32, (value >> 32) as u32]
        }
        E820Entry { start: halves(start), size: halves(size), kind }
    }
    /// Address of the first byte.
    pub const fn start(&self) -> u64 {
        self.start[0] as u64 | (self.start[1] as u64) << 32
    }
    /// Bytes.
    pub const fn size(&self) -> u64 {
        self.size[0] as u64 | (self.size[1] as u64) << 32
    }
}

/// A domain's map: read while it is being replaced, it is the old or the new one.
pub type MemoryMap = Shared<Vec<E820Entry>>;

/// Where a domain keeps its map, once it has one.
pub struct MapSlot(Lock<rank::Pages, Option<MemoryMap>>);

impl Default for MapSlot {
    fn default() -> Self {
        MapSlot(Lock::new(None))
    }
}

impl MapSlot {
    /// The map now.
    pub fn get(&self) -> Option<MemoryMap> {
        self.0.lock().clone()
    }
    /// Replaces it.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn set(&self, entries: Vec<E820Entry>) -> Result<(), Errno> {
        let map = Shared::try_new(entries).map_err(|_| Errno::ENOMEM)?;
        let old = self.0.lock().replace(map);
        drop(old);
        Ok(())
    }
}

/// XENMEM_memory_map: the caller's own map, cut to what its buffer holds.
pub(super) fn own<P: Platform>(ctx: &Ctx<'_, P>, arg: Vaddr) -> HypercallResult {
    let request: XenMemoryMap = ctx.read(arg)?;
    let map = ctx.dom.memory_map.get().filter(|map| !map.is_empty()).ok_or(Errno::ENOSYS)?;
    let wanted = usize::try_from(request.nr_entries).unwrap_or(usize::MAX);
    copy_out(ctx, arg, request, map.get(..wanted).unwrap_or(&map))
}

/// XENMEM_machine_memory_map: the machine's map; without a buffer, its number of entries.
pub(super) fn machine<P: Platform>(ctx: &Ctx<'_, P>, arg: Vaddr) -> HypercallResult {
    access::control(ctx)?;
    let mut request: XenMemoryMap = ctx.read(arg)?;
    let map = ctx.hv.machine.e820;
    let entries = u32::try_from(map.len()).map_err(|_| Errno::EINVAL)?;
    if request.buffer.is_null() {
        request.nr_entries = entries;
        return ctx.write(arg, &request).map(|()| 0);
    }
    if request.nr_entries < entries {
        return Err(Errno::EINVAL.into());
    }
    copy_out(ctx, arg, request, map)
}

fn copy_out<P: Platform>(
    ctx: &Ctx<'_, P>,
    arg: Vaddr,
    mut request: XenMemoryMap,
    map: &[E820Entry],
) -> HypercallResult {
    let buffer = Vaddr(request.buffer.addr());
    for (at, entry) in (0..).zip(map) {
        ctx.write_at(buffer, at, entry)?;
    }
    request.nr_entries = u32::try_from(map.len()).map_err(|_| Errno::EINVAL)?;
    ctx.write(arg, &request).map(|()| 0)
}

/// XENMEM_set_memory_map.
pub(super) fn set<P: Platform>(ctx: &Ctx<'_, P>, arg: Vaddr) -> HypercallResult {
    let request: XenForeignMemoryMap = ctx.read(arg)?;
    if request.map.nr_entries > MAX_MAP_ENTRIES {
        return Err(Errno::EINVAL.into());
    }
    let dom = access::target(ctx, DomId(request.domid))?;
    let mut entries = Vec::new();
    let count = usize::try_from(request.map.nr_entries).map_err(|_| Errno::EINVAL)?;
    entries.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    for at in 0..u64::from(request.map.nr_entries) {
        entries.push(ctx.read_at(Vaddr(request.map.buffer.addr()), at)?);
    }
    dom.memory_map.set(entries)?;
    Ok(0)
}
