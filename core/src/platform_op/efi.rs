//! UEFI on behalf of the control domain: what it told, and calls of its runtime services (`XENPF_efi_runtime_call`).

use super::seam::PlatformMachine;
use crate::addr::Vaddr;
use crate::ctx::Ctx;
use crate::hypercall::Stop;
use crate::platform::Platform;
use alloc::vec::Vec;
use xen_abi::Errno;
use xen_abi::member;
use xen_abi::platform::*;

/// The most bytes of a variable's name, its final zero included.
const MOST_NAME: u64 = 4096;
/// The most bytes of a variable.
const MOST_DATA: u64 = 1 << 20;

/// What the firmware's system table says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EfiFacts<'a> {
    /// UEFI's version, major in the upper 16 bits.
    pub revision: u32,
    /// Physical address of the configuration tables.
    pub config_table: u64,
    /// How many.
    pub config_count: u32,
    /// The vendor's name in UTF-16, without a final zero.
    pub vendor: &'a [u16],
    /// The vendor's own version.
    pub vendor_revision: u32,
    /// Version of the runtime services.
    pub runtime_revision: u32,
}

/// A range of UEFI's memory map.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EfiRegion {
    /// First byte.
    pub start: u64,
    /// First byte behind it.
    pub end: u64,
    /// `EFI_MEMORY_*`.
    pub attributes: u64,
    /// `EfiReservedMemoryType` and so on.
    pub kind: u32,
}

/// A call of a runtime service; answers are written in place.
#[derive(Debug)]
pub enum EfiCall<'a> {
    /// `GetTime`.
    GetTime {
        /// Out.
        time: &'a mut XenpfEfiTime,
        /// Out: ticks in a second.
        resolution: &'a mut u32,
        /// Out: parts per trillion.
        accuracy: &'a mut u32,
        /// Out: setting the time clears what is below the resolution.
        clears: &'a mut bool,
    },
    /// `SetTime`.
    SetTime(&'a XenpfEfiTime),
    /// `GetWakeupTime`.
    GetWakeupTime {
        /// Out.
        enabled: &'a mut bool,
        /// Out: it rang.
        pending: &'a mut bool,
        /// Out.
        time: &'a mut XenpfEfiTime,
    },
    /// `SetWakeupTime`.
    SetWakeupTime {
        /// Whether it should ring.
        enable: bool,
        /// When; `None`: as set before.
        time: Option<&'a XenpfEfiTime>,
    },
    /// `GetNextHighMonotonicCount`.
    GetNextHighMonotonicCount(&'a mut u32),
    /// `GetVariable`.
    GetVariable {
        /// In UTF-16, ends with a zero.
        name: &'a [u16],
        /// Who uses it.
        guid: &'a XenpfEfiGuid,
        /// Out.
        attributes: &'a mut u32,
        /// In and out: bytes.
        size: &'a mut u64,
        /// Out.
        data: &'a mut [u8],
    },
    /// `SetVariable`.
    SetVariable {
        /// In UTF-16, ends with a zero.
        name: &'a [u16],
        /// Who uses it.
        guid: &'a XenpfEfiGuid,
        /// `EFI_VARIABLE_*`.
        attributes: u32,
        /// Its new contents.
        data: &'a [u8],
    },
    /// `GetNextVariableName`.
    GetNextVariableName {
        /// In and out: bytes of the name.
        size: &'a mut u64,
        /// In and out, as long as the buffer is.
        name: &'a mut [u16],
        /// In and out.
        guid: &'a mut XenpfEfiGuid,
    },
    /// `QueryVariableInfo`.
    QueryVariableInfo {
        /// `EFI_VARIABLE_*`.
        attributes: u32,
        /// Out: bytes in all.
        storage: &'a mut u64,
        /// Out: bytes that are free.
        remaining: &'a mut u64,
        /// Out: bytes that one may have.
        largest: &'a mut u64,
    },
}

/// `XEN_FW_EFI_INFO`.
pub(super) fn info<P: Platform>(
    ctx: &Ctx<'_, P>,
    machine: &impl PlatformMachine,
    arg: &mut XenpfFirmwareInfo,
) -> Result<(), Stop> {
    let facts = machine.efi().ok_or(Errno::ENOSYS)?;
    match arg.index {
        XEN_FW_EFI_VERSION => member::put(&mut arg.u, &facts.revision),
        XEN_FW_EFI_RT_VERSION => member::put(&mut arg.u, &facts.runtime_revision),
        XEN_FW_EFI_CONFIG_TABLE => {
            let (addr, nent) = (facts.config_table, facts.config_count);
            member::put(&mut arg.u, &XenpfFirmwareInfoEfiInfoCfg { addr, nent, ..Default::default() });
        }
        XEN_FW_EFI_VENDOR => {
            let mut vendor: XenpfFirmwareInfoEfiInfoVendor = member::get(&arg.u);
            vendor.revision = facts.vendor_revision;
            let at = Vaddr(vendor.name.addr());
            // Without a buffer only the revision is wanted; with one, the name is cut to it and ends with a zero.
            if let Some(room) = u64::from(vendor.bufsz / 2).checked_sub(1).filter(|_| at.0 != 0) {
                let used = facts.vendor.iter().copied().take(usize::try_from(room).unwrap_or(0));
                for (index, unit) in (0u64..).zip(used.chain([0])) {
                    ctx.write_at(at, index, &unit)?;
                }
            }
            member::put(&mut arg.u, &vendor);
        }
        XEN_FW_EFI_MEM_INFO => {
            let mut mem: XenpfFirmwareInfoEfiInfoMem = member::get(&arg.u);
            let region = machine.efi_region(mem.addr).ok_or(Errno::ESRCH)?;
            mem.r#type = region.kind;
            mem.attr = region.attributes;
            mem.size = mem.size.min(region.end.saturating_sub(mem.addr));
            member::put(&mut arg.u, &mem);
        }
        XEN_FW_EFI_PCI_ROM | XEN_FW_EFI_APPLE_PROPERTIES => return Err(Errno::ENODATA.into()),
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(())
}

fn buffer<T: Clone + Default>(count: u64, most: u64) -> Result<Vec<T>, Errno> {
    let count = usize::try_from(count).ok().filter(|_| count <= most).ok_or(Errno::ENOMEM)?;
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    buffer.resize(count, T::default());
    Ok(buffer)
}

/// A name up to its zero, which it includes.
fn read_name<P: Platform>(ctx: &Ctx<'_, P>, at: Vaddr) -> Result<Vec<u16>, Stop> {
    let mut name = Vec::new();
    for index in 0..MOST_NAME / 2 {
        let unit: u16 = ctx.read_at(at, index)?;
        name.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        name.push(unit);
        if unit == 0 {
            return Ok(name);
        }
    }
    Err(Errno::EINVAL.into())
}

const fn failed(status: u64) -> bool {
    status >> 63 == 1
}

/// `XENPF_efi_runtime_call`. What the service said is in `status`.
pub(super) fn runtime_call<P: Platform>(
    ctx: &Ctx<'_, P>,
    machine: &mut impl PlatformMachine,
    op: &mut XenPlatformOp,
) -> Result<(), Stop> {
    let facts = machine.efi().ok_or(Errno::ENOSYS)?;
    let has_query = facts.runtime_revision >= 2 << 16;
    let mut call: XenpfEfiRuntimeCall = member::get(&op.u);
    let takes_flags =
        matches!(call.function, XEN_EFI_set_wakeup_time | XEN_EFI_set_variable | XEN_EFI_query_variable_info);
    if !takes_flags && call.misc != 0 {
        return Err(Errno::EINVAL.into());
    }
    call.status = match call.function {
        XEN_EFI_get_time => {
            let mut arg = XenpfEfiRuntimeCallGetTime::default();
            let mut clears = false;
            let (time, resolution, accuracy) = (&mut arg.time, &mut arg.resolution, &mut arg.accuracy);
            let status = machine.efi_call(EfiCall::GetTime { time, resolution, accuracy, clears: &mut clears });
            if clears {
                call.misc = XEN_EFI_GET_TIME_SET_CLEARS_NS;
            }
            member::put(&mut call.u, &arg);
            status
        }
        XEN_EFI_set_time => machine.efi_call(EfiCall::SetTime(&member::get(&call.u))),
        XEN_EFI_get_wakeup_time => {
            let mut time = XenpfEfiTime::default();
            let (mut enabled, mut pending) = (false, false);
            let status = machine.efi_call(EfiCall::GetWakeupTime {
                enabled: &mut enabled,
                pending: &mut pending,
                time: &mut time,
            });
            if enabled {
                call.misc |= XEN_EFI_GET_WAKEUP_TIME_ENABLED;
            }
            if pending {
                call.misc |= XEN_EFI_GET_WAKEUP_TIME_PENDING;
            }
            member::put(&mut call.u, &time);
            status
        }
        XEN_EFI_set_wakeup_time => {
            const KNOWN: u32 = XEN_EFI_SET_WAKEUP_TIME_ENABLE | XEN_EFI_SET_WAKEUP_TIME_ENABLE_ONLY;
            if call.misc & !KNOWN != 0 {
                return Err(Errno::EINVAL.into());
            }
            let time: XenpfEfiTime = member::get(&call.u);
            let time = (call.misc & XEN_EFI_SET_WAKEUP_TIME_ENABLE_ONLY == 0).then_some(&time);
            let enable = call.misc & XEN_EFI_SET_WAKEUP_TIME_ENABLE != 0;
            machine.efi_call(EfiCall::SetWakeupTime { enable, time })
        }
        XEN_EFI_get_next_high_monotonic_count => machine.efi_call(EfiCall::GetNextHighMonotonicCount(&mut call.misc)),
        XEN_EFI_get_variable => {
            let mut arg: XenpfEfiRuntimeCallGetVariable = member::get(&call.u);
            let name = read_name(ctx, Vaddr(arg.name.addr()))?;
            let mut data = buffer::<u8>(arg.size, MOST_DATA)?;
            let (guid, attributes, size) = (&arg.vendor_guid, &mut call.misc, &mut arg.size);
            let status =
                machine.efi_call(EfiCall::GetVariable { name: &name, guid, attributes, size, data: &mut data });
            let used = usize::try_from(arg.size).unwrap_or(usize::MAX);
            if let Some(data) = data.get(..used).filter(|_| !failed(status)) {
                ctx.write_bytes(Vaddr(arg.data.addr()), data)?;
            }
            member::put(&mut call.u, &arg);
            status
        }
        XEN_EFI_set_variable => {
            let arg: XenpfEfiRuntimeCallSetVariable = member::get(&call.u);
            let name = read_name(ctx, Vaddr(arg.name.addr()))?;
            let mut data = buffer::<u8>(arg.size, MOST_DATA)?;
            ctx.read_bytes(Vaddr(arg.data.addr()), &mut data)?;
            let (guid, attributes) = (&arg.vendor_guid, call.misc);
            machine.efi_call(EfiCall::SetVariable { name: &name, guid, attributes, data: &data })
        }
        XEN_EFI_get_next_variable_name => {
            let mut arg: XenpfEfiRuntimeCallGetNextVariableName = member::get(&call.u);
            let at = Vaddr(arg.name.addr());
            let mut name = buffer::<u16>(arg.size / 2, MOST_NAME / 2)?;
            for (index, unit) in (0u64..).zip(name.iter_mut()) {
                *unit = ctx.read_at(at, index)?;
            }
            let (size, guid) = (&mut arg.size, &mut arg.vendor_guid);
            let status = machine.efi_call(EfiCall::GetNextVariableName { size, name: &mut name, guid });
            if !failed(status) {
                let used = usize::try_from(arg.size.div_ceil(2)).unwrap_or(0);
                for (index, unit) in (0u64..).zip(name.iter().take(used)) {
                    ctx.write_at(at, index, unit)?;
                }
            }
            member::put(&mut call.u, &arg);
            status
        }
        XEN_EFI_query_variable_info if has_query => {
            let mut arg: XenpfEfiRuntimeCallQueryVariableInfo = member::get(&call.u);
            // A snapshot of the boot would be the one that the loader's services gave.
            if call.misc != 0 {
                return Err(Errno::EOPNOTSUPP.into());
            }
            let (attributes, storage) = (arg.attr, &mut arg.max_store_size);
            let (remaining, largest) = (&mut arg.remain_store_size, &mut arg.max_size);
            let status = machine.efi_call(EfiCall::QueryVariableInfo { attributes, storage, remaining, largest });
            member::put(&mut call.u, &arg);
            status
        }
        XEN_EFI_query_variable_info | XEN_EFI_query_capsule_capabilities | XEN_EFI_update_capsule => {
            return Err(Errno::EOPNOTSUPP.into());
        }
        _ => return Err(Errno::ENOSYS.into()),
    };
    member::put(&mut op.u, &call);
    Ok(())
}
